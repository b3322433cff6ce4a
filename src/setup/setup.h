/* From a checked study file to the objects that do the work: data, split, model, trainer, space,
 * walker. The only place that knows both the words of the file and the rooms' structs.
 * Ownership: setup_new gives, setup_free takes; the config is borrowed. */
#ifndef SETUP_H
#define SETUP_H
#include "config/config.h"
#include "data/safetensors.h"
#include "hyper/outer.h"
#include "setup/model.h"

typedef struct setup setup;
struct setup {
    drmad_ctx *ctx;
    const config *cfg;
    drmad_model *model; /* the caller's; NULL: data and model as the study says */
    const char *data_name, *data_sha256;
    dataset *train_data, *test_data; /* test_data NULL: test rows are split off too */
    bool lent;                       /* they are the lender's */
    const setup *lender;             /* see setup_new */
    feed *feed;                      /* NULL: all rows lie in memory, and none is varied */
    augment augment;                 /* of training rows */
    int32_t channels;                /* see `examples` */
    double mean[NN_CHANNELS_MAX], deviation[NN_CHANNELS_MAX];
    split *split;
    uint64_t split_seed;
    nn_spec *net;        /* NULL with the caller's model, and with model.import */
    imported *import;    /* of model.import, or NULL */
    param_table *params; /* the model's own where there is one */
    train_spec spec;
    walk_spec walk;
    outer_spec outer;
    hyper_decl *decl;
    hyper_tie *ties; /* of all declarations */
    int32_t decls;
    double *start, *buffers; /* weights and the optimiser's buffers from files, or NULL */
    st_file *start_values;   /* of the hyperparameters, or NULL */
    double *pull;            /* weights of the last meta-step's net, flat; NULL: none */
    space *space;
    trainer *trainer;
    walker *walker; /* NULL without hyperparameters */
    examples valid, test, objective;
    struct teacher *teacher; /* of a distillation, or NULL: teacher.h */
    backend *gpu;            /* of `device: cuda`, or NULL; spec.on */
};

/* Everything but what setup_tie makes. `lender`: NULL, or a set-up that outlives this one and whose
 * data, imported model and teacher's outputs serve where the study's are the same; of another
 * context and thread if need be, and idle then. */
drmad_status setup_new(drmad_ctx *ctx, const config *cfg, drmad_model *m, const setup *lender,
                       setup **out);
void setup_free(setup *s); /* NULL is fine */
/* Frees all that a lender need not have: walker, trainer, what lies on a GPU. */
void setup_rest(setup *s);

/* Space, trainer and walker for the granularities that hold at `meta_step`; the former ones are
 * freed. When `o` is given its h moves over to the new space. */
drmad_status setup_tie(setup *s, int64_t meta_step, bool walk, outer *o);

/* Trainer and walker anew on the space as it is. `walk` false: no walker. */
drmad_status setup_run(setup *s, bool walk);

/* With regress.to, from here on runs are pulled towards: the weights of the last run; those of
 * `flat`; nothing. */
drmad_status setup_pull_to_last(setup *s);
drmad_status setup_pull_to(setup *s, const double *flat);
drmad_status setup_pull_to_nothing(setup *s);

/* Shares the examples out anew. The trainer must be made again (setup_run) before it runs. */
drmad_status setup_split(setup *s, uint64_t seed);

/* What a space of this study is made for at `meta_step`. */
space_facts setup_facts(const setup *s, int64_t meta_step);

/* What things cost, from the plans. */
typedef struct setup_cost {
    /* A run, F with its gradient, a walk back: in multiply-adds; of an oracle's in gradients. */
    double run, eval, back;
    double product;           /* one batch's second-order product, in the same unit */
    double meta, audit, look; /* in runs: a meta-step, an audit, a run with F alone */
    size_t bytes;             /* peak memory: data, plans, trajectory */
    size_t gpu;               /* of a GPU's memory, about */
} setup_cost;
setup_cost setup_cost_of(const setup *s);
/* Of a hypergradient that was made, in runs: fewer products than `meta` counts on may have done. */
double setup_spent(const setup *s, const setup_cost *c, const walk_report *r);

/* How hypergradients are made, for people: "trajectory grid", "estimator implicit (cg)", ... With a
 * walker only. Always terminated; gives buf back. */
char *setup_way(const setup *s, char *buf, size_t size);

/* Gives *out: the data sets alone, pictures as they lie in their files, bad ones too. */
drmad_status setup_survey(drmad_ctx *ctx, const config *cfg, setup **out);

/* One seed for each use, all from the study's. */
uint64_t setup_seed(const setup *s, const char *what, uint64_t number);
#endif
