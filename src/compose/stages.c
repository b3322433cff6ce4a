/* A pipeline: its stages in order, their records, the result. */
#include "compose/stages.h"
#include <stdio.h>
#include <string.h>

static const char *const words[STAGES_MAX] = {"search", "refine", "retrain"};

/* ---- records ---- */

const config_stage *stage_of(const pipeline *p, cfg_stage_run run)
{
    const config_study *c = &p->s->cfg->set;

    for (int32_t i = 0; i < c->stages.n; i++)
        if (c->stages.at[i].run == (int)run) return &c->stages.at[i];
    return NULL;
}

static void file_name(cfg_stage_run run, char *name, size_t size)
{
    snprintf(name, size, "%s.json", words[run]);
}

double stage_number(const pipeline *p, cfg_stage_run run, const char *key)
{
    return record_number(p->record[run], key);
}

bool stage_done(const pipeline *p, cfg_stage_run run)
{
    return record_done(p->record[run]);
}

drmad_status stage_put(pipeline *p, cfg_stage_run run, const char *key, json_t *value)
{
    return record_put(p->s, p->record[run], key, value);
}

drmad_status stage_begin(pipeline *p, cfg_stage_run run)
{
    if (p->record[run]) return DRMAD_OK;
    return record_new(p->s, words[run], p->print, &p->record[run]);
}

drmad_status stage_save(pipeline *p, cfg_stage_run run, double runs, double seconds)
{
    char name[32];

    file_name(run, name, sizeof name);
    return record_save(p->s, name, p->record[run], runs, seconds);
}

drmad_status stage_end(pipeline *p, cfg_stage_run run)
{
    drmad_status st = DRMAD_OK;

    TRY(stage_put(p, run, "status", json_string("done")));
    TRY(stage_save(p, run, 0, 0));
    TRY(study_event(p->s, words[run], 1, 1,
                    json_pack("{s:s,s:s,s:f,s:f}", "event", "stage", "stage", words[run], "runs",
                              stage_number(p, run, "runs"), "stage_seconds",
                              stage_number(p, run, "seconds"))));
done:
    return st;
}

void stage_left(const pipeline *p, cfg_stage_run run, double *runs, double *seconds)
{
    const config_study *c = &p->s->cfg->set;
    double share = 0, spent_runs = 0, spent_seconds = 0;

    for (int32_t i = 0; i < c->stages.n; i++) {
        const cfg_stage_run k = (cfg_stage_run)c->stages.at[i].run;

        if (k > run) break;
        share += c->stages.at[i].share;
        spent_runs += stage_number(p, k, "runs");
        spent_seconds += stage_number(p, k, "seconds");
    }
    *runs = record_rest(c->budget.runs, share, spent_runs);
    *seconds = record_rest(60 * c->budget.minutes, share, spent_seconds);
}

/* ---- opening ---- */

/* Nothing of an older run may pass for this one's. What the store has stays: a search goes on. */
static drmad_status start_anew(pipeline *p)
{
    static const char *const old[] = {"result.json",
                                      "search.json",
                                      "refine.json",
                                      "retrain.json",
                                      "hyperparameters.safetensors",
                                      "weights.safetensors"};
    static const char *const trees[] = {"refine", "retrain", "compare"};
    folder *f = p->s->f;
    drmad_status st = DRMAD_OK;

    if (folder_has(f, "search.json") && !folder_has(f, "result.json"))
        base_log(p->s->ctx, LOG_WARN,
                 "%s held an unfinished pipeline; this one starts anew (--resume goes on)",
                 folder_path(f));
    for (size_t i = 0; i < COUNT(old); i++) TRY(folder_remove(f, old[i]));
    for (size_t i = 0; i < COUNT(trees); i++) TRY(folder_remove_tree(f, trees[i]));
    TRY(study_files(p->s));
done:
    return st;
}

static drmad_status open_folder(pipeline *p)
{
    drmad_status st = DRMAD_OK;
    char name[32];

    if (!p->resume || !folder_has(p->s->f, "study.yaml")) return start_anew(p);
    for (int k = 0; k < STAGES_MAX; k++) {
        file_name((cfg_stage_run)k, name, sizeof name);
        TRY(record_read(p->s, name, p->print, &p->record[k]));
    }
    TRY(folder_log_open(p->s->f, INT64_MAX));
done:
    return st;
}

static drmad_status check_own(const drmad_study *s)
{
    if (!s->model && !s->objective) return DRMAD_OK;
    return FAIL(s->ctx, DRMAD_E_USAGE,
                "stages are for drmad's own models: leave them out over a model or an objective of "
                "the caller's");
}

/* ---- the whole ---- */

static drmad_status put_total(pipeline *p)
{
    double runs = 0, seconds = 0;
    drmad_status st = DRMAD_OK;

    for (int k = 0; k < STAGES_MAX; k++) {
        runs += stage_number(p, (cfg_stage_run)k, "runs");
        seconds += stage_number(p, (cfg_stage_run)k, "seconds");
    }
    TRY(study_put(p->s, "spent", json_pack("{s:f,s:f}", "runs", runs, "seconds", seconds)));
done:
    return st;
}

static drmad_status put_result(pipeline *p)
{
    const json_t *winner = json_object_get(p->record[CFG_STAGE_RETRAIN], "winner");
    const bool lost = p->record[CFG_STAGE_RETRAIN] && json_is_null(winner);
    json_t *stages = json_array();
    drmad_status st = DRMAD_OK;

    for (int k = 0; k < STAGES_MAX; k++)
        if (p->record[k]) json_array_append(stages, p->record[k]);
    TRY(study_put(p->s, "stages", json_incref(stages)));
    TRY(put_total(p));
    TRY(study_put(p->s, "winner", winner ? json_incref((json_t *)winner) : json_null()));
    TRY(study_put(p->s, "compared", json_incref(p->compared)));
    TRY(study_put(p->s, "status", json_string(lost ? "diverged" : "done")));
    TRY(stage_say_all(p));
    TRY(study_finish(p->s, "result.json"));
    if (lost)
        st =
            FAIL(p->s->ctx, DRMAD_E_DIVERGED, "no candidate is finite when trained from new seeds");
done:
    json_decref(stages);
    return st;
}

static drmad_status run_all(pipeline *p)
{
    static drmad_status (*const run[STAGES_MAX])(pipeline *) = {stage_search, stage_refine,
                                                                stage_retrain};
    const config_study *c = &p->s->cfg->set;
    drmad_status st = DRMAD_OK;

    for (int32_t i = 0; i < c->stages.n; i++) {
        const cfg_stage_run k = (cfg_stage_run)c->stages.at[i].run;

        if (stage_done(p, k)) continue;
        TRY(stage_begin(p, k));
        TRY(run[k](p));
        TRY(stage_end(p, k));
    }
    TRY(stage_compare(p));
    TRY(put_result(p));
done:
    return st;
}

drmad_status study_run_stages(drmad_study *s, bool resume)
{
    pipeline p = {.s = s, .resume = resume, .compared = json_array()};
    drmad_status st = DRMAD_OK;

    TRY(check_own(s));
    TRY(study_begin(s, "pipeline", false, true));
    p.run = setup_cost_of(s->s).run;
    setup_rest(s->s);
    TRY(study_fingerprint(s, p.print));
    TRY(open_folder(&p));
    st = run_all(&p);
    if (st == DRMAD_E_INTERRUPTED || st == DRMAD_E_TERMINATED)
        st = FAIL(s->ctx, st, "%s%s", drmad_errmsg(s->ctx),
                  strstr(drmad_errmsg(s->ctx), "--resume") ? "" : "; go on with --resume");
done:
    for (int k = 0; k < STAGES_MAX; k++) json_decref(p.record[k]);
    json_decref(p.compared);
    return study_end(s, st);
}
