/* Products by tiles: included for each type and each size of tile, with REAL, TILED(name) and
 *
 *   TM, TN   elements of a thread, TM rows and TN columns; powers of two
 *   DOWN     threads of a column of a tile; GPU_THREADS / DOWN are in a row
 *   STEP     k's of a step
 *
 * defined. No guard.
 *
 * A block computes a tile and goes along k in steps: while one step's operands are multiplied out
 * of shared memory, each thread fetches its part of the next (body_lane.h) and leaves it in the
 * other half. Steps are phases, so there is one barrier a step. A warp has 4 rows of threads and 8
 * columns, so that it reads few different vectors, each for several threads. */

#define ACROSS (GPU_THREADS / DOWN)
#define EDGE_M (DOWN * TM)
#define EDGE_N (ACROSS * TN)
enum {
    TILED(tile_m) = EDGE_M, /* for those who count blocks */
    TILED(tile_n) = EDGE_N,
    TILED(each_a) = EDGE_M * STEP / GPU_THREADS, /* elements that a thread fetches a step */
    TILED(each_b) = EDGE_N * STEP / GPU_THREADS,
    TILED(run_m) = TM < 4 ? TM : 4, /* neighbouring elements of a thread */
    TILED(run_n) = TN < 4 ? TN : 4,
    TILED(at_once) = TM * TN < 64 ? 8 : 2 /* k's that are written out: as registers allow */
};

typedef struct TILED(tile) {
    REAL acc[TM][TN], a[TILED(each_a)], b[TILED(each_b)];
    int32_t terms;                      /* k's of this share */
    int32_t from_a, from_b, to_a, to_b; /* where the thread reads and stores in a step of its own */
} TILED(tile);

typedef struct TILED(tile_shared) {
    REAL a[2][STEP][EDGE_M], b[2][STEP][EDGE_N];
} BODY_ALIGN(16) TILED(tile_shared);

GPU_BODY gpu_lane TILED(lane_a)(bool along)
{
    const gpu_lane l = {EDGE_M, TILED(each_a), along};

    return l;
}

GPU_BODY gpu_lane TILED(lane_b)(bool along)
{
    const gpu_lane l = {EDGE_N, TILED(each_b), along};

    return l;
}

/* Row and column of a thread among the threads. Threads that differ in the last bit read the same
 * of b, all 16 of half a warp the columns of one row of 8. */
GPU_BODY int32_t TILED(down_of)(int32_t thread)
{
    return lane_div(thread, 4 * ACROSS) * 4 + lane_mod(thread, 32) / 16 * 2 + lane_mod(thread, 2);
}

GPU_BODY int32_t TILED(across_of)(int32_t thread)
{
    return lane_mod(lane_div(thread, 32), ACROSS / 8) * 8 + lane_mod(thread, 16) / 2;
}

/* Row i of a thread's TM in the tile: runs of 4, so that threads side by side read side by side. */
GPU_BODY int32_t TILED(row_of)(int32_t thread, int32_t i)
{
    const int32_t run = TILED(run_m);

    return i / run * DOWN * run + TILED(down_of)(thread) * run + i % run;
}

GPU_BODY int32_t TILED(col_of)(int32_t thread, int32_t j)
{
    const int32_t run = TILED(run_n);

    return j / run * ACROSS * run + TILED(across_of)(thread) * run + j % run;
}

/* Which operand is fetched along k, and where the thread does its part. */
GPU_BODY void TILED(tile_places)(TILED(tile) * s, int32_t thread, bool along_a, bool along_b)
{
    s->from_a = TILED(row_of)(thread, 0), s->from_b = TILED(col_of)(thread, 0);
    s->to_a = lane_place(TILED(lane_a)(along_a), thread);
    s->to_b = lane_place(TILED(lane_b)(along_b), thread);
}

/* What a block computes: of product `which`, the elements from (row, col) on, k's from k to end. */
typedef struct TILED(tile_part) {
    int32_t which, share, row, col, k, end;
} TILED(tile_part);

GPU_BODY TILED(tile_part)
    TILED(part_of)(int32_t block, int64_t m, int64_t n, int64_t k, int64_t k_each)
{
    const int32_t down = (int32_t)((m + EDGE_M - 1) / EDGE_M);
    const int32_t across = (int32_t)((n + EDGE_N - 1) / EDGE_N);
    const int32_t shares = (int32_t)(k > k_each ? (k + k_each - 1) / k_each : 1);
    const int32_t line = block / across, square = line / down;
    TILED(tile_part) p;

    p.col = block % across * EDGE_N, p.row = line % down * EDGE_M;
    p.share = square % shares, p.which = square / shares;
    const int64_t from = p.share * k_each, end = from + k_each;
    p.k = (int32_t)from, p.end = (int32_t)(end < k ? end : k);
    return p;
}

/* Does step number `step` exist? */
GPU_BODY bool TILED(has_step)(const TILED(tile) * s, int32_t step)
{
    return step * STEP < s->terms;
}

/* One k: row k of the step's operands. */
GPU_BODY void TILED(tile_add)(TILED(tile) * s, const REAL *row_a, const REAL *row_b)
{
    REAL a[TM], b[TN];

    UNROLL
    for (int32_t i = 0; i < TM; i += TILED(run_m))
        TYPED(get_run)(a + i, row_a + i * DOWN, TILED(run_m));
    UNROLL
    for (int32_t j = 0; j < TN; j += TILED(run_n))
        TYPED(get_run)(b + j, row_b + j * ACROSS, TILED(run_n));
    UNROLL
    for (int32_t i = 0; i < TM; i++) {
        UNROLL
        for (int32_t j = 0; j < TN; j++) s->acc[i][j] = MULTIPLY_ADD(a[i], b[j], s->acc[i][j]);
    }
}

/* Step number `step`, without what is behind the share's end; 8 k's have the same swaps. */
GPU_BODY void TILED(tile_multiply)(TILED(tile) * s, const TILED(tile_shared) * from, int32_t step)
{
    const gpu_lane a = TILED(lane_a)(false), b = TILED(lane_b)(false);
    const int32_t left = s->terms - step * STEP, end = left < STEP ? left : STEP;

    UNROLL_BY(1)
    for (int32_t at = 0; at < end; at += 8) {
        const REAL *rows_a = from->a[step & 1][at], *rows_b = from->b[step & 1][at];
        const int32_t from_a = s->from_a ^ lane_swap(a, at), from_b = s->from_b ^ lane_swap(b, at);
        UNROLL_BY(1)
        for (int32_t first = 0; first < 8; first += TILED(at_once)) {
            UNROLL
            for (int32_t k = 0; k < TILED(at_once); k++) TILED(tile_add)
            (s, rows_a + k * EDGE_M + (from_a ^ lane_swap(a, k)),
             rows_b + k * EDGE_N + (from_b ^ lane_swap(b, k)));
            rows_a += TILED(at_once) * EDGE_M, rows_b += TILED(at_once) * EDGE_N;
        }
    }
}

GPU_BODY void TILED(store_a)(const TILED(tile) * s, TILED(tile_shared) * to, int32_t step,
                             bool along)
{
    TYPED(lane_put)(to->a[step & 1][0], s->a, TILED(lane_a)(along), s->to_a);
}

GPU_BODY void TILED(store_b)(const TILED(tile) * s, TILED(tile_shared) * to, int32_t step,
                             bool along)
{
    TYPED(lane_put)(to->b[step & 1][0], s->b, TILED(lane_b)(along), s->to_b);
}

/* Row i of a thread goes to to[col], or is added to it; col: of the tile. */
GPU_BODY void TILED(tile_write_row)(const TILED(tile) * s, int32_t i, TYPED(tile_to) to,
                                    int32_t col, int32_t thread)
{
    const int32_t run = TILED(run_n);

    UNROLL
    for (int32_t j = 0; j < TN; j += run) {
        const int32_t at = col + TILED(col_of)(thread, j);
        REAL sum[TILED(run_n)];
        UNROLL
        for (int32_t k = 0; k < run; k++) sum[k] = 0;
        if (to.add) TYPED(load_run)(sum, to.at + at, run, to.cols - at, to.wide);
        UNROLL
        for (int32_t k = 0; k < run; k++) sum[k] += s->acc[i][j + k];
        TYPED(store_run)(to.at + at, sum, run, to.cols - at, to.wide);
    }
}

/* The tile of a matrix of `rows` rows, which are `step` apart. */
GPU_BODY void TILED(tile_write)(const TILED(tile) * s, const TILED(tile_part) * p,
                                TYPED(tile_to) to, int64_t rows, int64_t step, int32_t thread)
{
    REAL *const first = to.at;

    to.wide = TYPED(is_wide)(first, step, TILED(run_n));
    UNROLL
    for (int32_t i = 0; i < TM; i++) {
        const int64_t row = p->row + TILED(row_of)(thread, i);
        to.at = first + row * step;
        if (row < rows) TILED(tile_write_row)(s, i, to, p->col, thread);
    }
}

/* ---- matmul ---- */

typedef struct BODY_STATE(TILED(matmul)) {
    TILED(tile) t;
    const REAL *a, *b;      /* the loader's first element of the next step */
    int32_t left_a, left_b; /* elements of k from there on; none where row or column do not exist */
    int32_t more_a, more_b; /* across: rows, columns from there on */
    int32_t step_a, step_b; /* from one k to the next */
    bool wide_a, wide_b;
} BODY_STATE(TILED(matmul));

GPU_BODY void TILED(matmul_begin)(const matmul_args *x, gpu_thread t, BODY_STATE(TILED(matmul)) * s)
{
    const gpu_lane a = TILED(lane_a)(!x->ta), b = TILED(lane_b)(x->tb);
    const TILED(tile_part) p = TILED(part_of)(t.block, x->m, x->n, x->k, x->k_each);
    TILED(tile_places)(&s->t, t.thread, a.along, b.along);
    const int32_t row = p.row + lane_of(a, t.thread), col = p.col + lane_of(b, t.thread);
    const int32_t ka = p.k + lane_k(a, t.thread), kb = p.k + lane_k(b, t.thread);

    s->t.terms = p.end - p.k;
    s->more_a = (int32_t)x->m - row, s->more_b = (int32_t)x->n - col;
    s->left_a = s->more_a > 0 ? p.end - ka : 0;
    s->left_b = s->more_b > 0 ? p.end - kb : 0;
    s->a = (const REAL *)x->a + p.which * x->a_step;
    s->b = (const REAL *)x->b + p.which * x->b_step;
    s->wide_a = TYPED(is_wide)(s->a, x->lda, a.along ? a.n : lane_run(a));
    s->wide_b = TYPED(is_wide)(s->b, x->ldb, b.along ? b.n : lane_run(b));
    s->a += a.along ? row * x->lda + ka : ka * x->lda + row;
    s->b += b.along ? col * x->ldb + kb : kb * x->ldb + col;
    s->step_a = a.along ? 1 : (int32_t)x->lda, s->step_b = b.along ? 1 : (int32_t)x->ldb;
}

GPU_BODY void TILED(matmul_load_a)(const matmul_args *x, BODY_STATE(TILED(matmul)) * s)
{
    const gpu_lane a = TILED(lane_a)(false);

    if (!x->ta) TYPED(load_run)(s->t.a, s->a, a.n, s->left_a, s->wide_a);
    else TYPED(load_across)(s->t.a, s->a, a, s->left_a, s->more_a, s->step_a, s->wide_a);
    s->left_a -= STEP;
    s->a += (int64_t)s->step_a * STEP;
}

GPU_BODY void TILED(matmul_load_b)(const matmul_args *x, BODY_STATE(TILED(matmul)) * s)
{
    const gpu_lane b = TILED(lane_b)(false);

    if (x->tb) TYPED(load_run)(s->t.b, s->b, b.n, s->left_b, s->wide_b);
    else TYPED(load_across)(s->t.b, s->b, b, s->left_b, s->more_b, s->step_b, s->wide_b);
    s->left_b -= STEP;
    s->b += (int64_t)s->step_b * STEP;
}

GPU_BODY void TILED(matmul_write)(const matmul_args *x, gpu_thread t, const TILED(tile) * s)
{
    const TILED(tile_part) p = TILED(part_of)(t.block, x->m, x->n, x->k, x->k_each);
    const TYPED(tile_to) to = {(REAL *)x->c + p.which * x->c_step + p.share * x->share_step,
                               (int32_t)x->n, x->accumulate, false};

    TILED(tile_write)(s, &p, to, x->m, x->ldc, t.thread);
}

GPU_BODY bool TILED(matmul)(const matmul_args *x, gpu_thread t, BODY_STATE(TILED(matmul)) * s,
                            void *shared, int phase)
{
    TILED(tile_shared) *tile = (TILED(tile_shared) *)shared;

    if (phase == 0) TILED(matmul_begin)(x, t, s);
    const bool more = TILED(has_step)(&s->t, phase);
    if (more) {
        TILED(matmul_load_a)(x, s);
        TILED(matmul_load_b)(x, s);
    }
    if (phase > 0) TILED(tile_multiply)(&s->t, tile, phase - 1);
    if (more) {
        TILED(store_a)(&s->t, tile, phase, !x->ta);
        TILED(store_b)(&s->t, tile, phase, x->tb);
    } else TILED(matmul_write)(x, t, &s->t);
    return more;
}
