/* The toy run. */
#include "train/traj_fixture.h"

static size_t vector_bytes(const fixture *f)
{
    return (size_t)f->params->total * dtype_size(f->spec.dtype);
}

void *fixture_vector(const fixture *f, int64_t t, int32_t vector)
{
    return f->all + ((size_t)t * (size_t)f->spec.vectors + (size_t)vector) * vector_bytes(f);
}

double fixture_read(const fixture *f, const void *w, int64_t i)
{
    return f->spec.dtype == F32 ? (double)((const float *)w)[i] : ((const double *)w)[i];
}

void fixture_write(const fixture *f, void *w, int64_t i, double x)
{
    if (f->spec.dtype == F32) ((float *)w)[i] = (float)x;
    else ((double *)w)[i] = x;
}

/* b' = .9 b + noise, w' = w - .02 w + b'; without b the noise goes to w. A step is about tau/3. */
drmad_status fixture_step(void *user, int64_t t, void *const from[], void *const to[])
{
    const fixture *f = user;

    for (int32_t p = 0; p < f->params->n; p++) {
        const param *q = &f->params->at[p];
        for (int64_t i = q->offset; i < q->offset + q->count; i++) {
            double noise = .001 * rng_normal((rng_key){5, (uint32_t)t, 1}, (uint64_t)i);
            double b = f->spec.vectors > 1 ? .9 * fixture_read(f, from[1], i) + noise : noise;
            fixture_write(f, to[0], i, .98 * fixture_read(f, from[0], i) + b);
            if (f->spec.vectors > 1) fixture_write(f, to[1], i, b);
        }
    }
    return DRMAD_OK;
}

static void make_params(fixture *f, int64_t rows)
{
    CHECK_OK(f->ctx, params_new(f->ctx, &f->params));
    CHECK_OK(f->ctx, params_add(f->params, "layers.0.weight", SHAPE(rows, 31), PARAM_WEIGHT, 0));
    CHECK_OK(f->ctx, params_add(f->params, "layers.0.bias", SHAPE(rows), PARAM_BIAS, 0));
    CHECK_OK(f->ctx, params_add(f->params, "layers.1.weight", SHAPE(5, 21), PARAM_WEIGHT, 1));
    CHECK_OK(f->ctx, params_add(f->params, "layers.1.bias", SHAPE(5), PARAM_BIAS, 1));
}

void fixture_make(fixture *f, dtype d, int64_t steps, int32_t vectors)
{
    fixture_make_wide(f, d, steps, vectors, 21);
}

void fixture_make_wide(fixture *f, dtype d, int64_t steps, int32_t vectors, int64_t rows)
{
    *f = (fixture){.ctx = test_ctx()};
    make_params(f, rows);
    f->spec = (traj_spec){.quality = QUALITY_NORMAL,
                          .dtype = d,
                          .params = f->params,
                          .steps = steps,
                          .vectors = vectors,
                          .step = fixture_step,
                          .user = f};
    f->all = calloc((size_t)(steps + 1) * (size_t)vectors, vector_bytes(f));
    if (!f->all) abort();
    for (int32_t p = 0; p < f->params->n; p++) {
        const param *q = &f->params->at[p];
        for (int64_t i = q->offset; i < q->offset + q->count && q->role == PARAM_WEIGHT; i++)
            fixture_write(f, f->all, i, .05 * rng_normal((rng_key){5, 0, 2}, (uint64_t)i));
    }
    for (int64_t t = 0; t < steps; t++) {
        void *from[2] = {fixture_vector(f, t, 0), fixture_vector(f, t, 1)};
        void *to[2] = {fixture_vector(f, t + 1, 0), fixture_vector(f, t + 1, 1)};
        CHECK_OK(f->ctx, fixture_step(f, t, from, to));
    }
    fixture_at(f, 0);
}

void fixture_free(fixture *f)
{
    params_free(f->params);
    free(f->all);
}

void fixture_at(fixture *f, int64_t t)
{
    for (int32_t i = 0; i < f->spec.vectors; i++) f->state[i] = fixture_vector(f, t, i);
    for (size_t i = 0; i < sizeof f->masks; i++)
        f->masks[i] = (uint8_t)rng_u64((rng_key){5, (uint32_t)t, 3}, i);
}

void fixture_forward(fixture *f, trajectory *tr)
{
    CHECK_OK(f->ctx, traj_begin(tr));
    for (int64_t t = 0; t <= f->spec.steps; t++) {
        fixture_at(f, t);
        CHECK_OK(f->ctx, traj_record(tr, t, f->state, t < f->spec.steps ? f->masks : NULL));
    }
}

double fixture_value(const fixture *f, int64_t t, int64_t i)
{
    return fixture_read(f, fixture_vector(f, t, 0), i);
}

bool fixture_same(const fixture *f, const void *v, int64_t t, int32_t vector)
{
    return v && memcmp(v, fixture_vector(f, t, vector), vector_bytes(f)) == 0;
}
