/* Datasets and sources: fault F13, real MNIST, the names that outputs will carry. */
#include "base/file.h"
#include "bytes.h"
#include "data/dataset.h"
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

static array make(drmad_ctx *ctx, dtype t, shape s, const void *data)
{
    array a = {.dtype = t, .shape = s};
    const size_t n = (size_t)shape_count(&s) * dtype_size(t);

    if (mem_alloc(ctx, n ? n : 1, 1, &a.data) != DRMAD_OK) abort();
    if (n) memcpy(a.data, data, n);
    return a;
}

/* Two rows of two numbers. */
static drmad_status build(drmad_ctx *ctx, const float rows[4], const int32_t labels[2],
                          int32_t classes, dataset **out)
{
    array r = make(ctx, F32, SHAPE(2, 2), rows), l = make(ctx, I32, SHAPE(2), labels);

    return dataset_new(ctx, "set", &r, &l, classes, out);
}

TEST(a_dataset_is_what_its_arrays_say)
{
    drmad_ctx *ctx = test_ctx();
    const float rows[] = {0, 1, 2, 3};
    const uint8_t labels[] = {2, 0};
    array r = make(ctx, F32, SHAPE(2, 2), rows), l = make(ctx, U8, SHAPE(2), labels);
    dataset *d = NULL;

    CHECK_OK(ctx, dataset_new(ctx, "set", &r, &l, 0, &d));
    if (!d) return;
    CHECK(d->n == 2 && d->width == 2 && d->row.rank == 1 && d->row.dim[0] == 2);
    CHECK(d->dtype == F32 && ((float *)d->rows)[3] == 3);
    CHECK(d->labels[0] == 2 && d->labels[1] == 0 && d->classes == 3);
    CHECK(r.data == NULL && l.data == NULL);
    dataset_free(d);
}

TEST(the_hash_follows_rows_labels_classes_and_shape)
{
    drmad_ctx *ctx = test_ctx();
    const float rows[] = {0, 1, 2, 3}, other[] = {0, 1, 2, 4};
    char seen[5][SHA256_TEXT];
    dataset *d = NULL;

    for (int i = 0; i < 5; i++) {
        const int32_t labels[] = {0, i == 1};
        array r = make(ctx, F32, i == 4 ? SHAPE(2, 1, 2) : SHAPE(2, 2), i == 2 ? other : rows);
        array l = make(ctx, I32, SHAPE(2), labels);
        CHECK_OK(ctx, dataset_new(ctx, "set", &r, &l, i == 3 ? 3 : 2, &d));
        if (!d) return;
        memcpy(seen[i], d->sha256, sizeof seen[i]);
        CHECK_INT(strlen(seen[i]), 64);
        for (int k = 0; k < i; k++) CHECK(strcmp(seen[i], seen[k]) != 0);
        dataset_free(d);
    }
}

TEST(bad_labels_and_pixels_are_refused_with_their_place)
{
    drmad_ctx *ctx = test_ctx();
    const float rows[] = {0, 1, 2, 3}, nan_row[] = {0, 1, NAN, 3}, inf_row[] = {0, 1, 2, -INFINITY};
    dataset *d;

    CHECK_FAILS(ctx, build(ctx, rows, (int32_t[]){0, 3}, 3, &d), DRMAD_E_DATA,
                "set: label 1 is 3, expected 0 to 2");
    CHECK_FAILS(ctx, build(ctx, rows, (int32_t[]){-1, 0}, 0, &d), DRMAD_E_DATA, "label 0 is -1");
    CHECK_FAILS(ctx, build(ctx, rows, (int32_t[]){0, INT32_MAX}, 0, &d), DRMAD_E_DATA,
                "label 1 is 2147483647, expected 0 to 65535");
    CHECK_FAILS(ctx, build(ctx, nan_row, (int32_t[]){0, 1}, 2, &d), DRMAD_E_DATA,
                "row 1, element 0: nan");
    CHECK_FAILS(ctx, build(ctx, inf_row, (int32_t[]){0, 1}, 2, &d), DRMAD_E_DATA,
                "row 1, element 1: -inf");
    CHECK(d == NULL);
}

TEST(arrays_that_make_no_dataset_are_refused)
{
    const struct {
        dtype rows, labels;
        shape row, label;
        const char *text;
    } cases[] = {
        {U8, I32, {.rank = 2, .dim = {0, 2}}, {.rank = 1, .dim = {0}}, "shape [0,2]"},
        {U8, I32, {.rank = 2, .dim = {2, 0}}, {.rank = 1, .dim = {2}}, "shape [2,0]"},
        {U8, I32, {.rank = 0}, {.rank = 0}, "shape []"},
        {U8, F32, {.rank = 2, .dim = {2, 2}}, {.rank = 1, .dim = {2}}, "labels are f32"},
        {U8, I32, {.rank = 2, .dim = {2, 2}}, {.rank = 2, .dim = {2, 1}}, "[2,1], expected one"},
        {U8, I32, {.rank = 2, .dim = {2, 2}}, {.rank = 1, .dim = {3}}, "3 labels for 2 rows"},
    };
    drmad_ctx *ctx = test_ctx();
    static const uint8_t zeros[64];
    dataset *d;

    for (size_t i = 0; i < COUNT(cases); i++) {
        array r = make(ctx, cases[i].rows, cases[i].row, zeros);
        array l = make(ctx, cases[i].labels, cases[i].label, zeros);
        CHECK_FAILS(ctx, dataset_new(ctx, "set", &r, &l, 0, &d), DRMAD_E_DATA, cases[i].text);
        CHECK(d == NULL && r.data == NULL && l.data == NULL);
    }
}

static void write_bytes(drmad_ctx *ctx, const char *path, bytes *b)
{
    CHECK_OK(ctx, file_write_atomic(ctx, path, b->at, b->n));
    free(b->at);
}

/* A folder in MNIST's layout: n training images of 2 x 2 and one test image. */
static void small_folder(drmad_ctx *ctx, const char *dir, uint32_t n, uint8_t last_label)
{
    static const char *const stems[] = {"train", "t10k"};

    for (int part = 0; part < 2; part++) {
        const uint32_t count = part ? 1 : n;
        bytes rows = {0}, labels = {0};
        char name[64];
        put_idx_head(&rows, 8, 3, (uint32_t[]){count, 2, 2});
        put_random(&rows, 4 * count, 5 + (uint64_t)part);
        put_idx_head(&labels, 8, 1, &count);
        for (uint32_t i = 0; i < count; i++) put_byte(&labels, i + 1 == count ? last_label : 0);
        snprintf(name, sizeof name, "%s-images-idx3-ubyte", stems[part]);
        write_bytes(ctx, in(dir, name), &rows);
        snprintf(name, sizeof name, "%s-labels-idx1-ubyte", stems[part]);
        write_bytes(ctx, in(dir, name), &labels);
    }
}

TEST(other_sets_in_mnists_layout_carry_their_folders_name)
{
    drmad_ctx *ctx = test_ctx();
    char dir[400];
    source_spec spec = {.kind = "mnist", .dir = dir};
    dataset *train, *test;

    snprintf(dir, sizeof dir, "%s/fashion", test_scratch());
    CHECK_OK(ctx, file_make_folder(ctx, dir));
    small_folder(ctx, dir, 5, 9);
    CHECK_OK(ctx, source_open(ctx, &spec, &train, &test));
    if (!train || !test) return;
    CHECK_STR(train->name, "fashion/train");
    CHECK_STR(test->name, "fashion/test");
    CHECK(train->n == 5 && train->width == 4 && train->classes == 10 && test->n == 1);
    dataset_free(train);
    dataset_free(test);

    small_folder(ctx, dir, 5, 10);
    CHECK_FAILS(ctx, source_open(ctx, &spec, &train, &test), DRMAD_E_DATA,
                "train-labels-idx1-ubyte: label 4 is 10, expected 0 to 9");
    CHECK(train == NULL && test == NULL);
    CHECK(unlink(in(dir, "t10k-images-idx3-ubyte")) == 0);
    small_folder(ctx, dir, 5, 9);
    CHECK(unlink(in(dir, "t10k-images-idx3-ubyte")) == 0);
    CHECK_FAILS(ctx, source_open(ctx, &spec, &train, &test), DRMAD_E_IO,
                "t10k-images-idx3-ubyte.gz");
    CHECK(train == NULL && test == NULL);
}

TEST(real_mnist_is_read_and_named)
{
    drmad_ctx *ctx = test_ctx();
    const source_spec spec = {.kind = "mnist", .dir = test_data("mnist")};
    dataset *train, *test;
    int64_t sum = 0;

    CHECK_OK(ctx, source_open(ctx, &spec, &train, &test));
    if (!train || !test) return;
    CHECK_STR(train->name, "mnist/train");
    CHECK_STR(test->name, "mnist/test");
    CHECK(train->n == 60000 && test->n == 10000 && train->width == 784 && train->dtype == U8);
    CHECK(train->classes == 10 && test->classes == 10);
    CHECK(train->labels[0] == 5 && train->labels[1] == 0 &&
          train->labels[2] == 4); /* as published */
    for (int64_t i = 0; i < train->n * train->width; i++) sum += ((uint8_t *)train->rows)[i];
    CHECK_NEAR((double)sum / 255 / 47040000, 0.1307, 5e-5); /* the mean that everybody subtracts */
    dataset_free(train);
    dataset_free(test);
}

TEST(sources_that_make_no_sense_are_refused)
{
    drmad_ctx *ctx = test_ctx();
    char dir[400], a[500], b[500], c[500];
    dataset *train, *test;
    source_spec spec = {.kind = "imagenet"};

    CHECK_FAILS(ctx, source_open(ctx, &spec, &train, &test), DRMAD_E_CONFIG, "\"imagenet\"");
    spec.kind = "cifar";
    CHECK_FAILS(ctx, source_open(ctx, &spec, &train, &test), DRMAD_E_CONFIG, "expected dir");
    spec.kind = "mnist";
    CHECK_FAILS(ctx, source_open(ctx, &spec, &train, &test), DRMAD_E_CONFIG, "expected dir");
    spec.kind = "files";
    CHECK_FAILS(ctx, source_open(ctx, &spec, &train, &test), DRMAD_E_CONFIG, "rows and labels");

    snprintf(dir, sizeof dir, "%s", test_scratch());
    small_folder(ctx, dir, 3, 2);
    snprintf(a, sizeof a, "%s/train-images-idx3-ubyte", dir);
    snprintf(b, sizeof b, "%s/train-labels-idx1-ubyte", dir);
    snprintf(c, sizeof c, "%s/float.npy", dir);
    spec.train_rows = a, spec.train_labels = b;
    CHECK_OK(ctx, source_open(ctx, &spec, &train, &test));
    CHECK(train && train->classes == 3 && test == NULL);
    dataset_free(train);

    spec.test_rows = c;
    CHECK_FAILS(ctx, source_open(ctx, &spec, &train, &test), DRMAD_E_CONFIG, "or neither");
    bytes rows = npy("'<f4'", "False", "(3, 2, 2)", (float[12]){0}, 48);
    write_bytes(ctx, c, &rows);
    spec.test_labels = b;
    CHECK_FAILS(ctx, source_open(ctx, &spec, &train, &test), DRMAD_E_DATA,
                "rows are f32 [2,2], expected u8 [2,2]");
    CHECK(train == NULL && test == NULL);
}

static drmad_status open_body(drmad_ctx *ctx, void *arg)
{
    const source_spec spec = {.kind = "mnist", .dir = arg};
    dataset *train, *test;
    drmad_status st = source_open(ctx, &spec, &train, &test);

    dataset_free(train);
    dataset_free(test);
    return st;
}

TEST(sources_survive_every_failing_allocation)
{
    drmad_ctx *ctx = test_ctx();
    char dir[400];

    snprintf(dir, sizeof dir, "%s", test_scratch());
    small_folder(ctx, dir, 3, 2);
    test_oom(open_body, dir);
}
