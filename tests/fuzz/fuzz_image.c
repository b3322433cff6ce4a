/* A picture: whatever the bytes are, decoding ends, in bounded memory; what is accepted fills every
 * pixel of the square. */
#include "data/image.h"
#include "fuzz.h"

enum { SIDE = 16, PIXELS_ENOUGH = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    drmad_ctx *ctx = drmad_ctx_new(NULL, NULL);
    const blob b = {.name = "input", .at = data, .size = size};
    uint8_t out[SIDE * SIDE * IMAGE_CHANNELS];
    image_reader *r = NULL;
    image_work *w = NULL;
    image_size s;

    if (!ctx || image_reader_new(ctx, &r) != DRMAD_OK || image_work_new(ctx, r, &w) != DRMAD_OK)
        abort();
    if (image_begin(w, &b, &s) == DRMAD_OK && s.width < PIXELS_ENOUGH / s.height) {
        const image_box all = {0, 0, s.width, s.height},
                        part = {s.width / 3, s.height / 4, (s.width + 1) / 2, (s.height + 1) / 2};
        volatile uint8_t sum = 0;
        if (image_finish(w, &all, false, SIDE, out) == DRMAD_OK)
            for (size_t i = 0; i < sizeof out; i++) sum = (uint8_t)(sum + out[i]);
        if (image_begin(w, &b, &s) != DRMAD_OK) abort(); /* it did before */
        if (image_finish(w, &part, true, 3, out) != DRMAD_OK && drmad_errmsg(ctx)[0] == '\0')
            abort();
    }
    image_work_free(w);
    image_reader_free(ctx, r);
    drmad_ctx_free(ctx);
    return 0;
}
