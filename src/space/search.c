/* A space's life, and points in it: drawn, completed, checked. */
#include "space/search.h"
#include "base/number.h"
#include "space/search_inside.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

drmad_status search_new(drmad_ctx *ctx, search **out)
{
    drmad_status st = DRMAD_OK;

    TRY(mem_alloc(ctx, 1, sizeof **out, out));
    (*out)->ctx = ctx;
done:
    return st;
}

void search_free(search *s)
{
    if (!s) return;
    for (int32_t i = 0; i < s->n; i++) search_param_clear(s->ctx, &s->params[i]);
    for (int32_t i = 0; i < s->n_rules; i++) expr_free(s->ctx, s->rules[i]);
    mem_free(s->ctx, s->params);
    mem_free(s->ctx, s->rules);
    mem_free(s->ctx, s);
}

int32_t search_find(const search *s, const char *name)
{
    for (int32_t i = 0; i < s->n; i++)
        if (strcmp(s->params[i].name, name) == 0) return i;
    return -1;
}

/* ---- adding ---- */

static drmad_status check_same(drmad_ctx *ctx, const search_param *old, const search_param *new)
{
    char name[EXPR_SHOWN_BYTES];
    bool same =
        old->type == new->type && old->log == new->log &&
        (old->type != SEARCH_CATEGORICAL || strcmp(old->distribution, new->distribution) == 0);

    if (same) return DRMAD_OK;
    return FAIL(ctx, DRMAD_E_CONFIG,
                "parameter %s: was declared before with another type, log or other choices, which "
                "must stay the same within a study; give it another name",
                expr_shown(new->name, name));
}

/* Checks and fills in all but its condition. */
static drmad_status prepare(drmad_ctx *ctx, search_param *p)
{
    drmad_status st = DRMAD_OK;
    char why[SEARCH_WHY_BYTES], name[EXPR_SHOWN_BYTES];
    const char *key = NULL;

    expr_shown(p->name, name);
    if (!p->name[0] || strlen(p->name) > SEARCH_NAME_MAX)
        return FAIL(ctx, DRMAD_E_CONFIG, "parameter \"%s\": its name must have 1 to %d bytes", name,
                    SEARCH_NAME_MAX);
    if (p->type == SEARCH_CATEGORICAL) st = search_choices_prepare(ctx, p);
    if (st == DRMAD_E_CONFIG) {
        snprintf(why, sizeof why, "%s", drmad_errmsg(ctx));
        st = FAIL(ctx, st, "parameter %s: choices: %s", name, why);
    }
    TRY(st);
    key = search_param_fault(p, why);
    if (key) return FAIL(ctx, DRMAD_E_CONFIG, "parameter %s: %s: %s", name, key, why);
    if (p->fixed && search_value_fault(p, p->fixed_value, why))
        return FAIL(ctx, DRMAD_E_CONFIG, "parameter %s: fixed: %s", name, why);
    if (!p->distribution) TRY(search_distribution_print(ctx, p, &p->distribution));
done:
    return st;
}

drmad_status search_add(search *s, search_param *p, int32_t *index)
{
    drmad_status st = DRMAD_OK;

    *index = -1;
    TRY(prepare(s->ctx, p));
    int32_t at = search_find(s, p->name);

    if (at >= 0) {
        TRY(check_same(s->ctx, &s->params[at], p));
        search_param_clear(s->ctx, &s->params[at]);
    } else {
        TRY(mem_resize(s->ctx, &s->params, (size_t)s->n, (size_t)s->n + 1, sizeof *p));
        at = s->n++;
    }
    s->params[at] = *p;
    *p = (search_param){0};
    *index = at;
done:
    search_param_free(s->ctx, p);
    return st;
}

enum expr_type search_param_known(void *user, const char *name)
{
    const search *s = user;
    int32_t i = search_find(s, name);

    if (i < 0) return EXPR_MISSING;
    const search_param *p = &s->params[i];

    for (int32_t k = 0; k < p->n_choices; k++)
        if (p->choices[k][0] != '"' && strcmp(p->choices[k], "null") != 0) return EXPR_NUMBER;
    return p->type == SEARCH_CATEGORICAL ? EXPR_TEXT : EXPR_NUMBER;
}

drmad_status search_add_rule(search *s, const char *rule)
{
    drmad_status st = DRMAD_OK;
    expr *e = NULL;

    TRY(expr_parse(s->ctx, rule, search_param_known, s, &e));
    TRY(mem_resize(s->ctx, &s->rules, (size_t)s->n_rules, (size_t)s->n_rules + 1, sizeof e));
    s->rules[s->n_rules++] = e;
    e = NULL;
done:
    expr_free(s->ctx, e);
    return st;
}

/* ---- points ---- */

typedef struct point {
    const search *s;
    const double *x;
    int32_t known; /* only the first ones have their value */
} point;

static expr_value choice_value(const search_param *p, int32_t i)
{
    const char *json = p->choices[i];
    expr_value v = {.type = EXPR_NUMBER, .number = strcmp(json, "true") == 0};

    if (json[0] == '"' || strcmp(json, "null") == 0)
        return (expr_value){.type = EXPR_TEXT, .text = p->texts[i]};
    if (strcmp(json, "true") != 0 && strcmp(json, "false") != 0)
        number_read(p->texts[i], &v.number);
    return v;
}

static expr_value look_up(void *user, const char *name)
{
    const point *at = user;
    int32_t i = search_find(at->s, name);

    if (i < 0 || i >= at->known || isnan(at->x[i])) return (expr_value){.type = EXPR_MISSING};
    const search_param *p = &at->s->params[i];

    if (p->type == SEARCH_CATEGORICAL) return choice_value(p, (int32_t)at->x[i]);
    return (expr_value){.type = EXPR_NUMBER, .number = at->x[i]};
}

/* Whether parameter i is there, given the values before it. */
static drmad_status is_there(const search *s, const double *x, int32_t i, bool *out)
{
    drmad_status st = DRMAD_OK;
    const search_param *p = &s->params[i];
    expr_truth truth = EXPR_TRUE;

    if (p->when) TRY(expr_eval(s->ctx, p->when, look_up, &(point){s, x, i}, &truth));
    *out = truth == EXPR_TRUE;
done:
    return st;
}

static drmad_status first_broken(const search *s, const double *x, int32_t *broken)
{
    drmad_status st = DRMAD_OK;
    expr_truth truth;

    *broken = -1;
    for (int32_t i = 0; i < s->n_rules && *broken < 0; i++) {
        TRY(expr_eval(s->ctx, s->rules[i], look_up, &(point){s, x, s->n}, &truth));
        if (truth == EXPR_FALSE) *broken = i;
    }
done:
    return st;
}

drmad_status search_complete(const search *s, const double *u, double *x, int32_t *broken)
{
    drmad_status st = DRMAD_OK;
    bool there;

    *broken = -1;
    for (int32_t i = 0; i < s->n; i++) {
        TRY(is_there(s, x, i, &there));
        if (!there) x[i] = NAN;
        else if (isnan(x[i])) x[i] = search_draw_one(&s->params[i], u[i]);
    }
    TRY(first_broken(s, x, broken));
done:
    return st;
}

drmad_status search_draw(const search *s, const double *u, double *x, int32_t *broken)
{
    for (int32_t i = 0; i < s->n; i++) x[i] = NAN;
    return search_complete(s, u, x, broken);
}

static drmad_status check_one(const search *s, const double *x, int32_t i)
{
    drmad_status st = DRMAD_OK;
    const search_param *p = &s->params[i];
    char why[SEARCH_WHY_BYTES], name[EXPR_SHOWN_BYTES], when[EXPR_SHOWN_BYTES];
    bool there;

    expr_shown(p->name, name);
    if (!isnan(x[i]) && search_value_fault(p, x[i], why))
        return FAIL(s->ctx, DRMAD_E_CONFIG, "parameter %s: %s", name, why);
    TRY(is_there(s, x, i, &there));
    if (there && isnan(x[i]))
        return FAIL(s->ctx, DRMAD_E_CONFIG, "parameter %s: has no value; give one", name);
    if (!there && !isnan(x[i]))
        return FAIL(s->ctx, DRMAD_E_CONFIG,
                    "parameter %s: has a value, but its condition %s does not hold; leave it out",
                    name, expr_shown(expr_text(p->when), when));
done:
    return st;
}

drmad_status search_check(const search *s, const double *x)
{
    drmad_status st = DRMAD_OK;
    char rule[EXPR_SHOWN_BYTES];
    int32_t broken;

    for (int32_t i = 0; i < s->n; i++) TRY(check_one(s, x, i));
    TRY(first_broken(s, x, &broken));
    if (broken >= 0)
        return FAIL(s->ctx, DRMAD_E_CONFIG, "the point breaks the rule %s",
                    expr_shown(expr_text(s->rules[broken]), rule));
done:
    return st;
}
