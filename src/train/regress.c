/* Acceleration by regression (DESIGN section 9): a term that pulls the net towards w', the trained
 * net of the meta-step before, and fades with the steps:
 *
 *   fade_t sum over l of c_l/2 mean |a_l(w) - a_l(w')|^2    activations, on the step's batch
 *   fade_t sum over l of c_l/2 |w_l - w'_l|^2               weights
 *
 * a_l is what layer l gives behind the norms, the activation and the dropout that follow it alone.
 * w' is a constant: activations cost a forward pass more in every plan that has the loss in it.
 * Without a w' the fade is 0. Checked: tests/hyper/test_regress.c. */
#include "train/trainer.h"

static bool follows(const nn_spec *s, int32_t layer, int32_t of)
{
    return layer < s->n && s->at[layer].inputs == 1 && s->at[layer].from[0] == of;
}

static bool is_activation(nn_kind k)
{
    return k == NN_RELU || k == NN_TANH || k == NN_SIGMOID || k == NN_SOFTPLUS || k == NN_GELU ||
           k == NN_SILU;
}

static bool is_passive(nn_kind k)
{
    return k == NN_BATCH_NORM || k == NN_LAYER_NORM || k == NN_GROUP_NORM || k == NN_DROPOUT;
}

/* The layer whose output stands for what layer i gives. */
static int32_t last_of(const nn_spec *s, int32_t i)
{
    while (follows(s, i + 1, i) && is_passive(s->at[i + 1].kind)) i++;
    if (follows(s, i + 1, i) && is_activation(s->at[i + 1].kind)) i++;
    return i;
}

static node number(graph *g, node x)
{
    return g_reshape(g, x, SHAPE(1, 1));
}

static node add_term(graph *g, node total, node term)
{
    return total == NODE_NONE ? term : g_add(g, total, term);
}

static node towards_activations(trainer *t, job *j, net *n, const node *own, const node *theirs)
{
    const nn_spec *s = t->spec.model.layers;
    graph *g = j->g;
    node total = NODE_NONE;

    for (int32_t i = 0; i < s->n; i++) {
        const int32_t tensor = s->at[i].first, at = last_of(s, i);
        if (s->at[i].tensors == 0 || t->spec.params->at[tensor].role != PARAM_WEIGHT) continue;
        node c = trainer_leaf_or(t, j, n, HYPER_REGRESS, tensor, t->spec.regress.weight);
        if (c == NODE_NONE || own[at] == NODE_NONE) continue;
        node off = g_sub(g, own[at], theirs[at]);
        const double share = 0.5 / (double)shape_count(graph_shape(g, off));
        node square = g_scale(g, number(g, g_dot(g, off, off)), share);
        total = add_term(g, total, g_mul(g, number(g, c), square));
    }
    return total;
}

static node towards_weights(trainer *t, job *j, net *n, const node *previous)
{
    graph *g = j->g;
    node total = NODE_NONE;

    for (int32_t i = 0; i < t->spec.params->n; i++) {
        const bool weight = t->spec.params->at[i].role == PARAM_WEIGHT;
        node c = trainer_leaf_or(t, j, n, HYPER_REGRESS, i, weight ? t->spec.regress.weight : 0);
        if (c == NODE_NONE) continue;
        total = add_term(g, total, nn_l2(g, g_sub(g, n->w[i], previous[i]), c));
    }
    return total;
}

drmad_status trainer_regression(trainer *t, job *j, net *n, node x, const nn_pass *pass,
                                node *total)
{
    const train_spec *s = &t->spec;
    nn_pass theirs = {
        .train = true, .key = pass ? pass->key : NODE_NONE, .rates = pass ? pass->rates : NULL};
    drmad_status st = DRMAD_OK;
    node *previous = NULL, *outputs = NULL, term;

    if (s->regress.to == REGRESS_NONE) return DRMAD_OK;
    TRY(mem_alloc(t->ctx, (size_t)s->params->n, sizeof *previous, &previous));
    for (int32_t i = 0; i < s->params->n; i++)
        previous[i] = job_leaf(j, "previous", s->dtype, s->params->at[i].shape,
                               trainer_tensor_ref(t, SLOT_PREVIOUS, i));
    if (s->regress.to == REGRESS_WEIGHTS) {
        term = towards_weights(t, j, n, previous);
    } else {
        TRY(mem_alloc(t->ctx, (size_t)s->model.layers->n, sizeof *outputs, &outputs));
        theirs.outputs = outputs;
        nn_forward(j->g, s->model.layers, previous, x, &theirs);
        term = towards_activations(t, j, n, pass->outputs, outputs);
    }
    if (term == NODE_NONE) goto done;
    node fade = job_leaf(j, "fade", s->dtype, SHAPE(1, 1), (slot_ref){SLOT_FADE, 0});
    *total = add_term(j->g, *total, g_mul(j->g, fade, term));
    st = graph_status(j->g);
done:
    mem_free(t->ctx, previous);
    mem_free(t->ctx, outputs);
    return st;
}

double trainer_fade(const trainer *t, int64_t step)
{
    const double end = t->spec.regress.until * (double)t->spec.steps;

    if (!t->pulled) return 0;
    if (end == 0) return 1;
    return (double)step < end ? 1 - (double)step / end : 0;
}

drmad_status trainer_pull(trainer *t, const double *w)
{
    drmad_status st = DRMAD_OK;
    void *to;

    t->pulled = w != NULL;
    if (!w) return DRMAD_OK;
    TRY(trainer_stage(t, t->slot[SLOT_PREVIOUS], &to));
    for (int64_t i = 0; i < t->spec.params->total; i++) trainer_put(t, to, i, w[i]);
    TRY(trainer_send(t, t->slot[SLOT_PREVIOUS]));
done:
    return st;
}
