/* The order of stores, and which register each value has. */
#include "exec/cuda/lower/group_build.h"

/* Does an instruction from `from` on read the memory of access x? */
static bool read_later(const group_build *b, int32_t from, int32_t x)
{
    for (int32_t i = from; i < b->instrs; i++) {
        const int32_t in[3] = {b->instr[i].a, b->instr[i].b, b->instr[i].c};
        for (int k = 0; k < 3; k++) {
            const group_access *o = in[k] < 0 ? &b->access[~in[k]] : NULL;
            if (o && o->mode != GROUP_CONST && o->at == b->access[x].at) return true;
        }
    }
    return false;
}

/* A result that would overwrite an operand too early is stored when all is read. */
void group_defer(group_build *b)
{
    const int32_t n = b->instrs;

    for (int32_t i = 0; i < n; i++) {
        group_instr *in = &b->instr[i];
        if (in->store < 0 || !read_later(b, i + 1, in->store)) continue;
        b->instr[b->instrs++] = (group_instr){
            .op = GROUP_COPY, .y = (int16_t)b->regs++, .a = in->y, .f = 1, .store = in->store};
        in->store = -1;
    }
}

/* ---- registers ---- */

static int32_t operands(const group_instr *in)
{
    switch (in->op) {
    case GROUP_ADD:
    case GROUP_MUL:
    case GROUP_SUM_PAIR: return 2;
    case GROUP_FMA: return 3;
    default: return 1;
    }
}

static int16_t *operand(group_instr *in, int32_t k)
{
    return k == 0 ? &in->a : k == 1 ? &in->b : &in->c;
}

typedef struct reg_use {
    int32_t *first, *last; /* by value: the instruction that makes it, the last that reads it, -1 */
    int16_t *reg;          /* by value */
    int16_t free[GROUP_REGS];
    int32_t frees;
} reg_use;

static void find_uses(const group_build *b, reg_use *u)
{
    for (int32_t i = 0; i < b->regs; i++) u->last[i] = -1;
    for (int32_t i = 0; i < b->instrs; i++) {
        group_instr *in = &b->instr[i];
        for (int k = 0; k < operands(in); k++)
            if (*operand(in, k) >= 0) u->last[*operand(in, k)] = i;
        if (in->op < GROUP_SUM) u->first[in->y] = i;
    }
}

/* The value that is read last of those that wait in registers while instruction i runs; -1 where
 * there are registers for all. */
static int32_t one_too_many(const group_build *b, const reg_use *u, int32_t i)
{
    int32_t n = 0, most = -1;

    for (int32_t v = 0; v < b->regs; v++) {
        if (u->first[v] >= i || u->last[v] <= i) continue;
        if (most < 0 || u->last[v] > u->last[most]) most = v;
        n++;
    }
    return n < GROUP_REGS ? -1 : most;
}

/* Value v waits in memory: where it is stored anyway, else in scratch. */
static void put_away(group_build *b, const reg_use *u, int32_t v)
{
    const size_t bytes = (size_t)b->s->count * dtype_size(b->type);
    group_instr *in = &b->instr[u->first[v]];

    if (in->store < 0) in->store = group_new_access(b, gpu_scratch(b->l, bytes), b->type);
    for (int32_t i = u->first[v] + 1; i < b->instrs; i++)
        for (int k = 0; k < operands(&b->instr[i]); k++)
            if (*operand(&b->instr[i], k) == v) *operand(&b->instr[i], k) = (int16_t)~in->store;
}

static void make_fit(group_build *b, reg_use *u)
{
    for (int32_t i = 0; i < b->instrs; i++)
        for (int32_t v; (v = one_too_many(b, u, i)) >= 0;) {
            put_away(b, u, v);
            find_uses(b, u);
        }
}

/* Operands get their registers, and lose them where this is the last read. */
static void take_operands(reg_use *u, group_instr *in, int32_t now)
{
    for (int k = 0; k < operands(in); k++) {
        const int16_t v = *operand(in, k);
        if (v < 0) continue;
        *operand(in, k) = u->reg[v];
        if (u->last[v] != now) continue;
        u->last[v] = -2; /* an instruction may read it twice */
        u->free[u->frees++] = u->reg[v];
    }
}

static void share(group_build *b, reg_use *u)
{
    for (int i = GROUP_REGS - 1; i >= 0; i--) u->free[u->frees++] = (int16_t)i;
    for (int32_t i = 0; i < b->instrs; i++) {
        group_instr *in = &b->instr[i];
        take_operands(u, in, i);
        if (in->op >= GROUP_SUM) continue;
        const int16_t v = in->y;
        in->y = u->reg[v] = u->free[--u->frees];
        if (u->last[v] == -1) u->free[u->frees++] = in->y; /* only stored */
    }
}

drmad_status group_share(group_build *b)
{
    drmad_status st = DRMAD_OK;
    drmad_ctx *ctx = b->l->ctx;
    reg_use u = {.frees = 0};

    TRY(mem_alloc(ctx, (size_t)b->regs + 1, sizeof *u.first, &u.first));
    TRY(mem_alloc(ctx, (size_t)b->regs + 1, sizeof *u.last, &u.last));
    TRY(mem_alloc(ctx, (size_t)b->regs + 1, sizeof *u.reg, &u.reg));
    find_uses(b, &u);
    make_fit(b, &u);
    share(b, &u);
done:
    mem_free(ctx, u.first);
    mem_free(ctx, u.last);
    mem_free(ctx, u.reg);
    return st;
}
