/* The grid trajectory's passes (train/traj_grid.c) over all weights, or all averaged squares: tally
 * counts those of each chunk, a block's, that have moved; offsets (body_pick.h) adds up what is
 * before each; pick moves them and writes the list. A thread has 16 neighbours, which are of one
 * span or none. And back, over the list alone. No guard. */

typedef own_state BODY_STATE(TYPED(tally)), BODY_STATE(TYPED(pick));
typedef no_state BODY_STATE(TYPED(uncross)), BODY_STATE(TYPED(lows)), BODY_STATE(TYPED(squares));

/* Grid cells from hat to w, or what stands for them. */
GPU_BODY int32_t TYPED(cells_between)(REAL w, REAL hat, REAL tau)
{
    const REAL d = w - hat, size = d < 0 ? -d : d;

    if (size <= tau / 2) return 0;
    if (size < (REAL)1.5 * tau) return d < 0 ? -1 : 1;
    if (!(w - w == 0)) return GRID_NAN;
    if (!(size < (REAL)GRID_FAR_MAX * tau)) return GRID_FAR;
    const int32_t cells = (int32_t)rint((double)(size / tau));
    return d < 0 ? -cells : cells;
}

/* The cell of averaged square i, as pick_args has it. */
GPU_BODY int32_t TYPED(cell_of)(const pick_args *x, int64_t i)
{
    const int32_t e = TYPED(square_exponent)(((const REAL *)x->from)[i] * (REAL)x->numbers->m);

    return e == INT32_MIN ? 0 : square_cell(e - (int32_t)x->numbers->e) - INT16_MIN;
}

/* How far it has risen above that before. */
GPU_BODY int32_t TYPED(rise_of)(const pick_args *x, int64_t i)
{
    const int32_t now = TYPED(cell_of)(x, i), was = x->cells[i];

    if (now <= was) return 0;
    return was == 0 ? GRID_NEW : now - was;
}

/* What element i has moved by. tau: of its span. */
GPU_BODY int32_t TYPED(moved_by)(const pick_args *x, int64_t i, REAL tau)
{
    if (!x->hat) return TYPED(rise_of)(x, i);
    if (!(tau > 0)) return 0;
    return TYPED(cells_between)(((const REAL *)x->from)[i], ((const REAL *)x->hat)[i], tau);
}

GPU_BODY REAL TYPED(tau_of)(const pick_args *x, int64_t first)
{
    return x->hat ? (REAL)span_tau(x->span, x->spans, first) : 0;
}

/* How many of the thread's. */
GPU_BODY int32_t TYPED(moved_in)(const pick_args *x, int64_t first)
{
    int32_t n = 0;

    if (first >= x->total) return 0;
    const REAL tau = TYPED(tau_of)(x, first);
    for (int64_t i = first; i < first + GRID_EACH; i++) n += TYPED(moved_by)(x, i, tau) != 0;
    return n;
}

GPU_BODY bool TYPED(tally)(const tally_args *x, gpu_thread t, BODY_STATE(TYPED(tally)) * s,
                           void *shared, int phase)
{
    if (phase == 0) s->own = TYPED(moved_in)(x, first_of(t) * GRID_EACH);
    const int32_t sum = scan(t, s->own, shared, phase);
    if (phase < SCAN_STEPS) return true;
    if (t.thread == t.threads - 1) x->before[t.block] = sum;
    return false;
}

/* A number that is lost stays where it is. */
GPU_BODY void TYPED(do_move)(const pick_args *x, int64_t i, int32_t n, REAL tau)
{
    if (!x->hat) x->cells[i] = (uint16_t)TYPED(cell_of)(x, i);
    else if (n != GRID_NAN && n != GRID_FAR)
        ((REAL *)x->hat)[i] += (n < 0 ? -tau : tau) * (REAL)(n < 0 ? -n : n);
}

GPU_BODY bool TYPED(pick)(const pick_args *x, gpu_thread t, BODY_STATE(TYPED(pick)) * s,
                          void *shared, int phase)
{
    const int64_t first = first_of(t) * GRID_EACH;

    if (phase == 0) s->own = TYPED(moved_in)(x, first);
    const int32_t sum = scan(t, s->own, shared, phase);
    if (phase < SCAN_STEPS) return true;
    if (s->own == 0) return false;
    int32_t to = x->before[t.block] + sum - s->own;
    const REAL tau = TYPED(tau_of)(x, first);
    for (int64_t i = first; i < first + GRID_EACH; i++) {
        const int32_t n = TYPED(moved_by)(x, i, tau);
        if (n == 0) continue;
        TYPED(do_move)(x, i, n, tau);
        x->move[to].at = (int32_t)i;
        x->move[to++].by = n;
    }
    return false;
}

/* As the log tells them: the first cell, then up to GRID_SINGLES one by one, or all at once. */
GPU_BODY bool TYPED(uncross)(const uncross_args *x, gpu_thread t, BODY_STATE(TYPED(uncross)) * s,
                             void *shared, int phase)
{
    for (int64_t i = first_of(t); i < *x->count; i += stride_of(t)) {
        const grid_move m = x->move[i];
        const int32_t more = (m.by < 0 ? -m.by : m.by) - 1;
        const REAL tau = (REAL)span_tau(x->span, x->spans, m.at), step = m.by < 0 ? -tau : tau;
        REAL *hat = (REAL *)x->hat + m.at;
        *hat -= step;
        if (more > GRID_SINGLES) *hat -= step * (REAL)more;
        for (int32_t k = 0; more <= GRID_SINGLES && k < more; k++) *hat -= step;
    }
    (void)s, (void)shared, (void)phase;
    return false;
}

GPU_BODY bool TYPED(lows)(const lows_args *x, gpu_thread t, BODY_STATE(TYPED(lows)) * s,
                          void *shared, int phase)
{
    for (int64_t i = first_of(t); i < x->total; i += stride_of(t)) {
        const int32_t k = x->cells[i] + INT16_MIN;
        ((REAL *)x->hat)[i] =
            x->cells[i] == 0 ? 0 : TYPED(square_low)(x->numbers->m, 2 * k + (int32_t)x->numbers->e);
    }
    (void)s, (void)shared, (void)phase;
    return false;
}

/* Sums of squares of each span's shares, a block each. */
GPU_BODY bool TYPED(squares)(const squares_args *x, gpu_thread t, BODY_STATE(TYPED(squares)) * s,
                             void *shared, int phase)
{
    const grid_span *span = &x->span[t.block / GRID_SHARES];
    const int64_t share = (span->count + GRID_SHARES - 1) / GRID_SHARES;
    const int64_t begin = t.block % GRID_SHARES * share, end = begin + share;
    double *sum = (double *)shared + t.thread;

    if (phase == 0) {
        *sum = 0;
        for (int64_t i = begin + t.thread; i < end && i < span->count; i += t.threads) {
            const double w = (double)((const REAL *)x->from)[span->offset + i];
            *sum += w * w;
        }
        return true;
    }
    const int32_t half = t.threads >> phase;
    if (t.thread < half) *sum += sum[half];
    if (half > 1) return true;
    if (t.thread == 0) x->sum[t.block] = *sum;
    (void)s;
    return false;
}
