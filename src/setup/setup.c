/* Study file -> objects. */
#include "setup/setup_parts.h"
#include "base/file.h"
#include "exec/cuda/cuda.h"
#include "setup/start.h"
#include "setup/teacher.h"
#include "train/trainer.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    FAST_STRIDE = 4
}; /* cap of the adaptive stride: reference measurements, numerics.md table 2b */

uint64_t setup_seed(const setup *s, const char *what, uint64_t number)
{
    return rng_u64((rng_key){(uint64_t)s->cfg->set.seed, 0, rng_site(what)}, number) >> 11;
}

/* ---- split ---- */

/* A share up to 1, a count above. */
static int64_t used_examples(double asked, int64_t all)
{
    const double n = asked <= 1 ? fmax(1, floor(asked * (double)all)) : asked;

    return n < (double)all ? (int64_t)n : all;
}

/* The first objective.examples of the examples that F is taken on. */
static drmad_status choose_objective(setup *s)
{
    const config_study *c = &s->cfg->set;

    s->objective = c->objective.data == CFG_OBJECTIVE_TRAIN ? s->spec.train : s->valid;
    if (c->objective.examples > 0 && c->objective.examples < s->objective.count)
        s->objective.count = c->objective.examples;
    if (s->objective.count < 1)
        return config_refuse(s->cfg, "data.valid", "the objective needs validation examples");
    return DRMAD_OK;
}

drmad_status setup_split(setup *s, uint64_t seed)
{
    const config_study *c = &s->cfg->set;
    const split_spec spec = {
        .count = {c->data.train, c->data.valid, c->data.test},
        .sequential = c->data.split == CFG_SPLIT_SEQUENTIAL,
        .strict = c->data.strict,
        .seed = seed,
        .corrupt = c->data.label_noise,
        .noise_seed = (uint64_t)c->data.noise_seed,
    };
    split *fresh = NULL;
    drmad_status st = split_new(s->ctx, s->train_data, s->test_data, &spec, &fresh);

    if (st != DRMAD_OK) return st;
    feed_forget(s->feed);
    teacher_forget(s->teacher);
    split_free(s->split);
    s->split = fresh;
    s->split_seed = seed;
    s->spec.train = setup_examples(s, PART_TRAIN);
    s->spec.train.count = used_examples(c->train.examples, s->spec.train.count);
    s->valid = setup_examples(s, PART_VALID);
    s->test = setup_examples(s, PART_TEST);
    return choose_objective(s);
}

/* ---- model and training ---- */

static void read_walk(setup *s)
{
    const config_study *c = &s->cfg->set;
    const int64_t kept = c->trajectory.memory;

    s->walk = (walk_spec){.trajectory = (traj_kind)c->trajectory.kind,
                          .quality = (traj_quality)c->trajectory.quality,
                          .memory = (size_t)(kept > 0 ? kept : CONFIG_KEPT),
                          .fills_device = kept == 0,
                          .spill_dir = c->trajectory.spill_dir[0] ? c->trajectory.spill_dir : NULL,
                          .stride = c->trajectory.stride == CFG_STRIDE_FAST ? FAST_STRIDE : 1,
                          .tenth = c->trajectory.coverage == CFG_COVERAGE_TENTH};
    s->walk.estimator = (estimator_spec){.kind = (estimator_kind)c->estimator.kind,
                                         .last = c->estimator.last,
                                         .rows = c->estimator.rows,
                                         .solver = (solver_kind)c->estimator.solver,
                                         .terms = c->estimator.terms,
                                         .tolerance = c->estimator.tolerance,
                                         .damping = c->estimator.damping,
                                         .scale = c->estimator.scale,
                                         .batches = c->estimator.batches};
    if (c->estimator.scale == 0) s->walk.estimator.scale = c->optimizer.lr;
}

/* 0 for what the optimiser does not have. */
static double number_or_none(double x)
{
    return isnan(x) ? 0 : x;
}

static void read_optimizer(const setup *s, train_spec *t)
{
    static const optim_kind kinds[] = {[CFG_INNER_SGD] = OPTIM_SGD,
                                       [CFG_INNER_RMSPROP] = OPTIM_RMSPROP,
                                       [CFG_INNER_ADAM] = OPTIM_ADAM,
                                       [CFG_INNER_ADAMW] = OPTIM_ADAM,
                                       [CFG_INNER_NADAM] = OPTIM_NADAM};
    const config_optimizer *o = &s->cfg->set.optimizer;
    bool momentum = number_or_none(o->momentum) != 0;

    for (int32_t i = 0; i < s->cfg->set.hyper.n; i++)
        momentum |= s->cfg->set.hyper.at[i].kind == HYPER_MOMENTUM;
    t->optim = (optim_spec){.kind = kinds[o->kind],
                            .form = (optim_form)o->form,
                            .nesterov = o->nesterov,
                            .decoupled = o->decoupled || o->kind == CFG_INNER_ADAMW,
                            .buffer = momentum,
                            .dampening = momentum ? o->dampening : 0,
                            .centered = o->centered,
                            .eps_inside = o->eps_inside,
                            .momentum_decay = number_or_none(o->momentum_decay),
                            .clip = (optim_clip)o->clip};
    t->rate = (schedule){.kind = (schedule_kind)o->schedule,
                         .rate = o->lr,
                         .final = o->final,
                         .gamma = o->gamma,
                         .every = o->every,
                         .stretch = o->stretch,
                         .power = o->power,
                         .rise = o->rise,
                         .initial = o->initial,
                         .milestone = o->milestones.at,
                         .milestones = o->milestones.n,
                         .warmup = o->warmup,
                         .steps = s->cfg->set.train.steps};
    t->momentum = number_or_none(o->momentum);
    t->weight_decay = o->weight_decay;
    t->beta1 = number_or_none(o->beta1);
    t->beta2 = number_or_none(o->beta2);
    t->eps = number_or_none(o->eps);
    t->clip = o->clip_at;
}

static void read_training(setup *s)
{
    const config_study *c = &s->cfg->set;
    train_spec *t = &s->spec;

    t->dtype = c->dtype == CFG_F64 ? F64 : F32;
    if (s->model && !s->model->import) t->oracle = &s->model->oracle;
    if (s->model) t->sources = s->model->sources;
    if (s->net) t->model = nn_module(s->net);
    if (s->import) t->model = s->import->module;
    if (s->model && s->model->import) t->model = s->model->import->module;
    t->params = s->params;
    t->frozen = c->model.bn == CFG_BN_FROZEN;
    t->loss = (nn_loss)c->train.loss;
    read_optimizer(s, t);
    if (s->model && s->model->factor) {
        t->rate.kind = SCHEDULE_TABLE;
        t->rate.warmup = 0;
        t->rate.factor = s->model->factor;
    }
    t->l2 = c->train.l2;
    t->l1 = c->train.l1;
    t->label_smoothing = c->train.label_smoothing;
    t->gce_q = c->train.gce_q;
    t->label_flip = c->train.label_flip;
    t->distill_weight = c->distill.weight;
    t->distill_temperature = c->distill.temperature;
    t->brightness = c->train.brightness;
    t->contrast = c->train.contrast;
    t->erasing = c->train.erasing;
    t->noise = c->train.noise;
    t->mixup = c->train.mixup;
    t->init_scale = c->model.init_scale;
    t->half = c->train.activations == CFG_ACTIVATIONS_BF16;
    t->steps = c->train.steps;
    t->batch = s->model ? s->model->batch : c->train.batch;
    t->order = (batch_order)c->train.order;
    read_walk(s);
    t->masks = !t->oracle && c->trajectory.masks && s->spec.model.masks > 0 &&
               c->estimator.kind == CFG_ESTIMATOR_UNROLLED &&
               (c->trajectory.kind == CFG_TRAJ_GRID || c->trajectory.kind == CFG_TRAJ_AUTO);
    t->regress = (regress_spec){
        .to = (regress_to)c->regress.to, .weight = c->regress.weight, .until = c->regress.until};
    /* what the net before was like makes F another function too */
    const bool fresh = c->outer.fresh_seed || c->outer.fresh_split || t->regress.to != REGRESS_NONE;
    s->outer = (outer_spec){.kind = (outer_kind)c->outer.optimizer,
                            .lr = c->outer.lr,
                            .momentum = c->outer.momentum,
                            .beta1 = c->outer.beta1,
                            .beta2 = c->outer.beta2,
                            .eps = 1e-8,
                            .trust = c->outer.trust && !fresh,
                            .fresh = fresh,
                            .max_growth = c->outer.max_growth,
                            .audit_every = c->outer.audit_every,
                            .patience = c->outer.patience,
                            .tolerance = c->outer.tolerance};
}

/* New splits must leave the test set alone, and mix up what belongs to one example. */
static drmad_status check_fresh_split(const setup *s)
{
    const config_study *c = &s->cfg->set;

    if (!c->outer.fresh_split) return DRMAD_OK;
    if (!s->test_data && c->data.test != 0)
        return config_refuse(s->cfg, "outer.fresh_split",
                             "would train on test examples, which are split off the same rows; "
                             "name data.test_images or set data.test: 0");
    for (int32_t i = 0; i < c->hyper.n; i++)
        if (c->hyper.at[i].per == PER_EXAMPLE)
            return config_refuse(s->cfg, "outer.fresh_split",
                                 "hyper.%d has a value for each training example, and those "
                                 "would be others each time",
                                 (int)i);
    return DRMAD_OK;
}

static drmad_status read_hyper(setup *s)
{
    const config_study *c = &s->cfg->set;
    drmad_status st = DRMAD_OK;
    int32_t ties = 0;

    for (int32_t i = 0; i < c->hyper.n; i++) ties += c->hyper.at[i].ties.n;
    TRY(mem_alloc(s->ctx, (size_t)c->hyper.n + 1, sizeof *s->decl, &s->decl));
    TRY(mem_alloc(s->ctx, (size_t)ties + 1, sizeof *s->ties, &s->ties));
    s->decls = c->hyper.n;
    ties = 0;
    for (int32_t i = 0; i < s->decls; i++) {
        const config_hyper *h = &c->hyper.at[i];
        hyper_decl *d = &s->decl[i];
        *d = (hyper_decl){.kind = (hyper_kind)h->kind,
                          .per = (hyper_per)h->per,
                          .match = h->match[0] ? h->match : NULL,
                          .phases = h->phases,
                          .smooth = h->smooth,
                          .multiplier = h->multiplier,
                          .ties = s->ties + ties,
                          .n_ties = h->ties.n};
        d->transform = (hyper_transform)h->transform;
        d->low = h->low, d->high = h->high, d->start = h->start;
        for (int32_t k = 0; k < h->ties.n; k++)
            s->ties[ties++] = (hyper_tie){(hyper_per)h->ties.at[k].per, h->ties.at[k].until};
    }
done:
    return st;
}

/* Data, split and model of the study file. */
static drmad_status read_own(setup *s)
{
    const config_study *c = &s->cfg->set;
    drmad_status st = DRMAD_OK;

    if (!setup_borrow_data(s)) TRY(setup_open_data(s, false));
    TRY(setup_feed(s));
    TRY(check_fresh_split(s));
    TRY(setup_split(s, c->data.split_seed >= 0 ? (uint64_t)c->data.split_seed
                                               : setup_seed(s, "split", 0)));
    TRY(params_new(s->ctx, &s->params));
    if (c->model.import[0]) {
        TRY(setup_import(s));
    } else {
        TRY(setup_net(s));
        TRY(nn_params(s->net, s->params));
    }
done:
    return st;
}

/* The caller's model: counts stand for the data, unless rows are there. */
static drmad_status read_given(setup *s)
{
    const drmad_model *m = s->model;
    drmad_status st = DRMAD_OK;

    TRY(model_check_study(m, s->cfg));
    s->params = m->params;
    s->data_name = m->data_name;
    s->data_sha256 = "";
    s->spec.train = model_examples(m, PART_TRAIN);
    s->valid = model_examples(m, PART_VALID);
    s->test = model_examples(m, PART_TEST);
    TRY(choose_objective(s));
done:
    return st;
}

drmad_status setup_new(drmad_ctx *ctx, const config *cfg, drmad_model *m, const setup *lender,
                       setup **out)
{
    const config_study *c = &cfg->set;
    drmad_status st = DRMAD_OK;
    setup *s = NULL;

    *out = NULL;
    TRY(mem_alloc(ctx, 1, sizeof *s, &s));
    s->ctx = ctx;
    s->cfg = cfg;
    s->model = m;
    TRY(setup_device(s));
    TRY(drmad_ctx_set_threads(ctx, (int)c->threads));
    if (c->trajectory.spill_dir[0]) TRY(file_check_folder(ctx, c->trajectory.spill_dir));
    s->lender = lender;
    TRY(m ? read_given(s) : read_own(s));
    read_training(s);
    TRY(start_read(s));
    TRY(teacher_new(s, &s->teacher));
    s->spec.distil = s->teacher != NULL;
    TRY(read_hyper(s));
    *out = s, s = NULL;
done:
    setup_free(s);
    return st;
}

void setup_free(setup *s)
{
    if (!s) return;
    walker_free(s->walker);
    trainer_free(s->trainer);
    space_free(s->space);
    if (!s->model) params_free(s->params);
    nn_free(s->net);
    teacher_free(s->teacher);
    import_close(s->import);
    feed_free(s->feed);
    split_free(s->split);
    if (!s->lent) {
        dataset_free(s->train_data);
        dataset_free(s->test_data);
    }
    mem_free(s->ctx, s->decl);
    mem_free(s->ctx, s->ties);
    mem_free(s->ctx, s->start);
    mem_free(s->ctx, s->pull);
    mem_free(s->ctx, s->buffers);
    mem_free(s->ctx, s->start_values);
    cuda_backend_free(s->gpu); /* after all that lies in its memory */
    mem_free(s->ctx, s);
}

void setup_rest(setup *s)
{
    walker_free(s->walker);
    trainer_free(s->trainer);
    cuda_backend_free(s->gpu);
    s->walker = NULL, s->trainer = NULL, s->gpu = NULL;
    s->spec.on = NULL;
}

drmad_status setup_run(setup *s, bool walk)
{
    drmad_status st = DRMAD_OK;

    if (walk) TRY(config_need_f32(s->cfg));
    walker_free(s->walker);
    trainer_free(s->trainer);
    s->walker = NULL, s->trainer = NULL;
    if (s->teacher) TRY(teacher_ask(s->teacher, s));
    TRY(trainer_new(s->ctx, &s->spec, &s->trainer));
    TRY(trainer_pull(s->trainer, s->pull));
    if (walk) TRY(walker_new(s->ctx, s->trainer, &s->walk, &s->walker));
done:
    return st;
}

drmad_status setup_pull_to(setup *s, const double *flat)
{
    const size_t n = (size_t)s->params->total;
    drmad_status st = DRMAD_OK;

    if (s->spec.regress.to == REGRESS_NONE) return DRMAD_OK;
    if (!s->pull) TRY(mem_alloc(s->ctx, n, sizeof *s->pull, &s->pull));
    memcpy(s->pull, flat, n * sizeof *s->pull);
    TRY(trainer_pull(s->trainer, s->pull));
done:
    return st;
}

drmad_status setup_pull_to_last(setup *s)
{
    const size_t n = (size_t)s->params->total;
    drmad_status st = DRMAD_OK;
    double *flat = NULL;
    const void *w;

    if (s->spec.regress.to == REGRESS_NONE) return DRMAD_OK;
    TRY(mem_alloc(s->ctx, n, sizeof *flat, &flat));
    TRY(trainer_read_weights(s->trainer, &w));
    for (size_t i = 0; i < n; i++) flat[i] = trainer_get(s->trainer, w, (int64_t)i);
    TRY(setup_pull_to(s, flat));
done:
    mem_free(s->ctx, flat);
    return st;
}

drmad_status setup_pull_to_nothing(setup *s)
{
    mem_free(s->ctx, s->pull);
    s->pull = NULL;
    return trainer_pull(s->trainer, NULL);
}

space_facts setup_facts(const setup *s, int64_t meta_step)
{
    return (space_facts){.steps = s->spec.steps,
                         .examples = s->spec.train.count,
                         .classes = s->model ? model_classes(s->model) : s->train_data->classes,
                         .inputs = s->spec.train.width,
                         .meta_step = meta_step};
}

drmad_status setup_tie(setup *s, int64_t meta_step, bool walk, outer *o)
{
    const space_facts facts = setup_facts(s, meta_step);
    drmad_status st = DRMAD_OK;
    space *fresh = NULL;

    TRY(space_new(s->ctx, s->params, &facts, s->decl, s->decls, &fresh));
    TRY(start_space(s, fresh));
    if (o) TRY(outer_loosen(o, fresh));
    walker_free(s->walker);
    trainer_free(s->trainer);
    s->walker = NULL, s->trainer = NULL;
    space_free(s->space);
    s->space = fresh, fresh = NULL;
    s->spec.space = s->space;
    TRY(setup_run(s, walk));
done:
    space_free(fresh);
    return st;
}

setup_cost setup_cost_of(const setup *s)
{
    const double steps = (double)s->spec.steps;
    const double products = s->walker ? (double)walker_products(s->walker) : 0;
    setup_cost c = {.run = steps};
    double row; /* F's gradient of one example */

    if (s->spec.oracle) { /* a second-order product is about two gradients */
        row = 1 / (double)s->spec.batch;
        c.product = 2;
    } else {
        c.run *= (double)trainer_step_macs(s->trainer);
        row = 3 * (double)s->spec.model.macs; /* W + (W + W') at most */
        c.product = s->walker ? (double)walker_step_macs(s->walker) : 0;
    }
    c.eval = row * (double)s->objective.count;
    c.back = products * c.product + (s->walker ? row * (double)walker_rows(s->walker) : 0);
    c.meta = (c.run + c.eval + c.back) / c.run;
    /* a tangent costs about what an adjoint does */
    c.audit = 1 + (2 * c.eval + steps * c.product) / c.run;
    c.look = 1 + c.eval / (3 * c.run);
    c.bytes = trainer_bytes(s->trainer) + (s->walker ? walker_bytes(s->walker) : 0);
    if (s->gpu)
        c.gpu = cuda_backend_used(s->gpu) + trainer_later_bytes(s->trainer) +
                (s->walker ? walker_later_bytes(s->walker) : 0);
    if (s->model) return c;
    c.bytes += setup_data_bytes(s) + teacher_bytes(s->teacher);
    return c;
}

double setup_spent(const setup *s, const setup_cost *c, const walk_report *r)
{
    if (s->walk.estimator.kind != ESTIMATOR_IMPLICIT || r->products == 0) return c->meta;
    return c->meta - (double)(walker_products(s->walker) - r->products) * c->product / c->run;
}

char *setup_way(const setup *s, char *buf, size_t size)
{
    const estimator_spec *e = &s->walk.estimator;
    const char *kept = traj_kind_name(walker_kind(s->walker)), *name = estimator_name(e->kind);

    switch (e->kind) {
    case ESTIMATOR_UNROLLED: snprintf(buf, size, "trajectory %s", kept); break;
    case ESTIMATOR_TRUNCATED:
        snprintf(buf, size, "estimator %s (last %lld steps), trajectory %s", name,
                 (long long)walker_products(s->walker), kept);
        break;
    case ESTIMATOR_ONE_STEP:
        snprintf(buf, size, "estimator %s (%lld examples a step)", name, (long long)e->rows);
        break;
    case ESTIMATOR_IMPLICIT:
        snprintf(buf, size, "estimator %s (%s)", name, solver_name(e->solver));
        break;
    }
    return buf;
}
