/* The public calls that look after a store. They are thin: src/store/ knows the store, src/report/
 * the tables. */
#include "report/admin.h"
#include "base/file.h"
#include "base/settings.h"
#include "report/import_hypero.h"
#include "store/hypero.h"
#include "store/local.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define READ_SETTINGS(ctx, call, settings, n, known)                                               \
    settings_read((ctx), (call), (settings), (n), (known), COUNT(known))

drmad_status drmad_store_open(drmad_ctx *ctx, const char *url, const char *const *settings, int n,
                              drmad_store **out)
{
    store_options o = {0};
    const setting known[] = {{"create", SETTING_FLAG, &o.create},
                             {"read_only", SETTING_FLAG, &o.read_only},
                             {"patience", SETTING_REAL, &o.patience_s}};
    drmad_status st = DRMAD_OK;
    drmad_store *s = NULL;

    *out = NULL;
    TRY(READ_SETTINGS(ctx, "drmad_store_open", settings, n, known));
    TRY(mem_alloc(ctx, 1, sizeof *s, &s));
    s->ctx = s->text.ctx = ctx;
    TRY(store_open(ctx, url ? url : "", &o, &s->store));
    *out = s, s = NULL;
done:
    drmad_store_close(s);
    return st;
}

void admin_forget(drmad_store *s)
{
    text_free(&s->text);
    mem_free(s->ctx, s->json);
    s->json = NULL;
}

void drmad_store_close(drmad_store *s)
{
    if (!s) return;
    admin_forget(s);
    store_close(s->store);
    mem_free(s->ctx, s);
}

const char *drmad_store_url(const drmad_store *s)
{
    return store_url(s->store);
}

const char *drmad_store_result_json(const drmad_store *s)
{
    return s->json ? s->json : "";
}

const char *drmad_store_result_text(const drmad_store *s)
{
    return s->text.text ? s->text.text : "";
}

/* Takes `result`; NULL leaves none. */
static drmad_status keep(drmad_store *s, drmad_status st, json_t *result)
{
    buffer b = {.ctx = s->ctx};

    if (st == DRMAD_OK && result) {
        json_object_set_new(result, "schema", json_integer(1));
        st = buffer_json(&b, result);
    }
    if (st == DRMAD_OK) s->json = b.text, b.text = NULL;
    text_free(&b);
    json_decref(result);
    if (st != DRMAD_OK) admin_forget(s);
    return st;
}

/* ---- studies ---- */

enum { DIRECTIONS_MAX = 64 };

static drmad_status read_directions(drmad_ctx *ctx, const char *text, study_direction *d,
                                    int32_t *n)
{
    *n = 0;
    for (const char *from = text; *n < DIRECTIONS_MAX; from++) {
        const size_t length = strcspn(from, ",");
        const bool max = length == 8 && memcmp(from, "maximize", 8) == 0;

        if (!max && !(length == 8 && memcmp(from, "minimize", 8) == 0)) break;
        d[(*n)++] = max ? DIRECTION_MAXIMIZE : DIRECTION_MINIMIZE;
        from += length;
        if (!*from) return DRMAD_OK;
    }
    return FAIL(ctx, DRMAD_E_USAGE,
                "direction %s: expected minimize or maximize, several with commas between", text);
}

drmad_status drmad_store_create(drmad_store *s, const char *study, const char *directions,
                                int *made)
{
    study_direction d[DIRECTIONS_MAX];
    int64_t id;
    int32_t n;
    bool new = false;

    admin_forget(s);
    drmad_status st = read_directions(s->ctx, directions, d, &n);
    if (st == DRMAD_OK) st = store_study_create(s->store, study, d, n, &id, &new);
    *made = new;
    return st;
}

drmad_status drmad_store_delete(drmad_store *s, const char *study)
{
    int64_t id;

    admin_forget(s);
    const drmad_status st = store_study_find(s->store, study, &id);
    return st == DRMAD_OK ? store_study_delete(s->store, id) : st;
}

drmad_status drmad_store_list(drmad_store *s)
{
    json_t *result = NULL;

    admin_forget(s);
    const drmad_status st = report_studies(s->store, &result, &s->text);
    return keep(s, st, result);
}

drmad_status drmad_store_show(drmad_store *s, const char *study)
{
    json_t *result = NULL;

    admin_forget(s);
    const drmad_status st = report_study(s->store, study, &result, &s->text);
    return keep(s, st, result);
}

drmad_status drmad_store_best(drmad_store *s, const char *study)
{
    json_t *result = NULL;

    admin_forget(s);
    const drmad_status st = report_best(s->store, study, &result, &s->text);
    return keep(s, st, result);
}

/* ---- trials ---- */

static drmad_status read_states(drmad_ctx *ctx, const char *text, unsigned *states)
{
    char word[16];
    trial_state one;

    *states = 0;
    for (const char *from = text;; from++) {
        const size_t n = strcspn(from, ",");

        snprintf(word, sizeof word, "%.*s", (int)n, from);
        if (!trial_state_of(word, &one))
            return FAIL(ctx, DRMAD_E_USAGE, "state %s: expected COMPLETE, PRUNED, FAIL, ...", word);
        *states |= STATE_BIT(one);
        from += n;
        if (!*from) return DRMAD_OK;
    }
}

drmad_status drmad_store_trials(drmad_store *s, const char *study, const char *const *settings,
                                int n)
{
    const char *words = NULL;
    int64_t after = -1;
    const setting known[] = {{"after", SETTING_INT, &after}, {"states", SETTING_TEXT, &words}};
    drmad_status st = DRMAD_OK;
    json_t *result = NULL, *trial;
    unsigned states = STATES_ALL;
    size_t i;

    admin_forget(s);
    TRY(READ_SETTINGS(s->ctx, "drmad_store_trials", settings, n, known));
    if (words) TRY(read_states(s->ctx, words, &states));
    TRY(report_trials(s->store, study, after, states, &result));
    json_array_foreach(json_object_get(result, "trials"), i, trial)
    {
        TRY(report_trial_line(&s->text, trial));
        TRY(buffer_text(&s->text, "\n"));
    }
done:
    return keep(s, st, result);
}

/* ---- watching ---- */

enum { UNFINISHED = STATE_BIT(TRIAL_RUNNING) | STATE_BIT(TRIAL_WAITING) };

typedef struct watcher {
    drmad_store *s;
    const char *study;
    json_t *pending; /* ids of known trials that are not finished, as keys */
    int64_t last;    /* the largest id known */
    bool silent;     /* what there is already is not told */
    drmad_trial_fn *fn;
    void *user;
} watcher;

static const char *key_of(const json_t *trial, char key[24])
{
    snprintf(key, 24, "%lld", (long long)json_integer_value(json_object_get(trial, "id")));
    return key;
}

static bool is_finished(const json_t *trial)
{
    trial_state state;
    const char *word = json_string_value(json_object_get(trial, "state"));

    return trial_state_of(word, &state) && !(STATE_BIT(state) & UNFINISHED);
}

static drmad_status tell(const watcher *w, const json_t *trial)
{
    drmad_status st = DRMAD_OK;
    buffer json = {.ctx = w->s->ctx}, text = {.ctx = w->s->ctx};

    TRY(buffer_json(&json, trial));
    TRY(report_trial_line(&text, trial));
    TRY(w->fn(w->user, json.text, text.text));
done:
    text_free(&json);
    text_free(&text);
    return st;
}

/* Those of the pending trials that are no longer among the unfinished. */
static drmad_status look_at_pending(watcher *w)
{
    drmad_status st = DRMAD_OK;
    json_t *result = NULL, *trial, *unfinished = json_object(), *value;
    const char *id;
    char key[24];
    size_t i;
    void *next;

    TRY(report_trials(w->s->store, w->study, -1, UNFINISHED, &result));
    json_array_foreach(json_object_get(result, "trials"), i, trial)
        json_object_set_new(unfinished, key_of(trial, key), json_true());
    json_object_foreach_safe(w->pending, next, id, value)
    {
        if (json_object_get(unfinished, id)) continue;
        TRY(report_trial_of(w->s->store, w->study, strtoll(id, NULL, 10), &trial));
        if (is_finished(trial)) {
            st = tell(w, trial);
            json_object_del(w->pending, id);
        }
        json_decref(trial);
        if (st != DRMAD_OK) goto done;
    }
done:
    json_decref(result);
    json_decref(unfinished);
    return st;
}

static drmad_status look_at_new(watcher *w)
{
    drmad_status st = DRMAD_OK;
    json_t *result = NULL, *trial;
    char key[24];
    size_t i;

    TRY(report_trials(w->s->store, w->study, w->last, STATES_ALL, &result));
    json_array_foreach(json_object_get(result, "trials"), i, trial)
    {
        w->last = json_integer_value(json_object_get(trial, "id"));
        if (!is_finished(trial)) json_object_set_new(w->pending, key_of(trial, key), json_true());
        else if (!w->silent) TRY(tell(w, trial));
    }
    w->silent = false;
done:
    json_decref(result);
    return st;
}

void admin_nap(drmad_ctx *ctx, double seconds)
{
    const double end = base_now() + seconds;
    const struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};

    while (base_now() < end && !atomic_load(&ctx->stop)) nanosleep(&pause, NULL);
}

drmad_status drmad_store_watch(drmad_store *s, const char *study, int all, double every_s,
                               drmad_trial_fn *fn, void *user)
{
    watcher w = {.s = s, .study = study, .last = -1, .silent = !all, .fn = fn, .user = user};
    drmad_status st = DRMAD_OK;

    admin_forget(s);
    w.pending = json_object();
    while (st == DRMAD_OK && !atomic_load(&s->ctx->stop)) {
        if (json_object_size(w.pending)) st = look_at_pending(&w);
        if (st == DRMAD_OK) st = look_at_new(&w);
        if (st == DRMAD_OK) admin_nap(s->ctx, every_s);
    }
    if (base_stopped(s->ctx) != DRMAD_OK) atomic_store(&s->ctx->stop, 0);
    json_decref(w.pending);
    return st;
}

/* ---- tables ---- */

drmad_status drmad_store_export(drmad_store *s, const char *study, const char *const *settings,
                                int n)
{
    report_query q = {0};
    const char *file = NULL;
    const setting known[] = {
        {"format", SETTING_TEXT, &q.format},     {"params", SETTING_TEXT, &q.params},
        {"results", SETTING_TEXT, &q.results},   {"meta", SETTING_TEXT, &q.meta},
        {"order_by", SETTING_TEXT, &q.order_by}, {"desc", SETTING_FLAG, &q.desc},
        {"version", SETTING_TEXT, &q.version},   {"min_version", SETTING_TEXT, &q.min_version},
        {"file", SETTING_TEXT, &file},
    };
    drmad_status st = DRMAD_OK;

    admin_forget(s);
    TRY(READ_SETTINGS(s->ctx, "drmad_store_export", settings, n, known));
    TRY(report_export(s->store, study, &q, &s->text));
    if (file) {
        TRY(file_write_atomic(s->ctx, file, s->text.text, s->text.used));
        admin_forget(s);
    }
done:
    return keep(s, st, NULL);
}

drmad_status drmad_store_import_hypero(drmad_store *s, const char *from,
                                       const char *const *settings, int n)
{
    hypero_import o = {.from = from, .schema = "hyper"};
    const char *direction = "minimize";
    const setting known[] = {{"schema", SETTING_TEXT, &o.schema},
                             {"battery", SETTING_TEXT, &o.battery},
                             {"objective", SETTING_TEXT, &o.objective},
                             {"direction", SETTING_TEXT, &direction}};
    study_direction directions[DIRECTIONS_MAX];
    drmad_status st = DRMAD_OK;
    json_t *result = NULL;
    int32_t count;

    admin_forget(s);
    TRY(READ_SETTINGS(s->ctx, "drmad_store_import_hypero", settings, n, known));
    TRY(read_directions(s->ctx, direction, directions, &count));
    o.direction = directions[0];
    TRY(import_hypero(s->store, &o, &result, &s->text));
done:
    return keep(s, st, result);
}

drmad_status drmad_store_hypero_views(drmad_store *s, const char *const *settings, int n)
{
    const char *schema = "hyper";
    const setting known[] = {{"schema", SETTING_TEXT, &schema}};

    admin_forget(s);
    const drmad_status st = READ_SETTINGS(s->ctx, "drmad_store_hypero_views", settings, n, known);
    return st == DRMAD_OK ? store_hypero_views(s->store, schema) : st;
}

/* ---- without an open store ---- */

drmad_status drmad_store_check(drmad_ctx *ctx, const char *url, drmad_finding_fn *fn, void *user)
{
    return store_check(ctx, url ? url : "", fn, user);
}

drmad_status drmad_store_upgrade(drmad_ctx *ctx, const char *url)
{
    return store_upgrade(ctx, url ? url : "");
}

drmad_status drmad_store_start_local(drmad_ctx *ctx, const char *const *settings, int n, char *url,
                                     size_t size)
{
    local_options o = {0};
    int64_t connections = 0;
    const setting known[] = {{"folder", SETTING_TEXT, &o.folder},
                             {"bin", SETTING_TEXT, &o.bin},
                             {"bind", SETTING_TEXT, &o.bind},
                             {"url_file", SETTING_TEXT, &o.url_file},
                             {"max_connections", SETTING_INT, &connections}};
    drmad_status st = DRMAD_OK;
    char *made = NULL;

    url[0] = '\0';
    TRY(READ_SETTINGS(ctx, "drmad_store_start_local", settings, n, known));
    if (connections < 0 || connections > 10000)
        TRY(FAIL(ctx, DRMAD_E_USAGE, "max_connections=%lld: expected 0 to 10000",
                 (long long)connections));
    o.max_connections = (int32_t)connections;
    TRY(local_start(ctx, &o, &made));
    if (strlen(made) >= size)
        TRY(FAIL(ctx, DRMAD_E_USAGE, "the URL has %zu bytes, its place %zu", strlen(made), size));
    memcpy(url, made, strlen(made) + 1);
done:
    mem_free(ctx, made);
    return st;
}

drmad_status drmad_store_stop_local(drmad_ctx *ctx, const char *folder)
{
    return local_stop(ctx, folder, false);
}
