/* Thread pool. Work is cut into tiles fixed by shape alone, so results do not depend on the number
 * of threads. */
#ifndef POOL_H
#define POOL_H
#include "base/base.h"

/* Runs tile(arg, i) once for each i in [0, tiles), on up to ctx->threads threads, and returns when
 * all are done.
 * With one thread or one tile it is a plain loop. Tiles must not call pool_run. The pool is made
 * on first use; when
 * no thread can be made the caller does all the work. */
typedef void pool_tile_fn(void *arg, int64_t i);
void pool_run(drmad_ctx *ctx, int64_t tiles, pool_tile_fn *tile, void *arg);
void pool_free(drmad_ctx *ctx, pool *p); /* NULL is fine; joins the threads */
#endif
