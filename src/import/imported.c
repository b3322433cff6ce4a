/* Opens a folder: the graph, the tensors that belong to it, and what the module must know. Both
 * parts are lowered once, so that what does not fit is refused here and nowhere later. */
#include "import/import.h"
#include "base/rng.h"
#include "data/safetensors.h"
#include "import/aten.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { CONSTANT_ALIGN = 64, MORE_INPUTS_MAX = GRAPH_ROWS_MAX - 1 };
#define HUGE_NUMBER 1e30 /* as in aten_attr.c */

/* ---- tensors ---- */

/* The tensor of an input, in its dtype and shape. */
static drmad_status find_tensor(const imported *m, const st_file *w, const graph_input *in,
                                const st_tensor **out)
{
    static const dtype whole_or_not[] = {
        [NUMBER_REAL] = F32, [NUMBER_WHOLE] = I32, [NUMBER_BOOL] = U8};
    const dtype want = in->type == NUMBER_REAL ? m->f->dtype : whole_or_not[in->type];
    const st_tensor *t = *out = safetensors_find(w, in->full);
    char a[96], b[96];

    if (!t)
        return FAIL(m->ctx, DRMAD_E_MODEL, "%.300s/weights.safetensors: \"%s\" is missing",
                    m->folder, in->full);
    if (t->dtype != want || !shape_same(&t->shape, &in->size.of_one))
        return FAIL(m->ctx, DRMAD_E_MODEL,
                    "%.300s/weights.safetensors: \"%s\" is %s %s, graph.json states %s %s",
                    m->folder, in->full, dtype_name(t->dtype), shape_print(&t->shape, a, sizeof a),
                    dtype_name(want), shape_print(&in->size.of_one, b, sizeof b));
    return DRMAD_OK;
}

static drmad_status read_start(imported *m, const st_file *w)
{
    drmad_status st = DRMAD_OK;
    const st_tensor *t;

    TRY(mem_alloc(m->ctx, (size_t)m->params->total + 1, sizeof *m->start, &m->start));
    for (int32_t i = 0; i < m->f->n_inputs; i++) {
        if (m->slot[i].as != AS_TENSOR) continue;
        const param *p = &m->params->at[m->slot[i].at];
        TRY(find_tensor(m, w, &m->f->input[i], &t));
        for (int64_t e = 0; e < p->count; e++)
            m->start[p->offset + e] = dtype_get(t->dtype, t->data, e);
    }
done:
    return st;
}

/* Infinities become numbers that 0 times gives 0: see aten_where. */
static double bounded(double x)
{
    return fmax(-HUGE_NUMBER, fmin(HUGE_NUMBER, x));
}

/* Whether all elements are one. */
static bool uniform(const st_tensor *t, double *out)
{
    const int64_t n = shape_count(&t->shape);

    *out = bounded(dtype_get(t->dtype, t->data, 0));
    for (int64_t i = 1; i < n; i++)
        if (bounded(dtype_get(t->dtype, t->data, i)) != *out) return false;
    return true;
}

static drmad_status check_constant(const imported *m, const graph_input *in, const st_tensor *t)
{
    const int64_t n = shape_count(&t->shape);

    for (int64_t i = 0; i < n; i++)
        if (isnan(dtype_get(t->dtype, t->data, i)))
            return FAIL(m->ctx, DRMAD_E_MODEL, "%.300s/weights.safetensors: \"%s\" holds NaN",
                        m->folder, in->full);
    if (n > 0) return DRMAD_OK;
    return FAIL(m->ctx, DRMAD_E_MODEL, "%.300s/weights.safetensors: \"%s\" is empty", m->folder,
                in->full);
}

static void copy_constant(char *to, dtype type, const st_tensor *t)
{
    const int64_t n = shape_count(&t->shape);

    for (int64_t i = 0; i < n; i++) {
        const double x = bounded(dtype_get(t->dtype, t->data, i));
        if (type == F32) ((float *)(void *)to)[i] = (float)x;
        else if (type == F64) ((double *)(void *)to)[i] = x;
        else ((int32_t *)(void *)to)[i] = (int32_t)x;
    }
}

/* Their places first, then their elements. */
static drmad_status read_constants(imported *m, const st_file *w)
{
    module *o = &m->module;
    drmad_status st = DRMAD_OK;
    const st_tensor *t;
    size_t total = 0, bytes;

    TRY(mem_alloc(m->ctx, (size_t)m->f->n_inputs, sizeof *m->constant, &m->constant));
    for (int32_t i = 0; i < m->f->n_inputs; i++) {
        const graph_input *in = &m->f->input[i];
        if (m->slot[i].as != AS_CONSTANT) continue;
        TRY(find_tensor(m, w, in, &t));
        TRY(check_constant(m, in, t));
        if (uniform(t, &m->slot[i].fill)) {
            m->slot[i].as = AS_FILL;
            continue;
        }
        const dtype type = in->type == NUMBER_WHOLE ? I32 : m->f->dtype;
        m->slot[i].at = o->n_constants;
        m->constant[o->n_constants++] = (module_constant){in->full, t->shape, type, total};
        if (!shape_bytes(&t->shape, type, &bytes) ||
            !size_add(total, (bytes + CONSTANT_ALIGN - 1) / CONSTANT_ALIGN * CONSTANT_ALIGN,
                      &total))
            TRY(FAIL(m->ctx, DRMAD_E_NOMEM, "%.300s: constants too large", m->folder));
    }
    TRY(mem_alloc(m->ctx, total + 1, 1, &m->constants));
    for (int32_t i = 0; i < m->f->n_inputs; i++) {
        if (m->slot[i].as != AS_CONSTANT) continue;
        const module_constant *c = &m->constant[m->slot[i].at];
        copy_constant(m->constants + c->offset, c->type, safetensors_find(w, c->name));
    }
    o->constant = m->constant;
    o->constant_data = m->constants;
done:
    return st;
}

static drmad_status check_surplus(const imported *m, const st_file *w)
{
    int32_t expected = 0;

    for (int32_t i = 0; i < m->f->n_inputs; i++) expected += m->f->input[i].full != NULL;
    if (w->n == expected) return DRMAD_OK;
    return FAIL(m->ctx, DRMAD_E_MODEL,
                "%.300s/weights.safetensors: %d tensors, graph.json names %d; export again",
                m->folder, (int)w->n, (int)expected);
}

/* ---- inputs ---- */

static bool changes(const graph_part *p, int32_t input)
{
    for (int32_t i = 0; i < p->n_next; i++)
        if (p->next[i].input == input) return true;
    return false;
}

static drmad_status add_tensor(imported *m, int32_t i)
{
    const graph_input *in = &m->f->input[i];

    if (in->role == INPUT_BUFFER && !changes(&m->f->train, i))
        return FAIL(m->ctx, DRMAD_E_MODEL,
                    "%.300s: buffer %s has no next value; as a constant it would stay as it is",
                    m->f->path, in->full);
    m->slot[i] = (import_slot){.as = AS_TENSOR, .at = m->params->n};
    return params_add(m->params, in->full, in->size.of_one, in->kind, in->layer);
}

/* The labels are the run's own where each row has one; else an input like others. */
static drmad_status add_rows(imported *m, int32_t i)
{
    const graph_input *in = &m->f->input[i];
    const bool labels = in->role == INPUT_LABEL;
    module *o = &m->module;

    if (labels) m->labels = i;
    if (!labels && m->x < 0) {
        m->x = i;
        m->slot[i].as = AS_X;
        return DRMAD_OK;
    }
    if (labels && in->size.of_one.rank == 1) {
        m->slot[i].as = AS_LABELS;
        return DRMAD_OK;
    }
    if (o->n_more == MORE_INPUTS_MAX)
        return FAIL(m->ctx, DRMAD_E_MODEL, "%.300s: more than %d inputs of examples", m->f->path,
                    MORE_INPUTS_MAX);
    m->slot[i] = (import_slot){.as = AS_MORE, .at = o->n_more};
    m->more[o->n_more++] = (module_input){.name = in->name,
                                          .shape = import_lies(m->f, i, 0),
                                          .type = in->type == NUMBER_WHOLE ? I32 : m->f->dtype,
                                          .labels = labels};
    return DRMAD_OK;
}

static drmad_status sort_inputs(imported *m)
{
    drmad_status st = DRMAD_OK;

    TRY(mem_alloc(m->ctx, (size_t)m->f->n_inputs, sizeof *m->slot, &m->slot));
    TRY(mem_alloc(m->ctx, MORE_INPUTS_MAX, sizeof *m->more, &m->more));
    TRY(params_new(m->ctx, &m->params));
    m->x = m->labels = -1;
    for (int32_t i = 0; i < m->f->n_inputs; i++) switch (m->f->input[i].role) {
        case INPUT_BATCH:
        case INPUT_LABEL: TRY(add_rows(m, i)); break;
        case INPUT_PARAMETER:
        case INPUT_BUFFER: TRY(add_tensor(m, i)); break;
        case INPUT_CONSTANT: m->slot[i].as = AS_CONSTANT; break;
        }
    if (m->params->n == 0)
        st = FAIL(m->ctx, DRMAD_E_MODEL, "%.300s: no parameter to train", m->f->path);
done:
    return st;
}

/* Dropout rates are hyperparameters by site. */
static drmad_status add_sites(imported *m)
{
    const graph_part *p = &m->f->train;
    drmad_status st = DRMAD_OK;
    char site[ATEN_SITE];

    for (int32_t i = 0; i < p->n; i++) {
        if (!aten_drops(p->node[i].def)) continue;
        aten_site(p, i, site, sizeof site);
        TRY(params_add_site(m->params, site, HYPER_DROPOUT));
    }
done:
    return st;
}

/* ---- the module ---- */

static module_result build(graph *g, const module *o, const node *w, const module_batch *b,
                           const nn_pass *pass)
{
    bool whole;

    return import_build(g, o->self, w, b, pass, &whole, NULL);
}

/* Independent draws are as likely in any order, and constants stay what they are, so that nothing
 * need be known of how a tensor was drawn. */
static void reorder(const param *p, uint64_t seed, const double *from, double *to)
{
    const rng_perm order = rng_perm_make((rng_key){seed, 0, rng_site(p->name)}, (uint64_t)p->count);

    for (int64_t i = 0; i < p->count; i++) to[i] = from[rng_perm_at(&order, (uint64_t)i)];
}

/* The folder's weights, whatever the seed, unless they are to be drawn again. */
static void draw(const module *o, const param_table *p, uint64_t seed, double *w)
{
    const imported *m = o->self;

    memcpy(w, m->start, (size_t)p->total * sizeof *w);
    for (int32_t i = 0; m->redraws && i < p->n; i++)
        if (p->at[i].role != PARAM_STAT)
            reorder(&p->at[i], seed, m->start + p->at[i].offset, w + p->at[i].offset);
}

static int64_t mask_size(const module *o, int32_t mask)
{
    const imported *m = o->self;
    int32_t k = 0, i = 0;

    for (;; i++)
        if (aten_masked(&m->f->train.node[i]) && k++ == mask) break;
    const shape s = sized_at(&m->f->train.node[i].size, m->f->batch);
    return shape_count(&s) / m->f->batch;
}

static shape operand_shape(const imported *m, const graph_part *p, operand o)
{
    const int32_t inputs = m->f->n_inputs;

    return sized_at(o.at < inputs ? &m->f->input[o.at].size : &p->node[o.at - inputs].size,
                    m->f->batch);
}

/* Multiply-adds of a node for one example. */
static double macs_of(const imported *m, const graph_part *p, const graph_op *n)
{
    const bool conv = strcmp(n->op, "convolution") == 0;
    const int k = strcmp(n->op, "mm") == 0 || strcmp(n->op, "bmm") == 0          ? 0
                  : strcmp(n->op, "addmm") == 0 || strcmp(n->op, "baddbmm") == 0 ? 1
                                                                                 : -1;
    if (n->n_in < 2 + (k > 0) || (!conv && k < 0)) return 0;
    const operand of = n->in[conv ? 1 : k];
    if (of.at < 0 || n->in[0].at < 0) return 0;
    const shape s = operand_shape(m, p, of);
    const bool up = conv && json_is_true(json_object_get(n->attr, "transposed"));
    const shape y = up ? operand_shape(m, p, n->in[0]) : sized_at(&n->size, m->f->batch);
    double each = 1; /* of an element of the result; transposed: of the images */

    if (conv)
        for (int32_t i = 1; i < s.rank; i++) each *= (double)s.dim[i];
    else if (s.rank > 0) each = (double)s.dim[s.rank - 1];
    return each * (double)shape_count(&y) / (double)m->f->batch;
}

static void describe(imported *m)
{
    static const char *const large[] = {"convolution", "bmm",
                                        "baddbmm",     "max_pool2d_with_indices",
                                        "avg_pool2d",  "_adaptive_avg_pool2d"};
    const graph_part *p = &m->f->train;
    module *o = &m->module;
    double macs = 0;

    o->self = m;
    o->build = build, o->draw = draw, o->mask_size = mask_size;
    o->input = import_lies(m->f, m->x, 0);
    o->batch = m->f->any ? 0 : m->f->batch;
    o->more = m->more;
    o->tokens = m->f->input[m->x].type == NUMBER_WHOLE;
    o->judges = o->dense = true;
    for (int32_t i = 0; i < p->n; i++) {
        const graph_op *n = &p->node[i];
        o->masks += aten_masked(n);
        o->kinked |= aten_kinked(n->def);
        o->drops |= aten_drops(n->def);
        macs += macs_of(m, p, n);
        for (size_t k = 0; k < COUNT(large); k++) o->dense &= strcmp(n->op, large[k]) != 0;
    }
    o->macs = macs < 1e18 ? (int64_t)macs : (int64_t)1e18;
    if (p->scores.at < m->f->n_inputs) return;
    const shape s = p->node[p->scores.at - m->f->n_inputs].size.of_one;
    o->classes = s.rank > 0 ? s.dim[s.rank - 1] : 0;
}

/* ---- both parts once ---- */

static node leaf(graph *g, const graph_file *f, int32_t input, shape s)
{
    const graph_input *in = &f->input[input];

    return graph_add_leaf(g, in->name, in->type == NUMBER_WHOLE ? I32 : f->dtype, s);
}

/* Leaves for all that the build reads, for batches of `batch`. */
drmad_status import_leaves(graph *g, const imported *m, int64_t batch, import_nodes *n)
{
    drmad_status st;

    *n = (import_nodes){0};
    TRY(mem_alloc(m->ctx, (size_t)m->params->n, sizeof *n->w, &n->w));
    TRY(mem_alloc(m->ctx, (size_t)m->module.n_more + 1, sizeof *n->more, &n->more));
    TRY(mem_alloc(m->ctx, (size_t)m->module.n_constants + 1, sizeof *n->constant, &n->constant));
    for (int32_t i = 0; i < m->f->n_inputs; i++) {
        const shape rows = import_lies(m->f, i, batch), s = m->f->input[i].size.of_one;
        const int32_t at = m->slot[i].at;
        switch (m->slot[i].as) {
        case AS_X: n->batch.x = leaf(g, m->f, i, rows); break;
        case AS_LABELS: n->batch.labels = leaf(g, m->f, i, rows); break;
        case AS_MORE: n->more[at] = leaf(g, m->f, i, rows); break;
        case AS_TENSOR: n->w[at] = leaf(g, m->f, i, s); break;
        case AS_CONSTANT: n->constant[at] = leaf(g, m->f, i, s); break;
        case AS_FILL: break;
        }
    }
    n->batch.more = n->more, n->batch.constant = n->constant;
    st = graph_status(g);
done:
    return st;
}

void import_leaves_free(const imported *m, import_nodes *n)
{
    mem_free(m->ctx, n->w);
    mem_free(m->ctx, n->more);
    mem_free(m->ctx, n->constant);
}

static drmad_status lower_once(imported *m, bool train)
{
    drmad_status st;
    graph *g = NULL;
    import_nodes n = {0};
    nn_pass pass = {.train = train, .key = NODE_NONE};
    bool whole;

    TRY(graph_new(m->ctx, &g));
    TRY(import_leaves(g, m, m->f->batch, &n));
    if (train) TRY(mem_alloc(m->ctx, (size_t)m->params->n, sizeof *pass.next, &pass.next));
    import_build(g, m, n.w, &n.batch, &pass, &whole, NULL);
    TRY(graph_status(g));
    m->module.whole |= whole;
done:
    mem_free(m->ctx, pass.next);
    import_leaves_free(m, &n);
    graph_free(g);
    return st;
}

/* All that follows from the two files. */
static drmad_status complete(imported *m, const st_file *w)
{
    drmad_status st;

    TRY(sort_inputs(m));
    TRY(add_sites(m));
    TRY(check_surplus(m, w));
    TRY(read_start(m, w));
    TRY(read_constants(m, w));
    describe(m);
    TRY(lower_once(m, true));
    TRY(lower_once(m, false));
done:
    return st;
}

drmad_status import_make(drmad_ctx *ctx, const char *folder, graph_file *f, const st_file *w,
                         imported **out)
{
    drmad_status st;
    imported *m = NULL;

    *out = NULL;
    TRY(mem_alloc(ctx, 1, sizeof *m, &m));
    m->ctx = ctx;
    m->f = f, f = NULL;
    TRY(mem_strdup(ctx, folder, &m->folder));
    TRY(complete(m, w));
    *out = m, m = NULL;
done:
    graph_file_free(f);
    import_close(m);
    return st;
}

/* What is no folder is no export; of torch.save's files no byte is read. */
static drmad_status refuse_file(drmad_ctx *ctx, const char *path)
{
    struct stat s;

    if (stat(path, &s) != 0 || !S_ISREG(s.st_mode)) return DRMAD_OK;
    return FAIL(ctx, DRMAD_E_UNSAFE,
                "%.300s: a file; those of torch.save hold pickles, which can run code, and are not "
                "read: `python -m drmad.export MODULE:FUNCTION DIR` writes a folder of plain data",
                path);
}

drmad_status import_open(drmad_ctx *ctx, const char *folder, imported **out)
{
    drmad_status st;
    graph_file *f = NULL;
    st_file *w = NULL;
    char path[1200];

    *out = NULL;
    TRY(refuse_file(ctx, folder));
    snprintf(path, sizeof path, "%s/graph.json", folder);
    TRY(graph_file_read(ctx, path, &f));
    snprintf(path, sizeof path, "%s/weights.safetensors", folder);
    TRY(safetensors_read(ctx, path, &w));
    st = import_make(ctx, folder, f, w, out);
    f = NULL;
done:
    graph_file_free(f);
    mem_free(ctx, w);
    return st;
}

drmad_status import_lend(drmad_ctx *ctx, const imported *of, imported **out)
{
    drmad_status st = DRMAD_OK;
    imported *m = NULL;
    graph_file *f = NULL;

    *out = NULL;
    TRY(mem_alloc(ctx, 1, sizeof *m, &m));
    TRY(mem_alloc(ctx, 1, sizeof *f, &f));
    *m = *of, *f = *of->f;
    m->ctx = f->ctx = ctx;
    m->f = f, m->module.self = m, m->lent = true;
    *out = m, m = NULL;
done:
    mem_free(ctx, m);
    return st;
}

void import_close(imported *m)
{
    if (!m) return;
    if (m->lent) {
        mem_free(m->ctx, m->f);
        mem_free(m->ctx, m);
        return;
    }
    graph_file_free(m->f);
    params_free(m->params);
    mem_free(m->ctx, m->folder);
    mem_free(m->ctx, m->start);
    mem_free(m->ctx, m->slot);
    mem_free(m->ctx, m->more);
    mem_free(m->ctx, m->constant);
    mem_free(m->ctx, m->constants);
    mem_free(m->ctx, m);
}
