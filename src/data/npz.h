/* npz: npy files in a zip archive, as numpy.savez and numpy.savez_compressed write it. */
#ifndef NPZ_H
#define NPZ_H
#include "data/array.h"

/* Gives out[i] (array_free it) for the `n` arrays `name` of the file at `path`; a NULL name gives
 * none. At most `cap` bytes are unpacked, of all of them together (beyond: DRMAD_E_UNSAFE); memory
 * follows the bytes that are really there. Only the members that are asked for are unpacked, and
 * nothing is written. A missing name is DRMAD_E_DATA with those that are there. DRMAD_E_UNSAFE
 * besides: pickles, an archive of torch.save, links, names that lead out. */
drmad_status npz_read(drmad_ctx *ctx, const char *path, size_t cap, const char *const *name,
                      int32_t n, array *out);
/* The same for bytes in memory. */
drmad_status npz_parse(drmad_ctx *ctx, const blob *file, size_t cap, const char *const *name,
                       int32_t n, array *out);
#endif
