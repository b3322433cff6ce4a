/* What people read of a rally: its legs, what each came to, the chains from new seeds. */
#include "compose/rally.h"
#include "study/runs.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static drmad_status say_leg(rally *r, const json_t *leg)
{
    char start[24], end[24], audit[24];

    return study_say(
        r->s, "%5.0f %9.0f %8.0f %8.0f %10s %10s %8.3g %8s %8.2f", record_real(leg, "stage"),
        record_real(leg, "examples"), record_real(leg, "steps"), record_real(leg, "meta_steps"),
        record_shown(record_real(leg, "start"), 4, start),
        record_shown(record_real(leg, "objective"), 4, end), record_real(leg, "largest_growth"),
        record_shown(record_real(leg, "worst_audit"), 3, audit), record_real(leg, "runs"));
}

static outcome outcome_of(const json_t *run)
{
    return (outcome){
        .finite = json_is_true(json_object_get(run, "finite")),
        .train_loss = record_real(run, "train_loss"),
        .valid = {record_real(run, "objective_loss"), record_real(run, "objective_error")},
        .test = {record_real(run, "test_loss"), record_real(run, "test_error")},
        .diverged_at = -1};
}

/* What is reported of each chain: its last leg. */
static drmad_status say_chains(rally *r, const char *name)
{
    const json_t *chains = json_object_get(r->record, name), *legs;
    json_t *runs = json_array();
    drmad_status st = DRMAD_OK;
    summary sum = {.mean.diverged_at = -1};
    size_t i;

    json_array_foreach((json_t *)chains, i, legs)
    {
        json_t *run = json_array_get(legs, json_array_size(legs) - 1);
        const outcome o = outcome_of(run);

        summary_add(&sum, &o);
        json_array_append(runs, run);
    }
    summary_close(&sum);
    if (json_array_size(runs) > 0) TRY(study_put_runs(r->s, name, runs, &sum));
done:
    json_decref(runs);
    return st;
}

drmad_status rally_say_all(rally *r)
{
    const json_t *legs = json_object_get(r->record, "legs"), *leg;
    drmad_status st = DRMAD_OK;
    size_t i;

    TRY(study_say(r->s, "spent      %.2f runs of all stages, %.1f s",
                  record_number(r->record, "runs"), record_number(r->record, "seconds")));
    TRY(study_say(r->s, "\n%5s %9s %8s %8s %10s %10s %8s %8s %8s", "stage", "examples", "steps",
                  "meta", "start", "objective", "growth", "audit", "runs"));
    json_array_foreach((json_t *)legs, i, leg) TRY(say_leg(r, leg));
    TRY(study_say_header(r->s));
    TRY(say_chains(r, "tuned"));
    TRY(say_chains(r, "start"));
done:
    return st;
}
