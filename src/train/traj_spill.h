/* A file without a name for what does not fit into memory; the system takes it back when the
 * process ends, however that happens. Inside room train only. */
#ifndef TRAJ_SPILL_H
#define TRAJ_SPILL_H
#include "base/base.h"

typedef struct spill {
    int fd;        /* -1 = none */
    char dir[512]; /* for messages */
} spill;

void spill_none(spill *s);
drmad_status spill_open(drmad_ctx *ctx, const char *dir, spill *s);
void spill_close(spill *s);
drmad_status spill_write(drmad_ctx *ctx, const spill *s, const void *data, size_t bytes,
                         uint64_t at);
drmad_status spill_read(drmad_ctx *ctx, const spill *s, void *data, size_t bytes, uint64_t at);
#endif
