/* A step of products and elementwise work, tile by tile. Tiles are fixed by shape; what they sum
 * is added in the order of the tiles, so results do not depend on who ran them. */
#include "base/pool.h"
#include "exec/cpu/cpu.h"
#include <string.h>

typedef struct tile {
    int64_t r0, r1, c0, c1, number, down;
    cpu_lane *lane;
} tile;

typedef struct run {
    cpu_code *code;
    const cpu_step *step;
} run;

static char *address(uintptr_t a)
{
    return (char *)a; /* NOLINT: rows and columns are counted from tile origins */
}

void cpu_bad_index(cpu_code *code, int64_t index, int64_t rows)
{
    atomic_store(&code->bad_rows, rows);
    atomic_store(&code->bad_index, index);
}

/* ---- products ---- */

static void convolve(const run *x, const cpu_gemm *g, const tile *t)
{
    const dtype type = x->step->plan->type;
    const size_t row = (size_t)x->step->cols * dtype_size(type);
    const conv_memory m = {(const void *)cpu_base(x->code, t->lane, &g->a, type),
                           x->code->scratch + g->packed,
                           (char *)cpu_base(x->code, t->lane, &g->c, type) +
                               (g->c.kind == SLOT_TILE ? 0 : (size_t)t->r0 * row)};

    conv_run(&g->conv, &m, t->r0 / g->line, t->r1 / g->line, t->lane->work);
}

static void call_gemm(const run *x, const gemm_shape *s, uintptr_t a, uintptr_t b, uintptr_t c,
                      void *work)
{
    if (x->step->plan->type == F32)
        gemm_f32(x->code->isa, s, (const float *)a, (const float *)b, (float *)c, work);
    else gemm_f64(x->code->isa, s, (const double *)a, (const double *)b, (double *)c, work);
}

/* The matrices of a batch that a tile holds. */
static void multiply_batch(const run *x, const cpu_gemm *g, const tile *t)
{
    const dtype type = x->step->plan->type;
    const size_t from = (size_t)(t->r0 / g->line), to = (size_t)(t->r1 / g->line);
    const size_t matrix = (size_t)(g->line * x->step->cols) * dtype_size(type);
    const uintptr_t a = cpu_base(x->code, t->lane, &g->a, type);
    const uintptr_t b = cpu_base(x->code, t->lane, &g->b, type);
    uintptr_t c = cpu_base(x->code, t->lane, &g->c, type);

    if (g->c.kind == SLOT_TILE) c -= from * matrix;
    for (size_t i = from; i < to; i++)
        call_gemm(x, &g->shape, a + i * g->a_matrix, b + i * g->b_matrix, c + i * matrix,
                  t->lane->work);
}

static void multiply(const run *x, const cpu_gemm *g, const tile *t)
{
    const dtype type = x->step->plan->type;
    const int64_t size = (int64_t)dtype_size(type);
    const uintptr_t a = cpu_base(x->code, t->lane, &g->a, type) + (uintptr_t)(t->r0 * g->a_row);
    const uintptr_t b = cpu_base(x->code, t->lane, &g->b, type) + (uintptr_t)(t->c0 * g->b_col);
    uintptr_t c = cpu_base(x->code, t->lane, &g->c, type);
    gemm_shape s = g->shape;

    s.m = t->r1 - t->r0, s.n = t->c1 - t->c0;
    if (g->c.kind != SLOT_TILE) c += (uintptr_t)(t->r0 * s.ldc * size + t->c0 * size);
    call_gemm(x, &s, a, b, c, t->lane->work);
}

static void run_product(const run *x, const cpu_gemm *g, const tile *t)
{
    if (g->conv.lines > 0) convolve(x, g, t);
    else if (g->line) multiply_batch(x, g, t);
    else multiply(x, g, t);
}

/* ---- loads ---- */

typedef struct block {
    int64_t rows, cols, r, c;
} block;

enum { AHEAD = 4, LINE = 64 }; /* rows of a table that are fetched before they are needed; bytes */

/* Rows come from anywhere in a large table, so no prefetcher of the processor finds them. */
static void fetch(const cpu_load *l, block b, const char *table, int64_t row, int64_t cols)
{
    const int64_t size = (int64_t)dtype_size(l->type);

    if (row < 0 || row >= l->rows) return;
    const char *first = table + (row * cols + b.c) * size;
    for (int64_t i = 0; i < b.cols * size; i += LINE) __builtin_prefetch(first + i);
}

/* y = scale a, from the type in memory. */
static void convert(const run *x, const cpu_load *l, int64_t n, void *y, const void *a)
{
    const dtype type = x->step->plan->type;
    const cpu_isa isa = x->code->isa;

    if (l->scale != 1 && l->type == U8) {
        tile_get(isa, type)->scale_u8(n, y, a, l->scale);
        return;
    }
    ew_cast(isa, l->type, type)(n, y, a);
    if (l->scale != 1) ew_get(isa, type, EW_SCALE)(n, y, y, y, y, l->scale);
}

static void gather(const run *x, const cpu_load *l, const tile *t, block b, const int32_t *index)
{
    const cpu_group *g = &x->step->group;
    const dtype type = x->step->plan->type;
    const int64_t from_size = (int64_t)dtype_size(l->type), size = (int64_t)dtype_size(type);
    const char *table = address(t->lane->base[l->a]);
    char *y = address(t->lane->at[l->y]);

    for (int64_t r = 0; r < b.rows; r++) {
        int64_t i = index[r];
        if (b.r + r + AHEAD < t->r1) fetch(l, b, table, index[r + AHEAD], g->cols);
        if (i < 0 || i >= l->rows) {
            cpu_bad_index(x->code, i, l->rows);
            i = 0;
        }
        convert(x, l, b.cols, y + r * b.cols * size, table + (i * g->cols + b.c) * from_size);
    }
}

static void load_any(const run *x, const cpu_load *l, const tile *t, block b)
{
    const dtype type = x->step->plan->type;
    const char *a = address(t->lane->at[l->a]);
    char *y = address(t->lane->at[l->y]);
    const cpu_slot *s = &x->step->group.slot[l->a];

    for (int64_t i = 0; i < b.rows * b.cols; i++) {
        const double v = dtype_get(l->type, a + i / b.cols * s->row + i % b.cols * s->col, 0);
        if (type == F32) ((float *)(void *)y)[i] = (float)v;
        else ((double *)(void *)y)[i] = v;
    }
}

static void load(const run *x, const cpu_load *l, const tile *t, block b)
{
    const dtype type = x->step->plan->type;
    const tile_fns *fns = tile_get(x->code->isa, type);
    const void *a = l->a >= 0 ? address(t->lane->at[l->a]) : NULL;
    void *y = address(t->lane->at[l->y]);
    const int32_t *index = l->index >= 0 ? (const int32_t *)t->lane->at[l->index] : NULL;

    switch (l->kind) {
    case LOAD_SPLAT: ew_get(x->code->isa, type, EW_SPLAT)(b.rows * b.cols, y, a, y, y, 0); break;
    case LOAD_COLS: fns->spread_cols(b.rows, b.cols, y, a); break;
    case LOAD_ROWS: fns->spread_rows(b.rows, b.cols, y, a); break;
    case LOAD_CAST: convert(x, l, b.rows * b.cols, y, a); break;
    case LOAD_GATHER: gather(x, l, t, b, index); break;
    case LOAD_ONEHOT: fns->onehot(b.rows, b.cols, y, index, b.c); break;
    case LOAD_ANY: load_any(x, l, t, b); break;
    }
}

/* ---- sums ---- */

static char *col_sum_at(const run *x, const cpu_sum *s, const tile *t)
{
    const cpu_group *g = &x->step->group;
    const int64_t size = (int64_t)dtype_size(x->step->plan->type);

    if (x->step->down == 1) return address(t->lane->base[s->y]);
    return x->code->partial + s->partial + t->down * g->cols * size;
}

static void sums_begin(const run *x, const tile *t)
{
    const cpu_group *g = &x->step->group;
    const size_t size = dtype_size(x->step->plan->type);

    for (int32_t i = 0; i < g->sums; i++) {
        const cpu_sum *s = &g->sum[i];
        if (s->to == AT_ONE) ((double *)(void *)(x->code->partial + s->partial))[t->number] = 0;
        if (s->to == AT_COL)
            memset(col_sum_at(x, s, t) + (size_t)t->c0 * size, 0, (size_t)(t->c1 - t->c0) * size);
    }
}

/* Rows r.. of the sub-tile, which ends them when it reaches c1. */
static void sum_rows(const run *x, const cpu_sum *s, const tile *t, block b)
{
    const dtype type = x->step->plan->type;
    double *acc = t->lane->row_sum + (s - x->step->group.sum) * x->step->group.sub_rows;
    char *y = address(t->lane->at[s->y]);

    if (b.c == t->c0) memset(acc, 0, (size_t)b.rows * sizeof *acc);
    tile_get(x->code->isa, type)
        ->row_sums(b.rows, b.cols, acc, address(t->lane->at[s->a]),
                   s->b >= 0 ? address(t->lane->at[s->b]) : NULL);
    if (b.c + b.cols < t->c1) return;
    for (int64_t r = 0; r < b.rows; r++) {
        if (type == F32) ((float *)(void *)y)[r] = (float)(s->scale * acc[r]);
        else ((double *)(void *)y)[r] = s->scale * acc[r];
    }
}

static void sum_block(const run *x, const cpu_sum *s, const tile *t, block b)
{
    const dtype type = x->step->plan->type;
    const cpu_isa isa = x->code->isa;
    const char *a = address(t->lane->at[s->a]), *c = s->b >= 0 ? address(t->lane->at[s->b]) : NULL;
    double *one = (double *)(void *)(x->code->partial + s->partial);
    const int64_t n = b.rows * b.cols;

    if (s->to == AT_ROW) sum_rows(x, s, t, b);
    else if (s->to == AT_COL)
        tile_get(isa, type)->add_rows(b.rows, b.cols,
                                      col_sum_at(x, s, t) + b.c * (int64_t)dtype_size(type), a, c);
    else one[t->number] += c ? ew_dot(isa, type)(n, a, c) : ew_sum(isa, type)(n, a);
}

/* ---- the program ---- */

static void run_block(const run *x, const tile *t, block b)
{
    const cpu_group *g = &x->step->group;
    const int64_t n = b.rows * b.cols;
    uintptr_t *at = t->lane->at;

    for (int32_t i = 0; i < g->movings; i++) {
        const cpu_slot *s = &g->slot[g->moving[i]];
        const bool local = s->kind == SLOT_TILE;
        const int64_t row = local ? b.r - t->r0 : b.r, col = local ? b.c - t->c0 : b.c;
        at[g->moving[i]] = t->lane->base[g->moving[i]] + (uintptr_t)(row * s->row + col * s->col);
    }
    for (int32_t i = 0; i < g->eachs; i++) load(x, &g->each[i], t, b);
    for (int32_t i = 0; i < g->instrs; i++) {
        const cpu_instr *in = &g->instr[i];
        in->fn(n, (void *)at[in->y], (const void *)at[in->a], (const void *)at[in->b],
               (const void *)at[in->c], in->s);
    }
    for (int32_t i = 0; i < g->sums; i++) sum_block(x, &g->sum[i], t, b);
    for (int32_t i = 0; i < g->lates; i++)
        g->late[i].fn(n, (void *)at[g->late[i].y], (const void *)at[g->late[i].a], NULL, NULL, 0);
}

static void run_program(const run *x, const tile *t)
{
    const cpu_group *g = &x->step->group;
    const dtype type = x->step->plan->type;

    for (int32_t i = 0; i < g->slots; i++) {
        t->lane->base[i] = cpu_base(x->code, t->lane, &g->slot[i], type);
        t->lane->at[i] = t->lane->base[i];
    }
    for (int32_t i = 0; i < g->onces; i++)
        load(x, &g->once[i], t, (block){g->sub_rows, g->sub_cols, 0, 0});
    sums_begin(x, t);
    for (int64_t r = t->r0; r < t->r1; r += g->sub_rows)
        for (int64_t c = t->c0; c < t->c1; c += g->sub_cols) {
            const int64_t rows = t->r1 - r < g->sub_rows ? t->r1 - r : g->sub_rows;
            const int64_t cols = t->c1 - c < g->sub_cols ? t->c1 - c : g->sub_cols;
            run_block(x, t, (block){rows, cols, r, c});
        }
}

cpu_lane *cpu_take_lane(cpu_code *code)
{
    for (int32_t i = 0;; i = i + 1 < code->lanes ? i + 1 : 0)
        if (!atomic_flag_test_and_set_explicit(&code->lane[i].taken, memory_order_acquire))
            return &code->lane[i];
}

void cpu_give_lane(cpu_lane *lane)
{
    atomic_flag_clear_explicit(&lane->taken, memory_order_release);
}

static void run_tile(void *arg, int64_t number)
{
    const run *x = arg;
    const cpu_step *s = x->step;
    const int64_t i = number / s->across, j = number % s->across;
    tile t = {.r0 = i * s->tile_rows, .c0 = j * s->tile_cols, .number = number, .down = i};

    t.r1 = i + 1 < s->down ? t.r0 + s->tile_rows : s->rows;
    t.c1 = j + 1 < s->across ? t.c0 + s->tile_cols : s->cols;
    t.lane = cpu_take_lane(x->code);
    for (int32_t k = 0; k < s->gemms; k++) run_product(x, &s->gemm[k], &t);
    if (s->down * s->across == 1)
        t.r1 = s->group.rows, t.c1 = s->group.cols; /* perhaps one long row */
    if (s->group.slots) run_program(x, &t);
    cpu_give_lane(t.lane);
}

/* ---- sums of the tiles ---- */

static void add_partials(const run *x, const cpu_sum *s)
{
    const cpu_step *c = x->step;
    const cpu_group *g = &c->group;
    const dtype type = c->plan->type;
    char *y = address(cpu_base(x->code, &x->code->lane[0], &g->slot[s->y], type));
    const double *one = (const double *)(void *)(x->code->partial + s->partial);
    double sum = 0;

    if (s->to == AT_COL && c->down > 1) {
        memset(y, 0, (size_t)g->cols * dtype_size(type));
        tile_get(x->code->isa, type)
            ->add_rows(c->down, g->cols, y, x->code->partial + s->partial, NULL);
    }
    if (s->to != AT_ONE) return;
    for (int64_t i = 0; i < c->down * c->across; i++) sum += one[i];
    if (type == F32) *(float *)(void *)y = (float)(s->scale * sum);
    else *(double *)(void *)y = s->scale * sum;
}

static void pack_weights(cpu_code *code, const cpu_step *s)
{
    for (int32_t k = 0; k < s->gemms; k++) {
        const cpu_gemm *g = &s->gemm[k];
        if (g->conv.lines == 0) continue;
        const uintptr_t w = cpu_base(code, &code->lane[0], &g->b, s->plan->type);
        conv_pack(&g->conv, (const void *)w, code->scratch + g->packed, code->lane[0].work);
    }
}

void cpu_run_group(cpu_code *code, const cpu_step *s)
{
    run x = {code, s};
    const int64_t tiles = s->down * s->across;

    pack_weights(code, s);

    if (s->spread) pool_run(code->ctx, tiles, run_tile, &x);
    else
        for (int64_t i = 0; i < tiles; i++) run_tile(&x, i);
    for (int32_t i = 0; i < s->group.sums; i++) add_partials(&x, &s->group.sum[i]);
}
