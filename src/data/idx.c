/* IDX, the format of MNIST: 00 00, a type, the number of dimensions, then each as 32 bits, big-
 * endian; so are the elements (LeCun, Cortes, Burges, "The MNIST database", file formats). */
#include "data/array.h"

static const struct {
    uint8_t code;
    element element;
} types[] = {{0x08, EL_U8},  {0x09, EL_I8},  {0x0B, EL_I16},
             {0x0C, EL_I32}, {0x0D, EL_F32}, {0x0E, EL_F64}};

static bool idx_claims(const blob *b)
{
    return b->size >= 2 && b->at[0] == 0 && b->at[1] == 0;
}

static drmad_status idx_head(drmad_ctx *ctx, const blob *b, array_head *out)
{
    const uint8_t *p = b->at;
    bool known = false;

    if (b->size < 4)
        return FAIL(ctx, DRMAD_E_DATA, "%s: ends at byte %zu, expected 4 bytes of IDX magic",
                    b->name, b->size);
    for (size_t i = 0; i < COUNT(types); i++)
        if (types[i].code == p[2]) known = true, out->element = types[i].element;
    if (!known)
        return FAIL(ctx, DRMAD_E_DATA,
                    "%s: byte 2: IDX type %02x, expected 08, 09, 0b, 0c, 0d or 0e", b->name, p[2]);
    if (p[3] < 1 || p[3] > RANK_MAX)
        return FAIL(ctx, DRMAD_E_DATA, "%s: byte 3: %u dimensions, expected 1 to %d", b->name, p[3],
                    RANK_MAX);
    out->offset = 4 + 4 * (size_t)p[3];
    if (b->size < out->offset)
        return FAIL(ctx, DRMAD_E_DATA, "%s: ends at byte %zu, expected a header of %zu bytes",
                    b->name, b->size, out->offset);
    out->big_endian = true;
    out->shape.rank = p[3];
    for (int32_t i = 0; i < out->shape.rank; i++) {
        const uint8_t *d = p + 4 + 4 * i;
        out->shape.dim[i] = (int64_t)d[0] << 24 | (int64_t)d[1] << 16 | (int64_t)d[2] << 8 | d[3];
    }
    return DRMAD_OK;
}

const array_format array_idx = {"IDX", idx_claims, idx_head};
