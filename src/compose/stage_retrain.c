/* The last stage: candidates trained from scratch over the same seeds. The winner is the one of the
 * best mean objective; test data are looked at, but decide nothing. */
#include "compose/stages.h"
#include "study/runs.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct candidate {
    char name[64], folder[48];
    const json_t *from;    /* of the search's top; NULL: the study's own values */
    const json_t *refined; /* of the refinement's starts; NULL: as the search left it */
} candidate;

/* ---- one candidate ---- */

/* Space, trainer and values as the refinement left them, or as the trial had them. */
static drmad_status load_values(drmad_study *sub, const json_t *refined, double **values)
{
    const json_t *steps = json_object_get(refined, "meta_steps");
    const setup *u = sub->s;
    int64_t tied = 0;
    drmad_status st = DRMAD_OK;
    double *raw = NULL;

    for (int64_t next = 0; next >= 0 && next < json_integer_value(steps);) {
        tied = next;
        next = space_next_change(u->decl, u->decls, next);
    }
    TRY(setup_tie(sub->s, tied, false, NULL));
    const size_t n = (size_t)u->space->total;
    TRY(mem_alloc(sub->ctx, n + 1, sizeof **values, values));
    if (refined) {
        TRY(study_keep_saved(sub, json_integer_value(steps)));
        if (!sub->kept)
            TRY(FAIL(sub->ctx, DRMAD_E_STORAGE, "%s/hyperparameters.safetensors: is missing",
                     folder_path(sub->f)));
        memcpy(*values, sub->kept, n * sizeof **values);
        goto done;
    }
    TRY(mem_alloc(sub->ctx, n + 1, sizeof *raw, &raw));
    space_start(u->space, raw);
    space_values(u->space, raw, *values);
done:
    mem_free(sub->ctx, raw);
    return st;
}

/* The 0.975 quantile of Student's t; beyond the table the normal one's expansion, good to .001. */
static double student_975(int64_t freedom)
{
    static const double t[] = {12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306,
                               2.262,  2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
                               2.110,  2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064,
                               2.060,  2.056, 2.052, 2.048, 2.045, 2.042};
    const double z = 1.959964, n = (double)freedom;

    if (freedom < 1) return NAN;
    if (freedom <= (int64_t)COUNT(t)) return t[freedom - 1];
    return z + (z * z * z + z) / (4 * n);
}

typedef struct sums {
    int64_t n, all;
    double loss, error, test_loss, test_error;
} sums;

static double real(const json_t *run, const char *key)
{
    const json_t *x = json_object_get(run, key);

    return json_is_number(x) ? json_number_value(x) : NAN;
}

static void add(sums *s, const json_t *run)
{
    s->all++;
    if (!json_is_true(json_object_get(run, "finite"))) return;
    s->n++;
    s->loss += real(run, "objective_loss");
    s->error += real(run, "objective_error");
    s->test_loss += real(run, "test_loss");
    s->test_error += real(run, "test_error");
}

/* Of the finite runs' test errors about `mean`. */
static double variance_of(const json_t *runs, double mean, int64_t n)
{
    const json_t *run;
    double sum = 0;
    size_t i;

    json_array_foreach((json_t *)runs, i, run)
    {
        const double off = real(run, "test_error") - mean;

        if (json_is_true(json_object_get(run, "finite"))) sum += off * off;
    }
    return n > 1 ? sum / (double)(n - 1) : NAN;
}

/* Mean over the finite runs, and how far the test error's 95 % interval reaches from it. */
static drmad_status put_mean(pipeline *p, json_t *entry)
{
    const json_t *runs = json_object_get(entry, "runs");
    sums s = {0};

    for (size_t i = 0; i < json_array_size(runs); i++) add(&s, json_array_get(runs, i));
    const double n = (double)s.n, mean = s.test_error / n;
    const double variance = variance_of(runs, mean, s.n);
    json_t *j = json_pack(
        "{s:I,s:I,s:o,s:o,s:o,s:o,s:o}", "runs", (json_int_t)s.all, "finite", (json_int_t)s.n,
        "objective_loss", study_real(s.loss / n), "objective_error", study_real(s.error / n),
        "test_loss", study_real(s.test_loss / n), "test_error", study_real(mean),
        "test_error_half_width", study_real(student_975(s.n - 1) * sqrt(variance / n)));

    if (!j || json_object_set_new(entry, "mean", j) != 0)
        return FAIL(p->s->ctx, DRMAD_E_NOMEM, "out of memory for a candidate");
    return DRMAD_OK;
}

static bool any_finite(const json_t *runs)
{
    const json_t *run;
    size_t i;

    json_array_foreach((json_t *)runs, i, run)
    {
        if (json_is_true(json_object_get(run, "finite"))) return true;
    }
    return false;
}

/* The weights of the first finite run are kept, before the record says that it is done. */
static drmad_status train_once(pipeline *p, drmad_study *sub, const double *values, json_t *entry)
{
    json_t *runs = json_object_get(entry, "runs");
    const int64_t i = (int64_t)json_array_size(runs), n = stage_of(p, CFG_STAGE_RETRAIN)->seeds;
    const double from = base_now();
    const setup_cost cost = setup_cost_of(sub->s);
    drmad_status st = DRMAD_OK;
    outcome o;

    TRY(study_run(sub, values, setup_seed(sub->s, "retrain", (uint64_t)i), &o));
    if (o.finite && !any_finite(runs)) TRY(study_save_weights(sub));
    json_t *run = study_outcome_json(&o);
    if (!run || json_array_append(runs, run) != 0)
        TRY(FAIL(sub->ctx, DRMAD_E_NOMEM, "out of memory for a run"));
    TRY(study_event(
        sub, "retrain", (double)i + 1, (double)n,
        json_pack("{s:s,s:I,s:o}", "event", "retrain", "number", (json_int_t)i, "run", run)));
    TRY(stage_save(p, CFG_STAGE_RETRAIN, cost.look * cost.run / p->run, base_now() - from));
done:
    return st;
}

static drmad_status open_candidate(pipeline *p, const candidate *c, drmad_study **out)
{
    const json_t *params = json_object_get(c->from, "params");
    drmad_status st = DRMAD_OK;

    if (c->refined) return stage_refined_study(p, params, c->folder, out);
    TRY(sub_new(p->s, params, c->folder, out));
    TRY(study_finish_load(*out));
done:
    if (st != DRMAD_OK) {
        drmad_study_free(*out);
        *out = NULL;
    }
    return st;
}

/* The runs that `entry` still lacks. */
static drmad_status train_rest(pipeline *p, const candidate *c, json_t *entry)
{
    const size_t n = (size_t)stage_of(p, CFG_STAGE_RETRAIN)->seeds;
    const json_t *runs = json_object_get(entry, "runs");
    sub_voice voice = {p->s, c->name};
    drmad_status st = DRMAD_OK;
    drmad_study *sub = NULL;
    double *values = NULL;

    if (json_array_size(runs) >= n) return put_mean(p, entry);
    TRY(open_candidate(p, c, &sub));
    sub_listen(sub, &voice);
    TRY(study_begin(sub, "retrain", false, true));
    if (!c->refined) TRY(study_files(sub));
    TRY(load_values(sub, c->refined, &values));
    while (json_array_size(runs) < n) TRY(train_once(p, sub, values, entry));
    TRY(put_mean(p, entry));
done:
    mem_free(p->s->ctx, values);
    drmad_study_free(sub);
    return st;
}

/* ---- all of them ---- */

static drmad_status compete(pipeline *p, const candidate *c, size_t at)
{
    json_t *all = json_object_get(p->record[CFG_STAGE_RETRAIN], "candidates");
    json_t *entry = json_array_get(all, at);
    drmad_status st = DRMAD_OK;

    if (!entry) {
        entry = json_pack("{s:s,s:s,s:b,s:O?,s:O?,s:[]}", "name", c->name, "folder", c->folder,
                          "refined", c->refined != NULL, "trial", json_object_get(c->from, "trial"),
                          "params", json_object_get(c->from, "params"), "runs");
        if (!entry || json_array_append_new(all, entry) != 0)
            TRY(FAIL(p->s->ctx, DRMAD_E_NOMEM, "out of memory for a candidate"));
    }
    TRY(train_rest(p, c, entry));
done:
    return st;
}

/* The trial of that number among the search's best. */
static const json_t *trial_of(const json_t *top, const json_t *number)
{
    const json_t *t;
    size_t i;

    json_array_foreach((json_t *)top, i, t)
    {
        if (json_equal(json_object_get(t, "trial"), number)) return t;
    }
    return NULL;
}

static drmad_status all_refined(pipeline *p, size_t *next)
{
    const json_t *top = json_object_get(p->record[CFG_STAGE_SEARCH], "top");
    const json_t *starts = json_object_get(p->record[CFG_STAGE_REFINE], "starts"), *s;
    drmad_status st = DRMAD_OK;
    candidate c;
    size_t i;

    json_array_foreach((json_t *)starts, i, s)
    {
        const char *status = json_string_value(json_object_get(s, "status"));

        if (!status || strcmp(status, "diverged") == 0) continue;
        c = (candidate){.from = trial_of(top, json_object_get(s, "trial")), .refined = s};
        snprintf(c.name, sizeof c.name, "%s", json_string_value(json_object_get(s, "name")));
        snprintf(c.folder, sizeof c.folder, "%s", json_string_value(json_object_get(s, "folder")));
        TRY(compete(p, &c, (*next)++));
    }
done:
    return st;
}

/* What the search found, or what the refinement began with. */
static drmad_status all_plain(pipeline *p, size_t *next)
{
    const json_t *top = json_object_get(p->record[CFG_STAGE_SEARCH], "top");
    const size_t most = (size_t)stage_of(p, CFG_STAGE_RETRAIN)->top;
    drmad_status st = DRMAD_OK;
    candidate c;

    for (size_t i = 0; i < most && (!top || i < json_array_size(top)); i++) {
        c = (candidate){.from = json_array_get(top, i), .name = "start", .folder = "retrain/start"};
        const long long number = json_integer_value(json_object_get(c.from, "trial"));
        if (c.from) {
            snprintf(c.name, sizeof c.name, "trial %lld", number);
            snprintf(c.folder, sizeof c.folder, "retrain/%lld", number);
        }
        TRY(compete(p, &c, (*next)++));
    }
done:
    return st;
}

/* Most finite runs first, then the smaller mean objective. */
static bool beats(const json_t *a, const json_t *b)
{
    const json_t *x = json_object_get(a, "mean"), *y = json_object_get(b, "mean");
    const json_int_t n = json_integer_value(json_object_get(x, "finite"));
    const json_int_t m = json_integer_value(json_object_get(y, "finite"));

    if (n != m) return n > m;
    return real(x, "objective_loss") < real(y, "objective_loss");
}

static drmad_status put_winner(pipeline *p)
{
    const json_t *all = json_object_get(p->record[CFG_STAGE_RETRAIN], "candidates"), *c;
    json_t *best = NULL;
    size_t i;

    json_array_foreach((json_t *)all, i, c)
    {
        if (real(json_object_get(c, "mean"), "finite") > 0 && (!best || beats(c, best)))
            best = (json_t *)c;
    }
    json_t *winner = best ? json_copy(best) : json_null();
    if (best) json_object_del(winner, "runs");
    return stage_put(p, CFG_STAGE_RETRAIN, "winner", winner);
}

drmad_status stage_retrain(pipeline *p)
{
    drmad_status st = DRMAD_OK;
    size_t next = 0;

    if (!json_object_get(p->record[CFG_STAGE_RETRAIN], "candidates"))
        TRY(stage_put(p, CFG_STAGE_RETRAIN, "candidates", json_array()));
    TRY(all_refined(p, &next));
    TRY(all_plain(p, &next));
    TRY(put_winner(p));
done:
    return st;
}
