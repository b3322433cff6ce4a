/* Where the search for a proposal looks first. */
#include "base/rng.h"
#include "bo/acquire_inside.h"
#include "bo/sampler.h"
#include "bo/sobol.h"
#include <math.h>
#include <string.h>

enum { WIDE_BITS = 9, WIDE = 1 << WIDE_BITS, CLOSE = 48, AROUND = 48, ALL = WIDE + CLOSE + AROUND };

/* The first 2^9 points of a Sobol sequence in Gray's order, each coordinate moved by a random
 * exclusive or: still one point in each of 512 equal intervals. u is WIDE x n. */
static void wide_points(const acquire_task *task, int32_t n, double *u)
{
    const rng_key key = {task->seed, (uint32_t)task->number, rng_site("gp/wide")};

    for (int32_t d = 0; d < n; d++) {
        uint32_t v[WIDE_BITS], x = (uint32_t)(rng_u64(key, (uint64_t)d) >> 32);

        for (int k = 0; d < SOBOL_DIMS && k < WIDE_BITS; k++)
            v[k] = sobol_digits(UINT32_C(1) << k, d);
        for (uint32_t i = 0; i < WIDE; i++) {
            if (d >= SOBOL_DIMS) x = (uint32_t)rng_u64(key, (uint64_t)i << 32 | (uint32_t)d);
            else if (i) x ^= v[__builtin_ctz(i)];
            u[(int64_t)i * n + d] = (x + 0.5) * 0x1p-32;
        }
    }
}

/* Around the best point: numbers by a normal step, choices stay or, one time in 2 n, change. */
static void near_point(const acquire_task *task, int32_t i, double *v)
{
    const rng_key key = {task->seed, (uint32_t)task->number, rng_site("gp/near")};
    const encoding *code = task->code;

    for (int32_t p = 0; p < code->n; p++) {
        const coded_param *c = &code->params[p];
        const uint64_t element = (uint64_t)i << 32 | (uint32_t)p;
        const double length = exp(task->model->phi[p]);

        v[p] = task->incumbent[p];
        if (c->choice) {
            if (rng_uniform(key, element) * 2 * code->n < 1 && i % 2)
                v[p] = (double)rng_below(key, element | UINT64_C(1) << 31, (uint64_t)c->count);
            continue;
        }
        double step = i < CLOSE ? 1e-3 : 0.1 * fmin(length, 1);

        if (c->count > 0) step = fmax(step, 0.7 / c->count);
        v[p] += step * rng_normal(key, element);
        v[p] = fmin(fmax(v[p], task->low ? task->low[p] : c->lower),
                    task->high ? task->high[p] : c->upper);
    }
}

static drmad_status make_room(acquire_work *w)
{
    const encoding *code = w->task->code;
    const size_t m = ALL, sides = (size_t)w->task->model->sides;
    drmad_status st = DRMAD_OK;

    TRY(mem_alloc(w->ctx, m * (size_t)(code->n + 1), sizeof(double), &w->v));
    TRY(mem_alloc(w->ctx, m * (size_t)(code->space->n + 1), sizeof(double), &w->x));
    TRY(mem_alloc(w->ctx, m * (size_t)(code->columns + 1), sizeof(double), &w->z));
    TRY(mem_alloc(w->ctx, m * sides, sizeof(double), &w->mean));
    TRY(mem_alloc(w->ctx, m, sizeof(double), &w->variance));
    TRY(mem_alloc(w->ctx, m, sizeof(double), &w->a));
done:
    return st;
}

static void put_latents(acquire_work *w, double *u)
{
    const acquire_task *task = w->task;
    const int32_t n = task->code->n;

    wide_points(task, n, u);
    for (int32_t i = 0; i < WIDE; i++) {
        double *v = w->v + (int64_t)i * n;

        encoding_draw(task->code, u + (int64_t)i * n, v);
        for (int32_t p = 0; p < n && task->low; p++)
            if (!task->code->params[p].choice)
                v[p] = task->low[p] + u[(int64_t)i * n + p] * (task->high[p] - task->low[p]);
    }
    for (int32_t i = WIDE; i < ALL; i++) near_point(task, i - WIDE, w->v + (int64_t)i * n);
}

drmad_status acquire_candidates(acquire_work *w)
{
    const acquire_task *task = w->task;
    const encoding *code = task->code;
    drmad_status st = DRMAD_OK;
    double *u = NULL;
    bool keeps;

    TRY(make_room(w));
    TRY(mem_alloc(w->ctx, (size_t)WIDE * (size_t)(code->n + 1), sizeof *u, &u));
    put_latents(w, u);
    w->m = ALL;
    for (int32_t i = 0; i < ALL; i++) {
        double *x = w->x + (int64_t)i * code->space->n, *z = w->z + (int64_t)i * code->columns;

        TRY(encoding_point(code, w->v + (int64_t)i * code->n, task->given, x, &keeps));
        encoding_columns(code, x, z);
        w->a[i] = keeps && acquire_allowed(task, z) ? 0 : -INFINITY;
    }
    TRY(gp_predict_many(task->model, ALL, w->z, w->mean, w->variance));
    for (int32_t i = 0; i < ALL; i++)
        if (w->a[i] == 0) {
            w->a[i] = acquire_of(task, w->mean + i, ALL, w->variance[i]);
            if (isnan(w->a[i])) w->a[i] = -INFINITY;
        }
done:
    mem_free(w->ctx, u);
    return st;
}
