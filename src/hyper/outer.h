/* The outer loop: hypergradients move h. One meta-step = one hypergradient at h, the judgement of
 * the last move, and the next move, on the scale of h's transforms.
 *
 * A move is taken back and halved, up to OUTER_HALVINGS times, when the run it leads to is not
 * finite or its hypergradient is not to be used: not finite, above OUTER_LARGEST, or grown beyond
 * the limit on a straight line, which no run follows: there growth is the error's. No such number
 * ever enters h.
 * Trust region: while split and seed stay the same, F is a function of h, and a move after which F
 * is worse than before is taken back too; a good one lets the length grow again. With fresh seeds
 * or splits it is off, because two values of F are then not comparable.
 * Roughness: where F jumps from one h to the next, as it can with ReLU, no move is short enough to
 * look good. Three halvings tell that from a move that is bad (outer.c); from then on a rise as
 * large as theirs does not count as worse. The idea is that of Sun, Nocedal, "A trust region method
 * for noisy unconstrained optimization", Math. Programming 202, 2023, whose ratio test allows for a
 * known noise; here the failures say how large it is.
 * Ownership: outer_new gives, outer_free takes; space is borrowed. */
#ifndef OUTER_H
#define OUTER_H
#include "hyper/walk.h"

typedef enum outer_kind { OUTER_ADAM, OUTER_SGD, OUTER_SIGN } outer_kind;
enum { OUTER_HALVINGS = 8 };
#define OUTER_LARGEST 1e12 /* entry of a hypergradient */

typedef struct outer_spec {
    outer_kind kind;
    double lr;       /* length of a move on the transformed scale; SGD: factor of the gradient */
    double momentum; /* SGD */
    double beta1, beta2, eps; /* Adam (Kingma and Ba, ICLR 2015) */
    bool trust;
    bool fresh;          /* seed or split are new in each meta-step */
    double max_growth;   /* of |dF/dw| on the way back over a straight line; 0 = any */
    int64_t audit_every; /* meta-steps between audits; 0 = never */
    int64_t patience;    /* stop after that many meta-steps without improvement of F; 0 = never */
    double tolerance;    /* an improvement is at least this much, relative */
} outer_spec;

typedef enum outer_verdict {
    OUTER_MOVED,      /* F measured, next h proposed */
    OUTER_TAKEN_BACK, /* F was worse or something was not finite: back and shorter */
    OUTER_STOPPED,    /* patience is out, or no move improves F any more */
    OUTER_UNSTABLE    /* even the shortest move leads to what cannot be used */
} outer_verdict;

typedef struct outer_report {
    outer_verdict verdict;
    int64_t step; /* meta-steps done, this one included */
    walk_report walk;
    double value; /* F at the h just tried; HUGE_VAL when its run was not finite */
    double best;
    double gradient_norm; /* on the transformed scale; NAN where it cannot be used */
    double scale;         /* length factor of the next move, 1 = full */
    double noise;         /* a rise of F that does not count as worse; 0: none is known */
    double predicted;     /* change of F that the gradient promises for the next move */
    bool audited;
    double audit_exact, audit_cheap; /* dF along the next move: forward mode, hypergradient */
    double audit_value;              /* F of forward mode's own run, which rounds elsewhere */
    double audit_seconds;
    const char *why;     /* all but OUTER_MOVED: the reason, else NULL */
    int64_t diverged_at; /* the training step whose loss was not finite; -1: none */
} outer_report;

typedef struct outer outer;

drmad_status outer_new(drmad_ctx *ctx, const outer_spec *spec, const space *s, outer **out);
void outer_free(outer *o); /* NULL is fine */

/* One meta-step at the current h. */
drmad_status outer_step(outer *o, walker *w, uint64_t seed, const examples *objective,
                        outer_report *r);

const double *outer_raw(const outer *o); /* the h to try next, transformed */
/* The last h was run without a walk back and gave F = value, HUGE_VAL when not finite. */
void outer_judge(outer *o, double value);
/* The h to keep: the one with the smallest F. With fresh seeds the one after which the running mean
 * of F, over about ten meta-steps, was least; the last finite one while there are not ten. */
const double *outer_chosen(const outer *o);
double outer_best_value(const outer *o);
int64_t outer_steps(const outer *o);
/* The whole state as doubles, for checkpoints: a run continued from it makes the same bits. */
double *outer_state(outer *o, size_t *n);
/* Carries h over to a finer space of the same declarations; the optimiser's averages start anew. */
drmad_status outer_loosen(outer *o, const space *fine);
#endif
