/* Many processes on one store. Each opens its own; none may be open while they are forked. What
 * they count and what goes wrong lies in memory that they share. */
#ifndef CROWD_H
#define CROWD_H
#include "backends.h"
#include <sys/types.h>

enum { CROWD_MARKS = 40000, CROWD_TEXT = 1024 };

typedef struct crowd {
    atomic_int ready, go, stop, failed;
    useconds_t pause;         /* how long a trial takes */
    atomic_int count[8];      /* whatever the test counts */
    char message[CROWD_TEXT]; /* of the first that failed */
    atomic_int mark[CROWD_MARKS], told[CROWD_MARKS];
} crowd;

typedef struct crowd_worker {
    drmad_ctx *ctx;
    crowd *shared;
    const char *url;
    int index;
    void *user;
} crowd_worker;
typedef void crowd_fn(crowd_worker *w);

crowd *crowd_new(void); /* NULL fails the test */
void crowd_free(crowd *c);
/* Forks n workers that begin together, waits for all; each that says crowd_fail, or dies, fails the
 * test. */
void crowd_run(crowd *c, const char *url, int n, crowd_fn *fn, void *user);
/* One alone; it begins at once. */
pid_t crowd_fork(crowd *c, const char *url, int index, crowd_fn *fn, void *user);
void crowd_join(crowd *c, pid_t child);
void crowd_fail(crowd *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ---- the study that crowds run (crowd_study.c): trial n has lr = n and the value n ---- */

#define CROWD_STUDY "crowd"
enum { CROWD_PATIENCE_S = 120, CROWD_LEASE_S = 600 };
void crowd_study(const char *url);                            /* makes it */
void crowd_enter(crowd_worker *w, store **s, int64_t *study); /* opens store and study */
/* A trial from its lease to its end; counts in mark[number]. */
void crowd_run_trial(crowd_worker *w, store *s, const store_lease *l);
void crowd_begin_trials(crowd_worker *w);       /* until there are *(int *)w->user */
void crowd_check_marks(crowd *c, int n);        /* each of n trials was run by one worker */
void crowd_check_study(const char *url, int n); /* n trials, all complete and right */

/* In a worker: a call that is not DRMAD_OK is said with its message, and the worker ends. */
#define WORKER_OK(w, call)                                                                         \
    do {                                                                                           \
        if ((call) != DRMAD_OK) {                                                                  \
            crowd_fail((w)->shared, "%s: %s", #call, drmad_errmsg((w)->ctx));                      \
            _exit(0);                                                                              \
        }                                                                                          \
    } while (0)
#endif
