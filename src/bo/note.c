/* Notes: what a suggestion looked at, so that it can be made again.
 *
 *   {"sampler": "gp", "seed": 1, "startup": 0, "gradients": false, "build": "2a71c0d",
 *    "cpu": "...", "parameters": ["lr", "wd"], "seen": "0-6,8", "pending": "7",
 *    "hash": "...", "model": {...}}
 *
 * The hash is over the space and every row as it was seen. Build and processor decide about the
 * last bits; they say why a suggestion may come out differently elsewhere. The note of a point that
 * looked at nothing ends before "cpu". */
#include "base/text.h"
#include "base/version.h"
#include "bo/sampler_inside.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- numbers as ranges ---- */

static void put_ranges(text_out *t, const history *h, bool pending)
{
    text_put(t, "");
    for (int32_t i = 0, first = 1; i < h->n; i++) {
        const int64_t from = h->rows[i].number;
        int64_t to = from;

        if ((h->rows[i].state == OBSERVED_PENDING) != pending) continue;
        while (i + 1 < h->n && h->rows[i + 1].number == to + 1 &&
               (h->rows[i + 1].state == OBSERVED_PENDING) == pending)
            i++, to++;
        text_say(t, "%s%lld", first ? "" : ",", (long long)from);
        if (to > from) text_say(t, "-%lld", (long long)to);
        first = 0;
    }
}

/* Reads them one by one; `next` > `last`: the next part of the text is due. */
typedef struct ranges {
    const char *at;
    int64_t next, last;
    bool wrong;
} ranges;

static ranges ranges_of(const json_t *note, const char *key)
{
    const char *text = json_string_value(json_object_get(note, key));

    return (ranges){.at = text ? text : "", .next = 0, .last = -1, .wrong = !text};
}

static void read_part(ranges *r)
{
    const int64_t before = r->last;
    char *end;

    r->next = r->last = strtoll(r->at, &end, 10);
    if (*end == '-') r->last = strtoll(end + 1, &end, 10);
    r->wrong = end == r->at || r->next <= before || r->last < r->next || (*end && *end != ',');
    r->at = *end ? end + 1 : end;
}

/* The next number, -1 past the last or where the text is none. */
static int64_t ranges_peek(ranges *r)
{
    if (r->next > r->last && *r->at && !r->wrong) read_part(r);
    return r->wrong || r->next > r->last ? -1 : r->next;
}

/* ---- hash ---- */

/* Against accidents, not against people: two chains of SplitMix64's mixing function (Steele, Lea,
 * Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014). With 1,000 rows of 6
 * values SHA-256 took 1 ms of each suggestion. */
typedef struct digest {
    uint64_t h[2];
} digest;

enum { DIGEST_HEX = 33 };

static uint64_t mix(uint64_t z)
{
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

static void digest_add(digest *d, uint64_t word)
{
    d->h[0] = mix(d->h[0] + word);
    d->h[1] = mix((d->h[1] ^ word) + 0x9E3779B97F4A7C15u);
}

static void digest_text(digest *d, const char *text)
{
    for (; *text; text++) digest_add(d, (unsigned char)*text);
    digest_add(d, 0);
}

static void digest_reals(digest *d, const double *x, int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        const double y = isnan(x[i]) ? NAN : x[i]; /* one NaN */
        uint64_t word;

        memcpy(&word, &y, sizeof word);
        digest_add(d, word);
    }
}

static void hash_seen(const search *space, const observation *rows, int32_t n, char hex[DIGEST_HEX])
{
    digest d = {{1, 2}};

    for (int32_t i = 0; i < space->n; i++) {
        digest_text(&d, space->params[i].name);
        digest_text(&d, space->params[i].distribution);
    }
    for (int32_t i = 0; i < n; i++) {
        const observation *o = &rows[i];

        digest_add(&d, (uint64_t)o->number);
        digest_add(&d, (uint64_t)o->state);
        digest_add(&d, (uint64_t)o->step);
        digest_add(&d, o->gradient != NULL);
        digest_reals(&d, &o->value, 1);
        digest_reals(&d, o->x, space->n);
        if (o->gradient) digest_reals(&d, o->gradient, space->n);
    }
    snprintf(hex, DIGEST_HEX, "%016llx%016llx", (unsigned long long)d.h[0],
             (unsigned long long)d.h[1]);
}

/* ---- writing ---- */

static drmad_status no_memory(drmad_ctx *ctx)
{
    return FAIL(ctx, DRMAD_E_NOMEM, "out of memory for a sampler's note");
}

/* Adds what was looked at. */
static drmad_status put_seen(const sampler *s, const history *h, json_t *note)
{
    text_out seen = {.ctx = s->ctx}, pending = {.ctx = s->ctx};
    json_t *names = json_array();
    char hex[DIGEST_HEX];
    drmad_status st = DRMAD_OK;
    int bad = 0;

    put_ranges(&seen, h, false);
    put_ranges(&pending, h, true);
    TRY(seen.st != DRMAD_OK ? seen.st : pending.st);
    hash_seen(s->space, h->rows, h->n, hex);
    for (int32_t i = 0; i < s->space->n; i++)
        bad |= json_array_append_new(names, json_string(s->space->params[i].name));
    bad |= json_object_set_new(note, "cpu", json_string(s->cpu));
    bad |= json_object_set(note, "parameters", names);
    bad |= json_object_set_new(note, "seen", json_string(seen.text));
    bad |= json_object_set_new(note, "pending", json_string(pending.text));
    bad |= json_object_set_new(note, "hash", json_string(hex));
    if (bad) st = no_memory(s->ctx);
done:
    json_decref(names);
    text_free(&seen);
    text_free(&pending);
    return st;
}

static json_t *note_head(const sampler_options *o)
{
    return json_pack("{s:s,s:I,s:i,s:b,s:s}", "sampler", sampler_word(o->kind), "seed",
                     (json_int_t)o->seed, "startup", (int)o->startup, "gradients", o->gradients,
                     "build", version_git());
}

static drmad_status print(drmad_ctx *ctx, const json_t *note, char **out)
{
    char *text = json_dumps(note, JSON_COMPACT | JSON_REAL_PRECISION(17));
    const drmad_status st = text ? mem_strdup(ctx, text, out) : no_memory(ctx);

    free(text);
    return st;
}

drmad_status note_print(const sampler *s, const history *h, json_t *model, char **out)
{
    json_t *note = note_head(&s->options);
    drmad_status st = note ? DRMAD_OK : no_memory(s->ctx);

    *out = NULL;
    if (st == DRMAD_OK) st = put_seen(s, h, note);
    if (st == DRMAD_OK && model && json_object_set(note, "model", model) != 0)
        st = no_memory(s->ctx);
    if (st == DRMAD_OK) st = print(s->ctx, note, out);
    json_decref(note);
    return st;
}

drmad_status sampler_note_blind(drmad_ctx *ctx, const sampler_options *o, char **note)
{
    json_t *j = note_head(o);
    const drmad_status st = j ? print(ctx, j, note) : no_memory(ctx);

    json_decref(j);
    return st;
}

/* ---- reading ---- */

static drmad_status unreadable(drmad_ctx *ctx, const char *why)
{
    return FAIL(ctx, DRMAD_E_STORAGE, "the note of a suggestion: %s", why);
}

static drmad_status load(drmad_ctx *ctx, const char *note, json_t **out)
{
    *out = json_loads(note, 0, NULL);
    return json_is_object(*out) ? DRMAD_OK : unreadable(ctx, "it is no JSON object");
}

drmad_status sampler_note_options(drmad_ctx *ctx, const char *note, sampler_options *o)
{
    drmad_status st = DRMAD_OK;
    json_t *j = NULL;

    TRY(load(ctx, note, &j));
    const char *word = json_string_value(json_object_get(j, "sampler"));
    const json_t *seed = json_object_get(j, "seed");
    const json_int_t startup = json_integer_value(json_object_get(j, "startup"));
    *o = (sampler_options){.seed = (uint64_t)json_integer_value(seed),
                           .startup = (int32_t)startup,
                           .gradients = json_is_true(json_object_get(j, "gradients"))};
    if (!word || !sampler_kind_of(word, &o->kind)) TRY(unreadable(ctx, "it names no sampler"));
    if (startup < 0 || startup > INT32_MAX) TRY(unreadable(ctx, "its startup is no count"));
    if (!json_is_integer(seed)) TRY(unreadable(ctx, "it names no seed"));
done:
    json_decref(j);
    return st;
}

drmad_status sampler_note_numbers(drmad_ctx *ctx, const char *note, int32_t end, int64_t **seen,
                                  int32_t *n)
{
    drmad_status st = DRMAD_OK;
    json_t *j = NULL;

    *seen = NULL, *n = 0;
    TRY(load(ctx, note, &j));
    if (!json_object_get(j, "seen")) goto done;
    ranges count = ranges_of(j, "seen"), r = count;
    for (; ranges_peek(&count) >= 0 && count.next < end; count.next++) ++*n;
    if (count.wrong || ranges_peek(&count) >= 0) TRY(unreadable(ctx, "its trials are no ranges"));
    TRY(mem_alloc(ctx, (size_t)*n + 1, sizeof **seen, seen));
    for (int32_t i = 0; i < *n; i++, r.next++) (*seen)[i] = ranges_peek(&r);
done:
    json_decref(j);
    return st;
}

static const observation *find_row(const history *h, int64_t number)
{
    int32_t from = 0, to = h->n;

    while (from < to) {
        const int32_t middle = from + (to - from) / 2;

        if (h->rows[middle].number < number) from = middle + 1;
        else to = middle;
    }
    return from < h->n && h->rows[from].number == number ? &h->rows[from] : NULL;
}

/* The rows that the note names, number rising, into rows[h->n]. */
static drmad_status take_rows(const sampler *s, const json_t *note, const history *h,
                              observation *rows, int32_t *n)
{
    ranges seen = ranges_of(note, "seen"), pending = ranges_of(note, "pending");

    *n = 0;
    for (;;) {
        const int64_t a = ranges_peek(&seen), b = ranges_peek(&pending);
        const bool waits = b >= 0 && (a < 0 || b < a);
        const observation *row = find_row(h, waits ? b : a);

        if (seen.wrong || pending.wrong) return unreadable(s->ctx, "its trials are no ranges");
        if (a < 0 && b < 0) return DRMAD_OK;
        if (!row || *n == h->n || (!waits && row->state == OBSERVED_PENDING))
            return FAIL(s->ctx, DRMAD_E_STORAGE,
                        "it looked at trial %lld, which is not there as it was",
                        (long long)(waits ? b : a));
        rows[*n] = *row;
        if (waits) {
            rows[*n].state = OBSERVED_PENDING;
            rows[*n].value = NAN, rows[*n].step = 0, rows[*n].gradient = NULL;
        }
        ++*n;
        (waits ? &pending : &seen)->next++;
    }
}

drmad_status sampler_seen(const sampler *s, const char *note, const history *h, observation **rows,
                          int32_t *n)
{
    drmad_status st = DRMAD_OK;
    char hex[DIGEST_HEX];
    const char *want;
    json_t *j = NULL;

    *rows = NULL, *n = 0;
    TRY(load(s->ctx, note, &j));
    TRY(mem_alloc(s->ctx, (size_t)h->n + 1, sizeof **rows, rows));
    TRY(take_rows(s, j, h, *rows, n));
    hash_seen(s->space, *rows, *n, hex);
    want = json_string_value(json_object_get(j, "hash"));
    if (!want || strcmp(hex, want) != 0)
        TRY(FAIL(s->ctx, DRMAD_E_STORAGE,
                 "the trials that it looked at, or the space, are no longer what they were"));
done:
    json_decref(j);
    if (st != DRMAD_OK) {
        mem_free(s->ctx, *rows);
        *rows = NULL, *n = 0;
    }
    return st;
}

drmad_status sampler_model(const sampler *s, const observation *row, json_t **model)
{
    drmad_status st = DRMAD_OK;
    json_t *j = NULL;

    *model = NULL;
    if (!row->note) return st;
    TRY(load(s->ctx, row->note, &j));
    const char *word = json_string_value(json_object_get(j, "sampler"));
    if (word && strcmp(word, sampler_word(s->options.kind)) == 0)
        *model = json_incref(json_object_get(j, "model"));
done:
    json_decref(j);
    return st;
}
