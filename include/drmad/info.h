/* What this build is and what it runs on: recorded in every run folder, shown by
 * `drmad version`. */
#ifndef DRMAD_INFO_H
#define DRMAD_INFO_H
#include "drmad/ctx.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The keys, by number from 0: version, git, compiler, isa, cpu, threads, kernel. NULL past the
 * last. */
DRMAD_API const char *drmad_info_key(int i);

/* Writes the value of `key` into buf (size bytes, always terminated; a longer value is cut). An
 * unknown key is DRMAD_E_USAGE. `threads` is the context's, `isa` the best instruction set
 * of this processor that has kernels. One key more is in no list, as the answer may take a second:
 * `cuda` looks for the first GPU and says which it is, or "none: " and why `device: cuda` would be
 * refused. */
DRMAD_API drmad_status drmad_info(drmad_ctx *ctx, const char *key, char *buf, size_t size);

#ifdef __cplusplus
}
#endif
#endif
