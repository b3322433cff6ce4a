/* The grid trajectory's two passes (train/traj_grid.c): over all weights to the grid, a thread for
 * 16 neighbours, which are of one span or none; and back, over those that have moved. No guard. */

typedef no_state BODY_STATE(TYPED(cross)), BODY_STATE(TYPED(uncross));

/* Grid cells from hat to w; GRID_FAR: too many to be told, or none that is a number. */
GPU_BODY int32_t TYPED(cells_between)(REAL w, REAL hat, REAL tau)
{
    const REAL d = w - hat, size = d < 0 ? -d : d;

    if (size <= tau / 2) return 0;
    if (size < (REAL)1.5 * tau) return d < 0 ? -1 : 1;
    const double cells = rint((double)(size / tau));
    if (!(cells < GRID_FAR_MAX)) return GRID_FAR;
    return d < 0 ? -(int32_t)cells : (int32_t)cells;
}

GPU_BODY bool TYPED(cross)(const cross_args *x, gpu_thread t, BODY_STATE(TYPED(cross)) * s,
                           void *shared, int phase)
{
    const int64_t groups = x->total / GRID_EACH;

    for (int64_t i = first_of(t); i < groups; i += stride_of(t)) {
        const REAL tau = (REAL)span_tau(x->span, x->spans, i * GRID_EACH);
        const REAL step[2] = {tau, -tau};
        for (int64_t e = i * GRID_EACH; e < (i + 1) * GRID_EACH; e++) {
            REAL *hat = (REAL *)x->hat + e;
            const int32_t n =
                tau > 0 ? TYPED(cells_between)(((const REAL *)x->w)[e], *hat, tau) : 0;
            x->cells[e] = (int8_t)n;
            if (n == 0 || n == GRID_FAR) continue;
            *hat += step[n < 0] * (REAL)(n < 0 ? -n : n);
        }
    }
    (void)s, (void)shared, (void)phase;
    return false;
}

/* As the log tells them: the first cell, then up to GRID_SINGLES one by one, or all at once. */
GPU_BODY bool TYPED(uncross)(const uncross_args *x, gpu_thread t, BODY_STATE(TYPED(uncross)) * s,
                             void *shared, int phase)
{
    for (int64_t i = first_of(t); i < *x->count; i += stride_of(t)) {
        const int32_t n = x->by[i], more = (n < 0 ? -n : n) - 1;
        const REAL tau = (REAL)span_tau(x->span, x->spans, x->at[i]), step = n < 0 ? -tau : tau;
        REAL *hat = (REAL *)x->hat + x->at[i];
        if (n == GRID_FAR) continue;
        *hat -= step;
        if (more > GRID_SINGLES) *hat -= step * (REAL)more;
        for (int32_t k = 0; more <= GRID_SINGLES && k < more; k++) *hat -= step;
    }
    (void)s, (void)shared, (void)phase;
    return false;
}
