/* Single F32 steps of an optimiser, each from a given state, for test_optimizers.py: the trainer's
 * own plan, with the gradient that comes along. From standard input, native order:
 *
 *   int32[10]    kind, decoupled, centered, eps inside, momentum, clip, states, elements, vectors,
 *                steps at most
 *   float64[8]   lr, mu, decay, beta1, beta2, eps, momentum decay, clip threshold
 *   each state   int64 step, float32 [vectors][elements], float32 gradient [elements]
 *
 * To standard output float32 [vectors][elements] of each next state. */
#include "base/base.h"
#include "train/trainer.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ELEMENTS_MAX = 4096 };

typedef struct head {
    int32_t kind, decoupled, centered, eps_inside, buffer, clip, states, elements, vectors, steps;
    double lr, mu, decay, beta1, beta2, eps, momentum_decay, clip_at;
} head;

typedef struct gradient_of {
    float *at;
    int32_t n;
} gradient_of;

static int given(void *user, uint64_t seed, int64_t step, const void *w, const void *weights,
                 void *g, double *loss)
{
    const gradient_of *x = user;

    (void)seed, (void)step, (void)w, (void)weights;
    memcpy(g, x->at, (size_t)x->n * sizeof *x->at);
    *loss = 0;
    return DRMAD_OK;
}

static train_spec spec_of(const head *h, oracle *o, const param_table *p, const space *s)
{
    return (train_spec){
        .dtype = F32,
        .oracle = o,
        .params = p,
        .space = s,
        .optim = {.kind = (optim_kind)h->kind,
                  .decoupled = h->decoupled,
                  .centered = h->centered,
                  .eps_inside = h->eps_inside,
                  .buffer = h->buffer,
                  .momentum_decay = h->momentum_decay,
                  .clip = (optim_clip)h->clip},
        .rate = {.rate = h->lr, .steps = h->steps},
        .momentum = h->mu,
        .weight_decay = h->decay,
        .beta1 = h->beta1,
        .beta2 = h->beta2,
        .eps = h->eps,
        .clip = h->clip_at,
        .init_scale = 1,
        .steps = h->steps,
        .batch = 1,
        .train = {.count = 1},
    };
}

static bool read_floats(float *x, int32_t n)
{
    return fread(x, sizeof *x, (size_t)n, stdin) == (size_t)n;
}

static drmad_status run_state(drmad_ctx *ctx, trainer *t, const head *h, float *gradient)
{
    drmad_status st = DRMAD_OK;
    int64_t step;

    if (fread(&step, sizeof step, 1, stdin) != 1) return FAIL(ctx, DRMAD_E_DATA, "no state");
    for (int32_t k = 0; k < h->vectors; k++)
        if (!read_floats(t->state[0][k], h->elements)) return FAIL(ctx, DRMAD_E_DATA, "no vector");
    if (!read_floats(gradient, h->elements)) return FAIL(ctx, DRMAD_E_DATA, "no gradient");
    TRY(trainer_step_at(t, step, t->state[0], t->state[0]));
    for (int32_t k = 0; k < h->vectors; k++)
        fwrite(t->state[0][k], sizeof(float), (size_t)h->elements, stdout);
done:
    return st;
}

static drmad_status run(drmad_ctx *ctx, float *gradient)
{
    const double none = 0;
    drmad_status st = DRMAD_OK;
    param_table *p = NULL;
    trainer *t = NULL;
    space *s = NULL;
    gradient_of known = {.at = gradient};
    oracle o = {.gradient = given, .user = &known};
    head h;

    if (fread(&h, sizeof h, 1, stdin) != 1 || h.elements > ELEMENTS_MAX)
        return FAIL(ctx, DRMAD_E_USAGE, "no head");
    known.n = h.elements;
    const space_facts facts = {.steps = h.steps, .examples = 1};
    TRY(params_new(ctx, &p));
    TRY(params_add(p, "w", SHAPE(h.elements), PARAM_WEIGHT, 0));
    TRY(space_new(ctx, p, &facts, NULL, 0, &s));
    const train_spec spec = spec_of(&h, &o, p, s);
    TRY(trainer_new(ctx, &spec, &t));
    if (t->vectors != h.vectors) TRY(FAIL(ctx, DRMAD_E_USAGE, "%d vectors", t->vectors));
    trainer_restart(t, &none, 0);
    for (int32_t i = 0; i < h.states; i++) TRY(run_state(ctx, t, &h, gradient));
done:
    trainer_free(t);
    space_free(s);
    params_free(p);
    return st;
}

int main(void)
{
    drmad_ctx *ctx = drmad_ctx_new(NULL, NULL);
    float *gradient = calloc(ELEMENTS_MAX, sizeof *gradient);
    const drmad_status st = ctx && gradient ? run(ctx, gradient) : DRMAD_E_NOMEM;

    if (st != DRMAD_OK) fprintf(stderr, "optim_step: %s\n", ctx ? drmad_errmsg(ctx) : "no memory");
    free(gradient);
    drmad_ctx_free(ctx);
    return st == DRMAD_OK ? 0 : 1;
}
