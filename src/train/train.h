/* Training: T steps of an optimiser from a drawn start, recorded into a trajectory if one is given;
 * and evaluation. One step is one plan. What a walk back needs besides lies in trainer.h (for
 * hyper/).
 * Ownership: trainer_new borrows everything in the spec. Threads: one trainer, one thread. */
#ifndef TRAIN_H
#define TRAIN_H
#include "data/feed.h"
#include "nn/module.h"
#include "optim/optim.h"
#include "optim/schedule.h"
#include "space/space.h"
#include "train/oracle.h"
#include "train/trajectory.h"

enum { MORE_MAX = 8 };

/* Rows of a data set, by a list of row numbers. Everything is borrowed. */
typedef struct examples {
    const void *rows; /* [n, width]; NULL: they come from `feed` */
    dtype type;
    int64_t n, width;
    double scale;          /* inputs are rows * scale; with channels, see there */
    const int32_t *list;   /* [count]: row numbers */
    const int32_t *labels; /* [count]: of those rows */
    int64_t count;
    int part;            /* oracle: 0 training, 1 validation, 2 test; of the rest only count then */
    feed *feed;          /* NULL: rows lie in memory and none is varied */
    const dataset *data; /* for the feed */
    /* Of the last dimension of a row: inputs are (rows * scale - mean) / deviation. 0: none. */
    int32_t channels;
    double mean[NN_CHANNELS_MAX], deviation[NN_CHANNELS_MAX];
    const void *more[MORE_MAX]; /* rows of module.more, in its types, as many as `rows` */
} examples;

/* What a caller may want to say of a model that is computed here. */
typedef struct train_sources {
    drmad_start_fn *start; /* changes the start weights; NULL: they are the model's */
    drmad_batch_fn *batch; /* the examples of each step, in place of the order; or NULL */
    void *user;
} train_sources;

/* A pull towards the trained net of the meta-step before: regress.c. */
typedef enum regress_to { REGRESS_NONE, REGRESS_ACTIVATIONS, REGRESS_WEIGHTS } regress_to;

typedef struct regress_spec {
    regress_to to;
    double weight; /* where the space has no say */
    double until;  /* the share of the steps over which it fades to 0; 0: it does not fade */
} regress_spec;

typedef struct train_spec {
    dtype dtype;
    const backend *on;         /* where `model` computes; NULL: the CPU. An oracle brings its own */
    module model;              /* none with an oracle */
    oracle *oracle;            /* NULL: `model` as a graph of our own; borrowed */
    train_sources sources;     /* with `model` */
    const param_table *params; /* nn_params of the model */
    bool frozen; /* batch norm: the gradient of F takes running statistics as constants */
    nn_loss loss;
    optim_spec optim;
    schedule rate; /* base learning rate at each step */
    /* where the space has no say: */
    double momentum, weight_decay, l2, l1, label_smoothing, init_scale;
    double gce_q, label_flip; /* nn_doubt; 0: none */
    bool distil;              /* the loss is in part what sets the net off from `teacher` */
    const void *teacher;      /* its outputs, [train.n, outputs], by row of the data; borrowed */
    double distill_weight, distill_temperature;
    double beta1, beta2, eps, clip;
    double brightness, contrast, erasing, noise, mixup; /* strengths: vary.c */
    int64_t steps, batch;
    batch_order order;
    examples train;
    const augment *augment; /* of training rows, by their feed; NULL: none */
    const space *space;
    const double *start; /* fixed start weights, flat, or NULL: drawn from the run's seed */
    /* The optimiser's buffers that go with them, [optim_vectors - 1] flat, or NULL: zeros; and its
     * steps so far. */
    const double *buffers;
    int64_t done;
    bool masks; /* a step gives the ReLU sign masks out */
    bool half;  /* activations wait for the backward pass in BF16: F32 only, no walk back */
    regress_spec regress;
} train_spec;

const backend *train_backend(const train_spec *s); /* where its vectors live */
/* The constant or scheduled value of a kind at a step, where the space has no say. */
double train_base(const train_spec *s, hyper_kind k, int64_t step);
/* Whether the kind is tuned, or a constant other than 0. */
bool train_uses(const train_spec *s, hyper_kind k);
/* The base schedule with what `sp` tunes of it taken from its values. */
schedule train_rate(const train_spec *s, const space *sp, const double *values);
/* Where element e of a tensor lies in a use-shaped leaf. */
int64_t use_index(const shape *leaf, const shape *tensor, int64_t e);

typedef struct trainer trainer;

typedef struct train_report {
    double first_loss, last_loss; /* data loss of the first and last batch */
    double mean_loss;             /* of the last tenth of the steps */
    double seconds;
    int64_t steps; /* done: fewer than T when it diverged or was stopped */
} train_report;

drmad_status trainer_new(drmad_ctx *ctx, const train_spec *spec, trainer **out);
void trainer_free(trainer *t); /* NULL is fine */

/* With regress.to: the weights that runs are pulled towards from now on, flat; NULL: none, as it is
 * at first. */
drmad_status trainer_pull(trainer *t, const double *w);

/* Called after every `every` steps but the last, when the weights are those of the steps done so
 * far: trainer_eval may look at them. A failure ends the run with it. `every` 0: never again. */
typedef drmad_status train_watch_fn(void *user, int64_t steps);
void trainer_watch(trainer *t, int64_t every, train_watch_fn *fn, void *user);

/* Called after every step, when the last run's state is the new one: `from` and `to` are the states
 * before and after it, until it returns. NULL: never again. */
typedef drmad_status train_follow_fn(void *user, int64_t step, void *const from[],
                                     void *const to[]);
void trainer_follow(trainer *t, train_follow_fn *fn, void *user);

/* One run with hyperparameters `values` (space->total doubles). Recorded into tr unless NULL. A
 * loss or weight that is not finite ends the run with DRMAD_E_DIVERGED. */
drmad_status trainer_run(trainer *t, const double *values, uint64_t seed, trajectory *tr,
                         train_report *out);

typedef struct eval_result {
    double loss;  /* mean over the rows, without penalties and smoothing */
    double error; /* fraction wrong */
} eval_result;

/* Evaluates the weights of the last run, over all rows but bad pictures. dw (flat, params->total)
 * and dvalues (space->total) take dF/dw and dF/dh; both NULL for the values alone. */
drmad_status trainer_eval(trainer *t, const examples *e, const double *values, eval_result *out,
                          double *dw, double *dvalues);

/* Losses of single rows with the weights of the last run, [e->count]; 0 of a bad picture. */
drmad_status trainer_row_losses(trainer *t, const examples *e, const double *values, double *loss);

/* What the net gives for each row in an evaluation, with the weights that a run would start from:
 * spec.dtype, by the row's number in the data: [e->n, outputs], of which other rows are left as
 * they are. */
drmad_status trainer_outputs(trainer *t, const examples *e, void *table);

const void *trainer_weights(const trainer *t); /* flat, spec.dtype, where the vectors live */
/* The weights, and vector k of the state, in host memory until the trainer is used again. */
drmad_status trainer_read_weights(trainer *t, const void **out);
drmad_status trainer_read_buffer(trainer *t, int32_t k, const void **out);
size_t trainer_bytes(const trainer *t); /* memory held, plans included */
/* About what evaluations will take besides, on a device. */
size_t trainer_later_bytes(const trainer *t);
/* One line a step of the plan. */
void trainer_explain(const trainer *t, void (*line)(void *user, const char *text), void *user);
int64_t trainer_step_macs(const trainer *t); /* multiply-adds of a training step's products */
#endif
