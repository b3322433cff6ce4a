/* Whole files: read under a byte cap, written so that a final name never holds half a file.
 *
 *   file_out *f = NULL;
 *   TRY(file_out_open(ctx, path, FILE_PUBLIC, &f));
 *   TRY(file_out_write(f, data, size));            as often as needed
 *   TRY(file_out_commit(f));                       now, and only now, `path` is the new file
 * done:
 *   file_out_close(f);                             without a commit: nothing is left behind
 *
 * The bytes go to a new file of a random name in the same folder, which is synced, renamed over
 * `path`, and the folder synced. Failures: DRMAD_E_OUTPUT when the folder cannot be used (absent,
 * read-only, no permission), DRMAD_E_IO when the device fails or is full. A failed sync is never
 * tried again. */
#ifndef FILE_H
#define FILE_H
#include "base/base.h"

enum { FILE_PUBLIC = 0644, FILE_PRIVATE = 0600 }; /* the mode of a new file, less the umask */

typedef struct file_out file_out;
drmad_status file_out_open(drmad_ctx *ctx, const char *path, unsigned mode, file_out **out);
drmad_status file_out_write(file_out *f, const void *data, size_t size);
drmad_status file_out_commit(file_out *f);
void file_out_close(file_out *f); /* NULL is fine */

/* The four calls above for bytes that lie in one piece. */
drmad_status file_write_atomic(drmad_ctx *ctx, const char *path, const void *data, size_t size);

/* Gives *out, `*size` bytes and a 0 behind them (mem_free it). Regular files only; more than `cap`
 * bytes is DRMAD_E_DATA before any allocation, a file that cannot be read DRMAD_E_IO. */
drmad_status file_read_all(drmad_ctx *ctx, const char *path, size_t cap, char **out, size_t *size);

/* Makes `path` and the folders above it; one that exists is fine. DRMAD_E_OUTPUT when it cannot. */
drmad_status file_make_folder(drmad_ctx *ctx, const char *path);

/* Fails with DRMAD_E_OUTPUT unless `path` is a folder in which files can be made. */
drmad_status file_check_folder(drmad_ctx *ctx, const char *path);
#endif
