/* Which rows are for what, and in which order training meets them. Nothing here copies rows. */
#ifndef SPLIT_H
#define SPLIT_H
#include "data/dataset.h"

enum { PART_TRAIN, PART_VALID, PART_TEST, PART_COUNT };
enum { SPLIT_REST = -1 }; /* as a count: all rows that are left, at least one */

/* Counts: 1 or more rows for train, 0 = none for the others; one SPLIT_REST a dataset. */
typedef struct split_spec {
    int64_t count[PART_COUNT];
    bool sequential; /* rows in the file's order; else by a permutation from `seed` */
    bool strict;     /* a row that two parts share is an error, else a warning; pictures that lie in
                      * files are compared only then, file by file */
    uint64_t seed;
    double corrupt;      /* share of the training labels made wrong, 0 to 1 */
    uint64_t noise_seed; /* which ones, and what they become */
} split_spec;

typedef struct split_part {
    const dataset *data; /* borrowed */
    int32_t n;
    int32_t *index;  /* [n], row numbers in data */
    int32_t *labels; /* [n], of those rows; in train as corrupted, the truth is in data->labels */
} split_part;

typedef struct split {
    drmad_ctx *ctx;
    split_part part[PART_COUNT];
    uint8_t *wrong; /* [n of train], 1 where the label was made wrong */
    int64_t shared; /* rows found in more than one part */
} split;

/* Gives *out. Train and valid are drawn from `train`; test from `test`, or, when that is NULL,
 * from what train and valid leave. Parts of one dataset are disjoint. Too few rows: DRMAD_E_DATA.
 * Both datasets must outlive the split. */
drmad_status split_new(drmad_ctx *ctx, const dataset *train, const dataset *test,
                       const split_spec *spec, split **out);
void split_free(split *s); /* NULL is fine */

/* The batch of step t >= 0: `batch` positions in [0, n), a pure function of its arguments;
 * 1 <= batch <= n. A part's rows are then part->index[position].
 *   shuffle      a fresh permutation each epoch; the last partial batch of an epoch is dropped
 *   replacement  each position drawn on its own
 *   sequential   0, 1, 2, ..., again from 0 each epoch; the last partial batch is dropped */
typedef enum batch_order { BATCH_SHUFFLE, BATCH_REPLACEMENT, BATCH_SEQUENTIAL } batch_order;
void batch_indices(batch_order order, uint64_t seed, int64_t t, int32_t batch, int32_t n,
                   int32_t *out);
#endif
