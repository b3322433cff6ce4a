/* The three convolutions as products of matrices that are gathered on the way into shared memory:
 * included after body_product.h, for each type and size of tile. No guard.
 *
 *            rows             columns     k
 *   conv     pixels of y      o           taps x c      a: image, gathered   b: weight, along
 *   conv_dx  pixels of image  c           taps x o      a: dy, gathered      b: weight, across
 *   conv_dw  o                taps x c    pixels of y   a: dy, across        b: image, gathered
 *
 * all of a group; groups are a batch. */

typedef struct BODY_STATE(TILED(conv)) {
    TILED(tile) t;
    const REAL *image; /* the operand that is gathered from: its image, its group's first channel */
    const REAL *w;     /* the weight; conv_dw: dy */
    int32_t k;         /* of the weight's or dy's next element */
    int32_t y, x;      /* of the pixel, in the operand's terms without the tap */
    conv_tap tap;      /* of the gathered operand's next element */
    conv_tap w_tap;    /* conv_dx: of the weight's */
    bool in;           /* does the weight's, or dy's, lane exist? */
    bool wide, wide_w; /* runs of the gathered operand, of the weight */
    int32_t group;
} BODY_STATE(TILED(conv));
typedef BODY_STATE(TILED(conv)) BODY_STATE(TILED(conv_dx)), BODY_STATE(TILED(conv_dw));

/* Where the tap's element is; false: outside. */
GPU_BODY bool TILED(conv_find)(const window_args *v, bool back, const BODY_STATE(TILED(conv)) * s,
                               int32_t wide, int32_t channels, const REAL **at)
{
    int32_t y = s->y, x = s->x;
    const bool in = back ? conv_at_back(v, &s->tap, &y, &x) : conv_at(v, &s->tap, &y, &x);

    *at = s->image + (in ? ((int64_t)y * wide + x) * channels + s->tap.c : 0);
    return in;
}

/* TM neighbouring elements of the gathered operand of conv or conv_dx: one piece of memory where
 * the channels of a tap come in TMs. */
GPU_BODY void TILED(conv_gather)(const window_args *v, bool back, BODY_STATE(TILED(conv)) * s)
{
    const int32_t deep = (int32_t)((back ? v->o : v->c) / v->groups);
    const int32_t channels = (int32_t)(back ? v->o : v->c), wide = (int32_t)(back ? v->ow : v->w);
    const REAL *at;

    if (deep % TM == 0) {
        const bool in = TILED(conv_find)(v, back, s, wide, channels, &at);
        TYPED(load_run)(s->t.a, at, TM, in ? TM : 0, s->wide);
        conv_next_tap(&s->tap, TILE_K, deep, v->kw);
        return;
    }
    UNROLL
    for (int32_t i = 0; i < TM; i++) {
        s->t.a[i] = TILED(conv_find)(v, back, s, wide, channels, &at) ? *at : 0;
        conv_next_tap(&s->tap, 1, deep, v->kw);
    }
    conv_next_tap(&s->tap, TILE_K - TM, deep, v->kw);
}

/* The row of a that a thread loads: a pixel of `high` by `wide` ones. False: there is none. */
GPU_BODY bool TILED(conv_pixel)(BODY_STATE(TILED(conv)) * s, int64_t rows, int64_t high,
                                int64_t wide, int32_t thread, int64_t *image)
{
    const int64_t row = s->t.row + TILED(lane_a)(thread, true);

    s->x = (int32_t)(row % wide), s->y = (int32_t)(row / wide % high);
    *image = row / wide / high;
    return row < rows;
}

/* ---- conv ---- */

GPU_BODY void TILED(conv_begin)(const conv_args *x, gpu_thread t, BODY_STATE(TILED(conv)) * s)
{
    const window_args *v = &x->v;
    const int64_t deep = v->c / v->groups, k = deep * v->kh * v->kw, out = v->o / v->groups;
    const int64_t rows = v->n * v->oh * v->ow;
    int64_t n;

    s->group = (int32_t)TILED(tile_begin)(&s->t, t.block, rows, out, k, x->k_each);
    const bool in = TILED(conv_pixel)(s, rows, v->oh, v->ow, t.thread, &n);
    s->y = in ? s->y * v->stride_h - v->pad_h : CONV_NOWHERE;
    s->x = s->x * v->stride_w - v->pad_w;
    s->image = (const REAL *)x->a + (in ? n : 0) * v->h * v->w * v->c + s->group * deep;
    conv_next_tap(&s->tap, TILED(k_a)(t.thread, true), (int32_t)deep, v->kw);
    const int64_t o = s->t.col + TILED(lane_b)(t.thread, true);
    s->k = TILED(k_b)(t.thread, true);
    s->in = o < out;
    s->w = (const REAL *)x->b + (s->group * out + (s->in ? o : 0)) * k;
    s->wide = TYPED(is_wide)((const REAL *)x->a, v->c);
    s->wide_w = TYPED(is_wide)((const REAL *)x->b, k);
}

GPU_BODY void TILED(conv_load)(const conv_args *x, BODY_STATE(TILED(conv)) * s)
{
    TILED(conv_gather)(&x->v, false, s);
    UNROLL
    for (int32_t j = 0; j < TN; j++) s->t.b[j] = s->in && s->k + j < s->t.end ? s->w[s->k + j] : 0;
    s->k += TILE_K;
}

GPU_BODY bool TILED(conv)(const conv_args *x, gpu_thread t, BODY_STATE(TILED(conv)) * s,
                          void *shared, int phase)
{
    TILED(tile_shared) *tile = (TILED(tile_shared) *)shared;
    const int64_t rows = x->v.n * x->v.oh * x->v.ow, out = x->v.o / x->v.groups;

    if (phase == 0) TILED(conv_begin)(x, t, s);
    if (phase < s->t.steps) TILED(conv_load)(x, s);
    if (phase > 0) TILED(tile_multiply)(&s->t, tile, (phase - 1) & 1, t.thread);
    if (phase < s->t.steps) TILED(tile_store)(&s->t, tile, phase & 1, t.thread, true, true);
    else TILED(tile_write)
    (&s->t, (REAL *)x->y + s->group * out, rows, out, x->v.o, x->accumulate, t.thread);
    return phase < s->t.steps;
}

/* ---- conv_dx ---- */

GPU_BODY void TILED(conv_dx_begin)(const conv_args *x, gpu_thread t, BODY_STATE(TILED(conv)) * s)
{
    const window_args *v = &x->v;
    const int64_t deep = v->o / v->groups, out = v->c / v->groups, rows = v->n * v->h * v->w;
    int64_t n;

    s->group =
        (int32_t)TILED(tile_begin)(&s->t, t.block, rows, out, deep * v->kh * v->kw, x->k_each);
    const bool in = TILED(conv_pixel)(s, rows, v->h, v->w, t.thread, &n);
    s->y = in ? s->y + v->pad_h : CONV_NOWHERE;
    s->x = s->x + v->pad_w;
    s->image = (const REAL *)x->a + (in ? n : 0) * v->oh * v->ow * v->o + s->group * deep;
    conv_next_tap(&s->tap, TILED(k_a)(t.thread, true), (int32_t)deep, v->kw);
    const int64_t c = s->t.col + TILED(lane_b)(t.thread, false);
    conv_next_tap(&s->w_tap, TILED(k_b)(t.thread, false), (int32_t)deep, v->kw);
    s->in = c < out;
    s->w = (const REAL *)x->b + s->group * deep * v->kh * v->kw * out + c;
    s->wide = TYPED(is_wide)((const REAL *)x->a, v->o);
}

GPU_BODY void TILED(conv_dx_load)(const conv_args *x, BODY_STATE(TILED(conv)) * s)
{
    const window_args *v = &x->v;
    const int32_t deep = (int32_t)(v->o / v->groups), out = (int32_t)(v->c / v->groups);

    TILED(conv_gather)(v, true, s);
    UNROLL
    for (int32_t j = 0; j < TN; j++) {
        const conv_tap *p = &s->w_tap;
        const int64_t at = ((int64_t)p->c * v->kh + p->y) * v->kw + p->x;
        s->t.b[j] = s->in && p->y < v->kh ? s->w[at * out] : 0;
        conv_next_tap(&s->w_tap, TILED(groups_n), deep, v->kw);
    }
}

GPU_BODY bool TILED(conv_dx)(const conv_args *x, gpu_thread t, BODY_STATE(TILED(conv)) * s,
                             void *shared, int phase)
{
    TILED(tile_shared) *tile = (TILED(tile_shared) *)shared;
    const int64_t rows = x->v.n * x->v.h * x->v.w, out = x->v.c / x->v.groups;

    if (phase == 0) TILED(conv_dx_begin)(x, t, s);
    if (phase < s->t.steps) TILED(conv_dx_load)(x, s);
    if (phase > 0) TILED(tile_multiply)(&s->t, tile, (phase - 1) & 1, t.thread);
    if (phase < s->t.steps) TILED(tile_store)(&s->t, tile, phase & 1, t.thread, true, false);
    else TILED(tile_write)
    (&s->t, (REAL *)x->y + s->group * out, rows, out, x->v.c, x->accumulate, t.thread);
    return phase < s->t.steps;
}

/* ---- conv_dw: tap is the column's; y, x, k and image are the pixel's of the next step ---- */

/* The pixel n further on. */
GPU_BODY void TILED(conv_next_pixel)(const window_args *v, BODY_STATE(TILED(conv)) * s, int32_t n)
{
    s->x += n;
    while (s->x >= v->ow) {
        s->x -= (int32_t)v->ow;
        if (++s->y < v->oh) continue;
        s->y = 0;
        s->image += v->h * v->w * v->c;
    }
}

GPU_BODY void TILED(conv_dw_begin)(const conv_args *x, gpu_thread t, BODY_STATE(TILED(conv)) * s)
{
    const window_args *v = &x->v;
    const int64_t deep = v->c / v->groups, out = v->o / v->groups, cols = deep * v->kh * v->kw;
    const int64_t pixels = v->n * v->oh * v->ow;

    s->group = (int32_t)TILED(tile_begin)(&s->t, t.block, out, cols, pixels, x->k_each);
    const int64_t col = s->t.col + TILED(lane_b)(t.thread, false);
    const int64_t pixel = s->t.k + TILED(k_b)(t.thread, false);
    s->tap.y = v->kh; /* outside */
    if (col < cols) {
        s->tap.c = (int32_t)(col % deep), s->tap.x = (int32_t)(col / deep % v->kw);
        s->tap.y = (int32_t)(col / deep / v->kw);
    }
    s->x = (int32_t)(pixel % v->ow), s->y = (int32_t)(pixel / v->ow % v->oh);
    s->image = (const REAL *)x->a + pixel / v->ow / v->oh * v->h * v->w * v->c + s->group * deep;
    const int64_t o = s->t.row + TILED(lane_a)(t.thread, false);
    s->in = o < out;
    s->k = s->t.k;
    s->w = (const REAL *)x->b + s->group * out + o;
}

GPU_BODY void TILED(conv_dw_load)(const conv_args *x, gpu_thread t, BODY_STATE(TILED(conv)) * s)
{
    const window_args *v = &x->v;
    const int64_t ka = s->k + TILED(k_a)(t.thread, false), kb = s->k + TILED(k_b)(t.thread, false);

    UNROLL
    for (int32_t i = 0; i < TM; i++) {
        const int64_t k = ka + i * TILED(groups_m);
        s->t.a[i] = s->in && k < s->t.end ? s->w[k * v->o] : 0;
    }
    UNROLL
    for (int32_t j = 0; j < TN; j++) {
        int32_t at_y = s->y * v->stride_h - v->pad_h, at_x = s->x * v->stride_w - v->pad_w;
        const bool in = conv_at(v, &s->tap, &at_y, &at_x) && kb + j * TILED(groups_n) < s->t.end;
        s->t.b[j] = in ? s->image[(at_y * v->w + at_x) * v->c + s->tap.c] : 0;
        TILED(conv_next_pixel)(v, s, TILED(groups_n));
    }
    s->k += TILE_K;
}

GPU_BODY bool TILED(conv_dw)(const conv_args *x, gpu_thread t, BODY_STATE(TILED(conv)) * s,
                             void *shared, int phase)
{
    TILED(tile_shared) *tile = (TILED(tile_shared) *)shared;
    const window_args *v = &x->v;
    const int64_t cols = v->c / v->groups * v->kh * v->kw, out = v->o / v->groups;

    if (phase == 0) TILED(conv_dw_begin)(x, t, s);
    if (phase < s->t.steps) TILED(conv_dw_load)(x, t, s);
    if (phase > 0) TILED(tile_multiply)(&s->t, tile, (phase - 1) & 1, t.thread);
    if (phase < s->t.steps) TILED(tile_store)(&s->t, tile, phase & 1, t.thread, false, false);
    else {
        REAL *y = (REAL *)x->y + s->t.k / x->k_each * x->share_step + s->group * out * cols;
        TILED(tile_write)(&s->t, y, out, cols, cols, x->accumulate, t.thread);
    }
    return phase < s->t.steps;
}
