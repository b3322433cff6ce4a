/* Reports from a store alone: studies and trials as JSON, as text for people, as a table in CSV.
 *
 * A trial as JSON: {"number", "id", "state", "values": [...], "params": {...}, "distributions":
 * {...}, "start", "complete", "version", "worker", "intermediate_values": [[step, value], ...],
 * "user_attrs": {...}, "system_attrs": {...}}. Parameters have their own values, not the store's
 * internal ones; a distribution that is not strict JSON is its text. What JSON has no number for is
 * the text "inf", "-inf" or "nan". Times are UTC.
 *
 * Ownership: json_t results are given (json_decref), texts go into the caller's buffer.
 * Threads:   those of the store. */
#ifndef REPORT_H
#define REPORT_H
#include "report/buffer.h"
#include "store/store.h"

/* ---- one trial ---- */

/* Distributions read before, so that thousands of trials of one space cost one parse. */
typedef struct report_space report_space;
drmad_status report_space_new(drmad_ctx *ctx, report_space **out);
void report_space_free(report_space *r); /* NULL is fine */
drmad_status report_trial(report_space *r, const store_trial *t, json_t **out);
/* "trial 7   COMPLETE  0.25  lr 0.1, act relu" */
drmad_status report_trial_line(buffer *b, const json_t *trial);

/* ---- studies ---- */

/* {"studies": [{"name", "id", "directions", "trials": {"total": n, "COMPLETE": n, ...}, "best",
 * "user_attrs", "system_attrs"}, ...]}; "best" is the value of the best trial, null with several
 * objectives. */
drmad_status report_studies(store *s, json_t **out, buffer *text);
/* {"study": one of these, "best": its best trials}. */
drmad_status report_study(store *s, const char *name, json_t **out, buffer *text);
/* {"name", "best": [trial]}: none before a trial is COMPLETE; with several objectives all that no
 * other one beats in every objective. */
drmad_status report_best(store *s, const char *name, json_t **out, buffer *text);
/* {"name", "trials": [...]} */
drmad_status report_trials(store *s, const char *name, int64_t after, unsigned states,
                           json_t **out);

/* A few lines for a terminal that is drawn again and again: counts, the best, how it went, what
 * runs and what that reported last. Every name without control bytes. */
drmad_status report_live(store *s, const char *study, buffer *text);

/* One trial. */
drmad_status report_trial_of(store *s, const char *name, int64_t trial, json_t **out);

/* ---- the table ---- */

/* Names: "a,b", or a JSON list, "*" for all, "" for none; NULL is "*". */
typedef struct report_query {
    const char *format; /* "csv" or "json" */
    const char *params, *results, *meta;
    const char *order_by; /* a column; NULL: number */
    bool desc;
    const char *version, *min_version; /* NULL: all trials */
} report_query;

/* CSV columns: number, state, version, hexId where trials came from hypero, then parameters,
 * results (the objectives by their names, then attributes "result:NAME"), meta (the other user
 * attributes, "meta:NAME" without its prefix). Rows that lack the column ordered by come last. */
drmad_status report_export(store *s, const char *study, const report_query *q, buffer *out);
#endif
