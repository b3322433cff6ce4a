/* What gradients save a Gaussian process: evaluations until 1 % of a function's scale is left, seen
 * with values alone and with gradients, exact or turned by an angle of cosine .95.
 *
 *   bench_gegp [SEEDS [PROBLEM]]
 *
 * The gradient is the function's central difference in doubles; "turned": a normal direction is
 * added that is orthogonal to it, drawn anew for each trial. */
#include "base/rng.h"
#include "bo/problems.h"
#include "bo/sampler.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 100, DIMS = 6, SEEDS_MOST = 100 };
enum { PLAIN, EXACT, TURNED, KINDS };
static const char *const kinds[KINDS] = {"values", "exact", "turned"};

typedef struct run {
    const problem *p;
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

/* Evaluations until regret <= goal; MOST + 1: not reached. */
static int32_t evaluations(drmad_ctx *ctx, run *r, int kind, uint64_t seed, double goal)
{
    const sampler_options o = {.kind = SAMPLER_GP, .seed = seed, .gradients = kind != PLAIN};
    sampler *s;
    int32_t n = 0;
    bool there = false;

    must(ctx, sampler_new(ctx, &o, r->space, &s));
    for (; n < MOST && !there; n++) {
        const history h = {n, r->rows};

        for (int32_t k = 0; k < r->d; k++) r->x[n][k] = NAN;
        must(ctx, sampler_suggest(s, &h, n, r->x[n], &r->notes[n]));
        r->rows[n] = (observation){.number = n,
                                   .state = OBSERVED_COMPLETE,
                                   .x = r->x[n],
                                   .value = problem_value(r->p, r->x[n]),
                                   .note = r->notes[n]};
        if (kind != PLAIN) {
            differentiate(r, n);
            if (kind == TURNED) turn(r, n, seed);
            r->rows[n].gradient = r->gradient[n];
        }
        there = r->rows[n].value - problem_least(r->p) <= goal;
    }
    for (int32_t i = 0; i < n; i++) mem_free(ctx, r->notes[i]);
    sampler_free(s);
    return there ? n : MOST + 1;
}

static int rising(const void *a, const void *b)
{
    return *(const int32_t *)a - *(const int32_t *)b;
}

static double median(int32_t *n, int count)
{
    qsort(n, (size_t)count, sizeof *n, rising);
    return (n[(count - 1) / 2] + n[count / 2]) / 2.0;
}

/* What was saved: medians of values alone over those of each kind of gradients. */
static void compare(drmad_ctx *ctx, const char *name, double goal, int seeds, double *saved)
{
    static run r;
    static int32_t n[SEEDS_MOST];
    search *space;
    problem *p = problem_open(name, 0);
    double plain = 0;

    if (!p) exit(6);
    make_space(ctx, p, &space);
    r = (run){.p = p, .space = space, .d = space->n};
    for (int kind = 0; kind < KINDS; kind++) {
        int hits = 0;
        const double start = base_now();

        for (int seed = 0; seed < seeds; seed++) {
            n[seed] = evaluations(ctx, &r, kind, 1000 + (uint64_t)seed, goal);
            hits += n[seed] <= MOST;
        }
        const double middle = median(n, seeds);

        if (kind == PLAIN) plain = middle;
        saved[kind] = plain / middle;
        printf("%s %s: median %.1f of at most %d evaluations, %d of %d there, quarters %d %d, "
               "%.2f s\n",
               name, kinds[kind], middle, MOST, hits, seeds, n[seeds / 4], n[3 * seeds / 4],
               base_now() - start);
        fflush(stdout);
    }
    search_free(space);
    problem_close(p);
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
    printf("gegp_evals_saved ratio %.2f values alone, mean of the functions\n",
           pow(product[EXACT], 1.0 / count));
    printf("gegp_evals_saved_turned ratio %.2f likewise, gradients of cosine .95\n",
           pow(product[TURNED], 1.0 / count));
    drmad_ctx_free(ctx);
    return 0;
}
