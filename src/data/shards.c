/* Which shards there are, unpacking them, and what holds for all of them together. */
#include "data/shards.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_SIZE = 4096, DIGITS_MAX = 9 };

/* ---- names ---- */

/* A number of digits alone, its width to *digits. */
static bool read_number(const char *text, size_t n, int64_t *out, int *digits)
{
    *out = 0, *digits = (int)n;
    if (n < 1 || n > DIGITS_MAX) return false;
    for (size_t i = 0; i < n; i++) {
        if (!isdigit((unsigned char)text[i])) return false;
        *out = *out * 10 + (text[i] - '0');
    }
    return true;
}

typedef struct range {
    const char *open, *close; /* the braces */
    int64_t from, to;
    int digits;
} range;

/* "{000..146}" in the text; no brace at all is fine too (open NULL). */
static drmad_status find_range(drmad_ctx *ctx, const char *text, range *out)
{
    const char *dots;
    int other;

    *out = (range){.open = strchr(text, '{')};
    if (!out->open && !strchr(text, '}')) return DRMAD_OK;
    out->close = out->open ? strchr(out->open, '}') : NULL;
    dots = out->open ? strstr(out->open, "..") : NULL;
    if (out->close && dots && dots < out->close &&
        read_number(out->open + 1, (size_t)(dots - out->open - 1), &out->from, &out->digits) &&
        read_number(dots + 2, (size_t)(out->close - dots - 2), &out->to, &other) &&
        out->from <= out->to && !strpbrk(out->close + 1, "{}"))
        return DRMAD_OK;
    return FAIL(ctx, DRMAD_E_CONFIG,
                "shards: \"%.200s\": expected one range in braces, as in train-{000..146}.tar",
                text);
}

/* "scheme:" before any '/': others start programs or connections for such names. */
static bool is_url(const char *name)
{
    const char *p = name;

    while (isalnum((unsigned char)*p) || *p == '+' || *p == '-') p++;
    return p > name && *p == ':';
}

typedef struct expansion {
    drmad_ctx *ctx;
    const char *dir;
    image_names *out;
    int32_t *n;
} expansion;

static drmad_status add_name(const expansion *e, const char *name)
{
    char path[PATH_SIZE];
    const bool below = e->dir && name[0] != '/';
    size_t at;

    if (is_url(name))
        return FAIL(e->ctx, DRMAD_E_UNSAFE,
                    "shards: \"%.200s\": a URL or command; only files are read: download them, "
                    "then name the paths",
                    name);
    if (!name[0]) return FAIL(e->ctx, DRMAD_E_CONFIG, "shards: an empty name between commas");
    const int size =
        snprintf(path, sizeof path, "%s%s%s", below ? e->dir : "", below ? "/" : "", name);
    if (size < 0 || (size_t)size >= sizeof path)
        return FAIL(e->ctx, DRMAD_E_CONFIG, "shards: %.100s...: the path is too long", name);
    if (++*e->n > SHARDS_MAX)
        return FAIL(e->ctx, DRMAD_E_CONFIG, "shards: more than %d", SHARDS_MAX);
    return image_names_add(e->ctx, e->out, path, &at);
}

/* One entry of the list, its range spread out. */
static drmad_status expand_one(const expansion *e, const char *text)
{
    char name[PATH_SIZE];
    drmad_status st;
    range r;

    TRY(find_range(e->ctx, text, &r));
    if (!r.open) return add_name(e, text);
    for (int64_t i = r.from; i <= r.to; i++) {
        const int size = snprintf(name, sizeof name, "%.*s%0*lld%s", (int)(r.open - text), text,
                                  r.digits, (long long)i, r.close + 1);
        if (size < 0 || (size_t)size >= sizeof name)
            TRY(FAIL(e->ctx, DRMAD_E_CONFIG, "shards: %.100s...: the path is too long", text));
        TRY(add_name(e, name));
    }
done:
    return st;
}

drmad_status shards_expand(drmad_ctx *ctx, const shards_spec *spec, image_names *out, int32_t *n)
{
    const expansion e = {ctx, spec->dir, out, n};
    drmad_status st = DRMAD_OK;
    char *copy = NULL;

    *out = (image_names){0}, *n = 0;
    TRY(mem_strdup(ctx, spec->names, &copy));
    for (char *at = copy, *comma; at; at = comma ? comma + 1 : NULL) {
        comma = strchr(at, ',');
        if (comma) *comma = '\0';
        TRY(expand_one(&e, at + strspn(at, " ")));
    }
done:
    mem_free(ctx, copy);
    if (st != DRMAD_OK) {
        mem_free(ctx, out->at);
        *out = (image_names){0};
    }
    return st;
}

/* ---- opening ---- */

/* What a packed one holds into memory, of which *left bytes may still be taken. */
static drmad_status unpack(drmad_ctx *ctx, image_shard *s, size_t *left)
{
    unsigned char magic[2] = {0};
    struct stat info;
    drmad_status st = DRMAD_OK;

    const int file = open(s->name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (file < 0) return FAIL(ctx, DRMAD_E_IO, "%s: %s", s->name, strerror(errno));
    if (fstat(file, &info) != 0 || !S_ISREG(info.st_mode))
        TRY(FAIL(ctx, DRMAD_E_IO, "%s: expected a regular file", s->name));
    if (pread(file, magic, 2, 0) != 2 || magic[0] != 0x1f || magic[1] != 0x8b) goto done;
    TRY(blob_load(ctx, s->name, *left < BLOB_CAP ? *left : BLOB_CAP, &s->bytes));
    *left -= s->bytes.size;
done:
    close(file);
    return st;
}

/* ---- all of them ---- */

static drmad_status check_labels(image_set *s, int32_t classes)
{
    const int32_t limit = classes > 0 ? classes : IMAGE_CLASSES_MAX;
    char name[512];
    int32_t largest = 0;

    for (int32_t i = 0; i < s->n; i++) {
        if (s->at[i].label >= limit)
            return FAIL(s->ctx, DRMAD_E_DATA, "%s.cls: class %d, expected 0 to %d",
                        image_set_name(s, i, name, sizeof name), s->at[i].label, limit - 1);
        if (s->at[i].label > largest) largest = s->at[i].label;
    }
    s->class_count = classes > 0 ? classes : largest + 1;
    return DRMAD_OK;
}

drmad_status shards_list(drmad_ctx *ctx, const shards_spec *spec, image_set **out)
{
    size_t memory = spec->memory, at = 0;
    image_set *s = NULL;
    drmad_status st;
    int32_t n;

    *out = NULL;
    TRY(image_set_new(ctx, &s));
    TRY(shards_expand(ctx, spec, &s->classes, &n));
    TRY(mem_alloc(ctx, (size_t)n, sizeof *s->shard, &s->shard));
    for (int32_t i = 0; i < n; i++) {
        image_shard *shard = &s->shard[i];
        TRY(base_stopped(ctx));
        *shard = (image_shard){.name = s->classes.at + at};
        s->shards = i + 1;
        TRY(unpack(ctx, shard, &memory));
        TRY(shard_scan(s, i, spec->skip));
        at += strlen(shard->name) + 1;
    }
    if (s->n == 0) TRY(FAIL(ctx, DRMAD_E_DATA, "%s: no samples", spec->names));
    TRY(check_labels(s, spec->classes));
    *out = s, s = NULL;
done:
    image_set_free(s);
    return st;
}
