/* The state of the niche search, replayed from the trials so far: niche.h.
 * Checked: tests/bo/test_warp.c. */
#include "bo/niche.h"
#include <math.h>

enum { SPENT_PATIENCE = 2 };

typedef struct replay {
    const niche_options *o;
    const niche_row *rows;
    int32_t columns, groups, balls, idle, kept;
    int32_t *centres;
    double *sorted; /* values so far */
    double local;   /* the best outside the balls, and where */
    int32_t local_row;
} replay;

bool niche_within(const niche_options *o, const niche_row *rows, const int32_t *centres,
                  int32_t balls, const double *z, int32_t columns, int32_t groups)
{
    for (int32_t b = 0; b < balls; b++) {
        const double *centre = rows[centres[b]].z;
        double r2 = 0;

        for (int32_t c = 0; c < columns; c++) r2 += (z[c] - centre[c]) * (z[c] - centre[c]);
        if (r2 < o->radius * o->radius * groups) return true;
    }
    return false;
}

static void insert(replay *r, double value)
{
    int32_t i = r->kept++;

    for (; i > 0 && r->sorted[i - 1] > value; i--) r->sorted[i] = r->sorted[i - 1];
    r->sorted[i] = value;
}

/* The best outside the balls among the first n rows. */
static void find_local(replay *r, int32_t n)
{
    r->local = INFINITY, r->local_row = -1;
    for (int32_t i = 0; i < n; i++)
        if (r->rows[i].value < r->local &&
            !niche_within(r->o, r->rows, r->centres, r->balls, r->rows[i].z, r->columns, r->groups))
            r->local = r->rows[i].value, r->local_row = i;
}

/* Row i against the best that its model knew. */
static void look(replay *r, int32_t i)
{
    const niche_row *row = &r->rows[i];
    const double median = r->kept ? r->sorted[r->kept / 2] : INFINITY;
    const bool counts = row->note->turn == (r->balls ? GP_NICHE : GP_BASE) &&
                        (r->balls == 0 || row->note->balls == r->balls);
    const bool outside =
        !niche_within(r->o, r->rows, r->centres, r->balls, row->z, r->columns, r->groups);
    const double best = r->local;

    if (counts) {
        const bool gains = row->value < best - r->o->tau * (median - best);

        r->idle = gains ? 0 : r->idle + 1;
    }
    if (!isnan(row->value)) insert(r, row->value);
    if (outside && row->value < r->local) r->local = row->value, r->local_row = i;
    const bool spent = r->balls > 0 && row->note->ei < r->o->spent;

    if (!counts || r->idle < (spent ? SPENT_PATIENCE : r->o->patience) || r->local_row < 0) return;
    if (r->balls == 0 && !(row->note->ei < r->o->idle)) return;
    r->centres[r->balls++] = r->local_row;
    r->idle = 0;
    find_local(r, i + 1);
}

drmad_status niche_closed(drmad_ctx *ctx, const niche_options *o, const niche_row *rows, int32_t n,
                          int32_t columns, int32_t groups, int32_t *centres, int32_t *n_centres)
{
    drmad_status st = DRMAD_OK;
    replay r = {.o = o,
                .rows = rows,
                .columns = columns,
                .groups = groups,
                .centres = centres,
                .local = INFINITY,
                .local_row = -1};

    *n_centres = 0;
    if (!o->on) return st;
    TRY(mem_alloc(ctx, (size_t)n + 1, sizeof *r.sorted, &r.sorted));
    for (int32_t i = 0; i < n; i++) look(&r, i);
    *n_centres = r.balls;
done:
    mem_free(ctx, r.sorted);
    return st;
}
