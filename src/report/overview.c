/* Studies and their best trials, as JSON and for people. */
#include "report/report.h"
#include <math.h>
#include <string.h>

/* What callbacks of the store collect. */
typedef struct collector {
    drmad_ctx *ctx;
    report_space *space;
    json_t *list;
} collector;

static drmad_status no_memory(drmad_ctx *ctx)
{
    return FAIL(ctx, DRMAD_E_NOMEM, "out of memory for a report");
}

static drmad_status put(drmad_ctx *ctx, json_t *o, const char *key, json_t *value)
{
    return value && json_object_set_new(o, key, value) == 0 ? DRMAD_OK : no_memory(ctx);
}

static json_t *attrs_of(const store_study *s, bool system)
{
    json_t *attrs = json_object();

    for (int32_t i = 0; i < s->n_attrs; i++) {
        json_t *value = json_loads(s->attrs[i].json, JSON_DECODE_ANY, NULL);

        if (s->attrs[i].system == system)
            json_object_set(attrs, s->attrs[i].key, value ? value : json_null());
        json_decref(value);
    }
    return attrs;
}

static json_t *counts_of(const store_study *s)
{
    json_t *counts = json_object();
    int64_t total = 0;

    for (int i = 0; i < TRIAL_STATE_COUNT; i++) total += s->count[i];
    json_object_set_new(counts, "total", json_integer((json_int_t)total));
    for (int i = 0; i < TRIAL_STATE_COUNT; i++)
        json_object_set_new(counts, trial_state_word((trial_state)i),
                            json_integer((json_int_t)s->count[i]));
    return counts;
}

static drmad_status on_study(void *user, const store_study *s)
{
    const collector *c = user;
    drmad_status st = DRMAD_OK;
    json_t *o = json_object(), *directions = json_array();

    for (int32_t i = 0; i < s->n_directions; i++)
        json_array_append_new(
            directions,
            json_string(s->directions[i] == DIRECTION_MAXIMIZE ? "maximize" : "minimize"));
    TRY(put(c->ctx, o, "name", json_string(s->name)));
    TRY(put(c->ctx, o, "id", json_integer((json_int_t)s->id)));
    TRY(put(c->ctx, o, "directions", json_incref(directions)));
    TRY(put(c->ctx, o, "trials", counts_of(s)));
    TRY(put(c->ctx, o, "best", json_null()));
    TRY(put(c->ctx, o, "user_attrs", attrs_of(s, false)));
    TRY(put(c->ctx, o, "system_attrs", attrs_of(s, true)));
    if (json_array_append(c->list, o) != 0) TRY(no_memory(c->ctx));
done:
    json_decref(directions);
    json_decref(o);
    return st;
}

static drmad_status on_trial(void *user, const store_trial *t)
{
    const collector *c = user;
    json_t *o;
    const drmad_status st = report_trial(c->space, t, &o);

    if (st != DRMAD_OK) return st;
    return json_array_append_new(c->list, o) == 0 ? DRMAD_OK : no_memory(c->ctx);
}

/* ---- the best ---- */

static double value_at(const json_t *trial, size_t i)
{
    const json_t *v = json_array_get(json_object_get(trial, "values"), i);
    const char *text = json_string_value(v);

    if (!text) return json_number_value(v);
    return text[0] == '-' ? -HUGE_VAL : HUGE_VAL;
}

/* Whether a is nowhere worse than b and somewhere better. */
static bool beats(const json_t *a, const json_t *b, const json_t *directions)
{
    bool better = false;

    for (size_t i = 0; i < json_array_size(directions); i++) {
        const char *way = json_string_value(json_array_get(directions, i));
        const double sign = way[1] == 'a' ? -1 : 1; /* mAximize */
        const double x = sign * value_at(a, i), y = sign * value_at(b, i);

        if (x > y) return false;
        better = better || x < y;
    }
    return better;
}

static void keep_unbeaten(json_t *trials, const json_t *directions, json_t *best)
{
    for (size_t i = 0; i < json_array_size(trials); i++) {
        bool beaten = false;

        for (size_t j = 0; j < json_array_size(trials) && !beaten; j++)
            beaten = beats(json_array_get(trials, j), json_array_get(trials, i), directions);
        if (!beaten) json_array_append(best, json_array_get(trials, i));
    }
}

/* Gives the best trials of the study `o`, a value of its "best" too. */
static drmad_status best_of(store *s, json_t *o, json_t **out)
{
    const int64_t study = json_integer_value(json_object_get(o, "id"));
    const json_t *directions = json_object_get(o, "directions");
    drmad_ctx *ctx = store_ctx(s);
    drmad_status st = DRMAD_OK;
    json_t *best = json_array();
    collector c = {.ctx = ctx, .list = json_array()};
    int64_t trial = -1;

    *out = NULL;
    TRY(report_space_new(ctx, &c.space));
    if (json_array_size(directions) > 1) {
        TRY(store_trial_each(s, study, -1, STATE_BIT(TRIAL_COMPLETE), on_trial, &c));
        keep_unbeaten(c.list, directions, best);
    } else {
        TRY(store_trial_best(s, study, &trial));
        if (trial >= 0) TRY(store_trial_read(s, study, trial, on_trial, &c));
        json_array_extend(best, c.list);
        const json_t *values = json_object_get(json_array_get(best, 0), "values");
        if (values) TRY(put(ctx, o, "best", json_incref(json_array_get(values, 0))));
    }
    *out = json_incref(best);
done:
    json_decref(best);
    json_decref(c.list);
    report_space_free(c.space);
    return st;
}

/* ---- for people ---- */

static json_int_t count_of(const json_t *study, const char *what)
{
    return json_integer_value(json_object_get(json_object_get(study, "trials"), what));
}

static drmad_status say_directions(buffer *b, const json_t *study)
{
    const json_t *directions = json_object_get(study, "directions");
    drmad_status st = DRMAD_OK;

    for (size_t i = 0; i < json_array_size(directions); i++)
        TRY(buffer_say(b, "%s%s", i ? "," : "", json_string_value(json_array_get(directions, i))));
done:
    return st;
}

static drmad_status say_row(buffer *b, const json_t *study)
{
    const json_t *best = json_object_get(study, "best");
    drmad_status st = DRMAD_OK;

    TRY(buffer_say(b, "%7lld %8lld %7lld %7lld %6lld %4lld  ", count_of(study, "total"),
                   count_of(study, "COMPLETE"), count_of(study, "RUNNING"),
                   count_of(study, "WAITING"), count_of(study, "PRUNED"), count_of(study, "FAIL")));
    buffer value = {.ctx = b->ctx};
    st = json_is_null(best) ? buffer_text(&value, "-") : buffer_value(&value, best);
    if (st == DRMAD_OK) st = buffer_say(b, "%-22s  ", value.text);
    text_free(&value);
    if (st == DRMAD_OK) st = say_directions(b, study);
    if (st == DRMAD_OK) st = buffer_text(b, "  ");
    if (st == DRMAD_OK) st = buffer_name(b, json_string_value(json_object_get(study, "name")));
    if (st == DRMAD_OK) st = buffer_text(b, "\n");
done:
    return st;
}

static drmad_status say_pairs(buffer *b, const char *title, const json_t *object)
{
    drmad_status st = DRMAD_OK;
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)object, key, value)
    {
        TRY(buffer_say(b, "%-10s ", title));
        TRY(buffer_name(b, key));
        TRY(buffer_text(b, " "));
        TRY(buffer_value(b, value));
        TRY(buffer_text(b, "\n"));
        title = "";
    }
done:
    return st;
}

static drmad_status say_best(buffer *b, const json_t *best)
{
    drmad_status st = DRMAD_OK;

    if (json_array_size(best) == 0) return buffer_text(b, "no trial is complete\n");
    for (size_t i = 0; i < json_array_size(best); i++) {
        const json_t *t = json_array_get(best, i), *values = json_object_get(t, "values");

        TRY(buffer_say(b, "%-10s %lld of %s\n", "trial",
                       (long long)json_integer_value(json_object_get(t, "number")),
                       json_is_string(json_object_get(t, "complete"))
                           ? json_string_value(json_object_get(t, "complete"))
                           : "an unknown time"));
        TRY(buffer_say(b, "%-10s", json_array_size(values) > 1 ? "values" : "value"));
        for (size_t k = 0; k < json_array_size(values); k++) {
            TRY(buffer_text(b, " "));
            TRY(buffer_value(b, json_array_get(values, k)));
        }
        TRY(buffer_text(b, "\n"));
        TRY(say_pairs(b, "params", json_object_get(t, "params")));
    }
done:
    return st;
}

static drmad_status say_study(buffer *b, const json_t *study)
{
    drmad_status st = DRMAD_OK;

    TRY(buffer_say(b, "%-10s ", "study"));
    TRY(buffer_name(b, json_string_value(json_object_get(study, "name"))));
    TRY(buffer_say(b, "\n%-10s ", "directions"));
    TRY(say_directions(b, study));
    TRY(buffer_say(b, "\n%-10s %lld: %lld complete, %lld running, %lld waiting, %lld pruned, ",
                   "trials", count_of(study, "total"), count_of(study, "COMPLETE"),
                   count_of(study, "RUNNING"), count_of(study, "WAITING"),
                   count_of(study, "PRUNED")));
    TRY(buffer_say(b, "%lld failed\n", count_of(study, "FAIL")));
    TRY(say_pairs(b, "attributes", json_object_get(study, "user_attrs")));
done:
    return st;
}

/* ---- calls ---- */

static drmad_status collect(store *s, const char *name, json_t **list)
{
    collector c = {.ctx = store_ctx(s), .list = json_array()};
    drmad_status st = store_study_each(s, name, on_study, &c);

    if (st == DRMAD_OK && name && json_array_size(c.list) == 0)
        st = FAIL(c.ctx, DRMAD_E_USAGE, "%s: no study \"%s\"", store_url(s), name);
    if (st == DRMAD_OK) *list = json_incref(c.list);
    json_decref(c.list);
    return st;
}

drmad_status report_studies(store *s, json_t **out, buffer *text)
{
    drmad_ctx *ctx = store_ctx(s);
    drmad_status st = DRMAD_OK;
    json_t *list = NULL, *best = NULL, *o = json_object();

    *out = NULL;
    TRY(collect(s, NULL, &list));
    if (json_array_size(list) == 0) TRY(buffer_say(text, "no study\n"));
    else
        TRY(buffer_say(text, " trials complete running waiting pruned fail  %-22s  %s\n", "best",
                       "directions  name"));
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *study = json_array_get(list, i);

        if (json_array_size(json_object_get(study, "directions")) == 1) {
            TRY(best_of(s, study, &best));
            json_decref(best), best = NULL;
        }
        TRY(say_row(text, study));
    }
    TRY(put(ctx, o, "studies", json_incref(list)));
    *out = json_incref(o);
done:
    json_decref(best);
    json_decref(list);
    json_decref(o);
    return st;
}

static drmad_status one(store *s, const char *name, json_t **study, json_t **best)
{
    drmad_status st = DRMAD_OK;
    json_t *list = NULL;

    TRY(collect(s, name, &list));
    *study = json_incref(json_array_get(list, 0));
    TRY(best_of(s, *study, best));
done:
    json_decref(list);
    return st;
}

/* The best of a study, with all else that there is to say of it where `whole`. */
static drmad_status tell(store *s, const char *name, bool whole, json_t **out, buffer *text)
{
    drmad_ctx *ctx = store_ctx(s);
    drmad_status st = DRMAD_OK;
    json_t *study = NULL, *best = NULL, *o = json_object();

    *out = NULL;
    TRY(one(s, name, &study, &best));
    if (whole) TRY(say_study(text, study));
    if (whole) TRY(buffer_text(text, "\nbest\n"));
    TRY(say_best(text, best));
    if (whole) TRY(put(ctx, o, "study", json_incref(study)));
    else TRY(put(ctx, o, "name", json_string(name)));
    TRY(put(ctx, o, "best", json_incref(best)));
    *out = json_incref(o);
done:
    json_decref(study);
    json_decref(best);
    json_decref(o);
    return st;
}

drmad_status report_study(store *s, const char *name, json_t **out, buffer *text)
{
    return tell(s, name, true, out, text);
}

drmad_status report_best(store *s, const char *name, json_t **out, buffer *text)
{
    return tell(s, name, false, out, text);
}

drmad_status report_trials(store *s, const char *name, int64_t after, unsigned states, json_t **out)
{
    collector c = {.ctx = store_ctx(s), .list = json_array()};
    drmad_status st = DRMAD_OK;
    json_t *o = json_object();
    int64_t study;

    *out = NULL;
    TRY(report_space_new(c.ctx, &c.space));
    TRY(store_study_find(s, name, &study));
    TRY(store_trial_each(s, study, after, states, on_trial, &c));
    TRY(put(c.ctx, o, "name", json_string(name)));
    TRY(put(c.ctx, o, "trials", json_incref(c.list)));
    *out = json_incref(o);
done:
    json_decref(o);
    json_decref(c.list);
    report_space_free(c.space);
    return st;
}

drmad_status report_trial_of(store *s, const char *name, int64_t trial, json_t **out)
{
    collector c = {.ctx = store_ctx(s), .list = json_array()};
    drmad_status st = DRMAD_OK;
    int64_t study;

    *out = NULL;
    TRY(report_space_new(c.ctx, &c.space));
    TRY(store_study_find(s, name, &study));
    TRY(store_trial_read(s, study, trial, on_trial, &c));
    *out = json_incref(json_array_get(c.list, 0));
done:
    json_decref(c.list);
    report_space_free(c.space);
    return st;
}
