/* From two arrays to a dataset: everything that training takes for granted is checked here. */
#include "data/pictures.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Whole numbers are token ids. */
static drmad_status check_tokens(drmad_ctx *ctx, const char *name, const array *rows, size_t n)
{
    const size_t width = n / (size_t)rows->shape.dim[0];

    for (size_t i = 0; i < n; i++) {
        const int32_t id = ((const int32_t *)rows->data)[i];
        if (id < 0 || id >= TOKENS_MAX)
            return FAIL(ctx, DRMAD_E_DATA,
                        "%s: row %zu, element %zu: %d, expected a token id, 0 "
                        "to %d",
                        name, i / width, i % width, (int)id, TOKENS_MAX - 1);
    }
    return DRMAD_OK;
}

static drmad_status check_rows(drmad_ctx *ctx, const char *name, const array *rows)
{
    char text[160];
    const size_t n = (size_t)shape_count(&rows->shape);

    shape_print(&rows->shape, text, sizeof text);
    if (rows->shape.rank < 1 || n == 0 || rows->shape.dim[0] > INT32_MAX)
        return FAIL(ctx, DRMAD_E_DATA,
                    "%s: rows have shape %s, expected 1 to 2^31-1 rows of 1 element or more", name,
                    text);
    if (rows->dtype == I32) return check_tokens(ctx, name, rows, n);
    if (rows->dtype == U8) return DRMAD_OK;
    for (size_t i = 0; i < n; i++) {
        const double x = dtype_get(rows->dtype, rows->data, (int64_t)i);
        if (!isfinite(x))
            return FAIL(ctx, DRMAD_E_DATA, "%s: row %zu, element %zu: %g, expected a finite number",
                        name, i / (n / (size_t)rows->shape.dim[0]),
                        i % (n / (size_t)rows->shape.dim[0]), x);
    }
    return DRMAD_OK;
}

/* Labels as I32, whatever integer type they came in. */
static drmad_status widen_labels(drmad_ctx *ctx, array *labels)
{
    const size_t n = (size_t)shape_count(&labels->shape);
    int32_t *wide;

    if (labels->dtype == I32) return DRMAD_OK;
    drmad_status st = mem_alloc(ctx, n, sizeof *wide, &wide);
    if (st != DRMAD_OK) return st;
    for (size_t i = 0; i < n; i++) wide[i] = ((const uint8_t *)labels->data)[i];
    mem_free(ctx, labels->data);
    labels->data = wide;
    labels->dtype = I32;
    return DRMAD_OK;
}

static drmad_status check_labels(drmad_ctx *ctx, const char *name, array *labels, int64_t rows,
                                 int32_t *classes)
{
    int32_t largest = 0;
    char text[160];

    shape_print(&labels->shape, text, sizeof text);
    if (labels->shape.rank != 1 || labels->dtype == F32 || labels->dtype == F64)
        return FAIL(ctx, DRMAD_E_DATA, "%s: labels are %s %s, expected one integer a row", name,
                    dtype_name(labels->dtype), text);
    if (labels->shape.dim[0] != rows)
        return FAIL(ctx, DRMAD_E_DATA, "%s: %lld labels for %lld rows", name,
                    (long long)labels->shape.dim[0], (long long)rows);
    drmad_status st = widen_labels(ctx, labels);
    if (st != DRMAD_OK) return st;
    const int32_t limit = *classes > 0 ? *classes : CLASSES_MAX;
    for (int64_t i = 0; i < rows; i++) {
        const int32_t label = ((const int32_t *)labels->data)[i];
        if (label < 0 || label >= limit)
            return FAIL(ctx, DRMAD_E_DATA, "%s: label %lld is %d, expected 0 to %d", name,
                        (long long)i, label, limit - 1);
        if (label > largest) largest = label;
    }
    if (*classes <= 0) *classes = largest + 1;
    return DRMAD_OK;
}

static drmad_status fingerprint(dataset *d)
{
    const size_t bytes = (size_t)(d->n * d->width) * dtype_size(d->dtype);
    char parts[2][SHA256_TEXT], text[160], head[256];
    drmad_status st;

    shape_print(&d->row, text, sizeof text);
    const int size = snprintf(head, sizeof head, "drmad dataset 1 %s %lld %s %d ",
                              dtype_name(d->dtype), (long long)d->n, text, d->classes);
    TRY(blob_sha256(d->ctx, head, (size_t)size, d->rows, bytes, parts[0]));
    TRY(blob_sha256(d->ctx, parts[0], sizeof parts[0] - 1, d->labels,
                    (size_t)d->n * sizeof *d->labels, d->sha256));
done:
    return st;
}

drmad_status dataset_new(drmad_ctx *ctx, const char *name, array *rows, array *labels,
                         int32_t classes, dataset **out)
{
    dataset *d = NULL;
    drmad_status st;

    *out = NULL;
    TRY(check_rows(ctx, name, rows));
    TRY(check_labels(ctx, name, labels, rows->shape.dim[0], &classes));
    TRY(mem_alloc(ctx, 1, sizeof *d, &d));
    d->ctx = ctx;
    TRY(mem_strdup(ctx, name, &d->name));
    d->dtype = rows->dtype;
    d->n = rows->shape.dim[0];
    d->row.rank = rows->shape.rank - 1;
    for (int32_t i = 0; i < d->row.rank; i++) d->row.dim[i] = rows->shape.dim[i + 1];
    d->width = shape_count(&d->row);
    d->classes = classes;
    d->rows = rows->data, rows->data = NULL;
    d->labels = labels->data, labels->data = NULL;
    TRY(fingerprint(d));
    *out = d, d = NULL;
done:
    dataset_free(d);
    array_free(ctx, rows);
    array_free(ctx, labels);
    return st;
}

void dataset_free(dataset *d)
{
    if (!d) return;
    mem_free(d->ctx, d->name);
    picture_set_free(d->ctx, d->pictures);
    mem_free(d->ctx, d->rows);
    mem_free(d->ctx, d->labels);
    mem_free(d->ctx, d);
}

/* Names both files: a count that differs is a fault of the pair. */
drmad_status dataset_read(drmad_ctx *ctx, const char *name, const char *rows_path,
                          const char *labels_path, int32_t classes, dataset **out)
{
    array rows = {0}, labels = {0};
    char both[512];
    drmad_status st;

    *out = NULL;
    TRY(array_read(ctx, rows_path, &rows));
    TRY(array_read(ctx, labels_path, &labels));
    snprintf(both, sizeof both, "%s, %s", rows_path, labels_path);
    TRY(dataset_new(ctx, both, &rows, &labels, classes, out));
    mem_free(ctx, (*out)->name);
    st = mem_strdup(ctx, name, &(*out)->name);
    if (st != DRMAD_OK) dataset_free(*out), *out = NULL;
done:
    array_free(ctx, &rows);
    array_free(ctx, &labels);
    return st;
}
