/* A ring of batches. A batch is claimed by the caller, which knows its key (stream, seed, step) and
 * lays out its examples; pictures are drawn from it one by one, by workers and by a caller that
 * waits for it. Everything but the pixels themselves changes under one lock. */
#include "data/feed.h"
#include "data/pictures.h"
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
    BAD_KEPT = 1024, /* bad pictures told apart */
    BAD_TOLD = 8,    /* of which so many are named */
    TRIES = 64,      /* bad ones in a row before it is an error */
    WHY = 512,
    SETS = 2, /* training and test set */
    WAIT_NS = 100000000
};

typedef struct slot {
    feed_stream of;
    uint64_t seed;
    int64_t step;
    bool used;          /* holds the key above, in whatever state */
    int64_t turn;       /* when it was last wanted */
    int32_t rank;       /* which comes first: steps from the caller's */
    int32_t next, open; /* the next example to draw; how many are not done */
    uint8_t *rows, *good;
    int32_t *position;
    size_t room_rows, room;
    drmad_status st;
    int32_t st_at; /* the example that failed */
    char why[WHY];
} slot;

typedef struct bad_picture {
    const dataset *data;
    int32_t row;
} bad_picture;

/* Whoever decodes: a thread or the caller. */
typedef struct decoder {
    feed *f;
    drmad_ctx *ctx;
    picture_work *work[SETS];
    const dataset *of[SETS];
    pthread_t thread;
} decoder;

struct feed {
    drmad_ctx *ctx;
    feed_spec spec;
    pthread_mutex_t lock;
    pthread_cond_t wake, done; /* there is work; a batch is done */
    slot *slot;
    int32_t slots, threads;
    decoder *worker, self;
    bool started, quit;
    int64_t turn, last;
    int direction;
    const slot *current;
    bad_picture bad[BAD_KEPT];
    int32_t n_bad, told;
    char bad_why[BAD_TOLD][WHY];
};

/* ---- one picture ---- */

static drmad_status work_for(decoder *d, const dataset *data, picture_work **out)
{
    int i = 0;

    while (i < SETS && d->of[i] && d->of[i] != data) i++;
    if (i == SETS) {
        for (i = 0; i < SETS; i++) {
            picture_work_free(d->work[i]);
            d->work[i] = NULL, d->of[i] = NULL;
        }
        i = 0;
    }
    if (!d->work[i]) {
        const drmad_status st = picture_work_new(d->ctx, data, &d->work[i]);
        if (st != DRMAD_OK) return st;
        d->of[i] = data;
    }
    *out = d->work[i];
    return DRMAD_OK;
}

static void note_bad(feed *f, const dataset *data, int32_t row, const char *why)
{
    pthread_mutex_lock(&f->lock);
    int32_t i = 0;
    while (i < f->n_bad && (f->bad[i].data != data || f->bad[i].row != row)) i++;
    if (i == f->n_bad && i < BAD_KEPT) {
        if (i < BAD_TOLD) snprintf(f->bad_why[i], WHY, "%s", why);
        f->bad[f->n_bad++] = (bad_picture){data, row};
    }
    pthread_mutex_unlock(&f->lock);
}

/* Example j of the batch, or what stands for it. */
static drmad_status fill(decoder *d, slot *s, int32_t j)
{
    const feed_stream *of = &s->of;
    uint8_t *out = s->rows + (size_t)j * (size_t)of->data->width;
    picture_work *w;
    drmad_status st = work_for(d, of->data, &w);

    for (int t = 0; st == DRMAD_OK && t < TRIES; t++) {
        const picture_ask ask = {of->how, s->seed, s->step, of->list[s->position[j]]};
        st = picture_row(w, &ask, out);
        if (!picture_is_bad(st) || !d->f->spec.skip_bad) return st;
        note_bad(d->f, of->data, ask.row, drmad_errmsg(d->ctx));
        if (of->all) {
            memset(out, 0, (size_t)of->data->width);
            s->good[j] = 0;
            return DRMAD_OK;
        }
        if (t + 1 < TRIES) st = DRMAD_OK;
        s->position[j] = (s->position[j] + 1) % of->count;
    }
    return st;
}

/* Draws one example of the slot, under the lock, which is let go meanwhile. */
static void draw(decoder *d, slot *s)
{
    feed *f = d->f;
    const int32_t j = s->next++;

    pthread_mutex_unlock(&f->lock);
    const drmad_status st = s->good[j] ? fill(d, s, j) : DRMAD_OK;
    pthread_mutex_lock(&f->lock);
    if (st != DRMAD_OK && (s->st == DRMAD_OK || j < s->st_at)) {
        s->st = st, s->st_at = j;
        snprintf(s->why, WHY, "%s", drmad_errmsg(d->ctx));
    }
    if (--s->open == 0) pthread_cond_broadcast(&f->done);
}

/* ---- threads ---- */

static slot *most_urgent(feed *f)
{
    slot *best = NULL;

    for (int32_t i = 0; i < f->slots; i++) {
        slot *s = &f->slot[i];
        if (s->used && s->next < s->of.batch && (!best || s->rank < best->rank)) best = s;
    }
    return best;
}

static void *work(void *arg)
{
    decoder *d = arg;
    feed *f = d->f;

    pthread_mutex_lock(&f->lock);
    while (!f->quit) {
        slot *s = most_urgent(f);
        if (s) draw(d, s);
        else pthread_cond_wait(&f->wake, &f->lock);
    }
    pthread_mutex_unlock(&f->lock);
    return NULL;
}

/* Signals stay with the threads of the program that called us. Fewer threads are fine. */
static void start(feed *f)
{
    sigset_t all, before;

    f->started = true;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (int32_t i = 0; i < f->spec.workers; i++) {
        decoder *d = &f->worker[i];
        d->f = f;
        d->ctx = drmad_ctx_new(NULL, NULL);
        if (!d->ctx || pthread_create(&d->thread, NULL, work, d) != 0) {
            drmad_ctx_free(d->ctx);
            break;
        }
        f->threads++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void decoder_end(decoder *d)
{
    for (int i = 0; i < SETS; i++) picture_work_free(d->work[i]);
}

drmad_status feed_new(drmad_ctx *ctx, const feed_spec *spec, feed **out)
{
    feed *f = NULL;
    drmad_status st;

    *out = NULL;
    TRY(mem_alloc(ctx, 1, sizeof *f, &f));
    f->ctx = ctx;
    f->spec = *spec;
    f->self = (decoder){.f = f, .ctx = ctx};
    f->direction = 1;
    f->slots = spec->workers > 0 ? spec->ahead + 2 : 1;
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->wake, NULL);
    pthread_cond_init(&f->done, NULL);
    TRY(mem_alloc(ctx, (size_t)f->slots, sizeof *f->slot, &f->slot));
    TRY(mem_alloc(ctx, (size_t)spec->workers + 1, sizeof *f->worker, &f->worker));
    *out = f, f = NULL;
done:
    feed_free(f);
    return st;
}

void feed_free(feed *f)
{
    if (!f) return;
    pthread_mutex_lock(&f->lock);
    f->quit = true;
    pthread_cond_broadcast(&f->wake);
    pthread_mutex_unlock(&f->lock);
    for (int32_t i = 0; i < f->threads; i++) {
        pthread_join(f->worker[i].thread, NULL);
        decoder_end(&f->worker[i]);
        drmad_ctx_free(f->worker[i].ctx);
    }
    decoder_end(&f->self);
    for (int32_t i = 0; f->slot && i < f->slots; i++) {
        mem_free(f->ctx, f->slot[i].rows);
        mem_free(f->ctx, f->slot[i].good);
        mem_free(f->ctx, f->slot[i].position);
    }
    mem_free(f->ctx, f->slot);
    mem_free(f->ctx, f->worker);
    pthread_cond_destroy(&f->wake);
    pthread_cond_destroy(&f->done);
    pthread_mutex_destroy(&f->lock);
    mem_free(f->ctx, f);
}

/* ---- batches: all of this under the lock ---- */

static bool same_stream(const feed_stream *a, const feed_stream *b)
{
    return a->data == b->data && a->list == b->list && a->count == b->count &&
           a->batch == b->batch && a->how == b->how && a->all == b->all && a->order == b->order;
}

static slot *find(feed *f, const feed_stream *of, uint64_t seed, int64_t step)
{
    for (int32_t i = 0; i < f->slots; i++) {
        slot *s = &f->slot[i];
        if (s->used && s->seed == seed && s->step == step && same_stream(&s->of, of)) return s;
    }
    return NULL;
}

/* No more examples are drawn from it; waits for those under way. */
static void cancel(feed *f, slot *s)
{
    s->open -= s->of.batch - s->next;
    s->next = s->of.batch;
    while (s->open > 0) pthread_cond_wait(&f->done, &f->lock);
    s->used = false;
}

/* The one that nobody has wanted for longest. */
static slot *oldest(feed *f)
{
    slot *best = NULL;

    for (int32_t i = 0; i < f->slots; i++) {
        slot *s = &f->slot[i];
        if (!s->used) return s;
        if (s->turn < f->turn && (!best || s->turn < best->turn)) best = s;
    }
    if (best) cancel(f, best);
    return best;
}

static drmad_status make_room(feed *f, slot *s, const feed_stream *of)
{
    const size_t n = (size_t)of->batch, bytes = n * (size_t)of->data->width;
    drmad_status st = DRMAD_OK;

    if (bytes > s->room_rows) {
        mem_free(f->ctx, s->rows);
        s->rows = NULL, s->room_rows = 0;
        TRY(mem_alloc(f->ctx, bytes, 1, &s->rows));
        s->room_rows = bytes;
    }
    if (n > s->room) {
        mem_free(f->ctx, s->good);
        mem_free(f->ctx, s->position);
        s->good = NULL, s->position = NULL, s->room = 0;
        TRY(mem_alloc(f->ctx, n, 1, &s->good));
        TRY(mem_alloc(f->ctx, n, sizeof *s->position, &s->position));
        s->room = n;
    }
done:
    return st;
}

/* Which examples the batch consists of. */
static void lay_out(slot *s)
{
    const feed_stream *of = &s->of;

    memset(s->good, 1, (size_t)of->batch);
    if (!of->all) {
        batch_indices(of->order, s->seed, s->step, of->batch, of->count, s->position);
        return;
    }
    for (int32_t j = 0; j < of->batch; j++) {
        const int64_t at = s->step * of->batch + j;
        s->good[j] = at < of->count;
        s->position[j] = s->good[j] ? (int32_t)at : 0;
    }
}

/* The slot of a key, its work open to whoever draws. NULL: none is free for it. */
static drmad_status claim(feed *f, const feed_stream *of, uint64_t seed, int64_t step, slot **out)
{
    slot *s = find(f, of, seed, step);
    drmad_status st = DRMAD_OK;

    if (!s && (s = oldest(f))) {
        TRY(make_room(f, s, of));
        s->of = *of, s->seed = seed, s->step = step;
        s->next = 0, s->open = of->batch;
        s->st = DRMAD_OK;
        lay_out(s);
        s->used = true;
    }
    if (s) s->turn = f->turn;
    *out = s;
done:
    return st;
}

/* Steps go up or down by one; at the last one of a run the way back begins. */
static void turn_round(feed *f, const feed_stream *of, int64_t step)
{
    if (step == f->last + 1 || step == 0) f->direction = 1;
    else if (step == f->last - 1 || step == of->steps - 1) f->direction = -1;
    f->last = step;
}

static drmad_status look_ahead(feed *f, const feed_stream *of, uint64_t seed, int64_t step)
{
    slot *s;

    for (int32_t i = 0; i < f->slots; i++) /* what nobody wants any more comes last */
        if (f->slot[i].turn < f->turn) f->slot[i].rank = f->spec.ahead + 1;
    for (int32_t k = 1; f->threads > 0 && k <= f->spec.ahead; k++) {
        const int64_t next = step + f->direction * k;
        if (next < 0 || next >= of->steps) break;
        const drmad_status st = claim(f, of, seed, next, &s);
        if (st != DRMAD_OK) return st;
        if (s) s->rank = k;
    }
    if (f->threads > 0) pthread_cond_broadcast(&f->wake);
    return DRMAD_OK;
}

/* Helps until nothing is left to draw, then waits for the others. */
static drmad_status finish(feed *f, slot *s)
{
    drmad_status st;

    while (s->open > 0) {
        struct timespec until;
        st = base_stopped(f->ctx);
        if (st != DRMAD_OK) return st;
        if (s->next < s->of.batch) {
            draw(&f->self, s);
            continue;
        }
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += WAIT_NS;
        if (until.tv_nsec >= 1000000000) until.tv_nsec -= 1000000000, until.tv_sec++;
        pthread_cond_timedwait(&f->done, &f->lock, &until);
    }
    if (s->st == DRMAD_OK) return DRMAD_OK;
    s->used = false; /* asked for again, it is tried again */
    return FAIL(f->ctx, s->st, "%s", s->why);
}

static void tell_bad(feed *f)
{
    for (; f->told < f->n_bad && f->told < BAD_TOLD; f->told++)
        base_log(f->ctx, LOG_WARN, "a picture is left out: %s%s", f->bad_why[f->told],
                 f->told + 1 == BAD_TOLD ? " (others are counted only)" : "");
}

drmad_status feed_take(feed *f, const feed_stream *of, uint64_t seed, int64_t step, feed_batch *out)
{
    drmad_status st;
    slot *s;

    if (!f->started) start(f);
    pthread_mutex_lock(&f->lock);
    f->turn++;
    TRY(claim(f, of, seed, step, &s)); /* never NULL: one slot was not wanted this turn */
    s->rank = 0;
    turn_round(f, of, step);
    TRY(look_ahead(f, of, seed, step));
    TRY(finish(f, s));
    tell_bad(f);
    *out = (feed_batch){s->rows, s->position, s->good};
done:
    pthread_mutex_unlock(&f->lock);
    return st;
}

void feed_forget(feed *f)
{
    if (!f) return;
    pthread_mutex_lock(&f->lock);
    for (int32_t i = 0; i < f->slots; i++)
        if (f->slot[i].used) cancel(f, &f->slot[i]);
    pthread_mutex_unlock(&f->lock);
}

int64_t feed_bad(const feed *f)
{
    return f->n_bad;
}

size_t feed_bytes(const feed *f, const feed_stream *s)
{
    return (size_t)f->slots * (size_t)s->batch * ((size_t)s->data->width + sizeof(int32_t) + 1);
}
