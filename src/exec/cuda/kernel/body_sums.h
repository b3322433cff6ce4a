/* Sums into few places, in a fixed order: rows by index, the shares of a product. No guard. */

/* ---- scatter: a block a target row and 256 of its columns, or, where there are fewer indices than
 * rows, a block an index: the first of its row, which adds the others of that row too. 256 indices
 * are compared at a time; the next while these are added. ---- */

typedef struct BODY_STATE(TYPED(scatter)) {
    int64_t row; /* target */
    int64_t col;
    REAL sum;
} BODY_STATE(TYPED(scatter));

GPU_BODY bool TYPED(scatter_begin)(const scatter_args *x, gpu_thread t,
                                   BODY_STATE(TYPED(scatter)) * s)
{
    const int64_t pieces = scatter_pieces(x), target = t.block / pieces;

    s->col = t.block % pieces * t.threads + t.thread;
    s->row = x->by_index ? x->index[target] : target;
    if (s->row >= 0 && s->row < x->rows) return true;
    if (x->by_index) bad_index(x->bad, (int32_t)s->row, x->rows);
    return !x->by_index; /* no rows: every index is bad */
}

/* Of indices piece * 256 ...: which are the target's? */
GPU_BODY void TYPED(scatter_compare)(const scatter_args *x, gpu_thread t, int64_t row,
                                     int64_t piece, uint8_t *flag)
{
    const int64_t i = piece * t.threads + t.thread;
    const int32_t index = i < x->n ? x->index[i] : -1;

    flag[t.thread] = i < x->n && index == row;
    if (i < x->n && t.block == 0 && !x->by_index && (index < 0 || index >= x->rows))
        bad_index(x->bad, index, x->rows);
}

/* Adds those of a piece; false: an earlier block has the row. */
GPU_BODY bool TYPED(scatter_add)(const scatter_args *x, gpu_thread t,
                                 BODY_STATE(TYPED(scatter)) * s, int64_t piece, const uint8_t *flag)
{
    const int64_t own = t.block / scatter_pieces(x);

    for (int32_t word = 0; word < t.threads / 4; word++) {
        if (((const uint32_t *)(const void *)flag)[word] == 0) continue;
        for (int32_t j = word * 4; j < word * 4 + 4; j++) {
            const int64_t i = piece * t.threads + j;
            if (!flag[j]) continue;
            if (x->by_index && i < own) return false;
            if (s->col < x->cols) s->sum += ((const REAL *)x->a)[i * x->cols + s->col];
        }
    }
    return true;
}

GPU_BODY bool TYPED(scatter)(const scatter_args *x, gpu_thread t, BODY_STATE(TYPED(scatter)) * s,
                             void *shared, int phase)
{
    const int64_t pieces = (x->n + t.threads - 1) / t.threads;
    uint8_t *flag = (uint8_t *)shared;

    if (phase == 0 && !TYPED(scatter_begin)(x, t, s)) return false;
    if (phase > 0 && !TYPED(scatter_add)(x, t, s, phase - 1, flag + (phase - 1) % 2 * t.threads))
        return false;
    if (phase < pieces) {
        TYPED(scatter_compare)(x, t, s->row, phase, flag + phase % 2 * t.threads);
        return true;
    }
    if (s->col < x->cols && s->row < x->rows) ((REAL *)x->y)[s->row * x->cols + s->col] = s->sum;
    return false;
}

/* ---- fold ---- */

typedef no_state BODY_STATE(TYPED(fold));

GPU_BODY bool TYPED(fold)(const fold_args *x, gpu_thread t, BODY_STATE(TYPED(fold)) * s,
                          void *shared, int phase)
{
    for (int64_t i = first_of(t); i < x->r * x->p * x->q; i += stride_of(t)) {
        int64_t p, q;
        const int64_t r = divide(divide(i, x->p, &p), x->q, &q);
        const REAL *from = (const REAL *)x->from + (r * x->p + p) * x->q + q;
        REAL sum = x->accumulate ? ((REAL *)x->to)[i] : 0;
        for (int64_t k = 0; k < x->shares; k++) sum += from[k * x->share_step];
        ((REAL *)x->to)[i] = sum;
    }
    (void)s, (void)shared, (void)phase;
    return false;
}
