/* Files in memory for the data tests: put together byte by byte, handed to a parser in memory of
 * exactly their size, so that a sanitizer sees any read beyond the end. */
#ifndef BYTES_H
#define BYTES_H
#include "base/rng.h"
#include "data/array.h"
#include "test.h"

typedef struct bytes {
    uint8_t *at;
    size_t n;
} bytes;

static inline void put(bytes *b, const void *data, size_t n)
{
    b->at = realloc(b->at, b->n + n + 1);
    if (!b->at) abort();
    if (n) memcpy(b->at + b->n, data, n);
    b->n += n;
}

static inline void put_zeros(bytes *b, size_t n)
{
    b->at = realloc(b->at, b->n + n + 1);
    if (!b->at) abort();
    memset(b->at + b->n, 0, n);
    b->n += n;
}

static inline void put_byte(bytes *b, unsigned v)
{
    const uint8_t byte = (uint8_t)v;

    put(b, &byte, 1);
}

static inline void put_u32_be(bytes *b, uint32_t v)
{
    for (int s = 24; s >= 0; s -= 8) put_byte(b, v >> s & 255);
}

static inline void put_random(bytes *b, size_t n, uint64_t seed)
{
    const size_t start = b->n;

    put_zeros(b, n);
    for (size_t i = 0; i < n; i++) b->at[start + i] = (uint8_t)rng_u64((rng_key){seed, 0, 0}, i);
}

static inline void put_idx_head(bytes *b, unsigned type, unsigned rank, const uint32_t *dims)
{
    put(b, (uint8_t[]){0, 0, (uint8_t)type, (uint8_t)rank}, 4);
    for (unsigned i = 0; i < rank; i++) put_u32_be(b, dims[i]);
}

/* u8 [2,3,4] of random bytes. */
static inline bytes small_idx(void)
{
    bytes b = {0};

    put_idx_head(&b, 8, 3, (uint32_t[]){2, 3, 4});
    put_random(&b, 24, 1);
    return b;
}

static inline void put_npy_head(bytes *b, unsigned version, const char *header)
{
    const size_t n = strlen(header);

    put(b, "\x93NUMPY", 6);
    put(b, (uint8_t[]){(uint8_t)version, 0, (uint8_t)n, (uint8_t)(n >> 8)}, 4);
    if (version > 1) put(b, (uint8_t[]){(uint8_t)(n >> 16), (uint8_t)(n >> 24)}, 2);
    put(b, header, n);
}

static inline bytes npy(const char *descr, const char *order, const char *dims, const void *data,
                        size_t n)
{
    char header[256];
    bytes b = {0};

    snprintf(header, sizeof header, "{'descr': %s, 'fortran_order': %s, 'shape': %s, }\n", descr,
             order, dims);
    put_npy_head(&b, 1, header);
    put(&b, data, n);
    return b;
}

/* Parses the first n bytes, gzip undone, in memory of exactly that size. */
static inline drmad_status parse_cut(drmad_ctx *ctx, const bytes *b, size_t n, array *out)
{
    uint8_t *exact = malloc(n ? n : 1);
    blob all;

    if (!exact) abort();
    if (n) memcpy(exact, b->at, n);
    *out = (array){0};
    drmad_status st = blob_unpack(ctx, "x", exact, n, BLOB_CAP, &all);
    if (st == DRMAD_OK) {
        st = array_parse(ctx, &all, out);
        blob_free(ctx, &all);
    }
    free(exact);
    return st;
}

static inline drmad_status parse_bytes(drmad_ctx *ctx, const bytes *b, array *out)
{
    return parse_cut(ctx, b, b->n, out);
}

/* A context that keeps count of what is allocated. */
typedef struct meter {
    size_t live, peak;
} meter;

static inline void *meter_alloc(void *user, void *ptr, size_t size)
{
    meter *m = user;
    size_t *block;

    if (size == 0) {
        if (!ptr) return NULL;
        block = (size_t *)ptr - 2;
        m->live -= *block;
        free(block);
        return NULL;
    }
    block = malloc(size + 2 * sizeof *block);
    if (!block) return NULL;
    *block = size;
    m->live += size;
    if (m->live > m->peak) m->peak = m->live;
    return block + 2;
}

/* A name for a file in `folder`; valid until the next call. */
static inline const char *in(const char *folder, const char *name)
{
    static char path[600];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}
#endif
