/* Reads what a run left: its result, its tuned values, its study. */
#include "base/file.h"
#include "data/safetensors.h"
#include "report/base64.h"
#include "report/html_run.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RESULT_MAX = 1 << 28, PATH_BYTES = 1400 };

static bool has(const char *folder, const char *name, char path[PATH_BYTES])
{
    snprintf(path, PATH_BYTES, "%s/%s", folder, name);
    return access(path, F_OK) == 0;
}

static drmad_status read_json(drmad_ctx *ctx, const char *path, json_t **out)
{
    drmad_status st = DRMAD_OK;
    char *text = NULL;
    json_error_t why;
    size_t size;

    *out = NULL;
    TRY(file_read_all(ctx, path, RESULT_MAX, &text, &size));
    *out = json_loadb(text, size, 0, &why);
    if (!json_is_object(*out))
        TRY(FAIL(ctx, DRMAD_E_DATA, "%s: no result: %s", path, *out ? "no object" : why.text));
done:
    mem_free(ctx, text);
    if (st != DRMAD_OK) json_decref(*out), *out = NULL;
    return st;
}

/* ---- slices ---- */

static drmad_status add_slice(run_view *r, const char *name, int64_t phases, int64_t elements,
                              run_slice **out)
{
    const int32_t more = 2 * r->room + 16;
    drmad_status st = DRMAD_OK;

    if (r->n == r->room) {
        TRY(mem_resize(r->ctx, &r->slices, (size_t)r->room, (size_t)more, sizeof *r->slices));
        r->room = more;
    }
    run_slice *s = &r->slices[r->n];
    *s = (run_slice){.phases = phases, .elements = elements};
    r->n++;
    TRY(mem_strdup(r->ctx, name, &s->name));
    TRY(mem_strdup(r->ctx, name, &s->kind));
    s->kind[strcspn(s->kind, "/")] = '\0';
    TRY(mem_alloc(r->ctx, (size_t)(phases * elements) + 1, sizeof *s->values, &s->values));
    *out = s;
done:
    return st;
}

static drmad_status take_tensors(run_view *r, const st_file *f)
{
    drmad_status st = DRMAD_OK;
    run_slice *s;

    for (int32_t i = 0; i < f->n; i++) {
        const st_tensor *t = &f->at[i];

        if (t->dtype != F64 || t->shape.rank < 1) continue;
        const int64_t n = shape_count(&t->shape), phases = t->shape.dim[0];
        if (n <= 0 || phases <= 0) continue;
        TRY(add_slice(r, t->name, phases, n / phases, &s));
        memcpy(s->values, t->data, (size_t)n * sizeof(double));
    }
done:
    return st;
}

/* {"shape": [rows, ...], "values": [...] or "base64": "..."}, as python/drmad/result.py writes. */
static drmad_status take_track(run_view *r, const char *name, const json_t *track)
{
    const json_t *sizes = json_object_get(track, "shape"), *list = json_object_get(track, "values");
    const json_t *packed = json_object_get(track, "base64");
    const int64_t phases = json_integer_value(json_array_get(sizes, 0));
    drmad_status st = DRMAD_OK;
    void *bytes = NULL;
    run_slice *s;
    size_t size = 0;

    if (packed)
        TRY(base64_read(r->ctx, json_string_value(packed) ? json_string_value(packed) : "",
                        json_string_length(packed), &bytes, &size));
    const int64_t n = packed ? (int64_t)(size / sizeof(double)) : (int64_t)json_array_size(list);
    if (phases <= 0 || n < phases || n % phases) goto done;
    TRY(add_slice(r, name, phases, n / phases, &s));
    if (packed) memcpy(s->values, bytes, (size_t)n * sizeof(double));
    for (int64_t i = 0; !packed && i < n; i++) {
        const json_t *x = json_array_get(list, (size_t)i);

        s->values[i] = json_is_number(x) ? json_number_value(x) : NAN;
    }
done:
    mem_free(r->ctx, bytes);
    return st;
}

static drmad_status take_python(run_view *r, const json_t *data)
{
    drmad_status st = DRMAD_OK;
    const char *name, *kind;
    json_t *tensor, *track;
    char full[1024];

    json_object_foreach(json_object_get(data, "tensors"), name, tensor)
    {
        json_object_foreach(tensor, kind, track)
        {
            if (!json_is_object(track)) continue;
            snprintf(full, sizeof full, "%s/%s", kind, name);
            TRY(take_track(r, full, track));
        }
    }
    json_object_foreach(json_object_get(data, "slices"), name, track)
        TRY(take_track(r, name, track));
    if (json_object_get(data, "example_weight"))
        TRY(take_track(r, "example_weight", json_object_get(data, "example_weight")));
done:
    return st;
}

/* ---- the run ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(((const run_slice *)a)->name, ((const run_slice *)b)->name);
}

static drmad_status read_folder(run_view *r, const char *folder, json_t **data)
{
    drmad_status st = DRMAD_OK;
    st_file *values = NULL;
    char path[PATH_BYTES];
    size_t size;

    if (has(folder, "study.yaml", path))
        TRY(file_read_all(r->ctx, path, 1 << 20, &r->study, &size));
    if (has(folder, "python.json", path)) {
        TRY(read_json(r->ctx, path, data));
        goto done;
    }
    if (!has(folder, "result.json", path) && !has(folder, "why.json", path))
        TRY(FAIL(r->ctx, DRMAD_E_DATA,
                 "%s: holds no result.json or why.json; a run that goes on has none yet", folder));
    TRY(read_json(r->ctx, path, &r->result));
    if (has(folder, "hyperparameters.safetensors", path)) {
        TRY(safetensors_read(r->ctx, path, &values));
        TRY(take_tensors(r, values));
    }
done:
    mem_free(r->ctx, values);
    return st;
}

drmad_status run_of_tensors(drmad_ctx *ctx, const char *name, const void *bytes, size_t size,
                            run_view **out)
{
    const blob b = {.name = name, .at = bytes, .size = size};
    drmad_status st = DRMAD_OK;
    st_file *values = NULL;
    run_view *r = NULL;

    *out = NULL;
    TRY(safetensors_parse(ctx, &b, &values));
    TRY(mem_alloc(ctx, 1, sizeof *r, &r));
    r->ctx = ctx;
    TRY(take_tensors(r, values));
    if (r->n) qsort(r->slices, (size_t)r->n, sizeof *r->slices, by_name);
    *out = r, r = NULL;
done:
    mem_free(ctx, values);
    run_free(r);
    return st;
}

drmad_status run_read(drmad_ctx *ctx, const char *folder, run_view **out)
{
    drmad_status st = DRMAD_OK;
    run_view *r = NULL;
    json_t *data = NULL;
    struct stat info;

    *out = NULL;
    TRY(mem_alloc(ctx, 1, sizeof *r, &r));
    r->ctx = ctx;
    TRY(mem_strdup(ctx, folder, &r->folder));
    if (stat(folder, &info) == 0 && S_ISDIR(info.st_mode)) TRY(read_folder(r, folder, &data));
    else TRY(read_json(ctx, folder, &data));
    if (data) {
        if (!json_object_get(data, "drmad_result"))
            TRY(FAIL(ctx, DRMAD_E_DATA, "%s: no result of drmad", folder));
        r->result = json_incref(json_object_get(data, "run"));
        r->notes = json_incref(json_object_get(data, "notes"));
        TRY(take_python(r, data));
    }
    const char *name =
        json_string_value(json_object_get(data ? data : r->result, data ? "name" : "study"));
    TRY(mem_strdup(ctx, name ? name : "run", &r->name));
    if (r->n) qsort(r->slices, (size_t)r->n, sizeof *r->slices, by_name);
    *out = r, r = NULL;
done:
    json_decref(data);
    run_free(r);
    return st;
}

void run_free(run_view *r)
{
    if (!r) return;
    for (int32_t i = 0; i < r->n; i++) {
        mem_free(r->ctx, r->slices[i].name);
        mem_free(r->ctx, r->slices[i].kind);
        mem_free(r->ctx, r->slices[i].values);
    }
    mem_free(r->ctx, r->slices);
    mem_free(r->ctx, r->study);
    mem_free(r->ctx, r->name);
    mem_free(r->ctx, r->folder);
    json_decref(r->result);
    json_decref(r->notes);
    mem_free(r->ctx, r);
}
