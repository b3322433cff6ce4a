/* Every operation against PyTorch: the folders under zoo/, written by make_zoo.py, hold what torch
 * made of each family. Their own tolerance is 1e-9; this is rounding and nothing else. */
#include "base/file.h"
#include "data/safetensors.h"
#include "exec/backend.h"
#include "import/aten.h"
#include "import/import.h"
#include "test.h"

static const char *const families[] = {"pointwise", "choices",      "products", "convolutions",
                                       "pools",     "batch_norms",  "norms",    "moves",
                                       "losses",    "class_weights"};

static char *folder_of(const char *family, char *buf, size_t size)
{
    snprintf(buf, size, "tests/import/zoo/%s", family);
    return buf;
}

TEST(operations_agree_with_pytorch_to_second_order)
{
    drmad_ctx *ctx = test_ctx();

    for (size_t i = 0; i < COUNT(families); i++) {
        char dir[256];
        imported *m = NULL;
        import_parity p;

        CHECK_OK(ctx, import_open(ctx, folder_of(families[i], dir, sizeof dir), &m));
        if (!m) continue;
        CHECK_OK(ctx, import_check(m, &p));
        if (!(fmax(fmax(p.loss, p.gradient), fmax(fmax(p.product, p.next), p.evaluate)) < 1e-12))
            test_fail(__FILE__, __LINE__, "%s: loss %g, gradient %g, product %g", families[i],
                      p.loss, p.gradient, p.product);
        import_close(m);
    }
}

TEST(every_operation_of_the_table_is_in_the_zoo)
{
    drmad_ctx *ctx = test_ctx();

    for (int32_t def = 0; aten_name(def); def++) {
        bool found = false;
        for (size_t i = 0; i < COUNT(families) && !found; i++) {
            char dir[256], path[300];
            graph_file *f = NULL;
            snprintf(path, sizeof path, "%s/graph.json", folder_of(families[i], dir, sizeof dir));
            CHECK_OK(ctx, graph_file_read(ctx, path, &f));
            for (int32_t k = 0; f && k < f->train.n; k++) found |= f->train.node[k].def == def;
            graph_file_free(f);
        }
        if (!found) test_fail(__FILE__, __LINE__, "no %s", aten_name(def));
    }
}

/* ---- row losses ---- */

/* The losses of `count` of the stored examples, from `first` on, by the graph of the evaluation. */
static void row_losses(const imported *m, const st_file *stored, int64_t first, int64_t count,
                       double *out)
{
    drmad_ctx *ctx = test_ctx();
    const nn_pass pass = nn_evaluation();
    graph *g = NULL;
    import_nodes in = {0};
    plan *p = NULL;
    program *q = NULL;
    void *held[16] = {NULL};
    bool whole;
    int n = 0;

    CHECK_OK(ctx, graph_new(ctx, &g));
    CHECK_OK(ctx, import_leaves(g, m, count, &in));
    const module_result r = import_build(g, m, in.w, &in.batch, &pass, &whole, NULL);
    const plan_output y = {r.rows, -1};
    CHECK(!whole);
    CHECK_OK(ctx, plan_new(ctx, g, &y, 1, backend_cpu.target, &p));
    CHECK_OK(ctx, program_new(ctx, p, &backend_cpu, &q));
    for (int32_t i = 0; q && i < m->f->n_inputs; i++) {
        const import_slot *s = &m->slot[i];
        const dtype t = m->f->input[i].type == NUMBER_WHOLE ? I32 : F64;
        const shape row = import_lies(m->f, i, 0);
        const size_t size = (size_t)shape_count(&row) * dtype_size(t);
        node to = NODE_NONE;
        char name[256];
        if (s->as == AS_TENSOR)
            program_set_leaf(q, (int32_t)graph_rec(g, in.w[s->at])->attr.n,
                             m->start + m->params->at[s->at].offset);
        if (s->as == AS_CONSTANT)
            program_set_leaf(q, (int32_t)graph_rec(g, in.constant[s->at])->attr.n,
                             m->constants + m->constant[s->at].offset);
        if (s->as == AS_X) to = in.batch.x;
        if (s->as == AS_LABELS) to = in.batch.labels;
        if (s->as == AS_MORE) to = in.more[s->at];
        if (to == NODE_NONE) continue;
        snprintf(name, sizeof name, "input/%s", m->f->input[i].name);
        const char *rows = safetensors_find(stored, name)->data;
        held[n] = malloc((size_t)count * size);
        import_copy_rows(m->f, i, count, t, rows + (size_t)first * size, t, held[n]);
        program_set_leaf(q, (int32_t)graph_rec(g, to)->attr.n, held[n++]);
    }
    if (q) program_set_output(q, 0, out);
    if (q) CHECK_OK(ctx, program_run(q));
    while (n > 0) free(held[--n]);
    program_free(q);
    plan_free(p);
    import_leaves_free(m, &in);
    graph_free(g);
}

/* An example's row is the loss of a batch of that example alone: what the peeling promises. Batch
 * norm by the batch is no such loss, and a mean over weights of classes none over examples. */
TEST(row_losses_are_those_of_single_examples)
{
    drmad_ctx *ctx = test_ctx();
    enum { BATCH = 4 };

    for (size_t i = 0; i < COUNT(families); i++) {
        char dir[256], path[300];
        double all[BATCH], one;
        imported *m = NULL;
        st_file *stored = NULL;

        if (strcmp(families[i], "batch_norms") == 0) continue;
        if (strcmp(families[i], "class_weights") == 0) continue;
        folder_of(families[i], dir, sizeof dir);
        snprintf(path, sizeof path, "%s/parity.safetensors", dir);
        CHECK_OK(ctx, import_open(ctx, dir, &m));
        CHECK_OK(ctx, safetensors_read(ctx, path, &stored));
        if (m && stored) row_losses(m, stored, 0, BATCH, all);
        for (int64_t k = 0; m && stored && k < BATCH; k++) {
            row_losses(m, stored, k, 1, &one);
            CHECK_NEAR(all[k], one, 1e-12 * fabs(one) + 1e-13);
        }
        mem_free(ctx, stored);
        import_close(m);
    }
}

/* docs/GRAPH.md lists them too. */
TEST(every_operation_of_the_table_is_documented)
{
    drmad_ctx *ctx = test_ctx();
    char *page, word[64];
    size_t size;

    CHECK_OK(ctx, file_read_all(ctx, "docs/GRAPH.md", 1 << 20, &page, &size));
    for (int32_t def = 0; page && aten_name(def); def++) {
        snprintf(word, sizeof word, "`%s`", aten_name(def));
        if (!strstr(page, word)) test_fail(__FILE__, __LINE__, "no %s", word);
    }
    mem_free(ctx, page);
}

/* ---- what differs is found ---- */

static char *replaced(const char *text, const char *from, const char *to)
{
    const char *at = strstr(text, from);

    CHECK(at != NULL);
    if (!at) return strdup(text);
    char *out = malloc(strlen(text) + strlen(to) + 1);
    sprintf(out, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    return out;
}

static void copy_file(drmad_ctx *ctx, const char *from, const char *to, const char *name)
{
    char a[512], b[512], *bytes;
    size_t size;

    snprintf(a, sizeof a, "%s/%s", from, name);
    snprintf(b, sizeof b, "%s/%s", to, name);
    CHECK_OK(ctx, file_read_all(ctx, a, 1 << 24, &bytes, &size));
    CHECK_OK(ctx, file_write_atomic(ctx, b, bytes, size));
    mem_free(ctx, bytes);
}

/* The family with one text of its graph changed; gives what the comparison says. */
static drmad_status changed(const char *family, const char *from, const char *to)
{
    drmad_ctx *ctx = test_ctx();
    const char *dir = test_scratch();
    char zoo[256], path[512], *text;
    imported *m = NULL;
    import_parity p;
    size_t size;

    folder_of(family, zoo, sizeof zoo);
    copy_file(ctx, zoo, dir, "weights.safetensors");
    copy_file(ctx, zoo, dir, "parity.safetensors");
    snprintf(path, sizeof path, "%s/graph.json", zoo);
    CHECK_OK(ctx, file_read_all(ctx, path, 1 << 24, &text, &size));
    char *other = replaced(text, from, to);
    snprintf(path, sizeof path, "%s/graph.json", dir);
    CHECK_OK(ctx, file_write_atomic(ctx, path, other, strlen(other)));
    free(other);
    mem_free(ctx, text);
    drmad_status st = import_open(ctx, dir, &m);
    if (st == DRMAD_OK) st = import_check(m, &p);
    import_close(m);
    return st;
}

TEST(the_first_node_that_differs_is_named)
{
    drmad_ctx *ctx = test_ctx();

    CHECK_FAILS(ctx, changed("pointwise", "\"negative_slope\":0.2", "\"negative_slope\":0.21"),
                DRMAD_E_MODEL, "(leaky_relu, in m.leaky_relu): is the first that differs");
    CHECK_FAILS(ctx, changed("pointwise", "\"approximate\":\"tanh\"", "\"approximate\":\"none\""),
                DRMAD_E_MODEL, "(gelu, in m.gelu): is the first that differs");
    CHECK_FAILS(ctx, changed("norms", "\"group\":3", "\"group\":2"), DRMAD_E_MODEL,
                "(native_group_norm, in m.native_group_norm): is the first that differs");
    CHECK_FAILS(ctx, changed("convolutions", "\"groups\":2", "\"groups\":1"), DRMAD_E_MODEL,
                "(convolution, in m.convolution)");
}

/* A folder whose parity tensor `name` is off by a thousandth of its largest element. */
static drmad_status shaken(const char *family, const char *name)
{
    drmad_ctx *ctx = test_ctx();
    const char *dir = test_scratch();
    char zoo[256], path[300];
    st_file *f = NULL;
    imported *m = NULL;
    import_parity p;

    folder_of(family, zoo, sizeof zoo);
    copy_file(ctx, zoo, dir, "weights.safetensors");
    copy_file(ctx, zoo, dir, "graph.json");
    snprintf(path, sizeof path, "%s/parity.safetensors", zoo);
    CHECK_OK(ctx, safetensors_read(ctx, path, &f));
    const st_tensor *t = f ? safetensors_find(f, name) : NULL;
    CHECK(t != NULL);
    if (!t) return DRMAD_OK;
    *(double *)(uintptr_t)t->data *= 1.001;
    snprintf(path, sizeof path, "%s/parity.safetensors", dir);
    CHECK_OK(ctx, safetensors_write(ctx, path, f));
    drmad_status st = import_open(ctx, dir, &m);
    if (st == DRMAD_OK) st = import_check(m, &p);
    import_close(m);
    mem_free(ctx, f);
    return st;
}

TEST(each_number_is_compared)
{
    static const char *const names[] = {
        "loss",       "evaluate_loss",        "gradient/w3",
        "product/w3", "next/bn.running_mean", "next/bn.running_var"};
    drmad_ctx *ctx = test_ctx();

    for (size_t i = 0; i < COUNT(names); i++)
        CHECK_FAILS(ctx, shaken("batch_norms", names[i]), DRMAD_E_MODEL, "all nodes agree");
    CHECK_OK(ctx, shaken("batch_norms", "nodes"));
}
