/* What every room stands on: the context's inside, errors, memory, log. */
#ifndef BASE_H
#define BASE_H
#include "drmad/ctx.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct pool pool; /* base/pool.h */

struct drmad_ctx {
    drmad_alloc_fn *alloc;
    void *alloc_user;
    drmad_log_fn *log;
    void *log_user;
    pool *pool; /* made on first use */
    int threads;
    atomic_int stop;        /* the signal, 0 = go on */
    atomic_bool checkpoint; /* one was asked for */
    char errmsg[1024];
    /* Bytes that it may take of a GPU, as one of so many trials side by side; 0: all there are. */
    size_t gpu_share;
    int32_t gpu_trials;
};

/* Records the message (printf form) and gives the code back: `return FAIL(ctx, DRMAD_E_DATA, "%s:
 * ...", path);` */
#define FAIL(ctx, code, ...) base_fail((ctx), (code), __VA_ARGS__)
drmad_status base_fail(drmad_ctx *ctx, drmad_status code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Needs `drmad_status st` and a label `done:` in scope. */
#define TRY(call)                                                                                  \
    do {                                                                                           \
        st = (call);                                                                               \
        if (st != DRMAD_OK) goto done;                                                             \
    } while (0)

/* DRMAD_OK, or the status for the signal that asked us to stop. */
drmad_status base_stopped(drmad_ctx *ctx);
/* Whether a checkpoint was asked for since the last call. */
bool base_checkpoint_wanted(drmad_ctx *ctx);

enum { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DETAIL };
void base_log(drmad_ctx *ctx, int level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Memory from the context's allocator, 64-byte aligned. mem_alloc gives *out, zeroed, or fails
 * with DRMAD_E_NOMEM
 * (overflow of count*size included) and a message that says how much was asked. */
drmad_status mem_alloc(drmad_ctx *ctx, size_t count, size_t size, void *out_ptr);
drmad_status mem_resize(drmad_ctx *ctx, void *ptr_ptr, size_t old_count, size_t count,
                        size_t size); /* new part zeroed */
drmad_status mem_strdup(drmad_ctx *ctx, const char *s, char **out);
void mem_free(drmad_ctx *ctx, void *ptr); /* NULL is fine */

/* Wall clock in seconds from an arbitrary start, monotonic. */
double base_now(void);

/* a*b and a+b on sizes; false on overflow. */
bool size_mul(size_t a, size_t b, size_t *out);
bool size_add(size_t a, size_t b, size_t *out);

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#endif
