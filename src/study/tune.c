/* The main job: train, walk back, move h, and so on; then retrain and compare. */
#include "study/study.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A tuning run between two meta-steps. */
typedef struct tuning {
    outer *o;
    double *values, *before; /* scratch; the outer state before a meta-step */
    double spent;            /* training runs so far */
    double earlier;          /* seconds of the runs this one goes on from */
    double saved;            /* when the last checkpoint was written */
    int64_t tied;            /* the meta-step whose ties the space holds */
    bool resumed;
    json_t *path; /* one object a meta-step */
} tuning;

static void tuning_free(drmad_study *s, tuning *t)
{
    outer_free(t->o);
    mem_free(s->ctx, t->values);
    mem_free(s->ctx, t->before);
    json_decref(t->path);
}

/* Scratch as large as the space is now. */
static drmad_status tuning_fit(drmad_study *s, tuning *t)
{
    drmad_status st = DRMAD_OK;
    size_t n;

    outer_state(t->o, &n);
    mem_free(s->ctx, t->values);
    mem_free(s->ctx, t->before);
    t->values = t->before = NULL;
    TRY(mem_alloc(s->ctx, (size_t)s->s->space->total + 1, sizeof(double), &t->values));
    TRY(mem_alloc(s->ctx, n, sizeof(double), &t->before));
done:
    return st;
}

/* ---- checkpoints ---- */

static const char checkpoint_name[] = "checkpoint.safetensors";

/* What a checkpoint belongs to: the study less what may differ between two starts. */
static drmad_status fingerprint(drmad_study *s, char out[SHA256_TEXT])
{
    static const char *const ignored[] = {"\noutput:", "\nbudget:", "\nthreads:"};
    drmad_status st = DRMAD_OK;
    char *text = NULL;

    TRY(config_print(s->cfg, &text));
    for (size_t i = 0; i < COUNT(ignored); i++) {
        char *from = strstr(text, ignored[i]);
        if (!from) continue;
        char *to = from + 1;
        do to = strchr(to, '\n');
        while (to && (to[1] == ' ' ? to++, true : false));
        memmove(from, to ? to : from + strlen(from), to ? strlen(to) + 1 : 1);
    }
    TRY(blob_sha256(s->ctx, text, strlen(text), s->s->train_data->sha256, SHA256_TEXT, out));
done:
    mem_free(s->ctx, text);
    return st;
}

static drmad_status save(drmad_study *s, tuning *t)
{
    drmad_status st = DRMAD_OK;
    char print[SHA256_TEXT], spent[40], seconds[40], bytes[40], tied[40];
    char *path = json_dumps(t->path, JSON_COMPACT | JSON_REAL_PRECISION(17));
    size_t n;
    const double *state = outer_state(t->o, &n);

    if (!path) TRY(FAIL(s->ctx, DRMAD_E_NOMEM, "out of memory for a checkpoint"));
    TRY(fingerprint(s, print));
    snprintf(spent, sizeof spent, "%a", t->spent);
    snprintf(seconds, sizeof seconds, "%a", t->earlier + base_now() - s->started);
    snprintf(bytes, sizeof bytes, "%lld", (long long)folder_log_bytes(s->f));
    snprintf(tied, sizeof tied, "%lld", (long long)t->tied);
    const st_tensor outer_tensor = {"outer", F64, SHAPE((int64_t)n), state};
    const st_text text[] = {{"study_sha256", print}, {"spent", spent}, {"seconds", seconds},
                            {"log_bytes", bytes},    {"tied", tied},   {"path", path}};
    const st_file file = {1, (int32_t)COUNT(text), &outer_tensor, text};
    TRY(folder_tensors(s->f, checkpoint_name, &file));
    t->saved = base_now();
done:
    free(path);
    return st;
}

static const char *text_of(const st_file *f, const char *key)
{
    for (int32_t i = 0; i < f->texts; i++)
        if (strcmp(f->text[i].key, key) == 0) return f->text[i].value;
    return "";
}

static drmad_status restore(drmad_study *s, const st_file *f, tuning *t)
{
    const st_tensor *state = safetensors_find(f, "outer");
    drmad_status st = DRMAD_OK;
    char print[SHA256_TEXT];
    size_t n;

    TRY(fingerprint(s, print));
    if (strcmp(text_of(f, "study_sha256"), print) != 0)
        TRY(FAIL(s->ctx, DRMAD_E_CONFIG,
                 "%s/%s: of another study or other data; leave --resume out to start anew",
                 folder_path(s->f), checkpoint_name));
    t->tied = strtoll(text_of(f, "tied"), NULL, 10);
    if (t->tied != 0) {
        outer_free(t->o);
        t->o = NULL;
        TRY(setup_tie(s->s, t->tied, true, NULL));
        TRY(outer_new(s->ctx, &s->s->outer, s->s->space, &t->o));
    }
    double *to = outer_state(t->o, &n);
    if (!state || state->dtype != F64 || shape_count(&state->shape) != (int64_t)n)
        TRY(FAIL(s->ctx, DRMAD_E_STORAGE, "%s/%s: no state of %zu numbers", folder_path(s->f),
                 checkpoint_name, n));
    memcpy(to, state->data, n * sizeof *to);
    t->spent = strtod(text_of(f, "spent"), NULL);
    t->earlier = strtod(text_of(f, "seconds"), NULL);
    json_decref(t->path);
    t->path = json_loads(text_of(f, "path"), JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_array(t->path))
        TRY(FAIL(s->ctx, DRMAD_E_STORAGE, "%s/%s: damaged path", folder_path(s->f),
                 checkpoint_name));
    TRY(folder_log_open(s->f, strtoll(text_of(f, "log_bytes"), NULL, 10)));
    t->resumed = true;
done:
    return st;
}

static drmad_status tuning_open(drmad_study *s, bool resume, tuning *t)
{
    drmad_status st = DRMAD_OK;
    st_file *f = NULL;

    *t = (tuning){.path = json_array(), .saved = base_now()};
    TRY(outer_new(s->ctx, &s->s->outer, s->s->space, &t->o));
    if (resume) TRY(folder_read_tensors(s->f, checkpoint_name, &f));
    if (f) TRY(restore(s, f, t));
    else TRY(folder_log_open(s->f, 0));
    TRY(tuning_fit(s, t));
done:
    mem_free(s->ctx, f);
    return st;
}

/* ---- meta-steps ---- */

static const char *verdict_word(outer_verdict v)
{
    return v == OUTER_MOVED ? "moved" : v == OUTER_TAKEN_BACK ? "taken back" : "stopped";
}

static json_t *step_json(const outer_report *r, double spent)
{
    json_t *j = json_pack("{s:s,s:I,s:s,s:o,s:o,s:o,s:f,s:f,s:f,s:f,s:s,s:I}", "event", "meta-step",
                          "step", (json_int_t)r->step, "verdict", verdict_word(r->verdict),
                          "objective", study_real(r->value), "best", study_real(r->best), "error",
                          study_real(r->walk.value.error), "gradient_norm", r->gradient_norm,
                          "growth", r->walk.growth, "length", r->scale, "spent_runs", spent,
                          "trajectory", traj_kind_name(r->walk.trajectory), "trajectory_bytes",
                          (json_int_t)r->walk.kept.bytes_held);
    if (j && r->why) json_object_set_new(j, "why", json_string(r->why));
    if (j && r->audited)
        json_object_set_new(j, "audit",
                            json_pack("{s:o,s:o}", "exact", study_real(r->audit_exact),
                                      "hypergradient", study_real(r->audit_cheap)));
    return j;
}

/* The line that says whether the hypergradient deserves trust. */
static void health(drmad_study *s, const outer_report *r)
{
    if (r->walk.growth > s->s->outer.max_growth)
        base_log(s->ctx, LOG_WARN,
                 "meta-step %lld: |dF/dw| grew %.3g-fold on the way back; limit %g",
                 (long long)r->step, r->walk.growth, s->s->outer.max_growth);
    if (r->audited && fabs(r->audit_exact - r->audit_cheap) > 0.5 * fabs(r->audit_exact))
        base_log(s->ctx, LOG_WARN,
                 "meta-step %lld: audit: the move changes F by %.4g, the hypergradient said %.4g",
                 (long long)r->step, r->audit_exact, r->audit_cheap);
}

/* Split, ties and seed of meta-step k. */
static drmad_status prepare(drmad_study *s, tuning *t, int64_t k, uint64_t *seed)
{
    const config_outer *c = &s->cfg->set.outer;
    drmad_status st = DRMAD_OK;
    int64_t change = space_next_change(s->s->decl, s->s->decls, t->tied);

    if (c->fresh_split) TRY(setup_split(s->s, setup_seed(s->s, "split", (uint64_t)k)));
    if (change >= 0 && change <= k) {
        for (int64_t next = change; next >= 0 && next <= k;
             next = space_next_change(s->s->decl, s->s->decls, next))
            change = next;
        TRY(setup_tie(s->s, change, true, t->o));
        t->tied = change;
        TRY(tuning_fit(s, t));
    } else if (c->fresh_split) {
        TRY(setup_tie(s->s, t->tied, true, t->o));
    }
    *seed = setup_seed(s->s, "run", c->fresh_seed ? (uint64_t)k : 0);
done:
    return st;
}

static bool out_of_budget(const drmad_study *s, const tuning *t, double next)
{
    const config_budget *b = &s->cfg->set.budget;
    const double minutes = (t->earlier + base_now() - s->started) / 60;

    return (b->runs > 0 && t->spent + next > b->runs) || (b->minutes > 0 && minutes > b->minutes);
}

/* One meta-step, whole or not at all: what interrupts it leaves the state as it was. */
static drmad_status meta_step(drmad_study *s, tuning *t, outer_report *r)
{
    const int64_t total = s->cfg->set.outer.steps, k = outer_steps(t->o);
    const setup_cost cost = setup_cost_of(s->s);
    drmad_status st = DRMAD_OK;
    uint64_t seed;
    size_t n;
    double *state;

    TRY(prepare(s, t, k, &seed));
    state = outer_state(t->o, &n);
    memcpy(t->before, state, n * sizeof *state);
    st = outer_step(t->o, s->s->walker, seed, &s->s->objective, r);
    if (st != DRMAD_OK) {
        memcpy(state, t->before, n * sizeof *state);
        goto done;
    }
    t->spent += cost.meta + (r->audited ? 1 + 2 * cost.eval / cost.run + cost.back / cost.run : 0);
    json_t *event = step_json(r, t->spent);
    if (event && json_array_append(t->path, event) != 0)
        TRY(FAIL(s->ctx, DRMAD_E_NOMEM, "out of memory"));
    health(s, r);
    TRY(study_event(s, "tuning", (double)r->step, (double)total, event));
done:
    return st;
}

static drmad_status tune_loop(drmad_study *s, tuning *t)
{
    const config_study *c = &s->cfg->set;
    drmad_status st = DRMAD_OK;
    const char *why = "all meta-steps done";
    outer_report r;

    while (outer_steps(t->o) < c->outer.steps) {
        if (out_of_budget(s, t, setup_cost_of(s->s).meta)) {
            why = "the budget is spent";
            break;
        }
        st = meta_step(s, t, &r);
        if (st == DRMAD_E_INTERRUPTED || st == DRMAD_E_TERMINATED) {
            char reason[256];
            snprintf(reason, sizeof reason, "%s", drmad_errmsg(s->ctx));
            const drmad_status saved = save(s, t);
            if (saved != DRMAD_OK) return saved;
            return FAIL(s->ctx, st, "%s; go on with --resume", reason);
        }
        TRY(st);
        if (r.verdict == OUTER_STOPPED) {
            why = r.why;
            break;
        }
        if (base_now() - t->saved >= 60 * c->output.checkpoint_minutes) TRY(save(s, t));
    }
    TRY(save(s, t));
    TRY(study_put(s, "stopped_because", json_string(why)));
    TRY(study_say(s, "%lld meta-steps (%s), %.1f training runs' worth of work",
                  (long long)outer_steps(t->o), why, t->spent));
done:
    return st;
}

/* ---- afterwards ---- */

static drmad_status report_path(drmad_study *s, const tuning *t)
{
    drmad_status st = DRMAD_OK;
    const json_t *first = json_array_get(t->path, 0);
    const double start = json_number_value(json_object_get(first, "objective"));

    TRY(study_put(s, "path", json_incref(t->path)));
    TRY(study_put(s, "best_objective", study_real(outer_best_value(t->o))));
    TRY(study_put(s, "trajectory", json_string(traj_kind_name(walker_kind(s->s->walker)))));
    TRY(study_say(s, "objective, one seed: %.4f at the start, %.4f at the best", start,
                  outer_best_value(t->o)));
    if (!isfinite(outer_best_value(t->o)))
        TRY(FAIL(s->ctx, DRMAD_E_DIVERGED,
                 "no finite run: lower optimizer.lr or the bounds of lr"));
done:
    return st;
}

/* Retrains with the tuned values, then with those of the start, over the same seeds; keeps the
 * weights of the first tuned run. The spaces of the two may differ (ties), and the outer loop ends
 * here. */
static drmad_status retrain(drmad_study *s, tuning *t)
{
    drmad_status st = DRMAD_OK;
    summary sum;
    outcome o;

    space_values(s->s->space, s->s->outer.trust ? outer_best(t->o) : outer_raw(t->o), t->values);
    outer_free(t->o);
    t->o = NULL;
    TRY(study_save_values(s, "hyperparameters.safetensors", t->values));
    TRY(study_retrain(s, "tuned", t->values, &sum));
    TRY(study_run(s, t->values, setup_seed(s->s, "retrain", 0), &o));
    TRY(study_save_weights(s));
    TRY(setup_tie(s->s, 0, false, NULL)); /* never finer than what t->values has room for */
    space_start(s->s->space, t->before);
    space_values(s->s->space, t->before, t->values);
    TRY(study_retrain(s, "start", t->values, &sum));
    TRY(study_put(s, "retrain_runs", json_integer(2 * s->cfg->set.retrain.seeds + 1)));
done:
    return st;
}

/* --resume on a folder whose work is done: the result that is there. */
static drmad_status show_finished(drmad_study *s, bool *done)
{
    drmad_status st = DRMAD_OK;
    char *text = NULL;

    TRY(folder_read_text(s->f, "result.json", &text));
    *done = text != NULL;
    if (!text) goto done;
    json_decref(s->result);
    s->result = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    if (!s->result)
        TRY(FAIL(s->ctx, DRMAD_E_STORAGE, "%s/result.json: damaged", folder_path(s->f)));
    s->json = json_dumps(s->result, JSON_COMPACT | JSON_REAL_PRECISION(17));
    TRY(study_say(s, "%s is finished: nothing to go on with", folder_path(s->f)));
done:
    mem_free(s->ctx, text);
    return st;
}

drmad_status drmad_study_tune(drmad_study *s, int resume)
{
    drmad_status st = DRMAD_OK;
    tuning t = {0};
    double random_runs = 0;

    TRY(config_need_hyper(s->cfg));
    TRY(study_begin(s, "tune", true, true));
    if (resume && !folder_has(s->f, checkpoint_name)) {
        bool finished;
        TRY(show_finished(s, &finished));
        if (finished) goto done;
    }
    TRY(tuning_open(s, resume != 0, &t));
    if (t.resumed)
        base_log(s->ctx, LOG_INFO, "going on after meta-step %lld", (long long)outer_steps(t.o));
    TRY(tune_loop(s, &t));
    TRY(report_path(s, &t));
    TRY(study_put(s, "spent_runs", json_real(t.spent)));
    TRY(retrain(s, &t));
    TRY(study_random_search(s, &random_runs));
    if (random_runs > 0) TRY(study_put(s, "random_search_runs", json_real(random_runs)));
    TRY(study_finish(s));
    TRY(folder_remove(s->f, checkpoint_name));
done:
    tuning_free(s, &t);
    return st;
}
