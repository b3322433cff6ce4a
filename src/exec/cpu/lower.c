/* From a group of nodes to a program. First the shape of the sub-tile, on which it depends which
 * operands are scalars or dense as they lie; then the instructions (lower_emit.c); then results
 * that would overwrite an operand too early go through a register; last, registers are shared. */
#include "exec/cpu/lower.h"

enum { MANY = 1 << 20, LONG = 256 << 10 /* bytes */ };

const plan_node *lower_at(const lower *l, node n)
{
    return &l->p->node[n];
}

node lower_member(const lower *l, int32_t i)
{
    return l->p->order[l->s->first + i];
}

bool lower_is_point(const lower *l, node u)
{
    return u != NODE_NONE && lower_at(l, u)->cls == PN_POINT && !lower_at(l, u)->summed &&
           &l->p->step[lower_at(l, u)->step] == l->s;
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

/* How often slot y is read, at most 2. */
static int32_t count_reads(const cpu_group *g, int32_t y)
{
    int32_t n = 0;

    for (int32_t i = 0; i < g->instrs; i++)
        n += g->instr[i].a == y || g->instr[i].b == y || g->instr[i].c == y;
    for (int32_t i = 0; i < g->sums; i++) n += g->sum[i].a == y || g->sum[i].b == y;
    return n;
}

/* A load that is only scaled or copied to where it is wanted goes there itself: how a batch of
 * bytes becomes numbers in one pass. */
static void shorten_loads(lower *l)
{
    cpu_group *g = l->g;

    for (int32_t i = 0; i < g->eachs; i++) {
        cpu_load *load = &g->each[i];
        if (load->kind != LOAD_CAST && load->kind != LOAD_GATHER) continue;
        if (count_reads(g, load->y) != 1) continue;
        int32_t k = 0;
        while (k < g->instrs && g->instr[k].a != load->y) k++;
        if (k == g->instrs) continue;
        const cpu_instr in = g->instr[k];
        if ((in.op != EW_SCALE && in.op != EW_COPY) || read_later(l, 0, in.y)) continue;
        load->y = in.y;
        load->scale = in.op == EW_SCALE ? in.s : 1;
        for (g->instrs--; k < g->instrs; k++) g->instr[k] = g->instr[k + 1];
    }
}

static void defer_overwrites(lower *l)
{
    cpu_group *g = l->g;

    for (int32_t i = 0; i < g->instrs; i++) {
        const int32_t y = g->instr[i].y;
        if (g->slot[y].kind == SLOT_REG || !read_later(l, i + 1, y)) continue;
        const int32_t reg = lower_reg(l);
        g->instr[i].y = reg;
        replace_slot(g, i + 1, y, reg);
        g->late[g->lates++] = (cpu_instr){.fn = ew_get(l->code->isa, l->s->type, EW_COPY),
                                          .op = EW_COPY,
                                          .y = y,
                                          .a = reg,
                                          .b = -1,
                                          .c = -1};
    }
}

/* ---- registers ---- */

typedef struct reg_use {
    int32_t *last; /* by slot: the last instruction that reads it */
    int32_t *free; /* registers to be had */
    int32_t frees, regs;
} reg_use;

static void take_reg(cpu_group *g, reg_use *u, int32_t slot)
{
    if (g->slot[slot].kind == SLOT_REG)
        g->slot[slot].number = u->frees ? u->free[--u->frees] : u->regs++;
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
        if (u.last[in->y] < 0 && g->slot[in->y].kind == SLOT_REG)
            u.free[u.frees++] = g->slot[in->y].number;
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
    const int64_t size = (int64_t)dtype_size(s->type);
    /* Long arrays pass through the first-level cache beside the registers: half as much of each. */
    const int64_t room = SUB_TILE_BYTES / size / (s->count * size > LONG ? 2 : 1);
    const bool rows = s->cols > 0 && needs_rows(p, s);

    g->cols = rows ? s->cols : s->count;
    g->rows = rows && s->cols ? s->count / s->cols : 1;
    const bool product = s->matmuls && rows;
    int64_t width = product ? c->tile_cols : rows ? g->cols : at_most(g->cols, CHUNK);
    if (width < 1) width = 1; /* nothing will run */
    g->sub_rows =
        rows && width == g->cols && 2 * width <= room ? at_most(room / width, g->rows) : 1;
    g->sub_cols = width;
    if (g->sub_rows < 1) g->sub_rows = 1;
    if (width > room) {
        const int64_t runs = (width + room - 1) / room;
        g->sub_cols = ((width + runs - 1) / runs + 15) / 16 * 16;
    }
    if (s->matmuls) return;
    c->tile_cols = width;
    c->tile_rows =
        !rows || width >= CHUNK ? 1 : (CHUNK / width + g->sub_rows - 1) / g->sub_rows * g->sub_rows;
}

static drmad_status make_room(cpu_code *code, cpu_group *g, size_t n)
{
    drmad_status st = DRMAD_OK;
    const size_t constants = (size_t)code->constants_room, more = (size_t)code->constants + 4 * n;

    TRY(mem_alloc(code->ctx, 16 * n, sizeof *g->slot, &g->slot));
    TRY(mem_alloc(code->ctx, 16 * n, sizeof *g->moving, &g->moving));
    TRY(mem_alloc(code->ctx, 4 * n, sizeof *g->once, &g->once));
    TRY(mem_alloc(code->ctx, 4 * n, sizeof *g->each, &g->each));
    TRY(mem_alloc(code->ctx, 4 * n, sizeof *g->instr, &g->instr));
    TRY(mem_alloc(code->ctx, 4 * n, sizeof *g->late, &g->late));
    TRY(mem_alloc(code->ctx, n, sizeof *g->sum, &g->sum));
    if (more > constants) {
        TRY(mem_resize(code->ctx, &code->constant, constants, more, sizeof *code->constant));
        TRY(mem_resize(code->ctx, &code->constant_f32, constants, more,
                       sizeof *code->constant_f32));
        code->constants_room = (int32_t)more;
    }
done:
    return st;
}

static void count_uses(lower *l)
{
    for (int32_t i = 0; i < l->s->n; i++) {
        const plan_node *v = lower_at(l, lower_member(l, i));
        if (v->kept) l->uses[lower_member(l, i)] += MANY;
        for (int k = 0; k < v->n_in && v->cls != PN_MATMUL; k++)
            if (lower_is_point(l, v->in[k].src)) l->uses[v->in[k].src]++;
    }
}

/* Registers lie close together: apart by a power of two they would share few sets of the cache. */
static void place_slots(const lower *l)
{
    cpu_group *g = l->g;
    const size_t bytes = (size_t)(g->sub_rows * g->sub_cols * l->size + 63) / 64 * 64;

    for (int32_t i = 0; i < g->slots; i++) {
        cpu_slot *s = &g->slot[i];
        if (s->row || s->col) g->moving[g->movings++] = i;
        if (s->kind == SLOT_REG) s->offset = (size_t)s->number * bytes;
    }
}

drmad_status cpu_lower(cpu_code *code, cpu_step *s)
{
    drmad_status st = DRMAD_OK;
    lower l = {.code = code,
               .p = code->plan,
               .s = s->plan,
               .g = &s->group,
               .size = (int64_t)dtype_size(s->plan->type)};
    const size_t n = (size_t)code->plan->nodes;

    TRY(make_room(code, l.g, (size_t)l.s->n + 1));
    TRY(mem_alloc(code->ctx, n, sizeof *l.value, &l.value));
    TRY(mem_alloc(code->ctx, n, sizeof *l.uses, &l.uses));
    TRY(mem_alloc(code->ctx, n, sizeof *l.fold, &l.fold));
    TRY(mem_alloc(code->ctx, n, sizeof *l.gone, &l.gone));
    shape_group(code->plan, s);
    count_uses(&l);
    lower_emit(&l);
    shorten_loads(&l);
    defer_overwrites(&l);
    TRY(share_registers(&l));
    place_slots(&l);
done:
    mem_free(code->ctx, l.value);
    mem_free(code->ctx, l.uses);
    mem_free(code->ctx, l.fold);
    mem_free(code->ctx, l.gone);
    return st;
}
