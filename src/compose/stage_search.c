/* The first stage: a search as any other, then the best of its trials for the stages behind it. */
#include "compose/stages.h"
#include "trials/session.h"
#include "worker/charge.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TOP_MAX = 64 };

typedef struct found {
    int64_t number;
    double value;
    json_t *params;
} found;

typedef struct podium {
    drmad_ctx *ctx;
    bool maximize;
    int32_t n, most;
    found at[TOP_MAX + 1]; /* best first */
} podium;

static drmad_status params_of(drmad_ctx *ctx, const store_trial *t, json_t *params)
{
    drmad_status st = DRMAD_OK;

    for (int32_t i = 0; i < t->n_params; i++) {
        const store_param *p = &t->params[i];
        search_param *declared = NULL;
        char *text = NULL;

        TRY(search_param_parse(ctx, p->name, p->distribution, &declared));
        st = search_print_one(ctx, declared, p->value, &text);
        search_param_free(ctx, declared);
        TRY(st);
        const int bad =
            json_object_set_new(params, p->name, json_loads(text, JSON_DECODE_ANY, NULL));
        mem_free(ctx, text);
        if (bad) TRY(FAIL(ctx, DRMAD_E_NOMEM, "out of memory for the best trials"));
    }
done:
    return st;
}

static bool better(const podium *p, double a, double b)
{
    return p->maximize ? a > b : a < b;
}

/* Trials come in the order of their numbers, so the earlier of equals stays in front. */
static drmad_status take_trial(void *user, const store_trial *t)
{
    podium *p = user;
    const double value = t->n_values > 0 ? t->values[0] : NAN;
    int32_t i = p->n;
    drmad_status st = DRMAD_OK;
    json_t *params;

    if (!isfinite(value)) return st;
    while (i > 0 && better(p, value, p->at[i - 1].value)) i--;
    if (i == p->most) return st;
    params = json_object();
    TRY(params_of(p->ctx, t, params));
    memmove(&p->at[i + 1], &p->at[i], (size_t)(p->n - i) * sizeof p->at[0]);
    p->at[i] = (found){t->number, value, params};
    params = NULL;
    if (++p->n > p->most) json_decref(p->at[--p->n].params);
done:
    json_decref(params);
    return st;
}

/* As many as any later stage starts from. */
static int32_t places(const pipeline *p)
{
    const config_study *c = &p->s->cfg->set;
    int64_t most = 1;

    for (int32_t i = 0; i < c->stages.n; i++)
        if (c->stages.at[i].top > most) most = c->stages.at[i].top;
    return (int32_t)most;
}

static drmad_status put_top(pipeline *p, drmad_study *sub)
{
    podium best = {.ctx = p->s->ctx, .most = places(p)};
    const struct session *ss = sub->session;
    drmad_status st = DRMAD_OK;
    json_t *top = json_array();

    best.maximize = sub->cfg->set.search.direction == CFG_DIRECTION_MAXIMIZE;
    TRY(store_trial_each(ss->store, ss->study, -1, STATE_BIT(TRIAL_COMPLETE), take_trial, &best));
    for (int32_t i = 0; i < best.n; i++)
        json_array_append_new(top,
                              json_pack("{s:I,s:f,s:O}", "trial", (json_int_t)best.at[i].number,
                                        "value", best.at[i].value, "params", best.at[i].params));
    TRY(stage_put(p, CFG_STAGE_SEARCH, "top", json_incref(top)));
done:
    for (int32_t i = 0; i < best.n; i++) json_decref(best.at[i].params);
    json_decref(top);
    return st;
}

static drmad_status record(pipeline *p, drmad_study *sub)
{
    static const char *const kept[] = {"store", "name", "trials", "best"};
    drmad_status st = DRMAD_OK;
    charged c;

    for (size_t i = 0; i < COUNT(kept); i++) {
        json_t *value = json_object_get(sub->result, kept[i]);

        TRY(stage_put(p, CFG_STAGE_SEARCH, kept[i], value ? json_incref(value) : json_null()));
    }
    TRY(put_top(p, sub));
    TRY(search_charged(sub, p->run, &c));
    TRY(stage_save(p, CFG_STAGE_SEARCH, c.macs / p->run, c.seconds));
done:
    return st;
}

drmad_status stage_search(pipeline *p)
{
    const config_study *c = &p->s->cfg->set;
    sub_voice voice = {p->s, ""};
    drmad_status st = DRMAD_OK;
    drmad_study *sub = NULL;

    TRY(study_from_text(p->s->ctx, p->s->given, &sub));
    sub->lender = p->s->s;
    TRY(config_set(sub->cfg, "store", c->store));
    TRY(sub_set(sub, "output.dir", "%s", folder_path(p->s->f)));
    TRY(study_finish_load(sub));
    sub_listen(sub, &voice);
    TRY(drmad_study_work(sub));
    TRY(record(p, sub));
done:
    drmad_study_free(sub);
    return st;
}
