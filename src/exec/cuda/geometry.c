/* How many blocks and threads a call takes. A matter of the kernel and its arguments' sizes alone,
 * so that sums have the same order wherever the addresses are. 0 blocks: nothing to do. */
#include "exec/cuda/body_all.h"
#include "exec/cuda/gpu_lower.h"

enum {
    THREADS = 256,
    BLOCKS_MAX = 4096, /* of a grid that goes over elements: some for each multiprocessor */
};

static int64_t up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static int32_t for_elements(int64_t count)
{
    const int64_t blocks = up(count, THREADS);

    return (int32_t)(blocks < BLOCKS_MAX ? blocks : BLOCKS_MAX);
}

/* ---- products ---- */

typedef struct tile {
    int32_t m, n;
    size_t shared[2]; /* by type */
} tile;

#define TILE(edge_m, edge_n, name)                                                                 \
    {                                                                                              \
        edge_m, edge_n,                                                                            \
        {                                                                                          \
            sizeof(tile_shared##name##_f32), sizeof(tile_shared##name##_f64)                       \
        }                                                                                          \
    }
static const tile middle = TILE(64, 64, ), small = TILE(32, 32, _small),
                  large = TILE(128, 128, _large), narrow = TILE(128, 32, _narrow);

static const tile *tile_of(gpu_kernel k)
{
    switch (k) {
    case GPU_matmul_small: return &small;
    case GPU_matmul_large: return &large;
    case GPU_matmul_narrow: return &narrow;
    default: return &middle;
    }
}

static void for_product(gpu_call *c, int64_t batch, int64_t m, int64_t n, int64_t shares)
{
    const tile *t = tile_of(c->kernel);

    c->blocks = (int32_t)(batch * up(m, t->m) * up(n, t->n) * shares);
    c->shared = t->shared[c->type == F64];
}

static int64_t shares_of(int64_t k, int64_t each)
{
    return k > each ? up(k, each) : 1;
}

/* ---- */

void gpu_geometry(gpu_call *c)
{
    const void *args = c->args;

    c->threads = THREADS;
    c->shared = 0;
    switch (c->kernel) {
    case GPU_matmul:
    case GPU_matmul_small:
    case GPU_matmul_large:
    case GPU_matmul_narrow: {
        const matmul_args *x = args;
        for_product(c, x->batch, x->m, x->n, shares_of(x->k, x->k_each));
        break;
    }
    case GPU_move: c->blocks = for_elements(((const move_args *)args)->count); break;
    case GPU_gather: {
        const gather_args *x = args;
        c->blocks = for_elements(x->n * x->cols);
        break;
    }
    case GPU_take: c->blocks = for_elements(((const take_args *)args)->n); break;
    case GPU_cast: c->blocks = for_elements(((const cast_args *)args)->count); break;
    case GPU_iota: c->blocks = for_elements(((const iota_args *)args)->count); break;
    default: break;
    }
}
