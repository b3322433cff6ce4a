/* What people read of a pipeline: what each stage took, who competed, how others did. */
#include "compose/stages.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *text(const json_t *j, const char *key)
{
    const char *s = json_string_value(json_object_get(j, key));

    return s ? s : "";
}

static drmad_status say_budget(drmad_study *s)
{
    const config_budget *b = &s->cfg->set.budget;
    char runs[32] = "", minutes[32] = "";

    if (b->runs <= 0 && b->minutes <= 0) return study_say(s, "budget     none is set");
    if (b->runs > 0) snprintf(runs, sizeof runs, "%.6g runs", b->runs);
    if (b->minutes > 0) snprintf(minutes, sizeof minutes, "%.6g s", 60 * b->minutes);
    return study_say(s, "budget     %s%s%s", runs, runs[0] && minutes[0] ? ", " : "", minutes);
}

drmad_status stage_say_split(drmad_study *s)
{
    static const char *const words[] = {"search", "refine", "retrain"};
    const config_study *c = &s->cfg->set;
    json_t *all = json_array();
    drmad_status st = DRMAD_OK;

    TRY(say_budget(s));
    for (int32_t i = 0; i < c->stages.n; i++) {
        const config_stage *t = &c->stages.at[i];
        const double runs = t->share * c->budget.runs, seconds = 60 * t->share * c->budget.minutes;

        TRY(study_say(s, "%-10s share %3.0f %%", words[t->run], 100 * t->share));
        json_array_append_new(all, json_pack("{s:s,s:f,s:o,s:o}", "stage", words[t->run], "share",
                                             t->share, "runs", study_real(runs > 0 ? runs : NAN),
                                             "seconds", study_real(seconds > 0 ? seconds : NAN)));
    }
    TRY(study_put(s, "stages", json_incref(all)));
done:
    json_decref(all);
    return st;
}

static drmad_status say_stage(pipeline *p, cfg_stage_run run)
{
    const json_t *r = p->record[run];
    const json_t *trials = json_object_get(r, "trials");
    char what[128] = "";

    if (!r) return DRMAD_OK;
    if (run == CFG_STAGE_SEARCH)
        snprintf(what, sizeof what, "%.0f trials, %.0f pruned, %.0f failed",
                 record_real(trials, "COMPLETE") + record_real(trials, "PRUNED"),
                 record_real(trials, "PRUNED"), record_real(trials, "FAIL"));
    else
        snprintf(
            what, sizeof what, "%zu %s",
            json_array_size(json_object_get(r, run == CFG_STAGE_REFINE ? "starts" : "candidates")),
            run == CFG_STAGE_REFINE ? "starts" : "candidates");
    return study_say(p->s, "%-10s %8.1f runs %8.1f s   share %3.0f %%   %s", text(r, "stage"),
                     record_real(r, "runs"), record_real(r, "seconds"),
                     100 * stage_of(p, run)->share, what);
}

static drmad_status say_starts(pipeline *p)
{
    const json_t *starts = json_object_get(p->record[CFG_STAGE_REFINE], "starts"), *s;
    drmad_status st = DRMAD_OK;
    char a[24], b[24];
    size_t i;

    if (!starts) return st;
    TRY(study_say(p->s, "\n%-30s %10s %10s %6s %8s", "refined, one seed", "start", "objective",
                  "steps", "values"));
    json_array_foreach((json_t *)starts, i, s)
    {
        TRY(study_say(p->s, "%-30s %10s %10s %6.0f %8.0f", text(s, "name"),
                      record_shown(record_real(s, "start"), 4, a),
                      record_shown(record_real(s, "objective"), 4, b), record_real(s, "meta_steps"),
                      record_real(s, "hyperparameters")));
    }
done:
    return st;
}

/* One line of either table; `extra` ends it. */
static drmad_status say_mean(pipeline *p, const char *name, const json_t *mean, const char *extra)
{
    char a[24], b[24], c[24], d[24];

    return study_say(p->s, "%-30s %10s %8s   %8s %7s   %s", name,
                     record_shown(record_real(mean, "objective_loss"), 4, a),
                     record_shown(100 * record_real(mean, "objective_error"), 2, b),
                     record_shown(100 * record_real(mean, "test_error"), 2, c),
                     record_shown(100 * record_real(mean, "test_error_half_width"), 2, d), extra);
}

static drmad_status say_candidates(pipeline *p)
{
    const json_t *r = p->record[CFG_STAGE_RETRAIN], *c;
    const char *winner = text(json_object_get(r, "winner"), "name");
    drmad_status st = DRMAD_OK;
    char extra[64];
    size_t i;

    if (!r) return st;
    TRY(study_say(p->s, "\n%-30s %10s %8s   %8s %7s   %s", "retrained", "objective", "error %",
                  "test %", "+-95 %", "finite"));
    json_array_foreach(json_object_get(r, "candidates"), i, c)
    {
        const json_t *mean = json_object_get(c, "mean");

        snprintf(extra, sizeof extra, "%.0f of %.0f%s", record_real(mean, "finite"),
                 record_real(mean, "runs"),
                 strcmp(text(c, "name"), winner) == 0 ? "   the winner" : "");
        TRY(say_mean(p, text(c, "name"), mean, extra));
    }
done:
    return st;
}

static drmad_status say_compared(pipeline *p)
{
    const json_t *winner = json_object_get(p->record[CFG_STAGE_RETRAIN], "winner"), *c;
    const json_t *spent = json_object_get(p->s->result, "spent");
    drmad_status st = DRMAD_OK;
    char extra[64];
    size_t i;

    if (json_array_size(p->compared) == 0) return st;
    TRY(study_say(p->s, "\n%-30s %10s %8s   %8s %7s   %8s %8s", "the same budget for", "objective",
                  "error %", "test %", "+-95 %", "runs", "seconds"));
    snprintf(extra, sizeof extra, "%8.1f %8.1f", record_real(spent, "runs"),
             record_real(spent, "seconds"));
    TRY(say_mean(p, "this pipeline", json_object_get(winner, "mean"), extra));
    json_array_foreach(p->compared, i, c)
    {
        spent = json_object_get(c, "spent");
        snprintf(extra, sizeof extra, "%8.1f %8.1f", record_real(spent, "runs"),
                 record_real(spent, "seconds"));
        TRY(say_mean(p, text(c, "name"), json_object_get(json_object_get(c, "winner"), "mean"),
                     extra));
    }
done:
    return st;
}

drmad_status stage_say_all(pipeline *p)
{
    drmad_status st = DRMAD_OK;

    TRY(say_budget(p->s));
    for (int k = 0; k < STAGES_MAX; k++) TRY(say_stage(p, (cfg_stage_run)k));
    TRY(say_starts(p));
    TRY(say_candidates(p));
    TRY(say_compared(p));
done:
    return st;
}
