/* Draws: functions of a key and a site (base/rng.h), so that a step is replayed by its key
 * alone. */
#include "ops/rules.h"

static bool draw_infer(graph *g, node_rec *rec)
{
    const node_rec *key = graph_rec(g, rec->in[0]);

    if (key->dtype != I32 || !shape_same(&key->shape, &SHAPE(4)))
        return op_bad(g, rec, "expected an i32[4] key");
    if (dtype_real(rec->dtype)) return true;
    return op_bad(g, rec, "to %s: expected f32 or f64", dtype_name((dtype)rec->dtype));
}

const op_def op_uniform = {
    .name = "uniform",
    .arity = 1,
    .kind = OP_NONDIFF,
    .infer = draw_infer,
};

const op_def op_normal = {
    .name = "normal",
    .arity = 1,
    .kind = OP_NONDIFF,
    .infer = draw_infer,
};

static node draw(graph *g, int32_t op, node key, uint32_t site, dtype t, shape s)
{
    return op_make(g, &(node_rec){.op = op,
                                  .dtype = (int32_t)t,
                                  .in = {key, NODE_NONE, NODE_NONE},
                                  .shape = s,
                                  .attr.n = site});
}

node g_uniform(graph *g, node key, uint32_t site, dtype t, shape s)
{
    return draw(g, OP_uniform, key, site, t, s);
}

node g_normal(graph *g, node key, uint32_t site, dtype t, shape s)
{
    return draw(g, OP_normal, key, site, t, s);
}
