/* A study as a table: which trials, which columns, in which order; CSV by RFC 4180, JSON. */
#include "base/number.h"
#include "report/report.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NAMES_SHOWN = 8 };
typedef enum part { PART_TRIAL, PART_PARAMS, PART_RESULTS, PART_META } part;

typedef struct column {
    part part;
    const char *name; /* of the table's JSON */
} column;

typedef struct row {
    json_t *trial;
    json_t *cells[PART_META + 1]; /* objects by part: what a column names */
} row;

typedef struct table {
    drmad_ctx *ctx;
    const report_query *q;
    const char *study;
    json_t *info, *trials;
    json_t *names[PART_META + 1]; /* objects: names as keys, in the order of their first use */
    row *rows;
    column *columns;
    size_t n_rows, n_columns;
} table;

static drmad_status no_memory(const table *t)
{
    return FAIL(t->ctx, DRMAD_E_NOMEM, "out of memory for the table of study \"%s\"", t->study);
}

static void table_free(table *t)
{
    for (size_t i = 0; i < t->n_rows; i++)
        for (int p = 0; p <= PART_META; p++) json_decref(t->rows[i].cells[p]);
    for (int p = 0; p <= PART_META; p++) json_decref(t->names[p]);
    mem_free(t->ctx, t->rows);
    mem_free(t->ctx, t->columns);
    json_decref(t->info);
    json_decref(t->trials);
}

/* ---- which trials ---- */

static size_t place_in(const json_t *list, const char *text)
{
    size_t i = 0;

    while (i < json_array_size(list) &&
           strcmp(json_string_value(json_array_get(list, i)), text) != 0)
        i++;
    return i;
}

/* Versions in the order in which they came: as an import says, else as trials used them first. */
static json_t *versions_of(const table *t)
{
    const json_t *said = json_object_get(
        json_object_get(json_object_get(t->info, "study"), "user_attrs"), "hypero:versions");
    json_t *list = json_array();
    size_t i;
    json_t *value;

    json_array_foreach(said, i, value) if (json_is_string(value)) json_array_append(list, value);
    json_array_foreach(t->trials, i, value)
    {
        json_t *version = json_object_get(value, "version");

        if (json_is_string(version) &&
            place_in(list, json_string_value(version)) == json_array_size(list))
            json_array_append(list, version);
    }
    return list;
}

/* Fails, naming what there is. */
static drmad_status unknown(const table *t, const char *what, const char *name, const json_t *list)
{
    buffer b = {.ctx = t->ctx};
    drmad_status st = DRMAD_OK;

    for (size_t i = 0; i < json_array_size(list) && i < NAMES_SHOWN; i++) {
        TRY(buffer_text(&b, i ? ", " : ""));
        TRY(buffer_name(&b, json_string_value(json_array_get(list, i))));
    }
    if (json_array_size(list) > NAMES_SHOWN) TRY(buffer_text(&b, ", ..."));
    st = FAIL(t->ctx, DRMAD_E_USAGE, "study \"%s\": no %s \"%s\"; there %s %s", t->study, what,
              name, json_array_size(list) == 1 ? "is" : "are", b.text ? b.text : "none");
done:
    text_free(&b);
    return st;
}

static drmad_status keep_versions(table *t)
{
    const char *from = t->q->version ? t->q->version : t->q->min_version;
    drmad_status st = DRMAD_OK;
    json_t *versions = from ? versions_of(t) : NULL;

    if (!from) return DRMAD_OK;
    const size_t first = place_in(versions, from);
    if (first == json_array_size(versions)) TRY(unknown(t, "version", from, versions));
    for (size_t i = json_array_size(t->trials); i-- > 0;) {
        const char *v = json_string_value(json_object_get(json_array_get(t->trials, i), "version"));
        const size_t at = v ? place_in(versions, v) : 0;
        const bool kept = v && (t->q->version ? at == first : at >= first);

        if (!kept) json_array_remove(t->trials, i);
    }
done:
    json_decref(versions);
    return st;
}

/* ---- cells ---- */

/* As the study names its objectives, else "value", or "value_0", ... in `own`. */
static const char *metric_name(const table *t, size_t i, size_t n, char own[32])
{
    const json_t *names = json_object_get(
        json_object_get(json_object_get(t->info, "study"), "system_attrs"), "study:metric_names");
    const char *name = json_string_value(json_array_get(names, i));

    if (n > 1) snprintf(own, 32, "value_%zu", i);
    else snprintf(own, 32, "value");
    return name ? name : own;
}

static drmad_status put(table *t, row *r, part p, const char *name, json_t *value)
{
    if (!value || json_object_get(r->cells[p], name)) return DRMAD_OK; /* the first one stays */
    if (json_object_set(r->cells[p], name, value) != 0 ||
        json_object_set(t->names[p], name, json_true()) != 0)
        return no_memory(t);
    return DRMAD_OK;
}

static drmad_status put_results(table *t, row *r)
{
    const json_t *values = json_object_get(r->trial, "values");
    const size_t n = json_array_size(values);
    char own[32];
    drmad_status st = DRMAD_OK;

    for (size_t i = 0; i < n; i++)
        TRY(put(t, r, PART_RESULTS, metric_name(t, i, n, own), json_array_get(values, i)));
done:
    return st;
}

/* hypero's results and meta-data are user attributes with a prefix; all others are meta-data. */
static drmad_status put_attrs(table *t, row *r)
{
    drmad_status st = DRMAD_OK;
    const char *key;
    json_t *value;

    json_object_foreach(json_object_get(r->trial, "user_attrs"), key, value)
    {
        if (strncmp(key, "result:", 7) == 0) TRY(put(t, r, PART_RESULTS, key + 7, value));
        else TRY(put(t, r, PART_META, strncmp(key, "meta:", 5) == 0 ? key + 5 : key, value));
    }
done:
    return st;
}

static drmad_status fill_row(table *t, row *r)
{
    drmad_status st = DRMAD_OK;
    const char *name;
    json_t *value;

    for (int p = 0; p <= PART_META; p++)
        if (!(r->cells[p] = json_object())) TRY(no_memory(t));
    json_object_foreach(t->names[PART_TRIAL], name, value)
    {
        json_t *v = json_object_get(r->trial, name);

        if (v && !json_is_null(v)) json_object_set(r->cells[PART_TRIAL], name, v);
    }
    TRY(put(t, r, PART_TRIAL, "hexId",
            json_object_get(json_object_get(r->trial, "system_attrs"), "hypero:hex_id")));
    json_object_foreach(json_object_get(r->trial, "params"), name, value)
        TRY(put(t, r, PART_PARAMS, name, value));
    TRY(put_results(t, r));
    TRY(put_attrs(t, r));
done:
    return st;
}

static drmad_status fill(table *t)
{
    static const char *const own[] = {"number", "state", "version"};
    drmad_status st = DRMAD_OK;
    const size_t n = json_array_size(t->trials);

    for (int p = 0; p <= PART_META; p++)
        if (!(t->names[p] = json_object())) TRY(no_memory(t));
    for (size_t i = 0; i < COUNT(own); i++)
        json_object_set(t->names[PART_TRIAL], own[i], json_true());
    TRY(mem_alloc(t->ctx, n + 1, sizeof *t->rows, &t->rows));
    for (t->n_rows = 0; t->n_rows < n; t->n_rows++) {
        t->rows[t->n_rows].trial = json_array_get(t->trials, t->n_rows);
        st = fill_row(t, &t->rows[t->n_rows]);
        if (st != DRMAD_OK) {
            t->n_rows++; /* what it has is freed */
            goto done;
        }
    }
done:
    return st;
}

/* ---- columns ---- */

static json_t *keys_of(const json_t *object)
{
    json_t *list = json_array(), *value;
    const char *key;

    json_object_foreach((json_t *)object, key, value) json_array_append_new(list, json_string(key));
    return list;
}

/* "a,b" and ["a,b"] as lists; empty names do not count. */
static json_t *names_said(const char *text)
{
    json_t *list = text[0] == '[' ? json_loads(text, 0, NULL) : NULL;

    if (json_is_array(list)) return list;
    json_decref(list);
    list = json_array();
    while (*text) {
        const size_t n = strcspn(text, ",");

        if (n) json_array_append_new(list, json_stringn(text, n));
        text += n + (text[n] == ',');
    }
    return list;
}

/* The names of a part that the query asks for: those of the table that is written. */
static drmad_status choose(table *t, part p, const char *what, const char *said)
{
    drmad_status st = DRMAD_OK;
    json_t *there = keys_of(t->names[p]), *asked = NULL, *chosen = json_object();

    if (!said || strcmp(said, "*") == 0) goto done;
    asked = names_said(said);
    for (size_t i = 0; i < json_array_size(asked); i++) {
        const char *name = json_string_value(json_array_get(asked, i));

        if (!name) TRY(FAIL(t->ctx, DRMAD_E_USAGE, "%s: expected a list of names", said));
        if (t->n_rows && !json_object_get(t->names[p], name)) TRY(unknown(t, what, name, there));
        if (json_object_set(chosen, name, json_true()) != 0) TRY(no_memory(t));
    }
    json_decref(t->names[p]);
    t->names[p] = json_incref(chosen);
done:
    json_decref(there);
    json_decref(asked);
    json_decref(chosen);
    return st;
}

static drmad_status make_columns(table *t)
{
    drmad_status st = DRMAD_OK;
    size_t n = 0;

    TRY(choose(t, PART_PARAMS, "parameter", t->q->params));
    TRY(choose(t, PART_RESULTS, "result", t->q->results));
    TRY(choose(t, PART_META, "meta-data", t->q->meta));
    for (int p = 0; p <= PART_META; p++) n += json_object_size(t->names[p]);
    TRY(mem_alloc(t->ctx, n + 1, sizeof *t->columns, &t->columns));
    for (int p = 0; p <= PART_META; p++) {
        const char *name;
        json_t *value;

        json_object_foreach(t->names[p], name, value) t->columns[t->n_columns++] =
            (column){(part)p, name};
    }
done:
    return st;
}

/* ---- order ---- */

typedef struct order {
    column by;
    int sign;
} order;

static int rank(const json_t *v)
{
    if (!v || json_is_null(v)) return 3;
    return json_is_number(v) ? 0 : json_is_string(v) ? 1 : 2;
}

/* Infinities among the results are texts. */
static bool as_number(const json_t *v, part p, double *x)
{
    const char *text = json_string_value(v);

    *x = json_number_value(v);
    return json_is_number(v) || (p == PART_RESULTS && text && number_read(text, x) && isinf(*x));
}

static int compare_values(const json_t *a, const json_t *b, part p)
{
    const char *s = json_string_value(a), *z = json_string_value(b);
    double x, y;
    const bool left = as_number(a, p, &x), right = as_number(b, p, &y);

    if (left && right) return (x > y) - (x < y);
    if (left || right) return left ? -1 : 1;
    if (s && z) return strcmp(s, z);
    return rank(a) - rank(b);
}

static const json_t *cell(const row *r, const column *c)
{
    return json_object_get(r->cells[c->part], c->name);
}

static int compare_rows(const void *x, const void *y, void *user)
{
    const row *a = x, *b = y;
    const order *o = user;
    const json_t *u = cell(a, &o->by), *v = cell(b, &o->by);
    const json_int_t m = json_integer_value(json_object_get(a->trial, "number"));
    const json_int_t n = json_integer_value(json_object_get(b->trial, "number"));
    const bool last = rank(u) == 3, last2 = rank(v) == 3; /* whichever the order */
    const int c = last || last2 ? last - last2 : o->sign * compare_values(u, v, o->by.part);

    return c ? c : (m > n) - (m < n);
}

static drmad_status sort(table *t)
{
    const char *by = t->q->order_by ? t->q->order_by : "number";
    order o = {.sign = t->q->desc ? -1 : 1};
    size_t i = 0;

    while (i < t->n_columns && strcmp(t->columns[i].name, by) != 0) i++;
    if (i < t->n_columns) {
        o.by = t->columns[i];
        qsort_r(t->rows, t->n_rows, sizeof *t->rows, compare_rows, &o);
        return DRMAD_OK;
    }
    if (t->n_rows == 0) return DRMAD_OK;
    json_t *names = json_array();
    for (i = 0; i < t->n_columns; i++)
        json_array_append_new(names, json_string(t->columns[i].name));
    const drmad_status st = unknown(t, "column", by, names);
    json_decref(names);
    return st;
}

/* ---- CSV ---- */

static drmad_status put_field(buffer *b, const char *text)
{
    drmad_status st = DRMAD_OK;

    if (text[0] && !strpbrk(text, ",\"\r\n")) return buffer_text(b, text);
    TRY(buffer_put(b, "\"", 1));
    for (const char *s = text; *s; s++) TRY(buffer_put(b, *s == '"' ? "\"\"" : s, 1 + (*s == '"')));
    TRY(buffer_put(b, "\"", 1));
done:
    return st;
}

/* Nothing for no value; a number as the shortest that reads back, whole ones without ".0". */
static drmad_status put_cell(buffer *b, const json_t *v)
{
    drmad_status st = DRMAD_OK;
    buffer text = {.ctx = b->ctx};

    if (!v) return DRMAD_OK;
    if (json_is_string(v)) return put_field(b, json_string_value(v));
    TRY(buffer_json(&text, v));
    if (json_is_real(v) && text.used > 2 && strcmp(text.text + text.used - 2, ".0") == 0)
        text.text[text.used - 2] = '\0';
    TRY(put_field(b, text.text));
done:
    text_free(&text);
    return st;
}

static drmad_status write_csv(const table *t, buffer *b)
{
    drmad_status st = DRMAD_OK;

    for (size_t i = 0; i < t->n_columns; i++) {
        TRY(buffer_text(b, i ? "," : ""));
        TRY(put_field(b, t->columns[i].name));
    }
    TRY(buffer_text(b, "\n"));
    for (size_t r = 0; r < t->n_rows; r++) {
        for (size_t i = 0; i < t->n_columns; i++) {
            TRY(buffer_text(b, i ? "," : ""));
            TRY(put_cell(b, cell(&t->rows[r], &t->columns[i])));
        }
        TRY(buffer_text(b, "\n"));
    }
done:
    return st;
}

/* ---- JSON ---- */

static json_t *chosen_cells(const table *t, const row *r, part p)
{
    json_t *o = json_object();

    for (size_t i = 0; i < t->n_columns; i++) {
        const json_t *v = cell(r, &t->columns[i]);

        if (t->columns[i].part == p && v) json_object_set(o, t->columns[i].name, (json_t *)v);
    }
    return o;
}

static json_t *row_json(const table *t, const row *r)
{
    json_t *o = chosen_cells(t, r, PART_TRIAL);

    json_object_set(o, "start", json_object_get(r->trial, "start"));
    json_object_set(o, "complete", json_object_get(r->trial, "complete"));
    json_object_set_new(o, "params", chosen_cells(t, r, PART_PARAMS));
    json_object_set_new(o, "results", chosen_cells(t, r, PART_RESULTS));
    json_object_set_new(o, "meta", chosen_cells(t, r, PART_META));
    return o;
}

static drmad_status write_json(const table *t, buffer *b)
{
    const json_t *study = json_object_get(t->info, "study");
    drmad_status st = DRMAD_OK;

    TRY(buffer_text(b, "{\"schema\":1,\"study\":"));
    TRY(buffer_json(b, json_object_get(study, "name")));
    TRY(buffer_text(b, ",\"directions\":"));
    TRY(buffer_json(b, json_object_get(study, "directions")));
    TRY(buffer_text(b, ",\"trials\":["));
    for (size_t r = 0; r < t->n_rows; r++) {
        json_t *line = row_json(t, &t->rows[r]);

        st = buffer_text(b, r ? ",\n" : "\n");
        if (st == DRMAD_OK) st = buffer_json(b, line);
        json_decref(line);
        if (st != DRMAD_OK) goto done;
    }
    TRY(buffer_text(b, "\n]}\n"));
done:
    return st;
}

drmad_status report_export(store *s, const char *study, const report_query *q, buffer *out)
{
    const bool csv = !q->format || strcmp(q->format, "csv") == 0;
    table t = {.ctx = store_ctx(s), .q = q, .study = study};
    drmad_status st = DRMAD_OK;
    buffer unused = {.ctx = t.ctx};
    json_t *all = NULL;

    if (!csv && strcmp(q->format, "json") != 0)
        return FAIL(t.ctx, DRMAD_E_USAGE, "format %s: expected csv or json", q->format);
    if (q->version && q->min_version)
        return FAIL(t.ctx, DRMAD_E_USAGE, "version and min_version: give one of them");
    TRY(report_study(s, study, &t.info, &unused));
    TRY(report_trials(s, study, -1, STATES_ALL, &all));
    t.trials = json_incref(json_object_get(all, "trials"));
    TRY(keep_versions(&t));
    TRY(fill(&t));
    TRY(make_columns(&t));
    TRY(sort(&t));
    TRY(csv ? write_csv(&t, out) : write_json(&t, out));
done:
    json_decref(all);
    text_free(&unused);
    table_free(&t);
    return st;
}
