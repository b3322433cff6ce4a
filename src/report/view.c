/* Reads a study, once. */
#include "report/view.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- small lists ---- */

static drmad_status room_for(drmad_ctx *ctx, void *list_ptr, int32_t n, int32_t *room, size_t size)
{
    const int32_t more = 2 * *room + 16;

    if (n < *room) return DRMAD_OK;
    const drmad_status st = mem_resize(ctx, list_ptr, (size_t)*room, (size_t)more, size);
    if (st == DRMAD_OK) *room = more;
    return st;
}

static drmad_status worker_of(view *v, const char *name, int32_t *out)
{
    drmad_status st = DRMAD_OK;

    *out = -1;
    if (!name) return DRMAD_OK;
    for (int32_t i = v->n_workers - 1; i >= 0; i--) {
        if (strcmp(v->workers[i], name) != 0) continue;
        *out = i;
        return DRMAD_OK;
    }
    TRY(room_for(v->ctx, &v->workers, v->n_workers, &v->room_workers, sizeof *v->workers));
    TRY(mem_strdup(v->ctx, name, &v->workers[v->n_workers]));
    *out = v->n_workers++;
done:
    return st;
}

/* ---- parameters ---- */

/* Later ranges widen the first one's. */
static drmad_status widen(view *v, view_param *p, const store_param *from)
{
    search_param *d;

    if (p->d->distribution && strcmp(p->d->distribution, from->distribution) == 0) return DRMAD_OK;
    const drmad_status st = search_param_parse(v->ctx, from->name, from->distribution, &d);
    if (st != DRMAD_OK) return st;
    if (d->type == p->d->type && d->type != SEARCH_CATEGORICAL) {
        p->d->low = fmin(p->d->low, d->low), p->d->high = fmax(p->d->high, d->high);
    }
    search_param_free(v->ctx, d);
    return DRMAD_OK;
}

static drmad_status param_of(view *v, const store_param *from, int32_t *out)
{
    drmad_status st = DRMAD_OK;

    for (int32_t i = 0; i < v->n_params; i++) {
        if (strcmp(v->params[i].name, from->name) != 0) continue;
        *out = i;
        return widen(v, &v->params[i], from);
    }
    TRY(room_for(v->ctx, &v->params, v->n_params, &v->room_params, sizeof *v->params));
    view_param *p = &v->params[v->n_params];
    *p = (view_param){0};
    TRY(mem_strdup(v->ctx, from->name, &p->name));
    *out = v->n_params++; /* view_free looks after it from here */
    TRY(search_param_parse(v->ctx, from->name, from->distribution, &p->d));
done:
    return st;
}

static bool is_value_of(const search_param *d, double x)
{
    return d->type != SEARCH_CATEGORICAL || (x >= 0 && x < d->n_choices);
}

/* ---- trials ---- */

static double seconds_of(const char *text)
{
    struct tm at = {0};
    double s;

    if (!text || sscanf(text, "%d-%d-%d %d:%d:%lf", &at.tm_year, &at.tm_mon, &at.tm_mday,
                        &at.tm_hour, &at.tm_min, &s) != 6)
        return NAN;
    at.tm_year -= 1900, at.tm_mon -= 1;
    return (double)timegm(&at) + s;
}

static drmad_status copy_params(view *v, view_trial *t, const store_trial *from)
{
    drmad_status st = DRMAD_OK;

    TRY(mem_alloc(v->ctx, (size_t)from->n_params + 1, sizeof *t->params, &t->params));
    for (int32_t i = 0; i < from->n_params; i++) {
        const double x = from->params[i].value;
        int32_t p;

        TRY(param_of(v, &from->params[i], &p));
        if (isnan(x) || !is_value_of(v->params[p].d, x)) continue;
        t->params[t->n_params++] = (view_value){p, x};
        v->params[p].complete += from->state == TRIAL_COMPLETE;
    }
done:
    return st;
}

static drmad_status copy_numbers(view *v, view_trial *t, const store_trial *from)
{
    drmad_status st = DRMAD_OK;
    const size_t values = (size_t)from->n_values, reports = (size_t)from->n_reports;

    TRY(mem_alloc(v->ctx, values + 1, sizeof *t->values, &t->values));
    TRY(mem_alloc(v->ctx, reports + 1, sizeof *t->reports, &t->reports));
    for (size_t i = 0; i < values; i++) t->values[i] = from->values[i];
    for (size_t i = 0; i < reports; i++) t->reports[i] = from->reports[i];
    t->n_values = from->n_values, t->n_reports = from->n_reports;
done:
    return st;
}

static drmad_status copy_texts(view *v, view_trial *t, const store_trial *from)
{
    drmad_status st = DRMAD_OK;

    if (from->version) TRY(mem_strdup(v->ctx, from->version, &t->version));
    for (int32_t i = 0; i < from->n_attrs && !t->why; i++) {
        const char *key = from->attrs[i].key;

        if (strcmp(key, "fail_reason") == 0) TRY(mem_strdup(v->ctx, from->attrs[i].json, &t->why));
    }
    TRY(worker_of(v, from->worker, &t->worker));
done:
    return st;
}

static drmad_status on_trial(void *user, const store_trial *from)
{
    drmad_status st = DRMAD_OK;
    view *v = user;

    TRY(room_for(v->ctx, &v->trials, v->n_trials, &v->room_trials, sizeof *v->trials));
    view_trial *t = &v->trials[v->n_trials++];
    *t = (view_trial){.id = from->id,
                      .number = from->number,
                      .state = from->state,
                      .worker = -1,
                      .start = seconds_of(from->start),
                      .complete = seconds_of(from->complete)};
    v->n_complete += from->state == TRIAL_COMPLETE;
    TRY(copy_params(v, t, from));
    TRY(copy_numbers(v, t, from));
    TRY(copy_texts(v, t, from));
done:
    return st;
}

static int by_number(const void *a, const void *b)
{
    const view_trial *x = a, *y = b;

    return (x->number > y->number) - (x->number < y->number);
}

/* ---- the study ---- */

static drmad_status name_objectives(view *v, const json_t *study)
{
    const json_t *attrs = json_object_get(study, "system_attrs");
    const json_t *names = json_object_get(attrs, "study:metric_names");
    drmad_status st = DRMAD_OK;
    char own[32];

    for (int32_t i = 0; i < v->n_objectives; i++) {
        const char *name = json_string_value(json_array_get(names, (size_t)i));

        snprintf(own, sizeof own, v->n_objectives > 1 ? "value %d" : "value", i);
        TRY(mem_strdup(v->ctx, name ? name : own, &v->objectives[i]));
    }
done:
    return st;
}

static drmad_status read_study(view *v, store *s, const char *name)
{
    drmad_status st = DRMAD_OK;
    buffer text = {.ctx = v->ctx};

    TRY(report_study(s, name, &v->study, &text));
    const json_t *study = json_object_get(v->study, "study");
    const json_t *directions = json_object_get(study, "directions");
    const size_t n = json_array_size(directions);
    TRY(mem_alloc(v->ctx, n + 1, sizeof *v->directions, &v->directions));
    TRY(mem_alloc(v->ctx, n + 1, sizeof *v->objectives, &v->objectives));
    for (size_t i = 0; i < n; i++) {
        const char *word = json_string_value(json_array_get(directions, i));

        v->directions[i] = word && word[1] == 'a' ? DIRECTION_MAXIMIZE : DIRECTION_MINIMIZE;
    }
    v->n_objectives = (int32_t)n;
    TRY(name_objectives(v, study));
done:
    text_free(&text);
    return st;
}

static void mark_best(view *v)
{
    const json_t *best = json_object_get(v->study, "best");

    for (size_t i = 0; i < json_array_size(best); i++) {
        const json_int_t n = json_integer_value(json_object_get(json_array_get(best, i), "number"));

        for (int32_t k = 0; k < v->n_trials; k++)
            if (v->trials[k].number == n) v->trials[k].best = true;
    }
}

drmad_status view_read(store *s, const char *study, view **out)
{
    drmad_ctx *ctx = store_ctx(s);
    drmad_status st = DRMAD_OK;
    view *v = NULL;
    int64_t id;

    *out = NULL;
    TRY(mem_alloc(ctx, 1, sizeof *v, &v));
    v->ctx = ctx;
    TRY(mem_strdup(ctx, study, &v->name));
    TRY(mem_strdup(ctx, store_url(s), &v->url));
    TRY(read_study(v, s, study));
    TRY(store_study_find(s, study, &id));
    TRY(store_trial_each(s, id, -1, STATES_ALL, on_trial, v));
    if (v->n_trials) qsort(v->trials, (size_t)v->n_trials, sizeof *v->trials, by_number);
    mark_best(v);
    *out = v, v = NULL;
done:
    view_free(v);
    return st;
}

static void trial_free(drmad_ctx *ctx, view_trial *t)
{
    mem_free(ctx, t->values);
    mem_free(ctx, t->params);
    mem_free(ctx, t->reports);
    mem_free(ctx, t->version);
    mem_free(ctx, t->why);
}

void view_free(view *v)
{
    if (!v) return;
    for (int32_t i = 0; i < v->n_trials; i++) trial_free(v->ctx, &v->trials[i]);
    for (int32_t i = 0; i < v->n_params; i++) {
        mem_free(v->ctx, v->params[i].name);
        search_param_free(v->ctx, v->params[i].d);
    }
    for (int32_t i = 0; i < v->n_workers; i++) mem_free(v->ctx, v->workers[i]);
    for (int32_t i = 0; v->objectives && i < v->n_objectives; i++)
        mem_free(v->ctx, v->objectives[i]);
    mem_free(v->ctx, v->objectives);
    mem_free(v->ctx, v->directions);
    mem_free(v->ctx, v->trials);
    mem_free(v->ctx, v->params);
    mem_free(v->ctx, v->workers);
    mem_free(v->ctx, v->name);
    mem_free(v->ctx, v->url);
    json_decref(v->study);
    mem_free(v->ctx, v);
}

/* ---- looking ---- */

double view_x(const view_trial *t, int32_t param)
{
    for (int32_t i = 0; i < t->n_params; i++)
        if (t->params[i].param == param) return t->params[i].x;
    return NAN;
}

double view_value_of(const view_trial *t, int32_t objective)
{
    return t->state == TRIAL_COMPLETE && objective < t->n_values ? t->values[objective] : NAN;
}

bool view_better(const view *v, int32_t objective, double a, double b)
{
    if (isnan(a) || isnan(b)) return !isnan(a);
    return v->directions[objective] == DIRECTION_MAXIMIZE ? a > b : a < b;
}

typedef struct ranked {
    double key; /* rising is better first */
    int32_t index;
} ranked;

static int by_key(const void *a, const void *b)
{
    const ranked *x = a, *y = b;

    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

drmad_status view_order(const view *v, int32_t objective, int32_t **out)
{
    const bool up = v->directions[objective] == DIRECTION_MAXIMIZE;
    const size_t n = (size_t)v->n_trials;
    drmad_status st = DRMAD_OK;
    ranked *r = NULL;

    *out = NULL;
    TRY(mem_alloc(v->ctx, n + 1, sizeof *r, &r));
    TRY(mem_alloc(v->ctx, n + 1, sizeof **out, out));
    for (size_t i = 0; i < n; i++) {
        const double x = view_value_of(&v->trials[i], objective);

        /* infinite ones stand before those that have no value */
        r[i] = (ranked){isnan(x) ? HUGE_VAL : fmin(up ? -x : x, 1.7e308), (int32_t)i};
    }
    qsort(r, n, sizeof *r, by_key);
    for (size_t i = 0; i < n; i++) (*out)[i] = r[i].index;
done:
    mem_free(v->ctx, r);
    return st;
}

const char *view_show(const view_param *p, double x, char buf[64])
{
    if (isnan(x)) return "\xe2\x80\x93";
    if (p->d->type == SEARCH_CATEGORICAL) return p->d->texts[(int32_t)x];
    snprintf(buf, 64, p->d->type == SEARCH_INT ? "%.0f" : "%.5g", x);
    return buf;
}
