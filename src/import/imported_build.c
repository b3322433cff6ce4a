/* An imported model as a graph: inputs as values, the nodes lowered, the loss taken apart. */
#include "import/aten.h"
#include "import/import.h"

shape import_lies(const graph_file *f, int32_t input, int64_t batch)
{
    const shape s = sized_at(&f->input[input].size, batch > 0 ? batch : 1);
    shape out = s;

    if (f->input[input].role == INPUT_BATCH && s.rank == 4)
        out = SHAPE(s.dim[0], s.dim[2], s.dim[3], s.dim[1]);
    if (!f->any && (f->input[input].role == INPUT_BATCH || f->input[input].role == INPUT_LABEL))
        out.dim[0] = batch > 0 ? batch : 1;
    if (batch > 0) return out;
    for (int32_t i = 1; i < out.rank; i++) out.dim[i - 1] = out.dim[i];
    out.rank--;
    out.dim[out.rank] = 0;
    return out;
}

void import_copy_rows(const graph_file *f, int32_t input, int64_t rows, dtype from_type,
                      const void *from, dtype type, void *to)
{
    const shape s = sized_at(&f->input[input].size, f->batch);
    const bool images = f->input[input].role == INPUT_BATCH && s.rank == 4;
    const int64_t width = s.dim[0] ? shape_count(&s) / s.dim[0] : 0;
    const int64_t c = images ? s.dim[1] : 1, pixels = images ? s.dim[2] * s.dim[3] : width;

    for (int64_t r = 0; r < rows; r++)
        for (int64_t k = 0; k < c; k++)
            for (int64_t p = 0; p < pixels; p++)
                dtype_put(type, to, r * width + p * c + k,
                          dtype_get(from_type, from, r * width + k * pixels + p));
}

/* Rows, as import_lies has them. */
static value rows_value(lowering *l, int32_t input, node n)
{
    const graph_input *in = &l->f->input[input];

    if (n == NODE_NONE) return no_value();
    n = g_reshape(l->g, n, import_lies(l->f, input, l->batch));
    if (n == NODE_NONE) return no_value();
    value v = in->role == INPUT_BATCH && in->size.of_one.rank == 4
                  ? from_channels_last(l, n)
                  : value_of(n, *graph_shape(l->g, n), in->type);
    v.type = in->type;
    return v;
}

static value input_value(lowering *l, const imported *m, int32_t i, const node *w,
                         const module_batch *b)
{
    const import_slot *slot = &m->slot[i];
    const graph_input *in = &m->f->input[i];
    const shape s = in->size.of_one;
    value v;

    switch (slot->as) {
    case AS_X: return rows_value(l, i, b->x);
    case AS_LABELS: return rows_value(l, i, b->labels);
    case AS_MORE: return rows_value(l, i, b->more[slot->at]);
    case AS_TENSOR: return value_of(w[slot->at], s, NUMBER_REAL);
    case AS_CONSTANT: return value_of(b->constant[slot->at], s, in->type);
    case AS_FILL: break;
    }
    v = value_of(g_fill(l->g, real_type(l), shape_ones(s.rank), slot->fill), s, in->type);
    if (in->type == NUMBER_WHOLE) v.n = g_cast(l->g, v.n, I32);
    return v;
}

static void put_next(lowering *l, const imported *m, const nn_pass *pass)
{
    for (int32_t i = 0; i < l->part->n_next; i++) {
        const graph_next *n = &l->part->next[i];
        const value *v = &l->v[n->value.at];
        const int32_t tensor = m->slot[n->input].at, side = n->value.side;
        node next = side == 0                ? plain(l, v)
                    : side == 3 || side == 4 ? v->side[side - 3]
                                             : NODE_NONE;

        if (next == NODE_NONE ||
            shape_count(graph_shape(l->g, next)) != m->params->at[tensor].count)
            graph_stop(l->g,
                       FAIL(l->ctx, DRMAD_E_MODEL, "%.300s: buffers: %.200s has no next value",
                            l->f->path, m->params->at[tensor].name));
        else pass->next[tensor] = g_reshape(l->g, next, m->params->at[tensor].shape);
    }
}

/* [B, K] or [B, T, K] against labels as many as rows; else it is not known what is right. */
static node correct(lowering *l, node labels)
{
    const operand at = l->part->scores;
    graph *g = l->g;

    if (at.at < 0 || labels == NODE_NONE || graph_dtype(g, labels) != I32) return NODE_NONE;
    const value *z = &l->v[at.at];
    if (z->type != NUMBER_REAL || z->s.rank < 2 || z->s.rank > 3) return NODE_NONE;
    const int64_t k = z->s.dim[z->s.rank - 1], n = shape_count(graph_shape(g, labels));
    if (n * k != shape_count(&z->s) || n % l->batch != 0) return NODE_NONE;
    node scores = g_reshape(g, plain(l, z), SHAPE(n, k));
    if (n == l->batch) return nn_row_correct(g, scores, g_reshape(g, labels, SHAPE(n)));
    const int64_t t = n / l->batch;
    return nn_row_correct(g, g_reshape(g, scores, SHAPE(l->batch, t, k)),
                          g_reshape(g, labels, SHAPE(l->batch, t)));
}

static drmad_status build(lowering *l, const imported *m, const node *w, const module_batch *b,
                          bool *whole, module_result *out)
{
    drmad_status st = DRMAD_OK;

    TRY(mem_alloc(l->ctx, (size_t)(m->f->n_inputs + l->part->n), sizeof *l->v, &l->v));
    for (int32_t i = 0; i < m->f->n_inputs; i++) l->v[i] = input_value(l, m, i, w, b);
    TRY(graph_status(l->g));
    TRY(aten_lower(l));
    if (l->pass->next) put_next(l, m, l->pass);
    out->rows = import_rows(l, whole);
    if (!l->pass->train) out->correct = correct(l, m->labels < 0 ? NODE_NONE : l->v[m->labels].n);
    st = graph_status(l->g);
done:
    return st;
}

module_result import_build(graph *g, const imported *m, const node *w, const module_batch *b,
                           const nn_pass *pass, bool *whole, node *values)
{
    lowering l = {.ctx = m->ctx,
                  .g = g,
                  .f = m->f,
                  .part = pass->train ? &m->f->train : &m->f->evaluate,
                  .batch = graph_shape(g, b->x)->dim[0],
                  .pass = pass};
    module_result out = {NODE_NONE, NODE_NONE, NODE_NONE};

    if (b->x == NODE_NONE) return out;
    for (int32_t i = 0; pass->kinks && i < m->module.masks; i++) pass->kinks[i] = NODE_NONE;
    for (int32_t i = 0; pass->next && i < m->params->n; i++) pass->next[i] = NODE_NONE;
    const drmad_status st = build(&l, m, w, b, whole, &out);
    for (int32_t i = 0; st == DRMAD_OK && values && i < l.part->n; i++)
        values[i] = l.v[m->f->n_inputs + i].n;
    mem_free(m->ctx, l.v);
    if (st != DRMAD_OK) graph_stop(g, st), out = (module_result){NODE_NONE, NODE_NONE, NODE_NONE};
    return out;
}
