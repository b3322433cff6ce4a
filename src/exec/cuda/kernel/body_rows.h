/* Whole rows: as many threads of a block on each as row_lanes says, which join by halves in shared
 * memory. No guard. */

typedef struct TYPED(rows_shared) {
    double sum[GPU_THREADS];
    REAL most[GPU_THREADS];
    int32_t at[GPU_THREADS];
} TYPED(rows_shared);

GPU_BODY const REAL *TYPED(row_of_thread)(const rows_args *x, gpu_thread t, int32_t lanes,
                                          int64_t *row)
{
    *row = (int64_t)t.block * (t.threads / lanes) + t.thread / lanes;
    return (const REAL *)x->a + *row * x->cols;
}

GPU_BODY REAL TYPED(larger)(REAL a, REAL b)
{
    return b > a || a != a ? b : a; /* passes a NaN by */
}

GPU_BODY void TYPED(row_most)(const rows_args *x, const REAL *a, int32_t lane, int32_t lanes,
                              REAL *most)
{
    *most = (REAL)-INFINITY;
    if (lane < x->cols) *most = a[lane];
    for (int64_t c = lane + lanes; c < x->cols; c += lanes) *most = TYPED(larger)(*most, a[c]);
}

/* ---- rowmax ---- */

typedef no_state BODY_STATE(TYPED(rowmax));

GPU_BODY bool TYPED(rowmax)(const rowmax_args *x, gpu_thread t, BODY_STATE(TYPED(rowmax)) * s,
                            void *shared, int phase)
{
    TYPED(rows_shared) *sh = (TYPED(rows_shared) *)shared;
    const int32_t lanes = row_lanes(x->cols), lane = t.thread % lanes, half = lanes >> phase;
    int64_t row;
    const REAL *a = TYPED(row_of_thread)(x, t, lanes, &row);

    (void)s;
    if (phase == 0 && row < x->rows) TYPED(row_most)(x, a, lane, lanes, &sh->most[t.thread]);
    if (phase > 0 && lane < half)
        sh->most[t.thread] = TYPED(larger)(sh->most[t.thread], sh->most[t.thread + half]);
    if (half > 1) return true;
    if (lane == 0 && row < x->rows) ((REAL *)x->y)[row] = sh->most[t.thread];
    return false;
}

/* ---- argmax: the first largest; where the first is NaN, it: no number is larger ---- */

typedef no_state BODY_STATE(TYPED(argmax));

/* Is (b, j) to be taken before (a, i)? */
GPU_BODY bool TYPED(beats)(REAL a, int32_t i, REAL b, int32_t j)
{
    return b > a || (a != a && b == b) || (b == a && j < i);
}

GPU_BODY void TYPED(row_argmax)(const argmax_args *x, const REAL *a, int32_t lane, int32_t lanes,
                                TYPED(rows_shared) * sh, int32_t thread)
{
    REAL most = (REAL)-INFINITY;
    int32_t at = 0x7fffffff; /* none */

    for (int64_t c = lane; c < x->cols; c += lanes)
        if (TYPED(beats)(most, at, a[c], (int32_t)c)) most = a[c], at = (int32_t)c;
    sh->most[thread] = most, sh->at[thread] = at;
}

GPU_BODY bool TYPED(argmax)(const argmax_args *x, gpu_thread t, BODY_STATE(TYPED(argmax)) * s,
                            void *shared, int phase)
{
    TYPED(rows_shared) *sh = (TYPED(rows_shared) *)shared;
    const int32_t lanes = row_lanes(x->cols), lane = t.thread % lanes, half = lanes >> phase;
    int64_t row;
    const REAL *a = TYPED(row_of_thread)(x, t, lanes, &row);

    (void)s;
    if (phase == 0 && row < x->rows) TYPED(row_argmax)(x, a, lane, lanes, sh, t.thread);
    if (phase > 0 && lane < half) {
        const int32_t i = t.thread, j = i + half;
        if (TYPED(beats)(sh->most[i], sh->at[i], sh->most[j], sh->at[j]))
            sh->most[i] = sh->most[j], sh->at[i] = sh->at[j];
    }
    if (half > 1) return true;
    if (lane == 0 && row < x->rows) {
        const bool none = x->cols == 0 || a[0] != a[0] || sh->at[t.thread] >= x->cols;
        ((int32_t *)x->y)[row] = none ? 0 : sh->at[t.thread];
    }
    return false;
}

/* ---- logsumexp: log sum exp x = m + log sum exp(x - m), m = max x ---- */

typedef struct BODY_STATE(TYPED(logsumexp)) {
    REAL most;
} BODY_STATE(TYPED(logsumexp));

GPU_BODY REAL TYPED(exp_of)(REAL x)
{
    return sizeof(REAL) == 4 ? (REAL)expf((float)x) : (REAL)exp((double)x);
}

/* An infinite or NaN maximum is not subtracted: inf - inf would make NaN of an infinite result. */
GPU_BODY void TYPED(row_sum)(const rows_args *x, const REAL *a, int32_t lane, int32_t lanes,
                             BODY_STATE(TYPED(logsumexp)) * s, double *sum)
{
    if (s->most - s->most != 0) s->most = 0;
    *sum = 0;
    for (int64_t c = lane; c < x->cols; c += lanes) *sum += (double)TYPED(exp_of)(a[c] - s->most);
}

GPU_BODY bool TYPED(logsumexp)(const logsumexp_args *x, gpu_thread t,
                               BODY_STATE(TYPED(logsumexp)) * s, void *shared, int phase)
{
    TYPED(rows_shared) *sh = (TYPED(rows_shared) *)shared;
    const int32_t lanes = row_lanes(x->cols), lane = t.thread % lanes, i = t.thread;
    int32_t rounds = 0;
    int64_t row;
    const REAL *a = TYPED(row_of_thread)(x, t, lanes, &row);

    while (lanes >> rounds > 1) rounds++;
    const int32_t half = lanes >> (phase <= rounds ? phase : phase - rounds - 1);
    if (phase == 0 && row < x->rows) TYPED(row_most)(x, a, lane, lanes, &sh->most[i]);
    if (phase > 0 && phase <= rounds && lane < half)
        sh->most[i] = TYPED(larger)(sh->most[i], sh->most[i + half]);
    if (phase == rounds + 1 && row < x->rows) {
        s->most = sh->most[i - lane];
        TYPED(row_sum)(x, a, lane, lanes, s, &sh->sum[i]);
    }
    if (phase > rounds + 1 && lane < half) sh->sum[i] += sh->sum[i + half];
    if (phase <= 2 * rounds) return true;
    if (lane == 0 && row < x->rows) ((REAL *)x->y)[row] = (REAL)((double)s->most + log(sh->sum[i]));
    return false;
}

/* ---- sum_any: a row is what is summed to one element, wherever it lies ---- */

typedef no_state BODY_STATE(TYPED(sum_any));

/* Where number i of axes first ... end is. */
GPU_BODY int64_t TYPED(walk_to)(const sum_any_args *x, int64_t i, int32_t first, int32_t end)
{
    int64_t to = 0, at;

    for (int32_t k = end - 1; k >= first; k--) {
        i = divide(i, x->dim[k], &at);
        to += at * x->step[k];
    }
    return to;
}

GPU_BODY bool TYPED(sum_any)(const sum_any_args *x, gpu_thread t, BODY_STATE(TYPED(sum_any)) * s,
                             void *shared, int phase)
{
    const int32_t lanes = row_lanes(x->terms), lane = t.thread % lanes, half = lanes >> phase;
    const int64_t row = (int64_t)t.block * (t.threads / lanes) + t.thread / lanes;
    double *sum = (double *)shared;

    (void)s;
    if (phase == 0 && row < x->count) {
        const REAL *a = (const REAL *)x->a + TYPED(walk_to)(x, row, 0, x->kept);
        double part = 0;
        for (int64_t j = lane; j < x->terms; j += lanes)
            part += (double)a[TYPED(walk_to)(x, j, x->kept, x->rank)];
        sum[t.thread] = part;
    }
    if (phase > 0 && lane < half) sum[t.thread] += sum[t.thread + half];
    if (half > 1) return true;
    if (lane == 0 && row < x->count) ((REAL *)x->y)[row] = (REAL)sum[t.thread];
    return false;
}
