/* A device for tests that takes host addresses too (backend.mixed): the CPU backend behind
 * addresses that nobody else can touch; what travels is counted. Its results are the CPU's to the
 * bit. */
#ifndef MIXED_DEVICE_H
#define MIXED_DEVICE_H
#include "exec/backend.h"
#include "test.h"

enum { MIXED_BYTES = 64 << 20 };

/* Between host and device: with runs as leaves and outputs in host memory, and by copies. */
typedef struct traffic {
    int64_t moved; /* addresses of leaves and outputs on the device that were others before */
    int64_t waits; /* times the host waited for a run */
    int64_t runs, up, down;                 /* bytes of leaves and outputs */
    int64_t copies, copied_up, copied_down; /* of copies in either direction; bytes */
    int64_t largest;                        /* bytes of the largest leaf or output */
} traffic;

typedef struct mixed_device {
    backend on;   /* first */
    char *memory; /* addresses alone: who touches them faults */
    char *real;
    size_t used;
    size_t refused;       /* no room for so many bytes; 0: there is */
    int32_t live;         /* allocations not given back */
    int64_t fail_copy_at; /* that copy fails; -1: none */
    int64_t calls;
    traffic seen;
} mixed_device;

void mixed_open(mixed_device *d);
void mixed_close(mixed_device *d);
void *mixed_real(const mixed_device *d, const void *memory); /* where it can be touched */
void mixed_passes(backend *on);                              /* gives a mixed_device's its passes */
#endif
