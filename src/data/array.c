/* From a header and bytes to an array. The formats themselves are in idx.c and npy.c. */
#include "data/array.h"
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "files are swapped for little-endian");

static const array_format *const formats[] = {&array_idx, &array_npy};

static const struct {
    size_t size;
    dtype to;
    const char *name;
} elements[ELEMENT_COUNT] = {
    [EL_U8] = {1, U8, "u8"},    [EL_BOOL] = {1, U8, "bool"}, [EL_I8] = {1, I32, "i8"},
    [EL_I16] = {2, I32, "i16"}, [EL_I32] = {4, I32, "i32"},  [EL_I64] = {8, I32, "i64"},
    [EL_F32] = {4, F32, "f32"}, [EL_F64] = {8, F64, "f64"},
};

/* Pickles, torch archives (zip) and HDF5 are met often enough to say what to do instead. */
static drmad_status refuse_unknown(drmad_ctx *ctx, const blob *b)
{
    const uint8_t *p = b->at;

    if (b->size >= 4 && p[0] == 'P' && p[1] == 'K' && p[2] == 3 && p[3] == 4)
        return FAIL(ctx, DRMAD_E_UNSAFE,
                    "%s: a zip archive (torch.save or npz), which may hold pickles; save the "
                    "array with numpy.save(path, tensor.numpy(), allow_pickle=False)",
                    b->name);
    if (b->size >= 2 && p[0] == 0x80 && p[1] >= 2 && p[1] <= 5)
        return FAIL(ctx, DRMAD_E_UNSAFE,
                    "%s: a Python pickle, which can run code; save the array with "
                    "numpy.save(path, array, allow_pickle=False)",
                    b->name);
    if (b->size < 8)
        return FAIL(ctx, DRMAD_E_DATA,
                    "%s: ends at byte %zu, expected the header of an IDX or npy file", b->name,
                    b->size);
    return FAIL(ctx, DRMAD_E_DATA,
                "%s: starts with %02x %02x %02x %02x, expected IDX (00 00) or npy (93 4e 55 4d)",
                b->name, p[0], p[1], p[2], p[3]);
}

/* The declared size must be the real one, to the byte. */
static drmad_status check_size(drmad_ctx *ctx, const blob *b, const array_head *h, size_t *count)
{
    const size_t size = elements[h->element].size, there = b->size - h->offset;
    size_t bytes = size;
    bool fits = true;
    char text[160];

    for (int32_t i = 0; i < h->shape.rank && fits; i++)
        fits = size_mul(bytes, (size_t)h->shape.dim[i], &bytes) && bytes <= PTRDIFF_MAX;
    shape_print(&h->shape, text, sizeof text);
    if (!fits)
        return FAIL(ctx, DRMAD_E_DATA,
                    "%s: declares %s %s, more than any file holds; has %zu bytes", b->name,
                    elements[h->element].name, text, there);
    if (bytes > there)
        return FAIL(ctx, DRMAD_E_DATA,
                    "%s: ends at byte %zu, expected %zu more: %s %s is %zu bytes from byte %zu on",
                    b->name, b->size, bytes - there, elements[h->element].name, text, bytes,
                    h->offset);
    if (bytes < there)
        return FAIL(ctx, DRMAD_E_DATA, "%s: %zu extra bytes from byte %zu on, where %s %s ends",
                    b->name, there - bytes, h->offset + bytes, elements[h->element].name, text);
    *count = bytes / size;
    return DRMAD_OK;
}

static uint64_t load_bits(const uint8_t *p, size_t size, bool big_endian)
{
    uint64_t bits = 0;

    for (size_t i = 0; i < size; i++) bits |= (uint64_t)p[big_endian ? size - 1 - i : i] << 8 * i;
    return bits;
}

/* One element to its place; false when its value is not to be kept in our type. */
static bool store(element e, uint64_t bits, void *data, size_t i)
{
    const uint32_t low = (uint32_t)bits;
    const int64_t wide = (int64_t)bits;

    switch (e) {
    case EL_BOOL:
        if (bits > 1) return false;
        ((uint8_t *)data)[i] = (uint8_t)bits;
        return true;
    case EL_I8: ((int32_t *)data)[i] = (int8_t)bits; return true;
    case EL_I16: ((int32_t *)data)[i] = (int16_t)bits; return true;
    case EL_I64:
        if (wide < INT32_MIN || wide > INT32_MAX) return false;
        ((int32_t *)data)[i] = (int32_t)wide;
        return true;
    case EL_F64: memcpy((double *)data + i, &bits, sizeof bits); return true;
    default: /* EL_I32, EL_F32 */ memcpy((uint32_t *)data + i, &low, sizeof low); return true;
    }
}

/* Column-major position of the row-major element that `at` counts; moves `at` to the next one. */
static size_t column_major_next(const shape *s, int64_t at[RANK_MAX])
{
    size_t place = 0;

    for (int32_t d = s->rank - 1; d >= 0; d--) place = place * (size_t)s->dim[d] + (size_t)at[d];
    for (int32_t d = s->rank - 1; d >= 0; d--) {
        if (++at[d] < s->dim[d]) break;
        at[d] = 0;
    }
    return place;
}

static drmad_status fill(drmad_ctx *ctx, const blob *b, const array_head *h, size_t count, array *a)
{
    const size_t size = elements[h->element].size;
    const uint8_t *from = b->at + h->offset;
    const bool swap = h->big_endian && size > 1;
    const bool as_is =
        h->element == EL_U8 || h->element == EL_I32 || h->element == EL_F32 || h->element == EL_F64;
    int64_t at[RANK_MAX] = {0};

    if (as_is && !swap && !h->column_major) {
        if (count) memcpy(a->data, from, count * size);
        return DRMAD_OK;
    }
    for (size_t i = 0; i < count; i++) {
        const size_t place = h->column_major ? column_major_next(&h->shape, at) : i;
        const uint64_t bits = load_bits(from + place * size, size, h->big_endian);
        if (h->element == EL_U8) ((uint8_t *)a->data)[i] = (uint8_t)bits;
        else if (!store(h->element, bits, a->data, i))
            return FAIL(ctx, DRMAD_E_DATA, "%s: byte %zu: element %zu is no %s that we can keep%s",
                        b->name, h->offset + place * size, i, elements[h->element].name,
                        h->element == EL_BOOL ? " (expected 0 or 1)" : " (expected 32 bits)");
    }
    return DRMAD_OK;
}

drmad_status array_parse(drmad_ctx *ctx, const blob *b, array *out)
{
    const array_format *format = NULL;
    array_head head = {0};
    size_t count = 0;
    drmad_status st;

    *out = (array){0};
    for (size_t i = 0; i < COUNT(formats) && !format; i++)
        if (formats[i]->claims(b)) format = formats[i];
    if (!format) return refuse_unknown(ctx, b);
    TRY(format->head(ctx, b, &head));
    TRY(check_size(ctx, b, &head, &count));
    out->dtype = elements[head.element].to;
    out->shape = head.shape;
    TRY(mem_alloc(ctx, count ? count : 1, dtype_size(out->dtype), &out->data));
    TRY(fill(ctx, b, &head, count, out));
done:
    if (st != DRMAD_OK) array_free(ctx, out);
    return st;
}

drmad_status array_read(drmad_ctx *ctx, const char *path, array *out)
{
    blob b;
    drmad_status st = blob_load(ctx, path, BLOB_CAP, &b);

    *out = (array){0};
    if (st != DRMAD_OK) return st;
    st = array_parse(ctx, &b, out);
    blob_free(ctx, &b);
    return st;
}

void array_free(drmad_ctx *ctx, array *a)
{
    mem_free(ctx, a->data);
    *a = (array){0};
}
