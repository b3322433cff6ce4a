#include "sampler_desk.h"
#include "base/rng.h"
#include "test.h"

const char desk_flat[] = "parameters:\n"
                         "  - {name: a, low: -5, high: 10}\n"
                         "  - {name: b, low: 0, high: 15}\n";
const char desk_mixed[] = "parameters:\n"
                          "  - {name: lr, low: 1e-5, high: 1, log: true}\n"
                          "  - {name: depth, type: int, low: 1, high: 6}\n"
                          "  - {name: width, type: int, low: 8, high: 1024, log: true}\n"
                          "  - {name: act, choices: [relu, tanh, gelu], when: depth > 1}\n"
                          "  - {name: size, choices: [s, m, l, xl], ordered: true}\n"
                          "  - {name: drop, low: 0, high: 0.5, step: 0.125, when: act == relu}\n"
                          "  - {name: mu, low: -100, high: 100, prior: normal, mean: 3, sd: 2}\n"
                          "  - {name: one, choices: [x]}\n"
                          "  - {name: set, low: 0, high: 1, fixed: 0.25}\n"
                          "search: {constraints: [depth * width <= 2048, lr * depth <= 1]}\n";

double desk_branin(const double *x)
{
    const double e = x[1] - 5.1 / (4 * M_PI * M_PI) * x[0] * x[0] + 5 / M_PI * x[0] - 6;

    return e * e + 10 * (1 - 1 / (8 * M_PI)) * cos(x[0]) + 10 - 0.397887357729739;
}

double desk_tangled(const double *x)
{
    double y = pow(log10(x[0]) + 2.5, 2) + fabs(x[1] - 3) + pow(log2(x[2]) - 7, 2) / 4;

    y += isnan(x[3]) ? 1 : x[3] == 0 ? 0 : 0.5;
    return y + fabs(x[4] - 2) / 2 + (isnan(x[5]) ? 0.3 : fabs(x[5] - 0.25)) + pow(x[6] - 4, 2) / 8;
}

void sampler_desk_open(sampler_desk *d, const char *yaml, uint64_t seed)
{
    sampler_desk_open_kind(d, SAMPLER_GP, yaml, seed);
}

void sampler_desk_open_kind(sampler_desk *d, sampler_kind kind, const char *yaml, uint64_t seed)
{
    config *c = NULL;

    *d = (sampler_desk){.ctx = test_ctx(), .options = {.kind = kind, .seed = seed}};
    CHECK_OK(d->ctx, config_new(d->ctx, &c));
    CHECK_OK(d->ctx, config_read(c, "study.yaml", yaml, strlen(yaml)));
    CHECK_OK(d->ctx, config_finish(c));
    CHECK_OK(d->ctx, search_from_config(c, &d->space));
    config_free(c);
    CHECK_OK(d->ctx, sampler_new(d->ctx, &d->options, d->space, &d->s));
}

void sampler_desk_close(sampler_desk *d)
{
    for (int32_t i = 0; i < d->n; i++) mem_free(d->ctx, d->notes[i]);
    sampler_free(d->s);
    search_free(d->space);
}

int32_t sampler_desk_ask(sampler_desk *d)
{
    const history h = {d->n, d->rows};
    const int32_t i = d->n;

    for (int32_t k = 0; k < d->space->n; k++) d->x[i][k] = NAN;
    CHECK_OK(d->ctx, sampler_suggest(d->s, &h, i, d->x[i], &d->notes[i]));
    CHECK_OK(d->ctx, search_check(d->space, d->x[i]));
    d->rows[i] = (observation){
        .number = i, .state = OBSERVED_PENDING, .x = d->x[i], .value = NAN, .note = d->notes[i]};
    return d->n++;
}

void sampler_desk_tell(sampler_desk *d, int32_t i, observed state, double value)
{
    d->rows[i].state = state;
    d->rows[i].value = value;
}

double sampler_desk_run(sampler_desk *d, desk_fn *f, int32_t trials)
{
    double best = INFINITY;

    for (int32_t k = 0; k < trials; k++) {
        const int32_t i = sampler_desk_ask(d);
        const double value = f(d->x[i]);

        sampler_desk_tell(d, i, OBSERVED_COMPLETE, value);
        best = fmin(best, value);
    }
    return best;
}

/* ---- what holds of every sampler ---- */

double desk_mean_best(sampler_kind kind, const char *space, desk_fn *f, int trials)
{
    enum { SEEDS = 8 };
    double sum = 0;

    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        sampler_desk d;

        sampler_desk_open_kind(&d, kind, space, seed);
        sum +=
            sampler_desk_run(&d, f, trials) / SEEDS; /* each point is checked as it is asked for */
        sampler_desk_close(&d);
    }
    return sum;
}

void desk_check_given(sampler_kind kind)
{
    sampler_desk d;

    sampler_desk_open_kind(&d, kind, desk_mixed, 5);
    sampler_desk_run(&d, desk_tangled, 30);
    for (int64_t k = 0; k < 20; k++) {
        const history h = {d.n, d.rows};
        double x[DESK_PARAMS] = {NAN, 4, NAN, 1, NAN, NAN, 2.5, NAN, NAN};
        char *note;

        CHECK_OK(d.ctx, sampler_suggest(d.s, &h, d.n + k, x, &note));
        CHECK_OK(d.ctx, search_check(d.space, x));
        CHECK(x[1] == 4 && x[3] == 1 && x[6] == 2.5);
        mem_free(d.ctx, note);
    }
    sampler_desk_close(&d);
}

void desk_check_workers(sampler_desk *d, desk_fn *f, int trials, void (*prepare)(sampler *s))
{
    const rng_key key = {11, 12, 13};
    int32_t runs[4];

    if (prepare) prepare(d->s);
    for (int w = 0; w < 4; w++) runs[w] = sampler_desk_ask(d);
    for (int k = 0; k < trials; k++) {
        const uint64_t w = rng_below(key, (uint64_t)k, 4);
        const int32_t i = runs[w];
        const history h = {d->n, d->rows};
        double x[DESK_PARAMS];
        char *note = NULL;
        sampler *fresh = NULL;

        if (k % 9 == 8) sampler_desk_tell(d, i, OBSERVED_FAILED, NAN);
        else sampler_desk_tell(d, i, k % 5 ? OBSERVED_COMPLETE : OBSERVED_PRUNED, f(d->x[i]));
        for (int p = 0; p < d->space->n; p++) x[p] = NAN;
        CHECK_OK(d->ctx, sampler_new(d->ctx, &d->options, d->space, &fresh));
        if (prepare) prepare(fresh);
        CHECK_OK(d->ctx, sampler_suggest(fresh, &h, d->n, x, &note));
        runs[w] = sampler_desk_ask(d);
        CHECK(memcmp(x, d->x[runs[w]], sizeof *x * (size_t)d->space->n) == 0);
        CHECK_STR(note, d->notes[runs[w]]);
        mem_free(d->ctx, note);
        sampler_free(fresh);
    }
}

drmad_status sampler_desk_suggest_once(drmad_ctx *ctx, void *desk)
{
    const sampler_desk *d = desk;
    const history h = {d->n, d->rows};
    drmad_status st = DRMAD_OK;
    double x[DESK_PARAMS];
    char *note = NULL;
    sampler *s = NULL;

    for (int32_t k = 0; k < d->space->n; k++) x[k] = NAN;
    d->space->ctx = ctx;
    TRY(sampler_new(ctx, &d->options, d->space, &s));
    TRY(sampler_suggest(s, &h, d->n, x, &note));
done:
    d->space->ctx = d->ctx;
    mem_free(ctx, note);
    sampler_free(s);
    return st;
}
