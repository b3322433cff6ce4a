/* Steps that are neither products nor elementwise: moves with any pattern of axes, and what runs
 * over whole rows. Plain loops, but for moves, which threads share, and the soft-max sum, which
 * stands in every training step. */
#include "exec/cpu/run_plain.h"
#include <math.h>
#include <string.h>

void plain_tiles(plain *x, int64_t tiles, int64_t work, pool_tile_fn *tile)
{
    if (work >= CPU_SPREAD_MIN) pool_run(x->code->ctx, tiles, tile, x);
    else
        for (int64_t i = 0; i < tiles; i++) tile(x, i);
}

/* ---- moves: one loop over a small number of axes, innermost as a run ---- */

enum { MOVE = 16384 }; /* elements of a tile */

/* The result's element (i0, i1, ...) is the operand's at base + sum i_k step_k; both counted in
 * elements. */
typedef struct walk {
    int32_t rank;
    int64_t dim[RANK_MAX], to[RANK_MAX], from[RANK_MAX];
} walk;

static void strides(const shape *s, int64_t out[RANK_MAX])
{
    int64_t n = 1;

    for (int32_t i = s->rank - 1; i >= 0; i--) {
        out[i] = n;
        n *= s->dim[i];
    }
}

typedef void run_fn(const plain *x, int64_t n, int64_t to, int64_t to_step, int64_t from,
                    int64_t from_step);

static int64_t count_runs(const walk *w)
{
    int64_t runs = w->rank > 0 && w->dim[w->rank - 1] == 0 ? 0 : 1;

    for (int32_t k = 0; k < w->rank - 1; k++) runs *= w->dim[k];
    return runs;
}

/* Calls fn for runs first <= i < end along the last axis. */
static void walk_runs(const plain *x, const walk *w, int64_t first, int64_t end, run_fn *fn)
{
    int64_t i[RANK_MAX] = {0}, to = 0, from = 0, left = first;
    const int32_t last = w->rank - 1;

    for (int32_t k = last - 1; k >= 0; k--) {
        i[k] = left % w->dim[k], left /= w->dim[k];
        to += i[k] * w->to[k], from += i[k] * w->from[k];
    }
    for (int64_t run = first; run < end; run++) {
        int32_t k = last - 1;
        if (last < 0) fn(x, 1, to, 0, from, 0);
        else fn(x, w->dim[last], to, w->to[last], from, w->from[last]);
        for (; k >= 0 && ++i[k] == w->dim[k]; k--) {
            to -= (w->dim[k] - 1) * w->to[k], from -= (w->dim[k] - 1) * w->from[k];
            i[k] = 0;
        }
        if (k >= 0) to += w->to[k], from += w->from[k];
    }
}

static void copy_run(const plain *x, int64_t n, int64_t to, int64_t to_step, int64_t from,
                     int64_t from_step)
{
    const size_t size = x->size;
    char *y = x->out + (size_t)to * size;
    const char *a = x->in[0] + (size_t)from * size;

    if (to_step == 1 && from_step == 1) {
        memcpy(y, a, (size_t)n * size);
    } else if (size == 4) {
        for (int64_t i = 0; i < n; i++) memcpy(y + i * to_step * 4, a + i * from_step * 4, 4);
    } else {
        for (int64_t i = 0; i < n; i++)
            memcpy(y + (size_t)(i * to_step) * size, a + (size_t)(i * from_step) * size, size);
    }
}

typedef struct move {
    plain x; /* first: tiles are given a plain */
    walk w;
    int64_t runs, each; /* each: of a tile */
} move;

static void move_some(void *arg, int64_t tile)
{
    const move *m = arg;
    const int64_t first = tile * m->each, end = first + m->each;

    walk_runs(&m->x, &m->w, first, end < m->runs ? end : m->runs, copy_run);
}

static void copy_runs(const plain *x, const walk *w)
{
    const int64_t length = w->rank > 0 ? w->dim[w->rank - 1] : 1;
    move m = {.x = *x, .w = *w, .runs = count_runs(w), .each = 1};

    if (length > 0 && length < MOVE) m.each = MOVE / length;
    plain_tiles(&m.x, (m.runs + m.each - 1) / m.each, m.runs * length, move_some);
}

static void clear_some(void *arg, int64_t tile)
{
    const plain *x = arg;
    const size_t first = (size_t)tile * MOVE * x->size, left = x->v->bytes - first;

    memset(x->out + first, 0, left < MOVE * x->size ? left : MOVE * x->size);
}

static void run_permute(plain *x)
{
    walk w = {.rank = x->r->shape.rank};
    int64_t from[RANK_MAX];

    strides(&x->r->shape, w.to);
    strides(x->from, from);
    for (int32_t i = 0; i < w.rank; i++) {
        w.dim[i] = x->r->shape.dim[i];
        w.from[i] = from[x->r->attr.perm[i]];
    }
    copy_runs(x, &w);
}

/* Slice reads a part of the operand, pad writes a part of the result. */
static void run_part(plain *x)
{
    const bool pad = x->r->op == OP_pad;
    const shape *part = pad ? x->from : &x->r->shape;
    walk w = {.rank = part->rank};
    plain moved = *x;

    strides(&x->r->shape, w.to);
    strides(x->from, w.from);
    memcpy(w.dim, part->dim, sizeof w.dim);
    const size_t skip = (size_t)(x->r->attr.n * (pad ? w.to : w.from)[x->r->attr.axis]) * x->size;
    if (pad) plain_tiles(x, (x->v->size + MOVE - 1) / MOVE, x->v->size, clear_some);
    if (pad) moved.out += skip;
    else moved.in[0] += skip;
    copy_runs(&moved, &w);
}

static void run_bcast(plain *x)
{
    walk w = {.rank = x->r->shape.rank};

    strides(&x->r->shape, w.to);
    strides(x->from, w.from);
    for (int32_t i = 0; i < w.rank; i++) {
        w.dim[i] = x->r->shape.dim[i];
        if (x->from->dim[i] == 1) w.from[i] = 0;
    }
    copy_runs(x, &w);
}

/* Sums with any axes: in double, in the order of the elements. The result is walked with stride
 * 0 where it is summed. */
static void sum_run(const plain *x, int64_t n, int64_t to, int64_t to_step, int64_t from,
                    int64_t from_step)
{
    double *acc = (double *)(void *)x->code->scratch;

    for (int64_t i = 0; i < n; i++) {
        const char *a = x->in[0] + (size_t)(from + i * from_step) * x->size;
        acc[to + i * to_step] += x->v->type == F32 ? (double)*(const float *)(const void *)a
                                                   : *(const double *)(const void *)a;
    }
}

static void run_sum(plain *x)
{
    walk w = {.rank = x->from->rank};
    const double *acc = (const double *)(void *)x->code->scratch;

    strides(&x->r->shape, w.to);
    strides(x->from, w.from);
    for (int32_t i = 0; i < w.rank; i++) {
        w.dim[i] = x->from->dim[i];
        if (x->r->shape.dim[i] == 1) w.to[i] = 0;
    }
    memset(x->code->scratch, 0, (size_t)x->v->size * sizeof *acc);
    walk_runs(x, &w, 0, count_runs(&w), sum_run);
    ew_cast(x->code->isa, F64, x->v->type)(x->v->size, x->out, acc);
}

/* ---- rows by index ---- */

bool plain_good_index(const plain *x, int64_t i, int64_t rows)
{
    if (i >= 0 && i < rows) return true;
    cpu_bad_index(x->code, i, rows);
    return false;
}

static void run_gather(plain *x)
{
    const int32_t *index = (const int32_t *)(const void *)x->in[1];
    const int64_t rows = x->r->shape.dim[0];
    const size_t row = rows ? x->v->bytes / (size_t)rows : 0;

    for (int64_t i = 0; i < rows; i++)
        if (plain_good_index(x, index[i], x->from->dim[0]))
            memcpy(x->out + (size_t)i * row, x->in[0] + (size_t)index[i] * row, row);
}

static void run_scatter(plain *x)
{
    const int32_t *index = (const int32_t *)(const void *)x->in[1];
    const int64_t rows = x->from->dim[0], total = x->r->shape.dim[0];
    const size_t row = total ? x->v->bytes / (size_t)total : 0;
    ew_fn *add = ew_get(x->code->isa, x->v->type, EW_ADD);

    memset(x->out, 0, x->v->bytes);
    for (int64_t i = 0; i < rows; i++) {
        if (!plain_good_index(x, index[i], total)) continue;
        char *y = x->out + (size_t)index[i] * row;
        add((int64_t)(row / x->size), y, y, x->in[0] + (size_t)i * row, y, 0);
    }
}

/* ---- whole rows ---- */

static void run_argmax(plain *x)
{
    const int64_t rows = x->from->dim[0], cols = x->from->dim[1];
    int32_t *y = (int32_t *)(void *)x->out;

    for (int64_t r = 0; r < rows; r++) {
        int64_t best = 0;
        for (int64_t c = 1; c < cols; c++) {
            if (x->size == 4) {
                const float *a = (const float *)(const void *)x->in[0] + r * cols;
                if (a[c] > a[best]) best = c;
            } else {
                const double *a = (const double *)(const void *)x->in[0] + r * cols;
                if (a[c] > a[best]) best = c;
            }
        }
        y[r] = (int32_t)best;
    }
}

/* A long row by vectors. */
static void row_maxs(const plain *x, int64_t rows, int64_t cols, char *y, const char *a)
{
    enum { LONG = 16 };
    ew_max_fn *most = ew_max(x->code->isa, x->v->type);

    if (cols < LONG) {
        tile_get(x->code->isa, x->v->type)->row_maxs(rows, cols, y, a);
        return;
    }
    for (int64_t r = 0; r < rows; r++) {
        const double m = most(cols, a + (size_t)(r * cols) * x->size);
        if (x->v->type == F32) ((float *)(void *)y)[r] = (float)m;
        else ((double *)(void *)y)[r] = m;
    }
}

static void run_rowmax(plain *x)
{
    const int64_t cols = x->from->dim[x->from->rank - 1];

    row_maxs(x, x->v->size, cols, x->out, x->in[0]);
}

enum { LSE_BLOCK = 2048 }; /* elements at a time */

/* An infinite or NaN maximum is not subtracted: inf - inf would make NaN of an infinite result. */
static void drop_infinite(dtype t, int64_t n, void *m)
{
    float *f = m;
    double *d = m;

    for (int64_t i = 0; i < n; i++) {
        if (t == F32 && !isfinite(f[i])) f[i] = 0;
        if (t == F64 && !isfinite(d[i])) d[i] = 0;
    }
}

/* log sum exp x = m + log sum exp(x - m), m = max x: rows of a block together, so that exp and
 * log run long. */
static void lse_block(plain *x, int64_t rows, int64_t cols, const char *a, char *y)
{
    const dtype t = x->v->type;
    const cpu_isa isa = x->code->isa;
    const tile_fns *fns = tile_get(isa, t);
    char *e = x->code->scratch, *m = e + (size_t)(rows * cols) * x->size;
    double *sum =
        (double *)(void *)(x->code->scratch + (size_t)(rows * cols + rows + 8) / 8 * 8 * x->size);

    row_maxs(x, rows, cols, m, a);
    drop_infinite(t, rows, m);
    fns->minus_rows(rows, cols, e, a, m);
    ew_get(isa, t, EW_EXP)(rows * cols, e, e, e, e, 0);
    memset(sum, 0, (size_t)rows * sizeof *sum);
    fns->row_sums(rows, cols, sum, e, NULL);
    ew_cast(isa, F64, t)(rows, y, sum);
    ew_get(isa, t, EW_LOG)(rows, y, y, y, y, 0);
    ew_get(isa, t, EW_ADD)(rows, y, y, m, y, 0);
}

static void run_logsumexp(plain *x)
{
    const int64_t cols = x->from->dim[x->from->rank - 1], rows = x->v->size;
    const int64_t block = cols < LSE_BLOCK && cols > 0 ? LSE_BLOCK / cols : 1;

    for (int64_t r = 0; r < rows; r += block)
        lse_block(x, rows - r < block ? rows - r : block, cols,
                  x->in[0] + (size_t)(r * cols) * x->size, x->out + (size_t)r * x->size);
}

static void run_cast(plain *x)
{
    ew_cast(x->code->isa, graph_dtype(x->p->g, x->r->in[0]), x->v->type)(x->v->size, x->out,
                                                                         x->in[0]);
}

size_t cpu_plain_scratch(const plan *p, const plan_step *s)
{
    const plan_node *v = &p->node[p->order[s->first]];
    const node_rec *r = graph_rec(p->g, p->order[s->first]);

    if (v->op == OP_sum) return (size_t)v->size * sizeof(double);
    if (v->op != OP_logsumexp) return 0;
    const shape *from = graph_shape(p->g, r->in[0]);
    const size_t cols = (size_t)from->dim[from->rank - 1];
    const size_t e = cols > LSE_BLOCK ? cols : LSE_BLOCK;
    return (e + LSE_BLOCK + 16) * sizeof(double) + LSE_BLOCK * sizeof(double);
}

void cpu_run_plain(cpu_code *code, const cpu_step *s)
{
    static void (*const run[OP_COUNT])(plain *) = {
        [OP_permute] = run_permute,
        [OP_slice] = run_part,
        [OP_pad] = run_part,
        [OP_bcast] = run_bcast,
        [OP_sum] = run_sum,
        [OP_gather] = run_gather,
        [OP_cast] = run_cast,
        [OP_scatter_add] = run_scatter,
        [OP_argmax] = run_argmax,
        [OP_rowmax] = run_rowmax,
        [OP_logsumexp] = run_logsumexp,
        [OP_conv_dw] = plain_conv_dw,
        [OP_sumpool] = plain_pool,
        [OP_spread] = plain_pool,
        [OP_maxpool_arg] = plain_pool,
        [OP_take] = plain_take,
        [OP_put] = plain_put,
        [OP_uniform] = plain_draw,
        [OP_normal] = plain_draw,
        [OP_iota] = plain_iota,
    };
    const plan *p = code->plan;
    const node n = p->order[s->plan->first];
    const plan_node *v = &p->node[n];
    plain x = {.code = code,
               .p = p,
               .r = graph_rec(p->g, n),
               .v = v,
               .size = dtype_size(v->type),
               .conv = &s->conv,
               .macs = s->plan->macs};

    x.from = graph_shape(p->g, x.r->in[0]);
    if (v->op == OP_argmax) x.size = dtype_size(graph_dtype(p->g, x.r->in[0]));
    for (int k = 0; k < v->n_in && k < 2; k++) {
        const cpu_slot in = cpu_memory(p, v->in[k].src, v->in[k].offset);
        x.in[k] = (const char *)cpu_base(code, &code->lane[0], &in, v->type);
    }
    const cpu_slot out = cpu_memory(p, n, 0);
    x.out = (char *)cpu_base(code, &code->lane[0], &out, v->type);
    run[v->op](&x);
}
