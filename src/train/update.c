/* The optimiser's part of a training graph: clipping, hyperparameter leaves, one fragment a
 * tensor; and the base schedule as far as the space tunes it. */
#include "train/trainer.h"

/* ---- the base schedule ---- */

static const hyper_kind schedule_kinds[] = {HYPER_LR_PEAK, HYPER_LR_FINAL, HYPER_LR_GAMMA};

/* Where h has it; -1 where nothing is tuned. */
static int64_t place_of(const space *s, hyper_kind k)
{
    const hyper_use *u = space_find(s, k, -1);

    return u ? s->slices[u->slice].offset : -1;
}

schedule train_rate(const train_spec *s, const space *sp, const double *values)
{
    schedule r = s->rate;
    double *const to[] = {&r.rate, &r.final, &r.gamma};

    for (size_t i = 0; i < COUNT(schedule_kinds); i++) {
        const int64_t at = place_of(sp, schedule_kinds[i]);
        if (at >= 0) *to[i] = values[at];
    }
    return r;
}

bool trainer_tunes_schedule(const trainer *t)
{
    for (size_t i = 0; i < COUNT(schedule_kinds); i++)
        if (place_of(t->spec.space, schedule_kinds[i]) >= 0) return true;
    return false;
}

void trainer_scatter_rate(const trainer *t, int64_t step, double cot, double *gvalues)
{
    const schedule_slope d = schedule_slope_at(&t->spec.rate, step);
    const double by[] = {d.rate, d.final, d.gamma};

    for (size_t i = 0; i < COUNT(schedule_kinds); i++) {
        const int64_t at = place_of(t->spec.space, schedule_kinds[i]);
        if (at >= 0) gvalues[at] += by[i] * cot;
    }
}

double trainer_rate_tangent(const trainer *t, int64_t step, const double *direction)
{
    const schedule_slope d = schedule_slope_at(&t->spec.rate, step);
    const double by[] = {d.rate, d.final, d.gamma};
    double sum = 0;

    for (size_t i = 0; i < COUNT(schedule_kinds); i++) {
        const int64_t at = place_of(t->spec.space, schedule_kinds[i]);
        if (at >= 0) sum += by[i] * direction[at];
    }
    return sum;
}

/* Whether tensor i's rate is the base schedule or a multiple of it. */
static bool scheduled(const train_spec *s, int32_t i)
{
    const hyper_use *u = space_find(s->space, HYPER_LR, i);

    if (s->params->at[i].role == PARAM_STAT) return false;
    return !u || s->space->slices[u->slice].multiplier;
}

bool trainer_follows(const trainer *t, int32_t tensor)
{
    return t->spec.params->at[tensor].role != PARAM_STAT &&
           space_find(t->spec.space, HYPER_LR, tensor) == NULL;
}

/* ---- what the optimiser does not have ---- */

/* Whether the host cannot see what a single step gives the base rate. */
static bool cotangents_stay(const train_spec *s)
{
    const backend *on = train_backend(s);
    bool stay = !on->host && !on->mixed;

    for (int32_t i = 0; i < s->space->n_uses; i++) {
        const hyper_use *u = &s->space->uses[i];
        const bool multiplies = u->kind == HYPER_LR && s->space->slices[u->slice].multiplier;
        stay = stay || (multiplies && train_sums(s, u));
    }
    return stay;
}

static drmad_status check_schedule(drmad_ctx *ctx, const train_spec *s)
{
    bool any = false;

    for (int32_t i = 0; i < s->params->n; i++) any = any || scheduled(s, i);
    for (size_t i = 0; i < COUNT(schedule_kinds); i++) {
        const char *word = hyper_kind_of(schedule_kinds[i])->word;
        if (!space_has(s->space, schedule_kinds[i])) continue;
        if (!any)
            return FAIL(ctx, DRMAD_E_CONFIG,
                        "%s: no learning rate follows the base schedule; every one is tuned itself",
                        word);
        if (s->rate.kind == SCHEDULE_TABLE && schedule_kinds[i] != HYPER_LR_PEAK)
            return FAIL(ctx, DRMAD_E_CONFIG, "%s: the schedule is a table of factors", word);
        if (cotangents_stay(s))
            return FAIL(ctx, DRMAD_E_CONFIG,
                        "%s: cotangents of single steps stay on the model's device; tune lr, as a "
                        "multiplier, in phases",
                        word);
    }
    return DRMAD_OK;
}

drmad_status trainer_check_update(drmad_ctx *ctx, const train_spec *s)
{
    drmad_status st = optim_check(ctx, &s->optim);

    for (int h = 0; st == DRMAD_OK && h < OPTIM_HYPERS; h++) {
        const hyper_kind k = optim_kind_of((optim_hyper)h);
        if (space_has(s->space, k) && !optim_reads(&s->optim, (optim_hyper)h))
            return FAIL(ctx, DRMAD_E_CONFIG, "%s: the optimiser has none", hyper_kind_of(k)->word);
    }
    if (st == DRMAD_OK && space_has(s->space, HYPER_CLIP) && s->optim.clip == CLIP_NONE)
        return FAIL(ctx, DRMAD_E_CONFIG, "clip: nothing is clipped");
    return st == DRMAD_OK ? check_schedule(ctx, s) : st;
}

/* ---- the graph ---- */

/* The rate's leaf, times the base rate where the leaf holds none of it. */
static node tuned_rate(trainer *t, job *j, net *n, int32_t tensor)
{
    const hyper_use *u = space_find(t->spec.space, HYPER_LR, tensor);
    node leaf = trainer_use_leaf(t, j, n, HYPER_LR, tensor);

    if (!u || !t->use[u - t->spec.space->uses].scaled) return leaf;
    return g_mul(j->g, leaf, trainer_base_leaf(t, j, graph_shape(j->g, leaf)));
}

node trainer_base_leaf(trainer *t, job *j, const shape *s)
{
    const shape to = *s;
    node base =
        job_leaf(j, "base rate", t->spec.dtype, shape_ones(to.rank), (slot_ref){SLOT_LR, 0});

    return g_bcast(j->g, base, to);
}

/* The leaf of hyperparameter h where the space has one, else what its constant is. */
static node hyper_node(trainer *t, job *j, net *n, optim_hyper h, int32_t tensor)
{
    const train_spec *s = &t->spec;
    const hyper_kind k = optim_kind_of(h);
    const shape one = shape_ones(s->params->at[tensor].shape.rank);
    const node leaf =
        h == OPTIM_LR ? tuned_rate(t, j, n, tensor) : trainer_use_leaf(t, j, n, k, tensor);
    const double value = h == OPTIM_LR ? 0 : train_base(s, k, 0);

    if (leaf != NODE_NONE) return leaf;
    if (h == OPTIM_LR) return job_leaf(j, "lr", s->dtype, one, (slot_ref){SLOT_LR, 0});
    if (h == OPTIM_MOMENTUM) return job_leaf(j, "mu", s->dtype, one, (slot_ref){SLOT_MU, 0});
    if (h == OPTIM_DECAY && value == 0) return NODE_NONE;
    return g_fill(j->g, optim_type(k, s->dtype), one, value);
}

/* Of rank 1; one leaf serves all tensors, so that what follows from it is computed once a rank. */
static void number_leaves(trainer *t, job *j, const net *n, node number[OPTIM_NUMBERS])
{
    static const char *const names[OPTIM_NUMBERS] = {"c", "steps done", "product"};
    const optim_spec *o = &t->spec.optim;
    const bool sgd = o->kind == OPTIM_SGD, gain = o->buffer && (o->dampening != 0 || n->strided);
    const bool wanted[OPTIM_NUMBERS] = {sgd && gain, !sgd, o->kind == OPTIM_NADAM};

    for (int k = 0; k < OPTIM_NUMBERS; k++) {
        const dtype type = k == OPTIM_GAIN ? t->spec.dtype : F64;
        number[k] = wanted[k]
                        ? job_leaf(j, names[k], type, SHAPE(1), (slot_ref){SLOT_NUMBER + k, 0})
                        : NODE_NONE;
    }
}

static node clip_threshold(trainer *t, job *j, net *n)
{
    const node leaf = trainer_use_leaf(t, j, n, HYPER_CLIP, -1);

    return leaf != NODE_NONE ? leaf : g_fill(j->g, t->spec.dtype, SHAPE(1), t->spec.clip);
}

/* A running statistic, which no optimiser moves: its next value is the net's. */
static optim_step kept(const net *n, int32_t tensor, const optim_in *in)
{
    optim_step st = {.in = *in, .p = NODE_NONE, .s = NODE_NONE};

    for (int k = 0; k < OPTIM_VECTORS; k++) st.next[k] = k == 0 ? n->next[tensor] : NODE_NONE;
    return st;
}

drmad_status trainer_build_update(trainer *t, job *j, net *n, const node *grad)
{
    const train_spec *s = &t->spec;
    const node at = s->optim.clip != CLIP_NONE ? clip_threshold(t, j, n) : NODE_NONE;

    node number[OPTIM_NUMBERS];

    number_leaves(t, j, n, number);
    for (int32_t i = 0; i < s->params->n; i++)
        n->clipped[i] = s->params->at[i].role == PARAM_STAT ? NODE_NONE : grad[i];
    optim_clip_build(j->g, &s->optim, s->params->n, at, n->clipped);
    for (int32_t i = 0; i < s->params->n; i++) {
        const param *p = &s->params->at[i];
        optim_in in = optim_nothing();

        in.g = n->clipped[i];
        in.state[0] = n->w[i];
        if (p->role == PARAM_STAT) {
            n->step[i] = kept(n, i, &in);
            continue;
        }
        for (int32_t k = 1; k < t->vectors; k++)
            in.state[k] =
                job_leaf(j, p->name, s->dtype, p->shape, trainer_tensor_ref(t, SLOT_W + k, i));
        for (int k = 0; k < OPTIM_HYPERS; k++)
            if (optim_reads(&s->optim, (optim_hyper)k))
                in.h[k] = hyper_node(t, j, n, (optim_hyper)k, i);
        for (int k = 0; k < OPTIM_NUMBERS; k++)
            if (number[k] != NODE_NONE)
                in.number[k] = g_reshape(j->g, number[k], shape_ones(p->shape.rank));
        n->step[i] = optim_build(j->g, &s->optim, &in);
    }
    return graph_status(j->g);
}
