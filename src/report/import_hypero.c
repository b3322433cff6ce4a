/* How a battery is read: first all its experiments, since ranges and choices follow from all
 * values of a name; then one trial each, under a key made of database and experiment, so that a
 * second import adds what is new. */
#include "report/import_hypero.h"
#include "base/sha256.h"
#include "space/search.h"
#include "store/hypero.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define RESULT "result:"
#define META "meta:"
#define METRIC_NAMES "study:metric_names"

/* One battery under way. */
typedef struct battery {
    drmad_ctx *ctx;
    store *store;
    hypero *db;
    const hypero_import *o;
    const char *name;
    char *objective;
    json_t *versions;    /* list of texts */
    json_t *experiments; /* list of {"id", "version", "time", "param", "meta", "result"} */
    json_t *columns;     /* parameter name -> list of its values, by experiment or null */
    search *space;
    int64_t study, before; /* `before`: trials that it had */
    int64_t complete, already;
} battery;

static drmad_status no_memory(drmad_ctx *ctx)
{
    return FAIL(ctx, DRMAD_E_NOMEM, "out of memory for the import");
}

/* ---- reading ---- */

static drmad_status on_name(void *user, const char *name)
{
    json_t *list = user;

    json_array_append_new(list, json_string(name));
    return DRMAD_OK;
}

/* A Lua table: an object, or a list, whose keys are 1, 2, ... */
static drmad_status parse_table(const battery *b, int64_t id, const char *what, const char *text,
                                json_t **out)
{
    json_error_t e;
    char key[24];
    json_t *list = text ? json_loads(text, JSON_ALLOW_NUL, &e) : json_object();

    *out = NULL;
    if (!list)
        return FAIL(b->ctx, DRMAD_E_DATA, "battery \"%s\", experiment %lld: %s: %s", b->name,
                    (long long)id, what, e.text);
    if (json_is_object(list)) {
        *out = list;
        return DRMAD_OK;
    }
    *out = json_object();
    for (size_t i = 0; i < json_array_size(list); i++) {
        snprintf(key, sizeof key, "%zu", i + 1);
        json_object_set(*out, key, json_array_get(list, i));
    }
    json_decref(list);
    return *out ? DRMAD_OK : no_memory(b->ctx);
}

static drmad_status on_experiment(void *user, const hypero_experiment *e)
{
    battery *b = user;
    drmad_status st = DRMAD_OK;
    json_t *o = json_object(), *table;

    json_object_set_new(o, "id", json_integer((json_int_t)e->id));
    json_object_set_new(o, "time", json_string(e->time));
    if (e->version) json_object_set_new(o, "version", json_string(e->version));
    TRY(parse_table(b, e->id, "hyper-parameters", e->param, &table));
    json_object_set_new(o, "param", table);
    TRY(parse_table(b, e->id, "meta-data", e->meta, &table));
    json_object_set_new(o, "meta", table);
    TRY(parse_table(b, e->id, "results", e->result, &table));
    json_object_set_new(o, "result", table);
    if (json_array_append(b->experiments, o) != 0) TRY(no_memory(b->ctx));
done:
    json_decref(o);
    return st;
}

/* ---- the objective ---- */

/* Names of the results that are numbers, as keys. */
static json_t *number_results(const battery *b)
{
    json_t *names = json_object(), *e, *value;
    const char *name;
    size_t i;

    json_array_foreach(b->experiments, i, e)
        json_object_foreach(json_object_get(e, "result"), name, value) if (json_is_number(value))
            json_object_set(names, name, json_true());
    return names;
}

static drmad_status choose_objective(battery *b)
{
    drmad_status st = DRMAD_OK;
    json_t *names = number_results(b), *value;
    buffer list = {.ctx = b->ctx};
    const char *asked = b->o->objective, *name;
    const size_t n = json_object_size(names);

    if (n == 0 || (asked && json_object_get(names, asked))) name = asked ? asked : "value";
    else if (!asked && n == 1) name = json_object_iter_key(json_object_iter(names));
    else name = NULL;
    if (!name) {
        json_object_foreach(names, name, value)
        {
            TRY(buffer_text(&list, list.used ? ", " : ""));
            TRY(buffer_name(&list, name));
        }
        TRY(FAIL(b->ctx, DRMAD_E_USAGE,
                 "battery \"%s\": which result is the objective? name one with --objective: %s",
                 b->name, list.text));
    }
    TRY(mem_strdup(b->ctx, name, &b->objective));
done:
    text_free(&list);
    json_decref(names);
    return st;
}

/* ---- parameters ---- */

static bool is_whole(const json_t *v)
{
    const double x = json_number_value(v);

    return json_is_number(v) && x == floor(x) && fabs(x) < 0x1p53;
}

/* A value as a categorical has it: a table as the text of its JSON. */
static drmad_status choice_text(drmad_ctx *ctx, const json_t *v, char **out)
{
    drmad_status st = DRMAD_OK;
    buffer b = {.ctx = ctx};
    json_t *text = NULL;

    *out = NULL;
    TRY(buffer_json(&b, v));
    if (json_is_object(v) || json_is_array(v)) {
        text = json_string(b.text);
        b.used = 0;
        TRY(buffer_json(&b, text));
    }
    *out = b.text, b.text = NULL;
done:
    json_decref(text);
    text_free(&b);
    return st;
}

static int32_t find_choice(const search_param *p, const char *choice)
{
    int32_t i = 0;

    while (i < p->n_choices && strcmp(p->choices[i], choice) != 0) i++;
    return i;
}

static drmad_status add_choices(drmad_ctx *ctx, const json_t *values, search_param *p)
{
    drmad_status st = DRMAD_OK;
    char *choice = NULL;

    TRY(mem_alloc(ctx, json_array_size(values), sizeof *p->choices, &p->choices));
    for (size_t i = 0; i < json_array_size(values); i++) {
        TRY(choice_text(ctx, json_array_get(values, i), &choice));
        if (find_choice(p, choice) == p->n_choices) p->choices[p->n_choices++] = choice;
        else mem_free(ctx, choice);
        choice = NULL;
    }
done:
    return st;
}

/* All whole numbers: int; all numbers: float, both over the range seen; else the values seen. */
static drmad_status infer(drmad_ctx *ctx, const char *name, const json_t *values,
                          search_param **out)
{
    drmad_status st = DRMAD_OK;
    search_param *p = NULL;
    bool whole = true, number = true;

    TRY(mem_alloc(ctx, 1, sizeof *p, &p));
    TRY(mem_strdup(ctx, name, &p->name));
    for (size_t i = 0; i < json_array_size(values); i++) {
        const json_t *v = json_array_get(values, i);
        const double x = json_number_value(v);

        whole = whole && is_whole(v);
        number = number && json_is_number(v);
        p->low = i == 0 || x < p->low ? x : p->low;
        p->high = i == 0 || x > p->high ? x : p->high;
    }
    p->type = whole ? SEARCH_INT : number ? SEARCH_FLOAT : SEARCH_CATEGORICAL;
    p->step = whole ? 1 : 0;
    if (!number) {
        p->low = p->high = 0;
        TRY(add_choices(ctx, values, p));
    }
    *out = p, p = NULL;
done:
    search_param_free(ctx, p);
    return st;
}

static drmad_status make_space(battery *b)
{
    drmad_status st = DRMAD_OK;
    json_t *e, *value;
    const char *name;
    size_t i;
    int32_t index;

    b->columns = json_object();
    json_array_foreach(b->experiments, i, e)
        json_object_foreach(json_object_get(e, "param"), name, value)
    {
        if (!json_object_get(b->columns, name)) json_object_set_new(b->columns, name, json_array());
        json_array_append(json_object_get(b->columns, name), value);
    }
    TRY(search_new(b->ctx, &b->space));
    json_object_foreach(b->columns, name, value)
    {
        search_param *p = NULL;

        TRY(infer(b->ctx, name, value, &p));
        TRY(search_add(b->space, p, &index));
    }
done:
    return st;
}

/* ---- trials ---- */

/* A trial as the store takes it; texts are its own. */
typedef struct draft {
    store_trial t;
    store_param *params;
    store_attr *attrs;
    double value;
} draft;

static void draft_free(drmad_ctx *ctx, draft *d)
{
    for (int32_t i = 0; i < d->t.n_attrs; i++) {
        mem_free(ctx, (char *)d->attrs[i].key);
        mem_free(ctx, (char *)d->attrs[i].json);
    }
    mem_free(ctx, d->params);
    mem_free(ctx, d->attrs);
}

static drmad_status add_attr(drmad_ctx *ctx, draft *d, const char *prefix, const char *name,
                             const json_t *value)
{
    drmad_status st = DRMAD_OK;
    buffer key = {.ctx = ctx}, json = {.ctx = ctx};

    TRY(buffer_text(&key, prefix));
    TRY(buffer_text(&key, name));
    TRY(buffer_json(&json, value));
    d->attrs[d->t.n_attrs++] =
        (store_attr){.key = key.text, .json = json.text, .system = !prefix[0]};
    key.text = json.text = NULL;
done:
    text_free(&key);
    text_free(&json);
    return st;
}

static drmad_status add_param(const battery *b, draft *d, const char *name, const json_t *value)
{
    const search_param *p = &b->space->params[search_find(b->space, name)];
    store_param *to = &d->params[d->t.n_params++];
    drmad_status st = DRMAD_OK;
    char *choice = NULL;

    *to = (store_param){.name = p->name, .distribution = p->distribution};
    to->value = json_number_value(value);
    if (p->type != SEARCH_CATEGORICAL) return DRMAD_OK;
    TRY(choice_text(b->ctx, value, &choice));
    to->value = find_choice(p, choice);
done:
    mem_free(b->ctx, choice);
    return st;
}

static drmad_status draft_fill(const battery *b, const json_t *e, draft *d)
{
    json_t *param = json_object_get(e, "param"), *meta = json_object_get(e, "meta");
    json_t *result = json_object_get(e, "result"), *value;
    const json_t *objective = json_object_get(result, b->objective);
    const size_t n_attrs = json_object_size(meta) + json_object_size(result) + 1;
    drmad_status st = DRMAD_OK;
    const char *name;

    *d = (draft){.value = json_number_value(objective)};
    TRY(mem_alloc(b->ctx, json_object_size(param) + 1, sizeof *d->params, &d->params));
    TRY(mem_alloc(b->ctx, n_attrs, sizeof *d->attrs, &d->attrs));
    json_object_foreach(param, name, value) TRY(add_param(b, d, name, value));
    TRY(add_attr(b->ctx, d, "", "hypero:hex_id", json_object_get(e, "id")));
    json_object_foreach(result, name, value) TRY(add_attr(b->ctx, d, RESULT, name, value));
    json_object_foreach(meta, name, value) TRY(add_attr(b->ctx, d, META, name, value));
    d->t.state = json_is_number(objective) ? TRIAL_COMPLETE : TRIAL_FAIL;
    d->t.n_values = json_is_number(objective) ? 1 : 0;
    d->t.start = d->t.complete = json_string_value(json_object_get(e, "time"));
    d->t.version = json_string_value(json_object_get(e, "version"));
done:
    d->t.params = d->params, d->t.attrs = d->attrs, d->t.values = &d->value;
    return st;
}

/* The same for the same experiment in the same study, whoever imports it. */
static void key_of(const battery *b, int64_t id, char key[STORE_REQUEST_SIZE])
{
    const char *where = hypero_identity(b->db);
    char text[64], hex[SHA256_HEX];
    sha256 h;

    snprintf(text, sizeof text, "%lld %lld", (long long)b->study, (long long)id);
    sha256_start(&h);
    sha256_add(&h, where, strlen(where) + 1);
    sha256_add(&h, b->name, strlen(b->name) + 1);
    sha256_add(&h, text, strlen(text));
    sha256_end_hex(&h, hex);
    snprintf(key, STORE_REQUEST_SIZE, "hypero-%.32s", hex);
}

static drmad_status add_trial(battery *b, const json_t *e)
{
    drmad_status st = DRMAD_OK;
    char key[STORE_REQUEST_SIZE];
    char why[800];
    int64_t id, number;
    draft d = {0};

    key_of(b, json_integer_value(json_object_get(e, "id")), key);
    TRY(draft_fill(b, e, &d));
    st = store_trial_add(b->store, b->study, &d.t, key, &id, &number);
    if (st == DRMAD_E_USAGE) {
        snprintf(why, sizeof why, "%s", drmad_errmsg(b->ctx));
        FAIL(b->ctx, st, "%s; or delete the study (drmad study delete) and import it anew", why);
    }
    if (st != DRMAD_OK) goto done;
    if (number < b->before) b->already++;
    else b->complete += d.t.state == TRIAL_COMPLETE;
done:
    draft_free(b->ctx, &d);
    return st;
}

/* ---- the study ---- */

static drmad_status set_attr(battery *b, const char *key, const json_t *value, bool system)
{
    drmad_status st = DRMAD_OK;
    buffer text = {.ctx = b->ctx};

    TRY(buffer_json(&text, value));
    const store_attr a = {.key = key, .json = text.text, .system = system};
    TRY(store_study_set_attr(b->store, b->study, &a));
done:
    text_free(&text);
    return st;
}

/* A study that is there already is continued only when its objective is the same. */
static drmad_status check_study(battery *b, const json_t *report)
{
    const json_t *study = json_object_get(report, "study");
    const json_t *names = json_object_get(json_object_get(study, "system_attrs"), METRIC_NAMES);
    const char *name = json_string_value(json_array_get(names, 0));

    b->before = json_integer_value(json_object_get(json_object_get(study, "trials"), "total"));
    if (name && strcmp(name, b->objective) == 0) return DRMAD_OK;
    return FAIL(b->ctx, DRMAD_E_USAGE,
                "study \"%s\" is there already with the objective \"%s\", not \"%s\": import with "
                "--objective %s, or into another store",
                b->name, name ? name : "value", b->objective, name ? name : "value");
}

static drmad_status make_study(battery *b)
{
    drmad_status st = DRMAD_OK;
    buffer unused = {.ctx = b->ctx};
    json_t *names = json_array(), *report = NULL;
    bool made;

    TRY(store_study_create(b->store, b->name, &b->o->direction, 1, &b->study, &made));
    if (!made) {
        TRY(report_study(b->store, b->name, &report, &unused));
        TRY(check_study(b, report));
    }
    json_array_append_new(names, json_string(b->objective));
    TRY(set_attr(b, METRIC_NAMES, names, true));
    TRY(set_attr(b, "hypero:versions", b->versions, false));
done:
    text_free(&unused);
    json_decref(names);
    json_decref(report);
    return st;
}

static drmad_status say(const battery *b, json_t *studies, buffer *text)
{
    const size_t n = json_array_size(b->experiments);
    drmad_status st = DRMAD_OK;
    json_t *o = json_object();

    json_object_set_new(o, "name", json_string(b->name));
    json_object_set_new(o, "objective", json_string(b->objective));
    json_object_set_new(o, "trials", json_integer((json_int_t)n - (json_int_t)b->already));
    json_object_set_new(o, "complete", json_integer((json_int_t)b->complete));
    json_object_set_new(o, "already", json_integer((json_int_t)b->already));
    if (json_array_append_new(studies, o) != 0) TRY(no_memory(b->ctx));
    TRY(buffer_name(text, b->name));
    TRY(buffer_say(text, ": %lld trials imported, %lld with a result",
                   (long long)n - (long long)b->already, (long long)b->complete));
    if (b->already) TRY(buffer_say(text, "; %lld were there already", (long long)b->already));
    TRY(buffer_text(text, "\n"));
done:
    return st;
}

static drmad_status import_battery(battery *b, json_t *studies, buffer *text)
{
    drmad_status st = DRMAD_OK;
    json_t *e;
    size_t i;

    b->versions = json_array();
    b->experiments = json_array();
    TRY(hypero_versions(b->db, b->name, on_name, b->versions));
    TRY(hypero_experiments(b->db, b->name, on_experiment, b));
    TRY(choose_objective(b));
    TRY(make_space(b));
    TRY(make_study(b));
    json_array_foreach(b->experiments, i, e)
    {
        TRY(base_stopped(b->ctx));
        TRY(add_trial(b, e));
    }
    TRY(say(b, studies, text));
done:
    json_decref(b->versions);
    json_decref(b->experiments);
    json_decref(b->columns);
    search_free(b->space);
    mem_free(b->ctx, b->objective);
    return st;
}

drmad_status import_hypero(store *s, const hypero_import *o, json_t **out, buffer *text)
{
    drmad_ctx *ctx = store_ctx(s);
    drmad_status st = DRMAD_OK;
    json_t *names = json_array(), *studies = json_array();
    hypero *db = NULL;
    size_t done = 0;

    *out = NULL;
    TRY(hypero_open(ctx, o->from, o->schema, &db));
    TRY(hypero_batteries(db, on_name, names));
    for (size_t i = 0; i < json_array_size(names); i++) {
        battery b = {.ctx = ctx, .store = s, .db = db, .o = o};

        b.name = json_string_value(json_array_get(names, i));
        if (o->battery && strcmp(o->battery, b.name) != 0) continue;
        TRY(import_battery(&b, studies, text));
        done++;
    }
    if (o->battery && !done)
        TRY(FAIL(ctx, DRMAD_E_USAGE, "hypero schema %s: no battery \"%s\"", o->schema, o->battery));
    if (!done) TRY(buffer_text(text, "no battery\n"));
    *out = json_pack("{s:O}", "studies", studies);
    if (!*out) TRY(no_memory(ctx));
done:
    hypero_close(db);
    json_decref(names);
    json_decref(studies);
    return st;
}
