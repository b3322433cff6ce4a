#include "gp_desk.h"
#include "test.h"

void gp_desk_open(gp_desk *d, const char *yaml, uint64_t seed)
{
    gp_desk_open_kind(d, SAMPLER_GP, yaml, seed);
}

void gp_desk_open_kind(gp_desk *d, sampler_kind kind, const char *yaml, uint64_t seed)
{
    config *c = NULL;

    *d = (gp_desk){.ctx = test_ctx(), .options = {.kind = kind, .seed = seed}};
    CHECK_OK(d->ctx, config_new(d->ctx, &c));
    CHECK_OK(d->ctx, config_read(c, "study.yaml", yaml, strlen(yaml)));
    CHECK_OK(d->ctx, config_finish(c));
    CHECK_OK(d->ctx, search_from_config(c, &d->space));
    config_free(c);
    CHECK_OK(d->ctx, sampler_new(d->ctx, &d->options, d->space, &d->s));
}

void gp_desk_close(gp_desk *d)
{
    for (int32_t i = 0; i < d->n; i++) mem_free(d->ctx, d->notes[i]);
    sampler_free(d->s);
    search_free(d->space);
}

int32_t gp_desk_ask(gp_desk *d)
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

void gp_desk_tell(gp_desk *d, int32_t i, observed state, double value)
{
    d->rows[i].state = state;
    d->rows[i].value = value;
}

double gp_desk_run(gp_desk *d, desk_fn *f, int32_t trials)
{
    double best = INFINITY;

    for (int32_t k = 0; k < trials; k++) {
        const int32_t i = gp_desk_ask(d);
        const double value = f(d->x[i]);

        gp_desk_tell(d, i, OBSERVED_COMPLETE, value);
        best = fmin(best, value);
    }
    return best;
}
