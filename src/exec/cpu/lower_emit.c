/* Which nodes one instruction does, and the instructions. Factors (scale, products with
 * constants) travel with their operand until an instruction takes them in: a scale is no work of
 * its own unless it is a result. */
#include "exec/cpu/lower.h"

/* ---- one instruction for several nodes ---- */

/* 1 - a*a, read by nobody but products: c * (1 - a*a) is one instruction. */
static bool is_one_minus_square(const lower *l, node d)
{
    if (!lower_is_point(l, d) || lower_at(l, d)->op != OP_sub) return false;
    const plan_access *one = &lower_at(l, d)->in[0], *square = &lower_at(l, d)->in[1];
    if (one->mode != AT_CONST || one->value != 1 || !lower_is_point(l, square->src)) return false;
    const plan_node *q = lower_at(l, square->src);
    return q->op == OP_mul && q->in[0].src == q->in[1].src && plan_same(q, &q->in[0]) &&
           plan_same(q, &q->in[1]) && l->uses[square->src] == 1;
}

static bool all_readers_multiply(const lower *l, node d)
{
    int32_t readers = 0;

    for (int32_t i = 0; i < l->s->n; i++) {
        const plan_node *r = lower_at(l, lower_member(l, i));
        if (r->op != OP_mul || (r->in[0].src == d) == (r->in[1].src == d)) continue;
        readers += !is_one_minus_square(l, r->in[r->in[0].src == d].src);
    }
    return readers == l->uses[d];
}

static void fold_dtanh(lower *l, node n)
{
    const plan_node *v = lower_at(l, n);

    for (int k = 0; k < 2; k++) {
        const node d = v->in[k].src;
        if (!is_one_minus_square(l, d) || !all_readers_multiply(l, d)) continue;
        l->gone[d] = l->gone[lower_at(l, d)->in[1].src] = true;
        l->fold[n] = (int8_t)(k + 1);
        return;
    }
}

/* A product that only its reader needs, of two values: a product with a constant is a factor. */
static bool can_fold(const lower *l, const plan_access *a)
{
    const node u = a->src;

    if (a->mode != AT_SAME || !lower_is_point(l, u) || l->uses[u] != 1 || l->gone[u] || l->fold[u])
        return false;
    const plan_node *v = lower_at(l, u);
    return v->op == OP_mul && v->in[0].mode != AT_CONST && v->in[1].mode != AT_CONST;
}

static void fold_nodes(lower *l)
{
    for (int32_t i = 0; i < l->s->n; i++) {
        const node n = lower_member(l, i);
        if (lower_is_point(l, n) && lower_at(l, n)->op == OP_mul) fold_dtanh(l, n);
    }
    for (int32_t i = 0; i < l->s->n; i++) {
        const node n = lower_member(l, i);
        const plan_node *v = lower_at(l, n);
        const bool sums = lower_is_point(l, n) && (v->op == OP_add || v->op == OP_sub);
        if (!sums && v->cls != PN_SUM) continue;
        for (int k = v->n_in - 1; k >= 0 && !l->fold[n]; k--) {
            if (!can_fold(l, &v->in[k])) continue;
            l->gone[v->in[k].src] = true;
            l->fold[n] = (int8_t)(k + 1);
        }
    }
}

/* ---- instructions ---- */

static operand emit(lower *l, cpu_instr in, double factor)
{
    in.fn = ew_get(l->code->isa, l->s->type, in.op);
    l->g->instr[l->g->instrs++] = in;
    return (operand){.slot = in.y, .factor = factor};
}

/* Without its factor. */
static int32_t plain(lower *l, operand o)
{
    const int32_t a = lower_vector(l, o);

    if (o.constant || o.factor == 1) return a;
    return emit(l,
                (cpu_instr){
                    .op = EW_SCALE, .y = lower_reg(l), .a = a, .b = -1, .c = -1, .s = o.factor},
                1)
        .slot;
}

static void swap(operand *a, operand *b)
{
    const operand x = *a;

    *a = *b;
    *b = x;
}

static operand times(operand o, double f)
{
    if (o.constant) o.value *= f;
    else o.factor *= f;
    return o;
}

static double factor_of(operand o)
{
    return o.constant ? 1 : o.factor;
}

/* The product into y; its factors stay with it. */
static operand multiply(lower *l, operand a, operand b, int32_t y)
{
    cpu_instr in = {.op = EW_MUL, .y = y, .c = -1};

    if (a.scalar && !b.scalar) swap(&a, &b);
    in.a = lower_vector(l, a);
    if (b.scalar) in.op = EW_SMUL, in.b = lower_scalar(l, b);
    else in.b = b.slot;
    return emit(l, in, factor_of(a) * factor_of(b));
}

/* a + b into y. */
static operand add(lower *l, operand a, operand b, int32_t y)
{
    cpu_instr in = {.op = EW_ADD, .y = y, .c = -1};

    if (a.scalar && !b.scalar) swap(&a, &b);
    if (factor_of(a) == 1 && factor_of(b) != 1) swap(&a, &b);
    const double f = factor_of(a), g = factor_of(b);
    if (f == g && !a.scalar && !b.scalar) { /* f (a + b) */
        in.a = a.slot, in.b = b.slot;
        return emit(l, in, f);
    }
    if (f == 1 && g == 1 && !a.scalar) { /* b is a scalar */
        in.op = EW_SADD, in.a = a.slot, in.b = lower_scalar(l, b);
        return emit(l, in, 1);
    }
    if (f == 1 && g == -1) swap(&a, &b);
    if (factor_of(b) == 1 && factor_of(a) == -1 && !a.scalar && !b.scalar) {
        in.op = EW_SUB, in.a = b.slot, in.b = a.slot;
        return emit(l, in, 1);
    }
    in.op = EW_AXPY, in.s = factor_of(a);
    in.a = lower_vector(l, a);
    in.b = plain(l, b);
    return emit(l, in, 1);
}

/* other + sign a b into y. */
static operand add_product(lower *l, const plan_node *u, operand other, double sign, int32_t y)
{
    operand a = lower_get(l, &u->in[0]), b = lower_get(l, &u->in[1]);
    const double f = sign * factor_of(a) * factor_of(b);
    cpu_instr in = {.y = y};

    if (f != 1 && f != -1) return add(l, times(multiply(l, a, b, lower_reg(l)), sign), other, y);
    if (a.scalar && !b.scalar) swap(&a, &b);
    in.a = lower_vector(l, a);
    in.b = b.scalar ? lower_scalar(l, b) : b.slot;
    in.c = plain(l, other);
    in.op = b.scalar ? (f < 0 ? EW_SFNMA : EW_SFMA) : (f < 0 ? EW_FNMA : EW_FMA);
    return emit(l, in, 1);
}

static operand add_or_subtract(lower *l, const plan_node *v, int k, int32_t y)
{
    const double sign = v->op == OP_sub ? -1 : 1;

    if (k < 0) return add(l, lower_get(l, &v->in[0]), times(lower_get(l, &v->in[1]), sign), y);
    const plan_node *u = lower_at(l, v->in[k].src);
    const operand other = times(lower_get(l, &v->in[1 - k]), k == 0 ? sign : 1);
    return add_product(l, u, other, k == 1 ? sign : 1, y);
}

static operand dtanh(lower *l, const plan_node *v, int k, int32_t y)
{
    const plan_node *d = lower_at(l, v->in[k].src), *q = lower_at(l, d->in[1].src);
    const operand c = lower_get(l, &v->in[1 - k]);
    cpu_instr in = {.op = EW_DTANH, .y = y, .b = -1};

    in.a = plain(l, lower_get(l, &q->in[0]));
    in.c = lower_vector(l, c);
    return emit(l, in, factor_of(c));
}

static ew_op unary_op(int32_t op)
{
    switch (op) {
    case OP_exp: return EW_EXP;
    case OP_log: return EW_LOG;
    case OP_sqrt: return EW_SQRT;
    case OP_recip: return EW_RECIP;
    case OP_tanh: return EW_TANH;
    case OP_sigmoid: return EW_SIGMOID;
    case OP_softplus: return EW_SOFTPLUS;
    case OP_erf: return EW_ERF;
    case OP_step: return EW_STEP;
    case OP_sign: return EW_SIGN;
    default: return EW_COPY; /* what only says where its value is */
    }
}

static operand unary(lower *l, const plan_node *v, int32_t y)
{
    const operand a = lower_get(l, &v->in[0]);
    cpu_instr in = {.op = unary_op(v->op), .y = y, .b = -1, .c = -1};

    if (in.op == EW_COPY && a.scalar) in.op = EW_SPLAT;
    in.a = in.op == EW_SPLAT ? lower_scalar(l, a) : in.op == EW_COPY ? a.slot : plain(l, a);
    return emit(l, in, in.op == EW_SPLAT || in.op == EW_COPY ? factor_of(a) : 1);
}

/* A value that is another one times a factor. */
static bool is_factor(lower *l, const plan_node *v, operand *o)
{
    if (v->op == OP_scale) {
        *o = times(lower_get(l, &v->in[0]), graph_rec(l->p->g, v->of)->attr.f);
        return true;
    }
    if (v->op != OP_mul) return false;
    for (int k = 0; k < 2; k++)
        if (v->in[k].mode == AT_CONST) {
            *o = times(lower_get(l, &v->in[1 - k]), v->in[k].value);
            return true;
        }
    return false;
}

static operand compute(lower *l, const plan_node *v, node n, int32_t y)
{
    const int k = l->fold[n] - 1;

    if (v->op == OP_mul && k >= 0) return dtanh(l, v, k, y);
    if (v->op == OP_mul) return multiply(l, lower_get(l, &v->in[0]), lower_get(l, &v->in[1]), y);
    if (v->op == OP_add || v->op == OP_sub) return add_or_subtract(l, v, k, y);
    return unary(l, v, y);
}

/* What is kept in BF16 is written and no more: its readers are in other steps. */
static void emit_bf16(lower *l, const plan_node *v, node n)
{
    const int32_t a = plain(l, lower_get(l, &v->in[0]));

    emit(l, (cpu_instr){.op = EW_BF16, .y = lower_dense(l, n, 0), .a = a, .b = -1, .c = -1}, 1);
}

static void emit_node(lower *l, node n)
{
    const plan_node *v = lower_at(l, n);
    operand o;

    if (!lower_is_point(l, n) || l->gone[n]) return;
    if (v->type == BF16) {
        emit_bf16(l, v, n);
        return;
    }
    const bool factor = is_factor(l, v, &o);
    const int32_t y = v->kept ? lower_dense(l, n, 0) : factor ? -1 : lower_reg(l);
    if (!factor) o = compute(l, v, n, y);
    if (v->kept && (o.slot != y || o.factor != 1)) {
        const int32_t a = o.scalar ? lower_scalar(l, o) : o.slot;
        const double f = factor_of(o);
        if (o.scalar) emit(l, (cpu_instr){.op = EW_SPLAT, .y = y, .a = a, .b = -1, .c = -1}, 1);
        if (!o.scalar || f != 1)
            emit(l,
                 (cpu_instr){
                     .op = EW_SCALE, .y = y, .a = o.scalar ? y : a, .b = -1, .c = -1, .s = f},
                 1);
        o = (operand){.slot = y, .factor = 1};
    }
    l->value[n] = o;
}

static void emit_sum(lower *l, node n)
{
    const plan_node *v = lower_at(l, n);
    cpu_sum sum = {.to = v->sum, .b = -1, .scale = 1};

    if (v->cls != PN_SUM) return;
    const bool pair = l->fold[n];
    const plan_access *in = pair ? lower_at(l, v->in[0].src)->in : v->in;
    for (int k = 0; k <= (int)pair; k++) {
        const operand a = lower_get(l, &in[k]);
        const int32_t slot = v->sum == AT_COL ? plain(l, a) : lower_vector(l, a);
        if (v->sum != AT_COL) sum.scale *= factor_of(a);
        if (k == 0) sum.a = slot;
        else sum.b = slot;
    }
    sum.y = lower_slot(l, n, 0, v->sum == AT_ROW ? l->size : 0, v->sum == AT_COL ? l->size : 0);
    l->g->sum[l->g->sums++] = sum;
}

void lower_emit(lower *l)
{
    fold_nodes(l);
    for (int32_t i = 0; i < l->s->n; i++) emit_node(l, lower_member(l, i));
    for (int32_t i = 0; i < l->s->n; i++) emit_sum(l, lower_member(l, i));
}
