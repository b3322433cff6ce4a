/* What the fuzzers share. A fuzzer is one function over bytes; built with -fsanitize=fuzzer it
 * searches, built with replay.c it reads the files of its corpus and the attacks again, in every
 * `make check`. */
#ifndef FUZZ_H
#define FUZZ_H
#include "data/array.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Parses as an array, gzip undone; a success is read to its last byte, so that sanitizers see all
 * of it. */
static inline int fuzz_array(const uint8_t *data, size_t size)
{
    drmad_ctx *ctx = drmad_ctx_new(NULL, NULL);
    volatile uint8_t sum = 0;
    blob b = {0};
    array a;

    if (!ctx) return 0;
    if (blob_unpack(ctx, "input", data, size, 1 << 20, &b) == DRMAD_OK &&
        array_parse(ctx, &b, &a) == DRMAD_OK) {
        size_t bytes;
        if (!shape_bytes(&a.shape, a.dtype, &bytes)) abort();
        if (bytes > 8 * b.size)
            abort(); /* i8 to i32 at most: never more than the file speaks for */
        for (size_t i = 0; i < bytes; i++) sum = (uint8_t)(sum + ((const uint8_t *)a.data)[i]);
        array_free(ctx, &a);
    } else if (drmad_errmsg(ctx)[0] == '\0') {
        abort(); /* a failure without a message */
    }
    blob_free(ctx, &b);
    drmad_ctx_free(ctx);
    return 0;
}
#endif
