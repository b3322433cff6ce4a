/* What a kind of store gives to store.c: one function a call of store.h, making one attempt.
 *
 * store.c checks arguments (names, JSON, read_only), repeats an attempt that gives DRMAD_E_AGAIN
 * with back-off until patience_s is over, and keeps results in the spool. An attempt therefore
 *   - is done or not done as a whole, and never waits longer than a second or two for others;
 *   - gives DRMAD_E_AGAIN when the next one may succeed: locked, unreachable, too many clients;
 *   - recognises by request, token or store.attempt > 0 what an attempt before it has done already.
 * Callbacks are called when nothing of the attempt can fail any more with DRMAD_E_AGAIN, or `after`
 * says how far they were. */
#ifndef STORE_OPS_H
#define STORE_OPS_H
#include "store/store.h"

typedef struct store_ops {
    const char *scheme; /* "sqlite" */
    size_t size;        /* of the implementation's own struct, which begins with `store` */
    /* `s` is zeroed behind the fields of store.c. After a failure close is called, then open again.
     * Sets s->identity. */
    drmad_status (*open)(store *s);
    void (*close)(store *s); /* also of a store that open left half made */

    drmad_status (*study_create)(store *s, const char *name, const study_direction *d, int32_t n,
                                 int64_t *study, bool *made);
    drmad_status (*study_find)(store *s, const char *name, int64_t *study);
    drmad_status (*study_each)(store *s, const char *name, store_study_fn *fn, void *user);
    drmad_status (*study_set_attr)(store *s, int64_t study, const store_attr *a);
    drmad_status (*study_delete)(store *s, int64_t study);

    drmad_status (*trial_add)(store *s, int64_t study, const store_trial *t, const char *request,
                              int64_t *id, int64_t *number);
    drmad_status (*trial_claim)(store *s, int64_t study, const char *request, store_lease *lease);
    drmad_status (*trial_begin)(store *s, int64_t study, int64_t limit, const char *request,
                                store_lease *lease);
    drmad_status (*trial_expire)(store *s, int64_t study, int32_t retries, int32_t *expired);

    drmad_status (*trial_params)(store *s, const store_lease *l, const store_param *p, int32_t n,
                                 const store_attr *note);
    drmad_status (*trial_reports)(store *s, const store_lease *l, const store_report *r, int32_t n);
    drmad_status (*trial_attrs)(store *s, const store_lease *l, const store_attr *a, int32_t n);
    drmad_status (*beat)(store *s, const store_lease *l, int32_t n, bool *held);
    /* COMPLETE with a NaN has become FAIL already. */
    drmad_status (*trial_tell)(store *s, const store_lease *l, const store_trial *end);
    drmad_status (*trial_release)(store *s, const store_lease *l);

    /* *after: the id of the last trial given to fn. */
    drmad_status (*trial_each)(store *s, int64_t study, int64_t *after, unsigned states,
                               store_trial_fn *fn, void *user);
    drmad_status (*trial_read)(store *s, int64_t study, int64_t trial, store_trial_fn *fn,
                               void *user);
    drmad_status (*trial_best)(store *s, int64_t study, int64_t *trial);
    drmad_status (*now)(store *s, char now[STORE_TIME_SIZE]);

    drmad_status (*artefact_put)(store *s, const store_lease *l, const char *name, const void *data,
                                 size_t size);
    drmad_status (*artefact_get)(store *s, int64_t trial, const char *name, void **data,
                                 size_t *size);
    drmad_status (*artefact_each)(store *s, int64_t trial, store_artefact_fn *fn, void *user);

    /* Without open before: they look for themselves. close follows. */
    drmad_status (*check)(store *s, store_finding_fn *fn, void *user);
    drmad_status (*upgrade)(store *s);
} store_ops;

enum { STORE_IDENTITY_SIZE = 80 };

/* The part that all kinds share; made and freed by store.c. */
struct store {
    drmad_ctx *ctx;
    const store_ops *ops;
    char *url;   /* for people: without password */
    char *place; /* file of sqlite: and journal:, whole URL of postgresql: with any password */
    char *spool, *worker, *version;     /* version may be NULL */
    bool create, read_only;             /* as store_options has them, */
    double patience_s, lease_s;         /* defaults filled in */
    char identity[STORE_IDENTITY_SIZE]; /* tells this store from all others, for the spool */
    char errmsg[sizeof((drmad_ctx *)0)->errmsg]; /* of the attempt that is tried again */
    int attempt;                                 /* of the call under way: 0, 1, ... */
    uint64_t random[2];                          /* this store's own, for keys, tokens and jitter */
    uint64_t drawn;
};

/* 64 random bits that no other store draws. */
uint64_t store_random(store *s);
/* A new token: positive, so that it reads the same in every language. */
int64_t store_token(store *s);

/* The kinds. */
extern const store_ops store_sqlite, store_postgres, store_journal;
#endif
