/* The plan of a training step: gradient, update in place, data loss, the sign masks if wanted. */
#include "ad/ad.h"
#include "train/trainer.h"

/* Bytes of an activation: below, half of it is not worth a pass over it in each direction. */
enum { HALF_LEAST = 64 << 10 };

/* The gradient reads activations as BF16 has kept them. */
static drmad_status keep_half(const trainer *t, const job *j, const net *n, node *grad)
{
    const int32_t tensors = t->spec.params->n;
    const size_t most = 2 + (size_t)tensors + (size_t)t->masks;
    drmad_status st = DRMAD_OK;
    ad_forward f = {.w = n->w, .parameters = tensors};
    node *y = NULL;

    TRY(mem_alloc(t->ctx, most, sizeof *y, &y));
    y[f.n++] = n->total;
    y[f.n++] = n->loss;
    for (int32_t i = 0; i < tensors; i++) y[f.n++] = n->next[i];
    for (int32_t l = 0; l < t->masks; l++) y[f.n++] = n->kinks[l];
    f.y = y;
    TRY(ad_keep_bf16(j->g, &f, HALF_LEAST, tensors, grad));
done:
    mem_free(t->ctx, y);
    return st;
}

drmad_status trainer_plan_step(trainer *t)
{
    const int32_t tensors = t->spec.params->n;
    drmad_status st = DRMAD_OK;
    net *n = NULL;
    node *grad = NULL;
    job *j;

    TRY(job_new(t->ctx, t->on, &t->step));
    j = t->step;
    TRY(net_new(t->ctx, t, &n));
    TRY(mem_alloc(t->ctx, (size_t)tensors, sizeof *grad, &grad));
    TRY(trainer_build_gradient(t, j, n, grad));
    if (t->spec.half) TRY(keep_half(t, j, n, grad));
    TRY(trainer_build_update(t, j, n, grad));
    if (n->loss != NODE_NONE) TRY(job_output(j, n->loss, (slot_ref){SLOT_LOSS, 0}, NODE_NONE));
    for (int32_t i = 0; i < tensors; i++) {
        const optim_step *o = &n->step[i];
        for (int32_t k = 0; k < trainer_vectors_of(t, i); k++)
            TRY(job_output(j, o->next[k], trainer_tensor_ref(t, SLOT_W_OUT + k, i),
                           o->in.state[k]));
    }
    for (int32_t l = 0; l < t->masks; l++)
        TRY(job_output(j, n->kinks[l], trainer_mask_ref(t, l), NODE_NONE));
    TRY(job_compile(j));
done:
    mem_free(t->ctx, grad);
    net_free(t->ctx, n);
    return st;
}
