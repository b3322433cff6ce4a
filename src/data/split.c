/* Splits and batches: permutations with random access, so that nothing is kept between steps. */
#include "data/split.h"
#include "base/rng.h"
#include "data/pictures.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const part_name[PART_COUNT] = {"train", "valid", "test"};

static uint32_t key_step(int64_t v)
{
    return (uint32_t)(uint64_t)
        v; /* counts beyond 2^32 epochs or steps would repeat; no run gets there */
}

void batch_indices(batch_order order, uint64_t seed, int64_t t, int32_t batch, int32_t n,
                   int32_t *out)
{
    const int64_t per_epoch = n / batch, epoch = t / per_epoch;
    const int64_t first = t % per_epoch * batch;

    switch (order) {
    case BATCH_SHUFFLE: {
        const rng_key key = {seed, key_step(epoch), rng_site("data.shuffle")};
        const rng_perm perm = rng_perm_make(key, (uint64_t)n);
        for (int32_t j = 0; j < batch; j++)
            out[j] = (int32_t)rng_perm_at(&perm, (uint64_t)(first + j));
        return;
    }
    case BATCH_REPLACEMENT: {
        const rng_key key = {seed, key_step(t), rng_site("data.replacement")};
        for (int32_t j = 0; j < batch; j++)
            out[j] = (int32_t)rng_below(key, (uint64_t)j, (uint64_t)n);
        return;
    }
    case BATCH_SEQUENTIAL:
        for (int32_t j = 0; j < batch; j++) out[j] = (int32_t)(first + j);
        return;
    }
}

/* Resolves SPLIT_REST and checks that `parts` fit into the rows of `d`. */
static drmad_status resolve(drmad_ctx *ctx, const dataset *d, int64_t *count, int first, int last)
{
    int64_t sum = 0;
    int rest = -1;

    for (int p = first; p <= last; p++) {
        if (count[p] == SPLIT_REST && rest < 0) rest = p;
        else if (count[p] < (p == PART_TRAIN ? 1 : 0) || count[p] > d->n)
            return FAIL(ctx, DRMAD_E_DATA, "%s: %lld %s rows asked for, has %lld", d->name,
                        (long long)count[p], part_name[p], (long long)d->n);
        else sum += count[p];
    }
    if (rest >= 0) count[rest] = d->n - sum, sum = d->n;
    if (sum > d->n || (rest >= 0 && count[rest] < 1))
        return FAIL(ctx, DRMAD_E_DATA,
                    "%s: has %lld rows, too few for train %lld, valid %lld, test %lld", d->name,
                    (long long)d->n, (long long)count[PART_TRAIN], (long long)count[PART_VALID],
                    (long long)count[PART_TEST]);
    return DRMAD_OK;
}

/* Rows [from, from + n) of the permuted or plain order of `d`. */
static drmad_status draw_part(split *s, int p, const dataset *d, int64_t from, int64_t n,
                              const split_spec *spec)
{
    split_part *part = &s->part[p];
    const bool other = p != PART_TRAIN && d != s->part[PART_TRAIN].data;
    const rng_key key = {spec->seed, other, rng_site("data.split")};
    const rng_perm perm = rng_perm_make(key, (uint64_t)d->n);
    drmad_status st;

    part->data = d;
    part->n = (int32_t)n;
    TRY(mem_alloc(s->ctx, (size_t)n, sizeof *part->index, &part->index));
    TRY(mem_alloc(s->ctx, (size_t)n, sizeof *part->labels, &part->labels));
    for (int64_t i = 0; i < n; i++) {
        const uint64_t at = (uint64_t)(from + i);
        part->index[i] = (int32_t)(spec->sequential ? at : rng_perm_at(&perm, at));
        part->labels[i] = d->labels[part->index[i]];
    }
done:
    return st;
}

/* Exactly round(share * n) labels, which ones and to what by the seed; never to the truth. */
static drmad_status corrupt(split *s, const split_spec *spec)
{
    split_part *part = &s->part[PART_TRAIN];
    const uint64_t n = (uint64_t)part->n, classes = (uint64_t)part->data->classes;
    const rng_perm perm =
        rng_perm_make((rng_key){spec->noise_seed, 0, rng_site("data.corrupt.which")}, n);
    const rng_key key = {spec->noise_seed, 0, rng_site("data.corrupt.to")};

    drmad_status st = mem_alloc(s->ctx, (size_t)n, 1, &s->wrong);
    if (st != DRMAD_OK || spec->corrupt == 0) return st;
    if (classes < 2)
        return FAIL(s->ctx, DRMAD_E_DATA, "%s: labels of 1 class cannot be made wrong",
                    part->data->name);
    const uint64_t count = (uint64_t)llround(spec->corrupt * (double)n);
    for (uint64_t k = 0; k < count; k++) {
        const uint64_t i = rng_perm_at(&perm, k);
        const uint64_t by = 1 + rng_below(key, i, classes - 1);
        part->labels[i] = (int32_t)(((uint64_t)part->labels[i] + by) % classes);
        s->wrong[i] = 1;
    }
    return DRMAD_OK;
}

typedef struct row_hash {
    uint64_t hash;
    int32_t part, at; /* at: position in the part */
} row_hash;

static int by_hash(const void *a, const void *b)
{
    const row_hash *x = a, *y = b;

    if (x->hash != y->hash) return x->hash < y->hash ? -1 : 1;
    if (x->part != y->part) return x->part < y->part ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

/* FNV-1a over words, then over the bytes that are left. Only a filter: rows are compared after. */
static uint64_t hash_row(const uint8_t *p, size_t size)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325), word;

    for (; size >= sizeof word; p += sizeof word, size -= sizeof word) {
        memcpy(&word, p, sizeof word);
        h = (h ^ word) * UINT64_C(0x100000001b3);
        h ^= h >> 29;
    }
    for (; size > 0; p++, size--) h = (h ^ *p) * UINT64_C(0x100000001b3);
    return h;
}

/* A row, or, where it is decoded only when it is needed, its file. */
static drmad_status row_at(const split *s, const row_hash *r, image_bytes *room, blob *out)
{
    const split_part *part = &s->part[r->part];
    const dataset *d = part->data;

    if (!d->rows) return image_set_load(d->pictures->set, part->index[r->at], room, out);
    out->size = (size_t)d->width * dtype_size(d->dtype);
    out->at = (const uint8_t *)d->rows + out->size * (size_t)part->index[r->at];
    return DRMAD_OK;
}

static drmad_status same_row(const split *s, const row_hash *a, const row_hash *b, bool *same)
{
    image_bytes room[2] = {{.ctx = s->ctx}, {.ctx = s->ctx}};
    blob x, y;
    drmad_status st;

    TRY(row_at(s, a, &room[0], &x));
    TRY(row_at(s, b, &room[1], &y));
    *same = x.size == y.size && memcmp(x.at, y.at, x.size) == 0;
done:
    image_bytes_free(&room[0]);
    image_bytes_free(&room[1]);
    return st;
}

static drmad_status say_shared(const split *s, const row_hash *a, const row_hash *b, bool strict)
{
    const split_part *pa = &s->part[a->part], *pb = &s->part[b->part];
    char text[512];

    snprintf(text, sizeof text,
             "%lld rows are in two parts of the split; the first: %s row %d (%s) is %s row %d (%s)",
             (long long)s->shared, part_name[a->part], pa->index[a->at], pa->data->name,
             part_name[b->part], pb->index[b->at], pb->data->name);
    if (strict) return FAIL(s->ctx, DRMAD_E_DATA, "%s", text);
    base_log(s->ctx, LOG_WARN, "%s", text);
    return DRMAD_OK;
}

static drmad_status hash_all(const split *s, row_hash *all)
{
    image_bytes room = {.ctx = s->ctx};
    drmad_status st = DRMAD_OK;
    size_t k = 0;
    blob row;

    for (int32_t p = 0; p < PART_COUNT; p++)
        for (int32_t i = 0; i < s->part[p].n; i++, k++) {
            all[k] = (row_hash){.part = p, .at = i};
            TRY(row_at(s, &all[k], &room, &row));
            all[k].hash = hash_row(row.at, row.size);
        }
done:
    image_bytes_free(&room);
    return st;
}

/* Counts rows whose content an earlier part has too: they make a validation or test score too
 * good. Files are read for it only where it is asked for. */
static drmad_status find_shared(split *s, bool strict)
{
    size_t n = 0, first_a = 0, first_b = 0;
    row_hash *all = NULL;
    drmad_status st;
    bool same;

    if (!s->part[PART_TRAIN].data->rows && !strict) return DRMAD_OK;
    for (int p = 0; p < PART_COUNT; p++) n += (size_t)s->part[p].n;
    TRY(mem_alloc(s->ctx, n, sizeof *all, &all));
    TRY(hash_all(s, all));
    qsort(all, n, sizeof *all, by_hash);
    for (size_t i = 0, start = 0; i < n; i++) {
        if (all[i].hash != all[start].hash) start = i;
        if (all[i].part == all[start].part) continue;
        TRY(same_row(s, &all[start], &all[i], &same));
        if (same && s->shared++ == 0) first_a = start, first_b = i;
    }
    if (s->shared) st = say_shared(s, &all[first_a], &all[first_b], strict);
done:
    mem_free(s->ctx, all);
    return st;
}

drmad_status split_new(drmad_ctx *ctx, const dataset *train, const dataset *test,
                       const split_spec *spec, split **out)
{
    int64_t count[PART_COUNT];
    split *s = NULL;
    drmad_status st;

    *out = NULL;
    if (!(spec->corrupt >= 0 && spec->corrupt <= 1))
        return FAIL(ctx, DRMAD_E_CONFIG, "corrupt: %g, expected 0 to 1", spec->corrupt);
    memcpy(count, spec->count, sizeof count);
    TRY(resolve(ctx, train, count, PART_TRAIN, test ? PART_VALID : PART_TEST));
    if (test) TRY(resolve(ctx, test, count, PART_TEST, PART_TEST));
    TRY(mem_alloc(ctx, 1, sizeof *s, &s));
    s->ctx = ctx;
    const int64_t used = count[PART_TRAIN] + count[PART_VALID];
    TRY(draw_part(s, PART_TRAIN, train, 0, count[PART_TRAIN], spec));
    TRY(draw_part(s, PART_VALID, train, count[PART_TRAIN], count[PART_VALID], spec));
    TRY(draw_part(s, PART_TEST, test ? test : train, test ? 0 : used, count[PART_TEST], spec));
    TRY(corrupt(s, spec));
    TRY(find_shared(s, spec->strict));
    *out = s, s = NULL;
done:
    split_free(s);
    return st;
}

void split_free(split *s)
{
    if (!s) return;
    for (int p = 0; p < PART_COUNT; p++) {
        mem_free(s->ctx, s->part[p].index);
        mem_free(s->ctx, s->part[p].labels);
    }
    mem_free(s->ctx, s->wrong);
    mem_free(s->ctx, s);
}
