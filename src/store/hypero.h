/* A hypero database: batteries of experiments in a schema of a PostgreSQL (docs/STORE.md). Nothing
 * is written to it.
 * Errors:    E_USAGE no such schema or battery, E_STORAGE other tables than hypero's, E_AGAIN no
 *            answer, E_UNSAFE a password file that others can read. Messages hold no password.
 * Ownership: open gives, close takes; texts live until the callback returns. */
#ifndef HYPERO_H
#define HYPERO_H
#include "base/base.h"
#include "store/store.h"

typedef struct hypero hypero;

typedef struct hypero_experiment {
    int64_t id;
    const char *version;               /* NULL: none */
    const char *time;                  /* of its beginning, UTC, as a store_trial has it */
    const char *param, *meta, *result; /* JSON, NULL: not set */
} hypero_experiment;

/* Called for each name, or experiment; anything but DRMAD_OK ends the call with it. */
typedef drmad_status hypero_name_fn(void *user, const char *name);
typedef drmad_status hypero_fn(void *user, const hypero_experiment *e);

drmad_status hypero_open(drmad_ctx *ctx, const char *url, const char *schema, hypero **out);
void hypero_close(hypero *h); /* NULL is fine */
/* In the order of their making, all three. */
drmad_status hypero_batteries(hypero *h, hypero_name_fn *fn, void *user);
drmad_status hypero_versions(hypero *h, const char *battery, hypero_name_fn *fn, void *user);
drmad_status hypero_experiments(hypero *h, const char *battery, hypero_fn *fn, void *user);
/* What tells the database from all others, for keys. */
const char *hypero_identity(const hypero *h);

/* Views in hypero's shape over the studies of `s`, in `schema`, which is made. E_USAGE: not a
 * PostgreSQL store, or the schema holds something else. */
drmad_status store_hypero_views(store *s, const char *schema);
#endif
