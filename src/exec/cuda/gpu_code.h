/* What backend_cuda.c and gpu_code.c share: a backend over a driver, and the code of a plan. */
#ifndef GPU_CODE_H
#define GPU_CODE_H
#include "exec/cuda/gpu.h"

typedef struct gpu_range {
    const char *start;
    size_t bytes;
} gpu_range;

typedef struct gpu_code gpu_code;

/* Of a backend: the device and what is taken of its memory, by address; and what is put by, in
 * order: runs of `last`, then copies. */
typedef struct gpu_state {
    drmad_ctx *ctx;
    const gpu_driver *d;
    gpu *g;
    gpu_range *range;
    int32_t ranges, room;
    size_t used;    /* bytes of all ranges */
    size_t share;   /* so many at most; 0: what the device has */
    int32_t trials; /* of which this is one: for messages */
    gpu_code *last; /* whose runs were put by last; NULL: nothing is put by */
    carry_table copies;
    drmad_status failed; /* of what could not be told when it was sent */
    char why[256];
} gpu_state;

bool gpu_owns(const gpu_state *s, const void *memory); /* is it the device's? */

/* Gives device memory, zeroed; a backend's all comes from here. DRMAD_E_NOMEM beyond its share. */
drmad_status gpu_take(gpu_state *s, drmad_ctx *ctx, size_t bytes, void **out);
void gpu_give(gpu_state *s, void *memory); /* NULL is fine */
/* The order of work, gpu_order.c: sends what is put by, before anything else touches the device. An
 * error is told there, or by the next send that can tell it. */
drmad_status gpu_send(gpu_state *s);
void gpu_send_untold(gpu_state *s);
/* A backend's copy. Within the device it goes with the next run where it can. */
drmad_status gpu_copy(gpu_state *s, drmad_ctx *ctx, copy_way way, void *to, const void *from,
                      size_t bytes);
/* Adds a piece; false: there is no room for it, or it touches what another moves. */
bool gpu_carry_add(carry_table *t, carry_piece p);

/* A backend's functions for programs. */
drmad_status gpu_code_bind(gpu_state *s, drmad_ctx *ctx, const plan *p, void **out);
drmad_status gpu_code_run(void *code, const bound_memory *m);
drmad_status gpu_code_wait(void *code, int32_t leave);
void gpu_code_release(void *code);
size_t gpu_code_bytes(const void *code);
/* And for passes of the grid: gpu_grid.c. */
drmad_status gpu_pass_new(gpu_state *s, drmad_ctx *ctx, const pass_spec *p, void **out);
drmad_status gpu_pass_run(void *pass, const pass_numbers *n);
drmad_status gpu_pass_block(void *pass, void *out_ptr);
void gpu_pass_free(void *pass); /* NULL is fine */
#endif
