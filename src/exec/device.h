/* The backend of drmad/device.h: the caller lends the memory and runs the programs, which it gets
 * as text. A plan's groups and offsets are of no use there: only its graph and outputs count. */
#ifndef DEVICE_H
#define DEVICE_H
#include "drmad/device.h"
#include "exec/backend.h"

typedef struct device {
    backend on; /* first: a backend of this kind is one of these */
    drmad_device_alloc_fn *alloc;
    drmad_device_free_fn *free;
    drmad_device_copy_fn *copy;
    drmad_device_compile_fn *compile;
    drmad_device_run_fn *run;
    drmad_device_release_fn *release;
    void *memory_user, *program_user;
} device;

void device_init(device *d); /* fills in d->on */
#endif
