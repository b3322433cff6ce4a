/* The trainer: what it holds, and what is in place before a step. The loop over steps is in
 * trainer_run.c, evaluation in evaluate.c, the graph in net.c. */
#include "train/trainer.h"
#include <string.h>

enum { DENSE_CHUNK = 512 };

slot_ref trainer_use_ref(const trainer *t, int32_t use, use_slot what)
{
    return (slot_ref){SLOT_FIXED_COUNT + t->masks + USE_SLOTS * use + (int32_t)what, 0};
}

slot_ref trainer_mask_ref(const trainer *t, int32_t mask)
{
    (void)t;
    return (slot_ref){SLOT_FIXED_COUNT + mask, 0};
}

slot_ref trainer_tensor_ref(const trainer *t, int32_t slot, int32_t tensor)
{
    return (slot_ref){slot, t->spec.params->at[tensor].offset * (int64_t)t->size};
}

void trainer_bind(trainer *t, slot_id first, void *const state[])
{
    for (int32_t k = 0; k < t->vectors; k++) t->slot[(int32_t)first + k] = state[k];
}

int32_t trainer_vectors_of(const trainer *t, int32_t tensor)
{
    return t->spec.params->at[tensor].role == PARAM_STAT ? 1 : t->vectors;
}

drmad_status trainer_add_slots(trainer *t, int32_t count, int32_t *first)
{
    const size_t n = (size_t)t->n_slots;
    const drmad_status st = mem_resize(t->ctx, &t->slot, n, n + (size_t)count, sizeof *t->slot);

    *first = st == DRMAD_OK ? t->n_slots : 0;
    if (st == DRMAD_OK) t->n_slots += count;
    return st;
}

double trainer_get(const trainer *t, const void *flat, int64_t i)
{
    return dtype_get(t->spec.dtype, flat, i);
}

void trainer_put(const trainer *t, void *flat, int64_t i, double x)
{
    dtype_put(t->spec.dtype, flat, i, x);
}

int64_t use_index(const shape *leaf, const shape *tensor, int64_t e)
{
    int64_t at = 0, stride = 1;

    for (int32_t i = tensor->rank - 1; i >= 0; i--) {
        const int64_t x = e % tensor->dim[i];
        e /= tensor->dim[i];
        if (leaf->dim[i] > 1) at += x * stride;
        stride *= leaf->dim[i];
    }
    return at;
}

/* ---- what a trainer holds ---- */

static bool weighs_rows(hyper_kind k)
{
    return k == HYPER_EXAMPLE_WEIGHT || k == HYPER_LOSS_WEIGHT || k == HYPER_DISTILL_WEIGHT;
}

static drmad_status uses_new(trainer *t)
{
    const train_spec *s = &t->spec;
    drmad_status st = DRMAD_OK;

    TRY(mem_alloc(t->ctx, (size_t)s->space->n_uses + 1, sizeof *t->use, &t->use));
    for (int32_t i = 0; i < s->space->n_uses; i++) {
        use_state *u = &t->use[i];
        u->use = &s->space->uses[i];
        u->leaf = u->use->shape;
        u->type = optim_type(u->use->kind, s->dtype);
        u->by_row = weighs_rows(u->use->kind) && shape_count(&u->leaf) > 1;
        if (u->by_row) u->leaf = SHAPE(s->batch);
        u->count = (size_t)shape_count(&u->leaf);
        u->moving = u->by_row || (u->use->kind == HYPER_LR && s->rate.kind != SCHEDULE_CONSTANT) ||
                    (u->use->kind == HYPER_LR && s->rate.warmup > 0);
        u->scaled = u->moving && !u->by_row && train_sums(s, u->use);
        if (u->scaled) u->scaled = s->space->slices[u->use->slice].multiplier, u->moving = false;
        u->phase = -1;
        TRY(trainer_use_memory(t, i));
    }
done:
    return st;
}

static drmad_status buffers_new(trainer *t)
{
    const train_spec *s = &t->spec;
    const size_t flat = (size_t)s->params->total, batch = (size_t)s->batch;
    const int32_t fixed = SLOT_FIXED_COUNT + t->masks + USE_SLOTS * s->space->n_uses;
    drmad_status st = DRMAD_OK;
    int32_t first;
    double product = 1;

    TRY(trainer_add_slots(t, fixed, &first));
    for (int i = 0; i < 2; i++)
        for (int32_t k = 0; k < t->vectors; k++) TRY(trainer_vector(t, flat, &t->state[i][k]));
    TRY(mem_alloc(t->ctx, flat, sizeof *t->draw, &t->draw));
    TRY(mem_alloc(t->ctx, flat, sizeof *t->grad_sum, &t->grad_sum));
    TRY(trainer_gradient_new(t));
    for (int k = SLOT_G; s->oracle && k <= SLOT_HU; k++) TRY(trainer_vector(t, flat, &t->slot[k]));
    TRY(trainer_tables_new(t));
    if (s->regress.to != REGRESS_NONE) TRY(trainer_vector(t, flat, &t->slot[SLOT_PREVIOUS]));
    for (int k = SLOT_LR; k <= SLOT_CORRECT; k++)
        TRY(mem_alloc(t->ctx, k == SLOT_LOSS ? LATE_STEPS : 1, sizeof(double), &t->slot[k]));
    t->losses = t->slot[SLOT_LOSS];
    TRY(mem_alloc(t->ctx, (size_t)s->steps, sizeof *t->product, &t->product));
    for (int64_t k = 0; k < s->done; k++) product = optim_product(&s->optim, k, product);
    for (int64_t k = 0; k < s->steps; k++)
        t->product[k] = product = optim_product(&s->optim, s->done + k, product);
    TRY(mem_alloc(t->ctx, batch, sizeof *t->local, &t->local));
    TRY(mem_alloc(t->ctx, batch, sizeof *t->index, &t->index));
    TRY(mem_alloc(t->ctx, batch, sizeof *t->batch_labels, &t->batch_labels));
    TRY(uses_new(t));
    if (s->masks) TRY(trainer_masks_new(t));
done:
    return st;
}

/* What a loss that is the model's own leaves to nobody else. */
static drmad_status check_judge(drmad_ctx *ctx, const train_spec *s)
{
    static const hyper_kind doubts[] = {HYPER_LABEL_SMOOTHING, HYPER_GCE_Q, HYPER_LABEL_FLIP};
    const module *m = &s->model;

    for (size_t i = 0; m->judges && i < COUNT(doubts); i++)
        if (train_uses(s, doubts[i]))
            return FAIL(ctx, DRMAD_E_CONFIG, "%s: is inside the model's own loss, or nowhere",
                        hyper_kind_of(doubts[i])->word);
    if (m->whole &&
        (space_has(s->space, HYPER_EXAMPLE_WEIGHT) || space_has(s->space, HYPER_LOSS_WEIGHT)))
        return FAIL(ctx, DRMAD_E_CONFIG,
                    "example_weight, loss_weight: the model's loss is no mean over examples");
    if (s->regress.to == REGRESS_ACTIVATIONS && !m->layers)
        return FAIL(ctx, DRMAD_E_CONFIG,
                    "regress.to: activations are those of layers; an imported model has none "
                    "that are known, so take weights");
    return DRMAD_OK;
}

static drmad_status check_module(drmad_ctx *ctx, const train_spec *s)
{
    const module *m = &s->model;
    const int64_t width = shape_count(&m->input);

    if (s->train.width != width && !(m->tokens && s->train.width == width + 1))
        return FAIL(ctx, DRMAD_E_CONFIG, "model: %lld inputs, the data has %lld columns",
                    (long long)width, (long long)s->train.width);
    if (m->batch && s->batch != m->batch)
        return FAIL(ctx, DRMAD_E_CONFIG,
                    "train.batch: %lld; the model was exported for batches of %lld alone",
                    (long long)s->batch, (long long)m->batch);
    return check_judge(ctx, s);
}

/* A row for each class, where the study wants one, is one for each output. */
static drmad_status check_flips(drmad_ctx *ctx, const train_spec *s)
{
    const hyper_use *u = space_find(s->space, HYPER_LABEL_FLIP, -1);

    if (!u || s->model.classes == 0) return DRMAD_OK;
    const int64_t outputs = s->model.classes;
    if (u->shape.dim[0] == 1 || u->shape.dim[0] == outputs) return DRMAD_OK;
    return FAIL(ctx, DRMAD_E_CONFIG,
                "hyper: label_flip: %lld classes, but the net gives %lld numbers; with a value per "
                "class they must be as many",
                (long long)u->shape.dim[0], (long long)outputs);
}

static drmad_status check_spec(drmad_ctx *ctx, const train_spec *s)
{
    if (s->batch < 1 || s->batch > s->train.count)
        return FAIL(ctx, DRMAD_E_CONFIG, "train.batch: %lld of %lld training examples",
                    (long long)s->batch, (long long)s->train.count);
    if (s->steps < 1)
        return FAIL(ctx, DRMAD_E_CONFIG, "train.steps: %lld, expected at least 1",
                    (long long)s->steps);
    const backend *on = train_backend(s);
    if (!s->oracle && !on->host && !on->mixed)
        return FAIL(ctx, DRMAD_E_INTERNAL, "backend %s: takes no host addresses", on->name);
    if (s->masks && s->model.masks == 0)
        return FAIL(ctx, DRMAD_E_CONFIG, "trajectory.masks: the model has no ReLU on dense layers");
    if (s->half && (s->oracle || s->dtype != F32))
        return FAIL(ctx, DRMAD_E_CONFIG,
                    "train.activations: bf16 is for nets that are computed here, in f32");
    drmad_status st = s->oracle ? DRMAD_OK : check_module(ctx, s);
    if (st == DRMAD_OK) st = check_flips(ctx, s);
    if (st == DRMAD_OK) st = train_check_varied(ctx, s);
    return st == DRMAD_OK ? trainer_check_update(ctx, s) : st;
}

drmad_status trainer_new(drmad_ctx *ctx, const train_spec *spec, trainer **out)
{
    drmad_status st = DRMAD_OK;
    trainer *t = NULL;

    *out = NULL;
    TRY(check_spec(ctx, spec));
    TRY(mem_alloc(ctx, 1, sizeof *t, &t));
    t->ctx = ctx;
    t->spec = *spec;
    t->size = dtype_size(spec->dtype);
    t->chunk = spec->oracle || (spec->model.dense && !spec->model.batch && !spec->model.whole)
                   ? DENSE_CHUNK
                   : spec->batch;
    t->masks = spec->masks ? spec->model.masks : 0;
    t->on = train_backend(spec);
    t->vectors = optim_vectors(&spec->optim);
    TRY(buffers_new(t));
    TRY(trainer_plan_step(t));
    *out = t, t = NULL;
done:
    trainer_free(t);
    return st;
}

void trainer_free(trainer *t)
{
    if (!t) return;
    job_free(t->step);
    job_free(t->eval);
    job_free(t->eval_grad);
    for (int i = 0; i < 2; i++) job_free(t->rest[i]);
    job_free(t->gather);
    for (int k = 0; k <= MORE_MAX; k++) mem_free(t->ctx, t->batch_rows[k]);
    for (int32_t k = 0; k < t->tables; k++) trainer_vector_free(t, t->table[k]);
    for (int32_t i = 0; t->use && i < t->spec.space->n_uses; i++) trainer_use_memory_free(t, i);
    for (int32_t l = 0; t->slot && l < t->masks; l++)
        mem_free(t->ctx, t->slot[trainer_mask_ref(t, l).slot]);
    if (t->losses) t->slot[SLOT_LOSS] = t->losses;
    for (int k = SLOT_LR; t->slot && k <= SLOT_CORRECT; k++) mem_free(t->ctx, t->slot[k]);
    for (int k = SLOT_G; t->slot && k <= SLOT_HU; k++) trainer_vector_free(t, t->slot[k]);
    if (t->slot) trainer_vector_free(t, t->slot[SLOT_WGRAD]);
    if (t->slot) trainer_vector_free(t, t->slot[SLOT_PREVIOUS]);
    for (int i = 0; i < 2; i++)
        for (int32_t k = 0; k < t->vectors; k++) trainer_vector_free(t, t->state[i][k]);
    mem_free(t->ctx, t->slot);
    mem_free(t->ctx, t->use);
    mem_free(t->ctx, t->product);
    mem_free(t->ctx, t->draw);
    mem_free(t->ctx, t->stage);
    mem_free(t->ctx, t->grad_sum);
    mem_free(t->ctx, t->local);
    mem_free(t->ctx, t->asked);
    mem_free(t->ctx, t->index);
    mem_free(t->ctx, t->batch_labels);
    mem_free(t->ctx, t->mask_bits);
    mem_free(t->ctx, t->mask_size);
    mem_free(t->ctx, t);
}

const void *trainer_weights(const trainer *t)
{
    return t->state[t->now][0];
}

drmad_status trainer_read_buffer(trainer *t, int32_t k, const void **out)
{
    void *v;
    const drmad_status st = trainer_fetch(t, t->state[t->now][k], &v);

    *out = v;
    return st;
}

drmad_status trainer_read_weights(trainer *t, const void **out)
{
    return trainer_read_buffer(t, 0, out);
}

size_t trainer_bytes(const trainer *t)
{
    const size_t flat = (size_t)t->spec.params->total;
    size_t n = flat * ((size_t)(2 * t->vectors + 1) * t->size + 2 * sizeof(double));

    for (int i = 0; i < 3; i++) {
        const job *j = i == 0 ? t->step : i == 1 ? t->eval : t->eval_grad;
        if (j) n += program_bytes(j->prog);
    }
    return n;
}

/* A plan like the step's and a gradient; dense nets go over more rows at once. The peak of whole
 * trainings of dense and convolutional nets over the host driver was within it. */
size_t trainer_later_bytes(const trainer *t)
{
    const size_t flat = (size_t)t->spec.params->total * t->size,
                 step = program_bytes(t->step->prog);
    const size_t values = step > 2 * flat ? step - 2 * flat : 0; /* less w' and gradient */

    return step + flat + values / (size_t)t->spec.batch * (size_t)t->chunk;
}

int64_t trainer_step_macs(const trainer *t)
{
    return t->step->plan->counts.macs;
}

void trainer_explain(const trainer *t, void (*line)(void *user, const char *text), void *user)
{
    plan_explain(t->step->plan, line, user);
}

/* ---- one step's surroundings ---- */

const backend *train_backend(const train_spec *s)
{
    const backend *on = s->oracle ? s->oracle->on : s->on;

    return on ? on : &backend_cpu;
}

double train_base(const train_spec *s, hyper_kind k, int64_t step)
{
    switch (k) {
    case HYPER_LR: return schedule_at(&s->rate, step);
    case HYPER_MOMENTUM: return s->momentum;
    case HYPER_WEIGHT_DECAY: return s->weight_decay;
    case HYPER_BETA1: return s->beta1;
    case HYPER_BETA2: return s->beta2;
    case HYPER_EPS: return s->eps;
    case HYPER_CLIP: return s->clip;
    case HYPER_LR_PEAK: return s->rate.rate;
    case HYPER_LR_FINAL: return s->rate.final;
    case HYPER_LR_GAMMA: return s->rate.gamma;
    case HYPER_L2: return s->l2;
    case HYPER_L1: return s->l1;
    case HYPER_REGRESS: return s->regress.weight;
    case HYPER_LABEL_SMOOTHING: return s->label_smoothing;
    case HYPER_GCE_Q: return s->gce_q;
    case HYPER_LABEL_FLIP: return s->label_flip;
    case HYPER_DISTILL_WEIGHT: return s->distill_weight;
    case HYPER_DISTILL_TEMPERATURE: return s->distill_temperature;
    case HYPER_BRIGHTNESS: return s->brightness;
    case HYPER_CONTRAST: return s->contrast;
    case HYPER_ERASING: return s->erasing;
    case HYPER_NOISE: return s->noise;
    case HYPER_MIXUP: return s->mixup;
    case HYPER_INIT_SCALE: return s->init_scale;
    default: return 1;
    }
}

bool train_uses(const train_spec *s, hyper_kind k)
{
    return space_has(s->space, k) || train_base(s, k, 0) != 0;
}

hyper_at trainer_at(const trainer *t, const use_state *u, int64_t step)
{
    const train_spec *s = &t->spec;
    const double base = u->scaled ? 1 : train_base(s, u->use->kind, step);
    hyper_at at = {.t = step, .base = base, .type = u->type};

    if (u->by_row) {
        at.rows = s->space->slices[u->use->slice].per == PER_EXAMPLE ? t->local : t->batch_labels;
        at.n_rows = s->batch;
    }
    return at;
}

static drmad_status fill_leaves(trainer *t, int64_t step)
{
    drmad_status st = DRMAD_OK;

    for (int32_t i = 0; i < t->spec.space->n_uses; i++) {
        use_state *u = &t->use[i];
        const int64_t phase = space_phase(t->spec.space, u->use, step);

        if (!u->moving && phase == u->phase) continue;
        const hyper_at at = trainer_at(t, u, step);
        space_fetch(t->spec.space, u->use, &at, t->values, u->host[USE_VALUE]);
        TRY(trainer_send_use(t, i, USE_VALUE));
        u->phase = phase;
        u->filled++;
    }
done:
    return st;
}

bool trainer_fed(const trainer *t)
{
    return t->spec.train.feed && (t->spec.augment || !t->spec.train.rows);
}

/* The step's rows and which examples they show. */
static drmad_status take_batch(trainer *t, int64_t step)
{
    const train_spec *s = &t->spec;
    const feed_stream of = {.data = s->train.data,
                            .list = s->train.list,
                            .count = (int32_t)s->train.count,
                            .batch = (int32_t)s->batch,
                            .how = s->augment,
                            .order = s->order,
                            .steps = s->steps};
    feed_batch b;
    const drmad_status st = feed_take(s->train.feed, &of, t->seed, step, &b);

    if (st != DRMAD_OK) return st;
    memcpy(t->local, b.position, (size_t)s->batch * sizeof *t->local);
    t->slot[SLOT_ROWS] = (void *)(uintptr_t)b.rows;
    return DRMAD_OK;
}

/* The batch's rows of tables that are in host memory alone. */
static void take_rows(trainer *t)
{
    const examples *e = &t->spec.train;

    t->slot[SLOT_ROWS] = t->batch_rows[0];
    trainer_copy_rows(t->batch_rows[0], e->rows, (size_t)e->width * dtype_size(e->type), t->index,
                      t->spec.batch);
    for (int32_t k = 0; k < t->spec.model.n_more; k++) {
        if (!e->more[k]) continue;
        t->slot[SLOT_MORE + k] = t->batch_rows[1 + k];
        trainer_copy_rows(t->batch_rows[1 + k], e->more[k],
                          module_row_bytes(&t->spec.model.more[k]), t->index, t->spec.batch);
    }
}

/* Which examples the step's batch consists of. An oracle is asked only where something is tuned per
 * example. */
static drmad_status choose_batch(trainer *t, int64_t step)
{
    const train_spec *s = &t->spec;
    const int32_t batch = (int32_t)s->batch, count = (int32_t)s->train.count;
    drmad_status st = DRMAD_OK;

    if (s->oracle)
        return trainer_example_weights(t, USE_VALUE) ? trainer_ask_batch(t, step) : DRMAD_OK;
    for (int32_t k = 0; k < s->model.n_more; k++)
        t->slot[SLOT_MORE + k] = (void *)(uintptr_t)t->more[k];
    if (s->sources.batch) {
        TRY(trainer_ask_batch(t, step));
        t->slot[SLOT_ROWS] = (void *)(uintptr_t)t->rows;
    } else if (trainer_fed(t)) {
        TRY(take_batch(t, step));
    } else {
        batch_indices(s->order, t->seed, step, batch, count, t->local);
        t->slot[SLOT_ROWS] = (void *)(uintptr_t)t->rows;
    }
    for (int64_t i = 0; i < s->batch; i++) {
        t->index[i] = s->train.list[t->local[i]];
        t->batch_labels[i] = s->train.labels[t->local[i]];
    }
    if (t->travels) take_rows(t);
done:
    return st;
}

drmad_status trainer_prepare_eval(trainer *t)
{
    return fill_leaves(t, t->spec.steps - 1);
}

drmad_status trainer_prepare(trainer *t, int64_t step)
{
    const train_spec *s = &t->spec;
    drmad_status st = DRMAD_OK;

    TRY(choose_batch(t, step));
    TRY(fill_leaves(t, step));
    trainer_put(t, t->slot[SLOT_LR], 0, schedule_at(&s->rate, step));
    trainer_put(t, t->slot[SLOT_MU], 0, s->momentum);
    trainer_put(t, t->slot[SLOT_FADE], 0, trainer_fade(t, step));
    trainer_put(t, t->slot[SLOT_GAIN], 0, step + s->done > 0 ? 1 - s->optim.dampening : 1);
    *(double *)t->slot[SLOT_NUMBER + OPTIM_STEP] = (double)(step + s->done + 1);
    *(double *)t->slot[SLOT_NUMBER + OPTIM_PRODUCT] = t->product[step];
    t->slot[SLOT_LABELS] = t->batch_labels;
    t->slot[SLOT_INDEX] = t->index;
    t->key[0] = (int32_t)(uint32_t)t->seed, t->key[1] = (int32_t)(uint32_t)(t->seed >> 32);
    t->key[2] = (int32_t)step;
    t->slot[SLOT_KEY] = t->key;
done:
    return st;
}

void trainer_restart(trainer *t, const double *values, uint64_t seed)
{
    t->values = values;
    t->seed = seed;
    t->spec.rate = train_rate(&t->spec, t->spec.space, values);
    for (int32_t i = 0; i < t->spec.space->n_uses; i++) t->use[i].phase = -1;
}
