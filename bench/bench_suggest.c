/* How long a suggestion takes on one thread: a study of six parameters that has n trials, 20 more
 * one after the other (the first, which finds nothing kept, is not counted), median and 95th
 * percentile.
 *
 *   bench_suggest [SAMPLER ...]     [all that this build and machine have]
 *
 * Lines: bo_suggest_ms_nN is the GP's median, tpe_suggest_ms_n1000 that of TPE. */
#include "bo/sampler.h"
#include "config/config.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DIMS = 6, LAST = 1000, TIMED = 20 };
static const int32_t sizes[] = {50, 100, 200, 500, LAST};

static _Noreturn void give_up(drmad_ctx *ctx)
{
    fprintf(stderr, "bench_suggest: %s\n", drmad_errmsg(ctx));
    exit(1);
}

#define MUST(ctx, call)                                                                            \
    do {                                                                                           \
        if ((call) != DRMAD_OK) give_up(ctx);                                                      \
    } while (0)

/* A valley with ripples; the last parameter is logarithmic. */
static double value(const double *x)
{
    double sum = 0, last = log10(x[DIMS - 1]) / 4 + 1;

    for (int i = 0; i + 1 < DIMS; i++) {
        double z = x[i] - 0.3 - 0.4 * (i > 0 ? x[i - 1] - 0.3 : last - 0.3);

        sum += (1 + i) * z * z + 0.02 * (1 - cos(12 * z));
    }
    return sum + (last - 0.6) * (last - 0.6);
}

static search *space_of(drmad_ctx *ctx)
{
    static const char text[] =
        "parameters: [{name: a, low: 0, high: 1}, {name: b, low: 0, high: 1},"
        "{name: c, low: 0, high: 1}, {name: d, low: 0, high: 1}, {name: e, low: 0, high: 1},"
        "{name: f, low: 1e-4, high: 1, log: true}]";
    config *c = NULL;
    search *s = NULL;

    MUST(ctx, config_new(ctx, &c));
    MUST(ctx, config_read(c, "suggest.yaml", text, strlen(text)));
    MUST(ctx, config_finish(c));
    MUST(ctx, search_from_config(c, &s));
    config_free(c);
    return s;
}

typedef struct study {
    drmad_ctx *ctx;
    sampler *s;
    int32_t n;
    observation rows[LAST + TIMED + 1];
    double x[LAST + TIMED + 1][DIMS];
} study;

static void tell(study *t, const char *note)
{
    t->rows[t->n] = (observation){.number = t->n,
                                  .state = OBSERVED_COMPLETE,
                                  .x = t->x[t->n],
                                  .value = value(t->x[t->n]),
                                  .note = note};
    t->n++;
}

/* One trial more; gives the milliseconds of its suggestion. */
static double ask(study *t)
{
    const history h = {t->n, t->rows};
    char *note = NULL;

    for (int i = 0; i < DIMS; i++) t->x[t->n][i] = NAN;
    double start = base_now();

    MUST(t->ctx, sampler_suggest(t->s, &h, t->n, t->x[t->n], &note));
    double end = base_now();

    tell(t, note);
    return 1e3 * (end - start);
}

static int rising(const void *a, const void *b)
{
    const double p = *(const double *)a, q = *(const double *)b;

    return p < q ? -1 : p > q;
}

/* The study's first trials are points of a start design that closes in on the optimum, as a search
 * does, so that trials lie close to one another. */
static void fill(study *t, const search *space, int32_t n)
{
    int32_t broken;

    for (t->n = 0; t->n < n;) {
        double u[DIMS], wide = pow(n, -(double)t->n / n);

        sample_sobol(1, t->n, 0, DIMS, u);
        for (int i = 0; i < DIMS; i++) u[i] = 0.35 * (1 - wide) + wide * u[i];
        MUST(t->ctx, search_draw(space, u, t->x[t->n], &broken));
        tell(t, NULL);
    }
}

static void time_one(study *t, const search *space, sampler_kind kind, int32_t n)
{
    const sampler_options o = {.kind = kind, .seed = 1};
    double ms[TIMED];

    MUST(t->ctx, sampler_new(t->ctx, &o, space, &t->s));
    fill(t, space, n);
    ask(t);
    for (int i = 0; i < TIMED; i++) ms[i] = ask(t);
    for (int32_t i = 0; i < t->n; i++) mem_free(t->ctx, (void *)(uintptr_t)t->rows[i].note);
    sampler_free(t->s);
    qsort(ms, TIMED, sizeof *ms, rising);
    const double median = 0.5 * (ms[TIMED / 2 - 1] + ms[TIMED / 2]);
    const char *word = sampler_word(kind);

    fprintf(stderr, "%-7s n %4d: median %8.3f ms, p95 %8.3f ms\n", word, n, median,
            ms[TIMED - 1 - TIMED / 20]);
    if (kind == SAMPLER_GP) printf("bo_suggest_ms_n%d ratio %.4g\n", n, median);
    if (kind == SAMPLER_TPE && n == LAST) printf("tpe_suggest_ms_n%d ratio %.4g\n", n, median);
    fflush(stdout);
}

static bool wanted(int argc, char **argv, const char *word)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], word) == 0) return true;
    return argc == 1;
}

int main(int argc, char **argv)
{
    drmad_ctx *ctx = drmad_ctx_new(NULL, NULL);
    static study t;
    search *space = space_of(ctx);

    t.ctx = ctx;
    for (int kind = SAMPLER_RANDOM; kind <= SAMPLER_CMAES; kind++)
        for (size_t k = 0; k < COUNT(sizes) && wanted(argc, argv, sampler_word((sampler_kind)kind));
             k++)
            time_one(&t, space, (sampler_kind)kind, sizes[k]);
    search_free(space);
    drmad_ctx_free(ctx);
    return 0;
}
