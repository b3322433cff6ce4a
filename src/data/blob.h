/* A data file's bytes in memory, gzip undone. What they mean is left to array.h and safetensors.h:
 * every parser works on memory, so that it can check what a header declares against what is really
 * there. */
#ifndef BLOB_H
#define BLOB_H
#include "base/base.h"

/* The most that a data file may be, as it lies and unpacked. */
#define BLOB_CAP ((size_t)4 << 30)

typedef struct blob {
    const char *name; /* for messages; borrowed */
    const uint8_t *at;
    size_t size;
    void *owned; /* what blob_free frees; NULL when the bytes are borrowed */
} blob;

/* Gives *out, the unpacked content of the file at `path` (borrowed as its name). DRMAD_E_IO:
 * cannot be read; DRMAD_E_DATA: damaged gzip; DRMAD_E_UNSAFE: unpacks to more than `cap`. Memory
 * follows the bytes that are really there: at most twice the unpacked size. */
drmad_status blob_load(drmad_ctx *ctx, const char *path, size_t cap, blob *out);

/* The same for bytes in memory; *out borrows them when they are not gzip. */
drmad_status blob_unpack(drmad_ctx *ctx, const char *name, const void *bytes, size_t size,
                         size_t cap, blob *out);
void blob_free(drmad_ctx *ctx, blob *b);

/* SHA-256 in hexadecimal of up to two pieces, one after the other. */
enum { SHA256_TEXT = 65 };
drmad_status blob_sha256(drmad_ctx *ctx, const void *a, size_t a_size, const void *b, size_t b_size,
                         char out[SHA256_TEXT]);
#endif
