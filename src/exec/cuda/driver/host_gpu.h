/* The host driver's device, and what its files share. */
#ifndef HOST_GPU_H
#define HOST_GPU_H
#include "exec/cuda/driver/gpu_walk.h"

typedef struct piece {
    struct piece *next;
    char *base, *start;  /* of the pages, of what was asked for */
    size_t pages, bytes; /* bytes of the pages without the last, which is the guard; asked for */
    bool device;
} piece;

/* A copy that nobody has waited for. */
typedef struct travel {
    struct travel *next;
    bool down;
    void *to;
    const void *from;
    size_t bytes;
    int64_t after; /* so many runs */
    char was[];    /* its bytes when it began */
} travel;

struct gpu {
    drmad_ctx *ctx;
    piece *first;
    size_t used;
    travel *travels;
    int64_t runs;
    gpu_products products;
    gpu_walk_how how;
};

/* Of gpu.h's table. */
drmad_status host_copy(gpu *g, drmad_ctx *ctx, copy_way way, void *to, const void *from,
                       size_t bytes);
drmad_status host_put(gpu *g, drmad_ctx *ctx, void *to, const void *from, size_t bytes);
drmad_status host_get(gpu *g, drmad_ctx *ctx, void *to, const void *from, size_t bytes);
drmad_status host_got(gpu *g, drmad_ctx *ctx);
drmad_status host_ahead(gpu *g, drmad_ctx *ctx, const gpu_transfer *up); /* of the next run */
/* Those from the host that began before so many runs. */
drmad_status host_travels_end(gpu *g, drmad_ctx *ctx, int64_t runs);
#endif
