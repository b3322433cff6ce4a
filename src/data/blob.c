/* Unpacking and hashing. The inflated buffer doubles as bytes arrive, so a header or trailer that
 * lies about sizes makes nobody allocate. */
#include "data/blob.h"
#include "base/file.h"
#if DRMAD_FETCH
#include <openssl/evp.h>
#else
#include "base/sha256.h"
#endif
#include <stdio.h>
#include <string.h>
#include <zlib.h>

enum { FIRST = 1 << 16, GZIP_ONLY = 16 + MAX_WBITS };

static voidpf z_alloc(voidpf user, uInt count, uInt size)
{
    void *p;

    return mem_alloc(user, count, size, &p) == DRMAD_OK ? p : Z_NULL;
}

static void z_free(voidpf user, voidpf p)
{
    mem_free(user, p);
}

typedef struct unpack {
    drmad_ctx *ctx;
    const char *name;
    z_stream z;
    uint8_t *out;
    size_t used, room, cap, packed; /* packed: size of what goes in */
} unpack;

static drmad_status grow(unpack *u)
{
    size_t room = u->room ? u->room : FIRST / 2;

    if (u->used == u->cap)
        return FAIL(u->ctx, DRMAD_E_UNSAFE, "%s: unpacks to more than %zu bytes, the limit",
                    u->name, u->cap);
    room = room > u->cap / 2 ? u->cap : 2 * room;
    drmad_status st = mem_resize(u->ctx, &u->out, u->used, room, 1);
    if (st == DRMAD_OK) u->room = room;
    return st;
}

/* zlib counts in unsigned int, we in size_t: both ends are handed over in pieces. */
static drmad_status unpack_step(unpack *u, const uint8_t *bytes, bool *ended)
{
    const size_t taken = (size_t)(u->z.next_in - bytes), left = u->packed - taken;

    if (u->used == u->room) {
        drmad_status st = grow(u);
        if (st != DRMAD_OK) return st;
    }
    const size_t space = u->room - u->used;
    const uInt piece = (uInt)(space > FIRST ? FIRST : space);
    u->z.avail_in = (uInt)(left > FIRST ? FIRST : left);
    u->z.next_out = u->out + u->used;
    u->z.avail_out = piece;
    int code = inflate(&u->z, Z_NO_FLUSH);
    u->used += piece - u->z.avail_out;
    const size_t at = (size_t)(u->z.next_in - bytes);

    *ended = code == Z_STREAM_END;
    if (code == Z_MEM_ERROR) return FAIL(u->ctx, DRMAD_E_NOMEM, "%s: out of memory", u->name);
    if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR)
        return FAIL(u->ctx, DRMAD_E_DATA, "%s: damaged gzip at byte %zu: %s", u->name, at,
                    u->z.msg ? u->z.msg : "unknown fault");
    if (!*ended && at == u->packed && u->z.avail_out != 0)
        return FAIL(u->ctx, DRMAD_E_DATA, "%s: ends at byte %zu inside the gzip stream", u->name,
                    at);
    return DRMAD_OK;
}

/* A gzip file is one member or several, one after the other. */
static drmad_status unpack_all(unpack *u, const uint8_t *bytes)
{
    bool ended = false;

    for (;;) {
        drmad_status st = unpack_step(u, bytes, &ended);
        if (st != DRMAD_OK) return st;
        if (!ended) continue;
        if ((size_t)(u->z.next_in - bytes) == u->packed) return DRMAD_OK;
        inflateReset(&u->z);
    }
}

drmad_status blob_unpack(drmad_ctx *ctx, const char *name, const void *bytes, size_t size,
                         size_t cap, blob *out)
{
    const uint8_t *p = bytes;
    unpack u = {.ctx = ctx, .name = name, .cap = cap, .packed = size};

    *out = (blob){.name = name, .at = p, .size = size};
    if (size < 2 || p[0] != 0x1f || p[1] != 0x8b) return DRMAD_OK;
    *out = (blob){.name = name};
    u.z.zalloc = z_alloc, u.z.zfree = z_free, u.z.opaque = ctx;
    u.z.next_in = (z_const Bytef *)p;
    if (inflateInit2(&u.z, GZIP_ONLY) != Z_OK)
        return FAIL(ctx, DRMAD_E_NOMEM, "%s: out of memory", name);
    drmad_status st = unpack_all(&u, p);
    inflateEnd(&u.z);
    if (st == DRMAD_OK) *out = (blob){.name = name, .at = u.out, .size = u.used, .owned = u.out};
    else mem_free(ctx, u.out);
    return st;
}

drmad_status blob_load(drmad_ctx *ctx, const char *path, size_t cap, blob *out)
{
    char *bytes = NULL;
    size_t size;

    *out = (blob){.name = path};
    drmad_status st = file_read_all(ctx, path, cap, &bytes, &size);
    if (st != DRMAD_OK) return st;
    st = blob_unpack(ctx, path, bytes, size, cap, out);
    if (st == DRMAD_OK && !out->owned) out->owned = bytes;
    else mem_free(ctx, bytes);
    return st;
}

void blob_free(drmad_ctx *ctx, blob *b)
{
    mem_free(ctx, b->owned);
    *b = (blob){.name = b->name};
}

/* The hash of a, then b. OpenSSL's where it comes along with libcurl, else our own. */
static bool hash_two(const void *a, size_t a_size, const void *b, size_t b_size, uint8_t hash[32])
{
#if DRMAD_FETCH
    unsigned int size = 0;
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool good = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 &&
                EVP_DigestUpdate(md, a, a_size) == 1 && EVP_DigestUpdate(md, b, b_size) == 1 &&
                EVP_DigestFinal_ex(md, hash, &size) == 1 && size == 32;

    EVP_MD_CTX_free(md);
    return good;
#else
    sha256 s;

    sha256_start(&s);
    sha256_add(&s, a, a_size);
    sha256_add(&s, b, b_size);
    sha256_end(&s, hash);
    return true;
#endif
}

drmad_status blob_sha256(drmad_ctx *ctx, const void *a, size_t a_size, const void *b, size_t b_size,
                         char out[SHA256_TEXT])
{
    uint8_t hash[32];

    if (!hash_two(a, a_size, b, b_size, hash))
        return FAIL(ctx, DRMAD_E_INTERNAL, "SHA-256 is not to be had");
    for (unsigned i = 0; i < 32; i++) snprintf(out + 2 * i, 3, "%02x", hash[i]);
    return DRMAD_OK;
}
