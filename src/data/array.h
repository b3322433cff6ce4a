/* One array from a file: IDX or npy, told apart by their first bytes.
 *
 * A format is one row of a table: it recognises its magic and reads its header. What follows is
 * the same for all: the bytes that the header declares must be exactly the bytes that are there,
 * checked before anything is allocated; then elements are brought to one of our types, row-major,
 * this machine's byte order:
 *
 *   u8, bool -> U8    i8 i16 i32 i64 -> I32 (out of range: refused)    f32 -> F32    f64 -> F64
 *
 * Not safe for one ctx on two threads; otherwise without state. */
#ifndef ARRAY_H
#define ARRAY_H
#include "data/blob.h"
#include "tensor/tensor.h"

typedef struct array {
    dtype dtype;
    shape shape; /* rank 0 and sizes of 0 are legal here; datasets refuse them */
    void *data;
} array;

/* Gives *out (array_free it). DRMAD_E_DATA names the file, the byte and what was expected there;
 * DRMAD_E_UNSAFE means Python objects: pickles and their kin are never read. */
drmad_status array_read(drmad_ctx *ctx, const char *path, array *out);
drmad_status array_parse(drmad_ctx *ctx, const blob *b, array *out);
void array_free(drmad_ctx *ctx, array *a);

/* Inside: what a format says. */
typedef enum element {
    EL_U8,
    EL_BOOL,
    EL_I8,
    EL_I16,
    EL_I32,
    EL_I64,
    EL_F32,
    EL_F64,
    ELEMENT_COUNT
} element;

typedef struct array_head {
    element element;
    bool big_endian, column_major;
    shape shape;
    size_t offset; /* where the elements start */
} array_head;

typedef struct array_format {
    const char *name;
    bool (*claims)(const blob *b);
    drmad_status (*head)(drmad_ctx *ctx, const blob *b, array_head *out);
} array_format;

extern const array_format array_idx, array_npy;
#endif
