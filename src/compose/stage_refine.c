/* The second stage: hypergradients from the best trials. What a trial's values say is where the
 * hyperparameters start: `hyper` entries without a `start` take it from `optimizer` and `train`. */
#include "compose/stages.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- the study of one start ---- */

/* For so many meta-steps one value a declaration, for so many one a layer. Entries that loosen by
 * themselves, or have nothing to loosen, are left alone. */
static drmad_status loosen(drmad_study *sub, int64_t each)
{
    const config_study *c = &sub->cfg->set;
    drmad_status st = DRMAD_OK;
    char key[32];

    for (int32_t i = 0; i < c->hyper.n && each > 0; i++) {
        const config_hyper *h = &c->hyper.at[i];
        const long long until = (long long)each;

        if (h->ties.n > 0 || h->per == PER_GLOBAL || h->per >= PER_EXAMPLE) continue;
        snprintf(key, sizeof key, "hyper.%d.ties", (int)i);
        if (h->per == PER_LAYER) TRY(sub_set(sub, key, "[{per: global, until: %lld}]", until));
        else
            TRY(sub_set(sub, key, "[{per: global, until: %lld}, {per: layer, until: %lld}]", until,
                        2 * until));
    }
done:
    return st;
}

drmad_status stage_refined_study(const pipeline *p, const json_t *params, const char *dir,
                                 drmad_study **out)
{
    const config_stage *t = stage_of(p, CFG_STAGE_REFINE);
    drmad_status st = DRMAD_OK;
    drmad_study *sub = NULL;

    *out = NULL;
    TRY(sub_new(p->s, params, dir, &sub));
    TRY(loosen(sub, t->loosen));
    TRY(sub_set(sub, "outer.steps", "%lld", (long long)t->steps));
    TRY(sub_set(sub, "retrain.seeds", "0"));
    TRY(sub_set(sub, "baselines.random", "0"));
    TRY(study_finish_load(sub));
    *out = sub, sub = NULL;
done:
    drmad_study_free(sub);
    return st;
}

/* Its runs in those of the pipeline: another model or batch makes them dearer or cheaper. */
static drmad_status dearness(const pipeline *p, const drmad_study *sub, double *out)
{
    drmad_status st = DRMAD_OK;
    setup *u = NULL;

    *out = 1;
    TRY(setup_new(sub->ctx, sub->cfg, NULL, sub->lender, &u));
    TRY(setup_tie(u, 0, false, NULL));
    *out = setup_cost_of(u).run / p->run;
done:
    setup_free(u);
    return st;
}

/* ---- one start ---- */

typedef struct start {
    char name[48], folder[48];
    const json_t *from; /* of the search's top; NULL: the study's own values */
    size_t left;        /* starts still to come, this one included */
} start;

static drmad_status put_start(pipeline *p, const start *from, const drmad_study *sub, double dear)
{
    static const char *const kept[] = {"status",          "meta_steps",     "hyperparameters",
                                       "stopped_because", "largest_growth", "seconds"};
    const json_t *r = sub->result, *path = json_object_get(r, "path");
    /* one more than tuning says: the run whose weights it leaves */
    const double runs = dear * (1 + json_number_value(json_object_get(r, "spent_runs")));
    const double seconds = json_number_value(json_object_get(r, "seconds"));
    json_t *first = json_object_get(json_array_get(path, 0), "objective");
    json_t *best = json_object_get(r, "best_objective");
    json_t *entry = json_pack("{s:s,s:O?,s:s,s:O?,s:O?,s:O?,s:f}", "name", from->name, "trial",
                              json_object_get(from->from, "trial"), "folder", from->folder,
                              "searched", json_object_get(from->from, "value"), "start", first,
                              "objective", best, "runs", runs);

    for (size_t i = 0; i < COUNT(kept); i++)
        json_object_set(entry, kept[i], json_object_get(r, kept[i]));
    if (!entry ||
        json_array_append_new(json_object_get(p->record[CFG_STAGE_REFINE], "starts"), entry) != 0)
        return FAIL(p->s->ctx, DRMAD_E_NOMEM, "out of memory for what was refined");
    return stage_save(p, CFG_STAGE_REFINE, runs, seconds);
}

/* Each start may use its part of what is left: what one does not use is the next one's. */
static void share_out(const pipeline *p, const start *from, double dear, drmad_study *sub)
{
    config_budget *b = &sub->cfg->set.budget;
    double runs, seconds;

    stage_left(p, CFG_STAGE_REFINE, &runs, &seconds);
    b->runs = runs / (double)from->left / dear;
    b->minutes = seconds / (double)from->left / 60;
}

static drmad_status refine_one(pipeline *p, const start *from)
{
    sub_voice voice = {p->s, from->name};
    drmad_status st = DRMAD_OK;
    drmad_study *sub = NULL;
    double dear;

    TRY(stage_refined_study(p, json_object_get(from->from, "params"), from->folder, &sub));
    TRY(dearness(p, sub, &dear));
    share_out(p, from, dear, sub);
    sub_listen(sub, &voice);
    base_log(p->s->ctx, LOG_INFO, "refining %s", from->name);
    st = study_tune(sub, p->resume);
    if (st == DRMAD_E_DIVERGED) { /* the others may do better; the result says what was tried */
        base_log(p->s->ctx, LOG_WARN, "%s: %s", from->name, drmad_errmsg(p->s->ctx));
        st = DRMAD_OK;
    }
    TRY(st);
    TRY(put_start(p, from, sub, dear));
done:
    drmad_study_free(sub);
    return st;
}

static void name_start(start *s, const json_t *from)
{
    const long long number = json_integer_value(json_object_get(from, "trial"));

    s->from = from;
    snprintf(s->name, sizeof s->name, "refined start");
    snprintf(s->folder, sizeof s->folder, "refine/start");
    if (!from) return;
    snprintf(s->name, sizeof s->name, "refined trial %lld", number);
    snprintf(s->folder, sizeof s->folder, "refine/%lld", number);
}

drmad_status stage_refine(pipeline *p)
{
    const config_stage *t = stage_of(p, CFG_STAGE_REFINE);
    const json_t *top = json_object_get(p->record[CFG_STAGE_SEARCH], "top");
    const size_t found = json_array_size(top), most = (size_t)t->top;
    const size_t n = !top ? 1 : found < most ? found : most;
    drmad_status st = DRMAD_OK;
    start from;

    if (!json_object_get(p->record[CFG_STAGE_REFINE], "starts"))
        TRY(stage_put(p, CFG_STAGE_REFINE, "starts", json_array()));
    size_t i = json_array_size(json_object_get(p->record[CFG_STAGE_REFINE], "starts"));
    for (; i < n; i++) {
        name_start(&from, json_array_get(top, i));
        from.left = n - i;
        TRY(refine_one(p, &from));
    }
done:
    return st;
}
