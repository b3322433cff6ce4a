/* Sums and what is made of them, largest elements, pools. */
#include "import/aten.h"

/* The operand as real numbers; no value after aten_refuse. */
static value reduced(lowering *l)
{
    if (!has_operand(l, 0)) return aten_refuse(l, "operand 0 is None");
    return as_real(l, operand_of(l, 0));
}

/* v without the dimensions of the set, which have length 1. */
static value without(lowering *l, const value *v, uint32_t dims)
{
    shape to = {.rank = 0};

    for (int32_t i = 0; i < v->s.rank; i++)
        if (!(dims >> i & 1)) to.dim[to.rank++] = v->s.dim[i];
    return view_as(l, v, to);
}

static value kept_or_not(lowering *l, const value *v, uint32_t dims)
{
    return attr_flag(l, "keepdim", false) ? *v : without(l, v, dims);
}

/* Sums v over the dimensions, which stay with length 1; expanded ones are multiplied. */
static value summed(lowering *l, const value *v, uint32_t dims, double scale)
{
    uint32_t axes = 0;
    value out = with_node(v, NODE_NONE);

    if (v->n == NODE_NONE) return out;
    const shape mem = *graph_shape(l->g, v->n);
    for (int32_t i = 0; i < v->s.rank; i++) {
        if (!(dims >> i & 1)) continue;
        axes |= 1u << v->at[i];
        if (mem.dim[v->at[i]] != v->s.dim[i]) scale *= (double)v->s.dim[i];
        out.s.dim[i] = 1;
    }
    out.n = g_scale(l->g, g_sum(l->g, v->n, axes), scale);
    return out;
}

static double count_of(const value *v, uint32_t dims)
{
    double n = 1;

    for (int32_t i = 0; i < v->s.rank; i++)
        if (dims >> i & 1) n *= (double)v->s.dim[i];
    return n;
}

static value summed_or_mean(lowering *l, bool mean)
{
    const value v = reduced(l);
    const uint32_t dims = attr_dims(l, v.s.rank);
    const value out = summed(l, &v, dims, mean ? 1 / count_of(&v, dims) : 1);

    return kept_or_not(l, &out, dims);
}

value aten_sum(lowering *l)
{
    return summed_or_mean(l, false);
}

value aten_mean(lowering *l)
{
    return summed_or_mean(l, true);
}

value aten_var(lowering *l)
{
    const value v = reduced(l);
    const uint32_t dims = attr_dims(l, v.s.rank);
    const double n = count_of(&v, dims), correction = attr_number(l, "correction", 1);
    const value mean = summed(l, &v, dims, 1 / n);
    value centred;
    node x, m;

    if (!(n > correction))
        return aten_refuse(l, "of %g values with a correction of %g", n, correction);
    if (!together(l, &v, &mean, &x, &m, &centred)) return centred;
    centred.n = g_sub(l->g, x, m);
    centred.n = g_mul(l->g, centred.n, centred.n);
    const value out = summed(l, &centred, dims, 1 / (n - correction));
    return kept_or_not(l, &out, dims);
}

/* ---- over one dimension ---- */

static value over_last(lowering *l, node (*reduce)(graph *g, node x))
{
    const value v = reduced(l);
    const uint32_t dims = v.n == NODE_NONE ? 0 : attr_dims(l, v.s.rank);

    if (dims == 0 || (dims & (dims - 1)) != 0) return aten_refuse(l, "goes over one dimension");
    int32_t dim = 0;
    while (!(dims >> dim & 1)) dim++;
    node y = reduce(l->g, dimension_last(l, &v, dim));
    if (y == NODE_NONE) return no_value();
    const value out = from_dimension_last(l, y, dim);
    return kept_or_not(l, &out, dims);
}

value aten_logsumexp(lowering *l)
{
    return over_last(l, g_logsumexp);
}

value aten_amax(lowering *l)
{
    return over_last(l, g_rowmax);
}

/* ---- pools ---- */

/* Images, channels last; NODE_NONE after aten_refuse. */
static node images(lowering *l)
{
    if (has_operand(l, 0) && operand_of(l, 0)->s.rank == 4 && operand_of(l, 0)->type == NUMBER_REAL)
        return channels_last(l, operand_of(l, 0));
    aten_refuse(l, "needs images [n, c, h, w]");
    return NODE_NONE;
}

static bool pair(lowering *l, const char *key, const int32_t *fallback, int32_t *out)
{
    enum { MOST = 1 << 20 };
    int64_t x[2];
    const int32_t n = attr_ints(l, key, x, 2);

    for (int i = 0; i < 2; i++) {
        const int64_t v = n == 0 ? fallback[i] : x[n == 1 ? 0 : i];
        if (v < 0 || v > MOST) {
            aten_refuse(l, "%s is %lld", key, (long long)v);
            return false;
        }
        out[i] = (int32_t)v;
    }
    return true;
}

/* Strides default to the kernel's size. */
static bool window_of(lowering *l, window *v)
{
    static const int32_t zero[2] = {0, 0}, one[2] = {1, 1};

    *v = (window){.groups = 1};
    if (attr_flag(l, "ceil_mode", false)) {
        aten_refuse(l, "ceil_mode is not known");
        return false;
    }
    return pair(l, "kernel_size", zero, v->kernel) && pair(l, "stride", v->kernel, v->stride) &&
           pair(l, "padding", zero, v->pad) && pair(l, "dilation", one, v->dilation);
}

value aten_max_pool(lowering *l)
{
    node x = images(l);
    window v;

    if (x == NODE_NONE || !window_of(l, &v)) return no_value();
    node y = g_take(l->g, x, g_maxpool_arg(l->g, x, v));
    return y == NODE_NONE ? no_value() : from_channels_last(l, y);
}

/* Pixels beyond the border count, unless count_include_pad is false. */
value aten_avg_pool(lowering *l)
{
    graph *g = l->g;
    node x = images(l);
    window v;

    if (x == NODE_NONE || !window_of(l, &v)) return no_value();
    node y = g_sumpool(g, x, v);
    const bool padded = v.pad[0] != 0 || v.pad[1] != 0;
    const double fixed = attr_number(l, "divisor_override", v.kernel[0] * v.kernel[1]);
    if (padded && !attr_given(l, "divisor_override") && !attr_flag(l, "count_include_pad", true))
        y = g_mul(g, y, g_recip(g, g_sumpool(g, g_ones_like(g, x), v)));
    else y = g_scale(g, y, 1 / fixed);
    return y == NODE_NONE ? no_value() : from_channels_last(l, y);
}

value aten_adaptive_pool(lowering *l)
{
    int64_t to[2] = {1, 1};
    const int32_t n = attr_ints(l, "output_size", to, 2);
    window v = {.groups = 1, .dilation = {1, 1}};
    node x = images(l);

    if (n == 1) to[1] = to[0];
    if (x == NODE_NONE) return no_value();
    const shape s = *graph_shape(l->g, x);
    for (int i = 0; i < 2; i++) {
        if (to[i] < 1 || s.dim[1 + i] % to[i] != 0 || s.dim[1 + i] > INT32_MAX)
            return aten_refuse(l, "output_size %lld does not divide %lld pixels", (long long)to[i],
                               (long long)s.dim[1 + i]);
        v.kernel[i] = v.stride[i] = (int32_t)(s.dim[1 + i] / to[i]);
    }
    node y = g_scale(l->g, g_sumpool(l->g, x, v), 1.0 / ((double)v.kernel[0] * v.kernel[1]));
    return y == NODE_NONE ? no_value() : from_channels_last(l, y);
}
