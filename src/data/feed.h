/* Batches of pictures: decoded and augmented by threads of its own, ahead of whoever trains with
 * them, in the direction in which they are asked for, forwards or backwards.
 *
 *   TRY(feed_take(f, &stream, seed, step, &batch));      batch.rows until the next feed_take
 *
 * What a batch holds is a function of (stream, seed, step) alone: neither threads nor what was
 * asked for before have a say. Memory: `ahead` + 2 batches.
 * Threads: one caller; its own threads have contexts of their own and touch no other. */
#ifndef FEED_H
#define FEED_H
#include "data/augment.h"
#include "data/split.h"

typedef struct feed feed;

typedef struct feed_spec {
    int32_t workers; /* threads; 0: the caller decodes when it takes */
    int32_t ahead;   /* batches, at least 1; without workers none are */
    bool skip_bad;   /* pictures that cannot be read are replaced or left out, and counted */
} feed_spec;

/* Which examples, and in which batches. Borrowed until feed_forget or feed_free. */
typedef struct feed_stream {
    const dataset *data;
    const int32_t *list; /* [count]: rows of data */
    int32_t count, batch;
    const augment *how; /* NULL: as in evaluation */
    bool all;           /* step s is examples [s batch, ...), the last one not full; else: */
    batch_order order;  /* split.h: batch_indices */
    int64_t steps;      /* none is decoded ahead beyond */
} feed_stream;

typedef struct feed_batch {
    const uint8_t *rows; /* [batch, width] */
    /* [batch]: places in the list. Where the example's own picture is bad and not `all`: of the
     * next good one behind it. */
    const int32_t *position;
    const uint8_t *good; /* [batch]: 0 where there is no example, or `all` and its picture bad */
} feed_batch;

drmad_status feed_new(drmad_ctx *ctx, const feed_spec *spec, feed **out); /* gives *out */
void feed_free(feed *f); /* NULL is fine; joins the threads */

/* A picture that cannot be read is DRMAD_E_DATA, DRMAD_E_IO or DRMAD_E_UNSAFE with the message of
 * pictures.h, that of the first one in the batch; a stop of the context ends the wait. */
drmad_status feed_take(feed *f, const feed_stream *s, uint64_t seed, int64_t step, feed_batch *out);
void feed_forget(feed *f);       /* nothing that was borrowed is used after it */
int64_t feed_bad(const feed *f); /* pictures that were left out or replaced so far */
size_t feed_bytes(const feed *f, const feed_stream *s); /* what its batches may take */
#endif
