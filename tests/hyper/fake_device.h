/* A device for tests: memory that faults where the library touches it, and programs read back from
 * their text and computed by the naive evaluator. */
#ifndef FAKE_DEVICE_H
#define FAKE_DEVICE_H
#include "exec/device.h"
#include "sums.h"

enum { FAKE_BYTES = 64 << 20, FAKE_PROGRAMS = 32 };

typedef struct fake_program {
    graph *g;
    int32_t leaf[256]; /* of a leaf in the graph: its number in the text */
    node out[256];
    int32_t outs;
} fake_program;

typedef struct fake_device {
    device d;
    drmad_ctx *ctx; /* of the graphs */
    char *memory;
    size_t used;
    int32_t live;    /* allocations not given back, and programs */
    int64_t vectors; /* copies between host and device of more than one number */
    int64_t numbers; /* of one */
    int64_t runs;
    int32_t fail_copy_at; /* that copy fails; -1: none */
    int32_t copies;
    fake_program program[FAKE_PROGRAMS];
    oracle inner;
} fake_device;

void fake_open(fake_device *f, drmad_ctx *ctx);
void fake_close(fake_device *f);
/* The oracle's functions may touch the device's memory from now on, b's library may not. */
void fake_wrap(fake_device *f, bench *b);
#endif
