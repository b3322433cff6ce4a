/* The kinds of source that read files. The drawn one is in digits.c. */
#include "base/file.h"
#include "data/dataset.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const source *const sources[] = {&source_files, &source_mnist,      &source_digits,
                                        &source_cifar, &source_folder,     &source_shards,
                                        &source_npz,   &source_safetensors};

drmad_status source_open(drmad_ctx *ctx, const source_spec *spec, dataset **train, dataset **test)
{
    *train = *test = NULL;
    for (size_t i = 0; i < COUNT(sources); i++) {
        if (strcmp(sources[i]->kind, spec->kind) != 0) continue;
        drmad_status st = sources[i]->open(ctx, spec, train, test);
        if (st == DRMAD_OK) return DRMAD_OK;
        dataset_free(*train);
        dataset_free(*test);
        *train = *test = NULL;
        return st;
    }
    return FAIL(
        ctx, DRMAD_E_CONFIG,
        "data source \"%s\": expected files, mnist, synthetic-digits, cifar, folder or shards",
        spec->kind);
}

/* Both parts must be of one kind: a test set of other rows would be read as noise. */
drmad_status source_check_pair(drmad_ctx *ctx, const dataset *train, const dataset *test)
{
    char a[160], b[160];

    if (train->dtype == test->dtype && shape_same(&train->row, &test->row)) return DRMAD_OK;
    return FAIL(ctx, DRMAD_E_DATA, "%s: rows are %s %s, expected %s %s as in %s", test->name,
                dtype_name(test->dtype), shape_print(&test->row, b, sizeof b),
                dtype_name(train->dtype), shape_print(&train->row, a, sizeof a), train->name);
}

static drmad_status open_files(drmad_ctx *ctx, const source_spec *s, dataset **train,
                               dataset **test)
{
    drmad_status st;

    if (!s->train_rows || !s->train_labels || !s->test_rows != !s->test_labels)
        return FAIL(ctx, DRMAD_E_CONFIG,
                    "data source files: expected train rows and labels, and test rows and labels "
                    "or neither");
    TRY(dataset_read(ctx, s->train_rows, s->train_rows, s->train_labels, s->classes, train));
    if (!s->test_rows) return DRMAD_OK;
    TRY(dataset_read(ctx, s->test_rows, s->test_rows, s->test_labels, (*train)->classes, test));
    TRY(source_check_pair(ctx, *train, *test));
done:
    return st;
}

const source source_files = {"files", open_files};

/* dir/stem, or dir/stem.gz where only that exists. */
static drmad_status mnist_path(drmad_ctx *ctx, const char *dir, const char *stem, char **out)
{
    const size_t size = strlen(dir) + strlen(stem) + 8;
    drmad_status st = mem_alloc(ctx, size, 1, out);

    if (st != DRMAD_OK) return st;
    snprintf(*out, size, "%s/%s", dir, stem);
    if (access(*out, F_OK) != 0) snprintf(*out, size, "%s/%s.gz", dir, stem);
    return DRMAD_OK;
}

/* Other sets come in files of the same names: only MNIST itself is called so, others by their
 * folder. */
static drmad_status mnist_name(drmad_ctx *ctx, const char *dir, const char *part, dataset *d)
{
    static const char *const known[] = {
        "80facb0608e5ad903f94fc5f8e5b5d71f9696d047d517b7d6e287ca7c5fbe5cc",
        "6384947aca29121a8f7c636d06b0be21b9806b4d3dbbf5b3a3f6825bed17f7ec",
    };
    const char *base = strrchr(dir, '/'), *set = base && base[1] ? base + 1 : dir;
    char name[256];

    for (size_t i = 0; i < COUNT(known); i++)
        if (strcmp(d->sha256, known[i]) == 0) set = "mnist";
    snprintf(name, sizeof name, "%s/%s", set, part);
    mem_free(ctx, d->name);
    return mem_strdup(ctx, name, &d->name);
}

static drmad_status mnist_part(drmad_ctx *ctx, const source_spec *s, const char *stem,
                               const char *part, dataset **out)
{
    char *rows = NULL, *labels = NULL, name[64];
    drmad_status st;

    snprintf(name, sizeof name, "%s-images-idx3-ubyte", stem);
    TRY(mnist_path(ctx, s->dir, name, &rows));
    snprintf(name, sizeof name, "%s-labels-idx1-ubyte", stem);
    TRY(mnist_path(ctx, s->dir, name, &labels));
    TRY(dataset_read(ctx, part, rows, labels, s->classes > 0 ? s->classes : 10, out));
    TRY(mnist_name(ctx, s->dir, part, *out));
done:
    mem_free(ctx, rows);
    mem_free(ctx, labels);
    return st;
}

static drmad_status open_mnist(drmad_ctx *ctx, const source_spec *s, dataset **train,
                               dataset **test)
{
    drmad_status st;

    if (!s->dir) return FAIL(ctx, DRMAD_E_CONFIG, "data source mnist: expected dir, its folder");
    TRY(mnist_part(ctx, s, "train", "train", train));
    TRY(mnist_part(ctx, s, "t10k", "test", test));
    TRY(source_check_pair(ctx, *train, *test));
done:
    return st;
}

const source source_mnist = {"mnist", open_mnist};
