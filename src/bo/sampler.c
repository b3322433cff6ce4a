/* The door of the samplers: which kind, and what is the same for all. */
#include "base/version.h"
#include "bo/sampler_inside.h"
#include <math.h>
#include <string.h>

enum { ATTEMPTS = 1000 }; /* points refused by rules in a row: the space has next to none */

static const sampler_ops *const kinds[] = {
    [SAMPLER_RANDOM] = &sampler_random, [SAMPLER_SOBOL] = &sampler_sobol,
    [SAMPLER_TPE] = &sampler_tpe,       [SAMPLER_GP] = &sampler_gp,
    [SAMPLER_CMAES] = &sampler_cmaes,
};

static const sampler_ops *ops_of(const sampler *s)
{
    return kinds[s->options.kind];
}

const char *sampler_word(sampler_kind kind)
{
    return kinds[kind]->name;
}

bool sampler_kind_of(const char *word, sampler_kind *out)
{
    for (size_t i = 0; i < COUNT(kinds); i++) {
        if (strcmp(kinds[i]->name, word) != 0) continue;
        *out = (sampler_kind)i;
        return true;
    }
    return false;
}

bool sampler_looks(sampler_kind kind)
{
    return kind != SAMPLER_RANDOM && kind != SAMPLER_SOBOL;
}

drmad_status sampler_new(drmad_ctx *ctx, const sampler_options *o, const search *space,
                         sampler **out)
{
    drmad_status st = DRMAD_OK;
    sampler *s = NULL;

    *out = NULL;
    TRY(mem_alloc(ctx, 1, sizeof *s, &s));
    *s = (sampler){.ctx = ctx, .options = *o, .space = space};
    version_cpu(s->cpu, sizeof s->cpu);
    if (ops_of(s)->open) TRY(ops_of(s)->open(s));
    *out = s, s = NULL;
done:
    sampler_free(s);
    return st;
}

void sampler_free(sampler *s)
{
    if (!s) return;
    if (ops_of(s)->close) ops_of(s)->close(s);
    mem_free(s->ctx, s);
}

static void start_point(const sampler *s, int64_t number, int32_t attempt, double *u)
{
    const uint64_t seed = s->options.seed;

    if (s->options.kind == SAMPLER_RANDOM) sample_random(seed, number, attempt, s->space->n, u);
    else sample_sobol(seed, number, attempt, s->space->n, u);
}

drmad_status sampler_start(const sampler *s, int64_t number, double *x)
{
    const size_t n = (size_t)s->space->n;
    drmad_status st = DRMAD_OK;
    double *u = NULL, *drawn = NULL;
    int32_t broken = -1;

    TRY(mem_alloc(s->ctx, n + 1, sizeof *u, &u));
    TRY(mem_alloc(s->ctx, n + 1, sizeof *drawn, &drawn));
    for (int32_t k = 0; k < ATTEMPTS; k++) {
        start_point(s, number, k, u);
        memcpy(drawn, x, n * sizeof *x);
        TRY(search_complete(s->space, u, drawn, &broken));
        if (broken >= 0) continue;
        memcpy(x, drawn, n * sizeof *x);
        goto done;
    }
    st = FAIL(s->ctx, DRMAD_E_CONFIG, "none of %d points keeps the rule \"%s\"", ATTEMPTS,
              expr_text(s->space->rules[broken]));
done:
    mem_free(s->ctx, u);
    mem_free(s->ctx, drawn);
    return st;
}

static drmad_status suggest_start(sampler *s, const history *h, int64_t number, double *x,
                                  json_t **model)
{
    (void)h;
    *model = NULL;
    return sampler_start(s, number, x);
}

const sampler_ops sampler_random = {.name = "random", .suggest = suggest_start};
const sampler_ops sampler_sobol = {.name = "sobol", .suggest = suggest_start};

drmad_status sampler_suggest(sampler *s, const history *h, int64_t number, double *x, char **note)
{
    drmad_status st = DRMAD_OK;
    json_t *model = NULL;

    *note = NULL;
    TRY(ops_of(s)->suggest(s, h, number, x, &model));
    TRY(sampler_looks(s->options.kind) ? note_print(s, h, model, note)
                                       : sampler_note_blind(s->ctx, &s->options, note));
done:
    json_decref(model);
    return st;
}
