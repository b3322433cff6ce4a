/* Values: how they lie, and how they are brought to lie otherwise. */
#include "import/aten.h"
#include <stdarg.h>
#include <stdio.h>

value no_value(void)
{
    return (value){
        .n = NODE_NONE, .logits = NODE_NONE, .side = {NODE_NONE, NODE_NONE}, .s = {.rank = 0}};
}

value aten_refuse(lowering *l, const char *fmt, ...)
{
    char text[640];
    va_list args;

    if (graph_status(l->g) == DRMAD_OK) {
        va_start(args, fmt);
        vsnprintf(text, sizeof text, fmt, args);
        va_end(args);
        graph_stop(l->g, graph_refuse(l->f, l->at, "%s", text));
    }
    return no_value();
}

dtype real_type(const lowering *l)
{
    return l->f->dtype;
}

value value_of(node n, shape s, number_type type)
{
    value v = no_value();

    v.n = n, v.s = s, v.type = type;
    for (int32_t i = 0; i < s.rank; i++) v.at[i] = i;
    return v;
}

value with_node(const value *v, node n)
{
    value out = *v;

    out.n = n, out.type = NUMBER_REAL, out.logits = NODE_NONE;
    out.side[0] = out.side[1] = NODE_NONE;
    return out;
}

bool has_operand(const lowering *l, int i)
{
    return i < l->at->n_in && l->at->in[i].at >= 0;
}

const value *operand_of(const lowering *l, int i)
{
    return &l->v[l->at->in[i].at];
}

shape stated(const lowering *l)
{
    return sized_at(&l->at->size, l->batch);
}

/* ---- layouts ---- */

/* The order of v's node dimensions that makes the layout `at`, and the lengths then. Gives whether
 * elements change places. */
static bool order_for(const lowering *l, const value *v, const int32_t *at, int32_t rank,
                      int32_t *perm, shape *lengths)
{
    const shape lies = *graph_shape(l->g, v->n);
    const int32_t before = rank - v->s.rank; /* dimensions of length 1 that are put in front */
    int32_t of[RANK_MAX], last = -1, k = 0;
    bool moved = false;

    for (int32_t i = 0; i < rank; i++) of[at[i]] = i;
    *lengths = shape_ones(rank);
    for (int32_t p = 0; p < rank; p++) {
        if (of[p] < before) continue;
        const int32_t from = v->at[of[p] - before];
        perm[k++] = from;
        lengths->dim[p] = lies.dim[from];
        if (lies.dim[from] == 1) continue;
        moved |= from < last;
        last = from;
    }
    return moved;
}

node laid_out(lowering *l, const value *v, const int32_t *at, shape mem)
{
    int32_t perm[RANK_MAX];
    shape lengths;

    if (v->n == NODE_NONE) return NODE_NONE;
    const bool moved = order_for(l, v, at, mem.rank, perm, &lengths);
    node n = moved ? g_permute(l->g, v->n, perm) : v->n;
    return g_bcast(l->g, g_reshape(l->g, n, lengths), mem);
}

static const int32_t as_is[RANK_MAX] = {0, 1, 2, 3, 4, 5};

node plain(lowering *l, const value *v)
{
    return laid_out(l, v, as_is, v->s);
}

/* Where dimension i of `rank` lies with `dim` as the last. */
static int32_t place_of(int32_t i, int32_t dim, int32_t rank)
{
    return i == dim ? rank - 1 : i - (i > dim);
}

/* The layout with dimension `dim` last: *mem takes the shape. */
static void last_at(const shape *s, int32_t dim, int32_t *at, shape *mem)
{
    *mem = (shape){.rank = s->rank};
    for (int32_t i = 0; i < s->rank; i++) {
        at[i] = place_of(i, dim, s->rank);
        mem->dim[at[i]] = s->dim[i];
    }
}

node dimension_last(lowering *l, const value *v, int32_t dim)
{
    int32_t at[RANK_MAX];
    shape mem;

    last_at(&v->s, dim, at, &mem);
    return laid_out(l, v, at, mem);
}

value from_dimension_last(lowering *l, node n, int32_t dim)
{
    const shape mem = *graph_shape(l->g, n);
    value v = value_of(n, (shape){.rank = mem.rank}, NUMBER_REAL);

    for (int32_t i = 0; i < mem.rank; i++) {
        v.at[i] = place_of(i, dim, mem.rank);
        v.s.dim[i] = mem.dim[v.at[i]];
    }
    return v;
}

node channels_last(lowering *l, const value *v)
{
    return dimension_last(l, v, v->s.rank > 1 ? 1 : 0);
}

value from_channels_last(lowering *l, node n)
{
    return from_dimension_last(l, n, graph_shape(l->g, n)->rank > 1 ? 1 : 0);
}

value as_real(lowering *l, const value *v)
{
    value out = *v;

    if (v->n != NODE_NONE && v->type == NUMBER_WHOLE) out.n = g_cast(l->g, v->n, real_type(l));
    out.type = NUMBER_REAL;
    return out;
}

static int64_t size_of(const lowering *l, const value *v)
{
    return shape_count(graph_shape(l->g, v->n));
}

/* v's layout with dimensions of length 1 in front, up to `rank`. */
static value widened(const value *v, int32_t rank)
{
    value out = *v;
    const int32_t before = rank - v->s.rank;

    out.s = shape_ones(rank);
    for (int32_t i = 0; i < rank; i++) {
        out.at[i] = i < before ? i : before + v->at[i - before];
        if (i >= before) out.s.dim[i] = v->s.dim[i - before];
    }
    return out;
}

/* The length of v's dimension i of `rank`: in memory, or as it is seen. */
static int64_t length_of(const lowering *l, const value *v, int32_t i, int32_t rank, bool seen)
{
    const int32_t own = i - (rank - v->s.rank);

    if (own < 0) return 1;
    return seen ? v->s.dim[own] : graph_shape(l->g, v->n)->dim[v->at[own]];
}

bool together(lowering *l, const value *a, const value *b, node *x, node *y, value *out)
{
    const int32_t rank = a->s.rank > b->s.rank ? a->s.rank : b->s.rank;

    *out = no_value();
    if (a->n == NODE_NONE || b->n == NODE_NONE) return false;
    const value ra = as_real(l, a), rb = as_real(l, b);
    *out = widened(size_of(l, b) > size_of(l, a) ? &rb : &ra, rank);
    shape mem = shape_ones(rank);
    for (int32_t i = 0; i < rank; i++) {
        const int64_t p = length_of(l, a, i, rank, true), q = length_of(l, b, i, rank, true);
        const int64_t m = length_of(l, a, i, rank, false), n = length_of(l, b, i, rank, false);
        if (p != q && p != 1 && q != 1) {
            aten_refuse(l, "its operands do not broadcast: %lld and %lld along dimension %d",
                        (long long)p, (long long)q, (int)i);
            return false;
        }
        out->s.dim[i] = p == 1 ? q : p;
        mem.dim[out->at[i]] = m == 1 ? n : m;
    }
    *x = laid_out(l, &ra, out->at, mem);
    *y = laid_out(l, &rb, out->at, mem);
    out->type = NUMBER_REAL, out->logits = NODE_NONE;
    return true;
}

/* ---- views ---- */

/* Dimensions [from, from_end) that become [to, to_end), as many elements. */
typedef struct run {
    int32_t from, from_end, to, to_end;
    int32_t place; /* in memory, of its first dimension longer than 1; -1: none is */
} run;

/* Cuts both shapes where as many elements are done; gives how many runs. */
static int32_t cut(const shape *a, const shape *b, run *out)
{
    int32_t i = 0, k = 0, n = 0;

    while (i < a->rank || k < b->rank) {
        run *r = &out[n++];
        int64_t x = 1, y = 1;
        *r = (run){.from = i, .to = k, .place = -1};
        do {
            if ((x <= y && i < a->rank) || k >= b->rank) x *= a->dim[i++];
            else y *= b->dim[k++];
        } while (x != y && (i < a->rank || k < b->rank));
        r->from_end = i, r->to_end = k;
    }
    return n;
}

/* Whether the run's dimensions lie one behind the other; sets its place. */
static bool lies_together(const lowering *l, const value *v, run *r)
{
    const shape mem = *graph_shape(l->g, v->n);
    int32_t last = -1;

    for (int32_t i = r->from; i < r->from_end; i++) {
        if (v->s.dim[i] == 1) continue;
        if (mem.dim[v->at[i]] == 1) return false; /* expanded */
        for (int32_t p = last + 1; last >= 0 && p < v->at[i]; p++)
            if (mem.dim[p] != 1) return false;
        if (last >= 0 && v->at[i] < last) return false;
        if (last < 0) r->place = v->at[i];
        last = v->at[i];
    }
    return true;
}

/* The runs by place, those of one element first. */
static void sort_runs(run *r, int32_t n)
{
    for (int32_t i = 1; i < n; i++)
        for (int32_t k = i; k > 0 && r[k].place < r[k - 1].place; k--) {
            const run t = r[k];
            r[k] = r[k - 1], r[k - 1] = t;
        }
}

value view_as(lowering *l, const value *v, shape to)
{
    run runs[2 * RANK_MAX];
    value out = value_of(NODE_NONE, to, v->type);
    shape mem = {.rank = to.rank};
    bool whole = true;
    int32_t p = 0;

    if (v->n == NODE_NONE || shape_same(&v->s, &to)) return *v;
    if (shape_count(&v->s) != shape_count(&to) || shape_count(&to) == 0)
        return aten_refuse(l, "a view of another number of elements");
    const int32_t n = cut(&v->s, &to, runs);
    for (int32_t i = 0; i < n; i++) whole &= lies_together(l, v, &runs[i]);
    if (!whole) {
        out.n = g_reshape(l->g, plain(l, v), to);
        return out;
    }
    sort_runs(runs, n);
    for (int32_t i = 0; i < n; i++)
        for (int32_t k = runs[i].to; k < runs[i].to_end; k++) {
            mem.dim[p] = to.dim[k];
            out.at[k] = p++;
        }
    out.n = g_reshape(l->g, v->n, mem);
    return out;
}
