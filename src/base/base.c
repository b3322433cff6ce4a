/* Context, errors, log and memory. What a room keeps besides hangs on its own objects. */
#include "base/base.h"
#include "base/machine.h"
#include "base/pool.h"
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifndef DRMAD_VERSION
#define DRMAD_VERSION "0.1.0"
#endif

enum { ALIGN = 64, HEAD = 64, THREADS_MAX = 256 };

static void *malloc_alloc(void *user, void *ptr, size_t size)
{
    (void)user;
    if (size == 0) {
        free(ptr);
        return NULL;
    }
    return malloc(size);
}

drmad_ctx *drmad_ctx_new(drmad_alloc_fn *alloc, void *user)
{
    drmad_alloc_fn *fn = alloc ? alloc : malloc_alloc;
    drmad_ctx *ctx = fn(user, NULL, sizeof *ctx);

    if (!ctx) return NULL;
    memset(ctx, 0, sizeof *ctx);
    ctx->alloc = fn;
    ctx->alloc_user = user;
    ctx->threads = 1;
    return ctx;
}

void drmad_ctx_free(drmad_ctx *ctx)
{
    if (!ctx) return;
    pool_free(ctx, ctx->pool);
    ctx->alloc(ctx->alloc_user, ctx, 0);
}

void drmad_ctx_set_log(drmad_ctx *ctx, drmad_log_fn *log, void *user)
{
    ctx->log = log;
    ctx->log_user = user;
}

drmad_status drmad_ctx_set_threads(drmad_ctx *ctx, int threads)
{
    if (threads < 0 || threads > THREADS_MAX)
        return FAIL(ctx, DRMAD_E_USAGE, "threads: %d, expected 0 (all cores) to %d", threads,
                    THREADS_MAX);
    if (threads == 0) {
        const int cores = machine_cores();
        threads = cores > THREADS_MAX ? THREADS_MAX : cores;
    }
    if (threads != ctx->threads) {
        pool_free(ctx, ctx->pool);
        ctx->pool = NULL;
        ctx->threads = threads;
    }
    return DRMAD_OK;
}

int drmad_ctx_threads(const drmad_ctx *ctx)
{
    return ctx->threads;
}

void drmad_ctx_stop(drmad_ctx *ctx, int signal)
{
    atomic_store(&ctx->stop, signal ? signal : SIGINT);
}

void drmad_ctx_checkpoint(drmad_ctx *ctx)
{
    atomic_store(&ctx->checkpoint, true);
}

bool base_checkpoint_wanted(drmad_ctx *ctx)
{
    return atomic_exchange(&ctx->checkpoint, false);
}

drmad_status base_stopped(drmad_ctx *ctx)
{
    int sig = atomic_load(&ctx->stop);

    if (!sig) return DRMAD_OK;
    if (sig == SIGTERM) return FAIL(ctx, DRMAD_E_TERMINATED, "terminated (signal %d)", sig);
    return FAIL(ctx, DRMAD_E_INTERRUPTED, "interrupted (signal %d)", sig);
}

const char *drmad_errmsg(const drmad_ctx *ctx)
{
    return ctx->errmsg;
}

const char *drmad_version(void)
{
    return DRMAD_VERSION;
}

static const struct {
    int exit;
    const char *text;
} status_table[] = {
#define STATUS(name, exit, text) {exit, text},
#include "drmad/status.def"
#undef STATUS
};

const char *drmad_status_text(drmad_status st)
{
    return (unsigned)st < COUNT(status_table) ? status_table[st].text : "unknown status";
}

int drmad_status_exit(drmad_status st)
{
    return (unsigned)st < COUNT(status_table) ? status_table[st].exit : 1;
}

drmad_status base_fail(drmad_ctx *ctx, drmad_status code, const char *fmt, ...)
{
    char text[sizeof ctx->errmsg]; /* the message may quote the previous one */
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    memcpy(ctx->errmsg, text, sizeof text);
    return code;
}

void base_log(drmad_ctx *ctx, int level, const char *fmt, ...)
{
    char line[1024];
    va_list ap;

    if (!ctx->log) return;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    ctx->log(ctx->log_user, level, line);
}

bool size_mul(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

bool size_add(size_t a, size_t b, size_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}

/* Layout of one block: [raw ... | raw pointer, 64 bytes before the memory | memory, 64-byte
 * aligned]. */
drmad_status mem_alloc(drmad_ctx *ctx, size_t count, size_t size, void *out_ptr)
{
    size_t bytes, total;
    void *none = NULL;

    memcpy(out_ptr, &none, sizeof none);
    if (!size_mul(count, size, &bytes) || !size_add(bytes, ALIGN + HEAD, &total))
        return FAIL(ctx, DRMAD_E_NOMEM,
                    "out of memory: %zu x %zu bytes is more than any machine has", count, size);
    char *raw = ctx->alloc(ctx->alloc_user, NULL, total);
    if (!raw) return FAIL(ctx, DRMAD_E_NOMEM, "out of memory: %zu bytes asked for", bytes);

    char *mem = raw + HEAD;
    mem += (ALIGN - (uintptr_t)mem % ALIGN) % ALIGN;
    memcpy(mem - sizeof raw, &raw, sizeof raw);
    memset(mem, 0, bytes);
    memcpy(out_ptr, &mem, sizeof mem);
    return DRMAD_OK;
}

drmad_status mem_resize(drmad_ctx *ctx, void *ptr_ptr, size_t old_count, size_t count, size_t size)
{
    void *old, *fresh;
    size_t keep = old_count < count ? old_count : count;

    memcpy(&old, ptr_ptr, sizeof old);
    drmad_status st = mem_alloc(ctx, count, size, &fresh);
    if (st != DRMAD_OK) return st;
    if (old && keep) memcpy(fresh, old, keep * size);
    mem_free(ctx, old);
    memcpy(ptr_ptr, &fresh, sizeof fresh);
    return DRMAD_OK;
}

drmad_status mem_strdup(drmad_ctx *ctx, const char *s, char **out)
{
    size_t n = strlen(s) + 1;
    drmad_status st = mem_alloc(ctx, n, 1, out);

    if (st == DRMAD_OK) memcpy(*out, s, n);
    return st;
}

void mem_free(drmad_ctx *ctx, void *ptr)
{
    char *raw;

    if (!ptr) return;
    memcpy(&raw, (char *)ptr - sizeof raw, sizeof raw);
    ctx->alloc(ctx->alloc_user, raw, 0);
}

double base_now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}
