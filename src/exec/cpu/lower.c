/* From a group of nodes to a program. First the shape of the sub-tile, on which it depends which operands are scalars
 * or dense as they lie; then pairs of nodes that one instruction does; then the instructions, with as many registers as
 * they need; last, results that would overwrite an operand too early go through a register, and registers are shared. */
#include "exec/cpu/cpu.h"
#include <string.h>

typedef struct lower {
    cpu_code        *code;
    const plan      *p;
    const plan_step *s;
    cpu_group       *g;
    int32_t         *slot_of; /* by node: where its value is, -1 */
    int32_t         *uses;    /* by node: reads within the step; many when it has memory */
    int8_t          *fold;    /* by node: 1 + the operand it does itself, 0 */
    bool            *gone;    /* by node: done by its reader */
    int64_t          size;    /* of an element */
    int32_t          regs;
} lower;

typedef struct operand {
    int32_t slot; /* -1: a constant without memory yet */
    bool    scalar, constant;
    double  value;
} operand;

enum { MANY = 1 << 20 };

static const plan_node *at(const lower *l, node n)
{
    return &l->p->node[n];
}

static node member(const lower *l, int32_t i)
{
    return l->p->order[l->s->first + i];
}

/* Is u a value that passes through registers here? */
static bool is_point(const lower *l, node u)
{
    return u != NODE_NONE && at(l, u)->cls == PN_POINT && !at(l, u)->summed &&
           &l->p->step[at(l, u)->step] == l->s;
}

/* ---- slots ---- */

static int32_t add_slot(lower *l, cpu_slot slot)
{
    cpu_group *g = l->g;

    for (int32_t i = 0; i < g->slots; i++) {
        const cpu_slot *o = &g->slot[i];
        if (o->kind == slot.kind && o->number == slot.number && o->offset == slot.offset && o->row == slot.row &&
            o->col == slot.col)
            return i;
    }
    g->slot[g->slots] = slot;
    return g->slots++;
}

static int32_t new_reg(lower *l)
{
    return add_slot(l, (cpu_slot){.kind = SLOT_REG, .number = l->regs++});
}

cpu_slot cpu_memory(const plan *p, node n, int64_t offset)
{
    const plan_node *v = &p->node[n];
    cpu_slot s = {.offset = (size_t)offset * dtype_size(v->type)};

    if (v->cls == PN_LEAF) {
        s.kind = SLOT_LEAF;
        s.number = (int32_t)graph_rec(p->g, n)->attr.n;
    } else if (v->at.kind == PLACE_OUTPUT) {
        s.kind = SLOT_OUT;
        s.number = v->at.number;
    } else if (v->at.kind == PLACE_TILE) {
        s.kind = SLOT_TILE;
        s.number = v->at.number;
    } else {
        s.kind = SLOT_ARENA;
        s.offset += v->at.offset;
    }
    return s;
}

static int32_t slot_at(lower *l, node n, int64_t offset, int64_t row, int64_t col)
{
    cpu_slot s = cpu_memory(l->p, n, offset);

    s.row = row, s.col = col;
    return add_slot(l, s);
}

static int32_t dense_slot(lower *l, node n, int64_t offset)
{
    const int64_t size = (int64_t)dtype_size(at(l, n)->type);
    const int64_t width = at(l, n)->at.kind == PLACE_TILE ? l->s->tile_cols : l->g->cols;

    return slot_at(l, n, offset, width * size, size);
}

/* ---- operands ---- */

static int32_t add_load(cpu_load *list, int32_t *n, cpu_load load, lower *l)
{
    for (int32_t i = 0; i < *n; i++) {
        const cpu_load *o = &list[i];
        if (o->kind == load.kind && o->mode == load.mode && o->type == load.type && o->a == load.a &&
            o->index == load.index)
            return o->y;
    }
    load.y = new_reg(l);
    list[(*n)++] = load;
    return load.y;
}

static int32_t load_once(lower *l, cpu_load load)
{
    return add_load(l->g->once, &l->g->onces, load, l);
}

static int32_t load_each(lower *l, cpu_load load)
{
    return add_load(l->g->each, &l->g->eachs, load, l);
}

/* Rows of memory with `row` and `col` elements from one to the next, in the type they have there. */
static operand broadcast(lower *l, const plan_access *a, bool row, bool col)
{
    const int64_t size = (int64_t)dtype_size(a->type);
    const int32_t slot = slot_at(l, a->src, a->offset, row ? size : 0, col ? size : 0);
    const bool flat = l->g->sub_rows == 1;
    const cpu_load load = {.mode = a->mode, .type = a->type, .a = slot, .index = -1};
    cpu_load spread = load;

    if (a->type != l->s->type) {
        spread.kind = LOAD_ANY;
        return (operand){.slot = load_each(l, spread)};
    }
    if (!row && !col) return (operand){.slot = slot, .scalar = true};
    if (flat) return (operand){.slot = slot, .scalar = row};
    spread.kind = row ? LOAD_ROWS : LOAD_COLS;
    return (operand){.slot = row ? load_each(l, spread) : load_once(l, spread)};
}

static operand gathered(lower *l, const plan_access *a)
{
    const int64_t size = (int64_t)dtype_size(a->type);
    cpu_load load = {.type = a->type, .a = -1, .rows = a->rows};

    load.index = slot_at(l, a->index, a->index_offset, (int64_t)sizeof(int32_t), 0);
    load.kind = a->mode == AT_ONEHOT ? LOAD_ONEHOT : LOAD_GATHER;
    if (a->mode == AT_GATHER) load.a = slot_at(l, a->src, a->offset, 0, size);
    return (operand){.slot = load_each(l, load)};
}

static operand get(lower *l, const plan_access *a)
{
    cpu_load load = {.kind = LOAD_CAST, .mode = a->mode, .type = a->type, .index = -1};

    switch (a->mode) {
    case AT_CONST: return (operand){.slot = -1, .scalar = true, .constant = true, .value = a->value};
    case AT_ONE: return broadcast(l, a, false, false);
    case AT_COL: return broadcast(l, a, false, true);
    case AT_ROW: return broadcast(l, a, true, false);
    case AT_GATHER:
    case AT_ONEHOT: return gathered(l, a);
    default: break;
    }
    if (is_point(l, a->src) && a->offset == 0) return (operand){.slot = l->slot_of[a->src]};
    const int32_t slot = dense_slot(l, a->src, a->offset);
    if (a->type == l->s->type) return (operand){.slot = slot};
    load.a = slot;
    return (operand){.slot = load_each(l, load)};
}

/* Room for the constants of a step is made before it is lowered. */
static int32_t scalar_slot(lower *l, operand o)
{
    int32_t number = 0;

    if (!o.constant) return o.slot;
    for (; number < l->code->constants; number++)
        if (memcmp(&l->code->constant[number], &o.value, sizeof o.value) == 0) break;
    if (number == l->code->constants) {
        l->code->constant[number] = o.value;
        l->code->constant_f32[number] = (float)o.value;
        l->code->constants++;
    }
    return add_slot(l, (cpu_slot){.kind = SLOT_CONST, .number = number});
}

static int32_t vector_slot(lower *l, operand o)
{
    if (!o.scalar) return o.slot;
    const int32_t slot = scalar_slot(l, o);
    const cpu_load load = {.kind = LOAD_SPLAT, .type = l->s->type, .a = slot, .index = -1};
    return l->g->slot[slot].row ? load_each(l, load) : load_once(l, load);
}

/* ---- one instruction for two nodes ---- */

/* 1 - a*a, read by nobody but products: c * (1 - a*a) is one instruction. */
static bool is_one_minus_square(const lower *l, node d, node *a)
{
    const plan_node *v = at(l, d);

    if (!is_point(l, d) || v->op != OP_sub) return false;
    if (v->in[0].mode != AT_CONST || v->in[0].value != 1 || !is_point(l, v->in[1].src)) return false;
    const plan_node *q = at(l, v->in[1].src);
    *a = q->in[0].src;
    return q->op == OP_mul && q->in[0].src == q->in[1].src && plan_same(q, &q->in[0]) && plan_same(q, &q->in[1]) &&
           l->uses[v->in[1].src] == 1;
}

static bool all_readers_multiply(const lower *l, node d)
{
    int32_t readers = 0;
    node a;

    for (int32_t i = 0; i < l->s->n; i++) {
        const plan_node *r = at(l, member(l, i));
        if (r->op != OP_mul || (r->in[0].src == d) == (r->in[1].src == d)) continue;
        const int other = r->in[0].src == d;
        readers += !is_one_minus_square(l, r->in[other].src, &a);
    }
    return readers == l->uses[d];
}

static void fold_dtanh(lower *l, node n)
{
    const plan_node *v = at(l, n);
    node a;

    for (int k = 0; k < 2; k++) {
        const node d = v->in[k].src;
        if (!is_one_minus_square(l, d, &a) || !all_readers_multiply(l, d)) continue;
        l->gone[d] = l->gone[at(l, d)->in[1].src] = true;
        l->fold[n] = (int8_t)(k + 1);
        return;
    }
}

/* A product or scaled value that only v reads. */
static bool can_fold(const lower *l, node u)
{
    if (!is_point(l, u) || l->uses[u] != 1 || l->gone[u] || l->fold[u]) return false;
    return at(l, u)->op == OP_mul || at(l, u)->op == OP_scale;
}

static void fold_nodes(lower *l)
{
    for (int32_t i = 0; i < l->s->n; i++)
        if (is_point(l, member(l, i)) && at(l, member(l, i))->op == OP_mul) fold_dtanh(l, member(l, i));
    for (int32_t i = 0; i < l->s->n; i++) {
        const node n = member(l, i);
        const plan_node *v = at(l, n);
        const bool add = v->op == OP_add, full = v->cls == PN_SUM && v->sum == AT_ONE;
        if (!(is_point(l, n) && (add || v->op == OP_sub)) && !full) continue;
        for (int k = full ? 0 : 1; k >= (add || full ? 0 : 1) && !l->fold[n]; k--) {
            const node u = v->in[k].src;
            if (v->in[k].mode != AT_SAME || !can_fold(l, u) || (full && at(l, u)->op != OP_mul)) continue;
            l->gone[u] = true;
            l->fold[n] = (int8_t)(k + 1);
        }
    }
}

/* ---- instructions ---- */

static void emit(lower *l, cpu_instr in)
{
    in.fn = ew_get(l->code->isa, l->s->type, in.op);
    l->g->instr[l->g->instrs++] = in;
}

static int32_t result_slot(lower *l, node n)
{
    return l->slot_of[n] = at(l, n)->kept ? dense_slot(l, n, 0) : new_reg(l);
}

static double factor(const lower *l, node n)
{
    return graph_rec(l->p->g, n)->attr.f;
}

/* other +- a*b */
static void emit_fused(lower *l, node n, int k)
{
    const plan_node *v = at(l, n), *u = at(l, v->in[k].src);
    const bool minus = v->op == OP_sub;
    cpu_instr in = {.b = -1, .c = -1};

    operand a = get(l, &u->in[0]);
    if (u->op == OP_scale) {
        in.op = EW_AXPY;
        in.a = vector_slot(l, a);
        in.b = vector_slot(l, get(l, &v->in[1 - k]));
        in.s = minus ? -factor(l, v->in[k].src) : factor(l, v->in[k].src);
    } else {
        operand b = get(l, &u->in[1]);
        const operand first = a;
        if (a.scalar && !b.scalar) a = b, b = first;
        in.op = b.scalar ? (minus ? EW_SFNMA : EW_SFMA) : (minus ? EW_FNMA : EW_FMA);
        in.a = vector_slot(l, a);
        in.b = b.scalar ? scalar_slot(l, b) : b.slot;
        in.c = vector_slot(l, get(l, &v->in[1 - k]));
    }
    in.y = result_slot(l, n);
    emit(l, in);
}

static void emit_dtanh(lower *l, node n, int k)
{
    const plan_node *v = at(l, n), *d = at(l, v->in[k].src), *q = at(l, d->in[1].src);
    cpu_instr in = {.op = EW_DTANH, .b = -1};

    in.a = vector_slot(l, get(l, &q->in[0]));
    in.c = vector_slot(l, get(l, &v->in[1 - k]));
    in.y = result_slot(l, n);
    emit(l, in);
}

static void emit_binary(lower *l, node n)
{
    const plan_node *v = at(l, n);
    operand a = get(l, &v->in[0]), b = get(l, &v->in[1]);
    cpu_instr in = {.c = -1};

    if (v->op != OP_sub && a.scalar && !b.scalar) {
        const operand first = a;
        a = b, b = first;
    }
    if (v->op == OP_sub && b.constant) b.value = -b.value;
    if (v->op == OP_sub && b.scalar && !b.constant) { /* a - b = -1 b + a */
        in.op = EW_AXPY, in.s = -1;
        in.a = vector_slot(l, b), in.b = vector_slot(l, a);
    } else if (v->op == OP_sub && a.scalar) {
        in.op = EW_AXPY, in.s = -1;
        in.a = vector_slot(l, b), in.b = vector_slot(l, a);
    } else if (b.scalar) {
        in.op = v->op == OP_mul ? EW_SMUL : EW_SADD;
        in.a = vector_slot(l, a), in.b = scalar_slot(l, b);
    } else {
        in.op = v->op == OP_mul ? EW_MUL : v->op == OP_add ? EW_ADD : EW_SUB;
        in.a = a.slot, in.b = b.slot;
    }
    in.y = result_slot(l, n);
    emit(l, in);
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
    case OP_scale: return EW_SCALE;
    default: return EW_COPY; /* what only says where its value is */
    }
}

static void emit_unary(lower *l, node n)
{
    const plan_node *v = at(l, n);
    const operand a = get(l, &v->in[0]);
    cpu_instr in = {.op = unary_op(v->op), .b = -1, .c = -1};

    if (in.op == EW_SCALE) in.s = factor(l, n);
    if (in.op == EW_COPY && a.scalar) in.op = EW_SPLAT;
    in.a = in.op == EW_SPLAT ? scalar_slot(l, a) : vector_slot(l, a);
    in.y = result_slot(l, n);
    emit(l, in);
}

static void emit_node(lower *l, node n)
{
    const plan_node *v = at(l, n);

    if (!is_point(l, n) || l->gone[n]) return;
    if (l->fold[n] && v->op == OP_mul) emit_dtanh(l, n, l->fold[n] - 1);
    else if (l->fold[n]) emit_fused(l, n, l->fold[n] - 1);
    else if (v->op == OP_add || v->op == OP_sub || v->op == OP_mul) emit_binary(l, n);
    else emit_unary(l, n);
}

static void emit_sum(lower *l, node n)
{
    const plan_node *v = at(l, n);
    cpu_sum sum = {.to = v->sum, .b = -1};

    if (v->cls != PN_SUM) return;
    if (l->fold[n]) {
        const plan_node *u = at(l, v->in[0].src);
        sum.a = vector_slot(l, get(l, &u->in[0]));
        sum.b = vector_slot(l, get(l, &u->in[1]));
    } else {
        sum.a = vector_slot(l, get(l, &v->in[0]));
    }
    sum.y = slot_at(l, n, 0, v->sum == AT_ROW ? l->size : 0, v->sum == AT_COL ? l->size : 0);
    l->g->sum[l->g->sums++] = sum;
}

/* ---- results that overwrite operands ---- */

/* Can slot y, an aliased output or taken-over memory, be the memory of slot x? */
static bool overlap(const lower *l, const cpu_slot *y, const cpu_slot *x)
{
    if (y->kind == SLOT_ARENA) return x->kind == SLOT_ARENA && x->offset == y->offset;
    return y->kind == SLOT_OUT && x->kind == SLOT_LEAF && l->p->out[y->number].alias == x->number;
}

static bool read_later(const lower *l, int32_t from, int32_t y)
{
    const cpu_group *g = l->g;

    for (int32_t i = from; i < g->instrs; i++) {
        const int32_t in[3] = {g->instr[i].a, g->instr[i].b, g->instr[i].c};
        for (int k = 0; k < 3; k++)
            if (in[k] >= 0 && in[k] != y && overlap(l, &g->slot[y], &g->slot[in[k]])) return true;
    }
    for (int32_t i = 0; i < g->sums; i++) {
        const int32_t in[2] = {g->sum[i].a, g->sum[i].b};
        for (int k = 0; k < 2; k++)
            if (in[k] >= 0 && in[k] != y && overlap(l, &g->slot[y], &g->slot[in[k]])) return true;
    }
    return false;
}

static void replace_slot(cpu_group *g, int32_t from, int32_t y, int32_t reg)
{
    for (int32_t i = from; i < g->instrs; i++) {
        cpu_instr *in = &g->instr[i];
        in->a = in->a == y ? reg : in->a;
        in->b = in->b == y ? reg : in->b;
        in->c = in->c == y ? reg : in->c;
    }
    for (int32_t i = 0; i < g->sums; i++) {
        g->sum[i].a = g->sum[i].a == y ? reg : g->sum[i].a;
        g->sum[i].b = g->sum[i].b == y ? reg : g->sum[i].b;
    }
}

static void defer_overwrites(lower *l)
{
    cpu_group *g = l->g;

    for (int32_t i = 0; i < g->instrs; i++) {
        const int32_t y = g->instr[i].y;
        if (g->slot[y].kind == SLOT_REG || !read_later(l, i + 1, y)) continue;
        const int32_t reg = new_reg(l);
        g->instr[i].y = reg;
        replace_slot(g, i + 1, y, reg);
        g->late[g->lates++] = (cpu_instr){.fn = ew_get(l->code->isa, l->s->type, EW_COPY),
                                          .op = EW_COPY, .y = y, .a = reg, .b = -1, .c = -1};
    }
}

/* ---- registers ---- */

typedef struct reg_use {
    int32_t *last; /* by slot: the last instruction that reads it */
    int32_t *free; /* registers to be had */
    int32_t  frees, regs;
} reg_use;

static void take_reg(cpu_group *g, reg_use *u, int32_t slot)
{
    if (g->slot[slot].kind == SLOT_REG) g->slot[slot].number = u->frees ? u->free[--u->frees] : u->regs++;
}

static void drop_reg(const cpu_group *g, reg_use *u, int32_t slot, int32_t now)
{
    if (slot < 0 || g->slot[slot].kind != SLOT_REG || u->last[slot] != now) return;
    u->last[slot] = -1; /* an instruction may read it twice */
    u->free[u->frees++] = g->slot[slot].number;
}

static void find_last_reads(const cpu_group *g, int32_t *last)
{
    for (int32_t i = 0; i < g->slots; i++) last[i] = -1;
    for (int32_t i = 0; i < g->instrs; i++) {
        const cpu_instr *in = &g->instr[i];
        const int32_t slot[3] = {in->a, in->b, in->c};
        for (int k = 0; k < 3; k++)
            if (slot[k] >= 0) last[slot[k]] = i;
    }
    for (int32_t i = 0; i < g->sums; i++) {
        last[g->sum[i].a] = g->instrs;
        if (g->sum[i].b >= 0) last[g->sum[i].b] = g->instrs;
    }
    for (int32_t i = 0; i < g->lates; i++) last[g->late[i].a] = g->instrs;
    for (int32_t i = 0; i < g->onces; i++) last[g->once[i].y] = g->instrs; /* they stay */
}

static drmad_status share_registers(lower *l)
{
    drmad_status st = DRMAD_OK;
    cpu_group *g = l->g;
    reg_use u = {0};

    TRY(mem_alloc(l->code->ctx, (size_t)g->slots + 1, sizeof *u.last, &u.last));
    TRY(mem_alloc(l->code->ctx, (size_t)g->slots + 1, sizeof *u.free, &u.free));
    find_last_reads(g, u.last);
    for (int32_t i = 0; i < g->onces; i++) take_reg(g, &u, g->once[i].y);
    for (int32_t i = 0; i < g->eachs; i++) take_reg(g, &u, g->each[i].y);
    for (int32_t i = 0; i < g->instrs; i++) {
        cpu_instr *in = &g->instr[i];
        drop_reg(g, &u, in->a, i);
        drop_reg(g, &u, in->b, i);
        drop_reg(g, &u, in->c, i);
        take_reg(g, &u, in->y);
        if (u.last[in->y] < 0 && g->slot[in->y].kind == SLOT_REG) u.free[u.frees++] = g->slot[in->y].number;
        in->b = in->b < 0 ? in->y : in->b;
        in->c = in->c < 0 ? in->y : in->c;
    }
    for (int32_t i = 0; i < g->lates; i++) g->late[i].b = g->late[i].c = g->late[i].y;
    g->regs = u.regs;
done:
    mem_free(l->code->ctx, u.last);
    mem_free(l->code->ctx, u.free);
    return st;
}

/* ---- the whole ---- */

static bool needs_rows(const plan *p, const plan_step *s)
{
    if (s->matmuls && s->tile_rows * s->tile_cols < s->count) return true;
    for (int32_t i = 0; i < s->n; i++) {
        const plan_node *v = &p->node[p->order[s->first + i]];
        if (v->cls == PN_SUM && v->sum != AT_ONE) return true;
        for (int k = 0; k < v->n_in && v->cls != PN_MATMUL; k++) {
            const access_mode m = v->in[k].mode;
            if (m == AT_COL || m == AT_ROW || m == AT_GATHER || m == AT_ONEHOT) return true;
        }
    }
    return false;
}

static int64_t at_most(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Iteration space, sub-tile, and the grid of tiles where no product has set it. */
static void shape_group(const plan *p, cpu_step *c)
{
    const plan_step *s = c->plan;
    cpu_group *g = &c->group;
    const int64_t room = SUB_TILE_BYTES / (int64_t)dtype_size(s->type);
    const bool rows = s->cols > 0 && needs_rows(p, s);

    g->cols = rows ? s->cols : s->count;
    g->rows = rows && s->cols ? s->count / s->cols : 1;
    const bool product = s->matmuls && rows;
    int64_t width = product ? c->tile_cols : rows ? g->cols : at_most(g->cols, CHUNK);
    if (width < 1) width = 1; /* nothing will run */
    g->sub_rows = rows && width == g->cols && 2 * width <= room ? at_most(room / width, g->rows) : 1;
    g->sub_cols = width;
    if (g->sub_rows < 1) g->sub_rows = 1;
    if (width > room) {
        const int64_t runs = (width + room - 1) / room;
        g->sub_cols = ((width + runs - 1) / runs + 15) / 16 * 16;
    }
    if (s->matmuls) return;
    c->tile_cols = width;
    c->tile_rows = !rows || width >= CHUNK ? 1 : (CHUNK / width + g->sub_rows - 1) / g->sub_rows * g->sub_rows;
}

static drmad_status make_room(cpu_code *code, cpu_group *g, size_t n)
{
    drmad_status st = DRMAD_OK;
    const size_t constants = (size_t)code->constants_room, more = (size_t)code->constants + 4 * n;

    TRY(mem_alloc(code->ctx, 12 * n, sizeof *g->slot, &g->slot));
    TRY(mem_alloc(code->ctx, 4 * n, sizeof *g->once, &g->once));
    TRY(mem_alloc(code->ctx, 4 * n, sizeof *g->each, &g->each));
    TRY(mem_alloc(code->ctx, n, sizeof *g->instr, &g->instr));
    TRY(mem_alloc(code->ctx, n, sizeof *g->late, &g->late));
    TRY(mem_alloc(code->ctx, n, sizeof *g->sum, &g->sum));
    if (more > constants) {
        TRY(mem_resize(code->ctx, &code->constant, constants, more, sizeof *code->constant));
        TRY(mem_resize(code->ctx, &code->constant_f32, constants, more, sizeof *code->constant_f32));
        code->constants_room = (int32_t)more;
    }
done:
    return st;
}

static void count_uses(lower *l)
{
    for (int32_t i = 0; i < l->s->n; i++) {
        const plan_node *v = at(l, member(l, i));
        if (v->kept) l->uses[member(l, i)] += MANY;
        for (int k = 0; k < v->n_in && v->cls != PN_MATMUL; k++)
            if (is_point(l, v->in[k].src)) l->uses[v->in[k].src]++;
    }
}

drmad_status cpu_lower(cpu_code *code, cpu_step *s)
{
    drmad_status st = DRMAD_OK;
    lower l = {.code = code, .p = code->plan, .s = s->plan, .g = &s->group, .size = (int64_t)dtype_size(s->plan->type)};
    const size_t n = (size_t)code->plan->nodes;

    TRY(make_room(code, l.g, (size_t)l.s->n + 1));
    TRY(mem_alloc(code->ctx, n, sizeof *l.slot_of, &l.slot_of));
    TRY(mem_alloc(code->ctx, n, sizeof *l.uses, &l.uses));
    TRY(mem_alloc(code->ctx, n, sizeof *l.fold, &l.fold));
    TRY(mem_alloc(code->ctx, n, sizeof *l.gone, &l.gone));
    shape_group(code->plan, s);
    count_uses(&l);
    fold_nodes(&l);
    for (int32_t i = 0; i < l.s->n; i++) emit_node(&l, member(&l, i));
    for (int32_t i = 0; i < l.s->n; i++) emit_sum(&l, member(&l, i));
    defer_overwrites(&l);
    TRY(share_registers(&l));
done:
    mem_free(code->ctx, l.slot_of);
    mem_free(code->ctx, l.uses);
    mem_free(code->ctx, l.fold);
    mem_free(code->ctx, l.gone);
    return st;
}
