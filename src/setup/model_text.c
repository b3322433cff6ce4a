/* What is in an imported folder, for people and as JSON. */
#include "base/text.h"
#include "setup/model.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How many nodes each operation has, most first where they are printed. */
static json_t *count_ops(const graph_part *p)
{
    json_t *ops = json_object();

    for (int32_t i = 0; ops && i < p->n; i++) {
        const json_t *had = json_object_get(ops, p->node[i].op);
        json_object_set_new(ops, p->node[i].op, json_integer(json_integer_value(had) + 1));
    }
    return ops;
}

static json_t *list_shape(const sized *s)
{
    json_t *dims = json_array();

    for (int32_t i = 0; dims && i < s->of_one.rank; i++) {
        const json_int_t n = (json_int_t)s->of_one.dim[i];
        json_array_append_new(dims,
                              s->batch >> i & 1 ? json_pack("[sI]", "batch", n) : json_integer(n));
    }
    return dims;
}

static json_t *list_inputs(const graph_file *f)
{
    static const char *const roles[] = {"batch", "label", "parameter", "buffer", "constant"};
    json_t *list = json_array();

    for (int32_t i = 0; list && i < f->n_inputs; i++) {
        const graph_input *in = &f->input[i];
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:o}", "name", in->full ? in->full : in->name,
                                        "role", roles[in->role], "shape", list_shape(&in->size)));
    }
    return list;
}

static json_t *describe(const drmad_model *m)
{
    const graph_file *f = m->import->f;
    const import_parity *p = &m->parity;
    const char *producer = json_string_value(json_object_get(f->root, "producer"));

    return json_pack(
        "{s:s, s:s, s:s, s:I, s:b, s:b, s:I, s:o, s:o, s:o, s:{s:f,s:f,s:f,s:f,s:f,s:f}}", "folder",
        m->name, "producer", producer ? producer : "", "dtype", dtype_name(m->dtype), "batch",
        (json_int_t)f->batch, "any_batch", f->any, "row_losses", !m->import->module.whole,
        "parameters", (json_int_t)m->params->weights, "inputs", list_inputs(f), "train",
        count_ops(&f->train), "evaluate", count_ops(&f->evaluate), "parity", "loss", p->loss,
        "gradient", p->gradient, "product", p->product, "statistics", p->next, "evaluate_loss",
        p->evaluate, "tolerance", p->tolerance);
}

/* "relu 3, addmm 2", as many as fit. */
static void put_ops(const graph_part *p, char *to, size_t size)
{
    json_t *ops = count_ops(p), *n;
    const char *op, *most = "";
    size_t at = 0;

    to[0] = '\0';
    while (most && at < size) {
        json_int_t best = 0;
        most = NULL;
        json_object_foreach(ops, op, n)
        {
            if (json_integer_value(n) > best) best = json_integer_value(n), most = op;
        }
        if (!most) break;
        at += (size_t)snprintf(to + at, size - at, "%s%s %lld", at ? ", " : "", most,
                               (long long)best);
        json_object_del(ops, most);
    }
    json_decref(ops);
}

static size_t put_inputs(const graph_file *f, char *to, size_t size)
{
    size_t at = 0;
    char text[96];

    for (int32_t i = 0; i < f->n_inputs && at < size; i++) {
        const graph_input *in = &f->input[i];
        if (in->role != INPUT_BATCH && in->role != INPUT_LABEL) continue;
        const shape s = sized_at(&in->size, f->batch);
        at += (size_t)snprintf(to + at, size - at, "%s%s %s%s", at ? ", " : "", in->name,
                               shape_print(&s, text, sizeof text),
                               in->role == INPUT_LABEL ? " (labels)" : "");
    }
    return at;
}

static void put_text(const drmad_model *m, char *to, size_t size)
{
    const graph_file *f = m->import->f;
    const import_parity *p = &m->parity;
    const char *producer = json_string_value(json_object_get(f->root, "producer"));
    char train[1024], inputs[1024];

    put_ops(&f->train, train, sizeof train);
    put_inputs(f, inputs, sizeof inputs);
    snprintf(to, size,
             "model       %s, by %s\n"
             "inputs      %s; %s, %s\n"
             "parameters  %lld weights in %d tensors, running statistics among them\n"
             "training    %d nodes: %s\n"
             "evaluation  %d nodes; %s\n"
             "parity      loss %.1e, gradient %.1e, Hessian-vector product %.1e, statistics %.1e, "
             "evaluation %.1e; at most %.0e\n",
             m->name, producer ? producer : "nobody", inputs, dtype_name(m->dtype),
             f->any ? "batches of any size" : "batches of this size alone",
             (long long)m->params->weights, (int)m->params->n, (int)f->train.n, train,
             (int)f->evaluate.n,
             m->import->module.whole ? "the loss is no mean over examples" : "a loss an example",
             p->loss, p->gradient, p->product, p->next, p->evaluate, p->tolerance);
}

drmad_status model_describe(drmad_model *m)
{
    enum { TEXT_SIZE = 4096 };
    drmad_status st = DRMAD_OK;
    json_t *root = describe(m);
    char *json = root ? json_dumps(root, JSON_COMPACT) : NULL;

    if (!json) TRY(FAIL(m->ctx, DRMAD_E_NOMEM, "%s: out of memory for its description", m->name));
    TRY(mem_strdup(m->ctx, json, &m->json));
    TRY(mem_alloc(m->ctx, TEXT_SIZE, 1, &m->text));
    put_text(m, m->text, TEXT_SIZE);
done:
    free(json);
    json_decref(root);
    return st;
}
