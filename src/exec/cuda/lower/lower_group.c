/* A group's points and sums to one call of `group`, and one of `sum` where a sum is spread over
 * blocks. Instructions come in the order of the nodes, each value in a register of its own; then
 * what would overwrite an operand too early is stored last; then registers are shared.
 *
 * Factors (scale, products with constants) travel with their operand until an instruction takes
 * them in, and a product that one node reads becomes part of that node's instruction. */
#include "exec/cuda/lower/group_build.h"

/* A small product: terms of an element, of all. Measured on no GPU: one loop of a thread over so
 * many terms is guessed to take no longer than the launch that it saves. */
enum { DOT_MAX = 128, DOTS_MAX = 8 << 20 };

/* ---- products ---- */

static bool is_small(const gpu_lower *l, node n)
{
    const plan_node *v = &l->plan->node[n];
    const node_rec *r = graph_rec(l->plan->g, n);

    if (v->op != OP_matmul || r->shape.rank != 2) return false;
    const int64_t k = graph_shape(l->plan->g, r->in[0])->dim[!r->attr.ta];
    return k <= DOT_MAX && k * v->count <= DOTS_MAX;
}

/* Those that add into one memory are small, or none counts as such. */
bool gpu_is_dot(const gpu_lower *l, node n)
{
    const plan *p = l->plan;
    const plan_node *v = &p->node[n];
    const plan_step *s = &p->step[v->step];

    if (v->cls != PN_MATMUL || s->points + s->sums == 0 || !is_small(l, n)) return false;
    for (int32_t i = 0; i < s->n && v->into != n; i++) {
        const node u = p->order[s->first + i];
        if (p->node[u].cls == PN_MATMUL && p->node[u].into == v->into && !is_small(l, u))
            return false;
    }
    return true;
}

/* An addition of products: does the group do it? */
static bool adds_dots(const gpu_lower *l, const plan_node *v)
{
    const node u = v->in[0].src;

    return l->plan->node[u].cls == PN_MATMUL ? gpu_is_dot(l, u) : adds_dots(l, &l->plan->node[u]);
}

/* Is its memory read by anybody else? */
static bool stays_here(const plan_node *v)
{
    return v->at.kind != PLACE_OUTPUT && v->last <= v->step;
}

/* ---- terms ---- */

const plan_node *group_at(const group_build *b, node n)
{
    return &b->l->plan->node[n];
}

static bool is_point(const group_build *b, node u)
{
    const plan_node *v = group_at(b, u);

    return v->cls == PN_POINT && &b->l->plan->step[v->step] == b->s &&
           (!v->summed || adds_dots(b->l, v));
}

/* `rows` of what is stored: no operand shares the entry, wherever that one lies. */
enum { OWN_ENTRY = -1 };

int16_t group_new_access(group_build *b, void *at, dtype type)
{
    b->access[b->accesses] =
        (group_access){.at = at, .mode = GROUP_SAME, .type = (int32_t)type, .rows = OWN_ENTRY};
    return (int16_t)b->accesses++;
}

/* What passes to its reader in this group without memory. */
static bool is_value(const group_build *b, node u)
{
    return is_point(b, u) ||
           (&b->l->plan->step[group_at(b, u)->step] == b->s && gpu_is_dot(b->l, u));
}

static int32_t add_access(group_build *b, group_access x)
{
    for (int32_t i = 0; i < b->accesses; i++) {
        const group_access *o = &b->access[i];
        if (o->at == x.at && o->index == x.index && o->mode == x.mode && o->type == x.type &&
            o->rows == x.rows)
            return ~i;
    }
    b->access[b->accesses] = x;
    return ~b->accesses++;
}

static term memory_term(group_build *b, const plan_access *a)
{
    group_access x = {.mode = (int32_t)a->mode, .type = (int32_t)a->type};

    if (a->mode != AT_ONEHOT) x.at = (void *)(uintptr_t)gpu_operand(b->l, a);
    if (a->mode == AT_GATHER) x.rows = a->rows, b->l->flags = true;
    if (a->mode == AT_GATHER || a->mode == AT_ONEHOT) x.index = gpu_index(b->l, a);
    return (term){.a = add_access(b, x), .b = NO_OPERAND, .f = 1};
}

static term get(group_build *b, const plan_access *a)
{
    if (a->mode == AT_CONST)
        return (term){.a = add_access(b, (group_access){.mode = GROUP_CONST, .value = 1}),
                      .b = NO_OPERAND,
                      .f = a->value,
                      .constant = true};
    if (a->mode == AT_SAME && a->offset == 0 && is_value(b, a->src)) return b->value[a->src];
    return memory_term(b, a);
}

static term emit(group_build *b, group_instr in)
{
    in.y = (int16_t)b->regs++;
    in.store = -1;
    b->instr[b->instrs++] = in;
    return (term){.a = in.y, .b = NO_OPERAND, .f = 1};
}

static int16_t small(int32_t operand)
{
    return (int16_t)operand;
}

/* A product as one value. */
static term solid(group_build *b, term t)
{
    if (t.b == NO_OPERAND) return t;
    return emit(b, (group_instr){.op = GROUP_MUL, .a = small(t.a), .b = small(t.b), .f = t.f});
}

/* ---- nodes ---- */

static term times(term t, double f)
{
    t.f *= f;
    return t;
}

static term multiply(group_build *b, term x, term y)
{
    if (x.constant) return times(y, x.f);
    if (y.constant) return times(x, y.f);
    x = solid(b, x), y = solid(b, y);
    return (term){.a = x.a, .b = y.a, .f = x.f * y.f};
}

static term add(group_build *b, term x, term y)
{
    if (x.b == NO_OPERAND) { /* a product is x, if there is one */
        const term z = x;
        x = y, y = z;
    }
    y = solid(b, y);
    group_instr in = {.op = GROUP_ADD, .a = small(x.a), .b = small(y.a), .f = x.f, .g = y.f};
    if (x.b != NO_OPERAND) in.op = GROUP_FMA, in.b = small(x.b), in.c = small(y.a);
    return emit(b, in);
}

/* GROUP_COPY: what only says where its value is. */
static int16_t unary_op(int32_t op)
{
    switch (op) {
    case OP_exp: return GROUP_EXP;
    case OP_log: return GROUP_LOG;
    case OP_sqrt: return GROUP_SQRT;
    case OP_recip: return GROUP_RECIP;
    case OP_tanh: return GROUP_TANH;
    case OP_sigmoid: return GROUP_SIGMOID;
    case OP_softplus: return GROUP_SOFTPLUS;
    case OP_erf: return GROUP_ERF;
    case OP_step: return GROUP_STEP;
    case OP_sign: return GROUP_SIGN;
    default: return GROUP_COPY;
    }
}

static term unary(group_build *b, const plan_node *v)
{
    const term t = get(b, &v->in[0]);
    const int16_t op = unary_op(v->op);

    if (op == GROUP_COPY) return t;
    const term x = solid(b, t);
    return emit(b, (group_instr){.op = op, .a = small(x.a), .f = x.f});
}

static term compute(group_build *b, const plan_node *v)
{
    const plan_access *in = v->in;

    switch (v->op) {
    case OP_scale: return times(get(b, &in[0]), graph_rec(b->l->plan->g, v->of)->attr.f);
    case OP_mul: return multiply(b, get(b, &in[0]), get(b, &in[1]));
    case OP_add: return add(b, get(b, &in[0]), get(b, &in[1]));
    case OP_sub: return add(b, get(b, &in[0]), times(get(b, &in[1]), -1));
    default: return unary(b, v);
    }
}

/* The last instruction's result is all that t is. */
static bool is_last(const group_build *b, term t)
{
    return b->instrs > 0 && t.b == NO_OPERAND && t.f == 1 && t.a == b->instr[b->instrs - 1].y &&
           b->instr[b->instrs - 1].op < GROUP_SUM && b->instr[b->instrs - 1].store < 0;
}

static term copy_of(group_build *b, term t)
{
    return emit(b, (group_instr){.op = GROUP_COPY, .a = small(t.a), .f = t.f});
}

/* Also into memory; gives the value as it is now known. */
static term store(group_build *b, term t, void *at, dtype type)
{
    t = solid(b, t);
    const term y = is_last(b, t) && type == b->type ? t : copy_of(b, t);
    b->instr[b->instrs - 1].store = group_new_access(b, at, type);
    return type == b->type ? y : t; /* what is kept in another type is not what it was */
}

static void build_point(group_build *b, node n)
{
    const plan_node *v = group_at(b, n);
    term t = compute(b, v);

    if (t.b != NO_OPERAND && b->uses[n] > 1) t = solid(b, t);
    const bool kept = v->kept && !(v->summed && stays_here(v));
    b->value[n] = kept ? store(b, t, gpu_result(b->l, n), v->type) : t;
}

/* ---- products ---- */

static void build_dot(group_build *b, node n)
{
    const plan_node *v = group_at(b, n);
    const node_rec *r = graph_rec(b->l->plan->g, n);
    const int64_t *x = graph_shape(b->l->plan->g, r->in[0])->dim;
    const int64_t *y = graph_shape(b->l->plan->g, r->in[1])->dim;
    const bool ta = r->attr.ta, tb = r->attr.tb;
    const group_dot d = {.a = gpu_operand(b->l, &v->in[0]),
                         .b = gpu_operand(b->l, &v->in[1]),
                         .k = x[!ta],
                         .a_row = ta ? 1 : x[1],
                         .a_k = ta ? x[1] : 1,
                         .b_k = tb ? 1 : y[1],
                         .b_col = tb ? y[1] : 1};
    group_access a = {.mode = GROUP_DOT, .type = (int32_t)b->type};

    a.at = (void *)(uintptr_t)gpu_tape(b->l, &d, sizeof d);
    term t = {.a = add_access(b, a), .b = NO_OPERAND, .f = 1};
    if (v->kept && !stays_here(v)) t = store(b, t, gpu_result(b->l, n), v->type);
    else if (b->uses[n] > 1) t = copy_of(b, t);
    b->value[n] = t;
    b->dots++;
}

/* ---- sums ---- */

static int32_t group_sum_to(const plan_node *v)
{
    return v->sum == AT_ONE ? SUM_ALL : v->sum == AT_COL ? SUM_COLS : SUM_ROWS;
}

/* A sum that there is no room for: its elements are kept, and another call adds them up. */
static void build_late_sum(group_build *b, const plan_node *v, term t, void *y)
{
    void *at = gpu_scratch(b->l, (size_t)v->count * dtype_size(b->type));

    store(b, t, at, b->type);
    group_add_item(b, (sum_item){.a = at,
                                 .y = y,
                                 .rows = b->args.rows,
                                 .cols = b->args.cols,
                                 .scale = 1,
                                 .to = group_sum_to(v)});
}

static void build_sum(group_build *b, node n)
{
    const plan_node *v = group_at(b, n);
    const term t = get(b, &v->in[0]);
    void *y = gpu_result(b->l, n);

    if (b->sums == GROUP_SUMS) {
        build_late_sum(b, v, t, y);
        return;
    }
    b->sum[b->sums] = (group_sum){.y = y, .scale = t.f, .to = group_sum_to(v)};
    group_instr in = {.op = GROUP_SUM, .y = small(b->sums++), .a = small(t.a), .f = 1, .store = -1};
    if (t.b != NO_OPERAND) in.op = GROUP_SUM_PAIR, in.b = small(t.b);
    b->instr[b->instrs++] = in;
}

/* ---- the whole ---- */

static void count_uses(group_build *b)
{
    for (int32_t i = 0; i < b->s->n; i++) {
        const plan_node *v = group_at(b, b->l->plan->order[b->s->first + i]);
        for (int k = 0; k < v->n_in && v->cls != PN_MATMUL; k++)
            if (v->in[k].src != NODE_NONE) b->uses[v->in[k].src]++;
    }
}

static drmad_status make_room(group_build *b)
{
    drmad_status st = DRMAD_OK;
    drmad_ctx *ctx = b->l->ctx;
    const size_t n = (size_t)b->s->n + 1, nodes = (size_t)b->l->plan->nodes;

    TRY(mem_alloc(ctx, nodes, sizeof *b->value, &b->value));
    TRY(mem_alloc(ctx, nodes, sizeof *b->uses, &b->uses));
    /* Of a node: its instruction, a store, that again at the end; operands, and memory for each
     * instruction. */
    TRY(mem_alloc(ctx, 3 * n, sizeof *b->instr, &b->instr));
    TRY(mem_alloc(ctx, 8 * n, sizeof *b->access, &b->access));
    TRY(mem_alloc(ctx, n, sizeof *b->item, &b->item));
done:
    return st;
}

static drmad_status send(group_build *b)
{
    group_args *a = &b->args;

    for (int32_t i = 0; i < b->instrs; i++)
        b->instr[i].f32 = (float)b->instr[i].f, b->instr[i].g32 = (float)b->instr[i].g;
    a->instr = gpu_tape(b->l, b->instr, (size_t)b->instrs * sizeof *b->instr);
    a->access = gpu_tape(b->l, b->access, (size_t)b->accesses * sizeof *b->access);
    a->sum = gpu_tape(b->l, b->sum, (size_t)b->sums * sizeof *b->sum);
    a->bad = b->l->bad;
    a->instrs = b->instrs;
    a->sums = b->sums;
    return gpu_emit(b->l, GPU_group, b->type, a, sizeof *a);
}

static drmad_status build(group_build *b)
{
    drmad_status st = DRMAD_OK;
    const node *member = b->l->plan->order + b->s->first;

    count_uses(b);
    group_shape(b);
    for (int32_t i = 0; i < b->s->n; i++) {
        if (gpu_is_dot(b->l, member[i])) build_dot(b, member[i]);
        if (is_point(b, member[i])) build_point(b, member[i]);
    }
    for (int32_t i = 0; i < b->s->n; i++)
        if (group_at(b, member[i])->cls == PN_SUM) build_sum(b, member[i]);
    group_place_sums(b);
    group_defer(b);
    TRY(group_share(b));
    if (b->instrs > 0) TRY(send(b));
done:
    return st;
}

drmad_status gpu_lower_group(gpu_lower *l, const plan_step *s)
{
    drmad_status st = DRMAD_OK;
    const dtype type = s->type == F32 ? F32 : F64; /* whole numbers are copied as doubles */
    group_build b = {.l = l, .s = s, .type = type};

    TRY(make_room(&b));
    TRY(build(&b));
    TRY(group_finish(&b));
done:
    mem_free(l->ctx, b.value);
    mem_free(l->ctx, b.uses);
    mem_free(l->ctx, b.instr);
    mem_free(l->ctx, b.access);
    mem_free(l->ctx, b.item);
    return st;
}
