/* One leg of a rally: its study, and its tuning. */
#include "base/number.h"
#include "compose/rally.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- its study ---- */

/* Initial scales have had their effect. */
static drmad_status drop_scales(drmad_study *sub)
{
    drmad_status st = DRMAD_OK;

    for (int32_t i = sub->cfg->set.hyper.n - 1; i >= 0; i--)
        if (sub->cfg->set.hyper.at[i].kind == HYPER_INIT_SCALE)
            TRY(config_drop(sub->cfg, "hyper", i));
    TRY(sub_set(sub, "model.init_scale", "1"));
done:
    return st;
}

/* Values that were set free stay so. */
static drmad_status untie(drmad_study *sub)
{
    drmad_status st = DRMAD_OK;
    char key[32];

    for (int32_t i = 0; i < sub->cfg->set.hyper.n; i++) {
        snprintf(key, sizeof key, "hyper.%d.ties", (int)i);
        TRY(sub_set(sub, key, "[]"));
    }
done:
    return st;
}

static drmad_status set_start(drmad_study *of, drmad_study *sub, const leg_start *from)
{
    const char *dir = folder_path(of->f);
    drmad_status st = DRMAD_OK;

    if (from->state) {
        TRY(sub_set(sub, "model.weights", "%s/%s", dir, from->state));
        TRY(sub_set(sub, "optimizer.state", "%s/%s", dir, from->state));
    }
    if (from->values) TRY(sub_set(sub, "outer.start", "%s/%s", dir, from->values));
done:
    return st;
}

/* The split is the rally's; batches and what else is drawn differ from leg to leg. */
static drmad_status set_seeds(const drmad_study *of, drmad_study *sub, int32_t k)
{
    const config_study *c = &of->cfg->set;
    const uint64_t own = setup_seed(of->s, "rally", (uint64_t)k);
    drmad_status st = DRMAD_OK;

    TRY(sub_set(sub, "data.split_seed", "%lld", (long long)c->data.split_seed));
    TRY(sub_set(sub, "data.noise_seed", "%lld", (long long)c->data.noise_seed));
    if (k > 0) TRY(sub_set(sub, "seed", "%llu", (unsigned long long)own));
done:
    return st;
}

/* The study's own morphs, and those of the legs up to this one. */
static drmad_status set_net(const drmad_study *of, drmad_study *sub, int32_t k)
{
    const config_study *c = &of->cfg->set;
    text_out list = {.ctx = sub->ctx};
    drmad_status st = DRMAD_OK;
    int n = 0;

    text_put(&list, "[");
    for (int32_t i = -1; i <= k; i++) {
        const int32_t many = i < 0 ? c->model.grow.n : c->rally.at[i].grow.n;
        char *const *at = i < 0 ? c->model.grow.at : c->rally.at[i].grow.at;

        for (int32_t j = 0; j < many; j++) text_say(&list, "%s\"%s\"", n++ ? ", " : "", at[j]);
    }
    text_put(&list, "]");
    TRY(list.st);
    TRY(config_set(sub->cfg, "model.grow", list.text));
done:
    text_free(&list);
    return st;
}

drmad_status leg_study(drmad_study *of, int32_t k, const char *dir, const leg_start *from,
                       drmad_study **out)
{
    const config_leg *l = &of->cfg->set.rally.at[k];
    drmad_status st = DRMAD_OK;
    drmad_study *sub = NULL;
    char share[NUMBER_SIZE];

    *out = NULL;
    TRY(sub_new(of, NULL, dir, &sub));
    TRY(set_seeds(of, sub, k));
    TRY(set_net(of, sub, k));
    TRY(sub_set(sub, "train.examples", "%s", number_print(l->examples, share)));
    TRY(sub_set(sub, "train.steps", "%lld", (long long)l->steps));
    TRY(sub_set(sub, "outer.steps", "%lld", (long long)l->meta_steps));
    TRY(sub_set(sub, "retrain.seeds", "0"));
    TRY(sub_set(sub, "output.state", "true"));
    if (k > 0) TRY(drop_scales(sub));
    if (k > 0 || (from && from->values)) TRY(untie(sub));
    if (from) TRY(set_start(of, sub, from));
    TRY(study_finish_load(sub));
    *out = sub, sub = NULL;
done:
    drmad_study_free(sub);
    return st;
}

/* ---- its tuning ---- */

/* The audits: what the hypergradient said over what is exact. 1 is right. */
static json_t *audits_of(const json_t *path)
{
    json_t *all = json_array();
    const json_t *step;
    size_t i;

    json_array_foreach((json_t *)path, i, step)
    {
        const json_t *a = json_object_get(step, "audit");
        const double exact = json_number_value(json_object_get(a, "exact"));
        const double said = json_number_value(json_object_get(a, "hypergradient"));

        if (a && exact != 0) json_array_append_new(all, study_real(said / exact));
    }
    return all;
}

/* The one furthest from 1; NaN without any. */
static double worst_of(const json_t *audits)
{
    double worst = NAN;

    for (size_t i = 0; i < json_array_size(audits); i++) {
        const double x = json_number_value(json_array_get(audits, i));

        if (isnan(worst) || fabs(x - 1) > fabs(worst - 1)) worst = x;
    }
    return worst;
}

static drmad_status put_leg(rally *r, int32_t k, const char *dir, const drmad_study *sub)
{
    static const char *const kept[] = {"status",         "parameters",      "hyperparameters",
                                       "meta_steps",     "stopped_because", "trajectory",
                                       "largest_growth", "seconds",         "path"};
    const json_t *result = sub->result, *path = json_object_get(result, "path");
    const json_t *kept_run = json_object_get(result, "kept");
    /* one more than tuning says: the run whose state it leaves */
    const double spent = 1 + json_number_value(json_object_get(result, "spent_runs"));
    const double runs = r->share[k] * spent;
    const double seconds = json_number_value(json_object_get(result, "seconds"));
    json_t *first = json_object_get(json_array_get(path, 0), "objective");
    json_t *audits = audits_of(path);
    json_t *leg = json_pack(
        "{s:i,s:s,s:I,s:I,s:O?,s:O?,s:O?,s:o,s:o,s:f}", "stage", (int)k + 1, "folder", dir,
        "examples", (json_int_t)sub->s->spec.train.count, "steps", (json_int_t)sub->s->spec.steps,
        "start", first, "objective", json_object_get(result, "best_objective"), "end", kept_run,
        "worst_audit", study_real(worst_of(audits)), "audits", audits, "runs", runs);

    for (size_t i = 0; i < COUNT(kept); i++)
        json_object_set(leg, kept[i], json_object_get(result, kept[i]));
    if (!leg || json_array_append_new(json_object_get(r->record, "legs"), leg) != 0)
        return FAIL(r->s->ctx, DRMAD_E_NOMEM, "out of memory for a stage's record");
    return rally_save(r, runs, seconds);
}

/* What is left to the end of this leg's share. */
static void set_budget(const rally *r, int32_t k, drmad_study *sub)
{
    const config_budget *all = &r->s->cfg->set.budget;
    config_budget *b = &sub->cfg->set.budget;
    double share = 0;

    for (int32_t i = 0; i <= k; i++) share += rally_leg(r, i)->share;
    b->runs = record_rest(all->runs, share, record_number(r->record, "runs")) / r->share[k];
    b->minutes = record_rest(60 * all->minutes, share, record_number(r->record, "seconds")) / 60;
}

static drmad_status finite_end(const rally *r, int32_t k, const drmad_study *sub)
{
    if (json_is_true(json_object_get(json_object_get(sub->result, "kept"), "finite")))
        return DRMAD_OK;
    return FAIL(r->s->ctx, DRMAD_E_DIVERGED,
                "stage %d: the run with the tuned values is not finite with another seed; "
                "outer.fresh_seed=true tunes for all of them",
                (int)k + 1);
}

drmad_status leg_tune(rally *r, int32_t k)
{
    char dir[RALLY_DIR], state[2 * RALLY_DIR], values[2 * RALLY_DIR], name[RALLY_DIR];
    sub_voice voice = {r->s, name};
    const leg_start from = {state, values};
    drmad_status st = DRMAD_OK;
    drmad_study *sub = NULL;

    snprintf(dir, sizeof dir, "rally/%d", (int)k + 1);
    snprintf(name, sizeof name, "stage %d", (int)k + 1);
    snprintf(state, sizeof state, "%s/start.safetensors", dir);
    snprintf(values, sizeof values, "%s/start-values.safetensors", dir);
    base_log(r->s->ctx, LOG_INFO, "stage %d of %d", (int)k + 1, (int)r->n);
    TRY(leg_study(r->s, k, dir, k > 0 ? &from : NULL, &sub));
    set_budget(r, k, sub);
    sub_listen(sub, &voice);
    TRY(study_tune(sub, r->resume));
    TRY(finite_end(r, k, sub));
    const json_t *steps = json_object_get(sub->result, "meta_steps");
    TRY(carry_loosen(r, k, json_integer_value(steps)));
    TRY(put_leg(r, k, dir, sub));
done:
    drmad_study_free(sub);
    return st;
}
