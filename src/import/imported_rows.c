/* The loss of each row, from a loss that is one number: the last mean over the examples is taken
 * off. So example weights reach the rows, and the last chunk of an evaluation may be padded.
 *
 *   rows(mean x) = mean over all of x but its examples           x: examples slowest, along dim 0
 *   rows(sum x)  = B times the sum over all of x but those
 *   rows(a + b)  = rows(a) + rows(b); of a number times a, the number times rows(a)
 *   rows(r)      = r for every row, where r has nothing to do with them: a regulariser
 *
 * A value *leads* where its examples run slowest along its first dimension and its rows are each of
 * one example. What is no such mean (a contrastive loss) is all the batch's: every row gets it. */
#include "import/aten.h"
#include "import/import.h"
#include <string.h>

enum { VISITS_MAX = 4096, DEPTH_MAX = 64 };

typedef struct peel {
    lowering *l;
    bool *by_rows; /* by value: depends on examples */
    bool *leads;   /* by value */
    int32_t visits, depth;
} peel;

static bool is(const graph_op *n, const char *op)
{
    return strcmp(n->op, op) == 0;
}

/* ---- which values lead ---- */

/* An attribute about dimensions that names the first one. */
static bool names_first(lowering *l, const char *key)
{
    const int32_t rank = l->v[l->at->in[0].at].s.rank;
    int64_t d[RANK_MAX];
    const int32_t n = attr_ints(l, key, d, RANK_MAX);

    for (int32_t i = 0; i < n; i++)
        if (d[i] == 0 || d[i] == -rank) return true;
    return false;
}

/* Whether the operation keeps each example's row to itself. */
static bool keeps_rows(const peel *p)
{
    static const char *const along[] = {"slice",    "select",       "cat",  "gather",
                                        "_softmax", "_log_softmax", "amax", "logsumexp"};
    const graph_op *n = p->l->at;

    if (is(n, "permute")) {
        int64_t d[RANK_MAX];
        return attr_ints(p->l, "dims", d, RANK_MAX) > 0 && d[0] == 0;
    }
    if (is(n, "mm")) return !p->by_rows[n->in[1].at];
    if (is(n, "addmm")) return !p->by_rows[n->in[2].at];
    if (is(n, "convolution")) return !p->by_rows[n->in[1].at];
    for (size_t i = 0; i < COUNT(along); i++)
        if (is(n, along[i])) return attr_given(p->l, "dim") && !names_first(p->l, "dim");
    return true;
}

static void follow(peel *p)
{
    lowering *l = p->l;
    const graph_file *f = l->f;

    for (int32_t i = 0; i < f->n_inputs; i++)
        p->by_rows[i] = p->leads[i] =
            f->any && (f->input[i].role == INPUT_BATCH || f->input[i].role == INPUT_LABEL);
    for (int32_t i = 0; i < l->part->n; i++) {
        bool leads = true, by_rows = false;
        l->at = &l->part->node[i];
        for (int32_t k = 0; k < l->at->n_in; k++) {
            const int32_t at = l->at->in[k].at;
            if (at < 0 || !p->by_rows[at]) continue;
            by_rows = true;
            leads &= p->leads[at];
        }
        p->by_rows[f->n_inputs + i] = by_rows;
        p->leads[f->n_inputs + i] = by_rows && leads && l->at->size.batch == 1u && keeps_rows(p);
    }
}

/* ---- rows ---- */

static node rows_of(peel *p, operand o);

/* x as [B, m] summed to [B, 1]. */
static node summed(peel *p, node x, double scale)
{
    graph *g = p->l->g;
    const int64_t batch = p->l->batch;

    if (x == NODE_NONE) return NODE_NONE;
    const int64_t each = shape_count(graph_shape(g, x)) / batch;
    node rows = g_reshape(g, x, SHAPE(batch, each));
    return g_scale(g, each == 1 ? rows : g_sum(g, rows, 1u << 1), scale);
}

/* Of sum and mean over everything. */
static node of_sum(peel *p, const graph_op *n, bool mean)
{
    const value *x = &p->l->v[n->in[0].at];
    const double batch = (double)p->l->batch;

    if (!p->leads[n->in[0].at]) return NODE_NONE;
    const value real = as_real(p->l, x);
    return summed(p, plain(p->l, &real), mean ? batch / (double)shape_count(&x->s) : batch);
}

static node of_nll(peel *p, const graph_op *n)
{
    const value *x = &p->l->v[n->in[0].at], *labels = &p->l->v[n->in[1].at];
    const double batch = (double)p->l->batch;

    if (!p->leads[n->in[0].at] || !p->leads[n->in[1].at]) return NODE_NONE;
    const bool mean = attr_int(p->l, "reduction", 1) == 1;
    return summed(p, aten_nll_rows(p->l, x, labels), mean ? batch / (double)x->s.dim[0] : batch);
}

/* A number that has nothing to do with rows, for each of them. */
static node constant(peel *p, operand o)
{
    lowering *l = p->l;
    const value v = as_real(l, &l->v[o.at]);

    if (v.n == NODE_NONE || shape_count(&v.s) != 1) return NODE_NONE;
    node one = g_reshape(l->g, plain(l, &v), SHAPE(1, 1));
    return g_bcast(l->g, one, SHAPE(l->batch, 1));
}

/* a + sign alpha b */
static node of_sum_of_two(peel *p, const graph_op *n, double sign)
{
    graph *g = p->l->g;
    const double alpha = sign * attr_number(p->l, "alpha", 1);
    const double other = attr_number(p->l, "other", 0);
    node a = rows_of(p, n->in[0]);

    p->l->at = n;
    if (a == NODE_NONE) return NODE_NONE;
    if (n->n_in < 2)
        return g_add(g, a, g_fill(g, real_type(p->l), SHAPE(p->l->batch, 1), alpha * other));
    node b = rows_of(p, n->in[1]);
    return b == NODE_NONE ? b : g_add(g, a, g_scale(g, b, alpha));
}

/* a times or over what is the same for all rows */
static node of_product(peel *p, const graph_op *n, bool over)
{
    graph *g = p->l->g;
    const double other = attr_number(p->l, "other", 1);

    if (n->n_in < 2) {
        node a = rows_of(p, n->in[0]);
        return a == NODE_NONE ? a : g_scale(g, a, over ? 1 / other : other);
    }
    const int rows = !over && p->by_rows[n->in[1].at] ? 1 : 0;
    if (p->by_rows[n->in[1 - rows].at]) return NODE_NONE;
    node a = rows_of(p, n->in[rows]), c = constant(p, n->in[1 - rows]);
    if (a == NODE_NONE || c == NODE_NONE) return NODE_NONE;
    return g_mul(g, a, over ? g_recip(g, c) : c);
}

static node of_node(peel *p, const graph_op *n)
{
    lowering *l = p->l;

    l->at = n;
    if (n->n_in < 1 || n->in[0].at < 0) return NODE_NONE;
    if (is(n, "mean")) return of_sum(p, n, true);
    if (is(n, "sum")) return of_sum(p, n, false);
    if (is(n, "nll_loss_forward")) return of_nll(p, n);
    if (is(n, "add")) return of_sum_of_two(p, n, 1);
    if (is(n, "sub")) return of_sum_of_two(p, n, -1);
    if (is(n, "mul")) return of_product(p, n, false);
    if (is(n, "div")) return of_product(p, n, true);
    if (is(n, "neg")) {
        node a = rows_of(p, n->in[0]);
        return a == NODE_NONE ? a : g_neg(l->g, a);
    }
    if (is(n, "view") || is(n, "clone") || is(n, "squeeze") || is(n, "unsqueeze") ||
        is(n, "alias") || is(n, "_to_copy"))
        return rows_of(p, n->in[0]);
    return NODE_NONE;
}

static node rows_of(peel *p, operand o)
{
    const int32_t inputs = p->l->f->n_inputs;
    node rows = NODE_NONE;

    if (o.at < 0 || o.side != 0) return NODE_NONE;
    if (!p->by_rows[o.at]) return constant(p, o);
    if (o.at < inputs || p->visits >= VISITS_MAX || p->depth >= DEPTH_MAX) return NODE_NONE;
    if (shape_count(&p->l->v[o.at].s) != 1) return NODE_NONE;
    p->visits++, p->depth++;
    rows = of_node(p, &p->l->part->node[o.at - inputs]);
    p->depth--;
    return rows;
}

node import_rows(lowering *l, bool *whole)
{
    const size_t n = (size_t)(l->f->n_inputs + l->part->n);
    peel p = {.l = l};
    node rows = NODE_NONE;
    drmad_status st;

    *whole = false;
    TRY(mem_alloc(l->ctx, n, sizeof *p.by_rows, &p.by_rows));
    TRY(mem_alloc(l->ctx, n, sizeof *p.leads, &p.leads));
    follow(&p);
    if (l->f->any) rows = rows_of(&p, l->part->loss);
    if (rows == NODE_NONE) *whole = true, rows = constant(&p, l->part->loss);
    TRY(graph_status(l->g));
    if (rows == NODE_NONE) {
        l->at = &(graph_op){.name = "loss", .op = "-", .module = ""};
        TRY(graph_refuse(l->f, l->at, "is not one number"));
    }
done:
    mem_free(l->ctx, p.by_rows);
    mem_free(l->ctx, p.leads);
    return st == DRMAD_OK ? rows : graph_stop(l->g, st);
}
