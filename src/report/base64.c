/* Base64, both ways. */
#include "report/base64.h"
#include <string.h>

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_put(text_out *t, const void *bytes, size_t n)
{
    const unsigned char *b = bytes;

    for (size_t i = 0; i < n; i += 3) {
        const size_t k = n - i < 3 ? n - i : 3;
        uint32_t x = (uint32_t)b[i] << 16;
        char four[4];

        if (k > 1) x |= (uint32_t)b[i + 1] << 8;
        if (k > 2) x |= b[i + 2];
        for (int j = 0; j < 4; j++) four[j] = (size_t)j > k ? '=' : letters[x >> (18 - 6 * j) & 63];
        text_put_bytes(t, four, 4);
    }
}

/* Three bytes of four letters, the last `pads` of which are '='; false: not base64. */
static bool read_four(const char *four, int pads, unsigned char *to)
{
    uint32_t x = 0;

    for (int j = 0; j < 4 - pads; j++) {
        const char *at = four[j] ? strchr(letters, four[j]) : NULL;

        if (!at) return false;
        x |= (uint32_t)(at - letters) << (18 - 6 * j);
    }
    for (int j = 0; j < 3 - pads; j++) to[j] = (unsigned char)(x >> (16 - 8 * j));
    return true;
}

drmad_status base64_read(drmad_ctx *ctx, const char *text, size_t length, void **out, size_t *n)
{
    unsigned char *to = NULL;
    drmad_status st = DRMAD_OK;
    bool sound = length % 4 == 0;
    const int pads =
        length >= 4 && sound ? (text[length - 1] == '=') + (text[length - 2] == '=') : 0;

    *out = NULL;
    *n = sound ? length / 4 * 3 - (size_t)pads : 0;
    TRY(mem_alloc(ctx, *n + 1, 1, &to));
    for (size_t i = 0; i < length && sound; i += 4)
        sound = read_four(text + i, i + 4 == length ? pads : 0, to + i / 4 * 3);
    if (!sound) TRY(FAIL(ctx, DRMAD_E_DATA, "%zu letters that are no base64", length));
    *out = to, to = NULL;
done:
    mem_free(ctx, to);
    return st;
}
