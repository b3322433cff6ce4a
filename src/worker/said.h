/* What an objective says: lines of text, of which those that are JSON count.
 *
 *   {"step": 3, "value": 0.5}    an intermediate value
 *   {"value": 0.4, "acc": 0.9}   the result: the last such line; NaN and Infinity may stand in it
 *   {"state": "PRUNED"}          a result too: given up
 *   0.4                          a result where it is the last line and no object is one
 *
 * All else is for people. */
#ifndef SAID_H
#define SAID_H
#include "store/store.h"
#include <jansson.h>

enum { SAID_LINE_MAX = 1 << 20 };

typedef struct said {
    drmad_ctx *ctx;
    const char *metric; /* borrowed: the key of the result, dots lead into objects; "": any */
    char *line;         /* not ended yet */
    size_t used, room;
    bool skipping; /* a line that is too long */
    int32_t too_long;
    json_t *result; /* the last object that is no step */
    double number;  /* the last line, where it is a number alone */
    bool has_number;
    store_report *reports; /* not fetched yet, step rising as said */
    int32_t n_reports, room_reports;
    double last; /* of all reports */
    bool has_last;
    char tail[128]; /* the last line that is not JSON, for messages */
} said;

void said_open(said *s, drmad_ctx *ctx, const char *metric);
void said_close(said *s);
/* Output as it comes, cut anywhere. */
drmad_status said_take(said *s, const char *bytes, size_t n);
drmad_status said_end(said *s); /* a last line without a newline counts */

typedef struct said_verdict {
    trial_state state; /* COMPLETE, PRUNED or FAIL */
    double value;
    char why[256]; /* of FAIL */
} said_verdict;
void said_judge(const said *s, said_verdict *v);

/* A number of JSON, or the texts that stand for what JSON has no number for. */
bool said_real(const json_t *j, double *out);
#endif
