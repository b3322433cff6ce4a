/* Convolutions in groups of few channels: a tile of a product would be empty but for a column or
 * two. A thread an element, which goes over its taps by itself; the weight's derivative by 32
 * channels of y side by side and GPU_THREADS / 32 pixels at once. No guard. */

typedef no_state BODY_STATE(TYPED(conv_few)), BODY_STATE(TYPED(conv_dx_few));

GPU_BODY REAL TYPED(few_y)(const conv_args *x, int64_t i)
{
    const window_args *v = &x->v;
    const pool_place p = pool_place_of(i, v->oh, v->ow, v->o);
    const int64_t deep = v->c / v->groups, group = p.c / (v->o / v->groups);
    const REAL *image = (const REAL *)x->a + p.n * v->h * v->w * v->c + group * deep;
    const REAL *w = (const REAL *)x->b + p.c * v->kh * v->kw * deep;
    REAL sum = 0;

    for (conv_tap k = {0, 0, 0}; k.y < v->kh; conv_next(&k, v->kw), w += deep) {
        int32_t y = p.y * v->stride_h - v->pad_h, at_x = p.x * v->stride_w - v->pad_w;
        if (!conv_at(v, &k, &y, &at_x)) continue;
        const REAL *from = image + (y * v->w + at_x) * v->c;
        for (int64_t c = 0; c < deep; c++) sum = MULTIPLY_ADD(from[c], w[c], sum);
    }
    return sum;
}

GPU_BODY REAL TYPED(few_image)(const conv_args *x, int64_t i)
{
    const window_args *v = &x->v;
    const pool_place p = pool_place_of(i, v->h, v->w, v->c);
    const int64_t deep = v->c / v->groups, out = v->o / v->groups, taps = v->kh * v->kw;
    const int64_t first = p.c / deep * out; /* o of the group */
    const REAL *w = (const REAL *)x->b + first * taps * deep + p.c % deep;
    REAL sum = 0;

    for (conv_tap k = {0, 0, 0}; k.y < v->kh; conv_next(&k, v->kw), w += deep) {
        int32_t y = p.y + v->pad_h, at_x = p.x + v->pad_w;
        if (!conv_at_back(v, &k, &y, &at_x)) continue;
        const REAL *from = (const REAL *)x->a + ((p.n * v->oh + y) * v->ow + at_x) * v->o + first;
        for (int64_t o = 0; o < out; o++) sum = MULTIPLY_ADD(from[o], w[o * taps * deep], sum);
    }
    return sum;
}

GPU_BODY bool TYPED(conv_few)(const conv_few_args *x, gpu_thread t, BODY_STATE(TYPED(conv_few)) * s,
                              void *shared, int phase)
{
    REAL *y = (REAL *)x->y;

    for (int64_t i = first_of(t); i < x->v.n * x->v.oh * x->v.ow * x->v.o; i += stride_of(t))
        y[i] = TYPED(few_y)(x, i) + (x->accumulate ? y[i] : 0);
    (void)s, (void)shared, (void)phase;
    return false;
}

GPU_BODY bool TYPED(conv_dx_few)(const conv_dx_few_args *x, gpu_thread t,
                                 BODY_STATE(TYPED(conv_dx_few)) * s, void *shared, int phase)
{
    REAL *y = (REAL *)x->y;

    for (int64_t i = first_of(t); i < x->v.n * x->v.h * x->v.w * x->v.c; i += stride_of(t))
        y[i] = TYPED(few_image)(x, i) + (x->accumulate ? y[i] : 0);
    (void)s, (void)shared, (void)phase;
    return false;
}

/* ---- conv_dw_few: a block an element of the weight without its o, 32 o's and a share ---- */

typedef struct BODY_STATE(TYPED(conv_dw_few)) {
    int64_t o, e;      /* e: tap * deep + channel */
    int64_t from, end; /* pixels */
    int64_t share;
} BODY_STATE(TYPED(conv_dw_few));

GPU_BODY void TYPED(dw_few_begin)(const conv_args *x, gpu_thread t,
                                  BODY_STATE(TYPED(conv_dw_few)) * s)
{
    const window_args *v = &x->v;
    const int64_t pixels = v->n * v->oh * v->ow, pieces = (v->o + FEW_SIDE - 1) / FEW_SIDE;
    const int64_t terms = v->c / v->groups * v->kh * v->kw;

    s->o = t.block % pieces * FEW_SIDE + t.thread % FEW_SIDE;
    s->e = t.block / pieces % terms;
    s->share = t.block / pieces / terms;
    s->from = s->share * x->k_each;
    s->end = s->from + x->k_each < pixels ? s->from + x->k_each : pixels;
}

GPU_BODY REAL TYPED(dw_few_sum)(const conv_args *x, gpu_thread t,
                                const BODY_STATE(TYPED(conv_dw_few)) * s)
{
    const window_args *v = &x->v;
    const int64_t deep = v->c / v->groups, tap = s->e / deep;
    const int64_t channel = s->o / (v->o / v->groups) * deep + s->e % deep;
    const conv_tap k = {(int32_t)(tap / v->kw), (int32_t)(tap % v->kw), 0};
    REAL sum = 0;

    for (int64_t p = s->from + t.thread / FEW_SIDE; p < s->end; p += FEW_ROWS) {
        const pool_place at = pool_place_of(p, v->oh, v->ow, 1);
        int32_t y = at.y * v->stride_h - v->pad_h, at_x = at.x * v->stride_w - v->pad_w;
        if (!conv_at(v, &k, &y, &at_x)) continue;
        const REAL a = ((const REAL *)x->a)[((at.n * v->h + y) * v->w + at_x) * v->c + channel];
        sum = MULTIPLY_ADD(a, ((const REAL *)x->b)[p * v->o + s->o], sum);
    }
    return sum;
}

GPU_BODY bool TYPED(conv_dw_few)(const conv_dw_few_args *x, gpu_thread t,
                                 BODY_STATE(TYPED(conv_dw_few)) * s, void *shared, int phase)
{
    REAL *part = (REAL *)shared, sum = 0;

    if (phase == 0) {
        TYPED(dw_few_begin)(x, t, s);
        part[t.thread] = s->o < x->v.o ? TYPED(dw_few_sum)(x, t, s) : 0;
        return true;
    }
    if (t.thread >= FEW_SIDE || s->o >= x->v.o) return false;
    for (int32_t i = 0; i < FEW_ROWS; i++) sum += part[i * FEW_SIDE + t.thread];
    const int64_t terms = x->v.c / x->v.groups * x->v.kh * x->v.kw;
    ((REAL *)x->y)[s->share * x->share_step + s->o * terms + s->e] = sum;
    return false;
}
