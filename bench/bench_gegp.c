/* What gradients save a Gaussian process: evaluations until 1 % of the scale is left, seen with
 * values alone and with gradients.
 *
 *   bench_gegp [SEEDS [PROBLEM]]
 *
 * Test functions: the gradient is the central difference in doubles, exact or turned by an angle of
 * cosine .95: a normal direction is added that is orthogonal to it, drawn anew for each trial.
 *
 * "training": the validation loss of MNIST (1,000 examples, 784-50-10, 100 steps) over six
 * hyperparameters, with its hypergradient. Its least value is the least that any of the runs met,
 * its scale reaches to the median of all start points; to 10, 5, 2 and 1 % of that. */
#include "base/rng.h"
#include "bo/problems.h"
#include "bo/sampler.h"
#include "hyper/walk.h"
#include "lab.h"

enum { MOST = 100, DIMS = 6, SEEDS_MOST = 100, TRAININGS = 60 };
enum { PLAIN, EXACT, TURNED, KINDS };
static const char *const kinds[KINDS] = {"values", "exact", "turned"};

typedef struct run {
    const problem *p; /* NULL: training */
    lab *l;
    const search *space;
    int32_t d;
    observation rows[MOST];
    double x[MOST][DIMS], gradient[MOST][DIMS];
    char *notes[MOST];
} run;

static void must(drmad_ctx *ctx, drmad_status st)
{
    if (st == DRMAD_OK) return;
    fprintf(stderr, "%s\n", drmad_errmsg(ctx));
    exit(drmad_status_exit(st));
}

static void make_space(drmad_ctx *ctx, const problem *p, search **out)
{
    const problem_param *params;
    const int32_t d = problem_params(p, &params);
    int32_t index;

    must(ctx, search_new(ctx, out));
    for (int32_t i = 0; i < d; i++) {
        search_param *s;

        must(ctx, mem_alloc(ctx, 1, sizeof *s, &s));
        *s = (search_param){.low = params[i].low, .high = params[i].high};
        must(ctx, mem_strdup(ctx, params[i].name, &s->name));
        must(ctx, search_add(*out, s, &index));
    }
}

static void differentiate(run *r, int32_t i)
{
    double at[DIMS];

    for (int32_t k = 0; k < r->d; k++) {
        const double width = r->space->params[k].high - r->space->params[k].low, e = 1e-6 * width;
        double y[2];

        for (int side = 0; side < 2; side++) {
            memcpy(at, r->x[i], sizeof at);
            at[k] += side ? e : -e;
            y[side] = problem_value(r->p, at);
        }
        r->gradient[i][k] = (y[1] - y[0]) / (2 * e);
    }
}

/* In units of the box, where all coordinates weigh the same. */
static void turn(run *r, int32_t i, uint64_t seed)
{
    const rng_key key = {seed, (uint32_t)i, rng_site("bench_gegp/turn")};
    double g[DIMS], v[DIMS], gg = 0, gv = 0, vv = 0;

    for (int32_t k = 0; k < r->d; k++) {
        g[k] = r->gradient[i][k] * (r->space->params[k].high - r->space->params[k].low);
        v[k] = rng_normal(key, (uint64_t)k);
        gg += g[k] * g[k], gv += g[k] * v[k];
    }
    if (!(gg > 0)) return;
    for (int32_t k = 0; k < r->d; k++) v[k] -= gv / gg * g[k], vv += v[k] * v[k];
    for (int32_t k = 0; k < r->d; k++)
        r->gradient[i][k] += sqrt(gg / vv * (1 / (.95 * .95) - 1)) * v[k] /
                             (r->space->params[k].high - r->space->params[k].low);
}

/* Fills in row n, seen as `kind` sees it. */
static void observe(run *r, int32_t n, int kind, uint64_t seed)
{
    observation *row = &r->rows[n];

    *row =
        (observation){.number = n, .state = OBSERVED_COMPLETE, .x = r->x[n], .note = r->notes[n]};
    if (!r->p) {
        walk_report report;
        double *g = kind == PLAIN ? r->l->grad : r->gradient[n];

        if (walker_gradient(r->l->s->walker, r->x[n], 7, &r->l->s->objective, &report, g))
            row->state = OBSERVED_FAILED;
        row->value = row->state == OBSERVED_FAILED ? NAN : report.value.loss;
    } else {
        row->value = problem_value(r->p, r->x[n]);
        if (kind != PLAIN) differentiate(r, n);
        if (kind == TURNED) turn(r, n, seed);
    }
    if (kind != PLAIN) row->gradient = r->gradient[n];
}

/* Evaluations until a value is at most `goal`, at most so many: one more when none was. */
static int32_t evaluations(drmad_ctx *ctx, run *r, int kind, uint64_t seed, int32_t most,
                           double goal)
{
    const sampler_options o = {.kind = SAMPLER_GP, .seed = seed, .gradients = kind != PLAIN};
    sampler *s;
    int32_t n = 0;
    bool there = false;

    must(ctx, sampler_new(ctx, &o, r->space, &s));
    for (; n < most && !there; n++) {
        const history h = {n, r->rows};

        for (int32_t k = 0; k < r->d; k++) r->x[n][k] = NAN;
        must(ctx, sampler_suggest(s, &h, n, r->x[n], &r->notes[n]));
        observe(r, n, kind, seed);
        there = r->rows[n].value <= goal;
    }
    for (int32_t i = 0; i < n; i++) mem_free(ctx, r->notes[i]);
    sampler_free(s);
    return there ? n : most + 1;
}

static int rising(const void *a, const void *b)
{
    return *(const int32_t *)a - *(const int32_t *)b;
}

static double middle_of(int32_t *n, int count)
{
    qsort(n, (size_t)count, sizeof *n, rising);
    return (n[(count - 1) / 2] + n[count / 2]) / 2.0;
}

static double say(const char *name, int kind, int32_t *n, int seeds, int32_t most)
{
    const double middle = middle_of(n, seeds);
    int hits = 0;

    for (int i = 0; i < seeds; i++) hits += n[i] <= most;
    printf("%s %s: median %.1f of at most %d evaluations, %d of %d there, quarters %d %d\n", name,
           kinds[kind], middle, (int)most, hits, seeds, (int)n[seeds / 4], (int)n[3 * seeds / 4]);
    fflush(stdout);
    return middle;
}

/* What was saved: medians of values alone over those of each kind of gradients. */
static void compare(drmad_ctx *ctx, const char *name, double goal, int seeds, double *saved)
{
    static run r;
    static int32_t n[SEEDS_MOST];
    search *box;
    problem *p = problem_open(name, 0);
    double plain = 0;

    if (!p) exit(6);
    make_space(ctx, p, &box);
    r = (run){.p = p, .space = box, .d = box->n};
    for (int kind = 0; kind < KINDS; kind++) {
        for (int seed = 0; seed < seeds; seed++)
            n[seed] =
                evaluations(ctx, &r, kind, 1000 + (uint64_t)seed, MOST, problem_least(p) + goal);
        const double middle = say(name, kind, n, seeds, MOST);

        if (kind == PLAIN) plain = middle;
        saved[kind] = plain / middle;
    }
    search_free(box);
    problem_close(p);
}

/* ---- training ---- */

static void open_training(lab *l, search **box)
{
    static const char *const pairs[] = {
        "data.train=1000",
        "data.valid=1000",
        "model.layers=[auto, 50, auto]",
        "train.steps=100",
        "train.batch=50",
        "optimizer.momentum=0.9",
        "trajectory.kind=full",
        ("hyper=[{kind: lr, per: layer}, {kind: l2, per: layer}, {kind: momentum}, "
         "{kind: init_scale}]")};
    static const struct {
        double low, high;
        bool log;
    } ranges[DIMS] = {{1e-3, 1, true},    {1e-3, 1, true}, {1e-6, 1e-1, true},
                      {1e-6, 1e-1, true}, {0, .99, false}, {.1, 10, true}};
    int32_t index;

    lab_open(l, pairs, COUNT(pairs), true);
    must(l->ctx, search_new(l->ctx, box));
    if (l->s->space->total != DIMS) exit(1);
    for (int32_t i = 0; i < DIMS; i++) {
        char name[8];
        search_param *p;

        snprintf(name, sizeof name, "h%d", (int)i);
        must(l->ctx, mem_alloc(l->ctx, 1, sizeof *p, &p));
        *p = (search_param){
            .low = ranges[i].low, .high = ranges[i].high, .log = ranges[i].log, .step = 0};
        must(l->ctx, mem_strdup(l->ctx, name, &p->name));
        must(l->ctx, search_add(*box, p, &index));
    }
}

static int rising_real(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Every run is made to its end; then the goals are known. Gives what was saved to the first. */
static double train(int seeds)
{
    static run r;
    static double trace[2][SEEDS_MOST][TRAININGS], start[SEEDS_MOST * (DIMS + 1)];
    const double parts[] = {.1, .05, .02, .01};
    double least = INFINITY, middle[2], saved = 0;
    search *box;
    lab l;
    int starts = 0;

    open_training(&l, &box);
    r = (run){.l = &l, .space = box, .d = DIMS};
    for (int kind = PLAIN; kind <= EXACT; kind++)
        for (int seed = 0; seed < seeds; seed++) {
            evaluations(l.ctx, &r, kind, 1000 + (uint64_t)seed, TRAININGS, -INFINITY);
            for (int i = 0; i < TRAININGS; i++) {
                const double y = r.rows[i].value;

                trace[kind][seed][i] = y;
                if (y < least) least = y;
                if (kind == PLAIN && i <= DIMS && !isnan(y)) start[starts++] = y;
            }
        }
    qsort(start, (size_t)starts, sizeof *start, rising_real);
    printf("training: least %.5f, median of start points %.5f\n", least, start[starts / 2]);
    for (size_t g = 0; g < COUNT(parts); g++) {
        const double goal = least + parts[g] * (start[starts / 2] - least);

        for (int kind = PLAIN; kind <= EXACT; kind++) {
            char name[32];
            static int32_t n[SEEDS_MOST];

            for (int seed = 0; seed < seeds; seed++)
                for (n[seed] = 0; n[seed] < TRAININGS && !(trace[kind][seed][n[seed]] <= goal);)
                    n[seed]++;
            for (int seed = 0; seed < seeds; seed++) n[seed]++;
            snprintf(name, sizeof name, "training to %g %%", 100 * parts[g]);
            middle[kind] = say(name, kind, n, seeds, TRAININGS);
        }
        if (g == 0) saved = middle[PLAIN] / middle[EXACT];
    }
    search_free(box);
    lab_close(&l);
    return saved;
}

static void print_means(const double *product, int count)
{
    printf("gegp_evals_saved ratio %.2f values alone, mean of the functions\n",
           pow(product[EXACT], 1.0 / count));
    printf("gegp_evals_saved_turned ratio %.2f likewise, gradients of cosine .95\n",
           pow(product[TURNED], 1.0 / count));
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        double goal; /* 1 % of: Branin's unit, Hartmann's range, Rosenbrock's valley */
    } problems[] = {{"branin", .01}, {"rosenbrock5", 10}, {"hartmann6", .0332}};
    const int seeds = argc > 1 ? atoi(argv[1]) : 20;
    drmad_ctx *ctx = drmad_ctx_new(NULL, NULL);
    double product[KINDS] = {1, 1, 1};
    int count = 0;

    if (!ctx || seeds < 1 || seeds > SEEDS_MOST) return 2;
    for (size_t i = 0; i < COUNT(problems); i++) {
        double saved[KINDS];

        if (argc > 2 && strcmp(argv[2], problems[i].name) != 0) continue;
        compare(ctx, problems[i].name, problems[i].goal, seeds, saved);
        for (int kind = EXACT; kind < KINDS; kind++) product[kind] *= saved[kind];
        count++;
    }
    if (count) print_means(product, count);
    if (argc <= 2 || strcmp(argv[2], "training") == 0)
        printf("gegp_evals_saved_training ratio %.2f values alone, MNIST with hypergradients, "
               "to 10 %% of the scale\n",
               train(seeds < 8 ? seeds : 8));
    drmad_ctx_free(ctx);
    return 0;
}
