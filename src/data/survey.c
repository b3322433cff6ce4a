#include "data/survey.h"
#include "base/pool.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TILE = 32, SIDE = 8, SAMPLE = 200 };

typedef struct seen {
    image_size size; /* width 0: bad */
    int64_t bytes;
    bool png;
} seen;

typedef struct looking {
    const image_set *set;
    const image_reader *reader;
    seen *at;                /* [n] */
    char (*why)[SURVEY_WHY]; /* [tiles]: of the first bad one in each */
    drmad_status *st;        /* [tiles]: what ended it */
    atomic_int *stop;
} looking;

/* Tools of a tile's own context. */
typedef struct bench {
    drmad_ctx *ctx;
    image_work *work;
    image_bytes bytes;
} bench;

static drmad_status look(bench *b, const looking *l, int32_t i)
{
    uint8_t out[SIDE * SIDE * IMAGE_CHANNELS];
    image_size size;
    drmad_status st;
    blob file;

    TRY(image_set_load(l->set, i, &b->bytes, &file));
    l->at[i].bytes = (int64_t)file.size;
    l->at[i].png = file.size > 1 && file.at[1] == 'P';
    TRY(image_begin(b->work, &file, &size));
    const image_box all = {0, 0, size.width, size.height};
    TRY(image_finish(b->work, &all, false, SIDE, out));
    l->at[i].size = size;
done:
    return st;
}

static void look_tile(void *arg, int64_t tile)
{
    looking *l = arg;
    const int32_t first = (int32_t)tile * TILE;
    bench b = {.ctx = drmad_ctx_new(NULL, NULL)};
    drmad_status st = b.ctx ? image_work_new(b.ctx, l->reader, &b.work) : DRMAD_E_NOMEM;

    b.bytes.ctx = b.ctx;
    for (int32_t i = first; st == DRMAD_OK && i < l->set->n && i < first + TILE; i++) {
        if (atomic_load(l->stop)) break;
        st = look(&b, l, i);
        if (!picture_is_bad(st)) continue;
        if (!l->why[tile][0]) snprintf(l->why[tile], SURVEY_WHY, "%s", drmad_errmsg(b.ctx));
        st = DRMAD_OK;
    }
    l->st[tile] = st;
    if (b.ctx) image_bytes_free(&b.bytes);
    image_work_free(b.work);
    drmad_ctx_free(b.ctx);
}

static int by_number(const void *a, const void *b)
{
    const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;

    return x < y ? -1 : x > y;
}

static void spread(int32_t *x, int32_t n, int32_t out[3])
{
    if (n == 0) return;
    qsort(x, (size_t)n, sizeof *x, by_number);
    out[0] = x[0], out[1] = x[n / 2], out[2] = x[n - 1];
}

static drmad_status sum_up(drmad_ctx *ctx, const looking *l, survey *s)
{
    const int32_t n = l->set->n;
    drmad_status st = DRMAD_OK;
    int32_t *side = NULL, good = 0;

    TRY(mem_alloc(ctx, 2 * (size_t)n, sizeof *side, &side));
    for (int32_t i = 0; i < n; i++) {
        s->bytes += l->at[i].bytes;
        s->png += l->at[i].png;
        if (l->at[i].size.width == 0) continue;
        side[good] = l->at[i].size.width, side[n + good] = l->at[i].size.height;
        good++;
    }
    s->bad = n - good;
    spread(side, good, s->width);
    spread(side + n, good, s->height);
    for (int32_t t = 0; t * TILE < n; t++) {
        if (l->st[t] != DRMAD_OK) TRY(FAIL(ctx, l->st[t], "out of memory for pictures"));
        if (l->why[t][0] && s->named < SURVEY_NAMED)
            memcpy(s->why[s->named++], l->why[t], SURVEY_WHY);
    }
done:
    mem_free(ctx, side);
    return st;
}

drmad_status survey_take(drmad_ctx *ctx, const dataset *d, survey **out)
{
    const size_t n = (size_t)d->n, tiles = n / TILE + 1;
    looking l = {.stop = &ctx->stop};
    drmad_status st;
    survey *s = NULL;

    *out = NULL;
    TRY(mem_alloc(ctx, 1, sizeof *s, &s));
    s->pictures = d->n;
    if (!d->rows) {
        l.set = d->pictures->set, l.reader = d->pictures->reader;
        TRY(mem_alloc(ctx, n, sizeof *l.at, &l.at));
        TRY(mem_alloc(ctx, tiles, sizeof *l.why, &l.why));
        TRY(mem_alloc(ctx, tiles, sizeof *l.st, &l.st));
        pool_run(ctx, (int64_t)(n + TILE - 1) / TILE, look_tile, &l);
        TRY(base_stopped(ctx));
        TRY(sum_up(ctx, &l, s));
    }
    *out = s, s = NULL;
done:
    mem_free(ctx, l.at);
    mem_free(ctx, l.why);
    mem_free(ctx, l.st);
    mem_free(ctx, s);
    return st;
}

static double thread_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

drmad_status survey_speed(drmad_ctx *ctx, const dataset *d, const augment *how, double *out)
{
    const int64_t n = d->n < SAMPLE ? d->n : SAMPLE;
    drmad_status st;
    picture_work *w = NULL;
    uint8_t *row = NULL;
    double start = 0;
    int64_t done = 0;

    *out = 0;
    TRY(mem_alloc(ctx, (size_t)d->width, 1, &row));
    TRY(picture_work_new(ctx, d, &w));
    for (int64_t i = -n / 4; i < n; i++) { /* the first quarter twice: files come into memory */
        const int64_t at = i < 0 ? i + n / 4 : i;
        const picture_ask ask = {how, 0, 0, (int32_t)(at * d->n / n)};
        TRY(base_stopped(ctx));
        if (i == 0) start = thread_seconds();
        st = picture_row(w, &ask, row);
        if (st != DRMAD_OK && !picture_is_bad(st)) goto done;
        done += i >= 0 && st == DRMAD_OK;
    }
    st = DRMAD_OK;
    if (done) *out = (double)done / (thread_seconds() - start);
done:
    picture_work_free(w);
    mem_free(ctx, row);
    return st;
}
