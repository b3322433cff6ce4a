/* The loops of resize_loops.h. */
#include "data/resize_loops.h"
#include <string.h>

#define JOIN_(name, isa) name##_##isa
#define JOIN(name, isa) JOIN_(name, isa)

enum { HALF = 1 << (RESIZE_BITS - 1), PIXEL = 3 };

typedef int32_t v4 __attribute__((vector_size(16)));
typedef uint8_t b4 __attribute__((vector_size(4)));

static void rows(const uint8_t *in, size_t stride, const int16_t *w, int32_t taps, int32_t n,
                 uint8_t *out)
{
    for (int32_t i = 0; i < n; i += RESIZE_BLOCK) {
        int32_t sum[RESIZE_BLOCK];

        for (int j = 0; j < RESIZE_BLOCK; j++) sum[j] = HALF;
        for (int32_t k = 0; k < taps; k++) {
            const uint8_t *from = in + (size_t)k * stride + i;
            const int32_t by = w[k];
            for (int j = 0; j < RESIZE_BLOCK; j++) sum[j] += by * from[j];
        }
        for (int j = 0; j < RESIZE_BLOCK; j++) out[i + j] = (uint8_t)(sum[j] >> RESIZE_BITS);
    }
}

static void columns(const uint8_t *in, const resize_tap *tap, const int16_t *w, int32_t n,
                    uint8_t *out)
{
    for (int32_t i = 0; i < n; i++, out += PIXEL) {
        const uint8_t *from = in + (size_t)tap[i].first * PIXEL;
        const int16_t *by = w + tap[i].weight;
        v4 sum = {HALF, HALF, HALF, HALF};

        for (int32_t k = 0; k < tap[i].count; k++, from += PIXEL) {
            b4 pixel;
            memcpy(&pixel, from, sizeof pixel);
            sum += __builtin_convertvector(pixel, v4) * (int32_t)by[k];
        }
        sum >>= RESIZE_BITS;
        for (int c = 0; c < PIXEL; c++) out[c] = (uint8_t)sum[c];
    }
}

const resize_loops JOIN(resize_loops, ISA_SUFFIX) = {rows, columns};
