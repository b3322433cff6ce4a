/* CIFAR-10 and CIFAR-100, the binary releases. */
#include "data/cifar.h"
#include "data/dataset.h"
#include <stdio.h>
#include <unistd.h>

enum { SIDE = 32, PLANE = SIDE * SIDE, PIXELS = 3 * PLANE, CIFAR_BYTES_MAX = 1 << 30 };

/* The two releases: a record is one or two labels, then a plane each of red, green and blue. */
typedef struct cifar_kind {
    const char *name;
    const char *train[5], *test;
    int files, labels; /* labels: bytes before the pixels; the last one is the class */
    int32_t classes;
} cifar_kind;

static const cifar_kind cifar10 = {"cifar10",
                                   {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                                    "data_batch_4.bin", "data_batch_5.bin"},
                                   "test_batch.bin",
                                   5,
                                   1,
                                   10};
static const cifar_kind cifar100 = {"cifar100", {"train.bin"}, "test.bin", 1, 2, 100};

static bool there(const char *dir, const char *file)
{
    char path[4096];

    snprintf(path, sizeof path, "%s/%s", dir, file);
    return access(path, F_OK) == 0;
}

static drmad_status cifar_find(drmad_ctx *ctx, const char *dir, const cifar_kind **out)
{
    *out = there(dir, cifar10.train[0]) ? &cifar10 : &cifar100;
    if (there(dir, (*out)->train[0])) return DRMAD_OK;
    if (there(dir, "data_batch_1") || (there(dir, "train") && there(dir, "meta")))
        return FAIL(ctx, DRMAD_E_UNSAFE,
                    "%s: the Python version of CIFAR, made of pickles, which can run code; get "
                    "the binary version (cifar-10-binary.tar.gz, cifar-100-binary.tar.gz)",
                    dir);
    return FAIL(ctx, DRMAD_E_DATA,
                "%s: expected data_batch_1.bin to data_batch_5.bin (CIFAR-10) or train.bin "
                "(CIFAR-100) in data.dir",
                dir);
}

/* Planes to pixels. */
static void cifar_row(const uint8_t *from, uint8_t *to)
{
    for (int i = 0; i < PLANE; i++)
        for (int c = 0; c < 3; c++) to[3 * i + c] = from[c * PLANE + i];
}

drmad_status cifar_parse(drmad_ctx *ctx, const blob *b, bool hundred, array *rows, array *labels)
{
    const cifar_kind *k = hundred ? &cifar100 : &cifar10;
    const size_t record = (size_t)k->labels + PIXELS, had = (size_t)rows->shape.dim[0];
    const size_t n = b->size / record;
    drmad_status st = DRMAD_OK;

    if (n == 0 || b->size % record != 0)
        return FAIL(ctx, DRMAD_E_DATA,
                    "%s: %zu bytes, expected a multiple of %zu, the size of a record; byte %zu is "
                    "where a whole one ends",
                    b->name, b->size, record, n * record);
    TRY(mem_resize(ctx, &rows->data, had * PIXELS, (had + n) * PIXELS, 1));
    TRY(mem_resize(ctx, &labels->data, had, had + n, sizeof(int32_t)));
    for (size_t i = 0; i < n; i++) {
        const uint8_t *at = b->at + i * record;
        const int32_t label = at[k->labels - 1];

        if (label >= k->classes)
            TRY(FAIL(ctx, DRMAD_E_DATA, "%s: byte %zu: label %d, expected 0 to %d", b->name,
                     i * record + (size_t)k->labels - 1, label, k->classes - 1));
        ((int32_t *)labels->data)[had + i] = label;
        cifar_row(at + k->labels, (uint8_t *)rows->data + (had + i) * PIXELS);
    }
    rows->shape.dim[0] = labels->shape.dim[0] = (int64_t)(had + n);
done:
    return st;
}

void cifar_empty(array *rows, array *labels)
{
    *rows = (array){.dtype = U8, .shape = SHAPE(0, SIDE, SIDE, 3)};
    *labels = (array){.dtype = I32, .shape = SHAPE(0)};
}

static drmad_status cifar_part(drmad_ctx *ctx, const source_spec *s, const cifar_kind *k, bool test,
                               dataset **out)
{
    array rows, labels;
    char path[4096], name[64];
    drmad_status st = DRMAD_OK;
    blob b = {0};

    cifar_empty(&rows, &labels);
    for (int i = 0; i < (test ? 1 : k->files); i++) {
        snprintf(path, sizeof path, "%s/%s", s->dir, test ? k->test : k->train[i]);
        TRY(blob_load(ctx, path, CIFAR_BYTES_MAX, &b));
        TRY(cifar_parse(ctx, &b, k == &cifar100, &rows, &labels));
        blob_free(ctx, &b);
    }
    snprintf(name, sizeof name, "%s/%s", k->name, test ? "test" : "train");
    TRY(dataset_new(ctx, name, &rows, &labels, k->classes, out));
done:
    blob_free(ctx, &b);
    array_free(ctx, &rows);
    array_free(ctx, &labels);
    return st;
}

static drmad_status open_cifar(drmad_ctx *ctx, const source_spec *s, dataset **train,
                               dataset **test)
{
    const cifar_kind *k;
    drmad_status st;

    if (!s->dir) return FAIL(ctx, DRMAD_E_CONFIG, "data source cifar: expected dir, its folder");
    if (s->size != 0 && s->size != SIDE)
        return FAIL(ctx, DRMAD_E_CONFIG, "data.size: %d, CIFAR's pictures are %d x %d", s->size,
                    SIDE, SIDE);
    TRY(cifar_find(ctx, s->dir, &k));
    TRY(cifar_part(ctx, s, k, false, train));
    if (there(s->dir, k->test)) TRY(cifar_part(ctx, s, k, true, test));
done:
    return st;
}

const source source_cifar = {"cifar", open_cifar};
