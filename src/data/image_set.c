/* What folders and shards have in common: the list, and how one picture's bytes are fetched. */
#include "data/image_set.h"
#include "base/text.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

drmad_status image_set_new(drmad_ctx *ctx, image_set **out)
{
    const drmad_status st = mem_alloc(ctx, 1, sizeof **out, out);

    if (st == DRMAD_OK) (*out)->ctx = ctx;
    return st;
}

void image_set_free(image_set *s)
{
    if (!s) return;
    for (int32_t i = 0; i < s->shards; i++) blob_free(s->ctx, &s->shard[i].bytes);
    mem_free(s->ctx, s->shard);
    mem_free(s->ctx, s->root);
    mem_free(s->ctx, s->at);
    mem_free(s->ctx, s->names.at);
    mem_free(s->ctx, s->classes.at);
    mem_free(s->ctx, s);
}

drmad_status image_names_add(drmad_ctx *ctx, image_names *n, const char *name, size_t *at)
{
    const size_t size = strlen(name) + 1;
    drmad_status st;

    if (n->used + size > n->room) {
        const size_t room = 2 * (n->room + size) + 256;
        st = mem_resize(ctx, &n->at, n->room, room, 1);
        if (st != DRMAD_OK) return st;
        n->room = room;
    }
    memcpy(n->at + n->used, name, size);
    *at = n->used;
    n->used += size;
    return DRMAD_OK;
}

drmad_status image_set_add(image_set *s, const image_entry *e)
{
    if (s->n == s->room) {
        const int32_t room = s->room < INT32_MAX / 2 ? 2 * s->room + 64 : INT32_MAX;
        if (s->n == INT32_MAX)
            return FAIL(s->ctx, DRMAD_E_DATA, "more than %d pictures", INT32_MAX);
        const drmad_status st =
            mem_resize(s->ctx, &s->at, (size_t)s->room, (size_t)room, sizeof *s->at);
        if (st != DRMAD_OK) return st;
        s->room = room;
    }
    s->at[s->n++] = *e;
    return DRMAD_OK;
}

char *image_set_name(const image_set *s, int32_t i, char *buf, size_t size)
{
    const image_entry *e = &s->at[i];
    const char *name = s->names.at + e->name;

    if (s->root) snprintf(buf, size, "%s/%s", s->root, name);
    else snprintf(buf, size, "%s: %s", s->shard[e->shard].name, name);
    for (char *p = buf; *p; p++)
        if ((unsigned char)*p < ' ') *p = '?';
    return buf;
}

void image_bytes_free(image_bytes *b)
{
    mem_free(b->ctx, b->at);
    b->at = NULL, b->room = 0;
}

static drmad_status room_for(image_bytes *b, size_t n)
{
    if (n <= b->room) return DRMAD_OK;
    image_bytes_free(b);
    const drmad_status st = mem_alloc(b->ctx, n + n / 2, 1, &b->at);
    if (st == DRMAD_OK) b->room = n + n / 2;
    return st;
}

static drmad_status read_at(image_bytes *b, int file, uint64_t offset, size_t n)
{
    for (size_t got = 0; got < n;) {
        const ssize_t k = pread(file, b->at + got, n - got, (off_t)(offset + got));
        if (k < 0 && errno == EINTR) continue;
        if (k < 0) return FAIL(b->ctx, DRMAD_E_IO, "%s: %s", b->name, strerror(errno));
        if (k == 0)
            return FAIL(b->ctx, DRMAD_E_IO, "%s: ends at byte %zu, was %zu bytes when it was found",
                        b->name, got, n);
        got += (size_t)k;
    }
    return DRMAD_OK;
}

/* A file of its own, as long as it is now. */
static drmad_status load_file(const image_set *s, int32_t i, image_bytes *b, blob *out)
{
    const char *name = s->names.at + s->at[i].name;
    char path[4096];
    struct stat info;
    drmad_status st;

    if ((size_t)snprintf(path, sizeof path, "%s/%s", s->root, name) >= sizeof path)
        return FAIL(b->ctx, DRMAD_E_IO, "%s: the path is too long", b->name);
    const int file = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (file < 0) return FAIL(b->ctx, DRMAD_E_IO, "%s: %s", b->name, strerror(errno));
    if (fstat(file, &info) != 0 || !S_ISREG(info.st_mode)) {
        st = FAIL(b->ctx, DRMAD_E_IO, "%s: expected a regular file", b->name);
        goto done;
    }
    if (info.st_size > IMAGE_BYTES_MAX) {
        st = FAIL(b->ctx, DRMAD_E_DATA, "%s: %lld bytes, at most %d are accepted for a picture",
                  b->name, (long long)info.st_size, IMAGE_BYTES_MAX);
        goto done;
    }
    TRY(room_for(b, (size_t)info.st_size + 1));
    TRY(read_at(b, file, 0, (size_t)info.st_size));
    *out = (blob){.name = b->name, .at = b->at, .size = (size_t)info.st_size};
done:
    close(file);
    return st;
}

static drmad_status load_member(const image_shard *from, const image_entry *e, image_bytes *b,
                                blob *out)
{
    drmad_status st;

    out->size = (size_t)e->bytes;
    if (from->bytes.at) {
        out->at = from->bytes.at + e->offset;
        return DRMAD_OK;
    }
    const int file = open(from->name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (file < 0) return FAIL(b->ctx, DRMAD_E_IO, "%s: %s", b->name, strerror(errno));
    TRY(room_for(b, out->size + 1));
    TRY(read_at(b, file, e->offset, out->size));
    out->at = b->at;
done:
    close(file);
    return st;
}

drmad_status image_set_load(const image_set *s, int32_t i, image_bytes *room, blob *out)
{
    const image_entry *e = &s->at[i];

    image_set_name(s, i, room->name, sizeof room->name);
    *out = (blob){.name = room->name};
    return s->root ? load_file(s, i, room, out) : load_member(&s->shard[e->shard], e, room, out);
}

size_t image_set_bytes(const image_set *s)
{
    size_t n = (size_t)s->room * sizeof *s->at + s->names.room + s->classes.room;

    for (int32_t i = 0; i < s->shards; i++) n += s->shard[i].bytes.size;
    return n;
}

drmad_status image_set_sha256(const image_set *s, char out[SHA256_TEXT])
{
    char parts[2][SHA256_TEXT];
    int64_t *numbers = NULL;
    drmad_status st;

    TRY(mem_alloc(s->ctx, 2 * (size_t)s->n + 1, sizeof *numbers, &numbers));
    for (int32_t i = 0; i < s->n; i++) {
        numbers[2 * i] = s->at[i].bytes;
        numbers[2 * i + 1] = s->at[i].label;
    }
    TRY(blob_sha256(s->ctx, "drmad pictures 1 ", 17, numbers, 2 * (size_t)s->n * sizeof *numbers,
                    parts[0]));
    TRY(blob_sha256(s->ctx, parts[0], SHA256_TEXT - 1, s->names.at, s->names.used, parts[1]));
    memcpy(out, parts[1], SHA256_TEXT);
done:
    mem_free(s->ctx, numbers);
    return st;
}
