/* The loss of each row, from a loss that is one number: the last mean over the examples is taken
 * off. So example weights reach the rows, and the last chunk of an evaluation may be padded.
 *
 *   rows(mean x) = mean over all of x but its examples           where they have a place in x
 *   rows(sum x)  = B times the sum over all of x but those; in an evaluation B is the exported size
 *   rows(a + b)  = rows(a) + rows(b); of a number times a, the number times rows(a)
 *   rows(r)      = r for every row, where r has nothing to do with them: a regulariser
 *
 * What is no such mean (a contrastive loss) is all the batch's: every row gets it. */
#include "import/import.h"
#include "import/imported_places.h"
#include <string.h>

enum { VISITS_MAX = 4096, DEPTH_MAX = 64 };

typedef struct peel {
    lowering *l;
    places where;
    int32_t visits, depth;
} peel;

static bool is(const graph_op *n, const char *op)
{
    return strcmp(n->op, op) == 0;
}

static node rows_of(peel *p, operand o);

/* x, its examples behind `slower` elements, summed to [B, 1]. */
static node summed(peel *p, node x, int64_t slower, double scale)
{
    graph *g = p->l->g;
    const int64_t batch = p->l->batch;

    if (x == NODE_NONE) return NODE_NONE;
    const int64_t each = shape_count(graph_shape(g, x)) / (batch * slower);
    node rows = g_reshape(g, x, SHAPE(slower, batch, each));
    if (slower * each > 1) rows = g_sum(g, rows, 1u << 0 | 1u << 2);
    return g_scale(g, g_reshape(g, rows, SHAPE(batch, 1)), scale);
}

/* What a sum over the examples is over their mean. In an evaluation the exported batch's size,
 * whatever the chunk's, so that sizes of chunks do not matter. */
static double examples_of(const peel *p)
{
    return (double)(p->l->pass->train ? p->l->batch : p->l->f->batch);
}

/* Of sum and mean over everything. */
static node of_sum(peel *p, const graph_op *n, bool mean)
{
    const value *x = &p->l->v[n->in[0].at];
    const place at = p->where.at[n->in[0].at];
    const double batch = (double)p->l->batch;
    int64_t slower = at.slower;

    if (at.dim < 0) return NODE_NONE;
    for (int32_t i = 0; i < at.dim; i++) slower *= x->s.dim[i];
    const value real = as_real(p->l, x);
    return summed(p, plain(p->l, &real), slower,
                  mean ? batch / (double)shape_count(&x->s) : examples_of(p));
}

static node of_nll(peel *p, const graph_op *n)
{
    const value *x = &p->l->v[n->in[0].at];
    const place at = p->where.at[n->in[0].at], other = p->where.at[n->in[1].at];
    const double batch = (double)p->l->batch;

    if (at.dim != 0 || other.dim != 0 || at.slower != other.slower) return NODE_NONE;
    const bool mean = attr_int(p->l, "reduction", 1) == 1;
    node weight, rows = aten_nll_rows(p->l, &weight);
    if (mean && weight != NODE_NONE) return NODE_NONE; /* over what the batch's classes weigh */
    return summed(p, rows, at.slower, mean ? batch / (double)x->s.dim[0] : examples_of(p));
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
    const int rows = !over && p->where.by_rows[n->in[1].at] ? 1 : 0;
    if (p->where.by_rows[n->in[1 - rows].at]) return NODE_NONE;
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
    if (!p->where.by_rows[o.at]) return constant(p, o);
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
    peel p = {.l = l, .where.l = l};
    node rows = NODE_NONE;
    drmad_status st;

    *whole = false;
    TRY(mem_alloc(l->ctx, n, sizeof *p.where.by_rows, &p.where.by_rows));
    TRY(mem_alloc(l->ctx, n, sizeof *p.where.at, &p.where.at));
    places_find(&p.where);
    if (l->f->any) rows = rows_of(&p, l->part->loss);
    if (rows == NODE_NONE) *whole = true, rows = constant(&p, l->part->loss);
    TRY(graph_status(l->g));
    if (rows == NODE_NONE) {
        l->at = &(graph_op){.name = "loss", .op = "-", .module = ""};
        TRY(graph_refuse(l->f, l->at, "is not one number"));
    }
done:
    mem_free(l->ctx, p.where.by_rows);
    mem_free(l->ctx, p.where.at);
    return st == DRMAD_OK ? rows : graph_stop(l->g, st);
}
