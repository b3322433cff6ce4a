/* The stages of a pipeline: what must agree, and the shares that follow. */
#include "config/config_inside.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static drmad_status refuse(const config *c, int32_t stage, const char *key, const char *why)
{
    char path[64];

    snprintf(path, sizeof path, "stages.%d.%s", (int)stage, key);
    return config_refuse(c, path, "%s", why);
}

static bool has(const config_study *s, int run)
{
    for (int32_t i = 0; i < s->stages.n; i++)
        if (s->stages.at[i].run == run) return true;
    return false;
}

/* What a stage needs of the rest of the study. */
static drmad_status check_needs(const config *c, int32_t i)
{
    const config_study *s = &c->set;
    const int run = s->stages.at[i].run;

    if (i > 0 && run <= s->stages.at[i - 1].run)
        return refuse(c, i, "run", "the order is search, refine, retrain, each once at most");
    if (run == CFG_STAGE_SEARCH && s->parameters.n == 0)
        return refuse(c, i, "run", "search needs something in parameters");
    if (run == CFG_STAGE_REFINE && s->hyper.n == 0)
        return refuse(c, i, "run", "refine needs something in hyper");
    if (run != CFG_STAGE_RETRAIN || i > 0) return DRMAD_OK;
    return refuse(c, i, "run", "retrain needs a stage before it");
}

/* Keys of other stages are refused: they would do nothing. */
static drmad_status check_keys(const config *c, int32_t i)
{
    const config_stage *t = &c->set.stages.at[i];

    if (t->run != CFG_STAGE_REFINE && t->steps > 0)
        return refuse(c, i, "steps", "is only for run: refine");
    if (t->run != CFG_STAGE_REFINE && t->loosen > 0)
        return refuse(c, i, "loosen", "is only for run: refine");
    if (t->run != CFG_STAGE_RETRAIN && t->seeds > 0)
        return refuse(c, i, "seeds", "is only for run: retrain");
    if (t->run == CFG_STAGE_SEARCH && t->top > 0)
        return refuse(c, i, "top", "is only for run: refine and run: retrain");
    if (t->top > 1 && !has(&c->set, CFG_STAGE_SEARCH))
        return refuse(c, i, "top", "needs a search before it");
    return DRMAD_OK;
}

static drmad_status resolve_shares(config *c)
{
    static const double weight[] = {5, 4, 1};
    config_study *s = &c->set;
    double given = 0, open = 0;

    for (int32_t i = 0; i < s->stages.n; i++) {
        const config_stage *t = &s->stages.at[i];

        if (isnan(t->share)) open += weight[t->run];
        else given += t->share;
    }
    if (given > 1 + 1e-9)
        return refuse(c, s->stages.n - 1, "share", "all shares together are above 1");
    for (int32_t i = 0; i < s->stages.n; i++) {
        config_stage *t = &s->stages.at[i];

        if (isnan(t->share)) t->share = fmax(0, 1 - given) * weight[t->run] / open;
    }
    return DRMAD_OK;
}

static void resolve_counts(config_study *s)
{
    const bool refined = has(s, CFG_STAGE_REFINE), searched = has(s, CFG_STAGE_SEARCH);

    for (int32_t i = 0; i < s->stages.n; i++) {
        config_stage *t = &s->stages.at[i];
        const bool refine = t->run == CFG_STAGE_REFINE;

        if (t->top == 0) t->top = searched && (refine || !refined) ? 3 : 1;
        if (refine && t->steps == 0) t->steps = s->outer.steps;
        if (t->run == CFG_STAGE_RETRAIN && t->seeds == 0)
            t->seeds = s->retrain.seeds > 0 ? s->retrain.seeds : 1;
    }
}

static drmad_status check_compare(const config *c)
{
    static const char *const words[] = {"search", "random", "refine"};
    const config_study *s = &c->set;
    char path[64];

    for (int32_t i = 0; i < s->compare.n; i++) {
        const char *word = s->compare.at[i];
        size_t k = 0;

        while (k < COUNT(words) && strcmp(words[k], word) != 0) k++;
        snprintf(path, sizeof path, "compare.%d", (int)i);
        if (k == COUNT(words))
            return config_refuse(c, path, "\"%.40s\" is none of search, random, refine", word);
        if (s->stages.n < 2 || s->stages.at[s->stages.n - 1].run != CFG_STAGE_RETRAIN)
            return config_refuse(c, path, "needs stages that end with retrain");
        if (k < 2 && s->parameters.n == 0)
            return config_refuse(c, path, "%s needs something in parameters", word);
        if (k == 2 && s->hyper.n == 0)
            return config_refuse(c, path, "refine needs something in hyper");
        for (int32_t j = 0; j < i; j++)
            if (strcmp(s->compare.at[j], word) == 0)
                return config_refuse(c, path, "%s stands here twice", word);
    }
    return DRMAD_OK;
}

/* The declaration that starts from parameter `name`; -1: none. */
static int32_t started_by(const config_study *s, const char *name)
{
    double said;

    for (int32_t i = 0; i < s->hyper.n; i++) {
        const char *key = config_said(s, (hyper_kind)s->hyper.at[i].kind, &said);

        if (key && !s->hyper.at[i].multiplier && strcmp(key, name) == 0) return i;
    }
    return -1;
}

/* Before `auto`s are resolved: no declaration has another start than the one that is searched. */
static drmad_status check_one_start(const config *c)
{
    const config_study *s = &c->set;
    char path[64];

    for (int32_t i = 0; i < s->parameters.n && s->stages.n > 0; i++) {
        const int32_t k = started_by(s, s->parameters.at[i].name);

        if (k < 0 || isnan(s->hyper.at[k].start)) continue;
        snprintf(path, sizeof path, "hyper.%d.start", (int)k);
        return config_refuse(c, path, "parameters choose %s, which is the start: leave it out",
                             s->parameters.at[i].name);
    }
    return DRMAD_OK;
}

drmad_status config_check_starts(const config *c)
{
    const config_study *s = &c->set;
    char why[256], path[64];

    for (int32_t i = 0; i < s->parameters.n && s->stages.n > 0; i++) {
        const config_parameter *p = &s->parameters.at[i];
        const int32_t k = started_by(s, p->name);
        const double ends[] = {p->low, p->high};

        for (int e = 0; e < 2 && k >= 0 && p->choices.n == 0; e++) {
            const config_hyper *h = &s->hyper.at[k];
            const hyper_bounds b = {(hyper_kind)h->kind,
                                    (hyper_transform)h->transform,
                                    h->low,
                                    h->high,
                                    ends[e],
                                    false};

            if (ends[e] > 0 && !hyper_check_bounds(&b, why, sizeof why)) continue;
            snprintf(path, sizeof path, "parameters.%d.%s", (int)i, e ? "high" : "low");
            return config_refuse(c, path, "%g is no start for hyper.%d: %s", ends[e], (int)k,
                                 ends[e] > 0 ? why : "it must be above 0");
        }
    }
    return DRMAD_OK;
}

drmad_status config_check_stages(config *c)
{
    drmad_status st = DRMAD_OK;

    for (int32_t i = 0; i < c->set.stages.n; i++) {
        TRY(check_needs(c, i));
        TRY(check_keys(c, i));
    }
    if (c->set.stages.n > 0 && c->set.objective.cmd[0])
        TRY(config_refuse(c, "objective.cmd", "stages are for drmad's own training"));
    if (c->set.stages.n > 0 && c->set.objective.run == CFG_RUN_TUNE)
        TRY(config_refuse(c, "objective.run", "with stages a trial is one training: train"));
    TRY(check_one_start(c));
    TRY(resolve_shares(c));
    resolve_counts(&c->set);
    TRY(check_compare(c));
done:
    return st;
}
