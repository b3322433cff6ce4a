/* The inside of a trainer, for hyper/, which walks its runs back: how the training graph is built,
 * and what must be in place before step t runs in either direction. */
#ifndef TRAINER_H
#define TRAINER_H
#include "train/job.h"

enum { TABLES_MAX = 2 * (MORE_MAX + 1) + 2 }; /* inputs, chunks of them, constants, the teacher's */

/* Steps that may be under way while the host prepares the next one, where the backend lets it. */
enum { LATE_STEPS = 32 };

typedef enum use_slot { USE_VALUE, USE_COT, USE_TAN, USE_INVERSE, USE_SLOTS } use_slot;

/* As drmad/model.h numbers them. */
typedef enum product_way { PRODUCT_BACK, PRODUCT_FORWARD, PRODUCT_ALONE } product_way;

/* One use of the space: its leaf and when it was last filled. */
typedef struct use_state {
    const hyper_use *use;
    bool by_row; /* gathered for each batch: the leaf is [B] */
    bool moving; /* changes every step */
    bool used;   /* the training graph reads it */
    bool scaled; /* on a device: the graph multiplies by the base rate, the leaf holds none of it */
    shape leaf;  /* shape of the leaf */
    dtype type;
    size_t count;
    void *host[USE_SLOTS]; /* where it is filled and read: the slots' own memory, or, for those on a
                            * device, what is copied there and back */
    int64_t phase;         /* the phase the leaf holds; -1 = none */
    int64_t filled;        /* counts the fills, so that others can follow */
} use_state;

struct trainer {
    drmad_ctx *ctx;
    train_spec spec;
    const backend *on; /* where the vectors live */
    size_t size;       /* of an element */
    void **slot;
    int32_t n_slots;
    job *step, *eval, *eval_grad;
    job *rest[2]; /* evaluation, without and with gradient: of a last chunk of rest_rows; or NULL */
    int64_t rest_rows[2];
    use_state *use;       /* space->n_uses */
    const double *values; /* of the current run */
    uint64_t seed;
    void *losses; /* SLOT_LOSS of each step under way */
    int32_t late; /* steps whose loss nobody has looked at */
    int64_t watch_every;
    train_watch_fn *watch;
    void *watch_user;
    bool pulled; /* SLOT_PREVIOUS holds a net */
    train_follow_fn *follow;
    void *follow_user;
    double *product;                       /* OPTIM_PRODUCT of each step */
    double *draw;                          /* start weights before initial scales, flat */
    void *stage;                           /* a device's vector in host memory; NULL: never yet */
    int32_t vectors;                       /* of a state */
    void *state[2][OPTIM_VECTORS];         /* two states: the weights, then the buffers */
    int32_t now;                           /* the one that holds the last run's result */
    int64_t replayed;                      /* a device's state[0] is that before this step; -1 */
    const void *replayed_to;               /* ... and a copy of this one */
    int32_t *local, *index, *batch_labels; /* [batch] */
    int32_t *asked; /* [steps, batch]: what sources.batch said for asked_seed; -1: not yet */
    uint64_t asked_seed;
    int32_t key[4]; /* of the step: seed low, high, step */
    unsigned char *mask_bits;
    size_t mask_bytes;
    int64_t *mask_size; /* [masks]: elements of a batch's sign mask */
    int32_t masks;
    const void *rows, *more[MORE_MAX]; /* the training set's tables, where programs read them */
    bool travels; /* they have no room on the device: a batch's are in batch_rows, as `more` */
    void *batch_rows[1 + MORE_MAX];
    void *table[TABLES_MAX]; /* a device's: copies of what never changes, and chunks */
    int32_t tables;
    job *gather;                  /* a device's, evaluation: a chunk from its tables */
    void *chunk_at[1 + MORE_MAX]; /* where to: rows, further inputs */
    double *grad_sum;             /* evaluation: flat */
    int64_t chunk;                /* evaluation: rows of a chunk */
    int64_t seen;                 /* evaluation: rows that counted */
    bool scored;                  /* evaluation: right answers are counted */
};

/* The training graph of one step, on leaves bound to SLOT_W and the batch. */
typedef struct net {
    node loss, total; /* data loss; with penalties and weights. Oracle: NODE_NONE; the
                                * penalties alone, NODE_NONE where there are none */
    node *kinks;      /* [masks]: step() nodes of the dense ReLUs */
    node *w;          /* by tensor */
    node *next;       /* by tensor: the next value of a running statistic, else NODE_NONE */
    node *next_cot;   /* by tensor: see `adjoint` */
    node *given;      /* by tensor, oracle only: the leaf of the data loss's gradient */
    node *use;        /* by use: its leaf, NODE_NONE when it is none of the training graph's */
    node *constant;   /* the module's */
    node more[MORE_MAX];
    node index;       /* the batch's row numbers; NODE_NONE: nothing reads them yet */
    node *clipped;    /* by tensor: the gradient that enters the step */
    optim_step *step; /* by tensor */
    bool strided;     /* c is a leaf even where it is always 1: for reverse strides */
    bool adjoint;     /* the total takes <next_cot, next> in: leaves that are 0, whose tangents are
                       * the adjoints of the next statistics */
} net;

drmad_status net_new(drmad_ctx *ctx, const trainer *t, net **out);
void net_free(drmad_ctx *ctx, net *n); /* NULL is fine */
/* Rows [B, width], as they lie in the data, as the net's input and as labels. */
node trainer_inputs(trainer *t, job *j, net *n, node rows);
/* vary.c: the inputs of a training step, varied; `key` as of the random masks. */
bool train_varies(const train_spec *s);
drmad_status train_check_varied(drmad_ctx *ctx, const train_spec *s);
node trainer_vary(trainer *t, job *j, net *n, node x, node key);
/* The labels, or under mixup the targets [B, K]. */
node trainer_targets(trainer *t, job *j, net *n, node key, node labels);
node trainer_labels(trainer *t, job *j, node rows);
node trainer_index(trainer *t, job *j, net *n); /* the leaf of n->index, made on first call */
/* The whole batch. `index`: rows of the tables, NODE_NONE where a slot holds the batch itself. */
drmad_status trainer_batch(trainer *t, job *j, net *n, node rows, node index, module_batch *out);
/* losses.c: the losses of the batch's rows, [B, 1], all terms and weights in it; n->loss is made,
 * the mean of the output's own alone. */
node trainer_losses(trainer *t, job *j, net *n, const nn_pass *pass, module_batch *b);
/* Leaves and losses, then the gradient of all of it for each tensor. */
drmad_status trainer_build_gradient(trainer *t, job *j, net *n, node *grad);
/* t->step: t has all its slots. */
drmad_status trainer_plan_step(trainer *t);
/* Refuses what the optimiser does not have. */
drmad_status trainer_check_update(drmad_ctx *ctx, const train_spec *s);
/* Clipping and the optimiser's fragments on gradient nodes `grad` (by tensor). */
drmad_status trainer_build_update(trainer *t, job *j, net *n, const node *grad);

/* More slots, all NULL; *first is the number of the first. */
drmad_status trainer_add_slots(trainer *t, int32_t count, int32_t *first);
slot_ref trainer_use_ref(const trainer *t, int32_t use, use_slot what);
slot_ref trainer_mask_ref(const trainer *t, int32_t mask);
slot_ref trainer_tensor_ref(const trainer *t, int32_t slot, int32_t tensor);
/* Vectors of a state that hold something of the tensor: running statistics have no buffers. */
int32_t trainer_vectors_of(const trainer *t, int32_t tensor);
/* Binds the vectors of a state to the slots from `first` on. */
void trainer_bind(trainer *t, slot_id first, void *const state[]);
/* The leaf of the use of `kind` for `tensor`, made on first call; NODE_NONE when a constant
 * serves. */
node trainer_use_leaf(trainer *t, job *j, net *n, hyper_kind kind, int32_t tensor);
/* The leaf where the space has one, else the constant `value` with every dimension 1; NODE_NONE for
 * a constant 0. */
node trainer_leaf_or(trainer *t, job *j, net *n, hyper_kind kind, int32_t tensor, double value);

/* Adds the regression to *total. x: the net's input, and `pass` the pass with its outputs; unused,
 * and NULL, for weights. */
drmad_status trainer_regression(trainer *t, job *j, net *n, node x, const nn_pass *pass,
                                node *total);
double trainer_fade(const trainer *t, int64_t step);

node trainer_base_leaf(trainer *t, job *j, const shape *s); /* the base rate, in shape *s */
/* Whether the space tunes the base schedule, and whether tensor i's rate is the schedule's. */
bool trainer_tunes_schedule(const trainer *t);
bool trainer_follows(const trainer *t, int32_t tensor);
/* gvalues += (d base rate of `step` / d values)' cot, and its transpose. */
void trainer_scatter_rate(const trainer *t, int64_t step, double cot, double *gvalues);
double trainer_rate_tangent(const trainer *t, int64_t step, const double *direction);

/* Batch, hyperparameter leaves, base rate and c of step t into their slots. */
drmad_status trainer_prepare(trainer *t, int64_t step);
/* The leaves that an evaluation reads, of the last step, alone. */
drmad_status trainer_prepare_eval(trainer *t);
bool trainer_fed(const trainer *t); /* whether the rows of a step come from the feed */
void trainer_restart(trainer *t, const double *values,
                     uint64_t seed); /* forgets what the leaves hold */
hyper_at trainer_at(const trainer *t, const use_state *u,
                    int64_t step); /* where and how leaf u is filled */
/* What is filled on the host goes to the device; nothing where the slot is the host's. */
drmad_status trainer_send_use(trainer *t, int32_t use, use_slot what);
drmad_status trainer_use_memory(trainer *t, int32_t use); /* of its slots */
void trainer_use_memory_free(trainer *t, int32_t use);
/* On a device the reverse plan itself sums the use's cotangent, in double, until it is taken: into
 * host[USE_COT]. */
bool trainer_sums(const trainer *t, int32_t use);
/* The same for any use but one by rows, before there is a trainer. */
bool train_sums(const train_spec *s, const hyper_use *u);
/* The output for a use's cotangent; where the device sums, that sum, over itself. */
drmad_status trainer_put_cotangent(trainer *t, job *j, int32_t use, node cot);
drmad_status trainer_take_sum(trainer *t, int32_t use);
drmad_status trainer_clear_sum(trainer *t, int32_t use);
/* traj_step_fn: user is the trainer. */
drmad_status trainer_step_at(void *user, int64_t step, void *const from[], void *const to[]);
/* The same for steps that are run again, and the end of those: the last run's result is where it
 * was. */
drmad_status trainer_replay_step(void *user, int64_t step, void *const from[], void *const to[]);
drmad_status trainer_replay_end(trainer *t);
/* w_0 of (values, seed), flat; draw holds it without initial scales. */
drmad_status trainer_start(trainer *t, void *w);
/* The whole state before step 0: those weights, and the optimiser's buffers. */
drmad_status trainer_start_state(trainer *t, void *const state[]);
drmad_status trainer_ask_start(trainer *t, void *w);
drmad_status trainer_ask_batch(trainer *t, int64_t step);
/* Calls of the oracle; `weights` are those of the batch's examples, NULL where none are tuned. */
void *trainer_example_weights(const trainer *t, use_slot what);
drmad_status trainer_ask_gradient(trainer *t, int64_t step, const void *w, const void *weights,
                                  void *g, double *loss);
/* HU = H u at w; the gradient there into g unless NULL; rows into the weights' cotangent but on the
 * way forward. */
drmad_status trainer_ask_product(trainer *t, int64_t step, const void *w, const void *u,
                                 product_way way, void *g);
/* trainer_eval by the oracle. */
drmad_status trainer_ask_value(trainer *t, const examples *e, eval_result *out, double *dw,
                               double *dvalues);
/* F's slope along a tangent of the last run's end. */
drmad_status trainer_ask_slope(trainer *t, const examples *e, const void *u, double *value,
                               double *slope);
drmad_status trainer_masks_new(trainer *t); /* memory for the sign masks of a step */
/* Packs and unpacks them. */
void trainer_masks_pack(trainer *t);
void trainer_masks_unpack(trainer *t, const unsigned char *bits);

/* A vector of `count` elements where the backend's programs reach it, zeroed; and its end. */
drmad_status trainer_vector(trainer *t, size_t count, void **out);
void trainer_vector_free(trainer *t, void *v); /* NULL is fine */
drmad_status trainer_clear(trainer *t, void *flat);
drmad_status trainer_copy(trainer *t, void *to, const void *from); /* flat vectors */
/* A flat vector as the host can use it: itself or, of a device, a copy until the next such call.
 * trainer_send puts that copy into a device's vector. Not for every step. */
drmad_status trainer_fetch(trainer *t, const void *flat, void **out);
drmad_status trainer_fetch_some(trainer *t, const void *v, int64_t count, void **out);
drmad_status trainer_send(trainer *t, void *flat);
/* Memory for trainer_send, of no particular content, where all of the vector is made anew. */
drmad_status trainer_stage(trainer *t, void *flat, void **out);
/* *out: `host`, or where programs of a device read the copy that is made of it. */
drmad_status trainer_table(trainer *t, const void *host, size_t bytes, const void **out);
drmad_status trainer_tables_new(trainer *t);
/* The n rows of a table, of `row` bytes each, that `index` names. */
void trainer_copy_rows(void *to, const void *table, size_t row, const int32_t *index, int64_t n);

/* dF/dw of an evaluation, summed over its chunks into grad_sum: by the plans on a device, here in
 * host memory. */
drmad_status trainer_gradient_new(trainer *t);
drmad_status trainer_gradient_begin(trainer *t);
drmad_status trainer_gradient_put(trainer *t, job *j, int32_t tensor, node dw); /* the output */
void trainer_gradient_add(trainer *t);                                          /* of a chunk */
drmad_status trainer_gradient_end(trainer *t);

/* Elements of a flat buffer in spec.dtype as doubles, and back: of the host's. */
double trainer_get(const trainer *t, const void *flat, int64_t i);
void trainer_put(const trainer *t, void *flat, int64_t i, double x);
#endif
