/* Runs of neighbouring elements, 16 bytes at once where they lie so. No guard. */

enum { TYPED(vector_length) = 16 / sizeof(REAL) };

typedef struct TYPED(vector) {
    REAL v[16 / sizeof(REAL)];
} BODY_ALIGN(16) TYPED(vector);

/* May runs that begin a multiple of `step` elements behind `at` be moved so? */
GPU_BODY bool TYPED(is_wide)(const REAL *at, int64_t step)
{
    return (uintptr_t)at % 16 == 0 && step % TYPED(vector_length) == 0;
}

/* n elements, a constant; those behind the first `left` are 0, and are not read. */
GPU_BODY void TYPED(load_run)(REAL *to, const REAL *from, int32_t n, int64_t left, bool wide)
{
    const int32_t length = TYPED(vector_length);

    if (wide && n % length == 0 && left >= n) {
        UNROLL
        for (int32_t i = 0; i < n; i += length) {
            const TYPED(vector) v = *(const TYPED(vector) *)(const void *)(from + i);
            UNROLL
            for (int32_t j = 0; j < length; j++) to[i + j] = v.v[j];
        }
    } else {
        UNROLL
        for (int32_t i = 0; i < n; i++) to[i] = i < left ? from[i] : 0;
    }
}

GPU_BODY void TYPED(store_run)(REAL *to, const REAL *from, int32_t n, int64_t left, bool wide)
{
    const int32_t length = TYPED(vector_length);

    if (wide && n % length == 0 && left >= n) {
        UNROLL
        for (int32_t i = 0; i < n; i += length) {
            TYPED(vector) v;
            UNROLL
            for (int32_t j = 0; j < length; j++) v.v[j] = from[i + j];
            *(TYPED(vector) *)(void *)(to + i) = v;
        }
    } else {
        UNROLL
        for (int32_t i = 0; i < n; i++)
            if (i < left) to[i] = from[i];
    }
}
