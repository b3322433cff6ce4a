/* Images of noise and labels in a folder of their own, for benchmarks whose time does not depend on
 * what is on them: x.npy and y.npy, NOISE_ROWS of each, bytes. */
#ifndef NOISE_H
#define NOISE_H
#include "base/rng.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NOISE_ROWS = 2048, NOISE_PATH = 64 };

/* An npy file of bytes: noise, or labels below 10. */
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

/* Gives the folder; noise_free removes it. */
static inline void noise_new(char folder[NOISE_PATH], int64_t size, int64_t channels)
{
    char path[NOISE_PATH + 8];

    strcpy(folder, "/tmp/drmad-noise-XXXXXX");
    if (!mkdtemp(folder)) abort();
    snprintf(path, sizeof path, "%s/x.npy", folder);
    noise_write(path, NOISE_ROWS, size, channels);
    snprintf(path, sizeof path, "%s/y.npy", folder);
    noise_write(path, NOISE_ROWS, 0, 0);
}

static inline void noise_free(const char *folder)
{
    char path[NOISE_PATH + 8];

    snprintf(path, sizeof path, "%s/x.npy", folder), unlink(path);
    snprintf(path, sizeof path, "%s/y.npy", folder), unlink(path);
    rmdir(folder);
}
#endif
