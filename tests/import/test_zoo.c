/* Every operation against PyTorch: the folders under zoo/, written by make_zoo.py, hold what torch
 * made of each family. Their own tolerance is 1e-9; this is rounding and nothing else. */
#include "base/file.h"
#include "import/aten.h"
#include "import/import.h"
#include "test.h"

static const char *const families[] = {"pointwise", "choices",     "products", "convolutions",
                                       "pools",     "batch_norms", "norms",    "moves"};

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
        if (!(fmax(fmax(p.loss, p.gradient), fmax(p.product, p.evaluate)) < 1e-12))
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
