/* What a pipeline is held against: the same budget spent otherwise, each as a pipeline of its own
 * with fewer stages. */
#include "compose/stages.h"
#include <stdio.h>
#include <string.h>

/* Training runs of the last stage, the same number for all. */
static size_t candidates(const pipeline *p)
{
    return json_array_size(json_object_get(p->record[CFG_STAGE_RETRAIN], "candidates"));
}

/* Where its trials are: beside the pipeline's, under a name of its own. */
static drmad_status set_store(const pipeline *p, const char *word, drmad_study *sub)
{
    const config_study *c = &p->s->cfg->set;
    const char *mark = strchr(c->store, '#'), *name = mark && mark[1] ? mark + 1 : c->name;
    const size_t n = mark ? (size_t)(mark - c->store) : strlen(c->store);
    drmad_status st = DRMAD_OK;

    TRY(sub_set(sub, "name", "%s-%s", c->name, word));
    if (n == 0) TRY(config_set(sub->cfg, "store", ""));
    else TRY(sub_set(sub, "store", "%.*s#%s-%s", (int)n, c->store, name, word));
done:
    return st;
}

/* Without a budget: what the stages before the last one took. */
static drmad_status set_budget(const pipeline *p, drmad_study *sub, double *share)
{
    const config_study *c = &p->s->cfg->set;
    const double spent =
        stage_number(p, CFG_STAGE_SEARCH, "runs") + stage_number(p, CFG_STAGE_REFINE, "runs");

    *share = 1 - stage_of(p, CFG_STAGE_RETRAIN)->share;
    if (c->budget.runs > 0 || c->budget.minutes > 0) return DRMAD_OK;
    *share = 1;
    return sub_set(sub, "budget.runs", "%.17g", spent);
}

static drmad_status set_stages(const pipeline *p, const char *word, double share, drmad_study *sub)
{
    const config_stage *last = stage_of(p, CFG_STAGE_RETRAIN), *t = stage_of(p, CFG_STAGE_REFINE);
    const long long seeds = (long long)last->seeds;
    drmad_status st = DRMAD_OK;
    char loosen[32] = "none";

    if (t && t->loosen > 0) snprintf(loosen, sizeof loosen, "%lld", (long long)t->loosen);
    if (strcmp(word, "refine") == 0)
        return sub_set(sub, "stages",
                       "[{run: refine, share: %.17g, steps: 1000000000, loosen: %s}, "
                       "{run: retrain, share: 0, seeds: %lld}]",
                       share, loosen, seeds);
    if (strcmp(word, "random") == 0) TRY(config_set(sub->cfg, "search.sampler", "random"));
    TRY(config_set(sub->cfg, "search.trials", "none"));
    TRY(sub_set(sub, "stages",
                "[{run: search, share: %.17g}, {run: retrain, share: 0, top: %zu, seeds: %lld}]",
                share, candidates(p), seeds));
done:
    return st;
}

static drmad_status make_study(const pipeline *p, const char *word, drmad_study **out)
{
    drmad_status st = DRMAD_OK;
    drmad_study *sub = NULL;
    double share;

    *out = NULL;
    TRY(study_from_text(p->s->ctx, p->s->given, &sub));
    sub->lender = p->s->s;
    TRY(set_store(p, word, sub));
    TRY(sub_set(sub, "output.dir", "%s/compare/%s", folder_path(p->s->f), word));
    TRY(config_set(sub->cfg, "compare", "[]"));
    TRY(set_budget(p, sub, &share));
    TRY(set_stages(p, word, share, sub));
    TRY(study_finish_load(sub));
    *out = sub, sub = NULL;
done:
    drmad_study_free(sub);
    return st;
}

static drmad_status compare_one(pipeline *p, const char *word)
{
    sub_voice voice = {p->s, word};
    drmad_status st = DRMAD_OK;
    drmad_study *sub = NULL;

    TRY(make_study(p, word, &sub));
    sub_listen(sub, &voice);
    base_log(p->s->ctx, LOG_INFO, "the same budget for %s alone", word);
    st = drmad_study_tune(sub, p->resume);
    if (st == DRMAD_E_DIVERGED) st = DRMAD_OK; /* a comparison may come to nothing */
    TRY(st);
    json_t *entry = json_pack("{s:s,s:O?,s:O?,s:O?}", "name", word, "winner",
                              json_object_get(sub->result, "winner"), "spent",
                              json_object_get(sub->result, "spent"), "stages",
                              json_object_get(sub->result, "stages"));
    if (!entry || json_array_append_new(p->compared, entry) != 0)
        TRY(FAIL(p->s->ctx, DRMAD_E_NOMEM, "out of memory for the comparison"));
done:
    drmad_study_free(sub);
    return st;
}

drmad_status stage_compare(pipeline *p)
{
    const config_study *c = &p->s->cfg->set;
    drmad_status st = DRMAD_OK;

    for (int32_t i = 0; i < c->compare.n; i++) TRY(compare_one(p, c->compare.at[i]));
done:
    return st;
}
