/* Reading trials: what is new, and those that were not finished. */
#include "trials/past.h"
#include <math.h>
#include <string.h>

enum { UNFINISHED = STATE_BIT(TRIAL_RUNNING) | STATE_BIT(TRIAL_WAITING) };

drmad_status past_new(drmad_ctx *ctx, bool maximise, past **out)
{
    drmad_status st = mem_alloc(ctx, 1, sizeof **out, out);

    if (st == DRMAD_OK) **out = (past){.ctx = ctx, .sign = maximise ? -1 : 1};
    return st;
}

static void clear(drmad_ctx *ctx, past_trial *t)
{
    mem_free(ctx, t->which);
    mem_free(ctx, t->values);
    mem_free(ctx, t->steps);
    mem_free(ctx, t->reports);
    mem_free(ctx, t->note);
    mem_free(ctx, t->x);
    mem_free(ctx, t->slope);
    json_decref(t->gradient);
    json_decref(t->fixed);
    *t = (past_trial){0};
}

void past_free(past *p)
{
    if (!p) return;
    for (int32_t i = 0; i < p->n; i++) clear(p->ctx, &p->trials[i]);
    for (int32_t i = 0; i < p->n_params; i++) {
        mem_free(p->ctx, p->params[i].name);
        mem_free(p->ctx, p->params[i].distribution);
    }
    mem_free(p->ctx, p->trials);
    mem_free(p->ctx, p->params);
    mem_free(p->ctx, p->rows);
    mem_free(p->ctx, p->curves);
    mem_free(p->ctx, p);
}

const past_trial *past_find(const past *p, int64_t number)
{
    int32_t from = 0, to = p->n;

    while (from < to) {
        const int32_t middle = from + (to - from) / 2;

        if (p->trials[middle].number < number) from = middle + 1;
        else to = middle;
    }
    return from < p->n && p->trials[from].number == number ? &p->trials[from] : NULL;
}

/* ---- one trial ---- */

static drmad_status add_param(past *p, const store_param *s, int32_t *index)
{
    drmad_status st = DRMAD_OK;

    if (p->n_params == p->room_params) {
        const int32_t room = 2 * p->room_params + 16;

        TRY(mem_resize(p->ctx, &p->params, (size_t)p->room_params, (size_t)room,
                       sizeof *p->params));
        p->room_params = room;
    }
    past_param *q = &p->params[p->n_params];
    TRY(mem_strdup(p->ctx, s->name, &q->name));
    *index = p->n_params++; /* freed with the others now */
    TRY(mem_strdup(p->ctx, s->distribution, &q->distribution));
done:
    return st;
}

static bool is_param(const past *p, int32_t i, const store_param *s)
{
    return i < p->n_params && p->params[i].distribution &&
           strcmp(p->params[i].name, s->name) == 0 &&
           strcmp(p->params[i].distribution, s->distribution) == 0;
}

/* Trials mostly have the same ones in the same order: `guess`. */
static drmad_status find_param(past *p, const store_param *s, int32_t guess, int32_t *index)
{
    *index = guess;
    if (is_param(p, guess, s)) return DRMAD_OK;
    for (*index = 0; *index < p->n_params; ++*index)
        if (is_param(p, *index, s)) return DRMAD_OK;
    return add_param(p, s, index);
}

static drmad_status take_params(past *p, past_trial *t, const store_trial *s)
{
    drmad_status st = DRMAD_OK;

    TRY(mem_alloc(p->ctx, (size_t)s->n_params + 1, sizeof *t->which, &t->which));
    TRY(mem_alloc(p->ctx, (size_t)s->n_params + 1, sizeof *t->values, &t->values));
    for (int32_t i = 0; i < s->n_params; i++) {
        TRY(find_param(p, &s->params[i], i > 0 ? t->which[i - 1] + 1 : 0, &t->which[i]));
        t->values[i] = s->params[i].value;
        t->n_params++;
    }
done:
    return st;
}

static drmad_status take_reports(past *p, past_trial *t, const store_trial *s)
{
    drmad_status st = DRMAD_OK;

    if (s->n_reports == 0) return st;
    TRY(mem_alloc(p->ctx, (size_t)s->n_reports, sizeof *t->steps, &t->steps));
    TRY(mem_alloc(p->ctx, (size_t)s->n_reports, sizeof *t->reports, &t->reports));
    for (int32_t i = 0; i < s->n_reports; i++) {
        t->steps[i] = s->reports[i].step;
        t->reports[i] = p->sign * s->reports[i].value;
    }
    t->n_reports = s->n_reports;
done:
    return st;
}

/* Others may write what they like there: what is no object counts as nothing. */
static json_t *object_of(const char *json)
{
    json_t *j = json_loads(json, 0, NULL);

    if (json_is_object(j)) return j;
    json_decref(j);
    return NULL;
}

static drmad_status take_attr(past *p, past_trial *t, const store_attr *a)
{
    if (!a->system) {
        t->failed |= strcmp(a->key, "fail_reason") == 0;
        return DRMAD_OK;
    }
    if (strcmp(a->key, PAST_FAILED_KEY) == 0) t->failed = true;
    else if (strcmp(a->key, "retry_history") == 0) t->again = true;
    else if (strcmp(a->key, PAST_GRADIENT_KEY) == 0 && !t->gradient)
        t->gradient = object_of(a->json);
    else if (strcmp(a->key, PAST_FIXED_KEY) == 0 && !t->fixed) t->fixed = object_of(a->json);
    else if (strcmp(a->key, PAST_NOTE_KEY) == 0 && !t->note)
        return mem_strdup(p->ctx, a->json, &t->note);
    return DRMAD_OK;
}

static double value_of(const past *p, const past_trial *t, const store_trial *s)
{
    if (s->state == TRIAL_COMPLETE && s->n_values > 0) return p->sign * s->values[0];
    if (s->state == TRIAL_PRUNED && t->n_reports > 0) return t->reports[t->n_reports - 1];
    return NAN;
}

static drmad_status fill(past *p, const store_trial *s, past_trial *t)
{
    drmad_status st = DRMAD_OK;

    *t = (past_trial){.id = s->id, .number = s->number, .state = s->state, .ours = s->worker};
    TRY(take_params(p, t, s));
    TRY(take_reports(p, t, s));
    for (int32_t i = 0; i < s->n_attrs; i++) TRY(take_attr(p, t, &s->attrs[i]));
    t->value = value_of(p, t, s);
done:
    if (st != DRMAD_OK) clear(p->ctx, t);
    return st;
}

/* ---- all of them ---- */

static drmad_status take_new(void *user, const store_trial *s)
{
    past *p = user;
    drmad_status st = DRMAD_OK;

    if (p->n == p->room) {
        const int32_t room = 2 * p->room + 64;

        TRY(mem_resize(p->ctx, &p->trials, (size_t)p->room, (size_t)room, sizeof *p->trials));
        p->room = room;
    }
    TRY(fill(p, s, &p->trials[p->n]));
    p->n++;
done:
    return st;
}

/* What came after the last known one is the business of take_new. */
static drmad_status take_again(void *user, const store_trial *s)
{
    past *p = user;
    past_trial *old = (past_trial *)past_find(p, s->number), fresh;
    drmad_status st = DRMAD_OK;

    if (!old) return st;
    TRY(fill(p, s, &fresh));
    clear(p->ctx, old);
    *old = fresh;
done:
    return st;
}

/* *first: the first that is not finished. */
static bool mark_stale(past *p, int32_t *first)
{
    *first = p->n;
    for (int32_t i = p->n; i-- > 0;) {
        p->trials[i].stale = STATE_BIT(p->trials[i].state) & UNFINISHED;
        if (p->trials[i].stale) *first = i;
    }
    return *first < p->n;
}

/* Those that are still unfinished come in one query; each of the others has finished since. */
drmad_status past_read(past *p, store *s, int64_t study)
{
    drmad_status st = DRMAD_OK;
    int32_t first;

    if (mark_stale(p, &first))
        TRY(store_trial_each(s, study, p->trials[first].id - 1, UNFINISHED, take_again, p));
    for (int32_t i = first; i < p->n; i++)
        if (p->trials[i].stale) TRY(store_trial_read(s, study, p->trials[i].id, take_again, p));
    TRY(store_trial_each(s, study, p->n > 0 ? p->trials[p->n - 1].id : -1, STATES_ALL, take_new,
                         p));
done:
    return st;
}
