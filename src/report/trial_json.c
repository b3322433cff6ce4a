/* A trial of the store as JSON, and in a line. */
#include "base/number.h"
#include "report/report.h"
#include "space/search.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { KEPT = 64 };

typedef struct kept {
    char *distribution;
    search_param *param;
} kept;

struct report_space {
    drmad_ctx *ctx;
    kept at[KEPT]; /* the oldest is dropped first */
    int32_t next;
};

drmad_status report_space_new(drmad_ctx *ctx, report_space **out)
{
    const drmad_status st = mem_alloc(ctx, 1, sizeof **out, out);

    if (st == DRMAD_OK) (*out)->ctx = ctx;
    return st;
}

static void forget(report_space *r, kept *k)
{
    search_param_free(r->ctx, k->param);
    mem_free(r->ctx, k->distribution);
    *k = (kept){0};
}

void report_space_free(report_space *r)
{
    if (!r) return;
    for (int32_t i = 0; i < KEPT; i++) forget(r, &r->at[i]);
    mem_free(r->ctx, r);
}

static drmad_status find(report_space *r, const store_param *p, const search_param **out)
{
    drmad_status st = DRMAD_OK;

    *out = NULL;
    for (int32_t i = 0; i < KEPT && !*out; i++)
        if (r->at[i].param && strcmp(r->at[i].distribution, p->distribution) == 0)
            *out = r->at[i].param;
    if (*out) return DRMAD_OK;

    kept *k = &r->at[r->next];
    forget(r, k);
    TRY(mem_strdup(r->ctx, p->distribution, &k->distribution));
    TRY(search_param_parse(r->ctx, p->name, p->distribution, &k->param));
    r->next = (r->next + 1) % KEPT;
    *out = k->param;
done:
    return st;
}

/* ---- values ---- */

static json_t *real(double x)
{
    char text[NUMBER_SIZE];

    return isfinite(x) ? json_real(x) : json_string(number_print(x, text));
}

/* Of a store, JSON that jansson cannot hold (a NaN token, an integer of 100 digits) is its text. */
static json_t *parse(const char *text)
{
    json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);

    return value ? value : json_string(text);
}

static drmad_status put(drmad_ctx *ctx, json_t *o, const char *key, json_t *value)
{
    if (value && json_object_set_new(o, key, value) == 0) return DRMAD_OK;
    return FAIL(ctx, DRMAD_E_STORAGE, "%s: its value or name is not UTF-8, or memory is full", key);
}

static drmad_status value_of(report_space *r, const store_param *p, const search_param *d,
                             json_t **out)
{
    drmad_status st = DRMAD_OK;

    if (d->type == SEARCH_CATEGORICAL) {
        if (!(p->value >= 0 && p->value < d->n_choices))
            TRY(FAIL(r->ctx, DRMAD_E_STORAGE, "parameter %s: choice %g of %d", p->name, p->value,
                     d->n_choices));
        *out = parse(d->choices[(int32_t)p->value]);
    } else if (d->type == SEARCH_INT && fabs(p->value) < 0x1p53) {
        *out = json_integer((json_int_t)p->value);
    } else {
        *out = real(p->value);
    }
done:
    return st;
}

static drmad_status put_params(report_space *r, const store_trial *t, json_t *o)
{
    drmad_status st = DRMAD_OK;
    json_t *params = json_object(), *distributions = json_object(), *value = NULL;
    const search_param *d;

    for (int32_t i = 0; i < t->n_params; i++) {
        const store_param *p = &t->params[i];

        TRY(find(r, p, &d));
        TRY(value_of(r, p, d, &value));
        TRY(put(r->ctx, params, p->name, value));
        TRY(put(r->ctx, distributions, p->name, parse(d->distribution)));
    }
    TRY(put(r->ctx, o, "params", json_incref(params)));
    TRY(put(r->ctx, o, "distributions", json_incref(distributions)));
done:
    json_decref(params);
    json_decref(distributions);
    return st;
}

static drmad_status put_attrs(report_space *r, const store_trial *t, bool system, json_t *o)
{
    drmad_status st = DRMAD_OK;
    json_t *attrs = json_object();

    for (int32_t i = 0; i < t->n_attrs; i++)
        if (t->attrs[i].system == system)
            TRY(put(r->ctx, attrs, t->attrs[i].key, parse(t->attrs[i].json)));
    TRY(put(r->ctx, o, system ? "system_attrs" : "user_attrs", json_incref(attrs)));
done:
    json_decref(attrs);
    return st;
}

static json_t *values_of(const store_trial *t)
{
    json_t *values = json_array();

    for (int32_t i = 0; i < t->n_values; i++) json_array_append_new(values, real(t->values[i]));
    return values;
}

static json_t *reports_of(const store_trial *t)
{
    json_t *reports = json_array();

    for (int32_t i = 0; i < t->n_reports; i++) {
        json_t *pair = json_array();

        json_array_append_new(pair, json_integer((json_int_t)t->reports[i].step));
        json_array_append_new(pair, real(t->reports[i].value));
        json_array_append_new(reports, pair);
    }
    return reports;
}

static json_t *text_or_null(const char *text)
{
    return text ? json_string(text) : json_null();
}

drmad_status report_trial(report_space *r, const store_trial *t, json_t **out)
{
    drmad_status st = DRMAD_OK;
    json_t *o = json_object();
    char why[512];

    *out = NULL;
    TRY(put(r->ctx, o, "number", json_integer((json_int_t)t->number)));
    TRY(put(r->ctx, o, "id", json_integer((json_int_t)t->id)));
    TRY(put(r->ctx, o, "state", json_string(trial_state_word(t->state))));
    TRY(put(r->ctx, o, "values", values_of(t)));
    TRY(put_params(r, t, o));
    TRY(put(r->ctx, o, "start", text_or_null(t->start)));
    TRY(put(r->ctx, o, "complete", text_or_null(t->complete)));
    TRY(put(r->ctx, o, "version", text_or_null(t->version)));
    TRY(put(r->ctx, o, "worker", text_or_null(t->worker)));
    TRY(put(r->ctx, o, "intermediate_values", reports_of(t)));
    TRY(put_attrs(r, t, false, o));
    TRY(put_attrs(r, t, true, o));
    *out = json_incref(o);
done:
    json_decref(o);
    if (st == DRMAD_OK || st == DRMAD_E_NOMEM) return st;
    snprintf(why, sizeof why, "%s", drmad_errmsg(r->ctx));
    return FAIL(r->ctx, st, "trial %lld: %s", (long long)t->number, why);
}

drmad_status report_trial_line(buffer *b, const json_t *trial)
{
    drmad_status st = DRMAD_OK;
    const json_t *values = json_object_get(trial, "values");
    const char *name, *between = "  ";
    json_t *value;

    TRY(buffer_say(b, "trial %-5lld %-8s",
                   (long long)json_integer_value(json_object_get(trial, "number")),
                   json_string_value(json_object_get(trial, "state"))));
    for (size_t i = 0; i < json_array_size(values); i++) {
        TRY(buffer_text(b, " "));
        TRY(buffer_value(b, json_array_get(values, i)));
    }
    json_object_foreach(json_object_get(trial, "params"), name, value)
    {
        TRY(buffer_text(b, between));
        TRY(buffer_name(b, name));
        TRY(buffer_text(b, " "));
        TRY(buffer_value(b, value));
        between = ", ";
    }
done:
    return st;
}
