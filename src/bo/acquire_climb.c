/* From a candidate uphill: numbers by L-BFGS, choices and grids value by value, in turn. */
#include "bo/acquire_inside.h"
#include <math.h>
#include <string.h>

enum {
    TURNS = 3,
    EVALUATIONS = 40,
    EVALUATIONS_MANY = 25,
    MANY_ROWS = 400,
    SHORT_GRID = 16,
    STEPS = 8
};
static const double tolerance = 1e-7;

typedef struct climb {
    acquire_work *w;
    const acquire_task *task;
    spot at;         /* working copy */
    int32_t n_moved; /* parameters that L-BFGS moves */
    int32_t *moved;
    double *y, *low, *high, *slope; /* of them; slope: by column */
    drmad_status st;
} climb;

static bool is_given(const acquire_task *task, const coded_param *c)
{
    return task->given && !isnan(task->given[c->index]);
}

static bool is_short(const coded_param *c)
{
    return c->choice || (c->count > 0 && c->count <= SHORT_GRID);
}

static double length_of(const climb *k, int32_t p)
{
    return exp(k->task->model->phi[p]);
}

/* ---- numbers ---- */

/* at.z of at.v, with what is climbed off its grid. false: a rule is broken. */
static bool relaxed(climb *k)
{
    const encoding *code = k->task->code;
    bool keeps = true;

    if (code->heeds) {
        k->st = encoding_point(code, k->at.v, k->task->given, k->at.x, &keeps);
        if (k->st != DRMAD_OK || !keeps) return false;
        encoding_columns(code, k->at.x, k->at.z);
    }
    for (int32_t i = 0; i < k->n_moved; i++) {
        const coded_param *c = &code->params[k->moved[i]];

        if (!code->heeds || !isnan(k->at.x[c->index])) k->at.z[c->column] = k->at.v[k->moved[i]];
    }
    return true;
}

static double downhill(void *user, int32_t n, const double *y, double *gradient)
{
    climb *k = user;

    for (int32_t i = 0; i < n; i++) k->at.v[k->moved[i]] = y[i] * length_of(k, k->moved[i]);
    if (!relaxed(k)) return INFINITY;
    const double a = acquire_value(k->task, k->at.z, gradient ? k->slope : NULL);

    for (int32_t i = 0; gradient && i < n; i++) {
        const coded_param *c = &k->task->code->params[k->moved[i]];
        const bool there = !k->task->code->heeds || !isnan(k->at.x[c->index]);

        gradient[i] = there ? -k->slope[c->column] * length_of(k, k->moved[i]) : 0;
    }
    return -a;
}

/* Exact forms of at.v. false: it may not be proposed. */
static bool settle(climb *k)
{
    bool keeps;

    k->st = encoding_point(k->task->code, k->at.v, k->task->given, k->at.x, &keeps);
    if (k->st != DRMAD_OK || !keeps) return false;
    encoding_columns(k->task->code, k->at.x, k->at.z);
    return acquire_allowed(k->task, k->at.z);
}

static void copy_spot(const encoding *code, spot *to, const spot *from)
{
    memcpy(to->v, from->v, sizeof(double) * (size_t)code->n);
    memcpy(to->x, from->x, sizeof(double) * (size_t)code->space->n);
    memcpy(to->z, from->z, sizeof(double) * (size_t)code->columns);
    to->value = from->value;
}

/* Gains: `s` becomes the better place. */
static bool climb_numbers(climb *k, spot *s)
{
    const encoding *code = k->task->code;

    k->n_moved = 0;
    for (int32_t p = 0; p < code->n; p++) {
        const coded_param *c = &code->params[p];

        if (is_short(c) || is_given(k->task, c) || isnan(s->x[c->index])) continue;
        const double over = 1 / length_of(k, p);
        const int32_t i = k->n_moved++;

        k->moved[i] = p;
        k->low[i] = (k->task->low ? k->task->low[p] : c->lower) * over;
        k->high[i] = (k->task->high ? k->task->high[p] : c->upper) * over;
        k->y[i] = fmin(fmax(s->v[p] * over, k->low[i]), k->high[i]);
    }
    if (!k->n_moved) return false;
    copy_spot(code, &k->at, s);
    const linalg_task task = {.n = k->n_moved,
                              .lower = k->low,
                              .upper = k->high,
                              .evaluations =
                                  k->task->model->n < MANY_ROWS ? EVALUATIONS : EVALUATIONS_MANY,
                              .tolerance = tolerance,
                              .fn = downhill,
                              .user = k};
    const drmad_status st = linalg_minimise(k->task->model->lin, &task, k->y, &k->at.value);

    if (st != DRMAD_OK) k->st = st;
    for (int32_t i = 0; i < k->n_moved; i++)
        k->at.v[k->moved[i]] = k->y[i] * length_of(k, k->moved[i]);
    if (k->st != DRMAD_OK) return false;
    if (!settle(k)) {
        s->strays = acquire_within(k->task, k->at.z);
        return false;
    }
    k->at.value = acquire_value(k->task, k->at.z, NULL);
    if (!(k->at.value > s->value)) return false;
    copy_spot(code, s, &k->at);
    return true;
}

/* ---- choices and grids ---- */

/* The places on the grid of parameter p that are tried beside `at`: all, or the neighbours at 1, 2,
 * 4, 8. */
static int32_t tries_of(const coded_param *c, int32_t at, int32_t *tries)
{
    const int32_t last = (int32_t)c->count - 1;
    int32_t n = 0;

    if (c->count <= SHORT_GRID)
        for (int32_t i = 0; i <= last; i++) tries[n++] = i;
    else
        for (int32_t step = 1; step <= STEPS; step *= 2) {
            if (at - step >= 0) tries[n++] = at - step;
            if (at + step <= last) tries[n++] = at + step;
        }
    return n;
}

static bool climb_one(climb *k, spot *s, int32_t p)
{
    const encoding *code = k->task->code;
    int32_t tries[SHORT_GRID];
    const int32_t from = encoding_step(code, p, s->x);
    const int32_t n = tries_of(&code->params[p], from, tries);
    bool gained = false;

    for (int32_t i = 0; i < n; i++) {
        if (tries[i] == from) continue;
        memcpy(k->at.v, s->v, sizeof(double) * (size_t)code->n);
        k->at.v[p] = encoding_at_step(code, p, tries[i]);
        if (!settle(k)) continue;
        k->at.value = acquire_value(k->task, k->at.z, NULL);
        if (!(k->at.value > s->value)) continue;
        copy_spot(code, s, &k->at);
        gained = true;
    }
    return gained;
}

static bool climb_grids(climb *k, spot *s)
{
    const encoding *code = k->task->code;
    bool gained = false;

    for (int32_t p = 0; p < code->n; p++) {
        const coded_param *c = &code->params[p];

        if (c->count < 2 || is_given(k->task, c) || isnan(s->x[c->index])) continue;
        gained |= climb_one(k, s, p);
    }
    return gained;
}

static drmad_status climb_room(climb *k, double **room)
{
    const encoding *code = k->task->code;
    const size_t n = (size_t)code->n, all = (size_t)code->space->n, columns = (size_t)code->columns;
    drmad_status st = DRMAD_OK;

    TRY(mem_alloc(k->w->ctx, 4 * n + all + 2 * columns + 1, sizeof **room, room));
    TRY(mem_alloc(k->w->ctx, n + 1, sizeof *k->moved, &k->moved));
    k->y = *room, k->low = k->y + n, k->high = k->low + n, k->at.v = k->high + n;
    k->at.x = k->at.v + n, k->at.z = k->at.x + all, k->slope = k->at.z + columns;
done:
    return st;
}

drmad_status acquire_climb(acquire_work *w, spot *s)
{
    climb k = {.w = w, .task = w->task, .st = DRMAD_OK};
    double *room = NULL;
    drmad_status st = climb_room(&k, &room);

    for (int32_t i = 0; st == DRMAD_OK && i < TURNS; i++) {
        bool gained = climb_numbers(&k, s);

        if (k.st == DRMAD_OK) gained = climb_grids(&k, s);
        st = k.st;
        if (!gained) break;
    }
    mem_free(w->ctx, room);
    mem_free(w->ctx, k.moved);
    return st;
}
