/* The space: all hyperparameters of a run as one vector h of named slices, and the table that says
 * for each slice which tensors and steps it reaches.
 *
 *   declarations --space_new--> slices of h, uses
 *   raw --space_values--> values --space_fetch, step t--> leaves of the graph in use shape
 *   graw <--space_chain-- gvalues <--space_scatter, step t-- cotangents of the leaves
 *
 * `raw` is h on the scale of its transform, where the outer optimiser moves; `values` is h itself.
 * Both are double and have space->total elements. The base schedule, the graph and the optimiser
 * are other rooms' business.
 *
 * Ownership: space_new gives, space_free takes; declarations are copied, the parameter table is
 *            borrowed.
 * Threads:   a space is read-only once made; any thread may fetch; scatters into one vector take
 *            turns. */
#ifndef SPACE_H
#define SPACE_H
#include "config/hyper.h"
#include "space/params.h"

/* Until meta-step `until` the values of a declaration are tied per `per`. */
typedef struct hyper_tie {
    hyper_per per;
    int64_t until;
} hyper_tie;

typedef struct hyper_decl {
    hyper_kind kind;
    hyper_per per; /* once no tie holds any more */
    /* Globs on parameter names (fnmatch), of dropout and auxiliary on names of layers, separated by
     * commas; NULL = the kind's default tensors: weights for l2, l1 and weight_decay, all for lr,
     * momentum and init_scale; all layers. */
    const char *match;
    int64_t phases; /* 1 = constant, K = phases of equal length, 0 = every step */
    double smooth;  /* of space_smooth, in phases; 0 = none */
    hyper_transform transform;
    double low, high, start;
    bool multiplier;       /* the value multiplies the base schedule */
    const hyper_tie *ties; /* coarsest first, `until` rising */
    int32_t n_ties;
} hyper_decl;

typedef struct space_facts {
    int64_t steps;     /* T */
    int64_t examples;  /* N, training examples */
    int64_t classes;   /* K */
    int64_t inputs;    /* d, columns of the input */
    int64_t meta_step; /* decides which ties hold */
    size_t memory;     /* largest size of one vector h in bytes; 0 = no limit */
} space_facts;

/* A run of h: `phases` rows of `elements` values, row = phase. One slice for each tensor where the
 * granularity is tensor or finer, for each layer where it is layer, one for a whole declaration
 * otherwise. */
typedef struct hyper_slice {
    char *name; /* "lr/layers.0", "l2/layers.0.weight", "label_smoothing" */
    hyper_kind kind;
    hyper_per per;         /* what holds at facts.meta_step */
    int32_t decl;          /* index of its declaration */
    int32_t layer, tensor; /* -1 where it is not about one */
    int32_t site;          /* in params->site; -1 likewise */
    hyper_transform transform;
    double low, high, start, smooth;
    bool multiplier, every_step;
    int64_t offset, elements, phases;
} hyper_slice;

/* What a graph binds: the leaf of one kind for one tensor (or for the data).
 *   tensors          the tensor's rank: [1,1], [1,in], [out,1] or [out,in]; of a bias [1] or [n]
 *   label_smoothing  [1,1] against targets [B,K]
 *   gce_q, distill_temperature    [1,1]
 *   label_flip       [1,1], [K,1] (by right class) or [K,K] (right class, label)
 *   dropout, auxiliary    [1,1] for each site
 *   brightness, contrast, erasing, noise, mixup    [1,1]
 *   input_scale      [1,1] or [1,d] against inputs [B,d]
 *   clip             [1]; lr_peak, lr_final, lr_gamma are no leaves but parameters of the schedule
 *   example_weight, loss_weight, distill_weight    [1], [K] (by label), [N] (by example); with
 *                    hyper_at.rows only the rows of the batch are fetched: [B] */
typedef struct hyper_use {
    hyper_kind kind;
    int32_t tensor; /* index in params, of kinds about layers in params->site; -1: data */
    int32_t slice;
    shape shape;
} hyper_use;

typedef struct space {
    drmad_ctx *ctx;
    const param_table *params;
    space_facts facts;
    int32_t n_slices, n_uses;
    hyper_slice *slices;
    hyper_use *uses;
    int64_t total;   /* elements of h */
    int64_t limit;   /* of total */
    int32_t *use_of; /* space_find's table */
    double *start;   /* [total], of space_start_at; NULL: the slices' */
} space;

/* Refuses by name (DRMAD_E_CONFIG) every declaration that makes no sense. */
drmad_status space_new(drmad_ctx *ctx, const param_table *params, const space_facts *facts,
                       const hyper_decl *decls, int32_t n, space **out);
void space_free(space *s); /* NULL is fine */

/* The granularity of `d` at a meta-step. */
hyper_per space_per_at(const hyper_decl *d, int64_t meta_step);
/* The first meta-step after this one at which a tie ends; -1: none. */
int64_t space_next_change(const hyper_decl *decls, int32_t n, int64_t meta_step);

/* `exact`: the trajectory hands out the optimiser's state too (full, replay). Refuses what it
 * cannot serve. */
drmad_status space_check_trajectory(const space *s, const char *kind, bool exact);

/* The use of `kind` for `tensor` (as in hyper_use); NULL when no declaration reaches it and a
 * constant serves. */
const hyper_use *space_find(const space *s, hyper_kind kind, int32_t tensor);
bool space_has(const space *s, hyper_kind kind);
/* What a use is for: a tensor's name, a layer's, "the data". */
const char *space_place(const space *s, hyper_kind kind, int32_t tensor);

/* Where and how a leaf is filled. */
typedef struct hyper_at {
    int64_t t;   /* step */
    double base; /* base schedule at t; used only by multipliers */
    dtype type;  /* F32 or F64 */
    /* Example and class uses: the rows wanted, in [0, elements). NULL = all in order. */
    const int32_t *rows;
    int64_t n_rows;
} hyper_at;

/* out = the leaf at step t. */
void space_fetch(const space *s, const hyper_use *u, const hyper_at *at, const double *values,
                 void *out);
/* The exact transpose: gvalues += fetch' cot. */
void space_scatter(const space *s, const hyper_use *u, const hyper_at *at, const void *cot,
                   double *gvalues);
/* The number of the phase that step t lies in; a leaf changes only when it (or the base of a
 * multiplier) does. Phase k covers the steps floor(k T/K) .. floor((k+1) T/K) - 1. */
int64_t space_phase(const space *s, const hyper_use *u, int64_t t);

/* Each slice's start; or, once space_start_at was called, those values, which are copied. */
void space_start(const space *s, double *raw);
drmad_status space_start_at(space *s, const double *values);
void space_clamp(const space *s, double *raw); /* into the bounds */
/* The value at x in [0, 1] of the slice's range, evenly spread in its logarithm under log, else in
 * the value: what a search without gradients draws from. Not finite when a bound is not. */
double space_spread(const hyper_slice *sl, double x);
void space_values(const space *s, const double *raw, double *values);
/* graw = (dvalues/draw)' gvalues */
void space_chain(const space *s, const double *raw, const double *gvalues, double *graw);
/* out = graw averaged over the phases of each slice that is smooth: from phase i to phase j the
 * weight is e^(-|i - j| / smooth), over the sum of i's weights. In continuous time that kernel is
 * Green's function of 1 - smooth^2 d^2/dt^2, and out the gradient of the Sobolev space H^1
 * (Neuberger, Sobolev Gradients and Differential Equations, 1997). out and graw do not overlap. */
void space_smooth(const space *s, const double *graw, double *out);
/* The inverse of space_values, clamped. */
void space_raw(const space *s, const double *values, double *raw);

/* Fills the finer space from the coarser one, both made from the same declarations at different
 * meta-steps: every value is copied as it is. */
drmad_status space_loosen(const space *coarse, const double *raw_coarse, const space *fine,
                          double *raw_fine);

/* "lr/layers.0.weight/phase3", "l2/layers.0.weight/in[17]": unique within a space. Always
 * terminated; gives buf back. */
char *space_element_name(const space *s, int64_t i, char *buf, size_t size);
/* The slice that element i of h lies in. */
const hyper_slice *space_slice_of(const space *s, int64_t i);

bool hyper_is_about_tensors(hyper_kind k);
bool hyper_is_about_layers(hyper_kind k);   /* those of params->site */
bool hyper_is_about_schedule(hyper_kind k); /* a parameter of the base schedule */
#endif
