/* The calls that a plan becomes on the CUDA backend, as data: how many, of which kinds, in how many
 * launches. What a step costs a small net on a GPU is mostly their number. And a hundred steps of
 * such a net. */
#include "exec/cuda/cuda.h"
#include "toy.h"

enum { ROWS = 200, WIDTH = 784, PROGRAMS = 16 };

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
    recorded r = {.calls = n, .waves = n > 0 ? calls[n - 1].wave + 1 : 0};

    for (int32_t i = 0; i < n; i += gpu_together(&calls[i], n - i)) r.launches++;
    for (int32_t i = 0; i < n; i++) r.of[calls[i].kernel]++;
    if (seen.n < PROGRAMS) seen.p[seen.n++] = r;
    return gpu_host_driver.record(g, ctx, calls, n, up, down, out);
}

/* The paper's net, 784-50-50-50-10 with tanh, in batches of 128; a penalty for each input of a
 * unit, a rate for each tensor. */
static void paper(toy *t, const unsigned char *rows, const int32_t *labels, const int32_t *list)
{
    t->layers = 4;
    memcpy(t->sizes, (const int64_t[]){WIDTH, 50, 50, 50, 10}, 5 * sizeof(int64_t));
    t->spec.dtype = F32;
    t->spec.train = (examples){.rows = rows,
                               .type = U8,
                               .n = ROWS,
                               .width = WIDTH,
                               .scale = 1.0 / 255,
                               .list = list,
                               .labels = labels,
                               .count = ROWS};
    t->valid = t->spec.train;
    t->spec.steps = t->spec.rate.steps = 1; /* else programs are of several */
    t->spec.batch = 128;
}

static const hyper_decl papers[] = {{.kind = HYPER_L2,
                                     .per = PER_UNIT_IN,
                                     .phases = 1,
                                     .transform = TRANSFORM_LOG,
                                     .low = 1e-8,
                                     .high = 1,
                                     .start = 1e-4},
                                    {.kind = HYPER_LR,
                                     .per = PER_TENSOR,
                                     .phases = 1,
                                     .transform = TRANSFORM_LOG,
                                     .low = 1e-4,
                                     .high = 1,
                                     .start = 0.1}};

/* The step is recorded first, the reverse step last. Of the step: the rows, the first layer in two
 * calls and its group, a group for each further layer, the soft-max in two, a group for each layer
 * backwards, in which those of products, sums and updates that wait for nothing are one launch. */
TEST(cuda_calls_of_the_papers_step)
{
    static unsigned char rows[ROWS * WIDTH];
    const walk_spec walk = {.trajectory = TRAJ_FULL, .stride = 1};
    int32_t labels[ROWS], list[ROWS];
    gpu_driver d = gpu_host_driver;
    backend *on = NULL;
    walk_report r;
    toy t;

    for (int i = 0; i < ROWS * WIDTH; i++) rows[i] = (unsigned char)(i * 7 % 251);
    for (int i = 0; i < ROWS; i++) labels[i] = i % 10, list[i] = i;
    d.record = record;
    CHECK_OK(test_ctx(), cuda_backend_new(test_ctx(), &d, 0, &on));
    toy_init(&t, test_ctx());
    paper(&t, rows, labels, list);
    t.spec.on = on;
    CHECK_OK(t.ctx, toy_open(&t, papers, COUNT(papers), &walk));
    CHECK_OK(t.ctx, walker_gradient(t.w, t.values, 1, &t.valid, &r, t.grad));
    CHECK(seen.n > 2 && seen.n < PROGRAMS);
    const recorded *step = &seen.p[0], *reverse = &seen.p[seen.n - 1];
    CHECK_INT(step->of[GPU_group], 19);
    CHECK_INT(step->of[GPU_matmul_small], 1);
    CHECK_INT(step->of[GPU_fold], 1);
    CHECK_INT(step->of[GPU_logsumexp], 1);
    CHECK_INT(step->calls, 22);
    CHECK_INT(step->launches, 13);
    CHECK_INT(step->waves, 13);
    CHECK_INT(reverse->of[GPU_matmul_small], 2);
    CHECK_INT(reverse->calls, 36);
    CHECK_INT(reverse->launches, 19);
    CHECK_INT(reverse->waves, 15);
    toy_close(&t);
    cuda_backend_free(on);
}

static void train(const backend *on, double *grad, int64_t *n)
{
    const walk_spec walk = {.trajectory = TRAJ_FULL, .stride = 1};
    hyper_decl decls[TOY_DECLS_MAX];
    walk_report r;
    toy t;

    toy_init(&t, test_ctx());
    t.spec.on = on;
    t.spec.steps = t.spec.rate.steps = 100;
    const int32_t count = toy_declare(&t, PER_UNIT_IN, 3, decls);
    CHECK_OK(t.ctx, toy_open(&t, decls, count, &walk));
    CHECK_OK(t.ctx, walker_gradient(t.w, t.values, 42, &t.valid, &r, t.grad));
    *n = t.s->total;
    CHECK(*n < 2000);
    memcpy(grad, t.grad, (size_t)*n * sizeof *grad);
    toy_close(&t);
}

TEST(cuda_hundred_steps_are_as_on_the_cpu)
{
    double here[2000], there[2000], most = 0;
    backend *on = NULL;
    int64_t n, m;

    CHECK_OK(test_ctx(), cuda_backend_new(test_ctx(), &gpu_host_driver, 0, &on));
    train(NULL, here, &n);
    train(on, there, &m);
    CHECK_INT(n, m);
    for (int64_t i = 0; i < n; i++) most = fmax(most, fabs(here[i]));
    for (int64_t i = 0; i < n; i++) CHECK_NEAR(there[i], here[i], 1e-10 * most);
    cuda_backend_free(on);
}
