/* How many blocks and threads a call takes. A matter of the kernel and its arguments' sizes alone,
 * so that sums have the same order wherever the addresses are. 0 blocks: nothing to do, drivers
 * pass the call by. */
#include "exec/cuda/kernel/body_all.h"
#include "exec/cuda/lower/gpu_lower.h"
#include "exec/cuda/lower/group_build.h"
#include "exec/cuda/lower/tile_choice.h"

enum {
    THREADS = GPU_THREADS,
    BLOCKS_MAX = 4096 /* of a grid that goes over elements: some for each multiprocessor */
};

static int64_t up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* ---- products ---- */

static const gpu_tile_info *tile_of(gpu_kernel k)
{
    switch (k) {
    case GPU_matmul_small:
    case GPU_conv_small:
    case GPU_conv_dx_small:
    case GPU_conv_dw_small: return &gpu_tiles[TILE_SMALL];
    case GPU_matmul_large:
    case GPU_conv_large:
    case GPU_conv_dx_large:
    case GPU_conv_dw_large: return &gpu_tiles[TILE_LARGE];
    case GPU_matmul_narrow:
    case GPU_conv_narrow:
    case GPU_conv_dx_narrow: return &gpu_tiles[TILE_NARROW];
    case GPU_matmul_tall:
    case GPU_conv_tall:
    case GPU_conv_dx_tall: return &gpu_tiles[TILE_TALL];
    case GPU_conv_dw_wide: return &gpu_tiles[TILE_WIDE];
    default: return &gpu_tiles[TILE_MIDDLE];
    }
}

/* `batch` products [m, k] by [k, n], k in runs of `each`. */
static void for_product(gpu_call *c, const int64_t mnk[3], int64_t batch, int64_t each)
{
    const gpu_tile_info *t = tile_of(c->kernel);
    const int64_t shares = mnk[2] > each ? up(mnk[2], each) : 1;

    c->blocks = (int32_t)(batch * up(mnk[0], t->m) * up(mnk[1], t->n) * shares);
    c->shared = t->shared[c->type == F64];
}

static void for_matmul(gpu_call *c)
{
    const matmul_args *x = (const matmul_args *)(const void *)c->args;

    for_product(c, (int64_t[]){x->m, x->n, x->k}, x->batch, x->k_each);
}

static void for_conv(gpu_call *c)
{
    const conv_args *x = (const conv_args *)(const void *)c->args;
    const window_args *v = &x->v;
    const int64_t y = v->n * v->oh * v->ow, cols = v->kh * v->kw * x->deep;

    switch (c->kernel) {
    case GPU_conv_dw:
    case GPU_conv_dw_small:
    case GPU_conv_dw_large:
    case GPU_conv_dw_wide:
        for_product(c, (int64_t[]){x->out, cols, x->k}, v->groups, x->k_each);
        break;
    case GPU_conv_dx:
    case GPU_conv_dx_small:
    case GPU_conv_dx_large:
    case GPU_conv_dx_narrow:
    case GPU_conv_dx_tall:
        for_product(c, (int64_t[]){conv_phase_rows(v), x->deep, x->k},
                    (int64_t)v->groups * v->stride_h * v->stride_w, x->k_each);
        break;
    default: for_product(c, (int64_t[]){y, x->out, x->k}, v->groups, x->k_each);
    }
}

static void for_conv_dw_few(gpu_call *c)
{
    const conv_args *x = (const conv_args *)(const void *)c->args;
    const window_args *v = &x->v;
    const int64_t shares = up(v->n * v->oh * v->ow, x->k_each);

    c->blocks = (int32_t)(up(v->o, FEW_SIDE) * (v->c / v->groups) * v->kh * v->kw *
                          (shares > 0 ? shares : 1));
    c->shared = THREADS * dtype_size(c->type);
}

/* ---- rows ---- */

static void for_rows(gpu_call *c)
{
    const rows_args *x = (const rows_args *)(const void *)c->args;

    c->blocks = (int32_t)up(x->rows, THREADS / row_lanes(x->cols));
    c->shared = c->type == F32 ? sizeof(rows_shared_f32) : sizeof(rows_shared_f64);
}

static void for_sum_any(gpu_call *c)
{
    const sum_any_args *x = (const sum_any_args *)(const void *)c->args;

    c->blocks = (int32_t)up(x->count, THREADS / row_lanes(x->terms));
    c->shared = THREADS * sizeof(double);
}

static void for_scatter(gpu_call *c)
{
    const scatter_args *x = (const scatter_args *)(const void *)c->args;
    const int64_t targets = x->by_index ? x->n : x->rows > 0 ? x->rows : 1;

    c->blocks = (int32_t)(targets * scatter_pieces(x));
    c->shared = 2 * THREADS;
}

static void for_turn(gpu_call *c)
{
    const turn_args *x = (const turn_args *)(const void *)c->args;
    int64_t blocks = 1;

    for (int32_t k = 0; k < x->rank; k++) {
        const bool edge = k == x->axis || k == x->rank - 1;
        blocks *= edge ? up(x->dim[k], TURN) : x->dim[k];
    }
    c->blocks = (int32_t)blocks;
    c->shared = (size_t)(TURN * (TURN + 1) * x->size);
}

static void for_pick(gpu_call *c)
{
    const pick_args *x = (const pick_args *)(const void *)c->args;

    c->blocks = c->kernel == GPU_offsets ? 1 : (int32_t)x->chunks;
    c->shared = 2 * THREADS * sizeof(int32_t);
}

static void for_squares(gpu_call *c)
{
    c->blocks = ((const squares_args *)(const void *)c->args)->spans * GRID_SHARES;
    c->shared = THREADS * sizeof(double);
}

/* ---- a thread an element ---- */

static int64_t elements_of(const gpu_call *c)
{
    const void *args = c->args;
    const gather_args *rows = args;
    const fold_args *fold = args;
    const window_args *v = &((const pool_args *)args)->v, *few = &((const conv_args *)args)->v;

    switch (c->kernel) {
    case GPU_move: return ((const move_args *)args)->count;
    case GPU_carry: return up(((const carry_args *)args)->bytes, CARRY_UNIT);
    case GPU_gather: return rows->n * rows->cols;
    case GPU_take: return rows->n;
    case GPU_cast: return ((const cast_args *)args)->count;
    case GPU_iota: return ((const iota_args *)args)->count;
    case GPU_uncross:
    case GPU_fall: return ((const uncross_args *)args)->total / GRID_EACH;
    case GPU_lows: return ((const lows_args *)args)->total;
    case GPU_fold: return fold->r * fold->p * fold->q;
    case GPU_conv_few: return few->n * few->oh * few->ow * few->o;
    case GPU_conv_dx_few: return few->n * few->h * few->w * few->c;
    case GPU_sumpool:
    case GPU_maxpool: return v->n * v->oh * v->ow * v->c;
    case GPU_spread:
    case GPU_put: return v->n * v->h * v->w * v->c;
    default: return ((const draw_args *)args)->count;
    }
}

static void for_elements(gpu_call *c)
{
    const int64_t blocks = up(elements_of(c), THREADS);

    c->blocks = (int32_t)(blocks < BLOCKS_MAX ? blocks : BLOCKS_MAX);
}

void gpu_geometry(gpu_call *c)
{
    c->threads = THREADS;
    c->shared = 0;
    switch (c->kernel) {
    case GPU_group:
    case GPU_sum: gpu_group_geometry(c); break;
    case GPU_matmul:
    case GPU_matmul_small:
    case GPU_matmul_large:
    case GPU_matmul_narrow:
    case GPU_matmul_tall: for_matmul(c); break;
    case GPU_conv:
    case GPU_conv_small:
    case GPU_conv_large:
    case GPU_conv_narrow:
    case GPU_conv_tall:
    case GPU_conv_dx:
    case GPU_conv_dx_small:
    case GPU_conv_dx_large:
    case GPU_conv_dx_narrow:
    case GPU_conv_dx_tall:
    case GPU_conv_dw:
    case GPU_conv_dw_small:
    case GPU_conv_dw_large:
    case GPU_conv_dw_wide: for_conv(c); break;
    case GPU_conv_dw_few: for_conv_dw_few(c); break;
    case GPU_argmax:
    case GPU_rowmax:
    case GPU_logsumexp: for_rows(c); break;
    case GPU_turn: for_turn(c); break;
    case GPU_sum_any: for_sum_any(c); break;
    case GPU_scatter: for_scatter(c); break;
    case GPU_tally:
    case GPU_offsets:
    case GPU_pick: for_pick(c); break;
    case GPU_squares: for_squares(c); break;
    default: for_elements(c);
    }
}
