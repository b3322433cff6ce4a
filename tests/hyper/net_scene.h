/* A preset trained for some steps on few random rows, with hyperparameters of five kinds: on the CPU
 * or wherever a backend computes. */
#ifndef NET_SCENE_H
#define NET_SCENE_H
#include "hyper/walk.h"
#include "test.h"

enum { NET_ROWS = 24, NET_TRAIN = 16, NET_BATCH = 4, NET_CLASSES = 4 };

typedef struct net_case {
    const char *name;
    nn_preset preset;
    walk_spec walk;
    int64_t steps;
    int32_t layers; /* not 0: a perceptron with tanh of these sizes, and no preset */
    int64_t sizes[5];
} net_case;

typedef struct scene {
    drmad_ctx *ctx;
    nn_spec *net;
    param_table *params;
    space *s;
    trainer *t;
    walker *w;
    train_spec spec;
    examples valid;
    unsigned char *rows;
    int32_t labels[NET_ROWS], list[NET_ROWS];
    double *raw, *values, *grad;
} scene;

/* Where it fails, what is made so far is there to be closed. */
drmad_status scene_open(scene *e, const net_case *c, dtype type, const backend *on);
void scene_close(scene *e);
#endif
