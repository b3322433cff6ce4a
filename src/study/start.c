/* Start files. */
#include "study/start.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char momentum[] = "momentum_buffer/";

static double number_in(const st_tensor *t, int64_t i)
{
    return t->dtype == F32 ? (double)((const float *)t->data)[i] : ((const double *)t->data)[i];
}

drmad_status start_flat(const param_table *params, const char *path, const st_file *f,
                        const char *prefix, double *flat)
{
    char name[256], have[64], want[64];

    for (int32_t i = 0; i < params->n; i++) {
        const param *p = &params->at[i];

        snprintf(name, sizeof name, "%s%s", prefix, p->name);
        const st_tensor *t = safetensors_find(f, name);
        if (!t) return FAIL(params->ctx, DRMAD_E_MODEL, "%s: no tensor %s", path, name);
        if (!shape_same(&t->shape, &p->shape) || (t->dtype != F32 && t->dtype != F64))
            return FAIL(params->ctx, DRMAD_E_MODEL, "%s: %s is %s%s, expected f32 or f64 %s", path,
                        name, dtype_name(t->dtype), shape_print(&t->shape, have, sizeof have),
                        shape_print(&p->shape, want, sizeof want));
        for (int64_t e = 0; e < p->count; e++) flat[p->offset + e] = number_in(t, e);
    }
    return DRMAD_OK;
}

/* The same as a vector of its own; gives *out. */
static drmad_status read_flat(setup *u, const char *path, const char *prefix, double **out)
{
    drmad_status st = DRMAD_OK;
    st_file *f = NULL;

    TRY(safetensors_read(u->ctx, path, &f));
    TRY(mem_alloc(u->ctx, (size_t)u->params->total, sizeof **out, out));
    TRY(start_flat(u->params, path, f, prefix, *out));
done:
    mem_free(u->ctx, f);
    return st;
}

drmad_status start_read(setup *u)
{
    const config_study *c = &u->cfg->set;
    drmad_status st = DRMAD_OK;

    if (c->model.weights[0]) TRY(read_flat(u, c->model.weights, "", &u->start));
    if (c->optimizer.state[0] && u->spec.optim.buffer)
        TRY(read_flat(u, c->optimizer.state, momentum, &u->buffer));
    if (c->outer.start[0]) TRY(safetensors_read(u->ctx, c->outer.start, &u->start_values));
    u->spec.start = u->start;
    u->spec.buffer = u->buffer;
done:
    return st;
}

drmad_status start_state(const setup *u, const char *path, const st_file *f, double *w, double *b)
{
    drmad_status st = start_flat(u->params, path, f, "", w);

    if (st == DRMAD_OK && u->spec.optim.buffer) st = start_flat(u->params, path, f, momentum, b);
    return st;
}

drmad_status start_values(const space *s, const char *path, const st_file *f, double *values)
{
    for (int32_t i = 0; i < s->n_slices; i++) {
        const hyper_slice *c = &s->slices[i];
        const st_tensor *t = safetensors_find(f, c->name);
        const int64_t n = c->phases * c->elements;

        if (!t || t->dtype != F64 || shape_count(&t->shape) != n)
            return FAIL(s->ctx, DRMAD_E_STORAGE, "%s: no %lld values of %s", path, (long long)n,
                        c->name);
        memcpy(values + c->offset, t->data, (size_t)n * sizeof *values);
    }
    return DRMAD_OK;
}

drmad_status start_space(const setup *u, space *s)
{
    drmad_status st = DRMAD_OK;
    double *values = NULL;

    if (!u->start_values) return DRMAD_OK;
    TRY(mem_alloc(u->ctx, (size_t)s->total + 1, sizeof *values, &values));
    TRY(start_values(s, u->cfg->set.outer.start, u->start_values, values));
    TRY(space_start_at(s, values));
done:
    mem_free(u->ctx, values);
    return st;
}

/* ---- writing ---- */

/* One tensor a parameter of a flat vector, called PREFIX + its name; gives the names. */
static drmad_status list_flat(const setup *u, const void *flat, const char *prefix, st_tensor *at,
                              char **names)
{
    const size_t size = dtype_size(u->spec.dtype);
    drmad_status st = DRMAD_OK;

    for (int32_t i = 0; i < u->params->n; i++) {
        const param *p = &u->params->at[i];
        const size_t room = strlen(prefix) + strlen(p->name) + 1;

        TRY(mem_alloc(u->ctx, room, 1, &names[i]));
        snprintf(names[i], room, "%s%s", prefix, p->name);
        at[i] = (st_tensor){names[i], u->spec.dtype, p->shape,
                            (const char *)flat + (size_t)p->offset * size};
    }
done:
    return st;
}

drmad_status start_save(folder *f, const char *file, const setup *u, const void *w, const void *b)
{
    const int32_t n = u->params->n, all = b && u->spec.optim.buffer ? 2 * n : n;
    drmad_status st = DRMAD_OK;
    st_tensor *at = NULL;
    char **names = NULL;

    TRY(mem_alloc(u->ctx, (size_t)all, sizeof *at, &at));
    TRY(mem_alloc(u->ctx, (size_t)all, sizeof *names, &names));
    TRY(list_flat(u, w, "", at, names));
    if (all > n) TRY(list_flat(u, b, momentum, at + n, names + n));
    const st_text text[] = {{"format", "pt"}, {"study", u->cfg->set.name}};
    const st_file out = {all, 2, at, text};
    TRY(folder_tensors(f, file, &out));
done:
    for (int32_t i = 0; names && i < all; i++) mem_free(u->ctx, names[i]);
    mem_free(u->ctx, names);
    mem_free(u->ctx, at);
    return st;
}

drmad_status start_save_values(folder *f, const char *file, const setup *u, const space *s,
                               const double *values)
{
    drmad_status st = DRMAD_OK;
    st_tensor *at = NULL;

    TRY(mem_alloc(u->ctx, (size_t)s->n_slices + 1, sizeof *at, &at));
    for (int32_t i = 0; i < s->n_slices; i++) {
        const hyper_slice *c = &s->slices[i];
        at[i] = (st_tensor){c->name, F64, SHAPE(c->phases, c->elements), values + c->offset};
    }
    const st_text text[] = {{"study", u->cfg->set.name}};
    const st_file out = {s->n_slices, 1, at, text};
    TRY(folder_tensors(f, file, &out));
done:
    mem_free(u->ctx, at);
    return st;
}
