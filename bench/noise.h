/* Data whose values do not matter: time does not depend on them. */
#ifndef NOISE_H
#define NOISE_H
#include "base/rng.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* An npy file of bytes: n pictures of noise; size 0: n labels below 10. */
static inline void noise_write(const char *path, int64_t n, int64_t size, int64_t channels)
{
    char dict[128], head[128];
    FILE *f = fopen(path, "wb");
    const int64_t count = size ? n * size * size * channels : n;

    if (!f) abort();
    if (size)
        snprintf(dict, sizeof dict,
                 "{'descr': '|u1', 'fortran_order': False, 'shape': (%d, %d, %d, %d), }", (int)n,
                 (int)size, (int)size, (int)channels);
    else
        snprintf(dict, sizeof dict, "{'descr': '|u1', 'fortran_order': False, 'shape': (%d,), }",
                 (int)n);
    const int length = snprintf(head, sizeof head, "%-117s\n", dict);
    fwrite("\x93NUMPY\1\0", 1, 8, f);
    fputc(length, f), fputc(0, f);
    fwrite(head, 1, (size_t)length, f);
    for (int64_t i = 0; i < count; i++) {
        const uint64_t r = rng_u64((rng_key){3, 0, 0}, (uint64_t)i);
        fputc((int)(size ? r & 255 : r % 10), f);
    }
    fclose(f);
}
#endif
