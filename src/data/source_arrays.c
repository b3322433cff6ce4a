/* Sources of several arrays in one file: npz and safetensors. */
#include "data/dataset.h"
#include "data/npz.h"
#include "data/safetensors.h"
#include <stdio.h>
#include <string.h>

enum { ROWS, LABELS, TEST_ROWS, TEST_LABELS, ARRAYS };

/* A tensor's copy; a NULL name gives none. */
static drmad_status copy_tensor(drmad_ctx *ctx, const char *path, const st_file *f,
                                const char *name, array *out)
{
    size_t bytes;

    if (!name) return DRMAD_OK;
    const st_tensor *t = safetensors_find(f, name);
    if (!t)
        return FAIL(ctx, DRMAD_E_DATA, "%s: no tensor \"%.100s\"; the first of %d is \"%.100s\"",
                    path, name, f->n, f->n ? f->at[0].name : "");
    shape_bytes(&t->shape, t->dtype, &bytes);
    const drmad_status st = mem_alloc(ctx, bytes ? bytes : 1, 1, &out->data);
    if (st != DRMAD_OK) return st;
    out->dtype = t->dtype, out->shape = t->shape;
    if (bytes) memcpy(out->data, t->data, bytes);
    return DRMAD_OK;
}

static drmad_status read_safetensors(drmad_ctx *ctx, const source_spec *s,
                                     const char *const name[ARRAYS], array out[ARRAYS])
{
    st_file *f = NULL;
    drmad_status st;

    TRY(safetensors_read(ctx, s->file, &f));
    for (int i = 0; i < ARRAYS; i++) TRY(copy_tensor(ctx, s->file, f, name[i], &out[i]));
done:
    mem_free(ctx, f);
    return st;
}

static drmad_status read_npz(drmad_ctx *ctx, const source_spec *s, const char *const name[ARRAYS],
                             array out[ARRAYS])
{
    return npz_read(ctx, s->file, s->memory, name, ARRAYS, out);
}

typedef drmad_status read_fn(drmad_ctx *ctx, const source_spec *s, const char *const name[ARRAYS],
                             array out[ARRAYS]);

/* Messages about rows and labels name file and array. */
static drmad_status make(drmad_ctx *ctx, const source_spec *s, const char *name, array *a,
                         int32_t classes, dataset **out)
{
    char label[600];

    snprintf(label, sizeof label, "%.400s: %.100s", s->file, name);
    return dataset_new(ctx, label, &a[ROWS], &a[LABELS], classes, out);
}

static drmad_status open_arrays(drmad_ctx *ctx, const source_spec *s, read_fn *read,
                                dataset **train, dataset **test)
{
    const char *const name[ARRAYS] = {s->train_rows, s->train_labels, s->test_rows, s->test_labels};
    array all[ARRAYS] = {{0}};
    drmad_status st;

    if (!s->file || !s->train_rows || !s->train_labels || !s->test_rows != !s->test_labels)
        return FAIL(ctx, DRMAD_E_CONFIG,
                    "data source %s: expected a file, the names of train rows and labels, and of "
                    "test rows and labels or neither",
                    s->kind);
    TRY(read(ctx, s, name, all));
    TRY(make(ctx, s, s->train_rows, all, s->classes, train));
    if (!s->test_rows) goto done;
    TRY(make(ctx, s, s->test_rows, all + TEST_ROWS, (*train)->classes, test));
    TRY(source_check_pair(ctx, *train, *test));
done:
    for (int i = 0; i < ARRAYS; i++) array_free(ctx, &all[i]);
    return st;
}

static drmad_status open_npz(drmad_ctx *ctx, const source_spec *s, dataset **train, dataset **test)
{
    return open_arrays(ctx, s, read_npz, train, test);
}

static drmad_status open_safetensors(drmad_ctx *ctx, const source_spec *s, dataset **train,
                                     dataset **test)
{
    return open_arrays(ctx, s, read_safetensors, train, test);
}

const source source_npz = {"npz", open_npz}, source_safetensors = {"safetensors", open_safetensors};
