/* Trials that ran elsewhere, or wait, each with its own distributions; attributes of the study. */
#include "base/number.h"
#include "trials/session.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct added {
    drmad_ctx *ctx;
    json_t *root;
    search *space; /* of this trial alone */
    char **texts;  /* of the attributes, jansson's; the last is fixed_params */
    size_t n_texts;
    store_trial t; /* points to what follows */
    store_param *params;
    double *x, *values;
    store_report *reports;
    store_attr *attrs;
} added;

static drmad_status wrong(drmad_ctx *ctx, const char *key, const char *expected)
{
    return FAIL(ctx, DRMAD_E_USAGE, "a trial's \"%s\": expected %s", key, expected);
}

/* What JSON has no number for is the text "inf", "-inf" or "nan". */
static bool read_real(const json_t *j, double *out)
{
    const char *text = json_string_value(j);

    *out = json_number_value(j);
    return text ? number_read(text, out) : json_is_number(j);
}

/* ---- parameters ---- */

/* By the trial's own distribution, else the study's. Gives *out. */
static drmad_status read_param(const added *a, const search *declared, const char *name,
                               search_param **out)
{
    const json_t *own = json_object_get(json_object_get(a->root, "distributions"), name);
    const int32_t i = search_find(declared, name);
    drmad_status st = DRMAD_OK;
    char *text = NULL;

    *out = NULL;
    if (own) {
        text = json_dumps(own, JSON_COMPACT | JSON_REAL_PRECISION(17) | JSON_ENCODE_ANY);
        if (!text) TRY(FAIL(a->ctx, DRMAD_E_NOMEM, "out of memory for a distribution"));
        const char *plain = json_is_string(own) ? json_string_value(own) : text;
        st = search_param_parse(a->ctx, name, plain, out);
        if (st == DRMAD_E_STORAGE) st = FAIL(a->ctx, DRMAD_E_USAGE, "%s", drmad_errmsg(a->ctx));
    } else if (i >= 0) {
        st = search_param_parse(a->ctx, name, declared->params[i].distribution, out);
    } else {
        st = FAIL(a->ctx, DRMAD_E_USAGE,
                  "parameter %s: the study declares none of that name: the trial must bring its "
                  "distribution",
                  name);
    }
done:
    free(text);
    return st;
}

static drmad_status read_params(added *a, const search *declared)
{
    json_t *params = json_object_get(a->root, "params"), *value;
    const size_t n = json_object_size(params);
    drmad_status st = DRMAD_OK;
    char *text = NULL;
    const char *name;
    search_param *p;
    int32_t index;

    TRY(search_new(a->ctx, &a->space));
    json_object_foreach(params, name, value)
    {
        TRY(read_param(a, declared, name, &p));
        TRY(search_add(a->space, p, &index));
    }
    TRY(mem_alloc(a->ctx, n + 1, sizeof *a->x, &a->x));
    TRY(mem_alloc(a->ctx, n + 1, sizeof *a->params, &a->params));
    text = n ? json_dumps(params, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    if (n && !text) TRY(FAIL(a->ctx, DRMAD_E_NOMEM, "out of memory for a point"));
    if (n) TRY(search_parse(a->space, text, a->x));
    for (int32_t i = 0; i < a->space->n; i++) {
        const search_param *q = &a->space->params[i];

        a->params[i] = (store_param){q->name, a->x[i], q->distribution};
    }
    a->t.params = a->params;
    a->t.n_params = a->space->n;
done:
    free(text);
    return st;
}

/* ---- the rest ---- */

static drmad_status read_values(added *a)
{
    const json_t *list = json_object_get(a->root, "values");
    const size_t n = json_array_size(list);
    drmad_status st = DRMAD_OK;

    TRY(mem_alloc(a->ctx, n + 1, sizeof *a->values, &a->values));
    for (size_t i = 0; i < n; i++)
        if (!read_real(json_array_get(list, i), &a->values[i]))
            TRY(wrong(a->ctx, "values", "[number, ...]"));
    a->t.values = a->values;
    a->t.n_values = (int32_t)n;
done:
    return st;
}

static int by_step(const void *a, const void *b)
{
    const store_report *p = a, *q = b;

    return (p->step > q->step) - (p->step < q->step);
}

static drmad_status read_reports(added *a)
{
    const json_t *list = json_object_get(a->root, "intermediate_values");
    const size_t n = json_array_size(list);
    drmad_status st = DRMAD_OK;

    TRY(mem_alloc(a->ctx, n + 1, sizeof *a->reports, &a->reports));
    for (size_t i = 0; i < n; i++) {
        const json_t *pair = json_array_get(list, i), *step = json_array_get(pair, 0);
        store_report *r = &a->reports[i];

        if (!json_is_integer(step) || !read_real(json_array_get(pair, 1), &r->value))
            TRY(wrong(a->ctx, "intermediate_values", "[[step, number], ...]"));
        r->step = json_integer_value(step);
    }
    qsort(a->reports, n, sizeof *a->reports, by_step);
    a->t.reports = a->reports;
    a->t.n_reports = (int32_t)n;
done:
    return st;
}

static drmad_status add_attr(added *a, const char *key, const json_t *value, bool system)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_REAL_PRECISION(17) | JSON_ENCODE_ANY);

    if (!text) return FAIL(a->ctx, DRMAD_E_NOMEM, "out of memory for an attribute");
    a->texts[a->n_texts++] = text;
    a->attrs[a->t.n_attrs++] = (store_attr){key, text, system};
    a->t.attrs = a->attrs;
    return DRMAD_OK;
}

static drmad_status read_attrs(added *a)
{
    json_t *attrs = json_object_get(a->root, "user_attrs"), *value;
    const size_t n = json_object_size(attrs) + 1;
    drmad_status st = DRMAD_OK;
    const char *key;

    TRY(mem_alloc(a->ctx, n, sizeof *a->attrs, &a->attrs));
    TRY(mem_alloc(a->ctx, n, sizeof *a->texts, &a->texts));
    json_object_foreach(attrs, key, value) TRY(add_attr(a, key, value, false));
done:
    return st;
}

static drmad_status read_trial(added *a, const char *text, const search *declared)
{
    drmad_status st = DRMAD_OK;
    json_error_t why;

    a->root = json_loads(text, JSON_REJECT_DUPLICATES, &why);
    if (!json_is_object(a->root))
        TRY(FAIL(a->ctx, DRMAD_E_USAGE, "a trial is a JSON object: %s", why.text));
    const char *word = json_string_value(json_object_get(a->root, "state"));
    if (!word || !trial_state_of(word, &a->t.state) || a->t.state == TRIAL_RUNNING)
        TRY(wrong(a->ctx, "state", "COMPLETE, PRUNED, FAIL or WAITING"));
    TRY(read_attrs(a));
    a->t.start = json_string_value(json_object_get(a->root, "start"));
    a->t.complete = json_string_value(json_object_get(a->root, "complete"));
    if (a->t.state == TRIAL_WAITING) {
        json_t *params = json_object_get(a->root, "params");

        if (!json_is_object(params)) TRY(wrong(a->ctx, "params", "{\"name\": value, ...}"));
        TRY(add_attr(a, PAST_FIXED_KEY, params, true));
        goto done;
    }
    TRY(read_params(a, declared));
    TRY(read_values(a));
    TRY(read_reports(a));
done:
    return st;
}

static void free_added(added *a)
{
    for (size_t i = 0; i < a->n_texts; i++) free(a->texts[i]);
    mem_free(a->ctx, a->texts);
    mem_free(a->ctx, a->params);
    mem_free(a->ctx, a->x);
    mem_free(a->ctx, a->values);
    mem_free(a->ctx, a->reports);
    mem_free(a->ctx, a->attrs);
    search_free(a->space);
    json_decref(a->root);
}

drmad_status drmad_study_add(drmad_study *s, const char *trial_json, int64_t *number)
{
    drmad_status st = DRMAD_OK;
    char key[STORE_REQUEST_SIZE];
    added a = {.ctx = s->ctx};
    int64_t id;

    *number = -1;
    TRY(session_open(s, -1));
    TRY(read_trial(&a, trial_json, s->session->space));
    store_request(s->session->store, key);
    TRY(store_trial_add(s->session->store, s->session->study, &a.t, key, &id, number));
done:
    free_added(&a);
    return st;
}

drmad_status drmad_study_set_attr(drmad_study *s, const char *key, const char *json)
{
    const store_attr attr = {key, json, .system = false};
    drmad_status st = session_open(s, -1);

    if (st == DRMAD_OK) st = store_study_set_attr(s->session->store, s->session->study, &attr);
    return st;
}
