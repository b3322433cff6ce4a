/* A store: where studies and their trials outlive the process (docs/STORE.md). These calls look
 * after it; trials are run by the calls of drmad/trial.h.
 *
 *   drmad_store_open(ctx, "sqlite:runs.db", NULL, 0, &s);
 *   drmad_store_list(s);
 *   puts(drmad_store_result_text(s));
 *   drmad_store_close(s);
 *
 * URLs: sqlite:FILE, postgresql://..., journal:FILE. NULL: the environment's DRMAD_STORAGE, then
 * sqlite:drmad.db. Passwords come from PGPASSFILE, PGSERVICE or DRMAD_STORAGE; messages and results
 * hold none. A file that is not there is only made by a store opened with "create=true".
 * Settings are "key=value", in any order; an unknown key is DRMAD_E_USAGE.
 * Ownership: open gives, close takes. Strings handed out live until the next call on the store.
 * Threads:   one store, one thread at a time. Not to be used after fork. */
#ifndef DRMAD_STORE_H
#define DRMAD_STORE_H
#include "drmad/ctx.h"
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct drmad_store drmad_store;

/* Settings: create (make the file or the tables when there are none), read_only, patience (seconds
 * to wait for a store that is locked or does not answer). */
DRMAD_API drmad_status drmad_store_open(drmad_ctx *ctx, const char *url,
                                        const char *const *settings, int n, drmad_store **out);
DRMAD_API void drmad_store_close(drmad_store *s); /* NULL is fine */
DRMAD_API const char *drmad_store_url(const drmad_store *s);

/* The last call's result: one JSON object, or text for people. "" when there is none. */
DRMAD_API const char *drmad_store_result_json(const drmad_store *s);
DRMAD_API const char *drmad_store_result_text(const drmad_store *s);

/* Makes the study, or finds it: *made says which. `directions`: "minimize", "maximize", or one an
 * objective, "minimize,maximize". One that exists with other directions is DRMAD_E_USAGE. */
DRMAD_API drmad_status drmad_store_create(drmad_store *s, const char *study, const char *directions,
                                          int *made);
/* With its trials and artefacts. */
DRMAD_API drmad_status drmad_store_delete(drmad_store *s, const char *study);

/* Results: all studies; one study, its best trial and what its parameters were; the best trial. */
DRMAD_API drmad_status drmad_store_list(drmad_store *s);
DRMAD_API drmad_status drmad_store_show(drmad_store *s, const char *study);
DRMAD_API drmad_status drmad_store_best(drmad_store *s, const char *study);
/* The trials of a study in the order of their making; result_json is {"trials": [...], ...}.
 * Settings: after (the id of a trial: those made later alone), states (COMPLETE,FAIL,...: all). */
DRMAD_API drmad_status drmad_store_trials(drmad_store *s, const char *study,
                                          const char *const *settings, int n);

/* One finished trial: as a JSON object, and as a line for people. Anything but DRMAD_OK ends the
 * watching with it. */
typedef drmad_status drmad_trial_fn(void *user, const char *json, const char *text);
/* Calls fn for each trial that finishes from now on (`all` not 0: for those before, too), looking
 * every `every_s` seconds, until drmad_ctx_stop: DRMAD_OK then. */
DRMAD_API drmad_status drmad_store_watch(drmad_store *s, const char *study, int all, double every_s,
                                         drmad_trial_fn *fn, void *user);

/* Calls fn with the study at a glance, a few lines for a terminal (json is NULL), now and every
 * `every_s` seconds, until drmad_ctx_stop: DRMAD_OK then. */
DRMAD_API drmad_status drmad_store_glance(drmad_store *s, const char *study, double every_s,
                                          drmad_trial_fn *fn, void *user);

/* The study as a table, a trial a row: result_text is it, as CSV (RFC 4180) or JSON.
 * Settings: format (csv), params, results, meta (names with commas between, * for all, nothing for
 * none: all are *), order_by (a column; number), desc, version, min_version (trials of that version
 * of the code; of it and those that came later), file (gets the table; result_text is then ""). */
DRMAD_API drmad_status drmad_store_export(drmad_store *s, const char *study,
                                          const char *const *settings, int n);

/* The study as one HTML page that needs nothing else (docs/REPORT.md); result_text is it.
 * Settings: file (gets the page; result_text is then ""), tensorboard (a folder: gets event files),
 * seed (1; of the random forest). */
DRMAD_API drmad_status drmad_store_report(drmad_store *s, const char *study,
                                          const char *const *settings, int n);

/* Copies batteries of a hypero database (a PostgreSQL schema) into studies of the same names. What
 * was imported before is not imported again.
 * Settings: schema (hyper), battery (all), objective (the result that is the trial's value; may be
 * left out when there is but one number), direction (minimize). */
DRMAD_API drmad_status drmad_store_import_hypero(drmad_store *s, const char *from,
                                                 const char *const *settings, int n);
/* Makes read-only views in hypero's shape over this store (PostgreSQL alone): its own SQL then
 * reads our studies. Settings: schema (hyper), which is made. */
DRMAD_API drmad_status drmad_store_hypero_views(drmad_store *s, const char *const *settings, int n);

/* Whether libpq would take a password from a PostgreSQL URL anywhere in `text`, as in
 * "store=postgresql://user:secret@host/db" or "...?password=...". Others on the machine can read
 * arguments, and study files are shared: there such a URL is refused. */
DRMAD_API int drmad_store_has_password(const char *text);

/* One finding of a check: level 0 for damage, 1 for a warning, 2 for what is well. */
typedef void drmad_finding_fn(void *user, int level, const char *text);
/* Reads everything, changes nothing. DRMAD_E_STORAGE when something is damaged. */
DRMAD_API drmad_status drmad_store_check(drmad_ctx *ctx, const char *url, drmad_finding_fn *fn,
                                         void *user);
/* Brings the tables that Optuna does not know to this version of drmad. */
DRMAD_API drmad_status drmad_store_upgrade(drmad_ctx *ctx, const char *url);

/* A PostgreSQL server of one's own, made when it is not there. Gives its URL, without password:
 * it names a file (0600) that holds it.
 * Settings: folder, bin (where PostgreSQL's programs lie), bind (an address beside loopback),
 * url_file (written, 0600: the URL with password, for other machines), max_connections. */
DRMAD_API drmad_status drmad_store_start_local(drmad_ctx *ctx, const char *const *settings, int n,
                                               char *url, size_t size);
/* `folder` NULL: the usual one. Fine when nothing runs. */
DRMAD_API drmad_status drmad_store_stop_local(drmad_ctx *ctx, const char *folder);

#ifdef __cplusplus
}
#endif
#endif
