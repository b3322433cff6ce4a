/* A heart for functions of the caller's that run longer than a lease without calling us. It has a
 * context and a connection of its own, opened only when the first beat is due: most functions are
 * done before. */
#include "worker/work.h"
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct beater {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool quit;
    store_lease lease;
    double lease_s;
    char *url;
};

static void beat_until_quit(beater *b)
{
    const store_options o = {.patience_s = 1, .lease_s = b->lease_s};
    drmad_ctx *ctx = drmad_ctx_new(NULL, NULL);
    store *s = NULL;
    bool held = true;

    for (;;) {
        struct timespec at;

        clock_gettime(CLOCK_MONOTONIC, &at);
        at.tv_sec += (time_t)(b->lease_s / 3);
        at.tv_nsec += (long)(1e9 * (b->lease_s / 3 - (double)(time_t)(b->lease_s / 3)));
        if (at.tv_nsec >= 1000000000) at.tv_sec++, at.tv_nsec -= 1000000000;
        pthread_mutex_lock(&b->lock);
        while (!b->quit && pthread_cond_timedwait(&b->wake, &b->lock, &at) == 0) continue;
        const bool quit = b->quit;
        pthread_mutex_unlock(&b->lock);
        if (quit || !ctx) break;
        if (!s && store_open(ctx, b->url, &o, &s) != DRMAD_OK) continue;
        store_beat(s, &b->lease, 1, &held);
        if (!held) break; /* the function's own calls say so */
    }
    store_close(s);
    drmad_ctx_free(ctx);
}

static void *body(void *arg)
{
    beat_until_quit(arg);
    return NULL;
}

static void destroy(beater *b)
{
    pthread_cond_destroy(&b->wake);
    pthread_mutex_destroy(&b->lock);
    free(b->url);
    free(b);
}

/* Not the context's memory: its allocator may not be fit for two threads. */
beater *beater_start(const drmad_study *s, const store_lease *l)
{
    beater *b = calloc(1, sizeof *b);
    pthread_condattr_t monotonic;
    sigset_t all, before;

    if (!b) return NULL;
    b->lease = *l;
    b->lease_s = s->cfg->set.worker.lease;
    b->url = strdup(s->session->url);
    pthread_mutex_init(&b->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&b->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const bool made = b->url && pthread_create(&b->thread, NULL, body, b) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (made) return b;
    destroy(b);
    return NULL;
}

void beater_stop(beater *b)
{
    if (!b) return;
    pthread_mutex_lock(&b->lock);
    b->quit = true;
    pthread_cond_signal(&b->wake);
    pthread_mutex_unlock(&b->lock);
    pthread_join(b->thread, NULL);
    destroy(b);
}
