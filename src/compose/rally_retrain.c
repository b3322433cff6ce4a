/* The end of a rally: chains of legs from new seeds, with what was tuned and with the start. A
 * chain's last leg is what is reported. */
#include "compose/rally.h"
#include "setup/start.h"
#include "study/runs.h"
#include <stdio.h>
#include <string.h>

typedef struct chain {
    const char *name; /* "tuned", "start" */
    json_t *legs;     /* outcomes of the chain at hand */
    int64_t number;
    bool keep; /* the last leg's weights are the rally's */
} chain;

/* The tuned values as they are, not by way of their transforms; else each declaration's start. */
static drmad_status start_of(const setup *u, double **values)
{
    const size_t n = (size_t)u->space->total;
    drmad_status st = DRMAD_OK;
    double *raw = NULL;

    TRY(mem_alloc(u->ctx, n + 1, sizeof **values, values));
    TRY(mem_alloc(u->ctx, n + 1, sizeof *raw, &raw));
    space_start(u->space, raw);
    if (u->space->start) memcpy(*values, u->space->start, n * sizeof **values);
    else space_values(u->space, raw, *values);
done:
    mem_free(u->ctx, raw);
    return st;
}

static drmad_status keep_weights(rally *r, drmad_study *sub)
{
    const void *w;
    drmad_status st = trainer_read_weights(sub->s->trainer, &w);

    return st == DRMAD_OK ? start_save_weights(r->s->f, "weights.safetensors", sub->s, w) : st;
}

static drmad_status open_leg(rally *r, const chain *c, int32_t k, drmad_study **out)
{
    char dir[RALLY_DIR], last[RALLY_DIR], state[2 * RALLY_DIR], values[RALLY_DIR];
    const bool tuned = strcmp(c->name, "tuned") == 0;
    const leg_start from = {k > 0 ? state : NULL, tuned ? values : NULL};
    drmad_status st = DRMAD_OK;

    snprintf(dir, sizeof dir, "retrain/%s/%d", c->name, (int)k + 1);
    snprintf(last, sizeof last, "retrain/%s/%d", c->name, (int)k);
    snprintf(state, sizeof state, "%s/start.safetensors", dir);
    snprintf(values, sizeof values, "rally/%d/tuned.safetensors", (int)k + 1);
    if (k > 0) TRY(carry_state(r, k, last, dir));
    TRY(leg_study(r->s, k, dir, &from, out));
done:
    return st;
}

static drmad_status train_leg(rally *r, chain *c, int32_t k)
{
    const uint64_t number = (uint64_t)c->number;
    const double began = base_now();
    drmad_status st = DRMAD_OK;
    drmad_study *sub = NULL;
    double *values = NULL;
    outcome o;

    TRY(open_leg(r, c, k, &sub));
    TRY(study_begin(sub, "retrain", false, true));
    TRY(study_files(sub));
    TRY(start_of(sub->s, &values));
    TRY(study_run(sub, values, setup_seed(sub->s, "retrain", number), &o));
    if (o.finite) TRY(study_save_weights(sub));
    if (o.finite && c->keep && k == r->n - 1) TRY(keep_weights(r, sub));
    json_t *run = study_outcome_json(&o);
    TRY(study_event(r->s, "retrain", (double)k + 1, (double)r->n,
                    json_pack("{s:s,s:s,s:I,s:i,s:O}", "event", "retrain", "of", c->name, "number",
                              (json_int_t)c->number, "stage", (int)k + 1, "run", run)));
    if (json_array_append_new(c->legs, run) != 0)
        TRY(FAIL(r->s->ctx, DRMAD_E_NOMEM, "out of memory for a run"));
    TRY(rally_save(r, r->share[k] * setup_cost_of(sub->s).look, base_now() - began));
done:
    mem_free(r->s->ctx, values);
    drmad_study_free(sub);
    return st;
}

static const json_t *last_of(const json_t *legs)
{
    return json_array_get(legs, json_array_size(legs) - 1);
}

static bool ended(const rally *r, const json_t *legs)
{
    return json_array_size(legs) == (size_t)r->n ||
           (json_array_size(legs) > 0 && !json_is_true(json_object_get(last_of(legs), "finite")));
}

static drmad_status run_chain(rally *r, chain *c, json_t *chains)
{
    drmad_status st = DRMAD_OK;

    c->legs = json_array_get(chains, (size_t)c->number);
    if (!c->legs) {
        c->legs = json_array();
        if (json_array_append_new(chains, c->legs) != 0)
            TRY(FAIL(r->s->ctx, DRMAD_E_NOMEM, "out of memory for a chain"));
    }
    while (!ended(r, c->legs)) TRY(train_leg(r, c, (int32_t)json_array_size(c->legs)));
    c->keep = c->keep && !json_is_true(json_object_get(last_of(c->legs), "finite"));
done:
    return st;
}

static drmad_status run_chains(rally *r, const char *name, int64_t seeds)
{
    chain c = {.name = name, .keep = strcmp(name, "tuned") == 0};
    drmad_status st = DRMAD_OK;

    if (!json_object_get(r->record, name)) TRY(record_put(r->s, r->record, name, json_array()));
    json_t *chains = json_object_get(r->record, name);
    for (c.number = 0; c.number < seeds; c.number++) TRY(run_chain(r, &c, chains));
done:
    return st;
}

drmad_status rally_retrain(rally *r)
{
    const int64_t seeds = r->s->cfg->set.retrain.seeds;
    drmad_status st = DRMAD_OK;

    TRY(run_chains(r, "tuned", seeds > 0 ? seeds : 1));
    TRY(run_chains(r, "start", seeds));
done:
    return st;
}
