/* What samplers and pruners see of the past. */
#include "trials/past.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- points of a space ---- */

static int32_t find_value(const past *p, const past_trial *t, const char *name)
{
    for (int32_t i = 0; i < t->n_params; i++)
        if (strcmp(p->params[t->which[i]].name, name) == 0) return i;
    return -1;
}

static drmad_status take_slope(const past *p, past_trial *t)
{
    const search *space = p->space;
    drmad_status st = DRMAD_OK;

    if (!t->gradient) return st;
    TRY(mem_alloc(p->ctx, (size_t)space->n + 1, sizeof *t->slope, &t->slope));
    for (int32_t i = 0; i < space->n; i++) {
        const json_t *j = json_object_get(t->gradient, space->params[i].name);

        t->slope[i] = json_is_number(j) ? p->sign * json_number_value(j) : NAN;
    }
done:
    return st;
}

static drmad_status place(const past *p, past_trial *t)
{
    const search *space = p->space;
    drmad_status st = DRMAD_OK;

    TRY(mem_alloc(p->ctx, (size_t)space->n + 1, sizeof *t->x, &t->x));
    for (int32_t i = 0; i < space->n; i++) {
        const int32_t k = find_value(p, t, space->params[i].name);

        t->x[i] = k >= 0 ? t->values[k] : NAN;
    }
    st = search_check(space, t->x);
    t->outside = st == DRMAD_E_CONFIG;
    if (t->outside) st = DRMAD_OK;
    else if (st == DRMAD_OK) st = take_slope(p, t);
done:
    return st;
}

void past_forget_space(past *p)
{
    for (int32_t i = 0; i < p->n; i++) {
        past_trial *t = &p->trials[i];

        mem_free(p->ctx, t->x);
        mem_free(p->ctx, t->slope);
        t->x = t->slope = NULL;
        t->outside = false;
    }
    p->space = NULL;
}

/* ---- observations ---- */

static observed observed_of(const past_trial *t)
{
    switch (t->state) {
    case TRIAL_COMPLETE: return isfinite(t->value) ? OBSERVED_COMPLETE : OBSERVED_FAILED;
    case TRIAL_PRUNED:
        return t->n_reports == 0 || isfinite(t->value) ? OBSERVED_PRUNED : OBSERVED_FAILED;
    case TRIAL_FAIL: return OBSERVED_FAILED;
    default: return OBSERVED_PENDING;
    }
}

static observation observation_of(const past_trial *t)
{
    const observed state = observed_of(t);
    const bool valued = state == OBSERVED_COMPLETE || state == OBSERVED_PRUNED;

    return (observation){
        .number = t->number,
        .state = state,
        .x = t->x,
        .value = valued ? t->value : NAN,
        .step = state == OBSERVED_PRUNED && t->n_reports > 0 ? t->steps[t->n_reports - 1] : 0,
        .gradient = state == OBSERVED_COMPLETE ? t->slope : NULL,
        .note = t->again ? NULL : t->note, /* a copy of another trial's */
    };
}

static drmad_status look(past *p, const search *space, int64_t but, bool lost, history *h)
{
    drmad_status st = DRMAD_OK;

    *h = (history){0};
    if (p->space != space) past_forget_space(p);
    p->space = space;
    mem_free(p->ctx, p->rows);
    p->rows = NULL;
    TRY(mem_alloc(p->ctx, (size_t)p->n + 1, sizeof *p->rows, &p->rows));
    for (int32_t i = 0; i < p->n; i++) {
        past_trial *t = &p->trials[i];
        const bool says = lost || t->state != TRIAL_FAIL || t->failed;

        if (t->number == but || t->n_params == 0 || !says) continue;
        if (!t->x) TRY(place(p, t));
        if (!t->outside) p->rows[h->n++] = observation_of(t);
    }
    h->rows = p->rows;
done:
    return st;
}

drmad_status past_history(past *p, const search *space, int64_t but, history *h)
{
    return look(p, space, but, false, h);
}

drmad_status past_history_all(past *p, const search *space, history *h)
{
    return look(p, space, -1, true, h);
}

/* ---- spaces that trials have made ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(((const past_param *)a)->name, ((const past_param *)b)->name);
}

/* Gives *out; sorts `found`, which is borrowed. */
static drmad_status make_space(drmad_ctx *ctx, past_param *found, int32_t n, search **out)
{
    drmad_status st = DRMAD_OK;
    search_param *param;
    search *s = NULL;
    int32_t index;

    *out = NULL;
    qsort(found, (size_t)n, sizeof *found, by_name);
    TRY(search_new(ctx, &s));
    for (int32_t i = 0; i < n; i++) {
        TRY(search_param_parse(ctx, found[i].name, found[i].distribution, &param));
        TRY(search_add(s, param, &index));
    }
    *out = s, s = NULL;
done:
    search_free(s);
    return st;
}

drmad_status past_shared_space(past *p, search **out)
{
    const size_t room = (size_t)p->n_params + 1;
    drmad_status st = DRMAD_OK;
    int32_t *count = NULL, n = 0, complete = 0;
    past_param *found = NULL;

    *out = NULL;
    TRY(mem_alloc(p->ctx, room, sizeof *count, &count));
    TRY(mem_alloc(p->ctx, room, sizeof *found, &found));
    for (int32_t i = 0; i < p->n; i++) {
        const past_trial *t = &p->trials[i];

        if (t->state != TRIAL_COMPLETE) continue;
        complete++;
        for (int32_t k = 0; k < t->n_params; k++) count[t->which[k]]++;
    }
    for (int32_t i = 0; i < p->n_params; i++)
        if (complete > 0 && count[i] == complete) found[n++] = p->params[i];
    TRY(make_space(p->ctx, found, n, out));
done:
    mem_free(p->ctx, count);
    mem_free(p->ctx, found);
    return st;
}

drmad_status past_named_space(past *p, const past_trial *like, const json_t *names, search **out)
{
    const size_t n = json_array_size(names);
    drmad_status st = DRMAD_OK;
    past_param *found = NULL;
    json_t *name;
    size_t i;

    *out = NULL;
    TRY(mem_alloc(p->ctx, n + 1, sizeof *found, &found));
    json_array_foreach(names, i, name)
    {
        const char *text = json_string_value(name);
        const int32_t k = text ? find_value(p, like, text) : -1;

        if (k < 0)
            TRY(FAIL(p->ctx, DRMAD_E_STORAGE, "trial %lld has no parameter %s",
                     (long long)like->number, text ? text : "of that name"));
        found[i] = p->params[like->which[k]];
    }
    TRY(make_space(p->ctx, found, (int32_t)n, out));
done:
    mem_free(p->ctx, found);
    return st;
}

/* ---- curves ---- */

drmad_status past_curves(past *p, const curve *own, const curve **curves, int32_t *n, int32_t *at)
{
    drmad_status st = DRMAD_OK;

    *n = 0, *at = -1;
    mem_free(p->ctx, p->curves);
    p->curves = NULL;
    TRY(mem_alloc(p->ctx, (size_t)p->n + 1, sizeof *p->curves, &p->curves));
    for (int32_t i = 0; i < p->n; i++) {
        const past_trial *t = &p->trials[i];

        if (*at < 0 && t->number >= own->number) p->curves[ *at = (*n)++] = *own;
        if (t->number == own->number || t->n_reports == 0) continue;
        p->curves[(*n)++] = (curve){t->number, observed_of(t), t->n_reports, t->steps, t->reports};
    }
    if (*at < 0) p->curves[ *at = (*n)++] = *own;
    *curves = p->curves;
done:
    return st;
}
