/* A slot: one running trial, whatever runs it. Behind it stands a kind: a command, drmad's own
 * training in a thread, or a function of the caller's.
 *
 *   slot_start            runs it (a function: to its end)
 *   slot_fds, slot_step   what to poll on; reads what was said, heeds time-outs, sees the end
 *   slot_stop             asks it to end, after `grace_s` with force
 *   slot_free             ends it at once where it still runs
 *
 * The job and the kind's own data are borrowed until slot_free.
 * Threads: all calls from the worker's thread. */
#ifndef SLOT_H
#define SLOT_H
#include "drmad/trial.h"
#include "setup/setup.h"
#include "worker/said.h"
#include <poll.h>

typedef struct slot slot;
typedef struct slot_kind slot_kind;

/* What a trial's objective gets to know. */
typedef struct slot_job {
    int64_t number;
    const char *study, *dir; /* dir: its scratch folder, as an absolute path */
    int threads;
    size_t gpu_share; /* bytes of a GPU that it may take, one of so many; 0: all there are */
    int gpu_trials;
    int32_t n;                                /* parameters, those left out not among them */
    const char *const *names, *const *values; /* values: texts, choices without quotes */
    const char *params;                       /* all as one JSON object */
} slot_job;

typedef struct slot_rules {
    const char *metric; /* borrowed */
    double timeout_s;   /* 0: none */
    double grace_s;     /* between asking to end and force */
    int64_t retries;    /* after a failure */
} slot_rules;

typedef enum slot_phase { SLOT_RUNNING, SLOT_STOPPING, SLOT_KILLED, SLOT_ENDED } slot_phase;

enum { SLOT_FDS = 2, SLOT_STDERR_MAX = 4096 };

struct slot {
    drmad_ctx *ctx;
    const slot_kind *kind;
    void *own; /* the kind's */
    const slot_job *job;
    slot_rules rules;
    slot_phase phase;
    int out, err; /* pipes, -1: closed or none */
    said said;
    char tail[SLOT_STDERR_MAX + 1]; /* the end of standard error */
    size_t tail_used;
    double started, stopped; /* seconds, base_now */
    int64_t tries;
    bool timed_out, pruned;
    void *inside;         /* the kind's, of this run; NULL when nothing runs */
    said_verdict verdict; /* once ENDED; state WAITING: to be given back */
    drmad_status failed;  /* of our own training or a function: what it ended with */
};

struct slot_kind {
    const char *name;
    /* Sets inside, out and err; a failure is the worker's, not the trial's. */
    drmad_status (*start)(slot *s);
    void (*stop)(slot *s, bool force);
    bool (*ended)(slot *s); /* does not wait; output is read to its end first where it can be */
    void (*judge)(slot *s); /* after ended; fills verdict */
    void (*close)(slot *s); /* waits for what still runs */
    /* `n` reports of this run were judged: what waits for that goes on. NULL: nothing does. */
    void (*heard)(slot *s, int32_t n);
};

drmad_status slot_start(drmad_ctx *ctx, const slot_kind *kind, void *own, const slot_job *job,
                        const slot_rules *rules, slot **out);
int slot_fds(const slot *s, struct pollfd fds[SLOT_FDS]);
/* Fails for what is wrong with us (memory); then the slot is fit only for slot_free. */
drmad_status slot_step(slot *s);
void slot_stop(slot *s);
void slot_prune(slot *s); /* the same, and whatever it says then, it is PRUNED */
void slot_free(slot *s);  /* NULL is fine */
/* When slot_step must be called even if nothing comes; seconds of base_now. */
double slot_due(const slot *s);

/* A verdict of FAIL, or WAITING where `back`. */
void slot_fail(slot *s, bool back, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* ---- kinds ---- */

/* own: a command_spec. */
typedef struct command_spec {
    const struct template *words;
    bool env, in;   /* parameters by environment too, on standard input too */
    int64_t memory; /* bytes of address space; 0: no limit */
} command_spec;
extern const slot_kind slot_command;
/* Whether the command's program can be run: DRMAD_E_MISSING. */
drmad_status command_find_program(drmad_ctx *ctx, const struct template *words);

/* own: a training_spec: the study of which each trial is a variation. */
typedef struct training_spec {
    const char *study;   /* YAML, without parameters */
    const setup *lender; /* of the data, read by all threads; NULL: each trial opens its own */
    bool tune;
    bool wait;      /* after each report, until it is judged: so pruning does not depend on time */
    bool gradients; /* of a training: tells d objective / d parameter, where it can */
} training_spec;
extern const slot_kind slot_training;

/* own: a call_spec. */
typedef struct call_spec {
    drmad_objective_fn *fn;
    void *user;
    drmad_trial *trial;
    double value; /* what it gave */
} call_spec;
extern const slot_kind slot_call;
#endif
