/* CIFAR's records, both kinds: labels inside the classes, as many rows as records. */
#include "data/cifar.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    drmad_ctx *ctx = drmad_ctx_new(NULL, NULL);
    const blob b = {.name = "input", .at = data, .size = size};
    array rows, labels;

    if (!ctx) return 0;
    for (int hundred = 0; hundred < 2; hundred++) {
        cifar_empty(&rows, &labels);
        if (cifar_parse(ctx, &b, hundred, &rows, &labels) == DRMAD_OK) {
            const int64_t n = rows.shape.dim[0];
            if (n * (3073 + hundred) != (int64_t)size || labels.shape.dim[0] != n) abort();
            for (int64_t i = 0; i < n; i++)
                if (((int32_t *)labels.data)[i] >= (hundred ? 100 : 10)) abort();
        } else if (drmad_errmsg(ctx)[0] == '\0') {
            abort(); /* a failure without a message */
        }
        array_free(ctx, &rows);
        array_free(ctx, &labels);
    }
    drmad_ctx_free(ctx);
    return 0;
}
