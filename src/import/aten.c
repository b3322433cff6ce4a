/* The table of operations, and the walk over the nodes. */
#include "import/aten.h"
#include <stdio.h>
#include <string.h>

typedef struct aten_def {
    const char *name;
    aten_fn *lower;
    bool kinked;
} aten_def;

static const aten_def table[] = {
    {"add", aten_add, false},
    {"sub", aten_sub, false},
    {"rsub", aten_rsub, false},
    {"mul", aten_mul, false},
    {"div", aten_div, false},
    {"maximum", aten_maximum, true},
    {"minimum", aten_minimum, true},
    {"pow", aten_pow, false},
    {"neg", aten_neg, false},
    {"exp", aten_exp, false},
    {"log", aten_log, false},
    {"log1p", aten_log1p, false},
    {"sqrt", aten_sqrt, false},
    {"rsqrt", aten_rsqrt, false},
    {"reciprocal", aten_reciprocal, false},
    {"abs", aten_abs, true},
    {"sign", aten_sign, true},
    {"erf", aten_erf, false},
    {"tanh", aten_tanh, false},
    {"sigmoid", aten_sigmoid, false},
    {"relu", aten_relu, true},
    {"silu", aten_silu, false},
    {"gelu", aten_gelu, false},
    {"softplus", aten_softplus, false},
    {"elu", aten_elu, true},
    {"leaky_relu", aten_leaky_relu, true},
    {"hardtanh", aten_hardtanh, true},
    {"clamp", aten_clamp, true},
    {"eq", aten_eq, true},
    {"ne", aten_ne, true},
    {"lt", aten_lt, true},
    {"le", aten_le, true},
    {"gt", aten_gt, true},
    {"ge", aten_ge, true},
    {"logical_not", aten_logical_not, false},
    {"logical_and", aten_logical_and, false},
    {"logical_or", aten_logical_or, false},
    {"where", aten_where, false},
    {"mm", aten_mm, false},
    {"bmm", aten_bmm, false},
    {"addmm", aten_addmm, false},
    {"baddbmm", aten_addmm, false},
    {"convolution", aten_convolution, false},
    {"native_batch_norm", aten_batch_norm, false},
    {"native_layer_norm", aten_layer_norm, false},
    {"native_group_norm", aten_group_norm, false},
    {"native_dropout", aten_dropout, false},
    {"embedding", aten_embedding, false},
    {"_softmax", aten_softmax, false},
    {"_log_softmax", aten_log_softmax, false},
    {"nll_loss_forward", aten_nll_loss, false},
    {"max_pool2d_with_indices", aten_max_pool, true},
    {"avg_pool2d", aten_avg_pool, false},
    {"_adaptive_avg_pool2d", aten_adaptive_pool, false},
    {"sum", aten_sum, false},
    {"mean", aten_mean, false},
    {"var", aten_var, false},
    {"logsumexp", aten_logsumexp, false},
    {"amax", aten_amax, true},
    {"view", aten_view, false},
    {"_unsafe_view", aten_view, false},
    {"unsqueeze", aten_view, false},
    {"squeeze", aten_view, false},
    {"clone", aten_view, false},
    {"alias", aten_view, false},
    {"permute", aten_permute, false},
    {"expand", aten_expand, false},
    {"slice", aten_slice, false},
    {"select", aten_select, false},
    {"cat", aten_cat, false},
    {"gather", aten_gather, false},
    {"constant_pad_nd", aten_pad, false},
    {"full", aten_full, false},
    {"_to_copy", aten_to_copy, false},
};

int32_t aten_find(const char *op)
{
    for (int32_t i = 0; i < (int32_t)COUNT(table); i++)
        if (strcmp(table[i].name, op) == 0) return i;
    return -1;
}

const char *aten_name(int32_t def)
{
    return def < (int32_t)COUNT(table) ? table[def].name : NULL;
}

bool aten_kinked(int32_t def)
{
    return table[def].kinked;
}

bool aten_drops(int32_t def)
{
    return table[def].lower == aten_dropout;
}

bool aten_masked(const graph_op *n)
{
    return table[n->def].lower == aten_relu && n->size.of_one.rank == 2;
}

/* The node's other outputs are read only where there are some. */
static drmad_status check_sides(lowering *l)
{
    const graph_op *n = l->at;

    for (int32_t i = 0; i < n->n_in; i++) {
        const operand *o = &n->in[i];
        if (o->side != 0)
            return graph_refuse(l->f, n,
                                "operand %d is output %d of a node; they are for `buffers`", (int)i,
                                (int)o->side);
    }
    return DRMAD_OK;
}

/* A builder's own error has no node's name yet. */
static drmad_status named(lowering *l, drmad_status st)
{
    char text[sizeof l->ctx->errmsg];

    if (st != DRMAD_E_MODEL || strstr(l->ctx->errmsg, l->f->path) == l->ctx->errmsg) return st;
    snprintf(text, sizeof text, "%s", l->ctx->errmsg);
    return graph_refuse(l->f, l->at, "%.600s", text);
}

static drmad_status check_result(lowering *l, const value *v)
{
    const shape want = stated(l);
    char a[96], b[96];

    if (v->n == NODE_NONE) return graph_refuse(l->f, l->at, "gives no value");
    if (!shape_same(&v->s, &want))
        return graph_refuse(l->f, l->at, "gives %s, the file states %s",
                            shape_print(&v->s, a, sizeof a), shape_print(&want, b, sizeof b));
    if (v->type != l->at->type)
        return graph_refuse(l->f, l->at, "gives another type of numbers than the file states");
    return DRMAD_OK;
}

/* The stated shape for this batch: PyTorch's, unless it overflows. */
static drmad_status check_stated(lowering *l)
{
    const shape s = stated(l);
    size_t bytes;

    if (shape_bytes(&s, F64, &bytes) && bytes > 0) return DRMAD_OK;
    return graph_refuse(l->f, l->at, "has no elements, or too many, in batches of %lld",
                        (long long)l->batch);
}

drmad_status aten_lower(lowering *l)
{
    drmad_status st = DRMAD_OK;

    for (int32_t i = 0; i < l->part->n; i++) {
        value *v = &l->v[l->f->n_inputs + i];
        l->at = &l->part->node[i];
        TRY(check_sides(l));
        TRY(check_stated(l));
        *v = table[l->at->def].lower(l);
        st = graph_status(l->g);
        if (st != DRMAD_OK) return named(l, st);
        TRY(check_result(l, v));
    }
done:
    return st;
}
