/* See mnist_task.h. */
#include "mnist_task.h"
#include "setup/setup.h"
#include "train/trainer.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double WORST = 5; /* ln 10 is the loss of a guess */

struct mnist_task {
    drmad_ctx *ctx;
    config *cfg;
    setup *s;
    uint64_t seed;
};

static const char *const study[][2] = {
    {"threads", "1"},
    {"data.train", "1000"},
    {"data.valid", "1000"},
    {"model.layers", "[auto, 30, auto]"},
    {"model.activation", "tanh"},
    {"train.steps", "200"},
    {"train.batch", "50"},
    {"optimizer.momentum", "0.9"},
    {"hyper", "[{kind: lr, per: global, phases: 2}, {kind: momentum, per: global}, "
              "{kind: l2, per: layer}, {kind: init_scale, per: global}]"},
};

static drmad_status open_study(mnist_task *t)
{
    drmad_status st = DRMAD_OK;
    char seed[32];

    TRY(config_new(t->ctx, &t->cfg));
    for (size_t i = 0; i < COUNT(study); i++) TRY(config_set(t->cfg, study[i][0], study[i][1]));
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)t->seed);
    TRY(config_set(t->cfg, "seed", seed));
    TRY(config_finish(t->cfg));
    TRY(setup_new(t->ctx, t->cfg, NULL, NULL, &t->s));
    TRY(setup_tie(t->s, 0, false, NULL));
    if (t->s->space->total != MNIST_PARAMS)
        TRY(FAIL(t->ctx, DRMAD_E_CONFIG, "%d hyperparameters", (int)t->s->space->total));
done:
    return st;
}

mnist_task *mnist_open(int32_t instance)
{
    mnist_task *t = calloc(1, sizeof *t);

    if (!t) return NULL;
    t->ctx = drmad_ctx_new(NULL, NULL);
    t->seed = (uint64_t)instance + 1;
    if (t->ctx && open_study(t) == DRMAD_OK) return t;
    fprintf(stderr, "mnist: %s\n", t->ctx ? drmad_errmsg(t->ctx) : "no memory");
    mnist_close(t);
    return NULL;
}

void mnist_close(mnist_task *t)
{
    if (!t) return;
    setup_free(t->s);
    config_free(t->cfg);
    drmad_ctx_free(t->ctx);
    free(t);
}

double mnist_value(mnist_task *t, const double *x)
{
    /* in the order of the declarations */
    const double values[MNIST_PARAMS] = {x[0], x[1], 1 - x[2], x[3], x[4], x[5]};
    train_report report;
    eval_result result;

    if (trainer_run(t->s->trainer, values, setup_seed(t->s, "bench", 0), NULL, &report) != DRMAD_OK)
        return WORST;
    if (trainer_eval(t->s->trainer, &t->s->valid, values, &result, NULL, NULL) != DRMAD_OK)
        return WORST;
    return result.loss < WORST ? result.loss : WORST;
}
