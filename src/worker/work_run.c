/* One trial in a worker: from its parameters to a slot, from what that says to the store. */
#include "base/file.h"
#include "worker/work.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ATTRS_MAX = 64, ATTR_BYTES_MAX = 4096, VECTOR_MAX = 1 << 30 };

static const double report_s = 0.5; /* between batches of intermediate values */

/* ---- the start ---- */

static drmad_status make_folder(work *w, run *r)
{
    drmad_ctx *ctx = w->s->ctx;
    drmad_status st = DRMAD_OK;
    char path[1200], *real = NULL;

    if (w->kind == &slot_call) return mem_strdup(ctx, "", &r->dir);
    const int n = snprintf(path, sizeof path, "%s/trials/%lld", w->s->cfg->set.output.dir,
                           (long long)r->t->lease.number);
    if (n < 0 || (size_t)n >= sizeof path)
        TRY(config_refuse(w->s->cfg, "output.dir", "the path is too long"));
    TRY(file_make_folder(ctx, path));
    real = realpath(path, NULL);
    if (!real) TRY(FAIL(ctx, DRMAD_E_OUTPUT, "%s: %s", path, strerror(errno)));
    TRY(mem_strdup(ctx, real, &r->dir));
done:
    free(real);
    return st;
}

static drmad_status take_values(run *r)
{
    drmad_ctx *ctx = r->t->study->ctx;
    drmad_status st = DRMAD_OK;
    const search_param *p;
    int32_t n = 0;
    double x;

    while (trial_param(r->t, n, &x)) n++;
    TRY(mem_alloc(ctx, (size_t)n + 1, sizeof *r->names, &r->names));
    TRY(mem_alloc(ctx, (size_t)n + 1, sizeof *r->values, &r->values));
    for (int32_t i = 0; i < n; i++) {
        p = trial_param(r->t, i, &x);
        r->names[i] = p->name;
        TRY(trial_text(ctx, p, x, &r->values[i]));
        r->job.n++;
    }
done:
    return st;
}

static drmad_status run_open(work *w, run *r)
{
    drmad_study *s = w->s;
    drmad_status st = DRMAD_OK;
    beater *b = NULL;
    void *own = w->kind == &slot_command    ? (void *)&w->command
                : w->kind == &slot_training ? (void *)&w->training
                                            : (void *)&r->call;

    r->since = r->reported = base_now();
    TRY(make_folder(w, r));
    TRY(take_values(r));
    r->call = (call_spec){s->objective, s->objective_user, r->t, NAN};
    r->job.number = r->t->lease.number;
    r->job.study = s->session->name;
    r->job.dir = r->dir;
    r->job.threads = w->threads;
    r->job.gpu_trials = w->jobs;
    r->job.gpu_share = w->gpu / (size_t)w->jobs;
    r->job.names = r->names;
    r->job.values = (const char *const *)r->values;
    r->job.params = drmad_trial_params_json(r->t);
    if (w->kind == &slot_call) b = beater_start(s, &r->t->lease);
    st = slot_start(s->ctx, w->kind, own, &r->job, &w->rules, &r->slot);
    beater_stop(b);
done:
    return st;
}

void run_close(work *w, run *r)
{
    drmad_ctx *ctx = w->s->ctx;

    slot_free(r->slot);
    for (int32_t i = 0; r->values && i < r->job.n; i++) mem_free(ctx, r->values[i]);
    mem_free(ctx, r->values);
    mem_free(ctx, r->names);
    mem_free(ctx, r->dir);
    drmad_trial_free(r->t);
    mem_free(ctx, r);
}

drmad_status run_start(work *w, drmad_trial *t)
{
    drmad_status st;
    char why[1024];
    run *r;

    st = mem_alloc(w->s->ctx, 1, sizeof *r, &r);
    if (st != DRMAD_OK) {
        drmad_trial_free(t);
        return st;
    }
    r->t = t;
    w->begun++;
    st = run_open(w, r);
    if (st == DRMAD_OK) {
        w->runs[w->n++] = r;
        return st;
    }
    snprintf(why, sizeof why, "%s", drmad_errmsg(w->s->ctx));
    if (!t->ended) drmad_trial_release(t); /* another worker may be better off */
    run_close(w, r);
    return FAIL(w->s->ctx, st, "%s", why);
}

/* ---- what goes with the end ---- */

typedef struct attrs {
    drmad_ctx *ctx;
    store_attr at[ATTRS_MAX];
    char *texts[2 * ATTRS_MAX]; /* keys and values, ours to free */
    int32_t n, n_texts;
} attrs;

/* Takes `json`, which may be NULL. */
static drmad_status add(attrs *a, const char *prefix, const char *name, char *json)
{
    drmad_status st = DRMAD_OK;
    const size_t size = strlen(prefix) + strlen(name) + 1;
    char *key = NULL;

    if (!json || a->n == ATTRS_MAX || size > STORE_NAME_MAX) {
        mem_free(a->ctx, json);
        return st;
    }
    a->texts[a->n_texts++] = json;
    TRY(mem_alloc(a->ctx, size, 1, &key));
    a->texts[a->n_texts++] = key;
    snprintf(key, size, "%s%s", prefix, name);
    a->at[a->n++] = (store_attr){key, json, .system = false};
done:
    return st;
}

static drmad_status add_text(attrs *a, const char *name, const char *text, size_t n)
{
    char *json;
    drmad_status st = trial_json_text(a->ctx, text, n, &json);

    return st == DRMAD_OK ? add(a, "", name, json) : st;
}

static drmad_status add_json(attrs *a, const char *prefix, const char *name, const json_t *j)
{
    char *dumped = json_dumps(j, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));
    char *json = NULL;
    drmad_status st = DRMAD_OK;

    if (dumped && strlen(dumped) <= ATTR_BYTES_MAX) st = mem_strdup(a->ctx, dumped, &json);
    free(dumped);
    return st == DRMAD_OK ? add(a, prefix, name, json) : st;
}

static void free_attrs(attrs *a)
{
    for (int32_t i = 0; i < a->n_texts; i++) mem_free(a->ctx, a->texts[i]);
}

/* What a result says besides its value: of our own training the losses and errors. */
static drmad_status add_result(attrs *a, const json_t *result)
{
    const json_t *tuned = json_object_get(json_object_get(result, "tuned"), "mean");
    const json_t *once = json_object_get(result, "run");
    const bool own = json_object_get(result, "versions") != NULL;
    const json_t *from = !own ? result : tuned ? tuned : once;
    drmad_status st = DRMAD_OK;
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)from, key, value)
    {
        if (strcmp(key, "value") != 0 && strcmp(key, "state") != 0 && strcmp(key, "gradient") != 0)
            TRY(add_json(a, "result:", key, value));
    }
    if (own)
        TRY(add_json(a, "result:", "hyperparameters", json_object_get(result, "hyperparameters")));
done:
    return st;
}

/* Smallest, middle and largest value of each tensor of the tuned vector. */
static json_t *ranges(const st_file *file)
{
    json_t *all = json_object();

    for (int32_t i = 0; i < file->n; i++) {
        const st_tensor *t = &file->at[i];
        const double *x = t->data;
        const int64_t n = shape_count(&t->shape);
        double low = HUGE_VAL, high = -HUGE_VAL, sum = 0;

        if (t->dtype != F64 || n == 0) continue;
        for (int64_t k = 0; k < n; k++) {
            low = fmin(low, x[k]), high = fmax(high, x[k]);
            sum += x[k] / (double)n;
        }
        json_object_set_new(all, t->name,
                            json_pack("{s:I,s:o,s:o,s:o}", "size", (json_int_t)n, "low",
                                      study_real(low), "mean", study_real(sum), "high",
                                      study_real(high)));
    }
    return all;
}

/* A tuned trial's vector lies beside it as an artefact; the row has its summary. */
static drmad_status add_vector(work *w, run *r, attrs *a)
{
    static const char name[] = "hyperparameters.safetensors";
    const struct session *ss = w->s->session;
    drmad_status st = DRMAD_OK;
    char path[1300], *bytes = NULL;
    st_file *file = NULL;
    json_t *j = NULL;
    size_t size;

    snprintf(path, sizeof path, "%s/%s", r->dir, name);
    if (!w->training.tune || access(path, R_OK) != 0) return st;
    TRY(file_read_all(ss->ctx, path, VECTOR_MAX, &bytes, &size));
    TRY(store_artefact_put(ss->store, &r->t->lease, name, bytes, size));
    TRY(safetensors_read(ss->ctx, path, &file));
    j = ranges(file);
    TRY(add_json(a, "hyper:", "ranges", j));
done:
    json_decref(j);
    mem_free(ss->ctx, file);
    mem_free(ss->ctx, bytes);
    return st;
}

/* {"value": 0.4, "gradient": {"lr": -0.3}}: what cannot be is left out, with a warning. */
static drmad_status add_gradient(run *r, attrs *a)
{
    const json_t *gradient = json_object_get(r->slot->said.result, "gradient");
    const int32_t before = a->n;
    drmad_status st = DRMAD_OK;

    if (!gradient) return st;
    if (trial_check_gradient(r->t, gradient) == DRMAD_OK)
        st = add_json(a, "", PAST_GRADIENT_KEY, gradient);
    else base_log(a->ctx, LOG_WARN, "%s", drmad_errmsg(a->ctx));
    if (a->n > before) a->at[before].system = true;
    return st;
}

static drmad_status gather(work *w, run *r, attrs *a)
{
    const slot *s = r->slot;
    drmad_status st = DRMAD_OK;

    if (s->verdict.state == TRIAL_FAIL) {
        TRY(add_text(a, "fail_reason", s->verdict.why, strlen(s->verdict.why)));
        if (s->tail_used > 0) TRY(add_text(a, "stderr", s->tail, s->tail_used));
    }
    if (s->verdict.state == TRIAL_COMPLETE && w->kind == &slot_training) TRY(add_vector(w, r, a));
    if (s->verdict.state == TRIAL_COMPLETE) TRY(add_gradient(r, a));
    if (s->said.result) TRY(add_result(a, s->said.result));
done:
    return st;
}

/* ---- the end ---- */

static void say_end(const work *w, const run *r)
{
    const said_verdict *v = &r->slot->verdict;
    const long long number = (long long)r->job.number;
    const double took = base_now() - r->since;

    if (v->state == TRIAL_COMPLETE)
        base_log(w->s->ctx, LOG_INFO, "trial %lld: %.6g in %.1f s", number, v->value, took);
    else if (v->state == TRIAL_PRUNED)
        base_log(w->s->ctx, LOG_INFO, "trial %lld: pruned after %.1f s", number, took);
    else
        base_log(w->s->ctx, LOG_WARN, "study %s, trial %lld %s: %s", r->job.study, number,
                 v->state == TRIAL_FAIL ? "failed" : "is given back", v->why);
}

static drmad_status say_event(const work *w, const run *r)
{
    const said_verdict *v = &r->slot->verdict;
    json_t *params = json_loads(r->job.params, 0, NULL);
    const int64_t total = w->s->cfg->set.search.trials;

    return study_event(w->s, "trials", (double)w->good, (double)total,
                       json_pack("{s:s,s:I,s:s,s:o,s:o}", "event", "trial", "number",
                                 (json_int_t)r->job.number, "state", trial_state_word(v->state),
                                 "value", study_real(v->value), "params",
                                 params ? params : json_object()));
}

static drmad_status drop_lost(const work *w, const run *r)
{
    base_log(w->s->ctx, LOG_WARN,
             "study %s, trial %lld: the lease was lost, so its result is dropped; a worker that "
             "stands still longer than worker.lease (%g s) loses its trials",
             w->s->session->name, (long long)r->job.number, w->s->cfg->set.worker.lease);
    return DRMAD_OK;
}

/* Alone, or beside fewer, it may have memory enough. */
static bool is_crowded(const run *r)
{
    return r->slot->failed == DRMAD_E_NOMEM && r->job.gpu_share > 0 && r->job.gpu_trials > 1;
}

/* Those that run keep their shares, none larger than a new one: so all fit until they are over. */
static void make_way(work *w, const run *r)
{
    const int fewer = (r->job.gpu_trials + 1) / 2;

    if (fewer >= w->jobs) return; /* another one has made way already */
    work_take_jobs(w, fewer);
    base_log(w->s->ctx, LOG_WARN, "study %s: from here on %d side by side on the GPU instead of %d",
             w->s->session->name, fewer, r->job.gpu_trials);
}

static drmad_status release(work *w, run *r)
{
    const drmad_status st = r->t->ended ? DRMAD_OK : drmad_trial_release(r->t);

    if (w->stop == DRMAD_OK && !is_crowded(r)) { /* it would come back at once */
        w->pause = fmin(60, fmax(1, 2 * w->pause));
        w->ask_at = base_now() + w->pause;
    }
    return st;
}

static drmad_status tell(work *w, run *r)
{
    const slot *s = r->slot;
    const said_verdict *v = &s->verdict;
    attrs a = {.ctx = w->s->ctx};
    drmad_status st = DRMAD_OK;

    if (r->t->ended) return st; /* a function told it by itself */
    TRY(gather(w, r, &a));
    const store_trial end = {
        .state = v->state,
        .n_values = v->state == TRIAL_COMPLETE,
        .values = &v->value,
        .n_reports = s->said.n_reports,
        .reports = s->said.reports,
        .n_attrs = a.n,
        .attrs = a.at,
    };
    TRY(trial_tell(r->t, &end));
done:
    free_attrs(&a);
    return st;
}

/* Counts, and whether it is no use to go on. */
static drmad_status judge_row(work *w, const said_verdict *v)
{
    const int64_t most = w->good > 0 ? 100 : 10 + w->jobs;

    if (v->state != TRIAL_FAIL) {
        w->failed_in_row = 0;
        w->good++;
        w->pause = 0;
        return DRMAD_OK;
    }
    if (++w->failed_in_row < most) return DRMAD_OK;
    return FAIL(w->s->ctx, DRMAD_E_DIVERGED, "study %s: %lld trials in a row failed, the last: %s",
                w->s->session->name, (long long)w->failed_in_row, v->why);
}

/* What our own training cannot do here it cannot do for the next trial either; and a function has
 * no memory but ours. */
static bool is_ours(const run *r)
{
    switch (r->slot->failed) {
    case DRMAD_E_NOMEM: return r->slot->kind == &slot_call;
    case DRMAD_E_INTERNAL: return r->job.gpu_share > 0; /* a GPU is lost to the whole process */
    case DRMAD_E_DATA:
    case DRMAD_E_MISSING:
    case DRMAD_E_OUTPUT:
    case DRMAD_E_IO: return r->slot->kind == &slot_training;
    default: return false;
    }
}

static drmad_status run_end(work *w, run *r)
{
    said_verdict *v = &r->slot->verdict;
    drmad_status st = DRMAD_OK;

    if (r->lost) return drop_lost(w, r);
    if (is_ours(r) || is_crowded(r)) v->state = TRIAL_WAITING;
    st = v->state == TRIAL_WAITING ? release(w, r) : tell(w, r);
    if (st == DRMAD_E_LEASE) return drop_lost(w, r);
    if (st == DRMAD_E_AGAIN && v->state != TRIAL_WAITING) {
        w->spooled = true;
        base_log(w->s->ctx, LOG_WARN, "%s", drmad_errmsg(w->s->ctx));
    }
    TRY(work_reached(w, st));
    say_end(w, r);
    if (is_ours(r)) TRY(FAIL(w->s->ctx, r->slot->failed, "%s", v->why));
    if (is_crowded(r)) make_way(w, r);
    if (v->state == TRIAL_WAITING) goto done;
    TRY(judge_row(w, v));
    TRY(say_event(w, r));
done:
    return st;
}

static drmad_status send_reports(work *w, run *r)
{
    said *s = &r->slot->said;
    drmad_status st = DRMAD_OK;

    if (s->n_reports == 0 || r->lost || base_now() - r->reported < report_s) return st;
    r->reported = base_now();
    st = store_trial_reports(w->s->session->store, &r->t->lease, s->reports, s->n_reports);
    if (st == DRMAD_OK) s->n_reports = r->kept = 0;
    if (st != DRMAD_E_LEASE) return work_reached(w, st);
    r->lost = true;
    slot_stop(r->slot);
    return DRMAD_OK;
}

/* Each report is judged by itself, however many come at once. */
static drmad_status heed_reports(work *w, run *r)
{
    const said *s = &r->slot->said;
    drmad_status st = DRMAD_OK;
    bool prune = false;

    if (r->tries != r->slot->tries) r->kept = 0; /* it runs again */
    r->tries = r->slot->tries;
    for (; r->kept < s->n_reports; r->kept++) {
        TRY(trial_keep_report(r->t, s->reports[r->kept].step, s->reports[r->kept].value));
        r->heard++;
    }
    if (r->lost || r->slot->phase != SLOT_RUNNING) return st;
    TRY(work_reached(w, trial_prune(r->t, &r->judged, &prune)));
    if (prune) slot_prune(r->slot);
    else if (r->slot->kind->heard) r->slot->kind->heard(r->slot, r->heard);
done:
    return st;
}

drmad_status run_step(work *w, run *r, bool *ended)
{
    drmad_status st = DRMAD_OK;

    *ended = false;
    TRY(slot_step(r->slot));
    *ended = r->slot->phase == SLOT_ENDED;
    if (!*ended) {
        TRY(heed_reports(w, r));
        return send_reports(w, r);
    }
    st = run_end(w, r);
    if (r->dir[0]) rmdir(r->dir); /* only where nothing was left in it */
done:
    return st;
}
