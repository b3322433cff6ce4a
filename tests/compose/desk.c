/* The fixture of the study tests. */
#include "desk.h"
#include <signal.h>
#include <sys/stat.h>

/* Everything random is fixed by the seed; 8 steps on 60 drawn digits take about a millisecond. */
static const char study[] = "name: desk\n"
                            "seed: 3\n"
                            "data: {kind: synthetic-digits, train: 60, valid: 40, test: 30}\n"
                            "model: {layers: [auto, 4, auto]}\n"
                            "train: {steps: 8, batch: 5}\n"
                            "hyper:\n"
                            "  - {kind: l2, per: layer, start: 1e-3}\n"
                            "outer: {steps: 4, lr: 0.3}\n"
                            "retrain: {seeds: 2}\n"
                            "output: {checkpoint_minutes: 0}\n";

static void keep_line(void *user, int level, const char *line)
{
    desk *d = user;
    const size_t n = strlen(d->log);

    snprintf(d->log + n, sizeof d->log - n, "%d %s\n", level, line);
}

void desk_open(desk *d)
{
    char path[300];

    memset(d, 0, sizeof *d);
    d->folder = test_scratch();
    d->ctx = drmad_ctx_new(NULL, NULL);
    if (!d->ctx) abort();
    drmad_ctx_set_log(d->ctx, keep_line, d);
    snprintf(path, sizeof path, "%s/study.yaml", d->folder);
    FILE *f = fopen(path, "w");
    if (!f || fputs(study, f) < 0 || fclose(f) != 0) test_fail(__FILE__, __LINE__, "%s", path);
}

void desk_close(desk *d)
{
    json_decref(d->result);
    drmad_ctx_free(d->ctx);
}

static void on_event(void *user, const char *stage, double done, double total, const char *json)
{
    desk *d = user;
    json_t *j = json_loads(json, JSON_REJECT_DUPLICATES, NULL);

    (void)done;
    (void)total;
    if (!stage[0] || !json_is_string(json_object_get(j, "event")))
        test_fail(__FILE__, __LINE__, "not an event: %s: %s", stage, json);
    json_decref(j);
    d->events++;
    if (d->events == d->at + 1) d->seen = desk_has(d, d->out, "checkpoint.safetensors");
    if (d->events != d->at) return;
    if (d->signal > 0) drmad_ctx_stop(d->ctx, d->signal);
    if (d->signal == 0) drmad_ctx_checkpoint(d->ctx);
}

static void keep_result(desk *d, const drmad_study *s)
{
    const char *json = drmad_study_result_json(s);

    json_decref(d->result);
    d->result = json[0] ? json_loads(json, JSON_REJECT_DUPLICATES, NULL) : NULL;
    if (json[0] && !d->result) test_fail(__FILE__, __LINE__, "not JSON: %s", json);
    snprintf(d->text, sizeof d->text, "%s", drmad_study_result_text(s));
}

drmad_status desk_run(desk *d, const char *out, desk_call *call, const char *const *settings)
{
    const char *list[DESK_SETTINGS + 1];
    char path[300], dir[400];
    drmad_study *s = NULL;
    int n = 0;

    snprintf(d->out, sizeof d->out, "%s", out);
    snprintf(path, sizeof path, "%s/study.yaml", d->folder);
    snprintf(dir, sizeof dir, "output.dir=%s/%s", d->folder, out);
    for (; settings[n] && n < DESK_SETTINGS; n++) list[n] = settings[n];
    list[n++] = dir;
    d->events = 0, d->seen = false, d->log[0] = '\0', d->text[0] = '\0';
    json_decref(d->result);
    d->result = NULL;
    drmad_status st = drmad_study_load(d->ctx, path, list, n, &s);
    if (st == DRMAD_OK) {
        drmad_study_set_events(s, on_event, d);
        st = call(s);
        keep_result(d, s);
    }
    snprintf(d->message, sizeof d->message, "%s", st == DRMAD_OK ? "" : drmad_errmsg(d->ctx));
    drmad_study_free(s);
    return st;
}

drmad_status desk_run_after(desk *d, const char *out, desk_call *call, const char *const *usual,
                            const char *const *more)
{
    const char *list[DESK_SETTINGS + 1];
    int n = 0;

    for (int i = 0; usual[i] && n < DESK_SETTINGS; i++) list[n++] = usual[i];
    for (int i = 0; more && more[i] && n < DESK_SETTINGS; i++) list[n++] = more[i];
    list[n] = NULL;
    return desk_run(d, out, call, list);
}

drmad_status desk_tune(drmad_study *s)
{
    return drmad_study_tune(s, 0);
}

drmad_status desk_resume(drmad_study *s)
{
    return drmad_study_tune(s, 1);
}

drmad_status desk_train(drmad_study *s)
{
    return drmad_study_train(s, 0);
}

/* ---- files ---- */

static void join(const desk *d, const char *out, const char *name, char *path, size_t size)
{
    snprintf(path, size, "%s/%s/%s", d->folder, out, name);
}

bool desk_has(const desk *d, const char *out, const char *name)
{
    char path[500];
    struct stat info;

    join(d, out, name, path, sizeof path);
    return stat(path, &info) == 0;
}

char *desk_read(const desk *d, const char *out, const char *name, size_t *size)
{
    char path[500], *bytes = NULL;

    join(d, out, name, path, sizeof path);
    FILE *f = fopen(path, "rb");
    *size = 0;
    if (!f) return NULL;
    if (fseek(f, 0, SEEK_END) == 0) {
        *size = (size_t)ftell(f);
        rewind(f);
        bytes = calloc(*size + 1, 1);
        if (!bytes || fread(bytes, 1, *size, f) != *size) abort();
    }
    fclose(f);
    return bytes;
}

void desk_write(const desk *d, const char *out, const char *name, const char *bytes, size_t size)
{
    char path[500];

    join(d, out, name, path, sizeof path);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(bytes, 1, size, f) != size || fclose(f) != 0)
        test_fail(__FILE__, __LINE__, "%s: cannot be written", path);
}

st_file *desk_tensors(const desk *d, const char *out, const char *name)
{
    char path[500];
    st_file *f = NULL;

    join(d, out, name, path, sizeof path);
    CHECK_OK(d->ctx, safetensors_read(d->ctx, path, &f));
    return f;
}

/* ---- equality ---- */

void desk_same_file(const desk *d, const char *a, const char *a_name, const char *b,
                    const char *b_name)
{
    size_t na, nb;
    char *x = desk_read(d, a, a_name, &na), *y = desk_read(d, b, b_name, &nb);

    if (!x || !y || na != nb || memcmp(x, y, na) != 0)
        test_fail(__FILE__, __LINE__, "%s/%s and %s/%s: other bytes", a, a_name, b, b_name);
    free(x);
    free(y);
}

/* Takes out what may differ between two runs of one study: "seconds" at every level, and the
 * machine's part. */
static void drop_times(json_t *j)
{
    const char *key;
    json_t *value;
    size_t i;

    json_object_del(j, "seconds");
    json_object_del(j, "versions");
    if (json_is_object(j)) json_object_foreach(j, key, value) drop_times(value);
    if (json_is_array(j)) json_array_foreach(j, i, value) drop_times(value);
}

void desk_same_result(const desk *d, const char *a, const char *b)
{
    const char *of[] = {a, b};
    char *text[2];

    for (int i = 0; i < 2; i++) {
        size_t size;
        char *raw = desk_read(d, of[i], "result.json", &size);
        json_t *j = json_loads(raw ? raw : "", JSON_REJECT_DUPLICATES, NULL);
        drop_times(j);
        text[i] = j ? json_dumps(j, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
        json_decref(j);
        free(raw);
    }
    if (!text[0] || !text[1] || strcmp(text[0], text[1]) != 0)
        test_fail(__FILE__, __LINE__, "%s, %s: other results\n  %s\n  %s", a, b,
                  text[0] ? text[0] : "none", text[1] ? text[1] : "none");
    free(text[0]);
    free(text[1]);
}

void desk_same(const desk *d, const char *a, const char *b)
{
    static const char *const files[] = {"weights.safetensors", "hyperparameters.safetensors"};

    desk_same_result(d, a, b);
    for (size_t i = 0; i < COUNT(files); i++) desk_same_file(d, a, files[i], b, files[i]);
}

/* ---- the result ---- */

double number_in(const json_t *j, const char *key)
{
    const json_t *x = json_object_get(j, key);

    return json_is_number(x) ? json_number_value(x) : NAN;
}

const char *word_in(const json_t *j, const char *key)
{
    const char *s = json_string_value(json_object_get(j, key));

    return s ? s : "";
}

double desk_number(const desk *d, const char *key)
{
    return number_in(d->result, key);
}

const char *desk_word(const desk *d, const char *key)
{
    return word_in(d->result, key);
}

const json_t *desk_step(const desk *d, size_t i)
{
    return json_array_get(json_object_get(d->result, "path"), i);
}

/* ---- cut and going on ---- */

void desk_cut(desk_runner *run, void (*same)(const desk *d), const char *const *more, int step)
{
    desk d;
    int events;

    desk_open(&d);
    CHECK_OK(d.ctx, run(&d, "whole", desk_tune, more));
    events = d.events;
    CHECK(events > 12);
    for (int k = 1; k < events; k += test_sanitized() ? 3 * step : step) {
        d.at = k, d.signal = SIGTERM;
        const drmad_status st = run(&d, "cut", desk_tune, more);
        if (st == DRMAD_OK && k + 2 >= events) continue; /* nothing was left to stop */
        if (st != DRMAD_E_TERMINATED || !strstr(d.message, "--resume"))
            test_fail(__FILE__, __LINE__, "cut at %d: status %d, %s", k, (int)st, d.message);
        d.at = 0;
        CHECK_OK(d.ctx, run(&d, "cut", desk_resume, more));
        same(&d);
    }
    desk_close(&d);
}
