/* Models that the caller computes, and what a study over one may not ask for. */
#include "setup/model.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

drmad_status drmad_model_new(drmad_ctx *ctx, const char *name, int doubles, drmad_model **out)
{
    drmad_status st = DRMAD_OK;
    drmad_model *m = NULL;

    *out = NULL;
    TRY(mem_alloc(ctx, 1, sizeof *m, &m));
    m->ctx = ctx;
    m->dtype = doubles ? F64 : F32;
    TRY(mem_strdup(ctx, name, &m->name));
    TRY(params_new(ctx, &m->params));
    *out = m, m = NULL;
done:
    drmad_model_free(m);
    return st;
}

void drmad_model_free(drmad_model *m)
{
    if (!m) return;
    if (m->import) model_import_free(m);
    else params_free(m->params);
    mem_free(m->ctx, m->name);
    mem_free(m->ctx, m->data_name);
    mem_free(m->ctx, m->factor);
    mem_free(m->ctx, m);
}

drmad_status drmad_model_add(drmad_model *m, const char *name, const int64_t *dims, int rank,
                             const char *role, int layer)
{
    static const char *const roles[] = {"weight", "bias", "norm"}; /* in param_role's order */
    shape s = {.rank = rank};
    size_t bytes, k = 0;

    while (k < COUNT(roles) && strcmp(role, roles[k]) != 0) k++;
    if (k == COUNT(roles))
        return FAIL(m->ctx, DRMAD_E_MODEL, "%s: role \"%s\"; weight, bias or norm is possible",
                    name, role);
    if (rank < 0 || rank > RANK_MAX || layer < 0)
        return FAIL(m->ctx, DRMAD_E_MODEL, "%s: rank %d, layer %d; rank 0 to %d, layer from 0",
                    name, rank, layer, RANK_MAX);
    for (int i = 0; i < rank; i++) s.dim[i] = dims[i];
    if (!shape_bytes(&s, m->dtype, &bytes) || bytes == 0 || bytes > SIZE_MAX / 8)
        return FAIL(m->ctx, DRMAD_E_MODEL, "%s: a tensor of no or of too many elements", name);
    for (int32_t i = 0; i < m->params->n; i++)
        if (strcmp(m->params->at[i].name, name) == 0)
            return FAIL(m->ctx, DRMAD_E_MODEL, "%s: a second tensor of that name", name);
    return params_add(m->params, name, s, (param_role)k, layer);
}

int64_t drmad_model_size(const drmad_model *m)
{
    return m->params->total;
}

int64_t drmad_model_offset(const drmad_model *m, int tensor)
{
    return tensor >= 0 && tensor < m->params->n ? m->params->at[tensor].offset : -1;
}

drmad_status drmad_model_set_data(drmad_model *m, const char *name, int64_t train, int64_t valid,
                                  int64_t test, int64_t batch)
{
    if (train < 1 || valid < 0 || test < 0 || batch < 1 || batch > train || train > INT32_MAX)
        return FAIL(m->ctx, DRMAD_E_DATA,
                    "%s: %lld training, %lld validation, %lld test examples in batches of %lld",
                    name, (long long)train, (long long)valid, (long long)test, (long long)batch);
    if (m->import && (m->count[0] != train || m->count[1] != valid || m->count[2] != test))
        model_import_forget(m);
    m->count[0] = train, m->count[1] = valid, m->count[2] = test, m->batch = batch;
    mem_free(m->ctx, m->data_name);
    m->data_name = NULL;
    return mem_strdup(m->ctx, name, &m->data_name);
}

drmad_status drmad_model_set_schedule(drmad_model *m, const double *factors, int64_t steps)
{
    drmad_status st = DRMAD_OK;

    for (int64_t t = 0; t < steps; t++)
        if (!isfinite(factors[t]))
            return FAIL(m->ctx, DRMAD_E_CONFIG, "schedule: factor %g at step %lld", factors[t],
                        (long long)t);
    mem_free(m->ctx, m->factor);
    m->factor = NULL;
    m->factors = steps;
    TRY(mem_alloc(m->ctx, (size_t)steps, sizeof *m->factor, &m->factor));
    memcpy(m->factor, factors, (size_t)steps * sizeof *factors);
done:
    return st;
}

drmad_status drmad_model_set_functions(drmad_model *m, drmad_start_fn *start,
                                       drmad_gradient_fn *gradient, drmad_product_fn *product,
                                       drmad_evaluate_fn *evaluate, drmad_batch_fn *batch,
                                       void *user)
{
    if (m->import)
        return FAIL(m->ctx, DRMAD_E_USAGE, "%s: is computed here and asks no functions", m->name);
    if (!start || !gradient || !product || !evaluate)
        return FAIL(m->ctx, DRMAD_E_USAGE, "%s: only the batch function may be missing", m->name);
    m->oracle = (oracle){start, gradient, product, evaluate, batch, user, false, m->oracle.on};
    return DRMAD_OK;
}

drmad_status drmad_model_set_memory(drmad_model *m, drmad_device_alloc_fn *alloc,
                                    drmad_device_free_fn *free, drmad_device_copy_fn *copy,
                                    void *user)
{
    device *d = &m->device;

    if (!alloc || !free || !copy)
        return FAIL(m->ctx, DRMAD_E_USAGE, "%s: a device's memory needs all functions", m->name);
    device_init(d);
    d->alloc = alloc, d->free = free, d->copy = copy, d->memory_user = user;
    m->oracle.on = &d->on;
    return DRMAD_OK;
}

drmad_status drmad_model_set_programs(drmad_model *m, drmad_device_compile_fn *compile,
                                      drmad_device_run_fn *run, drmad_device_release_fn *release,
                                      void *user)
{
    device *d = &m->device;

    if (!compile || !run || !release)
        return FAIL(m->ctx, DRMAD_E_USAGE, "%s: a device's programs need all functions", m->name);
    device_init(d);
    d->compile = compile, d->run = run, d->release = release, d->program_user = user;
    m->oracle.on = &d->on;
    return DRMAD_OK;
}

/* ---- studies ---- */

/* Keys that are about data and models of drmad's own; fewer of a model from a folder, which is one
 * but for its rows and its loss. */
static drmad_status check_keys(const drmad_model *m, const config *cfg)
{
    typedef enum whose {
        ANY,
        ORDERED,
        COMPUTED
    } whose; /* with an order of its own; by functions */
    static const struct {
        const char *key;
        whose of;
    } own[] = {{"data", ANY},
               {"model", ANY},
               {"distill", ANY},
               {"train.batch", ANY},
               {"train.loss", ANY},
               {"train.label_smoothing", ANY},
               {"train.gce_q", ANY},
               {"train.label_flip", ANY},
               {"train.examples", ANY},
               {"rally", ANY},
               {"outer.fresh_split", ANY},
               {"train.order", ORDERED},
               {"output.state", COMPUTED},
               {"optimizer.state", COMPUTED}};
    const whose most = !m->import ? COMPUTED : m->sources.batch ? ORDERED : ANY;

    for (size_t i = 0; i < COUNT(own); i++) {
        const char *key = own[i].of <= most ? config_set_under(cfg, own[i].key) : NULL;
        if (key) return config_refuse(cfg, key, "the caller's model brings its own; leave it out");
    }
    return DRMAD_OK;
}

static drmad_status check_hyper(const drmad_model *m, const config *cfg)
{
    if (m->import) return DRMAD_OK; /* what does not fit is refused by the trainer */
    for (int32_t i = 0; i < cfg->set.hyper.n; i++) {
        const config_hyper *h = &cfg->set.hyper.at[i];
        const char *word = hyper_kind_of((hyper_kind)h->kind)->word;
        char key[32];

        snprintf(key, sizeof key, "hyper.%d", (int)i);
        if (h->kind == HYPER_EXAMPLE_WEIGHT && h->per == PER_EXAMPLE && h->ties.n == 0 &&
            m->oracle.batch)
            continue;
        if (h->kind == HYPER_EXAMPLE_WEIGHT)
            return config_refuse(cfg, key,
                                 m->oracle.batch
                                     ? "example_weight: only per example over a caller's model"
                                     : "example_weight: the model does not say which examples "
                                       "are in a batch");
        if (h->kind == HYPER_LABEL_SMOOTHING || h->kind == HYPER_INPUT_SCALE ||
            h->kind == HYPER_LOSS_WEIGHT || h->kind == HYPER_GCE_Q || h->kind == HYPER_LABEL_FLIP)
            return config_refuse(cfg, key, "%s is inside the loss, which the caller computes",
                                 word);
    }
    return DRMAD_OK;
}

drmad_status model_check_study(const drmad_model *m, const config *cfg)
{
    drmad_status st = DRMAD_OK;

    if (m->params->n == 0) TRY(FAIL(m->ctx, DRMAD_E_MODEL, "%s: no tensor", m->name));
    if (!m->import && !m->oracle.start)
        TRY(FAIL(m->ctx, DRMAD_E_USAGE, "%s: no functions set", m->name));
    if (m->oracle.on && (!m->device.alloc || !m->device.compile))
        TRY(FAIL(m->ctx, DRMAD_E_USAGE, "%s: a device needs memory and programs", m->name));
    if (!m->data_name) TRY(FAIL(m->ctx, DRMAD_E_USAGE, "%s: no data set", m->name));
    if ((cfg->set.dtype == CFG_F64) != (m->dtype == F64))
        TRY(config_refuse(cfg, "dtype", "the model's vectors are %s", dtype_name(m->dtype)));
    if (m->factor && m->factors < cfg->set.train.steps)
        TRY(config_refuse(cfg, "train.steps", "%lld; the schedule ends after %lld",
                          (long long)cfg->set.train.steps, (long long)m->factors));
    if (cfg->set.regress.to == CFG_REGRESS_ACTIVATIONS)
        TRY(config_refuse(cfg, "regress.to", "activations of %s are not seen; weights can be used",
                          m->name));
    if (!m->import && cfg->set.train.activations == CFG_ACTIVATIONS_BF16)
        TRY(config_refuse(cfg, "train.activations",
                          "those of %s are its own; only nets of the study's are kept in bf16",
                          m->name));
    if (m->import) TRY(model_check_rows(m));
    TRY(check_keys(m, cfg));
    TRY(check_hyper(m, cfg));
done:
    return st;
}
