/* Products by tiles: included for each type and each size of tile, with REAL, TILED(name), TM and
 * TN defined. No guard.
 *
 * A block has 16 by 16 threads and computes a tile of 16 TM by 16 TN elements, TM by TN a thread.
 * It goes along k in steps of 16: while one step's operands are multiplied out of shared memory,
 * each thread fetches its part of the next, TM elements of a and TN of b, and leaves them in the
 * other half. Steps are phases, so there is one barrier a step. Operands pass through shared memory
 * with k first. Where a loader's k are neighbours in memory a thread takes them in a row ("along"),
 * else neighbouring threads take neighbouring rows or columns ("across"). */

typedef struct TILED(tile) {
    REAL acc[TM][TN], a[TM], b[TN];
    int32_t row, col; /* of the tile's first element */
    int32_t k, end;   /* of this share: where it begins, ends */
    int32_t steps;
} TILED(tile);

typedef struct TILED(tile_shared) {
    REAL a[2][TILE_K][16 * TM + 4], b[2][TILE_K][16 * TN + 4];
} TILED(tile_shared);

enum {
    TILED(groups_m) = TILE_K / TM, /* loader threads of one row of a */
    TILED(groups_n) = TILE_K / TN,
    TILED(run_m) = TM < 4 ? TM : 4, /* neighbouring elements of a thread */
    TILED(run_n) = TN < 4 ? TN : 4
};

/* Row i of a thread's TM in the tile: runs of 4, so that threads side by side read side by side. */
GPU_BODY int32_t TILED(row_of)(int32_t thread, int32_t i)
{
    const int32_t run = TILED(run_m);

    return i / run * 16 * run + thread / 16 * run + i % run;
}

GPU_BODY int32_t TILED(col_of)(int32_t thread, int32_t j)
{
    const int32_t run = TILED(run_n);

    return j / run * 16 * run + thread % 16 * run + j % run;
}

/* The loaders' rows or columns (lane) and their first k. */
GPU_BODY int32_t TILED(lane_a)(int32_t thread, bool along)
{
    return along ? thread / TILED(groups_m) : thread % (16 * TM);
}

GPU_BODY int32_t TILED(k_a)(int32_t thread, bool along)
{
    return along ? thread % TILED(groups_m) * TM : thread / (16 * TM);
}

GPU_BODY int32_t TILED(lane_b)(int32_t thread, bool along)
{
    return along ? thread / TILED(groups_n) : thread % (16 * TN);
}

GPU_BODY int32_t TILED(k_b)(int32_t thread, bool along)
{
    return along ? thread % TILED(groups_n) * TN : thread / (16 * TN);
}

/* The steps from k = from to end. */
GPU_BODY void TILED(tile_steps)(TILED(tile) * s, int64_t from, int64_t end)
{
    s->k = (int32_t)from, s->end = (int32_t)end;
    s->steps = (s->end - s->k + TILE_K - 1) / TILE_K;
}

/* What tile and share a block has, of `batch` products [m, n]; gives the product's number. */
GPU_BODY int32_t TILED(tile_begin)(TILED(tile) * s, int32_t block, int64_t m, int64_t n, int64_t k,
                                   int64_t k_each)
{
    const int32_t down = (int32_t)((m + 16 * TM - 1) / (16 * TM));
    const int32_t across = (int32_t)((n + 16 * TN - 1) / (16 * TN));
    const int32_t shares = (int32_t)(k > k_each ? (k + k_each - 1) / k_each : 1);
    int32_t at = block;

    s->col = at % across * (16 * TN), at /= across;
    s->row = at % down * (16 * TM), at /= down;
    const int64_t from = at % shares * k_each;
    TILED(tile_steps)(s, from, from + k_each < k ? from + k_each : k);
    return at / shares;
}

GPU_BODY void TILED(tile_multiply)(TILED(tile) * s, const TILED(tile_shared) * from, int32_t half,
                                   int32_t thread)
{
    UNROLL_BY(2) /* more, and a large tile does not fit its registers */
    for (int32_t k = 0; k < TILE_K; k++) {
        REAL a[TM], b[TN];
        UNROLL
        for (int32_t i = 0; i < TM; i++) a[i] = from->a[half][k][TILED(row_of)(thread, i)];
        UNROLL
        for (int32_t j = 0; j < TN; j++) b[j] = from->b[half][k][TILED(col_of)(thread, j)];
        UNROLL
        for (int32_t i = 0; i < TM; i++) {
            UNROLL
            for (int32_t j = 0; j < TN; j++) s->acc[i][j] = MULTIPLY_ADD(a[i], b[j], s->acc[i][j]);
        }
    }
}

GPU_BODY void TILED(tile_store)(const TILED(tile) * s, TILED(tile_shared) * to, int32_t half,
                                int32_t thread, bool along_a, bool along_b)
{
    const int32_t la = TILED(lane_a)(thread, along_a), ka = TILED(k_a)(thread, along_a);
    const int32_t lb = TILED(lane_b)(thread, along_b), kb = TILED(k_b)(thread, along_b);

    UNROLL
    for (int32_t i = 0; i < TM; i++)
        to->a[half][ka + i * (along_a ? 1 : TILED(groups_m))][la] = s->a[i];
    UNROLL
    for (int32_t j = 0; j < TN; j++)
        to->b[half][kb + j * (along_b ? 1 : TILED(groups_n))][lb] = s->b[j];
}

/* Row i of a thread goes to c[at[i] + col], or is added to it; at[i] < 0: it does not exist. */
GPU_BODY void TILED(tile_write)(const TILED(tile) * s, REAL *c, const int64_t at[TM], int64_t n,
                                bool wide, bool add, int32_t thread)
{
    const int32_t run = TILED(run_n);

    UNROLL
    for (int32_t i = 0; i < TM; i++) {
        UNROLL
        for (int32_t j = 0; j < TN; j += run) {
            const int64_t col = s->col + TILED(col_of)(thread, j), left = at[i] < 0 ? 0 : n - col;
            REAL *to = c + at[i] + col, sum[TILED(run_n)];
            UNROLL
            for (int32_t k = 0; k < run; k++) sum[k] = 0;
            if (add) TYPED(load_run)(sum, to, run, left, wide);
            UNROLL
            for (int32_t k = 0; k < run; k++) sum[k] += s->acc[i][j + k];
            TYPED(store_run)(to, sum, run, left, wide);
        }
    }
}

/* The tile of a matrix [m, n], whose rows are ldc apart. */
GPU_BODY void TILED(tile_write_rows)(const TILED(tile) * s, REAL *c, int64_t m, int64_t n,
                                     int64_t ldc, bool add, int32_t thread)
{
    int64_t at[TM];

    UNROLL
    for (int32_t i = 0; i < TM; i++) {
        const int64_t row = s->row + TILED(row_of)(thread, i);
        at[i] = row < m ? row * ldc : -1;
    }
    TILED(tile_write)(s, c, at, n, TYPED(is_wide)(c, ldc), add, thread);
}

/* ---- matmul ---- */

typedef struct BODY_STATE(TILED(matmul)) {
    TILED(tile) t;
    const REAL *a, *b; /* the loader's first element of the next step */
    REAL *c;
    int32_t left_a, left_b; /* elements of k from there on; none where row or column do not exist */
    bool wide_a, wide_b;
} BODY_STATE(TILED(matmul));

GPU_BODY void TILED(matmul_begin)(const matmul_args *x, gpu_thread t, BODY_STATE(TILED(matmul)) * s)
{
    const bool along_a = !x->ta, along_b = x->tb;
    const int64_t which = TILED(tile_begin)(&s->t, t.block, x->m, x->n, x->k, x->k_each);
    const int64_t row = s->t.row + TILED(lane_a)(t.thread, along_a);
    const int64_t col = s->t.col + TILED(lane_b)(t.thread, along_b);
    const int64_t ka = s->t.k + TILED(k_a)(t.thread, along_a);
    const int64_t kb = s->t.k + TILED(k_b)(t.thread, along_b);

    s->left_a = row < x->m ? (int32_t)(s->t.end - ka) : 0;
    s->left_b = col < x->n ? (int32_t)(s->t.end - kb) : 0;
    s->a = (const REAL *)x->a + which * x->a_step;
    s->b = (const REAL *)x->b + which * x->b_step;
    s->wide_a = TYPED(is_wide)(s->a, x->lda), s->wide_b = TYPED(is_wide)(s->b, x->ldb);
    s->a += along_a ? row * x->lda + ka : ka * x->lda + row;
    s->b += along_b ? col * x->ldb + kb : kb * x->ldb + col;
    s->c = (REAL *)x->c + which * x->c_step + s->t.k / x->k_each * x->share_step;
}

GPU_BODY void TILED(matmul_load)(const matmul_args *x, BODY_STATE(TILED(matmul)) * s)
{
    if (!x->ta) {
        TYPED(load_run)(s->t.a, s->a, TM, s->left_a, s->wide_a);
    } else {
        UNROLL
        for (int32_t i = 0; i < TM; i++)
            s->t.a[i] = i * TILED(groups_m) < s->left_a ? s->a[i * TILED(groups_m) * x->lda] : 0;
    }
    if (x->tb) {
        TYPED(load_run)(s->t.b, s->b, TN, s->left_b, s->wide_b);
    } else {
        UNROLL
        for (int32_t j = 0; j < TN; j++)
            s->t.b[j] = j * TILED(groups_n) < s->left_b ? s->b[j * TILED(groups_n) * x->ldb] : 0;
    }
    s->left_a -= TILE_K, s->left_b -= TILE_K;
    s->a += TILE_K * (x->ta ? x->lda : 1), s->b += TILE_K * (x->tb ? 1 : x->ldb);
}

GPU_BODY bool TILED(matmul)(const matmul_args *x, gpu_thread t, BODY_STATE(TILED(matmul)) * s,
                            void *shared, int phase)
{
    TILED(tile_shared) *tile = (TILED(tile_shared) *)shared;

    if (phase == 0) TILED(matmul_begin)(x, t, s);
    if (phase < s->t.steps) TILED(matmul_load)(x, s);
    if (phase > 0) TILED(tile_multiply)(&s->t, tile, (phase - 1) & 1, t.thread);
    if (phase < s->t.steps) TILED(tile_store)(&s->t, tile, phase & 1, t.thread, !x->ta, x->tb);
    else TILED(tile_write_rows)(&s->t, s->c, x->m, x->n, x->ldc, x->accumulate, t.thread);
    return phase < s->t.steps;
}
