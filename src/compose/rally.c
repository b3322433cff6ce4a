/* A rally: its legs in order, its record, the result. */
#include "compose/rally.h"
#include <stdio.h>
#include <string.h>

static const char record_name[] = "rally.json";

const config_leg *rally_leg(const rally *r, int32_t k)
{
    return &r->s->cfg->set.rally.at[k];
}

drmad_status rally_save(rally *r, double runs, double seconds)
{
    return record_save(r->s, record_name, r->record, runs, seconds);
}

/* ---- opening ---- */

static drmad_status check_own(const drmad_study *s)
{
    if (!s->model && !s->objective) return DRMAD_OK;
    return FAIL(s->ctx, DRMAD_E_USAGE,
                "a rally is for drmad's own models: leave it out over a "
                "model or an objective of the caller's");
}

/* Every leg is set up once before any work: what one of them refuses is said now. */
static drmad_status price(rally *r)
{
    drmad_status st = DRMAD_OK;
    drmad_study *sub = NULL;
    setup *u = NULL;

    TRY(mem_alloc(r->s->ctx, (size_t)r->n, sizeof *r->share, &r->share));
    for (int32_t k = 0; k < r->n; k++) {
        TRY(leg_study(r->s, k, "rally", NULL, &sub));
        TRY(setup_new(sub->ctx, sub->cfg, NULL, sub->lender, &u));
        TRY(setup_tie(u, 0, true, NULL));
        r->share[k] = setup_cost_of(u).run;
        r->run += r->share[k];
        setup_free(u);
        drmad_study_free(sub);
        u = NULL, sub = NULL;
    }
    for (int32_t k = 0; k < r->n; k++) r->share[k] /= r->run;
done:
    setup_free(u);
    drmad_study_free(sub);
    return st;
}

/* Nothing of an older run may pass for this one's. */
static drmad_status start_anew(rally *r)
{
    static const char *const old[] = {"result.json", record_name, "hyperparameters.safetensors",
                                      "weights.safetensors"};
    folder *f = r->s->f;
    drmad_status st = DRMAD_OK;

    if (folder_has(f, record_name) && !folder_has(f, "result.json"))
        base_log(r->s->ctx, LOG_WARN,
                 "%s held an unfinished rally; this one starts anew (--resume goes on)",
                 folder_path(f));
    for (size_t i = 0; i < COUNT(old); i++) TRY(folder_remove(f, old[i]));
    TRY(folder_remove_tree(f, "rally"));
    TRY(folder_remove_tree(f, "retrain"));
    TRY(study_files(r->s));
done:
    return st;
}

static drmad_status open_folder(rally *r)
{
    drmad_status st = DRMAD_OK;

    if (!r->resume || !folder_has(r->s->f, "study.yaml")) TRY(start_anew(r));
    else {
        TRY(record_read(r->s, record_name, r->print, &r->record));
        TRY(folder_log_open(r->s->f, INT64_MAX));
    }
    if (r->record) goto done;
    TRY(record_new(r->s, "rally", r->print, &r->record));
    TRY(record_put(r->s, r->record, "legs", json_array()));
done:
    return st;
}

/* ---- the whole ---- */

static drmad_status put_result(rally *r)
{
    drmad_status st = DRMAD_OK;

    TRY(study_put(r->s, "study_sha256", json_string(r->print)));
    TRY(study_put(r->s, "rally", json_incref(json_object_get(r->record, "legs"))));
    TRY(study_put(r->s, "spent",
                  json_pack("{s:f,s:f}", "runs", record_number(r->record, "runs"), "seconds",
                            record_number(r->record, "seconds"))));
    TRY(rally_say_all(r));
    TRY(study_put(r->s, "status", json_string("done")));
    TRY(study_finish(r->s, "result.json"));
done:
    return st;
}

static drmad_status run_all(rally *r)
{
    const json_t *legs = json_object_get(r->record, "legs");
    char dir[RALLY_DIR], to[RALLY_DIR];
    drmad_status st = DRMAD_OK;

    for (int32_t k = (int32_t)json_array_size(legs); k < r->n; k++) {
        snprintf(dir, sizeof dir, "rally/%d", (int)k);
        snprintf(to, sizeof to, "rally/%d", (int)k + 1);
        if (k > 0) {
            TRY(carry_state(r, k, dir, to));
            TRY(carry_values(r, k));
        }
        TRY(leg_tune(r, k));
    }
    TRY(rally_retrain(r));
    TRY(record_put(r->s, r->record, "status", json_string("done")));
    TRY(rally_save(r, 0, 0));
    TRY(put_result(r));
done:
    return st;
}

drmad_status study_run_rally(drmad_study *s, bool resume)
{
    rally r = {.s = s, .resume = resume, .n = s->cfg->set.rally.n};
    drmad_status st = DRMAD_OK;

    TRY(check_own(s));
    TRY(study_begin(s, "rally", false, true));
    setup_rest(s->s);
    TRY(price(&r));
    TRY(study_fingerprint(s, r.print));
    TRY(open_folder(&r));
    st = run_all(&r);
    if (st == DRMAD_E_INTERRUPTED || st == DRMAD_E_TERMINATED)
        st = FAIL(s->ctx, st, "%s%s", drmad_errmsg(s->ctx),
                  strstr(drmad_errmsg(s->ctx), "--resume") ? "" : "; go on with --resume");
done:
    mem_free(s->ctx, r.share);
    json_decref(r.record);
    return study_end(s, st);
}
