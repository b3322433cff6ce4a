/* The unnamed file. Short transfers and interrupted calls go on; anything else is DRMAD_E_IO
 * with the folder's name. */
#include "train/traj_spill.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void spill_none(spill *s)
{
    *s = (spill){.fd = -1};
}

drmad_status spill_open(drmad_ctx *ctx, const char *dir, spill *s)
{
    char path[sizeof s->dir + 32];

    if (strlen(dir) >= sizeof s->dir)
        return FAIL(ctx, DRMAD_E_IO, "spill folder: name of %zu bytes, expected less than %zu",
                    strlen(dir), sizeof s->dir);
    snprintf(s->dir, sizeof s->dir, "%s", dir);
    snprintf(path, sizeof path, "%s/drmad-spill-XXXXXX", s->dir);
    s->fd = mkostemp(path, O_CLOEXEC);
    if (s->fd < 0) return FAIL(ctx, DRMAD_E_IO, "spill folder %s: %s", dir, strerror(errno));
    unlink(path);
    return DRMAD_OK;
}

void spill_close(spill *s)
{
    if (s->fd >= 0) close(s->fd);
    s->fd = -1;
}

drmad_status spill_write(drmad_ctx *ctx, const spill *s, const void *data, size_t bytes,
                         uint64_t at)
{
    const char *from = data;

    while (bytes > 0) {
        ssize_t n = pwrite(s->fd, from, bytes, (off_t)at);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0)
            return FAIL(ctx, DRMAD_E_IO, "spill folder %s: %zu bytes at %llu not written: %s",
                        s->dir, bytes, (unsigned long long)at,
                        n < 0 ? strerror(errno) : "nothing was taken");
        from += n, at += (uint64_t)n, bytes -= (size_t)n;
    }
    return DRMAD_OK;
}

drmad_status spill_read(drmad_ctx *ctx, const spill *s, void *data, size_t bytes, uint64_t at)
{
    char *to = data;

    while (bytes > 0) {
        ssize_t n = pread(s->fd, to, bytes, (off_t)at);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0)
            return FAIL(ctx, DRMAD_E_IO, "spill folder %s: %zu bytes at %llu not read: %s", s->dir,
                        bytes, (unsigned long long)at,
                        n < 0 ? strerror(errno) : "the file ends before them");
        to += n, at += (uint64_t)n, bytes -= (size_t)n;
    }
    return DRMAD_OK;
}
