/* The inside of a worker: work.c is the loop, work_setup.c chooses what runs and how many side by
 * side, work_run.c starts and ends one trial, work_result.c says what came out. */
#ifndef WORK_H
#define WORK_H
#include "trials/session.h"
#include "worker/slot.h"
#include "worker/template.h"

/* One trial that runs here. */
typedef struct run {
    drmad_trial *t;
    slot *slot;
    slot_job job;
    const char **names;
    char **values;
    char *dir;
    call_spec call;
    double since, reported;
    int32_t heard;        /* reports of this run, those sent to the store too */
    int32_t kept, judged; /* reports of the slot that its curve has; of the curve, by the pruner */
    int64_t tries;        /* of the slot, when they were counted */
    bool lost;            /* the lease; what it still says is dropped */
} run;

typedef struct work {
    drmad_study *s;
    const slot_kind *kind;
    template *words;
    command_spec command;
    training_spec training;
    slot_rules rules;
    int jobs, threads;
    size_t gpu; /* bytes of a GPU that all trials side by side may take; 0: they use none */
    run **runs; /* the first n; a run never moves, its slot points into it */
    int n;
    drmad_status stop; /* why no more is begun; OK: go on */
    char why[512];     /* the message of it */
    double ask_at;     /* no trial is asked for before */
    double beat_at, expire_at;
    double pause;      /* seconds between tries, growing while nothing comes of them */
    double away_since; /* the store does not answer since then; 0: it does */
    bool dry;          /* the last question gave no trial */
    double idle_since; /* nothing runs here and nothing waits; 0: not so */
    int64_t begun, good, failed_in_row;
    bool spooled; /* results wait on this disk */
    setup *base;  /* our own training: the study as it stands, which lends its data; NULL where only
                     a trial's values make it whole */
    setup_cost cost; /* of it */
    bool spent;      /* the search's budget is: nothing more is begun */
} work;

drmad_status work_setup(work *w);
/* So many side by side from here on, never more than at first. */
void work_take_jobs(work *w, int jobs);
void work_close(work *w);

/* Takes `t`, also on failure. */
drmad_status run_start(work *w, drmad_trial *t);
/* Output to the store, in batches; the end, where it has come: then *ended. */
drmad_status run_step(work *w, run *r, bool *ended);
void run_close(work *w, run *r); /* frees it too */

/* No more is begun; what runs is asked to end. The message is the context's. */
void work_stop(work *w, drmad_status why);
/* OK, or what of `st` is not about a store that is away for a while. */
drmad_status work_reached(work *w, drmad_status st);
drmad_status work_result(work *w);
/* The trials of the study by state. */
drmad_status work_count(work *w, int64_t count[TRIAL_STATE_COUNT]);

/* Renews one lease from a thread with a connection of its own, while a function of the caller's
 * keeps ours. NULL where no thread can be had. */
typedef struct beater beater;
beater *beater_start(const drmad_study *s, const store_lease *l);
void beater_stop(beater *b); /* NULL is fine */
#endif
