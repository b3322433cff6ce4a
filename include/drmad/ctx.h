/* A context: allocator, log, threads and the last error. Everything else in drmad hangs on one.
 * Ownership: new gives, free takes; free it last. Two contexts share nothing.
 * Threads:   one context, one calling thread at a time; drmad_ctx_stop() and drmad_ctx_checkpoint()
 *            may be called from anywhere, also from a signal handler. */
#ifndef DRMAD_CTX_H
#define DRMAD_CTX_H
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define DRMAD_API __attribute__((visibility("default")))
#else
#define DRMAD_API
#endif

typedef enum drmad_status {
#define STATUS(name, exit, text) DRMAD_##name,
#include "drmad/status.def"
#undef STATUS
    DRMAD_STATUS_COUNT
} drmad_status;

typedef struct drmad_ctx drmad_ctx;

/* Allocator: ptr NULL = allocate `size` bytes; size 0 = free `ptr`. NULL on failure. */
typedef void *drmad_alloc_fn(void *user, void *ptr, size_t size);

/* Log levels: 0 error, 1 warning, 2 progress, 3 detail. `line` has no newline at its end. */
typedef void drmad_log_fn(void *user, int level, const char *line);

/* alloc NULL means malloc. NULL when memory is out. */
DRMAD_API drmad_ctx *drmad_ctx_new(drmad_alloc_fn *alloc, void *user);
DRMAD_API void drmad_ctx_free(drmad_ctx *ctx); /* NULL is fine */
DRMAD_API void drmad_ctx_set_log(drmad_ctx *ctx, drmad_log_fn *log, void *user);

/* Worker threads, 1 to 256; 0 = one per usable core. Results do not depend on it. */
DRMAD_API drmad_status drmad_ctx_set_threads(drmad_ctx *ctx, int threads);
DRMAD_API int drmad_ctx_threads(const drmad_ctx *ctx);

/* Asks whatever runs on `ctx` to stop after a clean checkpoint; `signal` is told apart in the
 * status returned
 * (SIGTERM: DRMAD_E_TERMINATED, everything else: DRMAD_E_INTERRUPTED). Async-signal-safe. */
DRMAD_API void drmad_ctx_stop(drmad_ctx *ctx, int signal);

/* Asks a tuning run on `ctx` to write a checkpoint after the meta-step under way and to go on, a
 * worker (drmad/trial.h) to give its trials back and to end. Async-signal-safe. */
DRMAD_API void drmad_ctx_checkpoint(drmad_ctx *ctx);

DRMAD_API const char *drmad_errmsg(
    const drmad_ctx *ctx); /* last error, "" when there was none; valid until the next call */
DRMAD_API const char *drmad_status_text(drmad_status st);
DRMAD_API int drmad_status_exit(drmad_status st); /* the exit status a command should end with */
DRMAD_API const char *drmad_version(void);

#ifdef __cplusplus
}
#endif
#endif
