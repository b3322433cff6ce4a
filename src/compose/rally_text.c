/* What people read of a rally: its legs, what each came to, the chains from new seeds. */
#include "compose/rally.h"
#include "study/runs.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static double number(const json_t *j, const char *key)
{
    const json_t *x = json_object_get(j, key);

    return json_is_number(x) ? json_number_value(x) : NAN;
}

/* "0.4312", "-" where there is none. */
static const char *shown(double x, int digits, char buf[24])
{
    if (isfinite(x)) snprintf(buf, 24, "%.*f", digits, x);
    else snprintf(buf, 24, "-");
    return buf;
}

static drmad_status say_leg(rally *r, const json_t *leg)
{
    char start[24], end[24], audit[24];

    return study_say(r->s, "%5.0f %9.0f %8.0f %8.0f %10s %10s %8.3g %8s %8.2f",
                     number(leg, "stage"), number(leg, "examples"), number(leg, "steps"),
                     number(leg, "meta_steps"), shown(number(leg, "start"), 4, start),
                     shown(number(leg, "objective"), 4, end), number(leg, "largest_growth"),
                     shown(number(leg, "worst_audit"), 3, audit), number(leg, "runs"));
}

static outcome outcome_of(const json_t *run)
{
    return (outcome){.finite = json_is_true(json_object_get(run, "finite")),
                     .train_loss = number(run, "train_loss"),
                     .valid = {number(run, "objective_loss"), number(run, "objective_error")},
                     .test = {number(run, "test_loss"), number(run, "test_error")},
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
