#include "kernel_fixture.h"
#include "gpu_driver.h"

bool kx_has(dtype t, gpu_kernel k)
{
    static const bool f32_alone[GPU_KERNELS] = {
#define KERNEL(name) false,
#define KERNEL_F32(name) true,
#include "exec/cuda/kernel/kernels.def"
#undef KERNEL
    };

    return t == F32 || !f32_alone[k];
}

void kx_open(kx *x, dtype t, uint64_t seed)
{
    *x = (kx){.ctx = test_ctx(), .type = t, .seed = seed};
    CHECK_OK(x->ctx, gpu_test_driver()->open(x->ctx, 0, &x->g));
}

void kx_close(kx *x)
{
    gpu_test_driver()->close(x->g);
}

int64_t kx_below(kx *x, int64_t n)
{
    return (int64_t)rng_below((rng_key){x->seed, 0, 1}, x->drawn++, (uint64_t)n);
}

void *kx_new(kx *x, size_t bytes)
{
    void *p = NULL;

    CHECK_OK(x->ctx, gpu_test_driver()->alloc(x->g, x->ctx, bytes, &p));
    return p;
}

void *kx_up(kx *x, const void *data, size_t bytes)
{
    void *p = kx_new(x, bytes);

    if (bytes) CHECK_OK(x->ctx, gpu_test_driver()->copy(x->g, x->ctx, COPY_UP, p, data, bytes));
    return p;
}

void *kx_numbers(kx *x, int64_t n, double **values)
{
    const size_t bytes = (size_t)n * dtype_size(x->type);
    double *v = *values = malloc(((size_t)n + 1) * sizeof *v);
    void *data = malloc(bytes + 1);

    for (int64_t i = 0; i < n; i++) {
        dtype_put(x->type, data, i, 2 * rng_uniform((rng_key){x->seed, 0, 0}, x->drawn++) - 1);
        v[i] = dtype_get(x->type, data, i);
    }
    void *p = kx_up(x, data, bytes);
    free(data);
    return p;
}

int32_t *kx_indices(kx *x, int64_t n, int64_t below, int32_t **values)
{
    int32_t *v = *values = malloc(((size_t)n + 1) * sizeof *v);

    for (int64_t i = 0; i < n; i++) v[i] = (int32_t)kx_below(x, below);
    return kx_up(x, v, (size_t)n * sizeof *v);
}

void kx_down(kx *x, void *to, const void *from, size_t bytes)
{
    if (bytes) CHECK_OK(x->ctx, gpu_test_driver()->copy(x->g, x->ctx, COPY_DOWN, to, from, bytes));
}

void kx_call(kx *x, gpu_kernel k, const void *args, size_t bytes)
{
    const iota_args other = {.y = kx_new(x, 4), .count = 1, .inner = 1, .dim = 1, .to = F32};
    gpu_call c[2] = {{.kernel = k, .type = x->type}, {.kernel = GPU_iota, .type = F32, .wave = 1}};
    const gpu_transfer none = {0};
    gpu_program *p = NULL;

    memcpy(c[0].args, args, bytes);
    memcpy(c[1].args, &other, sizeof other);
    for (int i = 0; i < 2; i++) gpu_geometry(&c[i]);
    CHECK_OK(x->ctx, gpu_test_driver()->record(x->g, x->ctx, c, 2, &none, &none, &p));
    CHECK_OK(x->ctx, gpu_test_driver()->run(x->g, x->ctx, p));
    gpu_test_driver()->forget(x->g, p);
}

void kx_compare(kx *x, const char *what, const void *got, const double *want, int64_t n, double tol)
{
    const size_t bytes = (size_t)n * dtype_size(x->type);
    void *y = malloc(bytes + 1);
    double most = 1e-3;

    kx_down(x, y, got, bytes);
    for (int64_t i = 0; i < n; i++) most = fabs(want[i]) > most ? fabs(want[i]) : most;
    for (int64_t i = 0; i < n; i++) {
        const double v = dtype_get(x->type, y, i);
        if (fabs(v - want[i]) <= tol * most || v == want[i] || (isnan(v) && isnan(want[i])))
            continue;
        test_fail(__FILE__, __LINE__, "%s %s: element %lld of %lld = %.9g, expected %.9g", what,
                  dtype_name(x->type), (long long)i, (long long)n, v, want[i]);
        break;
    }
    free(y);
}
