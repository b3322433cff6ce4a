/* The CPU backend: binding a plan (lowering every step, work space once), and the loop over the
 * steps. */
#include "base/pool.h"
#include "exec/cpu/cpu.h"
#include <stdlib.h>
#include <string.h>

static bool supports(int32_t op, dtype t)
{
    (void)t; /* all operations, in all types that their shape rules allow */
    return op >= 0 && op < OP_COUNT;
}

/* What still lies in a usual second-level cache, and half a millisecond of work. */
static const plan_target target = {
    .name = "cpu",
    .align = 64,
    .fuse = true,
    .tile_bytes = 512 << 10,
    .tile_macs = 24 << 20,
    .recompute_bytes = 512 << 10,
    .supports = supports,
};

/* DRMAD_ISA lowers what the processor offers. */
static drmad_status choose_isa(drmad_ctx *ctx, cpu_isa *out)
{
    const char *wish = getenv("DRMAD_ISA");

    *out = cpu_isa_best();
    if (!wish || !*wish) return DRMAD_OK;
    for (int i = 0; i < ISA_COUNT; i++)
        if (strcmp(wish, cpu_isa_name((cpu_isa)i)) == 0) {
            if (i > (int)*out)
                return FAIL(ctx, DRMAD_E_USAGE, "DRMAD_ISA: %s, but this processor has %s at most",
                            wish, cpu_isa_name(*out));
            *out = (cpu_isa)i;
            return DRMAD_OK;
        }
    return FAIL(ctx, DRMAD_E_USAGE, "DRMAD_ISA: %s, expected portable, avx2 or avx512", wish);
}

uintptr_t cpu_base(const cpu_code *code, const cpu_lane *lane, const cpu_slot *s, dtype t)
{
    const bound_memory *m = code->memory;
    const size_t number = (size_t)s->number;

    switch (s->kind) {
    case SLOT_LEAF: return (uintptr_t)m->leaf[number] + s->offset;
    case SLOT_OUT: return (uintptr_t)m->out[number] + s->offset;
    case SLOT_ARENA: return (uintptr_t)m->arena + s->offset;
    case SLOT_TILE: return (uintptr_t)lane->tiles + number * code->tile_room + s->offset;
    case SLOT_REG: return (uintptr_t)lane->regs + s->offset;
    default: break;
    }
    return t == F32 ? (uintptr_t)&code->constant_f32[number] : (uintptr_t)&code->constant[number];
}

/* ---- binding ---- */

static void most(size_t *a, size_t b)
{
    if (b > *a) *a = b;
}

static size_t round_up(size_t n)
{
    return (n + 63) / 64 * 64;
}

static size_t gemm_work(const cpu_code *code, dtype t, gemm_shape s)
{
    return t == F32 ? gemm_f32_work(code->isa, &s) : gemm_f64_work(code->isa, &s);
}

static cpu_gemm make_conv(cpu_code *code, node n, bool first, size_t *packed)
{
    const plan *p = code->plan;
    const plan_node *v = &p->node[n];
    cpu_gemm g = {.a = cpu_memory(p, v->in[0].src, v->in[0].offset),
                  .b = cpu_memory(p, v->in[1].src, v->in[1].offset),
                  .c = cpu_memory(p, v->into, 0),
                  .line = v->line,
                  .conv = cpu_conv_of(code->isa, p, n),
                  .packed = *packed};

    g.conv.acc = !first;
    *packed += round_up(g.conv.packed);
    most(&code->scratch_bytes, *packed);
    most(&code->work_bytes, g.conv.work);
    return g;
}

static cpu_gemm make_gemm(cpu_code *code, const cpu_step *c, node n, bool first)
{
    const plan *p = code->plan;
    const plan_node *v = &p->node[n];
    const node_rec *r = graph_rec(p->g, n);
    const shape *a = graph_shape(p->g, r->in[0]), *b = graph_shape(p->g, r->in[1]);
    const int64_t size = (int64_t)dtype_size(v->type);
    cpu_gemm g = {.a = cpu_memory(p, v->in[0].src, v->in[0].offset),
                  .b = cpu_memory(p, v->in[1].src, v->in[1].offset),
                  .c = cpu_memory(p, v->into, 0),
                  .line = v->line,
                  .a_matrix = (size_t)(a->dim[a->rank - 1] * a->dim[a->rank - 2] * size),
                  .b_matrix = (size_t)(b->dim[b->rank - 1] * b->dim[b->rank - 2] * size)};

    g.shape = (gemm_shape){.m = v->line ? v->line : c->tile_rows,
                           .n = c->tile_cols,
                           .k = a->dim[a->rank - (r->attr.ta ? 2 : 1)],
                           .lda = a->dim[a->rank - 1],
                           .ldb = b->dim[b->rank - 1],
                           .ta = r->attr.ta,
                           .tb = r->attr.tb,
                           .acc = !first};
    g.shape.ldc = g.c.kind == SLOT_TILE ? c->tile_cols : v->cols;
    g.a_row = (r->attr.ta ? 1 : g.shape.lda) * size;
    g.b_col = (r->attr.tb ? g.shape.ldb : 1) * size;
    for (int i = 0; i < 4; i++) { /* the last tiles are smaller */
        gemm_shape s = g.shape;
        if (i & 1 && !v->line && c->rows % c->tile_rows) s.m = c->rows % c->tile_rows;
        if (i & 2 && c->cols % c->tile_cols) s.n = c->cols % c->tile_cols;
        most(&code->work_bytes, gemm_work(code, v->type, s));
    }
    return g;
}

static drmad_status bind_gemms(cpu_code *code, cpu_step *c)
{
    const plan *p = code->plan;
    drmad_status st = mem_alloc(code->ctx, (size_t)c->plan->matmuls + 1, sizeof *c->gemm, &c->gemm);
    size_t packed = 0;

    if (st != DRMAD_OK) return st;
    for (int32_t i = 0; i < c->plan->n; i++) {
        const node n = p->order[c->plan->first + i];
        bool first = true;
        if (p->node[n].cls != PN_MATMUL) continue;
        for (int32_t j = 0; j < i; j++) {
            const plan_node *v = &p->node[p->order[c->plan->first + j]];
            first &= !(v->cls == PN_MATMUL && v->into == p->node[n].into);
        }
        c->gemm[c->gemms++] = p->node[n].op == OP_matmul ? make_gemm(code, c, n, first)
                                                         : make_conv(code, n, first, &packed);
    }
    most(&code->tile_room,
         round_up((size_t)(c->tile_rows * c->tile_cols) * dtype_size(c->plan->type)));
    most(&code->tiles, (size_t)c->plan->tiles);
    return DRMAD_OK;
}

/* Where tiles leave their sums until they are added. */
static size_t place_partials(cpu_step *c)
{
    size_t bytes = 0;

    for (int32_t i = 0; i < c->group.sums; i++) {
        cpu_sum *s = &c->group.sum[i];
        s->partial = bytes;
        if (s->to == AT_ONE) bytes += round_up((size_t)(c->down * c->across) * sizeof(double));
        if (s->to == AT_COL && c->down > 1)
            bytes += round_up((size_t)(c->down * c->group.cols) * dtype_size(c->plan->type));
    }
    return bytes;
}

static drmad_status bind_step(cpu_code *code, cpu_step *c, const plan_step *s)
{
    drmad_status st = DRMAD_OK;

    c->plan = s;
    if (s->matmuls + s->points + s->sums == 0) {
        const node n = code->plan->order[s->first];
        most(&code->scratch_bytes, cpu_plain_scratch(code->plan, s));
        if (code->plan->node[n].op == OP_conv_dw) c->conv = cpu_conv_of(code->isa, code->plan, n);
        most(&code->scratch_bytes, c->conv.sums);
        most(&code->work_bytes, c->conv.work);
        return DRMAD_OK;
    }
    c->tile_rows = s->tile_rows, c->tile_cols = s->tile_cols;
    TRY(cpu_lower(code, c));
    c->rows = s->matmuls ? s->count / (s->cols ? s->cols : 1) : c->group.rows;
    c->cols = s->matmuls ? s->cols : c->group.cols;
    if (s->count == 0 || c->tile_rows == 0 || c->tile_cols == 0)
        return DRMAD_OK; /* down = across = 0 */
    c->down = (c->rows + c->tile_rows - 1) / c->tile_rows;
    c->across = (c->cols + c->tile_cols - 1) / c->tile_cols;
    c->spread = c->down * c->across > 1 && s->macs + s->points * s->count >= CPU_SPREAD_MIN;
    TRY(bind_gemms(code, c));
    most(&code->partial_bytes, place_partials(c));
    most(&code->regs, (size_t)c->group.regs);
    most(&code->slots, (size_t)c->group.slots);
    most(&code->row_sums, (size_t)(c->group.sums * c->group.sub_rows));
done:
    return st;
}

static drmad_status make_lanes(cpu_code *code)
{
    drmad_status st = DRMAD_OK;
    const int32_t lanes = drmad_ctx_threads(code->ctx);

    TRY(mem_alloc(code->ctx, (size_t)lanes, sizeof *code->lane, &code->lane));
    code->lanes = lanes;
    for (int32_t i = 0; i < lanes; i++) {
        cpu_lane *l = &code->lane[i];
        atomic_flag_clear(&l->taken);
        TRY(mem_alloc(code->ctx, code->regs + 1, SUB_TILE_BYTES, &l->regs));
        TRY(mem_alloc(code->ctx, code->tiles + 1, code->tiles ? code->tile_room : 1, &l->tiles));
        TRY(mem_alloc(code->ctx, code->work_bytes + 1, 1, &l->work));
        TRY(mem_alloc(code->ctx, code->slots + 1, sizeof *l->base, &l->base));
        TRY(mem_alloc(code->ctx, code->slots + 1, sizeof *l->at, &l->at));
        TRY(mem_alloc(code->ctx, code->row_sums + 1, sizeof *l->row_sum, &l->row_sum));
    }
    TRY(mem_alloc(code->ctx, code->partial_bytes + 1, 1, &code->partial));
    TRY(mem_alloc(code->ctx, code->scratch_bytes + 1, 1, &code->scratch));
done:
    return st;
}

static void release(void *p)
{
    cpu_code *code = p;

    if (!code) return;
    for (int32_t i = 0; code->step && i < code->plan->steps; i++) {
        cpu_step *s = &code->step[i];
        void *const part[] = {s->gemm,       s->group.slot,  s->group.moving, s->group.once,
                              s->group.each, s->group.instr, s->group.late,   s->group.sum};
        for (size_t k = 0; k < COUNT(part); k++) mem_free(code->ctx, part[k]);
    }
    for (int32_t i = 0; i < code->lanes; i++) {
        cpu_lane *l = &code->lane[i];
        void *const part[] = {l->regs, l->tiles, l->work, l->base, l->at, l->row_sum};
        for (size_t k = 0; k < COUNT(part); k++) mem_free(code->ctx, part[k]);
    }
    void *const part[] = {code->step,         code->lane,    code->constant,
                          code->constant_f32, code->partial, code->scratch};
    for (size_t k = 0; k < COUNT(part); k++) mem_free(code->ctx, part[k]);
    mem_free(code->ctx, code);
}

static void do_nothing(void *arg, int64_t i)
{
    (void)arg, (void)i;
}

static drmad_status bind(const backend *b, drmad_ctx *ctx, const plan *p, void **out)
{
    drmad_status st = DRMAD_OK;
    cpu_code *code = NULL;

    (void)b;
    *out = NULL;
    TRY(mem_alloc(ctx, 1, sizeof *code, &code));
    code->ctx = ctx;
    code->plan = p;
    TRY(choose_isa(ctx, &code->isa));
    TRY(mem_alloc(ctx, (size_t)p->steps + 1, sizeof *code->step, &code->step));
    for (int32_t i = 0; i < p->steps; i++) TRY(bind_step(code, &code->step[i], &p->step[i]));
    TRY(make_lanes(code));
    pool_run(ctx, 2, do_nothing, NULL); /* threads are made now, not in the first run */
    *out = code, code = NULL;
done:
    release(code);
    return st;
}

/* ---- running ---- */

static drmad_status run(void *p, const bound_memory *m)
{
    cpu_code *code = p;

    code->memory = m;
    atomic_store_explicit(&code->bad_rows, 0, memory_order_relaxed);
    for (int32_t i = 0; i < code->plan->steps; i++) {
        const cpu_step *s = &code->step[i];
        if (s->plan->matmuls + s->plan->points + s->plan->sums > 0) cpu_run_group(code, s);
        else cpu_run_plain(code, s);
    }
    if (atomic_load_explicit(&code->bad_rows, memory_order_relaxed) == 0) return DRMAD_OK;
    return FAIL(code->ctx, DRMAD_E_DATA, "index %lld of a table of %lld rows",
                atomic_load(&code->bad_index), atomic_load(&code->bad_rows));
}

static size_t bytes(const void *p)
{
    const cpu_code *code = p;
    const size_t lane =
        (code->regs + 1) * SUB_TILE_BYTES + (code->tiles + 1) * code->tile_room + code->work_bytes;

    return lane * (size_t)code->lanes + code->partial_bytes + code->scratch_bytes;
}

static drmad_status alloc(const backend *b, drmad_ctx *ctx, size_t size, void **out)
{
    (void)b;
    return mem_alloc(ctx, size, 1, out);
}

static void give_back(const backend *b, drmad_ctx *ctx, void *ptr)
{
    (void)b;
    mem_free(ctx, ptr);
}

static drmad_status copy(const backend *b, drmad_ctx *ctx, copy_way way, void *to, const void *from,
                         size_t size)
{
    (void)b, (void)ctx, (void)way;
    if (from) memcpy(to, from, size);
    else memset(to, 0, size);
    return DRMAD_OK;
}

const backend backend_cpu = {
    .version = BACKEND_VERSION,
    .name = "cpu",
    .target = &target,
    .host = true,
    .arena = true,
    .bind = bind,
    .run = run,
    .release = release,
    .bytes = bytes,
    .alloc = alloc,
    .free = give_back,
    .copy = copy,
};
