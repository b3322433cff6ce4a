/* How long a product takes, by a model of few numbers:
 *
 *   Blocks go to processors in turn; GPU_BLOCKS of them share one at a time. A step of a block
 *   takes as long as its multiply-adds and what else is issued with them, by each that shares the
 *   processor, but not less than memory takes to answer once. Shares cost a second call, which
 *   waits for memory too.
 *
 * `busy` is from the machine code (bench/gpu/gpu_sass.py), ANSWER and CALL are the order of what is
 * published of such GPUs; nothing here was measured. */
#include "exec/cuda/lower/tile_choice.h"
#include "exec/cuda/kernel/body_all.h"

enum {
    ANSWER = 700,  /* clocks, from a load to a step that has used it */
    CALL = 3000,   /* from one call to the next */
    FOLD_ONCE = 4, /* loads of fold that are under way together */
    FOLD_WIDE =
        4096 /* elements that all processors add a share to in the time of one answer / 16 */
};

/* H100's and A100's: a choice is for both. */
static const int64_t processors[] = {132, 108};

#define STEPS(name)                                                                                \
    {                                                                                              \
        STEP_OF(name##_f32), STEP_OF(name##_f64)                                                   \
    }
#define STEP_OF(name)                                                                              \
    sizeof(((tile_shared##name *)0)->a[0]) / sizeof(((tile_shared##name *)0)->a[0][0])
#define BYTES(name)                                                                                \
    {                                                                                              \
        sizeof(tile_shared##name##_f32), sizeof(tile_shared##name##_f64)                           \
    }
#define BYTES_F32(name)                                                                            \
    {                                                                                              \
        sizeof(tile_shared##name##_f32), 0                                                         \
    }
#define EDGES(name) .m = tile_m##name##_f32, .n = tile_n##name##_f32, .step = STEPS(name)

const gpu_tile_info gpu_tiles[GPU_TILES] = {
    [TILE_MIDDLE] = {EDGES(), .shared = BYTES(), .busy = {.65, .57}},
    [TILE_SMALL] = {EDGES(_small), .shared = BYTES(_small), .busy = {.42, .36}},
    [TILE_LARGE] = {EDGES(_large), .shared = BYTES_F32(_large), .busy = {.8, 0}},
    [TILE_NARROW] = {EDGES(_narrow), .shared = BYTES(_narrow), .busy = {.69, .55}},
    [TILE_TALL] = {EDGES(_tall), .shared = BYTES_F32(_tall), .busy = {.74, 0}},
    [TILE_WIDE] = {EDGES(_wide), .shared = BYTES_F32(_wide), .busy = {.7, 0}},
};

static int64_t up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static double longer(double a, double b)
{
    return a > b ? a : b;
}

static double clocks_of(const gpu_product *p, dtype t, gpu_tile which, int64_t run, int64_t on)
{
    const gpu_tile_info *i = &gpu_tiles[which];
    const int64_t shares = p->k > run ? up(p->k, run) : 1, once = p->k < run ? p->k : run;
    const int64_t blocks = p->batch * up(p->m, i->m) * up(p->n, i->n) * shares;
    const int64_t most = up(blocks, on), together = most < GPU_BLOCKS ? most : GPU_BLOCKS;
    const double rate = 128 * (t == F64 ? .5 : 1) * i->busy[t == F64]; /* multiply-adds a clock */
    const double step = (double)(i->m * i->n * i->step[t == F64]) / rate;
    const double steps = (double)once / i->step[t == F64], rounds = (double)up(most, GPU_BLOCKS);
    const double one = ANSWER + steps * longer(step * (double)together, ANSWER);
    const double elements = (double)(p->batch * p->m * p->n);

    if (shares == 1) return rounds * one;
    return rounds * one + CALL + ANSWER * (double)up(shares, FOLD_ONCE) +
           elements * (double)shares / FOLD_WIDE * (ANSWER / 16.);
}

gpu_choice gpu_choose(const gpu_product *p, dtype t, uint32_t tiles)
{
    gpu_choice best = {.tile = TILE_SMALL, .run = up(p->k > 0 ? p->k : 1, 16) * 16};
    const int64_t all = best.run;
    bool any = false;

    for (int which = 0; which < GPU_TILES; which++) {
        if (!(tiles >> which & 1) || !gpu_tiles[which].shared[t == F64]) continue;
        for (int64_t shares = 1, last = 0; shares <= up(all, 32); shares += up(shares, 4)) {
            const int64_t run = up(up(all, shares), 16) * 16;
            double clocks = 0;
            if (run == last) continue;
            last = run;
            for (size_t k = 0; k < sizeof processors / sizeof *processors; k++)
                clocks += clocks_of(p, t, (gpu_tile)which, run, processors[k]);
            if (any && clocks >= best.clocks) continue;
            best = (gpu_choice){.tile = (gpu_tile)which, .run = run, .clocks = clocks};
            any = true;
        }
    }
    return best;
}
