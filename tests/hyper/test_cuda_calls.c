/* The calls that a plan becomes on the CUDA backend, as data: how many, of which kinds. What a
 * step costs a small net on a GPU is mostly their number. */
#include "exec/cuda/cuda.h"
#include "toy.h"

enum { ROWS = 200, WIDTH = 784, PROGRAMS = 8 };

typedef struct recorded {
    int32_t calls, launches, waves, of[GPU_KERNELS];
} recorded;

static struct {
    recorded p[PROGRAMS];
    int32_t n;
} seen; /* by the driver below */

static drmad_status record(gpu *g, drmad_ctx *ctx, const gpu_call *calls, int32_t n,
                           const gpu_transfer *up, const gpu_transfer *down, gpu_program **out)
{
    recorded r = {.calls = n};

    for (int32_t i = 0; i < n; i += gpu_together(&calls[i], n - i)) r.launches++;
    for (int32_t i = 0; i < n; i++) r.of[calls[i].kernel]++;
    r.waves = n > 0 ? calls[n - 1].wave + 1 : 0;
    if (seen.n < PROGRAMS) seen.p[seen.n++] = r;
    return gpu_host_driver.record(g, ctx, calls, n, up, down, out);
}

static const char *const names[GPU_KERNELS] = {
#define KERNEL(name) #name,
#include "exec/cuda/kernels.def"
#undef KERNEL
};

static void show(const char *what, const recorded *r)
{
    printf("  %s: %d calls, %d launches, %d waves:", what, r->calls, r->launches, r->waves);
    for (int k = 0; k < GPU_KERNELS; k++)
        if (r->of[k]) printf(" %d %s", r->of[k], names[k]);
    printf("\n");
}

/* The paper's net: 784-50-50-50-10 with tanh; a penalty for each input of a unit. */
TEST(cuda_calls_of_the_papers_step)
{
    static unsigned char rows[ROWS * WIDTH];
    int32_t labels[ROWS], list[ROWS];
    const walk_spec walk = {.trajectory = TRAJ_FULL, .stride = 1};
    gpu_driver d = gpu_host_driver;
    hyper_decl decls[] = {
        {.kind = HYPER_L2, .per = PER_UNIT_IN, .transform = TRANSFORM_LOG, .start = 1e-4, .low = 1e-8, .high = 1, .phases = 1},
        {.kind = HYPER_LR, .per = PER_TENSOR, .transform = TRANSFORM_LOG, .start = 0.1, .low = 1e-4, .high = 1, .phases = 1},
    };
    walk_report r;
    backend *on;
    toy t;

    for (int i = 0; i < ROWS * WIDTH; i++) rows[i] = (unsigned char)(i * 7 % 251);
    for (int i = 0; i < ROWS; i++) labels[i] = i % 10, list[i] = i;
    d.record = record;
    CHECK_OK(test_ctx(), cuda_backend_new(test_ctx(), &d, 0, &on));
    toy_init(&t, test_ctx());
    t.layers = 4;
    memcpy(t.sizes, (const int64_t[]){WIDTH, 50, 50, 50, 10}, 5 * sizeof(int64_t));
    t.spec.on = on;
    t.spec.dtype = F32;
    t.spec.train = (examples){.rows = rows, .type = U8, .n = ROWS, .width = WIDTH, .scale = 1.0 / 255, .list = list, .labels = labels, .count = ROWS};
    t.valid = t.spec.train;
    t.spec.steps = t.spec.rate.steps = 2;
    t.spec.batch = 128;
    CHECK_OK(t.ctx, toy_open(&t, decls, 2, &walk));
    CHECK_OK(t.ctx, walker_gradient(t.w, t.values, 1, &t.valid, &r, t.grad));
    for (int i = 0; i < seen.n; i++) show("program", &seen.p[i]);
    toy_close(&t);
    cuda_backend_free(on);
}
