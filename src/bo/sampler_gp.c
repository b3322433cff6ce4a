/* The GP sampler: a start design, then the largest expected improvement under a Gaussian process.
 *
 *   scene (gp_scene.h)   trials as points of the model, closed balls
 *   turn                 base: all data, no noise expected; noisy: all data, noise expected; niche:
 *                        those outside the closed balls (niche.h)
 *   set (gp_set.h)       the data of that turn's model; of more than 1000 the 512 nearest the best
 *   model                hyperparameters from the newest fit in the notes, or fitted again when the
 *                        data have grown enough; the rows that fit saw are factored as a whole,
 *                        those that came since appended one by one
 *   pending trials       fantasies: their points appended, their values drawn
 *   proposal             acquire.h
 *
 * Why two models: a cusp or ripples look like noise, and noise like short lengthscales; the fit
 * cannot tell, and either mistake is dear. So they take turns. Derivatives, where they are known,
 * tell: base alone is asked.
 *
 * All of it follows from history and notes. Models of all data are kept between calls; one is used
 * again only where it is, row by row and bit by bit, what would be computed.
 *
 * Whatever goes wrong with numbers ends in a point of the start design.
 *
 * Source:  docs/SEARCH.md. Checked: tests/bo/test_sampler_gp.c. */
#include "bo/sampler_gp.h"
#include "base/rng.h"
#include "bo/acquire.h"
#include "bo/gp_set.h"
#include "bo/slopes.h"
#include "bo/warp.h"
#include <math.h>
#include <string.h>

enum {
    FANTASIES = 16,
    RETRY = 5,           /* every so many trials a fit starts from the prior's median too */
    GRADIENT_ROWS = 300, /* values and derivatives together; those of the best come first */
    BALLS_LIKELY = 3,    /* after more every second proposal comes from the model of all */
    NOISY_EVERY = 2,
    POLISH_EVERY = 8
};

/* ln sigma2 below which the model that expects noise has found none. */
static const double no_noise = -9.210340371976182; /* ln 1e-4 */

/* A model that lasts from call to call. */
typedef struct kept_model {
    gp *model;
    int32_t whole; /* rows that were factored as a whole */
} kept_model;

typedef struct gp_state {
    linalg *lin;
    niche_options niche;
    kept_model kept[GP_NICHE]; /* by turn */
} gp_state;

typedef struct proposal {
    sampler *s;
    gp_state *state;
    gp_scene scene;
    gp_set set;
    gp_note note;
    double *phi;
    bool fitted, polish;
    gp *model, *own;  /* own: to be freed */
    kept_model *kept; /* whose the model is; NULL: own */
    double *x;        /* what was given, NaN: free */
} proposal;

niche_options *sampler_gp_niche(sampler *s)
{
    return &((gp_state *)s->state)->niche;
}

/* ---- open, close ---- */

static void gp_close(sampler *s)
{
    gp_state *state = s->state;

    if (!state) return;
    for (int turn = 0; turn < GP_NICHE; turn++) gp_free(state->kept[turn].model);
    linalg_close(state->lin);
    mem_free(s->ctx, state);
    s->state = NULL;
}

static drmad_status gp_open(sampler *s)
{
    drmad_status st = DRMAD_OK;
    gp_state *state = NULL;

    TRY(mem_alloc(s->ctx, 1, sizeof *state, &state));
    s->state = state;
    state->niche = (niche_options){.on = true,
                                   .patience = 6,
                                   .every = 8,
                                   .tau = 0.03,
                                   .radius = 0.35,
                                   .idle = -10.5,
                                   .spent = -9};
    TRY(linalg_open(s->ctx, &state->lin));
done:
    return st;
}

/* Whether the model of these rows has derivatives. */
static bool with_gradients(const proposal *p)
{
    return p->s->options.gradients && p->set.n + p->scene.code->n <= GRADIENT_ROWS &&
           slopes_there(p->scene.code, p->set.rows, p->set.n);
}

/* ---- the model ---- */

/* How many more rows there must be for another fit, and what one may cost: measured so that a
 * suggestion keeps its time (docs/SEARCH.md). */
static int32_t fit_every(int32_t n)
{
    return n < 60 ? 1 : n < 150 ? 2 : n < 200 ? 4 : (n + 49) / 50 * 2;
}

static int32_t fit_evaluations(int32_t n, bool warm)
{
    return n < 60 ? 30 : n < 100 ? 20 : warm ? 8 : 15;
}

static drmad_status fit_from(proposal *p, const double *from, bool warm, double *value)
{
    const size_t bytes = (size_t)gp_count(&p->model->shape) * sizeof *from;
    drmad_status st = DRMAD_OK;
    double *phi = NULL, found;

    TRY(mem_alloc(p->s->ctx, 1, bytes, &phi));
    memcpy(phi, from, bytes);
    TRY(gp_fit(p->model, phi, fit_evaluations(p->model->rows, warm), &found));
    if (found < *value) {
        *value = found;
        memcpy(p->phi, phi, bytes);
        p->fitted = true;
    }
done:
    mem_free(p->s->ctx, phi);
    return st;
}

/* The first n rows. */
static drmad_status put_data(proposal *p, int32_t n)
{
    drmad_status st = DRMAD_OK;

    TRY(gp_data(p->model, n, p->set.z, p->set.t));
    if (p->set.gradients) TRY(gp_gradients(p->model, p->set.slopes));
done:
    return st;
}

/* p->phi is the newest fit's (place >= 0), else unset. */
static drmad_status fit_model(proposal *p, int32_t place)
{
    drmad_status st = DRMAD_OK;
    const size_t count = (size_t)gp_count(&p->model->shape);
    double *middle = NULL, value = INFINITY;

    TRY(mem_alloc(p->s->ctx, count, sizeof *middle, &middle));
    gp_prior_median(&p->model->shape, middle);
    TRY(put_data(p, p->set.n));
    if (place >= 0) TRY(fit_from(p, p->phi, true, &value));
    else memcpy(p->phi, middle, count * sizeof *middle);
    if (place < 0 || p->set.n < 20 || (p->scene.number % RETRY == 0 && p->set.n < 100))
        TRY(fit_from(p, middle, false, &value));
    p->note.rows = p->scene.n_done;
done:
    mem_free(p->s->ctx, middle);
    return st;
}

static bool same_bits(const double *a, const double *b, size_t n)
{
    return memcmp(a, b, n * sizeof *a) == 0;
}

/* Whether the kept model is the beginning of what is wanted. */
static bool kept_fits(const proposal *p)
{
    const gp *g = p->model;
    const gp_set *set = &p->set;

    if (set->gradients || p->kept->whole != set->whole || g->n < set->whole || g->n > set->n)
        return false;
    if (!same_bits(g->phi, p->phi, (size_t)gp_count(&g->shape))) return false;
    for (int32_t c = 0; c < g->shape.columns; c++)
        for (int32_t i = 0; i < g->n; i++) {
            const double *z = &set->z[(int64_t)i * g->shape.columns + c];

            if (!same_bits(&g->z[(int64_t)c * g->room + i], z, 1)) return false;
        }
    return true;
}

/* Factor of all rows at p->phi. *good: it could be made. */
static drmad_status factor_rows(proposal *p, bool *good)
{
    const int32_t columns = p->scene.code->columns;
    drmad_status st = DRMAD_OK;

    *good = true;
    if (p->fitted || !p->kept || !kept_fits(p)) {
        TRY(put_data(p, p->set.whole));
        *good = gp_factor(p->model, p->phi);
    }
    for (int32_t i = p->model->n; *good && i < p->set.n; i++)
        TRY(gp_append(p->model, p->set.z + (int64_t)i * columns, good));
    if (p->kept) p->kept->whole = *good ? p->set.whole : -1;
    if (*good) gp_targets(p->model, p->set.t);
done:
    if (st != DRMAD_OK && p->kept) p->kept->whole = -1;
    return st;
}

static drmad_status new_model(proposal *p)
{
    const encoding *code = p->scene.code;
    const gp_shape shape = {.columns = code->columns,
                            .groups = code->n,
                            .group = code->group,
                            .gradients = p->set.gradients,
                            .noisy = p->note.turn == GP_NOISY};
    drmad_status st = DRMAD_OK;

    if (p->note.turn == GP_NICHE) {
        TRY(gp_new(p->s->ctx, p->state->lin, shape, &p->own));
        p->model = p->own;
        return st;
    }
    p->kept = &p->state->kept[p->note.turn];
    const gp_shape *old = p->kept->model ? &p->kept->model->shape : NULL;

    if (!old || old->columns != shape.columns || old->groups != shape.groups ||
        old->gradients != shape.gradients) {
        gp_free(p->kept->model);
        *p->kept = (kept_model){.whole = -1};
        TRY(gp_new(p->s->ctx, p->state->lin, shape, &p->kept->model));
    }
    p->model = p->kept->model;
    p->model->shape = shape; /* the groups are this suggestion's */
done:
    return st;
}

static drmad_status make_targets(proposal *p)
{
    drmad_status st = DRMAD_OK;
    double *by_value = NULL;

    TRY(mem_alloc(p->s->ctx, (size_t)p->set.n, sizeof *by_value, &by_value));
    TRY(warp_targets(p->s->ctx, p->set.rows, p->set.n, p->set.t, by_value));
    const slope_data data = {p->scene.code, p->set.n, p->set.rows, p->set.z, p->set.t, by_value};

    if (p->set.gradients)
        TRY(slopes_make(p->s->ctx, &data, GRADIENT_ROWS - p->set.n, p->set.slopes));
done:
    mem_free(p->s->ctx, by_value);
    return st;
}

/* The model of the turn with all its targets. *good: there is one. */
static drmad_status make_model(proposal *p, bool *good)
{
    drmad_status st = DRMAD_OK;
    int32_t place;

    *good = false;
    p->set.gradients = with_gradients(p);
    TRY(new_model(p));
    TRY(gp_reserve(p->model, p->set.n + p->set.n_pending));
    TRY(scene_fit(&p->scene, p->note.turn, gp_count(&p->model->shape), p->phi, &place));
    const int32_t grown = place < 0 ? 0 : p->scene.n_done - p->scene.notes[place].rows;
    const bool again = place < 0 || grown >= fit_every(p->set.n) || grown < 0;

    if (!again && p->kept && !p->set.low && !p->set.gradients)
        TRY(set_order(&p->scene, place, &p->set));
    TRY(make_targets(p));
    if (again) TRY(fit_model(p, place));
    TRY(factor_rows(p, good));
done:
    return st;
}

/* ---- pending trials, the proposal ---- */

/* What is to be improved on: the least target of a complete row. */
static double least(const proposal *p)
{
    double best = INFINITY;

    for (int32_t i = 0; i < p->set.n; i++)
        if (set_is_complete(p->set.rows[i])) best = fmin(best, p->set.t[i]);
    return best;
}

/* The same where there is noise, of each side: Huang et al.'s "effective best solution" among the
 * complete rows, that of the least mean + sd, and its mean. */
static drmad_status least_means(const proposal *p, double *best)
{
    const int32_t n = p->set.n, sides = p->model->sides;
    drmad_status st = DRMAD_OK;
    double *mean = NULL, *variance;

    TRY(mem_alloc(p->s->ctx, ((size_t)sides + 1) * (size_t)n, sizeof *mean, &mean));
    variance = mean + (int64_t)sides * n;
    TRY(gp_predict_many(p->model, n, p->set.z, mean, variance));
    for (int32_t s = 0; s < sides; s++) {
        const double *m = mean + (int64_t)s * n;
        double most = INFINITY;

        for (int32_t i = 0; i < n; i++) {
            const double bound = m[i] + sqrt(variance[i]);

            if (set_is_complete(p->set.rows[i]) && bound < most) most = bound, best[s] = m[i];
        }
    }
done:
    mem_free(p->s->ctx, mean);
    return st;
}

/* best[sides]. Draws come in pairs of opposite sign. */
static drmad_status add_fantasies(proposal *p, double *best, bool *good)
{
    const rng_key key = {p->s->options.seed, (uint32_t)p->scene.number, rng_site("gp/fantasies")};
    const int32_t known = p->set.n, waiting = p->set.n_pending, columns = p->scene.code->columns;
    drmad_status st = DRMAD_OK;
    double *e = NULL, *t;

    best[0] = least(p);
    for (int32_t i = 0; *good && i < waiting; i++)
        TRY(gp_append(p->model, p->set.pending + (int64_t)i * columns, good));
    if (!waiting || !*good) return st;
    TRY(mem_alloc(p->s->ctx, 2 * FANTASIES * (size_t)waiting, sizeof *e, &e));
    t = e + FANTASIES * (int64_t)waiting;
    for (int32_t s = 0; s < FANTASIES; s++)
        for (int32_t i = 0; i < waiting; i++)
            e[s * waiting + i] =
                rng_normal(key, (uint64_t)(s / 2 * waiting + i)) * (s % 2 ? -1 : 1);
    TRY(gp_fantasies(p->model, known, FANTASIES, e, t));
    for (int32_t s = FANTASIES - 1; s >= 0; s--) {
        best[s] = best[0];
        for (int32_t i = 0; i < waiting; i++) best[s] = fmin(best[s], t[s * waiting + i]);
    }
done:
    mem_free(p->s->ctx, e);
    return st;
}

static drmad_status look(proposal *p, double *x, bool *found)
{
    const gp_scene *c = &p->scene;
    const niche_options *o = &p->state->niche;
    const double radius = o->radius * sqrt(c->code->n);
    const bool noisy = p->note.turn == GP_NOISY;
    drmad_status st = DRMAD_OK;
    double best[FANTASIES], value, *v = NULL;
    acquire_ball *balls = NULL;
    bool good = true;

    *found = false;
    TRY(mem_alloc(p->s->ctx, (size_t)c->code->n, sizeof *v, &v));
    TRY(mem_alloc(p->s->ctx, (size_t)c->balls + 1, sizeof *balls, &balls));
    for (int32_t b = 0; b < c->balls; b++)
        balls[b] = (acquire_ball){c->rows[c->centres[b]].z, radius};
    TRY(add_fantasies(p, best, &good));
    if (!good) goto done;
    if (noisy) TRY(least_means(p, best));
    encoding_latent(c->code, p->set.rows[set_best(&p->set)]->x, v);
    const acquire_task task = {.code = c->code,
                               .model = p->model,
                               .best = best,
                               .noise = noisy ? exp(p->phi[c->code->n + 1]) : 0,
                               .polish = p->polish,
                               .given = p->x,
                               .incumbent = v,
                               .known = c->z,
                               .n_known = c->n_done + c->n_pending,
                               .balls = balls,
                               .low = p->set.low,
                               .high = p->set.high,
                               .n_balls = p->note.turn == GP_NICHE ? c->balls : 0,
                               .seed = p->s->options.seed,
                               .number = c->number};

    TRY(acquire(&task, x, &value, found));
    p->note.ei = p->polish ? NAN : value;
    p->note.mean = -value;
done:
    if (p->kept && p->model->n > p->set.n) gp_drop(p->model, p->set.n);
    mem_free(p->s->ctx, v);
    mem_free(p->s->ctx, balls);
    return st;
}

/* Whether the least mean is asked for instead of the largest EI: where the first ball is closed the
 * model of all has nothing else to do; before, now and then, where there seems to be no noise. */
static drmad_status choose_polish(proposal *p)
{
    const gp_scene *c = &p->scene;
    drmad_status st = DRMAD_OK;
    int32_t place;

    p->polish = c->balls > 0;
    if (p->polish || c->number % POLISH_EVERY != 1) return st;
    TRY(scene_fit(c, GP_NOISY, c->code->n + 2, p->phi, &place));
    p->polish = place >= 0 && p->phi[c->code->n + 1] < no_noise;
done:
    return st;
}

/* Which model's turn it is, and what it is asked for; a niche needs enough data of its own. */
static drmad_status choose_turn(proposal *p)
{
    const gp_scene *c = &p->scene;
    const niche_options *o = &p->state->niche;
    drmad_status st = DRMAD_OK;

    p->note = (gp_note){.turn = GP_NICHE, .balls = c->balls};
    if (c->balls && c->number % (c->balls > BALLS_LIKELY ? 2 : o->every) != 0) {
        set_take(c, o, true, &p->set);
        if (set_complete(&p->set) >= (with_gradients(p) ? 2 : c->code->n + 2)) return st;
    }
    set_take(c, o, false, &p->set);
    const bool noisy = c->balls == 0 && c->number % NOISY_EVERY == 0 && !with_gradients(p);

    p->note.turn = noisy ? GP_NOISY : GP_BASE;
    if (p->note.turn == GP_BASE) TRY(choose_polish(p));
done:
    return st;
}

static int32_t startup(const sampler *s, const gp_scene *c)
{
    const bool gradients = s->options.gradients && slopes_there(c->code, c->done, c->n_done);

    if (s->options.startup > 0) return s->options.startup;
    return (gradients ? 1 : 2) * (c->code->n + 1);
}

static drmad_status propose(proposal *p, double *x, bool *found, json_t **model)
{
    const gp_scene *c = &p->scene;
    const int32_t first = startup(p->s, c);
    drmad_status st = DRMAD_OK;
    bool good;

    *found = false;
    if (c->code->n == 0 || c->n_done + c->n_pending < first || c->n_complete < (first + 3) / 4 ||
        c->n_complete < 2)
        return st;
    TRY(set_make(c, &p->set));
    TRY(mem_alloc(p->s->ctx, (size_t)c->code->n + 3, sizeof *p->phi, &p->phi));
    TRY(choose_turn(p));
    TRY(set_narrow(c, &p->set));
    TRY(make_model(p, &good));
    if (!good) return st;
    TRY(look(p, x, found));
    if (!*found) return st;
    *model = gp_note_make(&p->note, p->fitted ? p->phi : NULL, gp_count(&p->model->shape));
    if (!*model) st = FAIL(p->s->ctx, DRMAD_E_NOMEM, "out of memory for a sampler's note");
done:
    return st;
}

static drmad_status gp_suggest(sampler *s, const history *h, int64_t number, double *x,
                               json_t **model)
{
    drmad_ctx *ctx = s->ctx;
    drmad_status st = DRMAD_OK;
    proposal p = {.s = s, .state = s->state, .x = x, .scene.s = s};
    double *found_x = NULL;
    bool found = false;

    *model = NULL;
    TRY(mem_alloc(ctx, (size_t)s->space->n + 1, sizeof *found_x, &found_x));
    TRY(scene_make(s, h, number, &p.state->niche, &p.scene));
    TRY(propose(&p, found_x, &found, model));
    if (found) memcpy(x, found_x, (size_t)s->space->n * sizeof *x);
    else TRY(sampler_start(s, number, x));
done:
    gp_free(p.own);
    mem_free(ctx, found_x);
    set_free(ctx, &p.set);
    mem_free(ctx, p.phi);
    scene_free(&p.scene);
    return st;
}

const sampler_ops sampler_gp = {
    .name = "gp", .open = gp_open, .close = gp_close, .suggest = gp_suggest};
