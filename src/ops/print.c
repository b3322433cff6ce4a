/* A graph as text, for people and for a caller's device. */
#include "ops/op.h"
#include <inttypes.h>
#include <string.h>

static void put_axes(text_out *t, const node_rec *r)
{
    const char *sep = " axes=";

    for (int i = 0; i < RANK_MAX; i++)
        if (r->attr.axes >> i & 1) text_say(t, "%s%d", sep, i), sep = ",";
}

static void put_pair(text_out *t, const char *name, const int32_t pair[2])
{
    text_say(t, " %s=%d,%d", name, pair[0], pair[1]);
}

static void put_window(text_out *t, const window *v)
{
    text_say(t, " size=%" PRId64 ",%" PRId64, v->size[0], v->size[1]);
    put_pair(t, "kernel", v->kernel);
    put_pair(t, "stride", v->stride);
    put_pair(t, "pad", v->pad);
    put_pair(t, "dilation", v->dilation);
    text_say(t, " groups=%d", v->groups);
}

static void put_permutation(text_out *t, const node_rec *r)
{
    for (int i = 0; i < r->shape.rank; i++)
        text_say(t, "%s%d", i ? "," : " perm=", r->attr.perm[i]);
}

static void put_attributes(text_out *t, const node_rec *r)
{
    uint64_t bits;

    memcpy(&bits, &r->attr.f, sizeof bits);
    switch (r->op) {
    case OP_leaf: text_say(t, " leaf=%" PRId64, r->attr.n); break;
    case OP_fill:
    case OP_scale: text_say(t, " f=%016" PRIx64, bits); break;
    case OP_slice:
    case OP_pad: text_say(t, " axis=%d from=%" PRId64, r->attr.axis, r->attr.n); break;
    case OP_matmul: text_say(t, "%s%s", r->attr.ta ? " ta" : "", r->attr.tb ? " tb" : ""); break;
    case OP_conv:
    case OP_conv_dx:
    case OP_conv_dw:
    case OP_sumpool:
    case OP_spread:
    case OP_maxpool_arg: put_window(t, &r->attr.window); break;
    case OP_uniform:
    case OP_normal: text_say(t, " site=%" PRId64, r->attr.n); break;
    case OP_iota: text_say(t, " axis=%d", r->attr.axis); break;
    case OP_sum: put_axes(t, r); break;
    case OP_permute: put_permutation(t, r); break;
    default: break;
    }
}

static void put_node(text_out *t, const graph *g, node v)
{
    const node_rec *r = graph_rec(g, v);
    const op_def *def = op_get(r->op);

    text_say(t, "%d %s %s ", v, def->name, dtype_name((dtype)r->dtype));
    for (int i = 0; i < r->shape.rank; i++)
        text_say(t, "%s%" PRId64, i ? "," : "", r->shape.dim[i]);
    text_put(t, r->shape.rank ? " " : "- ");
    for (int i = 0; i < def->arity; i++) text_say(t, "%s%d", i ? "," : "", r->in[i]);
    if (def->arity == 0) text_put(t, "-");
    put_attributes(t, r);
    text_put(t, "\n");
}

drmad_status graph_print(const graph *g, const node *roots, int n, text_out *t)
{
    drmad_status st = DRMAD_OK;
    bool *need = NULL;

    TRY(mem_alloc(graph_ctx(g), (size_t)graph_size(g) + 1, sizeof *need, &need));
    for (int i = 0; i < n; i++)
        if (roots[i] != NODE_NONE) need[roots[i]] = true;
    for (node v = graph_size(g) - 1; v >= 0; v--) {
        const node_rec *r = graph_rec(g, v);
        for (int i = 0; need[v] && i < op_get(r->op)->arity; i++) need[r->in[i]] = true;
    }
    for (node v = 0; v < graph_size(g); v++)
        if (need[v]) put_node(t, g, v);
    TRY(t->st);
done:
    mem_free(graph_ctx(g), need);
    return st;
}
