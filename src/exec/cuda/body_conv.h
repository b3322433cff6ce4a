/* The three convolutions as products of matrices that are gathered on the way into shared memory:
 * included after body_product.h, for each type and size of tile. No guard.
 *
 *            rows             columns     k
 *   conv     pixels of y      o           taps x c      a: image, gathered   b: weight, along
 *   conv_dx  pixels of image  c           taps x o      a: dy, gathered      b: weight, across
 *   conv_dw  o                taps x c    pixels of y   a: dy, across        b: image, gathered
 *
 * all of a group; groups are a batch. */

/* The operand that is gathered from, as a thread's taps go over it. */
typedef struct TILED(conv_from) {
    int32_t high, wide, channels, deep; /* deep: channels of a group */
    int32_t taps_y, taps_x, step_y, step_x;
} TILED(conv_from);

typedef struct BODY_STATE(TILED(conv)) {
    TILED(tile) t;
    const REAL *image; /* the gathered operand: its image, its group's first channel */
    const REAL *w;     /* the weight; conv_dw: dy */
    int32_t k;         /* of the weight's or dy's next element */
    int32_t y, x;      /* of the first tap's pixel; conv_dw: of dy's */
    conv_tap tap;      /* of the gathered operand's next element */
    bool in;           /* does the weight's, or dy's, lane exist? */
    bool wide, wide_w; /* runs of the gathered operand, of the weight */
    int32_t group;     /* conv_dx: with its phases, the product's number */
} BODY_STATE(TILED(conv));
typedef BODY_STATE(TILED(conv)) BODY_STATE(TILED(conv_dw));

/* Where the tap's element is; false: outside. */
GPU_BODY bool TILED(conv_find)(const TILED(conv_from) * f, const BODY_STATE(TILED(conv)) * s,
                               const REAL **at)
{
    const int32_t y = s->y + s->tap.y * f->step_y, x = s->x + s->tap.x * f->step_x;
    const bool in = s->tap.y < f->taps_y && y >= 0 && y < f->high && x >= 0 && x < f->wide;

    *at = s->image + (in ? ((int64_t)y * f->wide + x) * f->channels + s->tap.c : 0);
    return in;
}

/* TM neighbouring elements of the gathered operand of conv or conv_dx: one piece of memory where
 * the channels of a tap come in TMs. */
GPU_BODY void TILED(conv_gather)(const TILED(conv_from) * f, BODY_STATE(TILED(conv)) * s)
{
    const REAL *at;

    if (f->deep % TM == 0) {
        const bool in = TILED(conv_find)(f, s, &at);
        TYPED(load_run)(s->t.a, at, TM, in ? TM : 0, s->wide);
        conv_next_tap(&s->tap, TILE_K, f->deep, f->taps_x);
        return;
    }
    UNROLL
    for (int32_t i = 0; i < TM; i++) {
        s->t.a[i] = TILED(conv_find)(f, s, &at) ? *at : 0;
        conv_next_tap(&s->tap, 1, f->deep, f->taps_x);
    }
    conv_next_tap(&s->tap, TILE_K - TM, f->deep, f->taps_x);
}

/* ---- conv ---- */

GPU_BODY void TILED(conv_begin)(const conv_args *x, gpu_thread t, BODY_STATE(TILED(conv)) * s)
{
    const window_args *v = &x->v;
    const int64_t deep = v->c / v->groups, k = deep * v->kh * v->kw, out = v->o / v->groups;
    const int64_t rows = v->n * v->oh * v->ow;

    s->group = TILED(tile_begin)(&s->t, t.block, rows, out, k, x->k_each);
    const int64_t row = s->t.row + TILED(lane_a)(t.thread, true);
    const int64_t n = row < rows ? row / v->ow / v->oh : 0;
    s->y = row < rows ? (int32_t)(row / v->ow % v->oh) * v->stride_h - v->pad_h : CONV_NOWHERE;
    s->x = (int32_t)(row % v->ow) * v->stride_w - v->pad_w;
    s->image = (const REAL *)x->a + n * v->h * v->w * v->c + s->group * deep;
    s->wide = TYPED(is_wide)((const REAL *)x->a, v->c);
    conv_next_tap(&s->tap, TILED(k_a)(t.thread, true), (int32_t)deep, v->kw);
    const int64_t o = s->t.col + TILED(lane_b)(t.thread, true);
    s->k = TILED(k_b)(t.thread, true);
    s->in = o < out;
    s->w = (const REAL *)x->b + (s->group * out + (s->in ? o : 0)) * k;
    s->wide_w = TYPED(is_wide)((const REAL *)x->b, k);
}

GPU_BODY void TILED(conv_load)(const conv_args *x, BODY_STATE(TILED(conv)) * s)
{
    const window_args *v = &x->v;
    const TILED(conv_from)
        f = {(int32_t)v->h, (int32_t)v->w, (int32_t)v->c, (int32_t)v->c / v->groups,
             v->kh,         v->kw,         v->dilation_h, v->dilation_w};

    TILED(conv_gather)(&f, s);
    TYPED(load_run)(s->t.b, s->w + s->k, TN, s->in ? s->t.end - s->k : 0, s->wide_w);
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
    if (phase < s->t.steps) {
        TILED(tile_store)(&s->t, tile, phase & 1, t.thread, true, true);
        return true;
    }
    REAL *y = (REAL *)x->y + s->group * out;
    TILED(tile_write_rows)(&s->t, y, rows, out, x->v.o, x->accumulate, t.thread);
    return false;
}

/* ---- conv_dx: with a stride, a block has pixels of one phase, which are under the same taps;
 * phases are a batch, as groups are ---- */

typedef struct BODY_STATE(TILED(conv_dx)) {
    BODY_STATE(TILED(conv)) c;
    int32_t taps_y, taps_x, step_y, step_x, back_y, back_x; /* as in conv_phase */
    conv_tap w_tap;                                         /* of the weight's next element */
} BODY_STATE(TILED(conv_dx));

/* The phases of product number `which`; gives its group. */
GPU_BODY int32_t TILED(conv_dx_phases)(const window_args *v, int32_t which, conv_phase *y,
                                       conv_phase *x)
{
    const int32_t phase = which % (v->stride_h * v->stride_w);

    *y = conv_phase_of(phase / v->stride_w, (int32_t)v->h, v->kh, v->stride_h, v->dilation_h,
                       v->pad_h);
    *x = conv_phase_of(phase % v->stride_w, (int32_t)v->w, v->kw, v->stride_w, v->dilation_w,
                       v->pad_w);
    return which / (v->stride_h * v->stride_w);
}

/* Row `row` is the pixel (y, x) of image n. */
GPU_BODY int64_t TILED(conv_dx_pixel)(const window_args *v, const conv_phase *down,
                                      const conv_phase *across, int64_t row, int32_t at[2])
{
    at[1] = across->pixel + (int32_t)(row % across->pixels) * v->stride_w;
    at[0] = down->pixel + (int32_t)(row / across->pixels % down->pixels) * v->stride_h;
    return row / across->pixels / down->pixels;
}

/* The pixel whose elements this thread gathers, in dy's terms at the first tap; gives its image. */
GPU_BODY int64_t TILED(conv_dx_lane)(const window_args *v, gpu_thread t, const conv_phase *y,
                                     const conv_phase *x, BODY_STATE(TILED(conv)) * s)
{
    const int64_t row = s->t.row + TILED(lane_a)(t.thread, true);
    int32_t at[2];

    s->y = CONV_NOWHERE;
    if (row >= v->n * y->pixels * x->pixels) return 0;
    const int64_t n = TILED(conv_dx_pixel)(v, y, x, row, at);
    s->y = (at[0] + v->pad_h - y->first * v->dilation_h) / v->stride_h;
    s->x = (at[1] + v->pad_w - x->first * v->dilation_w) / v->stride_w;
    return n;
}

GPU_BODY void TILED(conv_dx_begin)(const conv_args *x, gpu_thread t, BODY_STATE(TILED(conv_dx)) * s)
{
    const window_args *v = &x->v;
    const int64_t deep = v->o / v->groups, out = v->c / v->groups;
    conv_phase down, across;

    s->c.group = TILED(tile_begin)(&s->c.t, t.block, conv_phase_rows(v), out, 0, TILE_K);
    const int64_t group = TILED(conv_dx_phases)(v, s->c.group, &down, &across);
    const bool any = s->c.t.row < v->n * down.pixels * across.pixels;
    TILED(tile_steps)(&s->c.t, 0, any ? deep * down.taps * across.taps : 0);
    s->taps_y = down.taps, s->step_y = down.step, s->back_y = down.back;
    s->taps_x = across.taps, s->step_x = across.step, s->back_x = across.back;
    const int64_t n = TILED(conv_dx_lane)(v, t, &down, &across, &s->c);
    s->c.image = (const REAL *)x->a + n * v->oh * v->ow * v->o + group * deep;
    s->c.wide = TYPED(is_wide)((const REAL *)x->a, v->o);
    conv_next_tap(&s->c.tap, TILED(k_a)(t.thread, true), (int32_t)deep, across.taps);
    const int64_t c = s->c.t.col + TILED(lane_b)(t.thread, false);
    conv_next_tap(&s->w_tap, TILED(k_b)(t.thread, false), (int32_t)deep, across.taps);
    s->c.in = c < out;
    s->c.w = (const REAL *)x->b + group * deep * v->kh * v->kw * out + c +
             (down.first * v->kw + across.first) * out;
}

GPU_BODY void TILED(conv_dx_load)(const conv_args *x, BODY_STATE(TILED(conv_dx)) * s)
{
    const window_args *v = &x->v;
    const int32_t deep = (int32_t)(v->o / v->groups), out = (int32_t)(v->c / v->groups);
    const TILED(conv_from) f = {(int32_t)v->oh, (int32_t)v->ow, (int32_t)v->o, deep,
                                s->taps_y,      s->taps_x,      -s->back_y,    -s->back_x};

    TILED(conv_gather)(&f, &s->c);
    UNROLL
    for (int32_t j = 0; j < TN; j++) {
        const conv_tap *p = &s->w_tap;
        const int64_t at = ((int64_t)p->c * v->kh + p->y * s->step_y) * v->kw + p->x * s->step_x;
        s->c.t.b[j] = s->c.in && p->y < s->taps_y ? s->c.w[at * out] : 0;
        conv_next_tap(&s->w_tap, TILED(groups_n), deep, s->taps_x);
    }
}

GPU_BODY void TILED(conv_dx_write)(const conv_args *x, gpu_thread t,
                                   const BODY_STATE(TILED(conv_dx)) * s)
{
    const window_args *v = &x->v;
    const int64_t out = v->c / v->groups;
    conv_phase down, across;
    int64_t at[TM];

    REAL *to = (REAL *)x->y + TILED(conv_dx_phases)(v, s->c.group, &down, &across) * out;
    UNROLL
    for (int32_t i = 0; i < TM; i++) {
        const int64_t row = s->c.t.row + TILED(row_of)(t.thread, i);
        int32_t pixel[2];
        at[i] = -1;
        if (row >= v->n * down.pixels * across.pixels) continue;
        const int64_t n = TILED(conv_dx_pixel)(v, &down, &across, row, pixel);
        at[i] = ((n * v->h + pixel[0]) * v->w + pixel[1]) * v->c;
    }
    TILED(tile_write)(&s->c.t, to, at, out, TYPED(is_wide)(to, v->c), x->accumulate, t.thread);
}

GPU_BODY bool TILED(conv_dx)(const conv_args *x, gpu_thread t, BODY_STATE(TILED(conv_dx)) * s,
                             void *shared, int phase)
{
    TILED(tile_shared) *tile = (TILED(tile_shared) *)shared;

    if (phase == 0) TILED(conv_dx_begin)(x, t, s);
    if (phase < s->c.t.steps) TILED(conv_dx_load)(x, s);
    if (phase > 0) TILED(tile_multiply)(&s->c.t, tile, (phase - 1) & 1, t.thread);
    if (phase < s->c.t.steps) TILED(tile_store)(&s->c.t, tile, phase & 1, t.thread, true, false);
    else TILED(conv_dx_write)(x, t, s);
    return phase < s->c.t.steps;
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

    s->group = TILED(tile_begin)(&s->t, t.block, out, cols, pixels, x->k_each);
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
        TILED(tile_write_rows)(&s->t, y, out, cols, cols, x->accumulate, t.thread);
    }
    return phase < s->t.steps;
}
