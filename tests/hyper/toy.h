/* A small smooth training problem in F64 with every knob: the subject of the derivative tests. */
#ifndef TOY_H
#define TOY_H
#include "hyper/walk.h"
#include "test.h"

enum { TOY_ROWS = 30, TOY_WIDTH = 6, TOY_CLASSES = 3 };

typedef struct toy {
    drmad_ctx *ctx;
    param_table *params;
    space *s;
    trainer *t;
    walker *w;
    train_spec spec;
    int64_t sizes[16]; /* of the perceptron, `layers` + 1 of them */
    int32_t layers;
    nn_kind activation;
    nn_draws draws;
    nn_spec
        *net; /* made from the above by toy_open, where the test gives none; taken by toy_close */
    examples valid;
    double rows[TOY_ROWS * TOY_WIDTH];
    int32_t labels[TOY_ROWS], list[TOY_ROWS];
    double *raw, *values, *grad;
} toy;

/* The plain problem: tanh 6-5-4-3, 20 steps of batch 7 on 20 rows, 10 rows for F. Change t->spec,
 * then toy_open. */
void toy_init(toy *t, drmad_ctx *ctx);
drmad_status toy_open(toy *t, const hyper_decl *decls, int32_t n, const walk_spec *walk);
void toy_close(toy *t);

/* F after training with `values`. */
double toy_value(toy *t, const double *values);
/* Every declaration that makes sense with granularity `per` and `phases` (0 = every step); gives
 * their number. */
int32_t toy_declare(const toy *t, hyper_per per, int64_t phases, hyper_decl *out);
enum { TOY_DECLS_MAX = 20 };
/* t->grad against central differences and forward mode, slice by slice. */
void toy_check_slices(toy *t, const char *setting_name);
#endif
