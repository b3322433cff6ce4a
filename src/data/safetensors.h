/* safetensors: named tensors in one file, read and written. Types F32, F64, I32 and U8.
 *
 * Layout: N as 64 bits, little-endian; N bytes of JSON; the data. Tensors must cover the data from
 * its first byte to its last without holes or overlaps; names are unique. A file that breaks this
 * is DRMAD_E_DATA with what was expected.
 *
 * jansson reads and writes the JSON with malloc; all that is kept comes from the context. */
#ifndef SAFETENSORS_H
#define SAFETENSORS_H
#include "data/blob.h"
#include "tensor/tensor.h"

/* The most JSON that is read. The format allows 100 MB, which JSON trees turn into gigabytes. */
enum { SAFETENSORS_HEADER_MAX = 16 << 20 };

typedef struct st_tensor {
    const char *name;
    dtype dtype;
    shape shape;
    const void *data; /* row-major; 64-byte aligned when read */
} st_tensor;

typedef struct st_text {
    const char *key, *value;
} st_text;

/* What is written, or was read. */
typedef struct st_file {
    int32_t n, texts;
    const st_tensor *at; /* read: in the order of the data */
    const st_text *text; /* __metadata__ */
} st_file;

/* Gives *out in one block: mem_free it. */
drmad_status safetensors_read(drmad_ctx *ctx, const char *path, st_file **out);
drmad_status safetensors_parse(drmad_ctx *ctx, const blob *b, st_file **out);
const st_tensor *safetensors_find(const st_file *f, const char *name); /* NULL when absent */

/* Writes `path` atomically (base/file.h). Tensors go by size of their elements, largest first,
 * then by name, the header is padded to 8: as the reference writer does, so equal content gives
 * equal bytes. A name that is used twice, is "__metadata__" or is no UTF-8 is DRMAD_E_USAGE. */
drmad_status safetensors_write(drmad_ctx *ctx, const char *path, const st_file *f);
#endif
