/* Elementwise operations, each a composition whose derivative PyTorch agrees with: at kinks too,
 * where both take the same side. */
#include "import/aten.h"
#include <math.h>
#include <string.h>

/* ---- one operand ---- */

/* The first operand as real numbers. */
static value first(lowering *l)
{
    if (!has_operand(l, 0)) return aten_refuse(l, "operand 0 is None");
    return as_real(l, operand_of(l, 0));
}

#define UNARY(name, expression)                                                                    \
    value aten_##name(lowering *l)                                                                 \
    {                                                                                              \
        const value v = first(l);                                                                  \
        graph *g = l->g;                                                                           \
        const node x = v.n;                                                                        \
        return with_node(&v, expression);                                                          \
    }

UNARY(neg, g_neg(g, x))
UNARY(exp, g_exp(g, x))
UNARY(log, g_log(g, x))
UNARY(log1p, g_log(g, g_add(g, x, g_fill_like(g, x, 1))))
UNARY(sqrt, g_sqrt(g, x))
UNARY(rsqrt, g_recip(g, g_sqrt(g, x)))
UNARY(reciprocal, g_recip(g, x))
UNARY(abs, g_abs(g, x))
UNARY(sign, g_sign(g, x))
UNARY(erf, g_erf(g, x))
UNARY(tanh, g_tanh(g, x))
UNARY(sigmoid, g_sigmoid(g, x))
UNARY(silu, g_mul(g, x, g_sigmoid(g, x)))

value aten_relu(lowering *l)
{
    const value v = first(l);

    if (aten_masked(l->at) && l->pass->kinks) l->pass->kinks[l->relus] = g_step(l->g, v.n);
    l->relus += aten_masked(l->at);
    return with_node(&v, g_relu(l->g, v.n));
}

/* x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) */
static node gelu_by_tanh(graph *g, node x)
{
    node cube = g_scale(g, g_mul(g, x, g_mul(g, x, x)), 0.044715);
    node t = g_tanh(g, g_scale(g, g_add(g, x, cube), M_SQRT2 * M_2_SQRTPI * 0.5));

    return g_mul(g, g_scale(g, x, 0.5), g_add(g, g_fill_like(g, x, 1), t));
}

value aten_gelu(lowering *l)
{
    const value v = first(l);
    const char *how = attr_text(l, "approximate");

    if (how && strcmp(how, "tanh") == 0) return with_node(&v, gelu_by_tanh(l->g, v.n));
    if (how && strcmp(how, "none") != 0)
        return aten_refuse(l, "approximate is \"%.40s\", expected none or tanh", how);
    return with_node(&v, g_gelu(l->g, v.n));
}

/* PyTorch's is x beyond `threshold`, 2e-9 away at the default. */
value aten_softplus(lowering *l)
{
    const value v = first(l);
    const double beta = attr_number(l, "beta", 1);

    if (!(beta > 0)) return aten_refuse(l, "beta is %g, expected above 0", beta);
    return with_node(&v, g_scale(l->g, g_softplus(l->g, g_scale(l->g, v.n, beta)), 1 / beta));
}

/* s (max(x, 0) + a (exp(i min(x, 0)) - 1)) */
value aten_elu(lowering *l)
{
    const value v = first(l);
    const double a = attr_number(l, "alpha", 1), s = attr_number(l, "scale", 1);
    graph *g = l->g;
    node up = g_relu(g, v.n);
    node down = g_exp(g, g_scale(g, g_sub(g, v.n, up), attr_number(l, "input_scale", 1)));

    down = g_scale(g, g_sub(g, down, g_fill_like(g, down, 1)), a);
    return with_node(&v, g_scale(g, g_add(g, up, down), s));
}

value aten_leaky_relu(lowering *l)
{
    const value v = first(l);
    const double slope = attr_number(l, "negative_slope", 0.01);
    graph *g = l->g;

    return with_node(&v, g_add(g, g_scale(g, v.n, slope), g_scale(g, g_relu(g, v.n), 1 - slope)));
}

/* x between the limits, the limits beyond; at a limit the derivative is 1, as clamp has it. */
static node clamped(graph *g, node x, bool below, double low, bool above, double high)
{
    node y = x;

    if (below) {
        node under = g_step(g, g_sub(g, g_fill_like(g, x, low), x));
        y = g_add(g, g_mul(g, y, g_sub(g, g_fill_like(g, x, 1), under)), g_scale(g, under, low));
    }
    if (above) {
        node over = g_step(g, g_sub(g, y, g_fill_like(g, x, high)));
        y = g_add(g, g_mul(g, y, g_sub(g, g_fill_like(g, x, 1), over)), g_scale(g, over, high));
    }
    return y;
}

value aten_clamp(lowering *l)
{
    const value v = first(l);

    return with_node(&v, clamped(l->g, v.n, attr_given(l, "min"), attr_number(l, "min", 0),
                                 attr_given(l, "max"), attr_number(l, "max", 0)));
}

value aten_hardtanh(lowering *l)
{
    const value v = first(l);

    return with_node(&v, clamped(l->g, v.n, true, attr_number(l, "min_val", -1), true,
                                 attr_number(l, "max_val", 1)));
}

/* ---- powers ---- */

/* x^n by squaring, n >= 1 */
static node whole_power(graph *g, node x, int n)
{
    if (n == 1) return x;
    node half = whole_power(g, x, n / 2), y = g_mul(g, half, half);
    return n % 2 ? g_mul(g, y, x) : y;
}

static node power(graph *g, node x, double p)
{
    const double size = fabs(p);
    node y;

    if (p == 0) return g_fill_like(g, x, 1);
    if (size == floor(size) && size <= 64) y = whole_power(g, x, (int)size);
    else if (size == 0.5) y = g_sqrt(g, x);
    else if (size == 1.5) y = g_mul(g, x, g_sqrt(g, x));
    else return g_exp(g, g_scale(g, g_log(g, x), p));
    return p < 0 ? g_recip(g, y) : y;
}

value aten_pow(lowering *l)
{
    const value v = first(l);

    if (l->at->n_in != 1 || !attr_given(l, "exponent"))
        return aten_refuse(l, "only powers with a number as exponent are known");
    return with_node(&v, power(l->g, v.n, attr_number(l, "exponent", 1)));
}

/* ---- two operands ---- */

/* Both in one layout; where the second is a number, *y is NODE_NONE and *other takes it. */
static bool operands(lowering *l, node *x, node *y, double *other, value *out)
{
    const bool number = !has_operand(l, 1);

    *out = no_value(), *x = *y = NODE_NONE;
    *other = attr_number(l, "other", NAN);
    if (!has_operand(l, 0) || (number && isnan(*other))) {
        aten_refuse(l, "needs two operands, or one and a number under `other`");
        return false;
    }
    if (!number) return together(l, operand_of(l, 0), operand_of(l, 1), x, y, out);
    *out = as_real(l, operand_of(l, 0));
    *out = with_node(out, out->n);
    *x = out->n;
    return out->n != NODE_NONE;
}

/* y NODE_NONE: the number `other` stands in its place. */
typedef node binary_fn(lowering *l, node x, node y, double other);

static value binary(lowering *l, binary_fn *make)
{
    node x, y;
    double other;
    value out;

    if (!operands(l, &x, &y, &other, &out)) return out;
    out.n = make(l, x, y, other);
    return out;
}

static node filled(lowering *l, node x, node y, double other)
{
    return y == NODE_NONE ? g_fill_like(l->g, x, other) : y;
}

static node product(lowering *l, node x, node y, double other)
{
    return y == NODE_NONE ? g_scale(l->g, x, other) : g_mul(l->g, x, y);
}

static node quotient(lowering *l, node x, node y, double other)
{
    return y == NODE_NONE ? g_scale(l->g, x, 1 / other) : g_mul(l->g, x, g_recip(l->g, y));
}

/* x + alpha y */
static node plus(lowering *l, node x, node y, double other, double alpha)
{
    if (y == NODE_NONE) return g_add(l->g, x, g_fill_like(l->g, x, alpha * other));
    if (alpha == -1) return g_sub(l->g, x, y);
    return g_add(l->g, x, g_scale(l->g, y, alpha));
}

static node sum(lowering *l, node x, node y, double other)
{
    return plus(l, x, y, other, attr_number(l, "alpha", 1));
}

static node difference(lowering *l, node x, node y, double other)
{
    return plus(l, x, y, other, -attr_number(l, "alpha", 1));
}

static node turned_difference(lowering *l, node x, node y, double other)
{
    return g_sub(l->g, filled(l, x, y, other), x);
}

/* y + (x - y) where x > y; where they are equal PyTorch gives half of the derivative to each. */
static node larger(lowering *l, node x, node y, double other)
{
    graph *g = l->g;

    y = filled(l, x, y, other);
    node off = g_sub(g, x, y);
    node share = g_scale(g, g_add(g, g_sign(g, off), g_fill_like(g, off, 1)), 0.5);
    return g_add(g, y, g_mul(g, off, share));
}

static node smaller(lowering *l, node x, node y, double other)
{
    graph *g = l->g;

    return g_neg(g, larger(l, g_neg(g, x), g_neg(g, filled(l, x, y, other)), 0));
}

#define BINARY(name, make)                                                                         \
    value aten_##name(lowering *l)                                                                 \
    {                                                                                              \
        return binary(l, make);                                                                    \
    }

BINARY(mul, product)
BINARY(div, quotient)
BINARY(add, sum)
BINARY(sub, difference)
BINARY(rsub, turned_difference)
BINARY(maximum, larger)
BINARY(minimum, smaller)
