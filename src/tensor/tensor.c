/* Shapes and element types. */
#include "tensor/tensor.h"
#include <stdio.h>
#include <string.h>

static const struct {
    size_t size;
    const char *name;
} table[DTYPE_COUNT] = {[F32] = {4, "f32"},
                        [F64] = {8, "f64"},
                        [I32] = {4, "i32"},
                        [U8] = {1, "u8"},
                        [BF16] = {2, "bf16"}};

size_t dtype_size(dtype t)
{
    return table[t].size;
}

const char *dtype_name(dtype t)
{
    return table[t].name;
}

shape shape_ones(int32_t rank)
{
    shape s = {.rank = rank};

    for (int32_t i = 0; i < rank; i++) s.dim[i] = 1;
    return s;
}

int64_t shape_count(const shape *s)
{
    int64_t n = 1;

    for (int32_t i = 0; i < s->rank; i++) n *= s->dim[i];
    return n;
}

bool shape_same(const shape *a, const shape *b)
{
    return a->rank == b->rank && memcmp(a->dim, b->dim, (size_t)a->rank * sizeof a->dim[0]) == 0;
}

bool shape_bytes(const shape *s, dtype t, size_t *out)
{
    size_t n = dtype_size(t);

    for (int32_t i = 0; i < s->rank; i++)
        if (s->dim[i] < 0 || !size_mul(n, (size_t)s->dim[i], &n)) return false;
    *out = n;
    return n <= PTRDIFF_MAX;
}

char *shape_print(const shape *s, char *buf, size_t size)
{
    size_t used = 0;

    if (size == 0) return buf;
    for (int32_t i = 0; i < s->rank && used < size; i++)
        used += (size_t)snprintf(buf + used, size - used, "%c%lld", i ? ',' : '[',
                                 (long long)s->dim[i]);
    if (used < size) snprintf(buf + used, size - used, s->rank ? "]" : "[]");
    return buf;
}
