/* Runs of neighbouring elements, 16 or 8 bytes at once where they lie so. n, how many, is a
 * constant power of two. No guard. */

enum { TYPED(vector_length) = 16 / sizeof(REAL) };

typedef struct TYPED(vector) {
    REAL v[16 / sizeof(REAL)];
} BODY_ALIGN(16) TYPED(vector);

typedef struct TYPED(pair) {
    REAL v[2];
} BODY_ALIGN(8) TYPED(pair);

/* May runs of n that begin a multiple of `step` elements behind `at` be moved so? */
GPU_BODY bool TYPED(is_wide)(const REAL *at, int64_t step, int32_t n)
{
    const int32_t length = n < TYPED(vector_length) ? n : TYPED(vector_length);

    return (uintptr_t)at % (sizeof(REAL) * (uint32_t)length) == 0 && step % length == 0;
}

/* n elements that lie so. */
GPU_BODY void TYPED(get_run)(REAL *to, const REAL *from, int32_t n)
{
    const int32_t length = n < TYPED(vector_length) ? n : TYPED(vector_length);

    UNROLL
    for (int32_t i = 0; i < n; i += length) {
        if (length == TYPED(vector_length)) {
            const TYPED(vector) v = *(const TYPED(vector) *)(const void *)(from + i);
            UNROLL
            for (int32_t j = 0; j < TYPED(vector_length); j++) to[i + j] = v.v[j];
        } else if (length == 2) {
            const TYPED(pair) v = *(const TYPED(pair) *)(const void *)(from + i);
            to[i] = v.v[0], to[i + 1] = v.v[1];
        } else to[i] = from[i];
    }
}

GPU_BODY void TYPED(put_run)(REAL *to, const REAL *from, int32_t n)
{
    const int32_t length = n < TYPED(vector_length) ? n : TYPED(vector_length);

    UNROLL
    for (int32_t i = 0; i < n; i += length) {
        if (length == TYPED(vector_length)) {
            TYPED(vector) v;
            UNROLL
            for (int32_t j = 0; j < TYPED(vector_length); j++) v.v[j] = from[i + j];
            *(TYPED(vector) *)(void *)(to + i) = v;
        } else if (length == 2) {
            const TYPED(pair) v = {{from[i], from[i + 1]}};
            *(TYPED(pair) *)(void *)(to + i) = v;
        } else to[i] = from[i];
    }
}

/* n elements; those behind the first `left` are 0, and are not read. */
GPU_BODY void TYPED(load_run)(REAL *to, const REAL *from, int32_t n, int32_t left, bool wide)
{
    GPU_GLOBAL(from);
    if (wide && left >= n) {
        TYPED(get_run)(to, from, n);
    } else {
        UNROLL
        for (int32_t i = 0; i < n; i++) to[i] = i < left ? from[i] : 0;
    }
}

GPU_BODY void TYPED(store_run)(REAL *to, const REAL *from, int32_t n, int32_t left, bool wide)
{
    GPU_GLOBAL(to);
    if (wide && left >= n) {
        TYPED(put_run)(to, from, n);
    } else {
        UNROLL
        for (int32_t i = 0; i < n; i++)
            if (i < left) to[i] = from[i];
    }
}

/* What a thread fetches across: `left` k's and `more` rows or columns are there, k's are `step`
 * elements apart. */
GPU_BODY void TYPED(load_across)(REAL *to, const REAL *from, gpu_lane l, int32_t left, int32_t more,
                                 int64_t step, bool wide)
{
    UNROLL
    for (int32_t i = 0; i < l.n; i += lane_run(l)) {
        const int32_t k = lane_pass(l, i);
        TYPED(load_run)(to + i, from + k * step, lane_run(l), k < left ? more : 0, wide);
    }
}

/* What a thread has fetched of an operand (body_lane.h) to its place in the step. */
GPU_BODY void TYPED(lane_put)(REAL *to, const REAL *from, gpu_lane l, int32_t place)
{
    if (l.along) {
        UNROLL
        for (int32_t i = 0; i < l.n; i++) to[place + i * l.edge] = from[i];
    } else {
        UNROLL
        for (int32_t i = 0; i < l.n; i += lane_run(l)) {
            const int32_t pass = lane_pass(l, i);
            TYPED(put_run)
            (to + pass * l.edge + (place ^ lane_swap(l, pass)), from + i, lane_run(l));
        }
    }
}

/* Where a tile goes: a row of the result, the first of its `cols` columns. */
typedef struct TYPED(tile_to) {
    REAL *at;
    int32_t cols, add;
    bool wide;
} TYPED(tile_to);
