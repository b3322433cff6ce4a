/* The stages of a rally: what must agree, and the `auto`s that follow. */
#include "config/config_inside.h"
#include <math.h>
#include <stdio.h>

static drmad_status refuse(const config *c, int32_t leg, const char *key, const char *why)
{
    char path[64];

    snprintf(path, sizeof path, "rally.%d.%s", (int)leg, key);
    return config_refuse(c, path, "%s", why);
}

/* What a rally does not go with. */
static drmad_status check_others(const config *c)
{
    const config_study *s = &c->set;
    int later = 0;

    if (s->stages.n > 0 || s->parameters.n > 0)
        return config_refuse(c, s->stages.n > 0 ? "stages" : "parameters",
                             "a search is a study of its own: leave it out beside rally");
    if (s->hyper.n == 0)
        return config_refuse(c, "rally", "needs something in hyper: every stage tunes it");
    for (int32_t i = 0; i < s->hyper.n; i++) later += s->hyper.at[i].kind != HYPER_INIT_SCALE;
    if (later == 0 && s->rally.n > 1)
        return config_refuse(c, "hyper",
                             "has nothing that a later stage of the rally could tune: "
                             "initial scales are the first one's");
    if (s->outer.fresh_split)
        return config_refuse(c, "outer.fresh_split",
                             "the weights that a rally carries over would have been trained on "
                             "what is validation data afterwards");
    if (s->baselines.random > 0) return config_refuse(c, "baselines.random", "is not for a rally");
    return DRMAD_OK;
}

/* Shares and counts of examples are told apart by size alone: 1 is all. */
static drmad_status check_leg(const config *c, int32_t i)
{
    const config_study *s = &c->set;
    const double all = (double)s->data.train, now = s->rally.at[i].examples;
    const double before = i > 0 ? s->rally.at[i - 1].examples : 0;

    if (!(now > 0)) return refuse(c, i, "examples", "is 0: a share up to 1 or a count is needed");
    if (now > 1 && now != floor(now)) return refuse(c, i, "examples", "is no whole number");
    if (all > 0 && now > all) return refuse(c, i, "examples", "is above data.train");
    if (i == 0 && s->rally.at[i].grow.n > 0)
        return refuse(c, i, "grow", "the first stage has nothing to grow from: see model.grow");
    if ((now > 1) == (before > 1) && now < before)
        return refuse(c, i, "examples", "is below that of the stage before");
    return DRMAD_OK;
}

static drmad_status resolve_shares(config *c)
{
    config_study *s = &c->set;
    double given = 0, open = 0;

    for (int32_t i = 0; i < s->rally.n; i++) {
        const config_leg *l = &s->rally.at[i];

        if (isnan(l->share)) open += (double)l->steps * (double)(l->meta_steps + 1);
        else given += l->share;
    }
    if (given > 1 + 1e-9)
        return refuse(c, s->rally.n - 1, "share", "all shares together are above 1");
    for (int32_t i = 0; i < s->rally.n; i++) {
        config_leg *l = &s->rally.at[i];

        if (isnan(l->share))
            l->share = fmax(0, 1 - given) * (double)l->steps * (double)(l->meta_steps + 1) / open;
    }
    return DRMAD_OK;
}

drmad_status config_check_rally(config *c)
{
    config_study *s = &c->set;
    drmad_status st = DRMAD_OK;

    if (s->rally.n == 0) return DRMAD_OK;
    TRY(check_others(c));
    for (int32_t i = 0; i < s->rally.n; i++) {
        config_leg *l = &s->rally.at[i];

        if (l->steps == 0) l->steps = s->train.steps;
        if (l->meta_steps < 0) l->meta_steps = s->outer.steps;
        TRY(check_leg(c, i));
    }
    TRY(resolve_shares(c));
done:
    return st;
}
