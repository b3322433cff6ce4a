/* libdrmad_cuda_host.so: the host driver behind the door of libdrmad_cuda.so, for whole studies
 * with `device: cuda` on machines without a GPU: DRMAD_CUDA_LIBRARY=.../libdrmad_cuda_host.so.
 *
 * As on a GPU, all trials of a process share one memory, of DRMAD_HOST_MEMORY bytes where that is
 * set; and with DRMAD_HOST_LOST=N it is lost to all of them after N runs of programs. */
#include "exec/cuda/gpu.h"
#include <pthread.h>
#include <stdlib.h>

/* libdrmad_cuda_other.so: as of another build. */
#ifdef OTHER_BUILD
static const gpu_driver driver = {.version = GPU_DRIVER_VERSION + 1};
#else

typedef struct taken {
    struct taken *next;
    void *at;
    size_t bytes;
} taken;

static struct {
    pthread_mutex_t lock;
    taken *first;
    size_t used;
    long runs;
} device = {.lock = PTHREAD_MUTEX_INITIALIZER};

static size_t number(const char *name)
{
    const char *text = getenv(name);

    return text ? strtoull(text, NULL, 10) : 0;
}

static size_t memory_left(void)
{
    const size_t all = number("DRMAD_HOST_MEMORY");

    if (all == 0) return SIZE_MAX;
    return all > device.used ? all - device.used : 0;
}

static drmad_status take(gpu *g, drmad_ctx *ctx, size_t bytes, void **out)
{
    drmad_status st = DRMAD_OK;
    taken *t = malloc(sizeof *t);

    pthread_mutex_lock(&device.lock);
    *out = NULL;
    if (bytes > memory_left())
        st = FAIL(ctx, DRMAD_E_NOMEM, "GPU 0 (host) is out of memory at a piece of %zu bytes",
                  bytes);
    else st = gpu_host_driver.alloc(g, ctx, bytes, out);
    if (*out) {
        *t = (taken){device.first, *out, bytes};
        device.first = t;
        device.used += bytes;
    } else {
        free(t);
    }
    pthread_mutex_unlock(&device.lock);
    return st;
}

static void give(gpu *g, void *memory)
{
    taken **at = &device.first;

    if (!memory) return;
    pthread_mutex_lock(&device.lock);
    while ((*at)->at != memory) at = &(*at)->next;
    taken *t = *at;
    *at = t->next;
    device.used -= t->bytes;
    free(t);
    gpu_host_driver.free(g, memory);
    pthread_mutex_unlock(&device.lock);
}

static drmad_status tell(gpu *g, gpu_info *out)
{
    const drmad_status st = gpu_host_driver.info(g, out);

    pthread_mutex_lock(&device.lock);
    if (number("DRMAD_HOST_MEMORY")) {
        out->memory = number("DRMAD_HOST_MEMORY");
        out->free = memory_left();
    }
    pthread_mutex_unlock(&device.lock);
    return st;
}

static drmad_status run(gpu *g, drmad_ctx *ctx, gpu_program *p)
{
    const long most = (long)number("DRMAD_HOST_LOST");

    pthread_mutex_lock(&device.lock);
    const bool lost = most > 0 && ++device.runs > most;
    pthread_mutex_unlock(&device.lock);
    if (lost) return FAIL(ctx, DRMAD_E_IO, "GPU 0 (host) failed at starting a program: lost");
    return gpu_host_driver.run(g, ctx, p);
}

static gpu_driver driver;
#endif

DRMAD_API drmad_cuda_driver_fn drmad_cuda_driver;

const gpu_driver *drmad_cuda_driver(void)
{
#ifndef OTHER_BUILD
    pthread_mutex_lock(&device.lock);
    driver = gpu_host_driver;
    driver.alloc = take, driver.free = give, driver.info = tell, driver.run = run;
    pthread_mutex_unlock(&device.lock);
#endif
    return &driver;
}
