/* The thread pool: the caller and ctx->threads - 1 workers draw tiles from one counter.
 *
 * A job is open while its caller draws tiles. A worker joins an open job under the lock, draws
 * until the counter runs
 * out and leaves; the caller closes the job when it finds no more tiles and waits for those
 * inside. A worker that wakes
 * too late finds the job closed and never touches it, so nobody waits for a sleeper. Workers look
 * for the next job for
 * a few microseconds, then sleep: cores may be shared. Who runs a tile is left to chance, what a
 * tile is is not. */
#include "base/pool.h"
#include <pthread.h>
#include <signal.h>

enum { SPINS = 400 }; /* pauses: 8 to 20 microseconds */

struct pool {
    pthread_mutex_t lock;
    pthread_cond_t wake; /* a job was opened, or quit */
    pthread_cond_t left; /* the last worker left a closed job */
    atomic_uint round;   /* counts jobs and the end; what waiting workers look at */
    atomic_llong next;   /* first tile not drawn yet */
    atomic_int inside;   /* workers in the job; changed under the lock */
    bool open, quit;
    int asleep, workers;
    int64_t tiles;
    pool_tile_fn *tile;
    void *arg;
    pthread_t thread[];
};

static void pause_briefly(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void draw_tiles(pool *p, int64_t tiles, pool_tile_fn *tile, void *arg)
{
    for (;;) {
        long long i = atomic_fetch_add_explicit(&p->next, 1, memory_order_relaxed);
        if (i >= tiles) return;
        tile(arg, i);
    }
}

/* Returns with the lock held once the round is past `seen`. */
static void wait_for_round(pool *p, unsigned seen)
{
    for (int i = 0; i < SPINS && atomic_load(&p->round) == seen; i++) pause_briefly();
    pthread_mutex_lock(&p->lock);
    while (atomic_load(&p->round) == seen) {
        p->asleep++;
        pthread_cond_wait(&p->wake, &p->lock);
        p->asleep--;
    }
}

static void *worker(void *arg)
{
    pool *p = arg;
    unsigned seen = 0;

    for (;;) {
        wait_for_round(p, seen);
        seen = atomic_load(&p->round);
        if (p->quit) break;
        if (p->open) {
            int64_t tiles = p->tiles;
            pool_tile_fn *tile = p->tile;
            void *tile_arg = p->arg;

            atomic_fetch_add(&p->inside, 1);
            pthread_mutex_unlock(&p->lock);
            draw_tiles(p, tiles, tile, tile_arg);
            pthread_mutex_lock(&p->lock);
            if (atomic_fetch_sub(&p->inside, 1) == 1 && !p->open) pthread_cond_signal(&p->left);
        }
        pthread_mutex_unlock(&p->lock);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* Signals stay with the threads of the program that called us. */
static void start_workers(pool *p, int wanted)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (p->workers < wanted && pthread_create(&p->thread[p->workers], NULL, worker, p) == 0)
        p->workers++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* NULL when there is no memory for it: the caller then works alone. */
static pool *pool_new(drmad_ctx *ctx)
{
    pool *p;
    size_t wanted = (size_t)ctx->threads - 1;

    if (mem_alloc(ctx, 1, sizeof *p + wanted * sizeof p->thread[0], &p) != DRMAD_OK) return NULL;
    pthread_mutex_init(&p->lock,
                       NULL); /* these three cannot fail on Linux: no attributes, no memory */
    pthread_cond_init(&p->wake, NULL);
    pthread_cond_init(&p->left, NULL);
    start_workers(p, (int)wanted);
    if (p->workers < (int)wanted)
        base_log(ctx, LOG_WARN, "threads: only %d of %d could be started", p->workers + 1,
                 ctx->threads);
    return p;
}

static void open_job(pool *p, int64_t tiles, pool_tile_fn *tile, void *arg)
{
    pthread_mutex_lock(&p->lock);
    p->tiles = tiles, p->tile = tile, p->arg = arg;
    atomic_store_explicit(&p->next, 0, memory_order_relaxed);
    p->open = true;
    atomic_fetch_add(&p->round, 1);
    int64_t helpers = tiles - 1 < p->asleep ? tiles - 1 : p->asleep;
    for (int64_t i = 0; i < helpers; i++) pthread_cond_signal(&p->wake);
    pthread_mutex_unlock(&p->lock);
}

static void close_job(pool *p)
{
    pthread_mutex_lock(&p->lock);
    p->open = false;
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < SPINS && atomic_load(&p->inside) > 0; i++) pause_briefly();
    pthread_mutex_lock(&p->lock);
    while (atomic_load(&p->inside) > 0) pthread_cond_wait(&p->left, &p->lock);
    pthread_mutex_unlock(&p->lock);
}

void pool_run(drmad_ctx *ctx, int64_t tiles, pool_tile_fn *tile, void *arg)
{
    if (ctx->threads > 1 && tiles > 1 && !ctx->pool) ctx->pool = pool_new(ctx);
    pool *p = ctx->threads > 1 && tiles > 1 ? ctx->pool : NULL;
    if (!p || p->workers == 0) {
        for (int64_t i = 0; i < tiles; i++) tile(arg, i);
        return;
    }
    open_job(p, tiles, tile, arg);
    draw_tiles(p, tiles, tile, arg);
    close_job(p);
}

void pool_free(drmad_ctx *ctx, pool *p)
{
    if (!p) return;
    pthread_mutex_lock(&p->lock);
    p->quit = true;
    atomic_fetch_add(&p->round, 1);
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->workers; i++) pthread_join(p->thread[i], NULL);
    pthread_cond_destroy(&p->left);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    mem_free(ctx, p);
}
