/* The comparison with PyTorch: loss, gradient and Hessian-vector product of the stored batch at the
 * start weights, the running statistics that a step leaves behind, and the loss of the evaluation;
 * where they differ, every node's mean and root mean square, to name the first that does.
 *
 * It computes in double, also where the graph is in single: there the gradients of a deep net with
 * ReLU differ by parts in a thousand from one order of summation to another (measured: ResNet-18,
 * torch in single against itself in double, 1.2e-3 of the norm), which would hide a wrong node.
 *
 * A tensor's distance is its largest difference over its largest element, or over a hundredth of
 * the largest element of all: what is zero but for rounding (a bias before a batch norm) counts
 * among the others. */
#include "import/import.h"
#include "ad/ad.h"
#include "data/safetensors.h"
#include "exec/backend.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define SMALL_SHARE 0.01

/* One computation: its leaves' memory, its outputs' in double. */
typedef struct trial_run {
    const imported *m;
    const st_file *stored;
    graph *g;
    import_nodes in;
    node *out;
    void **memory; /* of the outputs, in the graph's dtype */
    int32_t outs;
    node *next;  /* by tensor: of running statistics */
    void **leaf; /* rows and vectors in the graph's dtype, owned */
    int32_t leaves;
} trial_run;

/* The type of the file's real tensors, as long as the graph itself is in double. */
static dtype kept_type(const imported *m)
{
    for (int32_t i = 0; i < m->f->n_inputs; i++)
        if (m->f->input[i].role == INPUT_PARAMETER) return m->f->input[i].real64 ? F64 : F32;
    return F64;
}

/* ---- what is stored ---- */

static drmad_status stored(const imported *m, const st_file *f, const char *kind, const char *name,
                           dtype type, const shape *s, const st_tensor **out)
{
    char key[GRAPH_NAME_MAX + 32], a[96], b[96];

    snprintf(key, sizeof key, "%s%s", kind, name);
    const st_tensor *t = *out = safetensors_find(f, key);
    if (!t)
        return FAIL(m->ctx, DRMAD_E_MODEL, "%.300s/parity.safetensors: \"%s\" is missing",
                    m->folder, key);
    if (t->dtype == type && shape_same(&t->shape, s)) return DRMAD_OK;
    return FAIL(m->ctx, DRMAD_E_MODEL, "%.300s/parity.safetensors: \"%s\" is %s %s, expected %s %s",
                m->folder, key, dtype_name(t->dtype), shape_print(&t->shape, a, sizeof a),
                dtype_name(type), shape_print(s, b, sizeof b));
}

/* ---- leaves ---- */

static drmad_status bind_rows(trial_run *r, int32_t input, node leaf)
{
    const imported *m = r->m;
    const graph_input *in = &m->f->input[input];
    const dtype type = in->type == NUMBER_WHOLE ? I32 : m->f->dtype;
    const dtype kept = in->type == NUMBER_WHOLE ? I32 : kept_type(m);
    const shape s = sized_at(&in->size, m->f->batch);
    void **to = &r->leaf[graph_rec(r->g, leaf)->attr.n];
    drmad_status st;
    const st_tensor *t;

    TRY(stored(m, r->stored, "input/", in->name, kept, &s, &t));
    TRY(mem_alloc(m->ctx, (size_t)shape_count(&s), dtype_size(type), to));
    import_copy_rows(m->f, input, m->f->batch, kept, t->data, type, *to);
done:
    return st;
}

static drmad_status bind_vector(trial_run *r, node leaf, const void *from, dtype type)
{
    const int64_t n = shape_count(graph_shape(r->g, leaf));
    void **to = &r->leaf[graph_rec(r->g, leaf)->attr.n];
    const dtype own = graph_dtype(r->g, leaf);
    const drmad_status st = mem_alloc(r->m->ctx, (size_t)n, dtype_size(own), to);

    for (int64_t i = 0; st == DRMAD_OK && i < n; i++)
        dtype_put(own, *to, i, dtype_get(type, from, i));
    return st;
}

static drmad_status bind_inputs(trial_run *r)
{
    const imported *m = r->m;
    const module *o = &m->module;
    drmad_status st = DRMAD_OK;

    r->leaves = graph_leaves(r->g);
    TRY(mem_alloc(m->ctx, (size_t)r->leaves + 1, sizeof *r->leaf, &r->leaf));
    for (int32_t i = 0; i < m->f->n_inputs; i++) {
        const int32_t k = m->slot[i].at;
        switch (m->slot[i].as) {
        case AS_X: TRY(bind_rows(r, i, r->in.batch.x)); break;
        case AS_LABELS: TRY(bind_rows(r, i, r->in.batch.labels)); break;
        case AS_MORE: TRY(bind_rows(r, i, r->in.more[k])); break;
        case AS_TENSOR:
            TRY(bind_vector(r, r->in.w[k], m->start + m->params->at[k].offset, F64));
            break;
        case AS_CONSTANT:
            TRY(bind_vector(r, r->in.constant[k], m->constants + o->constant[k].offset,
                            o->constant[k].type));
            break;
        case AS_FILL: break;
        }
    }
done:
    return st;
}

/* ---- a computation ---- */

static void run_close(trial_run *r)
{
    drmad_ctx *ctx = r->m->ctx;

    for (int32_t i = 0; r->leaf && i < r->leaves; i++) mem_free(ctx, r->leaf[i]);
    for (int32_t i = 0; r->memory && i < r->outs; i++) mem_free(ctx, r->memory[i]);
    mem_free(ctx, r->leaf);
    mem_free(ctx, r->memory);
    mem_free(ctx, r->out);
    mem_free(ctx, r->next);
    import_leaves_free(r->m, &r->in);
    graph_free(r->g);
}

/* Compiles what r->out names and runs it once, into r->memory. NODE_NONE outputs stay zero. */
static drmad_status compute(trial_run *r)
{
    drmad_ctx *ctx = r->m->ctx;
    drmad_status st;
    plan_output *y = NULL;
    plan *p = NULL;
    program *prog = NULL;
    int32_t n = 0;

    TRY(mem_alloc(ctx, (size_t)r->outs + 1, sizeof *y, &y));
    for (int32_t i = 0; i < r->outs; i++)
        if (r->out[i] != NODE_NONE) y[n++] = (plan_output){r->out[i], -1};
    TRY(plan_new(ctx, r->g, y, n, backend_cpu.target, &p));
    TRY(program_new(ctx, p, &backend_cpu, &prog));
    TRY(mem_alloc(ctx, (size_t)r->outs + 1, sizeof *r->memory, &r->memory));
    for (int32_t i = 0; i < r->leaves; i++) program_set_leaf(prog, i, r->leaf[i]);
    n = 0;
    for (int32_t i = 0; i < r->outs; i++) {
        if (r->out[i] == NODE_NONE) continue;
        TRY(mem_alloc(ctx, (size_t)shape_count(graph_shape(r->g, r->out[i])), sizeof(double),
                      &r->memory[i]));
        program_set_output(prog, n++, r->memory[i]);
    }
    TRY(program_run(prog));
done:
    program_free(prog);
    plan_free(p);
    mem_free(ctx, y);
    return st;
}

/* The part's loss as one element; `values` as of import_build. */
static drmad_status run_open(trial_run *r, const imported *m, const st_file *f, bool train,
                             node *values, node *loss)
{
    nn_pass pass = {.train = train, .key = NODE_NONE};
    drmad_status st;
    bool whole;

    *r = (trial_run){.m = m, .stored = f};
    TRY(mem_alloc(m->ctx, (size_t)m->params->n, sizeof *r->next, &r->next));
    if (train) pass.next = r->next;
    TRY(graph_new(m->ctx, &r->g));
    TRY(import_leaves(r->g, m, m->f->batch, &r->in));
    const module_result y = import_build(r->g, m, r->in.w, &r->in.batch, &pass, &whole, values);
    *loss = g_scale(r->g, g_sum_all(r->g, y.rows), 1 / (double)m->f->batch);
    TRY(graph_status(r->g));
    TRY(bind_inputs(r));
done:
    return st;
}

/* ---- distances ---- */

/* Of our tensors to those under `kind`, by the rule above. */
static drmad_status distance(const trial_run *r, int32_t first, const char *kind, bool statistics,
                             double *out)
{
    const imported *m = r->m;
    const dtype t = m->f->dtype, kept = kept_type(m);
    double largest = 0, worst = 0;
    drmad_status st = DRMAD_OK;
    const st_tensor *want;

    for (int pass = 0; pass < 2; pass++)
        for (int32_t i = 0; i < m->params->n; i++) {
            const param *p = &m->params->at[i];
            const void *got = r->memory[first + i];
            double off = 0, size = 0;
            if ((p->role == PARAM_STAT) != statistics) continue;
            TRY(stored(m, r->stored, kind, p->name, kept, &p->shape, &want));
            for (int64_t e = 0; e < p->count; e++) {
                const double x = dtype_get(kept, want->data, e), y = got ? dtype_get(t, got, e) : 0;
                const double d = fabs(x - y);
                off = d <= off ? off : isnan(d) ? INFINITY : d; /* what is no number is far */
                size = fmax(size, fabs(x));
            }
            if (pass == 0) largest = fmax(largest, size);
            else if (off > 0) worst = fmax(worst, off / fmax(size, SMALL_SHARE * largest));
        }
    *out = worst;
done:
    return st;
}

static drmad_status loss_distance(const trial_run *r, const char *name, double *out)
{
    const st_tensor *t;
    drmad_status st;

    TRY(stored(r->m, r->stored, name, "", F64, &(shape){.rank = 0}, &t));
    const double want = *(const double *)t->data, got = dtype_get(r->m->f->dtype, r->memory[0], 0);
    *out = fabs(got - want) / fmax(fabs(want), 1e-3);
    if (isnan(*out)) *out = INFINITY;
done:
    return st;
}

/* Loss, gradients, products, statistics: outputs 0, and n of each from 1 on. */
static drmad_status compare_training(const imported *m, const st_file *f, import_parity *out)
{
    const int32_t n = m->params->n, gradients = 1, products = 1 + n, nexts = 1 + 2 * n;
    drmad_status st;
    trial_run r;
    node *u = NULL, loss;
    const st_tensor *t;

    TRY(run_open(&r, m, f, true, NULL, &loss));
    TRY(mem_alloc(m->ctx, (size_t)n, sizeof *u, &u));
    TRY(mem_alloc(m->ctx, (size_t)(1 + 3 * n), sizeof *r.out, &r.out));
    r.outs = 1 + 3 * n;
    r.out[0] = loss;
    node one = g_ones_like(r.g, loss);
    for (int32_t i = 0; i < n; i++) {
        const param *p = &m->params->at[i];
        u[i] = NODE_NONE;
        if (p->role == PARAM_STAT) continue;
        u[i] = graph_add_leaf(r.g, "u", m->f->dtype, p->shape);
        TRY(graph_status(r.g));
        TRY(mem_resize(m->ctx, &r.leaf, (size_t)r.leaves + 1, (size_t)r.leaves + 2,
                       sizeof *r.leaf));
        r.leaves++;
        TRY(stored(m, f, "direction/", p->name, kept_type(m), &p->shape, &t));
        TRY(bind_vector(&r, u[i], t->data, kept_type(m)));
    }
    TRY(ad_vjp(r.g, 1, &loss, &one, n, r.in.w, r.out + gradients));
    TRY(ad_jvp(r.g, n, r.in.w, u, n, r.out + gradients, r.out + products));
    for (int32_t i = 0; i < n; i++) r.out[nexts + i] = r.next[i];
    TRY(graph_status(r.g));
    TRY(compute(&r));
    TRY(loss_distance(&r, "loss", &out->loss));
    TRY(distance(&r, gradients, "gradient/", false, &out->gradient));
    TRY(distance(&r, products, "product/", false, &out->product));
    TRY(distance(&r, nexts, "next/", true, &out->next));
done:
    mem_free(m->ctx, u);
    run_close(&r);
    return st;
}

static drmad_status compare_evaluation(const imported *m, const st_file *f, import_parity *out)
{
    drmad_status st;
    trial_run r;
    node loss;

    TRY(run_open(&r, m, f, false, NULL, &loss));
    TRY(mem_alloc(m->ctx, 1, sizeof *r.out, &r.out));
    r.outs = 1;
    r.out[0] = loss;
    TRY(compute(&r));
    TRY(loss_distance(&r, "evaluate_loss", &out->evaluate));
done:
    run_close(&r);
    return st;
}

/* ---- the first node that differs ---- */

/* Mean and root mean square of each node: outputs 2 i and 2 i + 1. */
static drmad_status node_numbers(trial_run *r, const node *values)
{
    graph *g = r->g;
    const int32_t n = r->m->f->train.n;
    drmad_status st;

    TRY(mem_alloc(r->m->ctx, 2 * (size_t)n + 1, sizeof *r->out, &r->out));
    r->outs = 2 * n;
    for (int32_t i = 0; i < n; i++) {
        node x = values[i];
        if (graph_dtype(g, x) == I32) x = g_cast(g, x, r->m->f->dtype);
        const double share = 1 / (double)shape_count(graph_shape(g, x));
        r->out[2 * i] = g_scale(g, g_sum_all(g, x), share);
        r->out[2 * i + 1] = g_sqrt(g, g_scale(g, g_dot(g, x, x), share));
    }
    TRY(graph_status(g));
    TRY(compute(r));
done:
    return st;
}

/* Infinities are numbers here, and what overflows is nobody's fault. */
static bool differs(double a, double b, double size, double tolerance)
{
    return isfinite(a) && isfinite(b) && fabs(a - b) > tolerance * fmax(size, 1e-6);
}

/* A node with its mean and root mean square, and those that PyTorch had. */
typedef struct culprit {
    const graph_op *node; /* NULL: all agree */
    double mean, rms, their_mean, their_rms;
} culprit;

static drmad_status find_culprit(const imported *m, const st_file *f, double tolerance,
                                 culprit *out)
{
    const int32_t n = m->f->train.n;
    const dtype t = m->f->dtype;
    drmad_status st;
    node *values = NULL, loss;
    trial_run r = {.m = m};
    const st_tensor *want;

    *out = (culprit){0};
    TRY(mem_alloc(m->ctx, (size_t)n + 1, sizeof *values, &values));
    TRY(run_open(&r, m, f, true, values, &loss));
    TRY(stored(m, f, "nodes", "", F64, &SHAPE(n, 2), &want));
    TRY(node_numbers(&r, values));
    for (int32_t i = 0; i < n && !out->node; i++) {
        const double *w = (const double *)want->data + 2 * (size_t)i;
        const double mean = dtype_get(t, r.memory[2 * i], 0),
                     rms = dtype_get(t, r.memory[2 * i + 1], 0);
        if (differs(mean, w[0], w[1], tolerance) || differs(rms, w[1], w[1], tolerance))
            *out = (culprit){&m->f->train.node[i], mean, rms, w[0], w[1]};
    }
done:
    mem_free(m->ctx, values);
    run_close(&r);
    return st;
}

static drmad_status refuse(const imported *m, const st_file *f, const import_parity *p)
{
    culprit c;
    const drmad_status st = find_culprit(m, f, p->tolerance, &c);
    char text[256];

    if (st != DRMAD_OK) return st;
    snprintf(
        text, sizeof text,
        "loss %.1e, gradient %.1e, Hessian-vector product %.1e, statistics %.1e, evaluation %.1e "
        "from PyTorch's, at most %.0e; train this model through Python (engine=\"callback\")",
        p->loss, p->gradient, p->product, p->next, p->evaluate, p->tolerance);
    if (!c.node)
        return FAIL(m->ctx, DRMAD_E_MODEL, "%.300s: all nodes agree, but in all %s", m->f->path,
                    text);
    return graph_refuse(m->f, c.node,
                        "is the first that differs: mean %.9g and root mean square %.9g here, %.9g "
                        "and %.9g in PyTorch; in all %s",
                        c.mean, c.rms, c.their_mean, c.their_rms, text);
}

drmad_status import_check(const imported *m, import_parity *out)
{
    graph_file doubles = *m->f;
    imported d = *m;
    drmad_status st;
    st_file *f = NULL;
    char path[1200];

    *out = (import_parity){.tolerance = m->f->dtype == F64 ? 1e-9 : 1e-5};
    doubles.dtype = F64, d.f = &doubles;
    snprintf(path, sizeof path, "%s/parity.safetensors", m->folder);
    TRY(safetensors_read(m->ctx, path, &f));
    TRY(compare_training(&d, f, out));
    TRY(compare_evaluation(&d, f, out));
    if (out->loss > out->tolerance || out->gradient > out->tolerance ||
        out->product > out->tolerance || out->next > out->tolerance ||
        out->evaluate > out->tolerance)
        st = refuse(&d, f, out);
done:
    mem_free(m->ctx, f);
    return st;
}
