/* npz: no more is unpacked than the cap. */
#include "data/npz.h"
#include "fuzz.h"

enum { CAP = 1 << 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"images", "labels"};
    drmad_ctx *ctx = drmad_ctx_new(NULL, NULL);
    const blob b = {.name = "input", .at = data, .size = size};
    volatile uint8_t sum = 0;
    array out[2];
    size_t bytes;

    if (!ctx) return 0;
    if (npz_parse(ctx, &b, CAP, names, 2, out) == DRMAD_OK) {
        for (int i = 0; i < 2; i++) {
            if (!shape_bytes(&out[i].shape, out[i].dtype, &bytes) || bytes > 8 * CAP) abort();
            for (size_t k = 0; k < bytes; k++)
                sum = (uint8_t)(sum + ((const uint8_t *)out[i].data)[k]);
            array_free(ctx, &out[i]);
        }
    } else if (drmad_errmsg(ctx)[0] == '\0') {
        abort(); /* a failure without a message */
    }
    drmad_ctx_free(ctx);
    return 0;
}
