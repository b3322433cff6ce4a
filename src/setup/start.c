/* Start files. */
#include "setup/start.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char steps_key[] = "optimizer_steps";

/* ---- reading ---- */

/* "momentum_buffer/" of vector k, nothing of the weights. */
static void prefix_of(const setup *u, int32_t k, char *prefix, size_t size)
{
    const char *name = k > 0 ? optim_vector_name(&u->spec.optim, k) : "";

    snprintf(prefix, size, "%s%s", name, k > 0 ? "/" : "");
}

/* Vector k from the file. */
static drmad_status read_flat(const setup *u, const char *path, const st_file *f, int32_t k,
                              double *flat)
{
    char name[256], prefix[64], have[64], want[64];

    prefix_of(u, k, prefix, sizeof prefix);
    for (int32_t i = 0; i < u->params->n; i++) {
        const param *p = &u->params->at[i];

        snprintf(name, sizeof name, "%s%s", prefix, p->name);
        const st_tensor *t = safetensors_find(f, name);
        if (!t) return FAIL(u->ctx, DRMAD_E_MODEL, "%s: no tensor %s", path, name);
        if (!shape_same(&t->shape, &p->shape) || (t->dtype != F32 && t->dtype != F64))
            return FAIL(u->ctx, DRMAD_E_MODEL, "%s: %s is %s%s, expected f32 or f64 %s", path, name,
                        dtype_name(t->dtype), shape_print(&t->shape, have, sizeof have),
                        shape_print(&p->shape, want, sizeof want));
        for (int64_t e = 0; e < p->count; e++)
            flat[p->offset + e] = dtype_get(t->dtype, t->data, e);
    }
    return DRMAD_OK;
}

/* -1: the file has no state of an optimiser. */
static int64_t steps_of(const st_file *f)
{
    for (int32_t i = 0; i < f->texts; i++)
        if (strcmp(f->text[i].key, steps_key) == 0) return strtoll(f->text[i].value, NULL, 10);
    return -1;
}

void start_state_free(drmad_ctx *ctx, start_state *s)
{
    for (int k = 0; k < OPTIM_VECTORS; k++) mem_free(ctx, s->v[k]);
}

drmad_status start_state_read(const setup *u, const char *path, const st_file *f, start_state *to)
{
    const size_t total = (size_t)u->params->total;
    drmad_status st = DRMAD_OK;

    *to = (start_state){.steps = steps_of(f)};
    const int32_t n = to->steps >= 0 ? optim_vectors(&u->spec.optim) : 1;
    for (int32_t k = 0; k < n; k++) {
        TRY(mem_alloc(u->ctx, total, sizeof(double), &to->v[k]));
        TRY(read_flat(u, path, f, k, to->v[k]));
    }
done:
    return st;
}

drmad_status start_read_weights(setup *u, const char *path)
{
    drmad_status st = DRMAD_OK;
    st_file *f = NULL;

    TRY(safetensors_read(u->ctx, path, &f));
    TRY(mem_alloc(u->ctx, (size_t)u->params->total, sizeof *u->start, &u->start));
    TRY(read_flat(u, path, f, 0, u->start));
    u->spec.start = u->start;
done:
    mem_free(u->ctx, f);
    return st;
}

static drmad_status read_buffers(setup *u, const char *path)
{
    const int32_t n = optim_vectors(&u->spec.optim) - 1;
    const int64_t total = u->params->total;
    drmad_status st = DRMAD_OK;
    st_file *f = NULL;

    TRY(safetensors_read(u->ctx, path, &f));
    TRY(mem_alloc(u->ctx, (size_t)(n * total) + 1, sizeof *u->buffers, &u->buffers));
    for (int32_t k = 1; k <= n; k++) TRY(read_flat(u, path, f, k, u->buffers + (k - 1) * total));
    u->spec.done = steps_of(f);
    if (u->spec.done < 1 || u->spec.done > INT32_MAX)
        TRY(FAIL(u->ctx, DRMAD_E_MODEL, "%s: no number of steps of an optimiser", path));
    if (n > 0) u->spec.buffers = u->buffers;
done:
    mem_free(u->ctx, f);
    return st;
}

drmad_status start_read(setup *u)
{
    const config_study *c = &u->cfg->set;
    drmad_status st = DRMAD_OK;

    if (c->model.weights[0]) TRY(start_read_weights(u, c->model.weights));
    if (c->optimizer.state[0]) TRY(read_buffers(u, c->optimizer.state));
    if (c->outer.start[0]) TRY(safetensors_read(u->ctx, c->outer.start, &u->start_values));
done:
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

/* One tensor a parameter of vector k; gives the names. */
static drmad_status list_flat(const setup *u, const void *flat, int32_t k, st_tensor *at,
                              char **names)
{
    const size_t size = dtype_size(u->spec.dtype);
    drmad_status st = DRMAD_OK;
    char prefix[64];

    prefix_of(u, k, prefix, sizeof prefix);
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

static void path_in(const folder *f, const char *file, char *path, size_t size)
{
    snprintf(path, size, "%s/%s", folder_path(f), file);
}

/* The first `vectors` of a state, in the study's type; steps < 0: none are noted. */
static drmad_status save(const char *path, const setup *u, const void *const *v, int32_t vectors,
                         int64_t steps)
{
    const int32_t n = u->params->n, all = vectors * n;
    drmad_status st = DRMAD_OK;
    st_tensor *at = NULL;
    char **names = NULL, number[32];

    TRY(mem_alloc(u->ctx, (size_t)all, sizeof *at, &at));
    TRY(mem_alloc(u->ctx, (size_t)all, sizeof *names, &names));
    for (int32_t k = 0; k < vectors; k++) TRY(list_flat(u, v[k], k, at + k * n, names + k * n));
    snprintf(number, sizeof number, "%lld", (long long)steps);
    const st_text text[] = {{"format", "pt"}, {"study", u->cfg->set.name}, {steps_key, number}};
    const st_file out = {all, steps >= 0 ? 3 : 2, at, text};
    TRY(safetensors_write(u->ctx, path, &out));
done:
    for (int32_t i = 0; names && i < all; i++) mem_free(u->ctx, names[i]);
    mem_free(u->ctx, names);
    mem_free(u->ctx, at);
    return st;
}

drmad_status start_save_weights(folder *f, const char *file, const setup *u, const void *w)
{
    char path[1200];

    path_in(f, file, path, sizeof path);
    return save(path, u, &w, 1, -1);
}

drmad_status start_save_trained(folder *f, const char *file, const setup *u)
{
    const int32_t vectors = optim_vectors(&u->spec.optim);
    const size_t bytes = (size_t)u->params->total * dtype_size(u->spec.dtype);
    const void *v[OPTIM_VECTORS], *at;
    drmad_status st = DRMAD_OK;
    char path[1200], *all = NULL;

    TRY(mem_alloc(u->ctx, (size_t)vectors, bytes, &all));
    for (int32_t k = 0; k < vectors; k++) {
        TRY(trainer_read_buffer(u->trainer, k, &at));
        v[k] = memcpy(all + (size_t)k * bytes, at, bytes);
    }
    path_in(f, file, path, sizeof path);
    TRY(save(path, u, v, vectors, u->spec.done + u->spec.steps));
done:
    mem_free(u->ctx, all);
    return st;
}

/* A vector of doubles becomes one of the study's type, in place. */
static void narrow(const setup *u, double *flat)
{
    for (int64_t i = 0; u->spec.dtype == F32 && i < u->params->total; i++) {
        const float x = (float)flat[i];

        memcpy((char *)flat + (size_t)i * sizeof x, &x, sizeof x); /* never behind what is read */
    }
}

drmad_status start_save_state(const char *path, const setup *u, start_state *s)
{
    const void *v[OPTIM_VECTORS];
    int32_t vectors = 0;

    while (vectors < OPTIM_VECTORS && s->v[vectors]) vectors++;
    for (int32_t k = 0; k < vectors; k++) {
        narrow(u, s->v[k]);
        v[k] = s->v[k];
    }
    return save(path, u, v, vectors, s->steps);
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
