/* Element types and shapes. Row-major, contiguous; the last dimension runs fastest. BF16 is for
 * keeping, not for reckoning: the upper half of a float, which only OP_cast reads and writes. */
#ifndef TENSOR_H
#define TENSOR_H
#include "base/base.h"
#include <string.h>

typedef enum dtype { F32, F64, I32, U8, BF16, DTYPE_COUNT } dtype;

enum { RANK_MAX = 6 };

typedef struct shape {
    int32_t rank; /* 0 = one element */
    int32_t pad;  /* always 0: shapes compare by memcmp */
    int64_t dim[RANK_MAX];
} shape;

/* SHAPE(3, 4): rank 2. */
#define SHAPE(...)                                                                                 \
    ((shape){.rank = (int32_t)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)),                \
             .dim = {__VA_ARGS__}})

shape shape_ones(int32_t rank); /* every dimension 1 */
int64_t shape_count(const shape *s);
bool shape_same(const shape *a, const shape *b);
/* The bytes of `s` in `t`; false when a dimension is negative or the product overflows. */
bool shape_bytes(const shape *s, dtype t, size_t *out);
size_t dtype_size(dtype t);
const char *dtype_name(dtype t); /* "f32", ... */

/* A float as the nearest bf16, of two equally near the even one; beyond the largest: infinity. A
 * NaN stays one, quiet, with the upper bits of its payload. */
static inline uint16_t bf16_from(float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof bits);
    if ((bits & 0x7fffffff) > 0x7f800000) return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static inline float bf16_to(uint16_t half)
{
    const uint32_t bits = (uint32_t)half << 16;
    float x;

    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Element i of an array, as a double and from one. */
static inline double dtype_get(dtype t, const void *from, int64_t i)
{
    switch (t) {
    case F32: return (double)((const float *)from)[i];
    case F64: return ((const double *)from)[i];
    case I32: return ((const int32_t *)from)[i];
    case BF16: return (double)bf16_to(((const uint16_t *)from)[i]);
    default: return ((const uint8_t *)from)[i];
    }
}

static inline void dtype_put(dtype t, void *to, int64_t i, double x)
{
    switch (t) {
    case F32: ((float *)to)[i] = (float)x; break;
    case F64: ((double *)to)[i] = x; break;
    case I32: ((int32_t *)to)[i] = (int32_t)x; break;
    case BF16: ((uint16_t *)to)[i] = bf16_from((float)x); break;
    default: ((uint8_t *)to)[i] = (uint8_t)x;
    }
}
/* "[50,784]" into buf; always terminated. Gives buf back. */
char *shape_print(const shape *s, char *buf, size_t size);
#endif
