#include "data/pictures.h"
#include "base/pool.h"
#include "data/resize.h"
#include <stdio.h>
#include <string.h>

struct picture_work {
    drmad_ctx *ctx;
    const dataset *of;
    image_work *image; /* NULL: rows lie in memory */
    resize *resize;    /* of rows in memory */
    image_bytes bytes;
    uint8_t *square; /* before it is shifted; RESIZE_PAD bytes behind it */
};

drmad_status picture_work_new(drmad_ctx *ctx, const dataset *d, picture_work **out)
{
    picture_work *w = NULL;
    drmad_status st;

    *out = NULL;
    TRY(mem_alloc(ctx, 1, sizeof *w, &w));
    w->ctx = w->bytes.ctx = ctx;
    w->of = d;
    TRY(mem_alloc(ctx, (size_t)d->width + RESIZE_PAD, 1, &w->square));
    TRY(resize_new(ctx, &w->resize));
    if (!d->rows) TRY(image_work_new(ctx, d->pictures->reader, &w->image));
    *out = w, w = NULL;
done:
    picture_work_free(w);
    return st;
}

void picture_work_free(picture_work *w)
{
    if (!w) return;
    image_work_free(w->image);
    resize_free(w->resize);
    image_bytes_free(&w->bytes);
    mem_free(w->ctx, w->square);
    mem_free(w->ctx, w);
}

bool picture_is_bad(drmad_status st)
{
    return st == DRMAD_E_DATA || st == DRMAD_E_IO || st == DRMAD_E_UNSAFE;
}

/* From its file: the part that is asked for, or the centred square. */
static drmad_status decode(picture_work *w, const picture_ask *ask, augment_draw *d, uint8_t *out)
{
    const picture_set *p = w->of->pictures;
    const bool part = ask->how && ask->how->crop == CROP_RANDOM_RESIZED;
    const int32_t side = (int32_t)w->of->row.dim[0];
    image_size size;
    drmad_status st;
    blob bytes;

    TRY(image_set_load(p->set, ask->row, &w->bytes, &bytes));
    TRY(image_begin(w->image, &bytes, &size));
    if (p->as_it_is && (size.width != side || size.height != side))
        TRY(FAIL(w->ctx, DRMAD_E_CONFIG,
                 "%s: %dx%d pixels where others have %dx%d; set data.size, the side of the square "
                 "that each becomes",
                 bytes.name, size.width, size.height, side, side));
    if (ask->how) *d = augment_draw_at(ask->how, ask->seed, ask->step, ask->row, &size);
    const image_box box = part ? d->box : augment_center(&size, p->center);
    const bool mirror = ask->how && ask->how->crop != CROP_RANDOM && d->mirror;
    TRY(image_finish(w->image, &box, mirror, side, out));
done:
    return st;
}

/* From a row in memory. */
static drmad_status copy(picture_work *w, const picture_ask *ask, augment_draw *d, uint8_t *out)
{
    const dataset *of = w->of;
    const int32_t side = (int32_t)of->row.dim[0];
    const uint8_t *in = (const uint8_t *)of->rows + (size_t)ask->row * (size_t)of->width;
    const image_size size = {side, side};

    if (!ask->how) {
        memcpy(out, in, (size_t)of->width);
        return DRMAD_OK;
    }
    *d = augment_draw_at(ask->how, ask->seed, ask->step, ask->row, &size);
    if (ask->how->crop != CROP_RANDOM_RESIZED) {
        augment_shift(in, side, d, out);
        return DRMAD_OK;
    }
    memcpy(w->square, in, (size_t)of->width);
    const resize_from part = {.at = w->square,
                              .width = side,
                              .height = side,
                              .stride = (size_t)side * IMAGE_CHANNELS,
                              .x = d->box.x,
                              .y = d->box.y,
                              .w = d->box.width,
                              .h = d->box.height};
    return resize_run(w->resize, &part, side, d->mirror, out);
}

drmad_status picture_row(picture_work *w, const picture_ask *ask, uint8_t *out)
{
    const int32_t side = (int32_t)w->of->row.dim[0];
    const bool shift = !w->of->rows && ask->how && ask->how->crop == CROP_RANDOM;
    augment_draw d = {.brightness = 1, .contrast = 1, .saturation = 1};
    drmad_status st = DRMAD_OK;

    if (w->of->rows) TRY(copy(w, ask, &d, out));
    else TRY(decode(w, ask, &d, shift ? w->square : out));
    if (shift) augment_shift(w->square, side, &d, out);
    augment_colours(out, side * side, &d);
done:
    return st;
}

/* ---- all of them into memory ---- */

enum { TILE = 64, WHY = 512 };

/* What one tile met: the first bad picture of its own. */
typedef struct tile_end {
    drmad_status st; /* of the first bad one, or of what ended the tile */
    char why[WHY];
} tile_end;

typedef struct decoding {
    const dataset *of;
    uint8_t *rows, *bad; /* [n, width], [n] */
    tile_end *end;
    atomic_int *stop;
} decoding;

static void keep_first(tile_end *e, drmad_status st, const char *why)
{
    if (e->st != DRMAD_OK) return;
    e->st = st;
    snprintf(e->why, sizeof e->why, "%s", why);
}

/* A context of its own: messages and memory of a context are for one thread. */
static void decode_tile(void *arg, int64_t tile)
{
    decoding *d = arg;
    const int32_t first = (int32_t)tile * TILE, n = d->of->pictures->set->n;
    drmad_ctx *ctx = drmad_ctx_new(NULL, NULL);
    tile_end *e = &d->end[tile];
    picture_work *w = NULL;
    drmad_status st = ctx ? picture_work_new(ctx, d->of, &w) : DRMAD_E_NOMEM;

    for (int32_t i = first; st == DRMAD_OK && i < n && i < first + TILE; i++) {
        const picture_ask ask = {.row = i};
        if (atomic_load(d->stop)) break;
        st = picture_row(w, &ask, d->rows + (size_t)i * (size_t)d->of->width);
        if (!picture_is_bad(st)) continue;
        d->bad[i] = 1;
        keep_first(e, st, drmad_errmsg(ctx));
        st = DRMAD_OK;
    }
    if (st != DRMAD_OK) e->st = st, snprintf(e->why, WHY, "%s", ctx ? drmad_errmsg(ctx) : "");
    picture_work_free(w);
    drmad_ctx_free(ctx);
}

/* Whether all went well enough; *skipped counts what is left out. */
static drmad_status judge(drmad_ctx *ctx, const decoding *d, bool skip, int64_t *skipped)
{
    const int32_t n = d->of->pictures->set->n;
    const char *why = NULL;

    for (int32_t t = 0; t * TILE < n; t++) {
        const tile_end *e = &d->end[t];
        if (e->st == DRMAD_OK) continue;
        if (!skip || !picture_is_bad(e->st)) return FAIL(ctx, e->st, "%s", e->why);
        if (!why) why = e->why;
    }
    for (int32_t i = 0; i < n; i++) *skipped += d->bad[i];
    if (*skipped == n) return FAIL(ctx, DRMAD_E_DATA, "%s; no picture is left", why);
    if (why)
        base_log(ctx, LOG_WARN, "%s: %lld pictures left out; the first: %s", d->of->name,
                 (long long)*skipped, why);
    return DRMAD_OK;
}

/* Good rows and their labels move together. */
static int32_t compact(const decoding *d, int32_t *labels)
{
    const image_set *set = d->of->pictures->set;
    const size_t width = (size_t)d->of->width;
    int32_t kept = 0;

    for (int32_t i = 0; i < set->n; i++) {
        if (d->bad[i]) continue;
        if (kept < i) memmove(d->rows + (size_t)kept * width, d->rows + (size_t)i * width, width);
        labels[kept++] = set->at[i].label;
    }
    return kept;
}

/* From a dataset that decodes on demand to one in memory; *out is new, `lazy` stays. */
static drmad_status decode_all(const dataset *lazy, bool skip, dataset **out)
{
    const image_set *set = lazy->pictures->set;
    const size_t n = (size_t)set->n;
    array rows = {.dtype = U8, .shape = lazy->row}, labels = {.dtype = I32, .shape = SHAPE(0)};
    decoding d = {.of = lazy, .stop = &lazy->ctx->stop};
    drmad_ctx *ctx = lazy->ctx;
    int64_t skipped = 0;
    drmad_status st;

    TRY(mem_alloc(ctx, n, (size_t)lazy->width, &rows.data));
    TRY(mem_alloc(ctx, n, sizeof(int32_t), &labels.data));
    TRY(mem_alloc(ctx, n, 1, &d.bad));
    TRY(mem_alloc(ctx, n / TILE + 1, sizeof *d.end, &d.end));
    d.rows = rows.data;
    pool_run(ctx, (int64_t)(n + TILE - 1) / TILE, decode_tile, &d);
    TRY(base_stopped(ctx));
    TRY(judge(ctx, &d, skip, &skipped));
    const int32_t kept = compact(&d, labels.data);
    rows.shape = SHAPE(kept, lazy->row.dim[0], lazy->row.dim[1], lazy->row.dim[2]);
    labels.shape = SHAPE(kept);
    TRY(dataset_new(ctx, lazy->name, &rows, &labels, lazy->classes, out));
    (*out)->bad = lazy->bad + skipped;
    memcpy((*out)->sha256, lazy->sha256, SHA256_TEXT);
done:
    array_free(ctx, &rows);
    array_free(ctx, &labels);
    mem_free(ctx, d.bad);
    mem_free(ctx, d.end);
    return st;
}

/* ---- the set as a dataset ---- */

void picture_set_free(drmad_ctx *ctx, picture_set *p)
{
    if (!p) return;
    image_set_free(p->set);
    image_reader_free(ctx, p->reader);
    mem_free(ctx, p);
}

static drmad_status fingerprint(dataset *d)
{
    char head[256];
    char of_set[SHA256_TEXT];
    drmad_status st;

    TRY(image_set_sha256(d->pictures->set, of_set));
    const int n = snprintf(head, sizeof head, "drmad pictures as rows 1 %lld %.17g %d ",
                           (long long)d->row.dim[0], d->pictures->center, d->classes);
    TRY(blob_sha256(d->ctx, head, (size_t)n, of_set, SHA256_TEXT - 1, d->sha256));
done:
    return st;
}

/* The side of the first picture whose head can be read. */
static drmad_status find_side(const picture_set *p, bool skip_bad, int64_t *side)
{
    drmad_ctx *ctx = p->set->ctx;
    image_bytes room = {.ctx = ctx};
    image_size size = {0, 0};
    blob bytes = {0};
    image_work *w = NULL;
    drmad_status st;

    TRY(image_work_new(ctx, p->reader, &w));
    st = DRMAD_E_DATA;
    for (int32_t i = 0; st != DRMAD_OK && i < p->set->n; i++) {
        st = image_set_load(p->set, i, &room, &bytes);
        if (st == DRMAD_OK) st = image_begin(w, &bytes, &size);
        if (st != DRMAD_OK && (!skip_bad || !picture_is_bad(st))) break;
    }
    TRY(st);
    if (size.width != size.height || size.width > IMAGE_SIDE_MAX)
        TRY(FAIL(ctx, DRMAD_E_CONFIG,
                 "%s: %dx%d pixels; set data.size, the side of the square that each becomes",
                 bytes.name, size.width, size.height));
    *side = size.width;
done:
    image_work_free(w);
    image_bytes_free(&room);
    return st;
}

static drmad_status lazy_new(drmad_ctx *ctx, const char *name, const source_spec *s, dataset *d)
{
    const image_set *set = d->pictures->set;
    int64_t side = s->size;
    drmad_status st;

    d->ctx = ctx;
    TRY(image_reader_new(ctx, &d->pictures->reader));
    d->pictures->as_it_is = side == 0;
    if (side == 0) TRY(find_side(d->pictures, s->skip_bad, &side));
    TRY(mem_strdup(ctx, name, &d->name));
    TRY(mem_alloc(ctx, (size_t)set->n, sizeof *d->labels, &d->labels));
    for (int32_t i = 0; i < set->n; i++) d->labels[i] = set->at[i].label;
    d->dtype = U8;
    d->row = SHAPE(side, side, IMAGE_CHANNELS);
    d->n = set->n;
    d->width = side * side * IMAGE_CHANNELS;
    d->classes = set->class_count;
    d->bad = set->skipped;
    d->pictures->center = s->center;
    TRY(fingerprint(d));
done:
    return st;
}

drmad_status pictures_new(drmad_ctx *ctx, const char *name, const source_spec *spec, image_set *set,
                          dataset **out)
{
    dataset *d = NULL;
    drmad_status st;
    size_t bytes;

    *out = NULL;
    if (spec->size < 0 || spec->size > IMAGE_SIDE_MAX)
        TRY(FAIL(ctx, DRMAD_E_CONFIG, "data.size: %d, expected 1 to %d, the side of a picture",
                 spec->size, IMAGE_SIDE_MAX));
    TRY(mem_alloc(ctx, 1, sizeof *d, &d));
    d->ctx = ctx;
    TRY(mem_alloc(ctx, 1, sizeof *d->pictures, &d->pictures));
    d->pictures->set = set, set = NULL;
    TRY(lazy_new(ctx, name, spec, d));
    const bool fits = size_mul((size_t)d->n, (size_t)d->width, &bytes) && bytes <= spec->memory;
    if (!spec->originals && fits) {
        TRY(decode_all(d, spec->skip_bad, out));
    } else {
        *out = d, d = NULL;
    }
done:
    dataset_free(d);
    image_set_free(set);
    return st;
}
