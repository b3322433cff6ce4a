/* Pooling and its transposes: a thread an element of the result. No guard. */

typedef no_state BODY_STATE(TYPED(sumpool)), BODY_STATE(TYPED(maxpool));
typedef no_state BODY_STATE(TYPED(spread)), BODY_STATE(TYPED(put));

/* Of result pixel (y, x) and channel of image `at`: the sum, or where the largest lies. A NaN
 * wins. */
GPU_BODY REAL TYPED(window_sum)(const window_args *v, const REAL *a, int32_t y, int32_t x)
{
    REAL sum = 0;

    for (conv_tap p = {0, 0, 0}; p.y < v->kh; conv_next(&p, v->kw)) {
        int32_t at_y = y * v->stride_h - v->pad_h, at_x = x * v->stride_w - v->pad_w;
        if (conv_at(v, &p, &at_y, &at_x)) sum += a[(at_y * v->w + at_x) * v->c];
    }
    return sum;
}

GPU_BODY int64_t TYPED(window_largest)(const window_args *v, const REAL *a, int32_t y, int32_t x)
{
    int64_t best = -1;

    for (conv_tap p = {0, 0, 0}; p.y < v->kh; conv_next(&p, v->kw)) {
        int32_t at_y = y * v->stride_h - v->pad_h, at_x = x * v->stride_w - v->pad_w;
        if (!conv_at(v, &p, &at_y, &at_x)) continue;
        const int64_t at = (at_y * v->w + at_x) * v->c;
        if (best < 0 || a[at] > a[best] || a[at] != a[at]) best = at;
    }
    return best;
}

GPU_BODY bool TYPED(sumpool)(const sumpool_args *x, gpu_thread t, BODY_STATE(TYPED(sumpool)) * s,
                             void *shared, int phase)
{
    const window_args *v = &x->v;

    for (int64_t i = first_of(t); i < v->n * v->oh * v->ow * v->c; i += stride_of(t)) {
        const pool_place p = pool_place_of(i, v->oh, v->ow, v->c);
        const REAL *a = (const REAL *)x->a + p.n * v->h * v->w * v->c + p.c;
        ((REAL *)x->y)[i] = TYPED(window_sum)(v, a, p.y, p.x);
    }
    (void)s, (void)shared, (void)phase;
    return false;
}

GPU_BODY bool TYPED(maxpool)(const maxpool_args *x, gpu_thread t, BODY_STATE(TYPED(maxpool)) * s,
                             void *shared, int phase)
{
    const window_args *v = &x->v;

    for (int64_t i = first_of(t); i < v->n * v->oh * v->ow * v->c; i += stride_of(t)) {
        const pool_place p = pool_place_of(i, v->oh, v->ow, v->c);
        const int64_t image = p.n * v->h * v->w * v->c + p.c;
        const REAL *a = (const REAL *)x->a + image;
        ((int32_t *)x->y)[i] = (int32_t)(image + TYPED(window_largest)(v, a, p.y, p.x));
    }
    (void)s, (void)shared, (void)phase;
    return false;
}

/* ---- back: what all windows over an image's element give it, in the order of the windows; with an
 * index, only those whose index it is ---- */

GPU_BODY REAL TYPED(window_back)(const pool_args *x, int64_t i)
{
    const window_args *v = &x->v;
    const pool_place p = pool_place_of(i, v->h, v->w, v->c);
    REAL sum = 0;

    for (int32_t tap = v->kh * v->kw - 1; tap >= 0; tap--) {
        const conv_tap k = {tap / v->kw, tap % v->kw, 0};
        int32_t oy = p.y + v->pad_h, ox = p.x + v->pad_w;
        if (!conv_at_back(v, &k, &oy, &ox)) continue;
        const int64_t at = ((p.n * v->oh + oy) * v->ow + ox) * v->c + p.c;
        if (!x->index || x->index[at] == i) sum += ((const REAL *)x->a)[at];
    }
    return sum;
}

GPU_BODY bool TYPED(spread)(const spread_args *x, gpu_thread t, BODY_STATE(TYPED(spread)) * s,
                            void *shared, int phase)
{
    const int64_t count = x->v.n * x->v.h * x->v.w * x->v.c;

    for (int64_t i = first_of(t); i < count; i += stride_of(t))
        ((REAL *)x->y)[i] = TYPED(window_back)(x, i);
    (void)s, (void)shared, (void)phase;
    return false;
}

GPU_BODY bool TYPED(put)(const put_args *x, gpu_thread t, BODY_STATE(TYPED(put)) * s, void *shared,
                         int phase)
{
    return TYPED(spread)(x, t, s, shared, phase);
}
