/* The optimiser of a study: what each kind has, torch.optim's own defaults, and the schedule. */
#include "config/config_inside.h"
#include <math.h>
#include <stdio.h>

/* What a kind has no use for is NAN. */
typedef struct inner_kind {
    const char *word;
    double lr, momentum, beta1, beta2, eps, momentum_decay, weight_decay;
} inner_kind;

static const inner_kind kinds[] = {
    [CFG_INNER_SGD] = {"sgd", 0.1, 0.9, NAN, NAN, NAN, NAN, 0},
    [CFG_INNER_RMSPROP] = {"rmsprop", 0.01, 0, NAN, 0.99, 1e-8, NAN, 0},
    [CFG_INNER_ADAM] = {"adam", 0.001, NAN, 0.9, 0.999, 1e-8, NAN, 0},
    [CFG_INNER_ADAMW] = {"adamw", 0.001, NAN, 0.9, 0.999, 1e-8, NAN, 0.01},
    [CFG_INNER_NADAM] = {"nadam", 0.002, NAN, 0.9, 0.999, 1e-8, 0.004, 0},
};

/* One number: the kind's where the study says nothing; still `auto` where the kind has none. */
static drmad_status settle(const config *c, const inner_kind *k, const char *key, double own,
                           double *value)
{
    char path[64];

    if (isnan(own) && !isnan(*value)) {
        snprintf(path, sizeof path, "optimizer.%s", key);
        return config_refuse(c, path, "%s has none", k->word);
    }
    if (isnan(*value)) *value = own;
    return DRMAD_OK;
}

static drmad_status settle_all(const config *c, config_optimizer *o)
{
    const inner_kind *k = &kinds[o->kind];
    const struct {
        const char *key;
        double own, *value;
    } number[] = {{"lr", k->lr, &o->lr},
                  {"momentum", k->momentum, &o->momentum},
                  {"beta1", k->beta1, &o->beta1},
                  {"beta2", k->beta2, &o->beta2},
                  {"eps", k->eps, &o->eps},
                  {"momentum_decay", k->momentum_decay, &o->momentum_decay},
                  {"weight_decay", k->weight_decay, &o->weight_decay}};
    drmad_status st = DRMAD_OK;

    for (size_t i = 0; i < COUNT(number); i++)
        TRY(settle(c, k, number[i].key, number[i].own, number[i].value));
done:
    return st;
}

/* What torch.optim does not have. */
static drmad_status check_switches(const config *c)
{
    const config_optimizer *o = &c->set.optimizer;
    const char *word = kinds[o->kind].word;
    const bool sgd = o->kind == CFG_INNER_SGD;

    if (!sgd && o->form == CFG_FORM_MACLAURIN)
        return config_refuse(c, "optimizer.form", "maclaurin is a form of sgd, not of %s", word);
    if (!sgd && o->nesterov)
        return config_refuse(c, "optimizer.nesterov", "%s has none%s", word,
                             o->kind == CFG_INNER_RMSPROP ? "" : "; nadam is Adam with it");
    if (!sgd && o->dampening != 0)
        return config_refuse(c, "optimizer.dampening", "%s has none", word);
    if (sgd && o->eps_inside) return config_refuse(c, "optimizer.eps_inside", "sgd has no eps");
    if (o->centered && o->kind != CFG_INNER_RMSPROP)
        return config_refuse(c, "optimizer.centered", "is only for rmsprop");
    if (o->decoupled && o->kind == CFG_INNER_ADAM)
        return config_refuse(c, "optimizer.decoupled", "adam with it is kind: adamw");
    if (o->decoupled && o->kind == CFG_INNER_RMSPROP)
        return config_refuse(c, "optimizer.decoupled", "rmsprop has no decoupled decay");
    if (o->nesterov && (o->momentum <= 0 || o->dampening != 0))
        return config_refuse(c, "optimizer.nesterov", "needs a momentum above 0 and no dampening");
    if (o->form == CFG_FORM_MACLAURIN && (o->nesterov || o->dampening != 0 || o->decoupled))
        return config_refuse(c, "optimizer.form",
                             "maclaurin has no nesterov, dampening or "
                             "decoupled decay");
    if (o->clip != CFG_CLIP_NONE && o->clip_at <= 0)
        return config_refuse(c, "optimizer.clip_at", "%g would stop all training", o->clip_at);
    return DRMAD_OK;
}

static drmad_status check_schedule(const config *c)
{
    const config_optimizer *o = &c->set.optimizer;
    const bool steps = o->schedule == CFG_SCHEDULE_MULTI_STEP;

    if (o->warmup > c->set.train.steps)
        return config_refuse(c, "optimizer.warmup", "%lld steps, but train.steps is %lld",
                             (long long)o->warmup, (long long)c->set.train.steps);
    if (o->schedule == CFG_SCHEDULE_ONE_CYCLE && o->warmup > 0)
        return config_refuse(c, "optimizer.warmup", "one-cycle has a rise of its own");
    if (steps != (o->milestones.n > 0))
        return config_refuse(c, "optimizer.milestones",
                             steps ? "multi-step needs some" : "are only for multi-step");
    for (int32_t i = 0; i < o->milestones.n; i++)
        if (o->milestones.at[i] != floor(o->milestones.at[i]) ||
            (i > 0 && o->milestones.at[i] < o->milestones.at[i - 1]))
            return config_refuse(c, "optimizer.milestones", "must be whole and rising");
    return DRMAD_OK;
}

/* Whether the schedule has what a declaration tunes. */
static bool schedule_has(const config_optimizer *o, hyper_kind k)
{
    switch (o->schedule) {
    case CFG_SCHEDULE_CONSTANT: return k == HYPER_LR_PEAK;
    case CFG_SCHEDULE_STEP:
    case CFG_SCHEDULE_MULTI_STEP: return k != HYPER_LR_FINAL;
    default: return k != HYPER_LR_GAMMA;
    }
}

/* Declarations that the optimiser has no use for. */
static drmad_status check_kinds(const config *c)
{
    const config_optimizer *o = &c->set.optimizer;
    const inner_kind *k = &kinds[o->kind];
    const struct {
        hyper_kind kind;
        double own;
    } needs[] = {{HYPER_MOMENTUM, k->momentum},
                 {HYPER_BETA1, k->beta1},
                 {HYPER_BETA2, k->beta2},
                 {HYPER_EPS, k->eps}};
    char path[64];

    for (int32_t i = 0; i < c->set.hyper.n; i++) {
        const hyper_kind kind = (hyper_kind)c->set.hyper.at[i].kind;
        snprintf(path, sizeof path, "hyper.%d.kind", (int)i);
        for (size_t j = 0; j < COUNT(needs); j++)
            if (needs[j].kind == kind && isnan(needs[j].own))
                return config_refuse(c, path, "%s has no %s", k->word, hyper_kind_of(kind)->word);
        if (kind == HYPER_CLIP && o->clip == CFG_CLIP_NONE)
            return config_refuse(c, path, "nothing is clipped: optimizer.clip is none");
        if ((kind == HYPER_LR_PEAK || kind == HYPER_LR_FINAL || kind == HYPER_LR_GAMMA) &&
            !schedule_has(o, kind))
            return config_refuse(c, path, "optimizer.schedule has no such parameter");
        if (kind == HYPER_BETA1 && o->kind == CFG_INNER_NADAM && c->set.hyper.at[i].phases != 1)
            return config_refuse(c, path,
                                 "of nadam beta1 must be constant: a product over all steps "
                                 "depends on it");
    }
    return DRMAD_OK;
}

drmad_status config_check_optimizer(config *c)
{
    drmad_status st = DRMAD_OK;

    TRY(settle_all(c, &c->set.optimizer));
    TRY(check_switches(c));
    TRY(check_schedule(c));
    TRY(check_kinds(c));
done:
    return st;
}
