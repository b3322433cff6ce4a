/* The public sampler: a space and a history in memory around one of src/bo/. */
#include "drmad/sampler.h"
#include "base/settings.h"
#include "bo/sampler.h"
#include <math.h>
#include <string.h>

struct drmad_sampler {
    drmad_ctx *ctx;
    sampler_options options;
    bool maximize;
    search *space;
    sampler *inside;   /* NULL until the next suggestion: the space has changed */
    observation *rows; /* number rising; x, gradient and note are ours */
    int32_t n, room;
};

static drmad_status read_settings(drmad_sampler *s, const char *const *settings, int n)
{
    const char *word = "gp", *direction = "minimize";
    int64_t seed = 1, startup = 0;
    bool gradients = false;
    const setting known[] = {{"sampler", SETTING_TEXT, &word},
                             {"direction", SETTING_TEXT, &direction},
                             {"seed", SETTING_INT, &seed},
                             {"startup", SETTING_INT, &startup},
                             {"gradients", SETTING_FLAG, &gradients}};
    drmad_status st = DRMAD_OK;

    TRY(settings_read(s->ctx, "drmad_sampler_new", settings, n, known, COUNT(known)));
    if (!sampler_kind_of(word, &s->options.kind))
        TRY(FAIL(s->ctx, DRMAD_E_USAGE, "sampler=%s: expected gp, tpe, cmaes, sobol or random",
                 word));
    s->maximize = strcmp(direction, "maximize") == 0;
    if (!s->maximize && strcmp(direction, "minimize") != 0)
        TRY(FAIL(s->ctx, DRMAD_E_USAGE, "direction=%s: expected minimize or maximize", direction));
    if (seed < 0 || startup < 0 || startup > INT32_MAX)
        TRY(FAIL(s->ctx, DRMAD_E_USAGE, "seed and startup must not be below 0"));
    s->options.seed = (uint64_t)seed;
    s->options.startup = (int32_t)startup;
    s->options.gradients = gradients;
done:
    return st;
}

drmad_status drmad_sampler_new(drmad_ctx *ctx, const char *const *settings, int n,
                               drmad_sampler **out)
{
    drmad_status st = DRMAD_OK;
    drmad_sampler *s = NULL;

    *out = NULL;
    TRY(mem_alloc(ctx, 1, sizeof *s, &s));
    s->ctx = ctx;
    TRY(search_new(ctx, &s->space));
    TRY(read_settings(s, settings, n));
    *out = s, s = NULL;
done:
    drmad_sampler_free(s);
    return st;
}

static void free_row(drmad_ctx *ctx, observation *row)
{
    mem_free(ctx, (double *)row->x);
    mem_free(ctx, (double *)row->gradient);
    mem_free(ctx, (char *)row->note);
}

void drmad_sampler_free(drmad_sampler *s)
{
    if (!s) return;
    sampler_free(s->inside);
    for (int32_t i = 0; i < s->n; i++) free_row(s->ctx, &s->rows[i]);
    mem_free(s->ctx, s->rows);
    search_free(s->space);
    mem_free(s->ctx, s);
}

/* ---- the space ---- */

static drmad_status widen_one(drmad_sampler *s, const double **values)
{
    const size_t n = (size_t)s->space->n;
    drmad_status st = DRMAD_OK;
    double *x = (double *)*values;

    TRY(mem_resize(s->ctx, &x, n + 1, n + 2, sizeof *x));
    *values = x;
    x[n] = NAN;
done:
    return st;
}

/* Room for one more value in every row, before the space has it. */
static drmad_status widen(drmad_sampler *s)
{
    drmad_status st = DRMAD_OK;

    for (int32_t i = 0; i < s->n; i++) {
        TRY(widen_one(s, &s->rows[i].x));
        if (s->rows[i].gradient) TRY(widen_one(s, &s->rows[i].gradient));
    }
done:
    return st;
}

drmad_status drmad_sampler_add_param(drmad_sampler *s, const char *name, const char *distribution,
                                     int *index)
{
    drmad_status st = DRMAD_OK;
    search_param *p;
    int32_t at = -1;

    *index = -1;
    TRY(search_param_parse(s->ctx, name, distribution, &p));
    if (search_find(s->space, name) < 0) st = widen(s);
    if (st != DRMAD_OK) {
        search_param_free(s->ctx, p);
        goto done;
    }
    sampler_free(s->inside);
    s->inside = NULL;
    TRY(search_add(s->space, p, &at));
    *index = at;
done:
    return st;
}

/* ---- the history ---- */

/* The place of trial `number`, or where it belongs. */
static int32_t place_of(const drmad_sampler *s, int64_t number)
{
    int32_t low = 0, high = s->n;

    while (low < high) {
        const int32_t mid = low + (high - low) / 2;

        if (s->rows[mid].number < number) low = mid + 1;
        else high = mid;
    }
    return low;
}

static bool is_known(const drmad_sampler *s, int32_t at, int64_t number)
{
    return at < s->n && s->rows[at].number == number;
}

/* The row of trial `number`, made where there is none. */
static drmad_status row_of(drmad_sampler *s, int64_t number, observation **out)
{
    const int32_t at = place_of(s, number);
    drmad_status st = DRMAD_OK;
    double *x = NULL;

    *out = NULL;
    if (is_known(s, at, number)) {
        *out = &s->rows[at];
        return st;
    }
    if (number < 0)
        return FAIL(s->ctx, DRMAD_E_USAGE, "trial %lld: numbers begin with 0", (long long)number);
    if (s->n == s->room) {
        const int32_t room = 2 * s->room + 16;

        TRY(mem_resize(s->ctx, &s->rows, (size_t)s->room, (size_t)room, sizeof *s->rows));
        s->room = room;
    }
    TRY(mem_alloc(s->ctx, (size_t)s->space->n + 1, sizeof *x, &x));
    memmove(&s->rows[at + 1], &s->rows[at], (size_t)(s->n - at) * sizeof *s->rows);
    s->rows[at] = (observation){.number = number, .x = x};
    s->n++;
    *out = &s->rows[at];
done:
    return st;
}

/* What was told of another point of the trial. */
static void move_row(drmad_sampler *s, observation *row, const double *x)
{
    mem_free(s->ctx, (char *)row->note);
    mem_free(s->ctx, (double *)row->gradient);
    row->note = NULL, row->gradient = NULL;
    memcpy((double *)row->x, x, (size_t)s->space->n * sizeof *x);
}

static bool read_state(const char *word, observed *state)
{
    static const struct {
        const char *word;
        observed state;
    } known[] = {{"COMPLETE", OBSERVED_COMPLETE},
                 {"PRUNED", OBSERVED_PRUNED},
                 {"FAIL", OBSERVED_FAILED},
                 {"RUNNING", OBSERVED_PENDING}};

    for (size_t i = 0; i < COUNT(known); i++) {
        *state = known[i].state;
        if (strcmp(word, known[i].word) == 0) return true;
    }
    return false;
}

drmad_status drmad_sampler_observe(drmad_sampler *s, int64_t number, const char *state,
                                   const double *x, double value, int64_t step)
{
    const size_t size = (size_t)s->space->n * sizeof *x;
    drmad_status st = DRMAD_OK;
    observation *row;
    observed what;

    if (!read_state(state, &what))
        TRY(FAIL(s->ctx, DRMAD_E_USAGE,
                 "state \"%.20s\": expected COMPLETE, PRUNED, FAIL or RUNNING", state));
    TRY(row_of(s, number, &row));
    if (memcmp(row->x, x, size) != 0) move_row(s, row, x);
    if (what == OBSERVED_COMPLETE && !isfinite(value)) what = OBSERVED_FAILED;
    row->state = what;
    row->step = step;
    row->value = what == OBSERVED_FAILED || what == OBSERVED_PENDING ? NAN
                 : s->maximize                                       ? -value
                                                                     : value;
done:
    return st;
}

drmad_status drmad_sampler_gradient(drmad_sampler *s, int64_t number, const double *gradient)
{
    const int32_t at = place_of(s, number);
    drmad_status st = DRMAD_OK;
    double *own = NULL;

    if (!is_known(s, at, number))
        return FAIL(s->ctx, DRMAD_E_USAGE, "trial %lld: observe it before its gradient",
                    (long long)number);
    TRY(mem_alloc(s->ctx, (size_t)s->space->n + 1, sizeof *own, &own));
    for (int32_t i = 0; i < s->space->n; i++) own[i] = s->maximize ? -gradient[i] : gradient[i];
    mem_free(s->ctx, (double *)s->rows[at].gradient);
    s->rows[at].gradient = own;
done:
    return st;
}

void drmad_sampler_forget(drmad_sampler *s, int64_t number)
{
    const int32_t at = place_of(s, number);

    if (!is_known(s, at, number)) return;
    free_row(s->ctx, &s->rows[at]);
    s->n--;
    memmove(&s->rows[at], &s->rows[at + 1], (size_t)(s->n - at) * sizeof *s->rows);
}

/* ---- suggesting ---- */

static bool lies_inside(const search *space, const double *x)
{
    for (int32_t i = 0; i < space->n; i++) {
        const search_param *p = &space->params[i];
        const bool choice = p->type == SEARCH_CATEGORICAL;

        if (x[i] < (choice ? 0 : p->low) || x[i] > (choice ? p->n_choices - 1 : p->high))
            return false;
    }
    return true;
}

/* Gives h->rows, to be freed. */
static drmad_status history_of(const drmad_sampler *s, int64_t number, history *h)
{
    observation *rows;
    const drmad_status st = mem_alloc(s->ctx, (size_t)s->n + 1, sizeof *rows, &rows);

    if (st != DRMAD_OK) return st;
    for (int32_t i = 0; i < s->n; i++)
        if (s->rows[i].number != number && lies_inside(s->space, s->rows[i].x))
            rows[h->n++] = s->rows[i];
    h->rows = rows;
    return st;
}

drmad_status drmad_sampler_suggest(drmad_sampler *s, int64_t number, double *x)
{
    drmad_status st = DRMAD_OK;
    observation *row;
    history h = {0};
    char *note = NULL;

    if (!s->inside) TRY(sampler_new(s->ctx, &s->options, s->space, &s->inside));
    TRY(history_of(s, number, &h));
    TRY(sampler_suggest(s->inside, &h, number, x, &note));
    TRY(row_of(s, number, &row));
    move_row(s, row, x);
    row->note = note, note = NULL;
    row->state = OBSERVED_PENDING;
    row->value = NAN;
done:
    mem_free(s->ctx, note);
    mem_free(s->ctx, (observation *)h.rows);
    return st;
}
