/* The page of a study: what stands in it and in which order; head, table, how to go on. */
#include "report/html_study.h"
#include "config/config.h"
#include "drmad/info.h"
#include "report/html_run.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

bool page_picks(int64_t i, int64_t n, int64_t most)
{
    return n <= most || i * most / n != (i - 1) * most / n || i == 0;
}

const char *page_state_class(const view_trial *t)
{
    static const char *const classes[TRIAL_STATE_COUNT] = {"r", "c", "p", "f", "w"};

    return classes[t->state];
}

drmad_status page_values(const study_page *p, int32_t objective, double **out)
{
    const view *v = p->v;
    const drmad_status st = mem_alloc(v->ctx, (size_t)v->n_trials + 1, sizeof **out, out);

    for (int32_t i = 0; i < v->n_trials && st == DRMAD_OK; i++)
        (*out)[i] = view_value_of(&v->trials[i], objective);
    return st;
}

enum { TITLE_PARAMS = 8 };

void page_trial_title(study_page *p, const view_trial *t)
{
    text_out *o = &p->h->t;
    char buf[64], number[HTML_NUMBER];

    text_say(o, "trial %lld %s", (long long)t->number, trial_state_word(t->state));
    for (int32_t i = 0; i < t->n_values && i < OBJECTIVES_SHOWN; i++)
        text_say(o, "%s %s", i ? "," : ":", html_number(t->values[i], 6, number));
    for (int32_t i = 0; i < t->n_params && i < TITLE_PARAMS; i++) {
        const view_param *d = &p->v->params[t->params[i].param];

        text_put(o, "\n");
        html_text(o, d->name);
        text_put(o, " ");
        html_text_cut(o, view_show(d, t->params[i].x, buf), 60);
    }
    if (!t->why) return;
    text_put(o, "\n");
    html_text_cut(o, t->why, 160);
}

/* ---- head ---- */

static void put_counts(study_page *p)
{
    const json_t *counts = json_object_get(json_object_get(p->v->study, "study"), "trials");
    const char *key, *between = "";
    json_t *value;
    char text[200];
    size_t n = 0;

    text[0] = '\0';
    json_object_foreach((json_t *)counts, key, value)
    {
        const bool total = strcmp(key, "total") == 0;
        const long long k = json_integer_value(value);

        if (total) n += (size_t)snprintf(text + n, sizeof text - n, "%lld", k);
        else if (k > 0)
            n += (size_t)snprintf(text + n, sizeof text - n, "%s %lld %s", between, k, key);
        between = total ? ":" : k > 0 ? "," : between;
    }
    html_fact(p->h, "trials", text);
}

static void put_best_value(study_page *p)
{
    const view *v = p->v;
    const json_t *best = json_object_get(v->study, "best");
    char buf[HTML_NUMBER];

    if (v->n_complete == 0) {
        html_fact(p->h, "best", "no trial is complete");
    } else if (v->n_objectives > 1) {
        html_fact_say(p->h, "on the Pareto front", "%zu", json_array_size(best));
    } else if (json_array_size(best)) {
        const view_trial *t = &v->trials[p->order[0][0]];

        html_fact_say(p->h, "best", "%s, trial %lld", html_number(view_value_of(t, 0), 6, buf),
                      (long long)t->number);
    }
}

static void put_times(study_page *p)
{
    const view *v = p->v;
    double first = NAN, last = NAN, busy = 0;
    char buf[HTML_NUMBER], more[HTML_NUMBER], when[64] = "";

    for (int32_t i = 0; i < v->n_trials; i++) {
        first = fmin(first, v->trials[i].start), last = fmax(last, v->trials[i].complete);
        if (v->trials[i].complete >= v->trials[i].start)
            busy += v->trials[i].complete - v->trials[i].start;
    }
    if (isnan(first)) return;
    const time_t at = (time_t)first;
    struct tm utc;

    if (gmtime_r(&at, &utc)) strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S UTC", &utc);
    html_fact(p->h, "first start", when);
    if (last >= first)
        html_fact_say(p->h, "time", "%s, trials together %s", html_duration(last - first, buf),
                      html_duration(busy, more));
}

/* Each version of the code, and each machine, once. */
static void put_versions(study_page *p)
{
    const view *v = p->v;
    text_out versions = {.ctx = v->ctx}, machines = {.ctx = v->ctx};

    for (int32_t i = 0; i < v->n_trials; i++) {
        const char *text = v->trials[i].version;

        if (!text || (versions.text && strstr(versions.text, text))) continue;
        if (versions.used) text_put(&versions, ", ");
        text_put(&versions, text);
    }
    for (int32_t i = 0; i < v->n_workers; i++) {
        char host[128];

        snprintf(host, sizeof host, "%.*s", (int)strcspn(v->workers[i], ":"), v->workers[i]);
        if (machines.text && strstr(machines.text, host)) continue;
        if (machines.used) text_put(&machines, ", ");
        text_put(&machines, host);
    }
    html_fact(p->h, "versions of the code", versions.text);
    html_fact(p->h, "machines", machines.text);
    if (v->n_workers) html_fact_say(p->h, "workers", "%d", v->n_workers);
    text_free(&versions);
    text_free(&machines);
}

/* The study's own text, where workers of drmad kept it. */
static const char *study_text(const view *v)
{
    const json_t *study = json_object_get(v->study, "study");
    const json_t *attrs = json_object_get(study, "system_attrs");

    return json_string_value(json_object_get(attrs, "drmad:study"));
}

/* Keys of the study; a study of another version of drmad may not have them. */
static void put_settings(study_page *p)
{
    static const char *const keys[] = {"search.sampler", "search.pruner", "search.trials", "seed"};
    static const char *const words[] = {"sampler", "pruner", "trials wanted", "seed"};
    const char *text = study_text(p->v);
    config *c = NULL;
    char *value;

    if (!text || config_new(p->v->ctx, &c) != DRMAD_OK) return;
    if (config_read(c, "study", text, strlen(text)) == DRMAD_OK)
        for (size_t i = 0; i < COUNT(keys); i++) {
            if (config_get(c, keys[i], &value) != DRMAD_OK) continue;
            html_fact(p->h, words[i], value);
            mem_free(p->v->ctx, value);
        }
    config_free(c);
}

static void put_directions(study_page *p)
{
    const view *v = p->v;
    text_out t = {.ctx = v->ctx};

    for (int32_t i = 0; i < v->n_objectives; i++) {
        if (i) text_put(&t, ", ");
        text_put(&t, v->directions[i] == DIRECTION_MAXIMIZE ? "maximize " : "minimize ");
        text_put(&t, v->objectives[i]);
    }
    html_fact(p->h, v->n_objectives > 1 ? "objectives" : "objective", t.text);
    text_free(&t);
}

static void put_attributes(study_page *p)
{
    const json_t *study = json_object_get(p->v->study, "study");
    const char *key;
    json_t *value;

    json_object_foreach(json_object_get(study, "user_attrs"), key, value)
    {
        buffer b = {.ctx = p->v->ctx};

        if (buffer_value(&b, value) == DRMAD_OK) html_fact(p->h, key, b.text ? b.text : "");
        text_free(&b);
    }
}

static void put_head(study_page *p)
{
    const view *v = p->v;

    html_facts(p->h);
    html_fact(p->h, "store", v->url);
    put_directions(p);
    put_counts(p);
    put_best_value(p);
    put_settings(p);
    put_times(p);
    put_versions(p);
    put_attributes(p);
    html_facts_end(p->h);
}

/* ---- what the best trial tuned ---- */

#define TUNED_FILE "hyperparameters.safetensors"

/* A trial whose run was a tuning of drmad's keeps its values in the store (docs/TRIALS.md). */
static const view_trial *tuned_trial(const study_page *p)
{
    const json_t *best = json_array_get(json_object_get(p->v->study, "best"), 0);

    if (p->v->n_complete == 0) return NULL;
    if (!json_object_get(json_object_get(best, "user_attrs"), "hyper:ranges")) return NULL;
    return &p->v->trials[p->order[0][0]];
}

static drmad_status put_tuned(study_page *p)
{
    const view_trial *t = tuned_trial(p);
    drmad_ctx *ctx = p->v->ctx;
    drmad_status st = DRMAD_OK;
    run_view *r = NULL;
    void *bytes = NULL;
    size_t size;

    if (!t) return DRMAD_OK;
    st = store_artefact_get(p->s, t->id, TUNED_FILE, &bytes, &size);
    if (st == DRMAD_OK) st = run_of_tensors(ctx, TUNED_FILE, bytes, size, &r);
    if (st == DRMAD_OK) st = run_values(p->h, r);
    if (st != DRMAD_OK && st != DRMAD_E_NOMEM) { /* a page without them is still one */
        html_section(p->h, "values", "Tuned hyperparameters");
        html_note(p->h, "They cannot be read: %s", drmad_errmsg(ctx));
        st = DRMAD_OK;
    } else if (st == DRMAD_OK) {
        html_note(p->h,
                  "These are the values of trial %lld, the best; its run folder is "
                  "trials/%lld in the folder of its worker.",
                  (long long)t->number, (long long)t->number);
    }
    mem_free(ctx, bytes);
    run_free(r);
    return st;
}

/* ---- trials ---- */

static void put_trial_row(study_page *p, const view_trial *t)
{
    const view *v = p->v;
    html *h = p->h;
    char buf[64];

    text_say(&h->t, "<tr id=\"t%lld\">", (long long)t->number);
    html_cell_number(h, (double)t->number);
    html_cell(h, trial_state_word(t->state));
    for (int32_t k = 0; k < v->n_objectives; k++) html_cell_number(h, view_value_of(t, k));
    for (int32_t k = 0; k < v->n_params; k++) {
        const double x = view_x(t, k);

        if (isnan(x)) html_cell(h, "");
        else if (v->params[k].d->type == SEARCH_CATEGORICAL)
            html_cell(h, view_show(&v->params[k], x, buf));
        else html_cell_number(h, x);
    }
    html_cell(h, isnan(t->complete) ? "" : html_duration(t->complete - t->start, buf));
    html_cell(h, t->worker >= 0 ? v->workers[t->worker] : "");
    html_row_end(h);
}

static drmad_status trial_heads(const view *v, char **out)
{
    text_out t = {.ctx = v->ctx};

    text_put(&t, "trial|<state");
    for (int32_t k = 0; k < v->n_objectives + v->n_params; k++) {
        const bool own = k >= v->n_objectives;
        const char *name = own ? v->params[k - v->n_objectives].name : v->objectives[k];
        const bool choice = own && v->params[k - v->n_objectives].d->type == SEARCH_CATEGORICAL;

        text_put(&t, choice ? "|<" : "| ");
        for (; *name; name++) text_put_bytes(&t, *name == '|' ? "/" : name, 1);
    }
    text_put(&t, "|<time|<worker");
    return text_give(&t, out);
}

static drmad_status put_trials(study_page *p)
{
    const view *v = p->v;
    drmad_status st = DRMAD_OK;
    char *heads = NULL;

    if (v->n_trials == 0) return DRMAD_OK;
    TRY(trial_heads(v, &heads));
    html_section(p->h, "trials", "Trials");
    if (v->n_trials > ROWS_MAX)
        html_note(p->h, "The best %d of %d, best first; drmad export writes all.", ROWS_MAX,
                  v->n_trials);
    else html_note(p->h, "Best first.");
    html_table(p->h, "trials", heads, false);
    for (int32_t k = 0; k < v->n_trials && k < ROWS_MAX; k++)
        put_trial_row(p, &v->trials[p->order[0][k]]);
    html_table_end(p->h, false);
done:
    mem_free(v->ctx, heads);
    return st;
}

/* ---- to do it again ---- */

static void put_again(study_page *p)
{
    const view *v = p->v;
    const char *text = study_text(v);
    text_out *t = &p->h->t;
    char value[256];

    html_section(p->h, "again", "To do it again");
    html_note(p->h, "All trials as a table, this page again%s:", text ? ", more workers" : "");
    text_put(t, "<pre>");
    static const char *const before[] = {"drmad export '", "drmad report '",
                                         "drmad worker --study '"};
    static const char *const after[] = {"'", "' -o report.html", "'"};
    for (int i = 0; i < (text ? 3 : 2); i++) {
        text_put(t, before[i]);
        html_text(t, v->url);
        text_put(t, "#");
        html_text(t, v->name);
        text_put(t, after[i]);
        text_put(t, "\n");
    }
    text_put(t, "</pre>\n<p class=\"note\">Reported by drmad");
    for (int i = 0; drmad_info_key(i); i++) {
        if (drmad_info(v->ctx, drmad_info_key(i), value, sizeof value) != DRMAD_OK) continue;
        text_say(t, "%s %s ", i ? "," : "", drmad_info_key(i));
        html_text(t, value);
    }
    text_put(t, ".</p>\n");
    if (!text) return;
    html_note(p->h, "The study:");
    text_put(t, "<pre class=\"study\">");
    html_text(t, text);
    text_put(t, "</pre>\n");
}

/* ---- the page ---- */

static drmad_status prepare(study_page *p, uint64_t seed)
{
    const view *v = p->v;
    drmad_status st = DRMAD_OK;

    p->shown = v->n_objectives < OBJECTIVES_SHOWN ? v->n_objectives : OBJECTIVES_SHOWN;
    TRY(mem_alloc(v->ctx, OBJECTIVES_SHOWN, sizeof *p->order, &p->order));
    TRY(mem_alloc(v->ctx, OBJECTIVES_SHOWN, sizeof *p->weights, &p->weights));
    for (int32_t k = 0; k < p->shown; k++) {
        TRY(view_order(v, k, &p->order[k]));
        TRY(importance_of(v, k, seed, &p->weights[k]));
    }
done:
    return st;
}

static drmad_status put_sections(study_page *p)
{
    drmad_status st = DRMAD_OK;

    put_head(p);
    TRY(page_history(p));
    TRY(page_front(p));
    TRY(page_importance(p));
    TRY(page_parallel(p));
    TRY(page_slices(p));
    TRY(page_contour(p));
    TRY(put_tuned(p));
    TRY(page_curves(p));
    TRY(page_timeline(p));
    TRY(put_trials(p));
    put_again(p);
done:
    return st;
}

static void page_free(study_page *p)
{
    drmad_ctx *ctx = p->v->ctx;

    for (int32_t k = 0; k < p->shown; k++) {
        if (p->order) mem_free(ctx, p->order[k]);
        if (p->weights) importance_free(p->weights[k]);
    }
    mem_free(ctx, p->order);
    mem_free(ctx, p->weights);
}

drmad_status html_study(store *s, const char *study, uint64_t seed, char **out)
{
    drmad_status st = DRMAD_OK;
    study_page p = {.s = s};
    view *v = NULL;
    html h;

    *out = NULL;
    html_open(&h, store_ctx(s), study); /* reading times needs C's locale too */
    TRY(view_read(s, study, &v));
    p.v = v, p.h = &h;
    TRY(prepare(&p, seed));
    TRY(put_sections(&p));
done:
    if (st == DRMAD_OK) st = html_close(&h, out);
    else html_drop(&h);
    if (v) page_free(&p);
    view_free(v);
    return st;
}
