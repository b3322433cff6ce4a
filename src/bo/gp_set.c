/* Which trials a model is made of. */
#include "bo/gp_set.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

drmad_status set_make(const gp_scene *c, gp_set *out)
{
    const size_t n = (size_t)c->h->n + 1, columns = (size_t)c->code->columns;
    drmad_ctx *ctx = c->s->ctx;
    drmad_status st = DRMAD_OK;

    *out = (gp_set){0};
    TRY(mem_alloc(ctx, n, sizeof *out->rows, &out->rows));
    TRY(mem_alloc(ctx, n * columns, sizeof *out->z, &out->z));
    TRY(mem_alloc(ctx, n, sizeof *out->t, &out->t));
    TRY(mem_alloc(ctx, n * columns, sizeof *out->pending, &out->pending));
    TRY(mem_alloc(ctx, n * columns, sizeof *out->slopes, &out->slopes));
done:
    if (st != DRMAD_OK) set_free(ctx, out);
    return st;
}

void set_free(drmad_ctx *ctx, gp_set *set)
{
    mem_free(ctx, set->rows);
    mem_free(ctx, set->z);
    mem_free(ctx, set->t);
    mem_free(ctx, set->pending);
    mem_free(ctx, set->slopes);
    mem_free(ctx, set->low);
    *set = (gp_set){0};
}

static void put_row(const gp_scene *c, int32_t i, gp_set *set)
{
    const size_t columns = (size_t)c->code->columns;

    memcpy(set->z + (size_t)set->n * columns, c->z + (size_t)i * columns, columns * sizeof *set->z);
    set->rows[set->n++] = c->done[i];
}

void set_take(const gp_scene *c, const niche_options *o, bool without_balls, gp_set *set)
{
    const int32_t columns = c->code->columns, balls = without_balls ? c->balls : 0;

    set->n = set->n_pending = 0;
    for (int32_t i = 0; i < c->n_done + c->n_pending; i++) {
        const double *z = c->z + (int64_t)i * columns;

        if (niche_within(o, c->rows, c->centres, balls, z, columns, c->code->n)) continue;
        if (i < c->n_done) put_row(c, i, set);
        else
            memcpy(set->pending + (int64_t)set->n_pending++ * columns, z,
                   (size_t)columns * sizeof *z);
    }
    set->whole = set->n;
}

bool set_is_complete(const observation *row)
{
    return row->state == OBSERVED_COMPLETE && isfinite(row->value);
}

int32_t set_complete(const gp_set *set)
{
    int32_t n = 0;

    for (int32_t i = 0; i < set->n; i++) n += set_is_complete(set->rows[i]);
    return n;
}

int32_t set_best(const gp_set *set)
{
    int32_t best = -1;

    for (int32_t i = 0; i < set->n; i++)
        if (set_is_complete(set->rows[i]) &&
            (best < 0 || set->rows[i]->value < set->rows[best]->value))
            best = i;
    return best;
}

/* ---- the nearest ---- */

typedef struct far_row {
    double r2;
    int32_t i;
} far_row;

static int nearer(const void *a, const void *b)
{
    const far_row *x = a, *y = b;

    if (x->r2 != y->r2) return x->r2 < y->r2 ? -1 : 1;
    return x->i - y->i;
}

static int earlier(const void *a, const void *b)
{
    return ((const far_row *)a)->i - ((const far_row *)b)->i;
}

static drmad_status set_box(const gp_scene *c, const double *best, double half, gp_set *set)
{
    const int32_t n = c->code->n;
    drmad_status st = DRMAD_OK;

    TRY(mem_alloc(c->s->ctx, 2 * (size_t)n, sizeof *set->low, &set->low));
    set->high = set->low + n;
    encoding_latent(c->code, best, set->low);
    for (int32_t p = 0; p < n; p++) {
        const coded_param *q = &c->code->params[p];

        set->high[p] = fmin(set->low[p] + half, q->upper);
        set->low[p] = fmax(set->low[p] - half, q->lower);
    }
done:
    return st;
}

drmad_status set_narrow(const gp_scene *c, gp_set *set)
{
    const int32_t columns = c->code->columns, best = set_best(set);
    const double least_half = 0.02;
    drmad_status st = DRMAD_OK;
    far_row *far = NULL;

    if (set->n <= ROWS_MOST) return st;
    TRY(mem_alloc(c->s->ctx, (size_t)set->n, sizeof *far, &far));
    for (int32_t i = 0; i < set->n; i++) {
        far[i].i = i;
        for (int32_t k = 0; k < columns; k++) {
            const double d = set->z[(int64_t)i * columns + k] - set->z[(int64_t)best * columns + k];

            far[i].r2 += d * d;
        }
    }
    qsort(far, (size_t)set->n, sizeof *far, nearer);
    const double half = sqrt(far[ROWS_NEAR - 1].r2 / c->code->n);

    TRY(set_box(c, set->rows[best]->x, fmax(half, least_half), set));
    qsort(far, ROWS_NEAR, sizeof *far, earlier);
    for (int32_t i = 0; i < ROWS_NEAR; i++) { /* places rise: nothing is overwritten too early */
        memmove(set->z + (int64_t)i * columns, set->z + (int64_t)far[i].i * columns,
                (size_t)columns * sizeof *set->z);
        set->rows[i] = set->rows[far[i].i];
    }
    set->n = set->whole = ROWS_NEAR;
done:
    mem_free(c->s->ctx, far);
    return st;
}

/* ---- the order of a fit ---- */

drmad_status set_order(const gp_scene *c, int32_t place, gp_set *set)
{
    drmad_status st = DRMAD_OK;
    observation *seen = NULL;
    bool *early = NULL;
    int32_t n = 0;

    TRY(mem_alloc(c->s->ctx, (size_t)c->n_done + 1, sizeof *early, &early));
    st = sampler_seen(c->s, c->noted[place]->note, c->h, &seen, &n);
    if (st == DRMAD_E_STORAGE) {
        st = DRMAD_OK;
        goto done;
    }
    TRY(st);
    for (int32_t i = 0, k = 0; i < c->n_done; i++) {
        while (k < n && seen[k].number < c->done[i]->number) k++;
        early[i] =
            k < n && seen[k].number == c->done[i]->number && seen[k].state != OBSERVED_PENDING;
    }
    set->n = 0;
    for (int32_t i = 0; i < c->n_done; i++)
        if (early[i]) put_row(c, i, set);
    set->whole = set->n;
    for (int32_t i = 0; i < c->n_done; i++)
        if (!early[i]) put_row(c, i, set);
done:
    mem_free(c->s->ctx, seen);
    mem_free(c->s->ctx, early);
    return st;
}
