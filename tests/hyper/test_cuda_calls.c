/* The calls that a plan becomes on the CUDA backend, as data: how many, of which kinds, in how many
 * launches; and how often the host launches. What a step costs a small net on a GPU is mostly their
 * number. And a hundred steps of such a net. */
#include "exec/cuda/cuda.h"
#include "hyper/walker.h"
#include "paper.h"

enum { PROGRAMS = 64 };

typedef struct recorded {
    int32_t calls, launches, waves, of[GPU_KERNELS];
} recorded;

static struct {
    recorded p[PROGRAMS];
    int32_t n, runs, copies;
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

static drmad_status run(gpu *g, drmad_ctx *ctx, gpu_program *p)
{
    seen.runs++;
    return gpu_host_driver.run(g, ctx, p);
}

static drmad_status copy(gpu *g, drmad_ctx *ctx, copy_way way, void *to, const void *from,
                         size_t bytes)
{
    seen.copies++;
    return gpu_host_driver.copy(g, ctx, way, to, from, bytes);
}

static backend *counted(void)
{
    static gpu_driver d;
    backend *on = NULL;

    d = gpu_host_driver;
    d.record = record, d.run = run, d.copy = copy;
    memset(&seen, 0, sizeof seen);
    CHECK_OK(test_ctx(), cuda_backend_new(test_ctx(), &d, 0, &on));
    return on;
}

/* The step is recorded first, the reverse step last. Of the step: the rows, the first layer in two
 * calls and its group, a group for each further layer, the soft-max in two, a group for each layer
 * backwards, in which those of products, sums and updates that wait for nothing are one launch. The
 * reverse step has a call more, which brings the states to their places. */
TEST(cuda_calls_of_the_papers_step)
{
    backend *on = counted();
    walk_report r;
    toy t;

    paper_open(&t, on, 1, 128); /* of more steps programs are of several */
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
    CHECK_INT(reverse->of[GPU_carry], 1);
    CHECK_INT(reverse->calls, 37);
    CHECK_INT(reverse->launches, 20);
    CHECK_INT(reverse->waves, 16);
    toy_close(&t);
    cuda_backend_free(on);
}

/* ---- whole runs ---- */

/* A problem of all kinds of hyperparameters, in three phases. */
static void open_toy(toy *t, const backend *on, int64_t steps, traj_kind kind)
{
    const walk_spec walk = {.trajectory = kind, .stride = 1};
    hyper_decl decls[TOY_DECLS_MAX];

    toy_init(t, test_ctx());
    t->spec.on = on;
    t->spec.steps = t->spec.rate.steps = steps;
    const int32_t count = toy_declare(t, PER_UNIT_IN, 3, decls);
    CHECK_OK(t->ctx, toy_open(t, decls, count, &walk));
}

static void train(const backend *on, int64_t steps, traj_kind kind, double *grad, int64_t *n)
{
    walk_report r;
    toy t;

    open_toy(&t, on, steps, kind);
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
    train(NULL, 100, TRAJ_FULL, here, &n);
    train(on, 100, TRAJ_FULL, there, &m);
    CHECK_INT(n, m);
    for (int64_t i = 0; i < n; i++) most = fmax(most, fabs(here[i]));
    for (int64_t i = 0; i < n; i++) CHECK_NEAR(there[i], here[i], 1e-10 * most);
    cuda_backend_free(on);
}

/* Also where the steps do not fill the batches. */
TEST(cuda_gradients_have_the_same_bits_run_by_run)
{
    static const traj_kind kinds[] = {TRAJ_FULL, TRAJ_REPLAY, TRAJ_GRID};
    double got[2][2000];
    int64_t n;

    for (size_t k = 0; k < COUNT(kinds); k++)
        for (int64_t steps = 13; steps <= 43; steps += 30) {
            int32_t runs[2];
            for (int alone = 0; alone < 2; alone++) {
                backend *on = counted();
                if (alone) on->wait = NULL;
                train(on, steps, kinds[k], got[alone], &n);
                runs[alone] = seen.runs;
                cuda_backend_free(on);
            }
            CHECK(memcmp(got[0], got[1], (size_t)n * sizeof **got) == 0);
            CHECK(kinds[k] == TRAJ_GRID || runs[0] < runs[1]);
        }
}

typedef struct launched {
    int32_t runs, copies;
} launched;

static launched since(launched before)
{
    return (launched){seen.runs - before.runs, seen.copies - before.copies};
}

/* Of a run of 128 steps and of the way back, once all is recorded. */
static void count_launches(const backend *on, traj_kind kind, launched *there, launched *back)
{
    train_report trained;
    launched start;
    walk_report r;
    toy t;

    open_toy(&t, on, 128, kind);
    for (int k = 0; k < 2; k++)
        CHECK_OK(t.ctx, walker_gradient(t.w, t.values, 1, &t.valid, &r, t.grad));
    start = since((launched){0});
    CHECK_OK(t.ctx, trainer_run(t.t, t.values, 1, t.w->tr, &trained));
    *there = since(start);
    CHECK_OK(t.ctx, walker_start_adjoint(t.w));
    start = since((launched){0});
    CHECK_OK(t.ctx, walker_back(t.w, &r, t.grad));
    *back = since(start);
    toy_close(&t);
}

/* What is recorded of eight steps with copies between them: theirs, and a call for the copies of
 * each. */
static const recorded *eight_steps(void)
{
    for (int32_t i = 0; i < seen.n; i++)
        if (seen.p[i].of[GPU_carry] == 8) return &seen.p[i];
    return NULL;
}

/* Of 128 steps: 16 launches; as many on the way back, and one for |w~| every eight steps. Copies
 * that are left: at the beginning, and what sums and adjoint begin with. */
TEST(cuda_launches_of_the_host)
{
    backend *on = counted();
    launched there, back;

    count_launches(on, TRAJ_FULL, &there, &back);
    CHECK_INT(there.runs, 16);
    CHECK_INT(there.copies, 2);
    CHECK_INT(back.runs, 16 + 17);
    CHECK_INT(back.copies, 1);
    const recorded *eight = eight_steps(), *one = &seen.p[0];
    CHECK(eight && one->of[GPU_carry] == 0);
    CHECK_INT(eight->calls, 8 * (one->calls + 1));
    CHECK_INT(eight->launches, 8 * (one->launches + 1));
    CHECK_INT(eight->waves, 8 * (one->waves + 1));
    cuda_backend_free(on);
}

/* Replay runs the steps of a segment again before it goes back over them. Where older steps are
 * looked at, what is put by, copies too, stays so: it goes with later runs. */
TEST(cuda_launches_of_the_host_over_replay)
{
    backend *on = counted();
    launched there, back;

    count_launches(on, TRAJ_REPLAY, &there, &back);
    CHECK_INT(there.runs, 18);
    CHECK_INT(there.copies, 4);
    CHECK_INT(back.runs, 68);
    CHECK_INT(back.copies, 23);
    cuda_backend_free(on);
}

TEST(cuda_launches_of_the_host_one_by_one)
{
    backend *on = counted();
    launched there, back;

    on->wait = NULL;
    count_launches(on, TRAJ_FULL, &there, &back);
    CHECK_INT(there.runs, 128);
    CHECK_INT(there.copies, 260);
    CHECK_INT(back.runs, 145);
    CHECK_INT(back.copies, 385);
    cuda_backend_free(on);
}
