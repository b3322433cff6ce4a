/* The record of a piece of work within a run folder: a JSON object, rewritten after each part that
 * is done, so that work that was cut goes on from it. All records have
 *
 *   stage, status ("running", "done"), study_sha256, runs, seconds: what is charged
 *
 * `name` is the file's, "search.json". */
#ifndef RECORD_H
#define RECORD_H
#include "study/study.h"

/* Gives *out; NULL where there is none. One of another study, other data or another device is
 * refused. */
drmad_status record_read(drmad_study *s, const char *name, const char *print, json_t **out);
/* A new one, not yet written. Gives *out. */
drmad_status record_new(drmad_study *s, const char *stage, const char *print, json_t **out);
bool record_done(const json_t *record);
/* Puts `value` into the record; takes it. */
drmad_status record_put(drmad_study *s, json_t *record, const char *key, json_t *value);
/* 0 where there is none. */
double record_number(const json_t *record, const char *key);
/* NaN where there is none. */
double record_real(const json_t *record, const char *key);
/* For people: "0.4312", "-" where x is not finite. Gives buf back. */
const char *record_shown(double x, int digits, char buf[24]);
/* Adds to what is charged, and writes the record. */
drmad_status record_save(drmad_study *s, const char *name, json_t *record, double runs,
                         double seconds);
/* What is left of a budget, never 0, which would be none; 0: no limit is set. */
double record_rest(double budget, double share, double spent);
#endif
