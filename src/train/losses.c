/* The data loss of a training step, made of what the study asks for (an evaluation has the plain
 * loss of the output alone):
 *
 *   row   L(z, y), with a teacher (1 - d) L(z, y) + d D(z, teacher's), a distillation
 *         + sum over the auxiliary heads of a_k L(z_k, y)
 *   all   the mean over the batch of row times the weights of its example and its class */
#include "train/trainer.h"

/* Row losses times a weight: one number, or one for each row of the batch. */
static node weigh(trainer *t, job *j, node rows, node weight)
{
    const int64_t batch = t->spec.batch;

    if (weight == NODE_NONE || rows == NODE_NONE) return rows;
    if (shape_count(graph_shape(j->g, weight)) == batch)
        weight = g_reshape(j->g, weight, SHAPE(batch, 1));
    else weight = g_bcast(j->g, g_reshape(j->g, weight, SHAPE(1, 1)), SHAPE(batch, 1));
    return g_mul(j->g, rows, weight);
}

/* Labels in doubt, as the study and the space have it. */
static nn_doubt doubt_of(trainer *t, job *j, net *n)
{
    const train_spec *s = &t->spec;

    return (nn_doubt){.smoothing =
                          trainer_leaf_or(t, j, n, HYPER_LABEL_SMOOTHING, -1, s->label_smoothing),
                      .gce = trainer_leaf_or(t, j, n, HYPER_GCE_Q, -1, s->gce_q),
                      .flips = trainer_leaf_or(t, j, n, HYPER_LABEL_FLIP, -1, s->label_flip)};
}

/* The teacher saw each example as it is, whatever varies it here. */
static node distil(trainer *t, job *j, net *n, node z, node rows)
{
    const train_spec *s = &t->spec;
    const double share = train_base(s, HYPER_DISTILL_WEIGHT, 0);
    const double heat = train_base(s, HYPER_DISTILL_TEMPERATURE, 0);

    if (!s->distil || z == NODE_NONE) return rows;
    const int64_t outputs = graph_shape(j->g, z)->dim[1];
    node table =
        job_leaf(j, "teacher", s->dtype, SHAPE(s->train.n, outputs), (slot_ref){SLOT_TEACHER, 0});
    node index = trainer_index(t, j, n);
    node temperature = trainer_leaf_or(t, j, n, HYPER_DISTILL_TEMPERATURE, -1, heat);
    node weight = trainer_leaf_or(t, j, n, HYPER_DISTILL_WEIGHT, -1, share);
    if (weight == NODE_NONE) return rows;
    node soft = nn_row_distillation(j->g, z, g_gather(j->g, table, index), temperature);
    return g_add(j->g, rows, weigh(t, j, g_sub(j->g, soft, rows), weight));
}

static node add_heads(trainer *t, job *j, net *n, const nn_pass *pass, const module_batch *b,
                      node rows)
{
    const nn_spec *layers = t->spec.model.layers;

    for (int32_t i = 0; layers && i < layers->n; i++) {
        const nn_layer *l = &layers->at[i];

        if (!nn_is_head(l)) continue;
        node loss = nn_row_loss(j->g, b->loss, pass->outputs[i], b->labels, b->doubt);
        node weight = trainer_leaf_or(t, j, n, HYPER_AUXILIARY, l->site, l->weight);
        rows = g_add(j->g, rows, weigh(t, j, loss, weight));
    }
    return rows;
}

node trainer_losses(trainer *t, job *j, net *n, const nn_pass *pass, module_batch *b)
{
    const train_spec *s = &t->spec;
    const nn_doubt doubt = doubt_of(t, j, n);

    b->doubt = &doubt;
    const module_result r = s->model.build(j->g, &s->model, n->w, b, pass);
    node rows = r.rows;

    n->loss = g_scale(j->g, g_sum_all(j->g, rows), 1.0 / (double)s->batch);
    rows = distil(t, j, n, r.z, rows);
    rows = add_heads(t, j, n, pass, b, rows);
    b->doubt = NULL;
    rows = weigh(t, j, rows, trainer_use_leaf(t, j, n, HYPER_EXAMPLE_WEIGHT, -1));
    return weigh(t, j, rows, trainer_use_leaf(t, j, n, HYPER_LOSS_WEIGHT, -1));
}
