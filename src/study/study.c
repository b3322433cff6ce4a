/* The public calls' frame: loading, events, results, and what several calls need. */
#include "study/study_parts.h"
#include "base/version.h"
#include "data/fetch.h"
#include "drmad/info.h"
#include "exec/cuda/cuda.h"
#include "setup/start.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

drmad_status study_new(drmad_ctx *ctx, drmad_study **out)
{
    const drmad_status st = mem_alloc(ctx, 1, sizeof **out, out);

    if (st == DRMAD_OK) (*out)->ctx = (*out)->said.ctx = ctx;
    return st;
}

drmad_status drmad_study_load(drmad_ctx *ctx, const char *path, const char *const *overrides, int n,
                              drmad_study **out)
{
    drmad_status st = DRMAD_OK;
    drmad_study *s = NULL;

    *out = NULL;
    TRY(study_new(ctx, &s));
    TRY(config_gather(ctx, path, overrides, n, &s->cfg));
    TRY(study_finish_load(s));
    *out = s, s = NULL;
done:
    drmad_study_free(s);
    return st;
}

drmad_status drmad_model_study(drmad_model *m, const char *const *overrides, int n,
                               drmad_study **out)
{
    drmad_status st = DRMAD_OK;
    drmad_study *s = NULL;

    TRY(drmad_study_load(m->ctx, NULL, overrides, n, &s));
    s->model = m;
    TRY(model_check_study(m, s->cfg));
    *out = s, s = NULL;
done:
    if (st != DRMAD_OK) *out = NULL;
    drmad_study_free(s);
    return st;
}

drmad_status study_from_text(drmad_ctx *ctx, const char *text, drmad_study **out)
{
    drmad_status st = DRMAD_OK;
    drmad_study *s = NULL;

    *out = NULL;
    TRY(study_new(ctx, &s));
    TRY(config_new(ctx, &s->cfg));
    TRY(config_read(s->cfg, "study", text, strlen(text)));
    *out = s, s = NULL;
done:
    drmad_study_free(s);
    return st;
}

/* ---- its text ---- */

drmad_status study_print(const config *c, study_text what, char **out)
{
    drmad_status st = DRMAD_OK;
    static char none[] = "";
    config *copy = NULL; /* shallow: nothing of it is freed */

    *out = NULL;
    TRY(mem_alloc(c->ctx, 1, sizeof *copy, &copy));
    *copy = *c;
    copy->set.store = copy->set.output.dir = copy->set.trajectory.spill_dir = none;
    if (what != STUDY_KEPT) {
        copy->set.search.enqueue.n = 0;
        copy->set.version = none;
    }
    if (what != STUDY_KEPT && c->set.stages.n > 0) { /* the budget is the pipeline's */
        copy->set.budget = (config_budget){0};
        copy->set.stages.n = copy->set.compare.n = 0;
    }
    if (what != STUDY_KEPT && c->set.rally.n > 0) {
        copy->set.budget = (config_budget){0};
        copy->set.rally.n = 0;
    }
    if (what == STUDY_TRIAL) copy->set.parameters.n = copy->set.search.constraints.n = 0;
    if (what == STUDY_COMPARED) {
        copy->set.name = copy->set.data.dir = none;
        copy->set.threads = copy->set.search.trials = copy->set.search.startup = 0;
        copy->set.search.sampler = copy->set.search.gradients = 0; /* each worker's own */
        copy->set.search.pruner = (config_pruner){0};
        copy->set.worker = (config_worker){0};
        if (copy->set.trajectory.memory == 0) copy->set.trajectory.memory = CONFIG_KEPT;
        copy->set.objective.timeout = 0;
        copy->set.objective.memory = copy->set.objective.retries = 0;
    }
    TRY(config_print(copy, out));
done:
    mem_free(c->ctx, copy);
    return st;
}

/* A trial of our own training sets keys before `auto`s follow from them, so both texts are taken
 * here. */
drmad_status study_finish_load(drmad_study *s)
{
    drmad_status st = DRMAD_OK;

    if (s->cfg->set.parameters.n + s->cfg->set.stages.n + s->cfg->set.rally.n > 0) {
        TRY(study_print(s->cfg, STUDY_KEPT, &s->given));
        TRY(study_print(s->cfg, STUDY_TRIAL, &s->base));
    }
    TRY(config_finish(s->cfg));
done:
    return st;
}

static void forget(drmad_study *s)
{
    study_forget_kept(s);
    setup_free(s->s);
    folder_close(s->f);
    json_decref(s->result);
    free(s->json);
    text_free(&s->said);
    s->s = NULL, s->f = NULL, s->result = NULL, s->json = NULL;
}

void drmad_study_free(drmad_study *s)
{
    if (!s) return;
    forget(s);
    if (s->session) s->session_close(s);
    mem_free(s->ctx, s->given);
    mem_free(s->ctx, s->base);
    config_free(s->cfg);
    mem_free(s->ctx, s);
}

void drmad_study_set_events(drmad_study *s, drmad_event_fn *fn, void *user)
{
    s->on_event = fn;
    s->user = user;
}

const char *drmad_study_result_json(const drmad_study *s)
{
    return s->json ? s->json : "";
}

const char *drmad_study_result_text(const drmad_study *s)
{
    return s->said.text ? s->said.text : "";
}

drmad_status drmad_data_get(drmad_ctx *ctx, const char *name, const char *dir)
{
    return data_fetch(ctx, name, dir);
}

json_t *study_real(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

drmad_status study_put(drmad_study *st, const char *key, json_t *value)
{
    if (!value || json_object_set_new(st->result, key, value) != 0)
        return FAIL(st->ctx, DRMAD_E_NOMEM, "out of memory for the result (%s)", key);
    return DRMAD_OK;
}

drmad_status study_event(drmad_study *s, const char *stage, double done, double total,
                         json_t *event)
{
    drmad_status st = DRMAD_OK;
    char *line = NULL;

    if (!event || json_object_set_new(event, "seconds", json_real(base_now() - s->started)) != 0)
        TRY(FAIL(s->ctx, DRMAD_E_NOMEM, "out of memory for an event"));
    line = json_dumps(event, JSON_COMPACT | JSON_REAL_PRECISION(17));
    if (!line) TRY(FAIL(s->ctx, DRMAD_E_NOMEM, "out of memory for an event"));
    if (s->f) TRY(folder_log(s->f, line));
    if (s->on_event) s->on_event(s->user, stage, done, total, line);
done:
    free(line);
    json_decref(event);
    return st;
}

/* ---- results ---- */

/* A folder is left to one kind of call: training must not take the place of a tuned result. */
static drmad_status check_folder(drmad_study *s, const char *what)
{
    const bool tuned = folder_has(s->f, "hyperparameters.safetensors") ||
                       folder_has(s->f, "checkpoint.safetensors");

    if (strcmp(what, "train") != 0 || !tuned) return DRMAD_OK;
    return FAIL(s->ctx, DRMAD_E_OUTPUT,
                "%s: holds the files of a tuning run; name another folder with output.dir",
                folder_path(s->f));
}

static drmad_status put_versions(drmad_study *st)
{
    json_t *v = json_object();
    char value[256];

    for (int i = 0; drmad_info_key(i); i++) {
        const char *key = drmad_info_key(i);
        if (drmad_info(st->ctx, key, value, sizeof value) == DRMAD_OK)
            json_object_set_new(v, key, json_string(value));
    }
    const int32_t gpu_number = config_gpu(st->cfg);
    if (gpu_number >= 0 && cuda_describe(st->ctx, gpu_number, value, sizeof value) == DRMAD_OK)
        json_object_set_new(v, "cuda", json_string(value));
    return study_put(st, "versions", v);
}

drmad_status study_begin_result(drmad_study *s, const char *what)
{
    drmad_status st = DRMAD_OK;

    forget(s);
    s->started = base_now();
    s->result = json_object();
    TRY(study_put(s, "event", json_string("result")));
    TRY(study_put(s, "schema", json_integer(1)));
    TRY(study_put(s, "call", json_string(what)));
    TRY(study_put(s, "study", json_string(s->cfg->set.name)));
    TRY(study_put(s, "seed", json_integer(s->cfg->set.seed)));
done:
    return st;
}

drmad_status study_begin(drmad_study *s, const char *what, bool walk, bool with_folder)
{
    drmad_status st = DRMAD_OK;

    if (s->model && s->model->oracle.busy)
        return FAIL(s->ctx, DRMAD_E_USAGE,
                    "%s: the study was called from its model's own functions", what);
    TRY(study_begin_result(s, what));
    if (with_folder) {
        TRY(folder_open(s->ctx, s->cfg, &s->f));
        TRY(check_folder(s, what));
    }
    TRY(setup_new(s->ctx, s->cfg, s->model, s->lender, &s->s));
    TRY(setup_tie(s->s, 0, walk, NULL));
    TRY(study_put(s, "data", json_string(s->s->data_name)));
    TRY(study_put(s, "data_sha256", json_string(s->s->data_sha256)));
    TRY(study_put(s, "parameters", json_integer(s->s->params->weights)));
    TRY(study_put(s, "hyperparameters", json_integer(s->s->space->total)));
    TRY(put_versions(s));
    TRY(study_say_study(s));
done:
    return st;
}

drmad_status study_files(drmad_study *s)
{
    drmad_status st = DRMAD_OK;
    char *resolved = NULL;

    TRY(config_print(s->cfg, &resolved));
    TRY(folder_text(s->f, "study.yaml", resolved));
    TRY(folder_log_open(s->f, 0));
done:
    mem_free(s->ctx, resolved);
    return st;
}

drmad_status study_finish(drmad_study *s, const char *file)
{
    drmad_status st = DRMAD_OK;

    TRY(study_put(s, "seconds", json_real(base_now() - s->started)));
    TRY(study_put_bad(s));
    if (file) {
        TRY(folder_json(s->f, file, s->result));
        TRY(study_say(s, "\nwritten to %s", folder_path(s->f)));
    }
    TRY(study_show(s));
done:
    return st;
}

/* A request to stop holds for the call under way; one that has done its work is over. */
drmad_status study_end(drmad_study *s, drmad_status end)
{
    if (end == DRMAD_E_INTERRUPTED || end == DRMAD_E_TERMINATED) atomic_store(&s->ctx->stop, 0);
    return end;
}

drmad_status study_show(drmad_study *s)
{
    drmad_status st = DRMAD_OK;

    free(s->json);
    s->json = json_dumps(s->result, JSON_COMPACT | JSON_REAL_PRECISION(17));
    if (!s->json) TRY(FAIL(s->ctx, DRMAD_E_NOMEM, "out of memory for the result"));
done:
    return st;
}

/* ---- files of tensors ---- */

drmad_status study_save_weights(drmad_study *s)
{
    const setup *u = s->s;
    drmad_status st = DRMAD_OK;
    const void *w;

    TRY(trainer_read_weights(u->trainer, &w));
    TRY(start_save_weights(s->f, "weights.safetensors", u, w));
    if (s->cfg->set.output.state) TRY(start_save_trained(s->f, "state.safetensors", u));
done:
    return st;
}

drmad_status study_save_values(drmad_study *s, const char *name, const double *values)
{
    return start_save_values(s->f, name, s->s, s->s->space, values);
}
