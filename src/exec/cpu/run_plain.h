/* A step that is neither product nor elementwise, on its way to the loop that runs it. */
#ifndef RUN_PLAIN_H
#define RUN_PLAIN_H
#include "base/pool.h"
#include "exec/cpu/cpu.h"

typedef struct plain {
    cpu_code *code;
    const plan *p;
    const node_rec *r;
    const plan_node *v;
    const shape *from; /* of operand 0 */
    const char *in[2];
    char *out;
    size_t size;      /* of an element */
    const conv *conv; /* of conv_dw */
    int64_t macs;
} plain;

/* Runs tile(x, i) for i in [0, tiles): on threads where `work`, multiply-adds or the like in all,
 * is worth waking them. */
void plain_tiles(plain *x, int64_t tiles, int64_t work, pool_tile_fn *tile);
bool plain_good_index(const plain *x, int64_t i, int64_t rows); /* else the run will fail */

void plain_conv_dw(plain *x); /* run_conv.c */

/* run_pool.c: pooling, single elements by index */
void plain_pool(plain *x);
void plain_take(plain *x);
void plain_put(plain *x);

/* run_draw.c */
void plain_draw(plain *x);
void plain_iota(plain *x);
#endif
