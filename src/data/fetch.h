/* Downloading a known dataset, on request only. */
#ifndef FETCH_H
#define FETCH_H
#include "base/base.h"

/* Puts the files of `name` ("mnist") into `dir`, which is made when absent. A file that is there
 * and right is left alone; every other one is downloaded from a mirror, unpacked, compared with
 * its SHA-256, and only then written. DRMAD_E_AGAIN: no mirror could be reached. DRMAD_E_DATA:
 * what came was not the file. Nothing partial is left. */
drmad_status data_fetch(drmad_ctx *ctx, const char *name, const char *dir);

/* Inside, for tests: mirrors and protocols ("https", "file,http") of choice. */
typedef struct fetch_from {
    const char *const *mirrors; /* base URLs, each ending with / */
    size_t n;
    const char *protocols;
} fetch_from;
drmad_status fetch_mnist(drmad_ctx *ctx, const fetch_from *from, const char *dir);
#endif
