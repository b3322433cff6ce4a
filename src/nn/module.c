/* A list of layers as a module. */
#include "nn/module.h"

static module_result build(graph *g, const module *m, const node *w, const module_batch *b,
                           const nn_pass *pass)
{
    const node z = nn_forward(g, m->layers, w, b->x, pass);
    module_result r = {nn_row_loss(g, b->loss, z, b->labels, b->doubt), NODE_NONE, z};

    if (!pass->train) r.correct = nn_row_correct(g, z, b->labels);
    return r;
}

static void draw(const module *m, const param_table *p, uint64_t seed, double *w)
{
    nn_draw(m->layers, p, seed, w);
}

static int64_t mask_size(const module *m, int32_t mask)
{
    const nn_spec *s = m->layers;
    int32_t i = 0;

    while (s->at[i].mask != mask) i++;
    return shape_count(&s->at[i].shape);
}

size_t module_row_bytes(const module_input *m)
{
    return (size_t)shape_count(&m->shape) * dtype_size(m->type);
}

module nn_module(const nn_spec *s)
{
    const shape *out = nn_output(s);

    return (module){.self = s,
                    .build = build,
                    .draw = draw,
                    .mask_size = mask_size,
                    .layers = s,
                    .input = s->input,
                    .classes = out->rank > 0 ? out->dim[out->rank - 1] : 1,
                    .macs = nn_macs(s),
                    .masks = s->masks,
                    .tokens = s->tokens,
                    .dense = s->dense,
                    .kinked = nn_kinked(s),
                    .drops = nn_draws_masks(s)};
}
