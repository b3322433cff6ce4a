/* Sources of pictures: CIFAR's binary files, folders, shards. */
#include "base/file.h"
#include "data/pictures.h"
#include "data/shards.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- CIFAR ---- */

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

/* The records of a file behind the `rows` that are there. */
static drmad_status cifar_add(drmad_ctx *ctx, const cifar_kind *k, const char *path, array *rows,
                              array *labels)
{
    const size_t record = (size_t)k->labels + PIXELS, had = (size_t)rows->shape.dim[0];
    drmad_status st;
    blob b;

    TRY(blob_load(ctx, path, CIFAR_BYTES_MAX, &b));
    const size_t n = b.size / record;
    if (n == 0 || b.size % record != 0)
        TRY(FAIL(ctx, DRMAD_E_DATA,
                 "%s: %zu bytes, expected a multiple of %zu, the size of a record; byte %zu is "
                 "where a whole one ends",
                 path, b.size, record, n * record));
    TRY(mem_resize(ctx, &rows->data, had * PIXELS, (had + n) * PIXELS, 1));
    TRY(mem_resize(ctx, &labels->data, had, had + n, sizeof(int32_t)));
    for (size_t i = 0; i < n; i++) {
        const uint8_t *at = b.at + i * record;
        const int32_t label = at[k->labels - 1];

        if (label >= k->classes)
            TRY(FAIL(ctx, DRMAD_E_DATA, "%s: byte %zu: label %d, expected 0 to %d", path,
                     i * record + (size_t)k->labels - 1, label, k->classes - 1));
        ((int32_t *)labels->data)[had + i] = label;
        cifar_row(at + k->labels, (uint8_t *)rows->data + (had + i) * PIXELS);
    }
    rows->shape.dim[0] = labels->shape.dim[0] = (int64_t)(had + n);
done:
    blob_free(ctx, &b);
    return st;
}

static drmad_status cifar_part(drmad_ctx *ctx, const source_spec *s, const cifar_kind *k, bool test,
                               dataset **out)
{
    array rows = {.dtype = U8, .shape = SHAPE(0, SIDE, SIDE, 3)};
    array labels = {.dtype = I32, .shape = SHAPE(0)};
    char path[4096], name[64];
    drmad_status st = DRMAD_OK;

    for (int i = 0; i < (test ? 1 : k->files); i++) {
        snprintf(path, sizeof path, "%s/%s", s->dir, test ? k->test : k->train[i]);
        TRY(cifar_add(ctx, k, path, &rows, &labels));
    }
    snprintf(name, sizeof name, "%s/%s", k->name, test ? "test" : "train");
    TRY(dataset_new(ctx, name, &rows, &labels, k->classes, out));
done:
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

/* ---- folders and shards ---- */

/* Takes both sets. */
static drmad_status open_sets(drmad_ctx *ctx, const source_spec *s, image_set *first,
                              image_set *second, dataset **out[2])
{
    drmad_status st = pictures_new(ctx, s->train_rows, s, first, out[0]);

    if (st == DRMAD_OK && second) return pictures_new(ctx, s->test_rows, s, second, out[1]);
    image_set_free(second);
    return st;
}

static drmad_status open_folder(drmad_ctx *ctx, const source_spec *s, dataset **train,
                                dataset **test)
{
    image_set *first = NULL, *second = NULL;
    drmad_status st;

    if (!s->train_rows)
        return FAIL(ctx, DRMAD_E_CONFIG, "data source folder: expected the folder of training");
    TRY(folder_list(ctx, s->train_rows, NULL, s->skip_bad, &first));
    if (s->classes > 0 && s->classes != first->class_count)
        TRY(FAIL(ctx, DRMAD_E_CONFIG, "data.classes: %d; %s has %d folders", s->classes,
                 s->train_rows, first->class_count));
    if (s->test_rows) TRY(folder_list(ctx, s->test_rows, first, s->skip_bad, &second));
    return open_sets(ctx, s, first, second, (dataset * *[]){train, test});
done:
    image_set_free(first);
    image_set_free(second);
    return st;
}

const source source_folder = {"folder", open_folder};

static drmad_status open_shards(drmad_ctx *ctx, const source_spec *s, dataset **train,
                                dataset **test)
{
    image_set *first = NULL, *second = NULL;
    shards_spec spec;
    drmad_status st;

    if (!s->train_rows)
        return FAIL(ctx, DRMAD_E_CONFIG, "data source shards: expected those of training");
    spec = (shards_spec){s->train_rows, s->dir, s->classes, s->memory, s->skip_bad};
    TRY(shards_list(ctx, &spec, &first));
    spec.names = s->test_rows, spec.classes = first->class_count;
    if (s->test_rows) TRY(shards_list(ctx, &spec, &second));
    return open_sets(ctx, s, first, second, (dataset * *[]){train, test});
done:
    image_set_free(first);
    image_set_free(second);
    return st;
}

const source source_shards = {"shards", open_shards};
