/* See tuner.h. */
#include "tuner.h"
#include "bo/sampler.h"
#include "config/config.h"
#include <math.h>
#include <string.h>

enum { TRIALS = 4096 };

struct tuner {
    drmad_ctx *ctx;
    search *space;
    sampler *s;
    drmad_status st;
    int32_t n;
    observation rows[TRIALS];
};

static drmad_status read_space(drmad_ctx *ctx, const char *study, search **out)
{
    drmad_status st = DRMAD_OK;
    config *c = NULL;

    TRY(config_new(ctx, &c));
    TRY(config_read(c, "study.yaml", study, strlen(study)));
    TRY(config_finish(c));
    TRY(search_from_config(c, out));
done:
    config_free(c);
    return st;
}

tuner *tuner_open(const char *kind, uint64_t seed, const char *study)
{
    drmad_ctx *ctx = drmad_ctx_new(NULL, NULL);
    sampler_options options = {.seed = seed};
    drmad_status st = DRMAD_OK;
    tuner *t = NULL;

    if (!ctx) return NULL;
    if (mem_alloc(ctx, 1, sizeof *t, &t) != DRMAD_OK) {
        drmad_ctx_free(ctx);
        return NULL;
    }
    t->ctx = ctx;
    if (!sampler_kind_of(kind, &options.kind))
        TRY(FAIL(ctx, DRMAD_E_CONFIG, "no sampler %s", kind));
    TRY(read_space(ctx, study, &t->space));
    TRY(sampler_new(ctx, &options, t->space, &t->s));
done:
    t->st = st;
    return t;
}

void tuner_close(tuner *t)
{
    if (!t) return;
    drmad_ctx *ctx = t->ctx;

    for (int32_t i = 0; i < t->n; i++) {
        mem_free(ctx, (void *)t->rows[i].x);
        mem_free(ctx, (void *)t->rows[i].note);
    }
    sampler_free(t->s);
    search_free(t->space);
    mem_free(ctx, t);
    drmad_ctx_free(ctx);
}

const char *tuner_error(const tuner *t)
{
    return t->st == DRMAD_OK ? "" : drmad_errmsg(t->ctx);
}

static drmad_status ask(tuner *t, double **x, char **note)
{
    const history h = {t->n, t->rows};
    drmad_status st = DRMAD_OK;

    if (t->n == TRIALS) return FAIL(t->ctx, DRMAD_E_CONFIG, "more than %d trials", TRIALS);
    TRY(mem_alloc(t->ctx, (size_t)t->space->n + 1, sizeof **x, x));
    for (int32_t i = 0; i < t->space->n; i++) (*x)[i] = NAN;
    TRY(sampler_suggest(t->s, &h, t->n, *x, note));
    TRY(search_check(t->space, *x));
done:
    return st;
}

int32_t tuner_ask(tuner *t, double *x)
{
    double *point = NULL;
    char *note = NULL;

    t->st = ask(t, &point, &note);
    if (t->st != DRMAD_OK) {
        mem_free(t->ctx, point);
        mem_free(t->ctx, note);
        return 0;
    }
    memcpy(x, point, (size_t)t->space->n * sizeof *x);
    t->rows[t->n] = (observation){
        .number = t->n, .state = OBSERVED_PENDING, .x = point, .value = NAN, .note = note};
    t->n++;
    return 1;
}

void tuner_tell(tuner *t, double value)
{
    observation *row = &t->rows[t->n - 1];

    row->state = isfinite(value) ? OBSERVED_COMPLETE : OBSERVED_FAILED;
    row->value = value;
}
