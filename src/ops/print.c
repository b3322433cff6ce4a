/* The graph as text, one line a node. */
#include "ops/op.h"
#include <stdarg.h>
#include <stdio.h>

enum { LINE = 400 };

typedef struct text {
    char buf[LINE];
    size_t used;
} text;

static void put(text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void put(text *t, const char *fmt, ...)
{
    va_list ap;

    if (t->used >= sizeof t->buf) return;
    va_start(ap, fmt);
    t->used += (size_t)vsnprintf(t->buf + t->used, sizeof t->buf - t->used, fmt, ap);
    va_end(ap);
}

static void put_window(text *t, const window *v)
{
    put(t, " %dx%d", v->kernel[0], v->kernel[1]);
    put(t, " stride %d,%d pad %d,%d", v->stride[0], v->stride[1], v->pad[0], v->pad[1]);
    put(t, " dilation %d,%d groups %d", v->dilation[0], v->dilation[1], v->groups);
}

static void put_attr(text *t, const graph *g, const node_rec *r)
{
    switch (r->op) {
    case OP_leaf: put(t, " \"%s\"", graph_leaf_name(g, (int32_t)r->attr.n)); break;
    case OP_fill:
    case OP_scale: put(t, " %.9g", r->attr.f); break;
    case OP_slice:
    case OP_pad: put(t, " axis %d from %lld", r->attr.axis, (long long)r->attr.n); break;
    case OP_matmul: put(t, "%s%s", r->attr.ta ? " ta" : "", r->attr.tb ? " tb" : ""); break;
    case OP_conv:
    case OP_conv_dx:
    case OP_conv_dw:
    case OP_sumpool:
    case OP_spread:
    case OP_maxpool_arg: put_window(t, &r->attr.window); break;
    case OP_uniform:
    case OP_normal: put(t, " site %lld", (long long)r->attr.n); break;
    case OP_iota: put(t, " axis %d", r->attr.axis); break;
    case OP_sum:
        put(t, " axes");
        for (int i = 0; i < RANK_MAX; i++)
            if (r->attr.axes >> i & 1) put(t, " %d", i);
        break;
    case OP_permute:
        put(t, " to");
        for (int i = 0; i < r->shape.rank; i++) put(t, " %d", r->attr.perm[i]);
        break;
    default: break;
    }
}

static void print_node(const graph *g, node n, text *t)
{
    const node_rec *r = graph_rec(g, n);
    const op_def *def = op_get(r->op);
    char dims[128];

    t->used = 0;
    put(t, "%%%d = %s", n, def->name);
    for (int i = 0; i < def->arity; i++) put(t, "%s%%%d", i ? ", " : "(", r->in[i]);
    if (def->arity) put(t, ")");
    put_attr(t, g, r);
    put(t, " %s%s", dtype_name((dtype)r->dtype), shape_print(&r->shape, dims, sizeof dims));
}

drmad_status graph_print(const graph *g, const node *roots, int n,
                         void (*line)(void *user, const char *text), void *user)
{
    drmad_status st = DRMAD_OK;
    bool *need = NULL;
    text t;

    TRY(mem_alloc(graph_ctx(g), (size_t)graph_size(g), sizeof *need, &need));
    for (int i = 0; i < n; i++)
        if (roots[i] != NODE_NONE) need[roots[i]] = true;
    for (node v = graph_size(g) - 1; v >= 0; v--) {
        const node_rec *r = graph_rec(g, v);
        if (n == 0) need[v] = true;
        for (int i = 0; need[v] && i < op_get(r->op)->arity; i++) need[r->in[i]] = true;
    }
    for (node v = 0; v < graph_size(g); v++) {
        if (!need[v]) continue;
        print_node(g, v, &t);
        line(user, t.buf);
    }
done:
    mem_free(graph_ctx(g), need);
    return st;
}
