/* The space that a study declares. What is wrong is said with the key and its place in the file. */
#include "space/search_inside.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct entry {
    const config *c;
    const config_parameter *p;
    int32_t i;
} entry;

/* Refuses by `key` of the entry what the context's message says; other failures stay as they are.
 */
static drmad_status refused(const entry *e, const char *key, drmad_status st)
{
    char path[64], why[512];

    if (st != DRMAD_E_CONFIG) return st;
    snprintf(path, sizeof path, "parameters.%d.%s", (int)e->i, key);
    snprintf(why, sizeof why, "%s", drmad_errmsg(e->c->ctx));
    return config_refuse(e->c, path, "%s", why);
}

static drmad_status refuse(const entry *e, const char *key, const char *why)
{
    return refused(e, key, FAIL(e->c->ctx, DRMAD_E_CONFIG, "%s", why));
}

/* Keys of the other type of parameter would be of no effect, which is never meant. */
static drmad_status check_type(const entry *e)
{
    const config_parameter *p = e->p;

    if (p->type == CFG_PARAMETER_CATEGORICAL) {
        if (!isnan(p->low)) return refuse(e, "low", "a categorical has choices, no range");
        if (!isnan(p->high)) return refuse(e, "high", "a categorical has choices, no range");
        if (p->log) return refuse(e, "log", "is for numbers only");
        if (p->step != 0) return refuse(e, "step", "is for numbers only");
        if (p->prior != CFG_PRIOR_UNIFORM)
            return refuse(e, "prior", "is for numbers only; choices have weights");
        if (p->weights.n > 0 && p->weights.n != p->choices.n)
            return refuse(e, "weights", "must be as many as the choices");
    } else {
        if (p->choices.n > 0) return refuse(e, "choices", "are for a categorical only");
        if (p->weights.n > 0) return refuse(e, "weights", "are for a categorical only");
        if (p->ordered) return refuse(e, "ordered", "is for a categorical only");
    }
    if (p->prior == CFG_PRIOR_UNIFORM && !isnan(p->mean))
        return refuse(e, "mean", "is for prior: normal or log-normal");
    if (p->prior == CFG_PRIOR_UNIFORM && !isnan(p->sd))
        return refuse(e, "sd", "is for prior: normal or log-normal");
    return DRMAD_OK;
}

static drmad_status copy_choices(drmad_ctx *ctx, const config_parameter *c, search_param *p)
{
    drmad_status st = DRMAD_OK;
    size_t n = (size_t)c->choices.n;

    TRY(mem_alloc(ctx, n + 1, sizeof *p->choices, &p->choices));
    for (; p->n_choices < c->choices.n; p->n_choices++)
        TRY(mem_strdup(ctx, c->choices.at[p->n_choices], &p->choices[p->n_choices]));
    if (c->weights.n > 0) {
        TRY(mem_alloc(ctx, n, sizeof *p->weights, &p->weights));
        memcpy(p->weights, c->weights.at, n * sizeof *p->weights);
    }
done:
    return st;
}

static drmad_status copy_numbers(const entry *e, search_param *p)
{
    static const search_type types[] = {SEARCH_FLOAT, SEARCH_INT, SEARCH_CATEGORICAL};
    static const search_prior priors[] = {PRIOR_UNIFORM, PRIOR_NORMAL, PRIOR_LOG_NORMAL};
    drmad_status st = DRMAD_OK;
    const config_parameter *c = e->p;

    TRY(mem_strdup(e->c->ctx, c->name, &p->name));
    p->type = types[c->type];
    p->log = c->log, p->ordered = c->ordered;
    p->low = c->low, p->high = c->high, p->step = c->step;
    p->prior = priors[c->prior], p->mean = c->mean, p->sd = c->sd;
    if (c->type == CFG_PARAMETER_CATEGORICAL) TRY(copy_choices(e->c->ctx, c, p));
done:
    return st;
}

/* What needs the others: the condition, and what must not be there twice. */
static drmad_status bind(const entry *e, search *s, search_param *p)
{
    drmad_status st = DRMAD_OK;

    if (strlen(p->name) > SEARCH_NAME_MAX) return refuse(e, "name", "is longer than 512 bytes");
    if (search_find(s, p->name) >= 0) return refuse(e, "name", "is another parameter's already");
    if (!e->p->when[0]) return st;
    TRY(refused(e, "when", expr_parse(s->ctx, e->p->when, search_param_known, s, &p->when)));
    if (!expr_name(p->when, 0)) return refuse(e, "when", "names no parameter");
done:
    return st;
}

static void warn_of_high(const entry *e, const search_param *p)
{
    if (p->type != SEARCH_CATEGORICAL && p->high != e->p->high)
        base_log(e->c->ctx, LOG_WARN,
                 "parameters.%d.high: %g is not on the grid of step %g; the last value is %g",
                 (int)e->i, e->p->high, p->step, p->high);
}

static drmad_status add(const entry *e, search *s)
{
    drmad_status st = DRMAD_OK;
    char why[SEARCH_WHY_BYTES];
    search_param *p = NULL;
    const char *key;
    int32_t index;

    TRY(check_type(e));
    TRY(mem_alloc(s->ctx, 1, sizeof *p, &p));
    TRY(copy_numbers(e, p));
    TRY(bind(e, s, p));
    if (p->type == SEARCH_CATEGORICAL)
        TRY(refused(e, "choices", search_choices_prepare(s->ctx, p)));
    key = search_param_fault(p, why);
    if (key) {
        st = refuse(e, key, why);
        goto done;
    }
    warn_of_high(e, p);
    if (e->p->fixed[0]) {
        TRY(refused(e, "fixed", search_value_of_text(s->ctx, p, e->p->fixed, &p->fixed_value)));
        p->fixed = true;
    }
    st = search_add(s, p, &index);
    p = NULL;
done:
    search_param_free(s->ctx, p);
    return st;
}

static drmad_status add_rule(const config *c, search *s, int32_t i)
{
    char path[64], why[512];
    drmad_status st = search_add_rule(s, c->set.search.constraints.at[i]);

    if (st != DRMAD_E_CONFIG) return st;
    snprintf(path, sizeof path, "search.constraints.%d", (int)i);
    snprintf(why, sizeof why, "%s", drmad_errmsg(c->ctx));
    return config_refuse(c, path, "%s", why);
}

/* Queued points are parsed here once, so that a wrong one ends the job before it begins. */
static drmad_status check_queued(const config *c, const search *s, double *x, int32_t i)
{
    char path[64], why[512];
    drmad_status st = search_parse(s, c->set.search.enqueue.at[i], x);

    if (st != DRMAD_E_CONFIG) return st;
    snprintf(path, sizeof path, "search.enqueue.%d", (int)i);
    snprintf(why, sizeof why, "%s", drmad_errmsg(c->ctx));
    return config_refuse(c, path, "%s", why);
}

drmad_status search_from_config(const config *c, search **out)
{
    drmad_status st = DRMAD_OK;
    const config_study *set = &c->set;
    double *x = NULL;
    search *s = NULL;

    *out = NULL;
    TRY(search_new(c->ctx, &s));
    for (int32_t i = 0; i < set->parameters.n; i++)
        TRY(add(&(entry){c, &set->parameters.at[i], i}, s));
    for (int32_t i = 0; i < set->search.constraints.n; i++) TRY(add_rule(c, s, i));
    TRY(mem_alloc(c->ctx, (size_t)s->n + 1, sizeof *x, &x));
    for (int32_t i = 0; i < set->search.enqueue.n; i++) TRY(check_queued(c, s, x, i));
    *out = s, s = NULL;
done:
    mem_free(c->ctx, x);
    search_free(s);
    return st;
}
