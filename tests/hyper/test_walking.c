/* The kernel `walk` (src/exec/cuda/driver/gpu_walk.h) on whole trainings: how many launches a step
 * is with it, and that a hypergradient has the bits of single launches. */
#include "exec/cuda/driver/gpu_walk.h"
#include "gpu_driver.h"
#include "paper.h"

typedef struct launches {
    int32_t plain, grid, cluster;
} launches;

static struct {
    launches first; /* of the program that is recorded first, a training step's */
    int32_t programs;
} seen; /* by the driver below */

/* `blocks` that run at once; 0: no walk. */
static int32_t count(drmad_ctx *ctx, const gpu_call *calls, int32_t n, int32_t blocks)
{
    const gpu_walk_limits most = {blocks, 227 << 10};
    const gpu_walk_run *r;
    int32_t found = 0;
    gpu_walk w;

    CHECK_OK(ctx, gpu_walk_find(ctx, calls, n, &most, &w));
    for (int32_t i = 0; i < w.runs; i++) w.run[i].blocks = blocks;
    for (int32_t i = 0; i < n; found++)
        i += (r = gpu_walk_at(&w, i)) ? r->calls : gpu_together(&calls[i], n - i);
    gpu_walk_free(ctx, &w);
    return found;
}

static drmad_status record(gpu *g, drmad_ctx *ctx, const gpu_call *calls, int32_t n,
                           const gpu_transfer *up, const gpu_transfer *down, gpu_program **out)
{
    if (seen.programs++ == 0)
        seen.first = (launches){count(ctx, calls, n, 0), count(ctx, calls, n, 132),
                                count(ctx, calls, n, GPU_CLUSTER)};
    return gpu_test_driver()->record(g, ctx, calls, n, up, down, out);
}

/* NULL: this GPU cannot. */
static backend *open_backend(const char *word)
{
    static gpu_driver d;
    backend *on = NULL;

    d = *gpu_test_driver();
    d.record = record;
    seen.programs = 0;
    setenv("DRMAD_CUDA_WALK", word, 1);
    const drmad_status st = cuda_backend_new(test_ctx(), &d, 0, &on);
    unsetenv("DRMAD_CUDA_WALK");
    if (st == DRMAD_E_USAGE && strstr(drmad_errmsg(test_ctx()), "clusters begin")) return NULL;
    CHECK_OK(test_ctx(), st);
    return on;
}

/* Of the paper's net. Gives how many values. */
static int32_t gradient(const backend *on, int64_t steps, int64_t batch, double *grad)
{
    walk_report r;
    toy t;

    paper_open(&t, on, steps, batch);
    CHECK_OK(t.ctx, walker_gradient(t.w, t.values, 1, &t.valid, &r, t.grad));
    const int32_t n = (int32_t)t.s->total;
    CHECK(n > 0 && n <= PAPER_VALUES);
    memcpy(grad, t.grad, (size_t)n * sizeof *grad);
    toy_close(&t);
    return n;
}

TEST(walking_makes_few_launches_of_the_papers_step)
{
    backend *on = open_backend("");
    double grad[PAPER_VALUES];

    gradient(on, 1, 128, grad);
    CHECK_INT(seen.first.plain, 13);
    CHECK_INT(seen.first.grid, 1);
    CHECK_INT(seen.first.cluster, 3);
    cuda_backend_free(on);
}

TEST(walking_gives_a_hypergradient_bit_by_bit)
{
    static const char *const word[] = {"", "grid", "cluster"};
    double grad[3][PAPER_VALUES] = {{0}};
    int32_t n = 0;

    for (int i = 0; i < 3; i++) {
        backend *on = open_backend(word[i]);
        if (!on) continue;
        n = gradient(on, 10, 16, grad[i]);
        CHECK(memcmp(grad[0], grad[i], (size_t)n * sizeof **grad) == 0);
        cuda_backend_free(on);
    }
}
