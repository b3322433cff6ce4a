/* The kernels group and sum for one type REAL: the interpreter of a group's instructions, and the
 * sums of a block. Included for each type by body_typed.h. No guard. */
#define OF(name, x) (sizeof(REAL) == 4 ? (REAL)name##f((float)(x)) : (REAL)name((double)(x)))

/* ---- operands ---- */

/* Where a thread is: elements (r, c), (r, c + 1), ...; the first `n` of them are there. */
typedef struct TYPED(group_spot) {
    int64_t r, c;
    int32_t n;
} TYPED(group_spot);

/* Are a spot's elements numbers of this type that lie at a multiple of 16 bytes? */
GPU_BODY bool TYPED(group_wide)(const group_access *x, int64_t i, int32_t n)
{
    const int32_t own = sizeof(REAL) == 4 ? TYPE_F32 : TYPE_F64;

    return x->type == own && n == GROUP_LANES && TYPED(is_wide)((const REAL *)x->at + i, 0, n);
}

GPU_BODY REAL TYPED(group_number)(const group_access *x, int64_t i)
{
    GPU_GLOBAL(x->at);
    switch (x->type) {
    case TYPE_F32: return (REAL)((const float *)x->at)[i];
    case TYPE_F64: return (REAL)((const double *)x->at)[i];
    case TYPE_I32: return (REAL)((const int32_t *)x->at)[i];
    case TYPE_BF16: return (REAL)bf16_number(((const uint16_t *)x->at)[i]);
    default: return (REAL)((const uint8_t *)x->at)[i];
    }
}

/* The row of the table; -1 where there is none. */
GPU_BODY int64_t TYPED(group_row)(const group_args *a, const group_access *x, int64_t r)
{
    const int32_t i = x->index[r];

    if (i >= 0 && i < x->rows) return i;
    bad_index(a->bad, i, x->rows);
    return -1;
}

/* A group with products does one element at a time. */
GPU_BODY void TYPED(group_product)(const group_dot *d, TYPED(group_spot) s, REAL out[GROUP_LANES])
{
    const REAL *a = (const REAL *)d->a + s.r * d->a_row;
    const REAL *b = (const REAL *)d->b + s.c * d->b_col;
    const int32_t n = (int32_t)d->k;

    for (int k = 0; k < GROUP_LANES; k++) out[k] = 0;
    if (s.n < 1) return;
    GPU_GLOBAL(a);
    GPU_GLOBAL(b);
    UNROLL_BY(8) /* loads that wait together */
    for (int32_t i = 0; i < n; i++) {
        out[0] = MULTIPLY_ADD(*a, *b, out[0]);
        a += d->a_k, b += d->b_k;
    }
}

GPU_BODY void TYPED(group_fetch)(const group_args *a, const group_access *x, TYPED(group_spot) s,
                                 REAL out[GROUP_LANES])
{
    int64_t first = s.r * a->cols, hot;

    switch (x->mode) {
    case GROUP_CONST:
    case GROUP_ONE:
    case GROUP_ROW: {
        const REAL v = x->mode == GROUP_CONST
                           ? (REAL)x->value
                           : TYPED(group_number)(x, x->mode == GROUP_ROW ? s.r : 0);
        for (int k = 0; k < GROUP_LANES; k++) out[k] = v;
        return;
    }
    case GROUP_ONEHOT:
        hot = x->index[s.r];
        for (int k = 0; k < GROUP_LANES; k++) out[k] = (REAL)(s.c + k == hot);
        return;
    case GROUP_DOT: TYPED(group_product)((const group_dot *)x->at, s, out); return;
    case GROUP_COL: first = 0; break;
    case GROUP_GATHER:
        hot = TYPED(group_row)(a, x, s.r);
        if (hot < 0) s.n = 0;
        first = hot * a->cols;
        break;
    default: break;
    }
    first += s.c;
    if (TYPED(group_wide)(x, first, s.n)) {
        TYPED(load_run)(out, (const REAL *)x->at + first, GROUP_LANES, GROUP_LANES, true);
        return;
    }
    for (int k = 0; k < GROUP_LANES; k++) out[k] = k < s.n ? TYPED(group_number)(x, first + k) : 0;
}

GPU_BODY void TYPED(group_operand)(const group_args *a, int32_t o, TYPED(group_spot) s,
                                   REAL (*reg)[GROUP_LANES], REAL out[GROUP_LANES])
{
    if (o < 0) TYPED(group_fetch)(a, &a->access[~o], s, out);
    else
        for (int k = 0; k < GROUP_LANES; k++) out[k] = reg[o][k];
}

GPU_BODY void TYPED(group_store)(const group_args *a, const group_access *x, TYPED(group_spot) s,
                                 const REAL v[GROUP_LANES])
{
    const int64_t at = s.r * a->cols + s.c;

    if (TYPED(group_wide)(x, at, s.n)) {
        TYPED(store_run)((REAL *)x->at + at, v, GROUP_LANES, GROUP_LANES, true);
        return;
    }
    for (int k = 0; k < s.n; k++) {
        const int64_t i = at + k;
        switch (x->type) {
        case TYPE_F32: ((float *)x->at)[i] = (float)v[k]; break;
        case TYPE_F64: ((double *)x->at)[i] = (double)v[k]; break;
        case TYPE_I32: ((int32_t *)x->at)[i] = (int32_t)v[k]; break;
        case TYPE_BF16: ((uint16_t *)x->at)[i] = bf16_of((float)v[k]); break;
        default: ((uint8_t *)x->at)[i] = (uint8_t)v[k];
        }
    }
}

/* ---- instructions ---- */

GPU_BODY REAL TYPED(group_sigmoid)(REAL x)
{
    const REAL t = OF(exp, -OF(fabs, x));

    return (x < 0 ? t : (REAL)1) / ((REAL)1 + t);
}

GPU_BODY REAL TYPED(group_unary)(int32_t op, REAL x)
{
    switch (op) {
    case GROUP_EXP: return OF(exp, x);
    case GROUP_LOG: return OF(log, x);
    case GROUP_SQRT: return OF(sqrt, x);
    case GROUP_RECIP: return (REAL)1 / x;
    case GROUP_TANH: return OF(tanh, x);
    case GROUP_SIGMOID: return TYPED(group_sigmoid)(x);
    case GROUP_SOFTPLUS: return (x > 0 ? x : (REAL)0) + OF(log1p, OF(exp, -OF(fabs, x)));
    case GROUP_ERF: return OF(erf, x);
    case GROUP_STEP: return (REAL)(x > 0);
    case GROUP_SIGN: return (REAL)((x > 0) - (x < 0));
    default: return x;
    }
}

/* What a thread keeps: its part of the sums. */
typedef struct BODY_STATE(TYPED(group)) {
    double acc[GROUP_SUMS][GROUP_LANES];
} BODY_STATE(TYPED(group));

GPU_BODY void TYPED(group_step)(const group_args *a, const group_instr *in, TYPED(group_spot) s,
                                REAL (*reg)[GROUP_LANES], BODY_STATE(TYPED(group)) * state)
{
    const REAL f = sizeof(REAL) == 4 ? (REAL)in->f32 : (REAL)in->f;
    const REAL g = sizeof(REAL) == 4 ? (REAL)in->g32 : (REAL)in->g;
    REAL x[GROUP_LANES], b[GROUP_LANES], c[GROUP_LANES];

    TYPED(group_operand)(a, in->a, s, reg, x);
    for (int k = 0; k < GROUP_LANES; k++) x[k] *= f;
    switch (in->op) {
    case GROUP_COPY: break;
    case GROUP_ADD:
        TYPED(group_operand)(a, in->b, s, reg, b);
        for (int k = 0; k < GROUP_LANES; k++) x[k] += g * b[k];
        break;
    case GROUP_MUL:
    case GROUP_SUM_PAIR:
        TYPED(group_operand)(a, in->b, s, reg, b);
        for (int k = 0; k < GROUP_LANES; k++) x[k] *= b[k];
        break;
    case GROUP_FMA:
        TYPED(group_operand)(a, in->b, s, reg, b);
        TYPED(group_operand)(a, in->c, s, reg, c);
        for (int k = 0; k < GROUP_LANES; k++) x[k] = x[k] * b[k] + g * c[k];
        break;
    case GROUP_SUM: break;
    default:
        for (int k = 0; k < GROUP_LANES; k++) x[k] = TYPED(group_unary)(in->op, x[k]);
    }
    if (in->op >= GROUP_SUM) {
        for (int k = 0; k < s.n; k++) state->acc[in->y][k] += (double)x[k];
        return;
    }
    for (int k = 0; k < GROUP_LANES; k++) reg[in->y][k] = x[k];
    if (in->store >= 0) TYPED(group_store)(a, &a->access[in->store], s, x);
}

/* ---- a block ---- */

/* The thread's place in its block and the block's tile. */
typedef struct TYPED(group_tile) {
    int64_t r0, r1, c0, c1; /* of the tile */
    int32_t x, y, ty;       /* the thread's; rows at a time */
} TYPED(group_tile);

GPU_BODY TYPED(group_tile) TYPED(group_where)(const group_args *a, gpu_thread t)
{
    TYPED(group_tile) w;

    w.r0 = t.block / a->across * a->tile_rows;
    w.c0 = t.block % a->across * a->tile_cols;
    w.r1 = w.r0 + a->tile_rows < a->rows ? w.r0 + a->tile_rows : a->rows;
    w.c1 = w.c0 + a->tile_cols < a->cols ? w.c0 + a->tile_cols : a->cols;
    w.x = t.thread % a->tx;
    w.y = t.thread / a->tx;
    w.ty = t.threads / a->tx;
    return w;
}

/* Row r of the tile: the thread's columns of it. */
GPU_BODY void TYPED(group_line)(const group_args *a, const TYPED(group_tile) * w, int64_t r,
                                BODY_STATE(TYPED(group)) * state)
{
    REAL reg[GROUP_REGS][GROUP_LANES];

    for (int64_t c = w->c0 + (int64_t)w->x * a->lanes; c < w->c1; c += (int64_t)a->lanes * a->tx) {
        const int64_t left = w->c1 - c;
        const TYPED(group_spot) s = {r, c, left < a->lanes ? (int32_t)left : a->lanes};
        for (int32_t i = 0; i < a->instrs; i++) TYPED(group_step)(a, &a->instr[i], s, reg, state);
    }
}

GPU_BODY void TYPED(sum_put)(const void *y, int64_t i, int32_t partial, double scale, double v)
{
    if (partial) ((double *)y)[i] = v;
    else ((REAL *)y)[i] = (REAL)(scale * v);
}

/* Sums of rows, which are done: the threads of a row leave their parts, sum by sum ... */
GPU_BODY void TYPED(group_leave_rows)(const group_args *a, gpu_thread t,
                                      BODY_STATE(TYPED(group)) * state, double *shared)
{
    int32_t n = 0;

    for (int32_t i = 0; i < a->sums; i++) {
        if (a->sum[i].to != SUM_ROWS) continue;
        double *acc = state->acc[i];
        shared[n++ * t.threads + t.thread] = (acc[0] + acc[1]) + (acc[2] + acc[3]);
        for (int k = 0; k < GROUP_LANES; k++) acc[k] = 0;
    }
}

/* ... and the first of them adds these up. */
GPU_BODY void TYPED(group_add_rows)(const group_args *a, gpu_thread t, const TYPED(group_tile) * w,
                                    int64_t r, const double *shared)
{
    int32_t n = 0;

    if (w->x != 0 || r >= w->r1) return;
    for (int32_t i = 0; i < a->sums; i++) {
        const group_sum *s = &a->sum[i];
        if (s->to != SUM_ROWS) continue;
        const double *part = shared + n++ * t.threads + t.thread;
        double v = 0;
        for (int32_t k = 0; k < a->tx; k++) v += part[k];
        TYPED(sum_put)(s->y, r * a->across + t.block % a->across, s->partial, s->scale, v);
    }
}

/* The block's part of a sum of columns: lanes of all threads, [lane][y][x]; column x * lanes + lane
 * of the tile. */
GPU_BODY void TYPED(group_end_cols)(const group_args *a, gpu_thread t, const TYPED(group_tile) * w,
                                    const group_sum *s, const double *shared)
{
    for (int32_t j = t.thread; j < a->lanes * a->tx; j += t.threads) {
        const double *part = shared + j % a->lanes * t.threads + j / a->lanes;
        const int64_t c = w->c0 + j;
        double v = 0;
        for (int32_t k = 0; k < w->ty; k++) v += part[k * a->tx];
        if (c < w->c1)
            TYPED(sum_put)(s->y, t.block / a->across * a->cols + c, s->partial, s->scale, v);
    }
}

enum { TYPED(SUM_RUN) = 16 }; /* threads' parts that one thread adds up */

/* Adds up what the threads left in shared[0, threads), in two steps. */
GPU_BODY void TYPED(sum_run)(gpu_thread t, double *shared)
{
    double v = 0;

    if (t.thread * TYPED(SUM_RUN) >= t.threads) return;
    for (int32_t k = 0; k < TYPED(SUM_RUN); k++) v += shared[t.thread * TYPED(SUM_RUN) + k];
    shared[t.threads + t.thread] = v;
}

GPU_BODY double TYPED(sum_runs)(gpu_thread t, const double *shared)
{
    double v = 0;

    for (int32_t k = 0; k < t.threads / TYPED(SUM_RUN); k++) v += shared[t.threads + k];
    return v;
}

/* Phase `step` of 3 of the end of sum i. */
GPU_BODY void TYPED(group_end)(const group_args *a, gpu_thread t,
                               const BODY_STATE(TYPED(group)) * state, double *shared, int32_t i,
                               int32_t step)
{
    const group_sum *s = &a->sum[i];
    const double *acc = state->acc[i];
    const TYPED(group_tile) w = TYPED(group_where)(a, t);

    if (s->to == SUM_COLS) {
        for (int k = 0; step == 0 && k < GROUP_LANES; k++)
            shared[k * t.threads + t.thread] = acc[k];
        if (step == 1) TYPED(group_end_cols)(a, t, &w, s, shared);
    } else if (s->to == SUM_ALL) {
        if (step == 0) shared[t.thread] = (acc[0] + acc[1]) + (acc[2] + acc[3]);
        else if (step == 1) TYPED(sum_run)(t, shared);
        else if (t.thread == 0)
            TYPED(sum_put)(s->y, t.block, s->partial, s->scale, TYPED(sum_runs)(t, shared));
    }
}

/* Without sums of rows all lines are one phase; with them, each is one, in which the line before is
 * added up. Then three phases for each sum. */
GPU_BODY bool TYPED(group)(const group_args *a, gpu_thread t, BODY_STATE(TYPED(group)) * state,
                           void *memory, int phase)
{
    double *const shared = (double *)memory;
    const TYPED(group_tile) w = TYPED(group_where)(a, t);
    const int64_t lines = a->row_sums ? (w.r1 - w.r0 + w.ty - 1) / w.ty : 0;
    const int64_t room = (int64_t)a->row_sums * t.threads;
    const int64_t r = w.r0 + w.y + (int64_t)phase * w.ty;

    if (!a->row_sums && phase == 0)
        for (int64_t i = w.r0 + w.y; i < w.r1; i += w.ty) TYPED(group_line)(a, &w, i, state);
    if (a->row_sums && phase <= lines) {
        if (phase > 0) TYPED(group_add_rows)(a, t, &w, r - w.ty, shared + (phase - 1) % 2 * room);
        if (r < w.r1) TYPED(group_line)(a, &w, r, state);
        TYPED(group_leave_rows)(a, t, state, shared + phase % 2 * room);
    }
    const int64_t end = phase - lines - 1;
    if (end < 0) return a->sums > 0;
    TYPED(group_end)(a, t, state, shared, (int32_t)(end / 3), (int32_t)(end % 3));
    return end + 1 < 3 * (int64_t)a->sums;
}

/* ---- sums ---- */

typedef struct BODY_STATE(TYPED(sum)) {
    double v;
} BODY_STATE(TYPED(sum));

GPU_BODY double TYPED(sum_get)(const sum_item *s, int64_t i)
{
    return s->partial ? ((const double *)s->a)[i] : (double)((const REAL *)s->a)[i];
}

/* The thread's part: of everything; of a column, SUM_COLS_WIDE side by side; of a row. */
GPU_BODY double TYPED(sum_part)(const sum_item *s, gpu_thread t, int64_t block)
{
    const int32_t wide = SUM_COLS_WIDE;
    const int64_t c = block * wide + t.thread % wide;
    double v = 0;

    if (s->to == SUM_COLS) {
        if (c >= s->cols) return 0;
        for (int64_t r = t.thread / wide; r < s->rows; r += t.threads / wide)
            v += TYPED(sum_get)(s, r * s->cols + c);
        return v;
    }
    const int64_t from = s->to == SUM_ALL ? 0 : block * s->cols;
    const int64_t n = s->to == SUM_ALL ? s->rows * s->cols : s->cols;
    for (int64_t i = t.thread; i < n; i += t.threads) v += TYPED(sum_get)(s, from + i);
    return v;
}

GPU_BODY void TYPED(sum_cols_end)(const sum_item *s, gpu_thread t, int64_t block,
                                  const double *shared)
{
    const int64_t c = block * SUM_COLS_WIDE + t.thread;
    double v = 0;

    if (t.thread >= SUM_COLS_WIDE || c >= s->cols) return;
    for (int32_t k = t.thread; k < t.threads; k += SUM_COLS_WIDE) v += shared[k];
    TYPED(sum_put)(s->y, c, 0, s->scale, v);
}

GPU_BODY bool TYPED(sum)(const sum_args *a, gpu_thread t, BODY_STATE(TYPED(sum)) * state,
                         void *memory, int phase)
{
    double *const shared = (double *)memory;
    int32_t k = a->items - 1;

    (void)state;
    while (k > 0 && a->item[k].first > t.block) k--;
    const sum_item *s = &a->item[k];
    const int64_t block = t.block - s->first;
    if (phase == 0) {
        shared[t.thread] = TYPED(sum_part)(s, t, block);
        return true;
    }
    if (s->to == SUM_COLS) {
        TYPED(sum_cols_end)(s, t, block, shared);
        return false;
    }
    if (phase == 1) {
        TYPED(sum_run)(t, shared);
        return true;
    }
    if (t.thread == 0) TYPED(sum_put)(s->y, block, 0, s->scale, TYPED(sum_runs)(t, shared));
    return false;
}
#undef OF
