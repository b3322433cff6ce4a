/* A desk: a scratch folder with one small study in it, calls on it with overrides, what they said
 * and the files they left. Everything goes through the public headers, as a user's program
 * would. */
#ifndef DESK_H
#define DESK_H
#include "data/safetensors.h"
#include "drmad/study.h"
#include "test.h"
#include <jansson.h>

enum { DESK_EVENTS = 4096, DESK_SETTINGS = 32 };

typedef drmad_status desk_call(drmad_study *s);

typedef struct desk {
    drmad_ctx *ctx;
    const char *folder;
    char log[8192]; /* all lines, level in front: "1 meta-step 2: ..." */
    int events;
    /* What a test wants to happen at event `at` (counted from 1; 0 = nothing). */
    int at, signal; /* signal 0: a checkpoint is asked for; below 0: nothing */
    bool seen;      /* whether a checkpoint was there at the event after that */
    char out[64];
    json_t *result; /* of the last call, NULL when it gave none */
    char text[16384];
    char message[1024];
} desk;

void desk_open(desk *d);
void desk_close(desk *d);

/* Runs `call` on the study with `settings` (ends with NULL) added, into folder `out`. */
drmad_status desk_run(desk *d, const char *out, desk_call *call, const char *const *settings);
#define DESK_RUN(d, out, call, ...)                                                                \
    desk_run((d), (out), (call), (const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

/* With the settings `usual` before `more`; both end with NULL, more may be NULL. */
drmad_status desk_run_after(desk *d, const char *out, desk_call *call, const char *const *usual,
                            const char *const *more);

drmad_status desk_tune(drmad_study *s);
drmad_status desk_resume(drmad_study *s);
drmad_status desk_train(drmad_study *s);

/* A file of folder `out`: its bytes (free them), NULL when it is not there. */
char *desk_read(const desk *d, const char *out, const char *name, size_t *size);
bool desk_has(const desk *d, const char *out, const char *name);
void desk_write(const desk *d, const char *out, const char *name, const char *bytes, size_t size);
st_file *desk_tensors(const desk *d, const char *out, const char *name);
/* Fails unless both files hold the same bytes. */
void desk_same_file(const desk *d, const char *a, const char *a_name, const char *b,
                    const char *b_name);
/* Fails unless both folders hold the same result but for times, the same weights and the same
 * hyperparameters, byte by byte. */
void desk_same(const desk *d, const char *a, const char *b);
void desk_same_result(const desk *d, const char *a, const char *b); /* the result alone */

/* Of the result. Missing: NaN, "". */
double desk_number(const desk *d, const char *key);
const char *desk_word(const desk *d, const char *key);
const json_t *desk_step(const desk *d, size_t i); /* of the path */
/* Of any object. Missing: NaN, "". */
double number_in(const json_t *j, const char *key);
const char *word_in(const json_t *j, const char *key);

/* Stops the run "whole" at every step-th event, lets it go on as "cut", and asks `same` to compare
 * the two: on a desk of its own. */
typedef drmad_status desk_runner(desk *d, const char *out, desk_call *call,
                                 const char *const *more);
void desk_cut(desk_runner *run, void (*same)(const desk *d), const char *const *more, int step);
#endif
