/* Reads from the outside in: the frame, inputs, nodes in order, outputs. A name stands for what
 * came before it, so there are no cycles. Every table is as long as its JSON array, which the size
 * of the file bounds. */
#include "import/graph_file.h"
#include "base/file.h"
#include "import/aten.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ELEMENTS_MAX ((int64_t)1 << 40)

typedef struct reader {
    graph_file *f;
    json_t *names; /* of one part: name -> number of its value; of inputs at first */
} reader;

drmad_status graph_refuse(const graph_file *f, const graph_op *n, const char *fmt, ...)
{
    char text[768];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return FAIL(f->ctx, DRMAD_E_MODEL, "%.300s: node %s (%.60s%s%.200s): %s", f->path, n->name,
                n->op, n->module[0] ? ", in " : "", n->module, text);
}

shape sized_at(const sized *s, int64_t batch)
{
    shape out = s->of_one;

    for (int32_t i = 0; i < out.rank; i++)
        if ((s->batch >> i & 1) && __builtin_mul_overflow(out.dim[i], batch, &out.dim[i]))
            out.dim[i] = -1;
    return out;
}

static drmad_status bad(const reader *r, const char *where, const char *what)
{
    return FAIL(r->f->ctx, DRMAD_E_MODEL, "%.300s: %.200s: expected %s", r->f->path, where, what);
}

/* ---- texts, shapes, types ---- */

static bool is_name(const char *s)
{
    return s && s[0] && strlen(s) <= GRAPH_NAME_MAX;
}

/* A member that is a text of at most GRAPH_NAME_MAX bytes; NULL when it is none. */
static const char *text_of(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));

    return s && strlen(s) <= GRAPH_NAME_MAX ? s : NULL;
}

/* 28, or ["batch", 2]. */
static bool read_dim(const json_t *v, int64_t *dim, bool *batch)
{
    const char *word = json_string_value(json_array_get(v, 0));

    *batch = json_is_array(v);
    if (*batch && (json_array_size(v) != 2 || !word || strcmp(word, "batch") != 0)) return false;
    if (*batch) v = json_array_get(v, 1);
    *dim = json_integer_value(v);
    return json_is_integer(v) && *dim >= 0 && (*dim > 0 || !*batch);
}

static drmad_status read_size(const reader *r, const json_t *v, const char *where, sized *out)
{
    const size_t rank = json_array_size(v);
    int64_t count = 1;
    bool batch;

    if (!json_is_array(v) || rank > RANK_MAX)
        return bad(r, where, "a shape of at most 6 dimensions");
    *out = (sized){.of_one.rank = (int32_t)rank};
    for (size_t i = 0; i < rank; i++) {
        if (!read_dim(json_array_get(v, i), &out->of_one.dim[i], &batch))
            return bad(r, where, "dimensions that are numbers from 0, or [\"batch\", k]");
        if (batch && !r->f->any)
            return bad(r, where, "no \"batch\" in a shape where batch.any is false");
        out->batch |= (uint32_t)batch << i;
    }
    const shape s = sized_at(out, r->f->batch);
    for (int32_t i = 0; i < s.rank; i++)
        if (s.dim[i] < 0 || __builtin_mul_overflow(count, s.dim[i], &count) || count > ELEMENTS_MAX)
            return bad(r, where, "a shape of at most 2^40 elements");
    return DRMAD_OK;
}

static drmad_status read_type(const reader *r, const json_t *v, const char *where, number_type *out,
                              bool *real64)
{
    static const char *const words[] = {"f32", "f64", "i64", "bool"};
    static const number_type types[] = {NUMBER_REAL, NUMBER_REAL, NUMBER_WHOLE, NUMBER_BOOL};
    const char *word = json_string_value(v);

    for (size_t i = 0; word && i < COUNT(words); i++)
        if (strcmp(word, words[i]) == 0) {
            *out = types[i], *real64 = i == 1;
            return DRMAD_OK;
        }
    return bad(r, where, "a dtype: f32, f64, i64 or bool");
}

/* ---- the frame ---- */

static drmad_status read_frame(reader *r)
{
    graph_file *f = r->f;
    const json_t *version = json_object_get(f->root, "drmad_graph");
    const json_t *batch = json_object_get(f->root, "batch");
    const char *word = text_of(f->root, "dtype");

    if (!json_is_object(f->root) || !json_is_integer(version))
        return bad(r, "drmad_graph", "the format's version, a number");
    if (json_integer_value(version) != GRAPH_VERSION)
        return FAIL(f->ctx, DRMAD_E_MODEL,
                    "%.300s: version %lld of the format, this drmad reads %d; export again with "
                    "the matching package",
                    f->path, (long long)json_integer_value(version), GRAPH_VERSION);
    if (!word || (strcmp(word, "f32") != 0 && strcmp(word, "f64") != 0))
        return bad(r, "dtype", "f32 or f64");
    f->dtype = strcmp(word, "f64") == 0 ? F64 : F32;
    f->batch = json_integer_value(json_object_get(batch, "size"));
    f->any = json_is_true(json_object_get(batch, "any"));
    if (f->batch < 1 || f->batch > INT32_MAX) return bad(r, "batch.size", "a number from 1");
    return DRMAD_OK;
}

/* ---- inputs ---- */

static drmad_status remember(reader *r, const char *name, int32_t number)
{
    if (json_object_get(r->names, name))
        return FAIL(r->f->ctx, DRMAD_E_MODEL, "%.300s: two values are called \"%s\"", r->f->path,
                    name);
    if (json_object_set_new(r->names, name, json_integer(number)) == 0) return DRMAD_OK;
    return FAIL(r->f->ctx, DRMAD_E_NOMEM, "%.300s: out of memory for names", r->f->path);
}

static int32_t word_in(const char *word, const char *const *words, int32_t n)
{
    int32_t i = 0;

    while (word && i < n && strcmp(word, words[i]) != 0) i++;
    return word && i < n ? i : -1;
}

static drmad_status read_role(const reader *r, const json_t *v, graph_input *in)
{
    static const char *const roles[] = {"batch", "label", "parameter", "buffer", "constant"};
    static const char *const kinds[] = {"weight", "bias", "norm"}; /* in param_role's order */
    const json_t *layer = json_object_get(v, "layer");
    const int32_t role = word_in(text_of(v, "role"), roles, COUNT(roles));

    if (role < 0) return bad(r, in->name, "a role: batch, label, parameter, buffer or constant");
    in->role = (input_role)role;
    if (in->role == INPUT_BATCH || in->role == INPUT_LABEL) return DRMAD_OK;
    in->full = text_of(v, "full");
    if (!is_name(in->full)) return bad(r, in->name, "its full name");
    in->kind = PARAM_STAT, in->layer = -1; /* of no layer: names of layers leave it out */
    if (in->role != INPUT_PARAMETER) return DRMAD_OK;
    in->layer = (int32_t)json_integer_value(layer);
    if (!json_is_integer(layer) || in->layer < 0 || in->layer > GRAPH_NODES_MAX)
        return bad(r, in->name, "a layer from 0");
    const int32_t kind = word_in(text_of(v, "kind"), kinds, COUNT(kinds));
    if (kind < 0) return bad(r, in->name, "a kind: weight, bias or norm");
    in->kind = (param_role)kind;
    return DRMAD_OK;
}

/* Rows of examples, real where they must be. */
static drmad_status check_input(const reader *r, const graph_input *in)
{
    const bool rows = in->role == INPUT_BATCH || in->role == INPUT_LABEL;
    const sized *s = &in->size;

    if (rows && (s->of_one.rank < 1 || sized_at(s, r->f->batch).dim[0] != r->f->batch ||
                 (r->f->any && s->batch != 1u)))
        return bad(r, in->name, "the examples along the first dimension and nowhere else");
    if (!rows && s->batch != 0) return bad(r, in->name, "a shape without \"batch\"");
    if (in->role == INPUT_LABEL && in->type != NUMBER_WHOLE)
        return bad(r, in->name, "whole numbers (i64) as labels; real targets have role batch");
    if (rows && in->type == NUMBER_BOOL) return bad(r, in->name, "real or whole numbers");
    if ((in->role == INPUT_PARAMETER || in->role == INPUT_BUFFER) && in->type != NUMBER_REAL)
        return bad(r, in->name, "real numbers in a parameter or buffer");
    if (in->type == NUMBER_REAL && in->real64 != (r->f->dtype == F64))
        return bad(r, in->name, "the dtype of the whole");
    return DRMAD_OK;
}

static drmad_status read_input(reader *r, const json_t *v, int32_t i)
{
    graph_input *in = &r->f->input[i];
    drmad_status st;

    in->name = text_of(v, "name");
    if (!is_name(in->name)) return bad(r, "inputs", "a name of 1 to 200 bytes for each");
    TRY(read_role(r, v, in));
    TRY(read_size(r, json_object_get(v, "shape"), in->name, &in->size));
    TRY(read_type(r, json_object_get(v, "dtype"), in->name, &in->type, &in->real64));
    TRY(check_input(r, in));
    TRY(remember(r, in->name, i));
done:
    return st;
}

static drmad_status read_inputs(reader *r)
{
    const json_t *list = json_object_get(r->f->root, "inputs");
    const size_t n = json_array_size(list);
    drmad_status st = DRMAD_OK;
    int32_t labels = 0, batches = 0;

    if (n < 1 || n > GRAPH_INPUTS_MAX) return bad(r, "inputs", "a list of 1 to 20000 inputs");
    TRY(mem_alloc(r->f->ctx, n, sizeof *r->f->input, &r->f->input));
    for (r->f->n_inputs = 0; r->f->n_inputs < (int32_t)n; r->f->n_inputs++) {
        const int32_t i = r->f->n_inputs;
        TRY(read_input(r, json_array_get(list, (size_t)i), i));
        labels += r->f->input[i].role == INPUT_LABEL;
        batches += r->f->input[i].role == INPUT_BATCH;
    }
    if (labels > 1 || batches < 1)
        st = bad(r, "inputs", "at least one input of role batch and at most one of role label");
done:
    return st;
}

/* ---- nodes ---- */

/* "n3", or "n3:4": its output number 4. */
static bool find_operand(const reader *r, const char *text, operand *out)
{
    char name[GRAPH_NAME_MAX + 1];
    const char *colon = text ? strrchr(text, ':') : NULL;
    const json_t *v = is_name(text) ? json_object_get(r->names, text) : NULL;

    out->side = 0;
    if (!v && is_name(text) && colon && colon[1] >= '0' && colon[1] < '0' + GRAPH_SIDE &&
        colon[2] == '\0') {
        snprintf(name, sizeof name, "%.*s", (int)(colon - text), text);
        v = json_object_get(r->names, name);
        out->side = colon[1] - '0';
    }
    out->at = v ? (int32_t)json_integer_value(v) : -1;
    return v != NULL;
}

static drmad_status read_operands(const reader *r, const json_t *v, graph_op *n, operand *to)
{
    const json_t *list = json_object_get(v, "in");

    n->in = to;
    n->n_in = (int32_t)json_array_size(list);
    for (int32_t i = 0; i < n->n_in; i++) {
        const json_t *one = json_array_get(list, (size_t)i);
        if (json_is_null(one)) to[i] = (operand){-1, 0};
        else if (!find_operand(r, json_string_value(one), &to[i]))
            return graph_refuse(r->f, n, "operand %d is \"%.200s\", which no value before it is",
                                (int)i, json_is_string(one) ? json_string_value(one) : "?");
    }
    return DRMAD_OK;
}

static drmad_status read_node(reader *r, const json_t *v, graph_op *n, operand *to)
{
    drmad_status st;
    bool real64;

    n->name = text_of(v, "name"), n->op = text_of(v, "op"), n->module = text_of(v, "module");
    if (!is_name(n->name) || !is_name(n->op)) return bad(r, "nodes", "a name and an op for each");
    if (!n->module) n->module = "";
    n->def = aten_find(n->op);
    if (n->def < 0)
        return graph_refuse(r->f, n,
                            "no such operation here; train this model through Python "
                            "(engine=\"callback\")");
    n->attr = json_object_get(v, "attr");
    if (n->attr && !json_is_object(n->attr)) return graph_refuse(r->f, n, "attr is no object");
    TRY(read_size(r, json_object_get(v, "shape"), n->name, &n->size));
    TRY(read_type(r, json_object_get(v, "dtype"), n->name, &n->type, &real64));
    if (n->type == NUMBER_REAL && real64 != (r->f->dtype == F64))
        TRY(graph_refuse(r->f, n, "is %s in a graph of %s", real64 ? "f64" : "f32",
                         dtype_name(r->f->dtype)));
    TRY(read_operands(r, v, n, to));
done:
    return st;
}

/* How many operands there are in all. */
static drmad_status count_operands(const reader *r, const json_t *list, size_t *out)
{
    *out = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *in = json_object_get(json_array_get(list, i), "in");
        if (!json_is_array(in) || json_array_size(in) > GRAPH_OPERANDS_MAX)
            return bad(r, "nodes", "`in` of each, a list of at most 64 names");
        *out += json_array_size(in);
    }
    return DRMAD_OK;
}

static drmad_status read_nodes(reader *r, const json_t *list, graph_part *p)
{
    const size_t n = json_array_size(list);
    drmad_status st = DRMAD_OK;
    size_t operands;

    if (!json_is_array(list) || n > GRAPH_NODES_MAX)
        return FAIL(r->f->ctx, DRMAD_E_MODEL, "%.300s: %zu nodes, expected a list of at most %d",
                    r->f->path, n, GRAPH_NODES_MAX);
    TRY(count_operands(r, list, &operands));
    TRY(mem_alloc(r->f->ctx, n + 1, sizeof *p->node, &p->node));
    TRY(mem_alloc(r->f->ctx, operands + 1, sizeof *p->operands, &p->operands));
    operand *to = p->operands;
    for (p->n = 0; p->n < (int32_t)n; p->n++) {
        graph_op *one = &p->node[p->n];
        TRY(read_node(r, json_array_get(list, (size_t)p->n), one, to));
        TRY(remember(r, one->name, r->f->n_inputs + p->n));
        to += one->n_in;
    }
done:
    return st;
}

/* ---- outputs ---- */

static drmad_status read_next(reader *r, const json_t *v, graph_part *p)
{
    drmad_status st = DRMAD_OK;
    const char *full;
    json_t *to;

    TRY(mem_alloc(r->f->ctx, json_object_size(v) + 1, sizeof *p->next, &p->next));
    json_object_foreach((json_t *)(uintptr_t)v, full, to)
    {
        graph_next *n = &p->next[p->n_next++];
        int32_t i = 0;
        while (i < r->f->n_inputs &&
               !(r->f->input[i].role == INPUT_BUFFER && strcmp(r->f->input[i].full, full) == 0))
            i++;
        n->input = i;
        if (i == r->f->n_inputs || !find_operand(r, json_string_value(to), &n->value))
            return bad(r, "buffers", "names of buffers and of values");
    }
done:
    return st;
}

static drmad_status read_part(reader *r, const char *key, graph_part *p)
{
    const json_t *v = json_object_get(r->f->root, key), *scores = json_object_get(v, "scores");
    json_t *inputs = r->names;
    drmad_status st = DRMAD_OK;

    if (!json_is_object(v)) return bad(r, key, "an object");
    r->names = json_copy(inputs);
    if (!r->names) TRY(FAIL(r->f->ctx, DRMAD_E_NOMEM, "%.300s: out of memory", r->f->path));
    TRY(read_nodes(r, json_object_get(v, "nodes"), p));
    if (!find_operand(r, json_string_value(json_object_get(v, "loss")), &p->loss))
        TRY(bad(r, "loss", "the name of a value"));
    p->scores = (operand){-1, 0};
    if (scores && !json_is_null(scores) && !find_operand(r, json_string_value(scores), &p->scores))
        TRY(bad(r, "scores", "the name of a value, or null"));
    if (p == &r->f->train) TRY(read_next(r, json_object_get(v, "buffers"), p));
done:
    if (r->names != inputs) json_decref(r->names);
    r->names = inputs;
    return st;
}

/* ---- the file ---- */

static drmad_status parse_json(reader *r, const blob *b)
{
    json_error_t err;

    if (b->size > GRAPH_BYTES_MAX)
        return FAIL(r->f->ctx, DRMAD_E_MODEL, "%.300s: %zu bytes, at most %d are read", b->name,
                    b->size, GRAPH_BYTES_MAX);
    r->f->root = json_loadb((const char *)b->at, b->size, JSON_REJECT_DUPLICATES, &err);
    r->names = json_object();
    if (r->names && r->f->root) return DRMAD_OK;
    if (!r->names || json_error_code(&err) == json_error_out_of_memory)
        return FAIL(r->f->ctx, DRMAD_E_NOMEM, "%.300s: out of memory", b->name);
    return FAIL(r->f->ctx, DRMAD_E_MODEL, "%.300s: line %d, column %d: %s", b->name, err.line,
                err.column, err.text);
}

drmad_status graph_file_parse(drmad_ctx *ctx, const blob *b, graph_file **out)
{
    reader r = {NULL, NULL};
    drmad_status st;

    *out = NULL;
    TRY(mem_alloc(ctx, 1, sizeof *r.f, &r.f));
    r.f->ctx = ctx;
    TRY(mem_strdup(ctx, b->name, &r.f->path));
    TRY(parse_json(&r, b));
    TRY(read_frame(&r));
    TRY(read_inputs(&r));
    TRY(read_part(&r, "train", &r.f->train));
    TRY(read_part(&r, "evaluate", &r.f->evaluate));
    *out = r.f, r.f = NULL;
done:
    json_decref(r.names);
    graph_file_free(r.f);
    return st;
}

drmad_status graph_file_read(drmad_ctx *ctx, const char *path, graph_file **out)
{
    char *bytes;
    size_t size;
    drmad_status st = file_read_all(ctx, path, GRAPH_BYTES_MAX, &bytes, &size);

    *out = NULL;
    if (st != DRMAD_OK) return st;
    st = graph_file_parse(ctx, &(blob){.name = path, .at = (const uint8_t *)bytes, .size = size},
                          out);
    mem_free(ctx, bytes);
    return st;
}

static void part_free(drmad_ctx *ctx, graph_part *p)
{
    mem_free(ctx, p->node);
    mem_free(ctx, p->operands);
    mem_free(ctx, p->next);
}

void graph_file_free(graph_file *f)
{
    if (!f) return;
    part_free(f->ctx, &f->train);
    part_free(f->ctx, &f->evaluate);
    mem_free(f->ctx, f->input);
    mem_free(f->ctx, f->path);
    json_decref(f->root);
    mem_free(f->ctx, f);
}
