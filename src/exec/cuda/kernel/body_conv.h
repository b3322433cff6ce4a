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
    const REAL *w;     /* the weight's next element */
    int32_t left;     /* elements of k from there on; none where the weight's lane does not exist */
    int32_t y, x;     /* of the first tap's pixel */
    conv_tap tap, by; /* of the gathered operand's next element; a step */
    bool wide, wide_w; /* runs of the gathered operand, of the weight */
} BODY_STATE(TILED(conv));

/* Where the tap's element is; false: outside. */
GPU_BODY bool TILED(conv_find)(const TILED(conv_from) * f, const BODY_STATE(TILED(conv)) * s,
                               const conv_tap *tap, const REAL **at)
{
    const int32_t y = s->y + tap->y * f->step_y, x = s->x + tap->x * f->step_x;
    const bool in =
        tap->y < f->taps_y && (uint32_t)y < (uint32_t)f->high && (uint32_t)x < (uint32_t)f->wide;

    *at = s->image + (in ? (y * f->wide + x) * f->channels + tap->c : 0);
    return in;
}

/* Neighbouring elements of the gathered operand of conv or conv_dx: one piece of memory where the
 * channels of a tap come in so many. */
GPU_BODY void TILED(conv_gather)(const TILED(conv_from) * f, BODY_STATE(TILED(conv)) * s)
{
    const gpu_lane a = TILED(lane_a)(true);
    const conv_tap one = {0, 0, 1};
    const REAL *at;

    if (f->deep % a.n == 0) {
        const bool in = TILED(conv_find)(f, s, &s->tap, &at);
        TYPED(load_run)(s->t.a, at, a.n, in ? a.n : 0, s->wide);
    } else {
        conv_tap tap = s->tap;
        UNROLL
        for (int32_t i = 0; i < a.n; i++) {
            s->t.a[i] = TILED(conv_find)(f, s, &tap, &at) ? *at : 0;
            conv_next_tap(&tap, one, f->deep, f->taps_x);
        }
    }
    conv_next_tap(&s->tap, s->by, f->deep, f->taps_x);
}

/* ---- conv ---- */

GPU_BODY void TILED(conv_begin)(const conv_args *x, gpu_thread t, BODY_STATE(TILED(conv)) * s)
{
    const gpu_lane a = TILED(lane_a)(true), b = TILED(lane_b)(true);
    const window_args *v = &x->v;
    const int64_t deep = x->deep, out = x->out;
    const int64_t rows = v->n * v->oh * v->ow;

    const TILED(tile_part) p = TILED(part_of)(t.block, rows, out, x->k, x->k_each);
    s->t.terms = p.end - p.k;
    TILED(tile_places)(&s->t, t.thread, true, true);
    const int64_t row = p.row + lane_of(a, t.thread);
    const int64_t n = row < rows ? row / v->ow / v->oh : 0;
    s->y = row < rows ? (int32_t)(row / v->ow % v->oh) * v->stride_h - v->pad_h : CONV_NOWHERE;
    s->x = (int32_t)(row % v->ow) * v->stride_w - v->pad_w;
    s->image = (const REAL *)x->a + n * v->h * v->w * v->c + p.which * deep;
    s->wide = TYPED(is_wide)((const REAL *)x->a, v->c, a.n);
    s->tap = conv_tap_of(p.k + lane_k(a, t.thread), (int32_t)deep, v->kw);
    s->by = conv_tap_of(STEP, (int32_t)deep, v->kw);
    const int64_t o = p.col + lane_of(b, t.thread);
    const int32_t from = p.k + lane_k(b, t.thread);
    s->left = o < out ? p.end - from : 0;
    s->w = (const REAL *)x->b + (p.which * out + (o < out ? o : 0)) * x->k + from;
    s->wide_w = TYPED(is_wide)((const REAL *)x->b, x->k, b.n);
}

GPU_BODY void TILED(conv_load_a)(const conv_args *x, BODY_STATE(TILED(conv)) * s)
{
    const window_args *v = &x->v;
    const TILED(conv_from) f = {(int32_t)v->h, (int32_t)v->w, (int32_t)v->c, x->deep,
                                v->kh,         v->kw,         v->dilation_h, v->dilation_w};

    TILED(conv_gather)(&f, s);
}

GPU_BODY void TILED(conv_load_b)(BODY_STATE(TILED(conv)) * s)
{
    TYPED(load_run)(s->t.b, s->w, TILED(each_b), s->left, s->wide_w);
    s->w += STEP, s->left -= STEP;
}

GPU_BODY void TILED(conv_write)(const conv_args *x, gpu_thread t, const TILED(tile) * s)
{
    const window_args *v = &x->v;
    const int64_t rows = v->n * v->oh * v->ow;
    const TILED(tile_part) p = TILED(part_of)(t.block, rows, x->out, x->k, x->k_each);
    const TYPED(tile_to) to = {(REAL *)x->y + p.share * x->share_step + p.which * x->out, x->out,
                               x->accumulate, false};

    TILED(tile_write)(s, &p, to, rows, v->o, t.thread);
}

GPU_BODY bool TILED(conv)(const conv_args *x, gpu_thread t, BODY_STATE(TILED(conv)) * s,
                          void *shared, int phase)
{
    TILED(tile_shared) *tile = (TILED(tile_shared) *)shared;

    if (phase == 0) TILED(conv_begin)(x, t, s);
    const bool more = TILED(has_step)(&s->t, phase);
    if (more) {
        TILED(conv_load_a)(x, s);
        TILED(conv_load_b)(s);
    }
    if (phase > 0) TILED(tile_multiply)(&s->t, tile, phase - 1);
    if (more) {
        TILED(store_a)(&s->t, tile, phase, true);
        TILED(store_b)(&s->t, tile, phase, true);
    } else TILED(conv_write)(x, t, &s->t);
    return more;
}

/* ---- conv_dx: with a stride, a block has pixels of one phase, which are under the same taps;
 * phases are a batch, as groups are ---- */

typedef struct BODY_STATE(TILED(conv_dx)) {
    BODY_STATE(TILED(conv)) c;
    int32_t taps_y, taps_x, back_y, back_x; /* as in conv_phase */
    int32_t more;                           /* channels from the weight's lane on */
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
GPU_BODY int64_t TILED(conv_dx_lane)(const window_args *v, int64_t row, const conv_phase *y,
                                     const conv_phase *x, BODY_STATE(TILED(conv)) * s)
{
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
    const int64_t deep = x->out, out = x->deep;
    const gpu_lane a = TILED(lane_a)(true), b = TILED(lane_b)(false);
    conv_phase down, across;

    const TILED(tile_part) p = TILED(part_of)(t.block, conv_phase_rows(v), out, x->k, x->k_each);
    TILED(tile_places)(&s->c.t, t.thread, true, false);
    const int64_t group = TILED(conv_dx_phases)(v, p.which, &down, &across);
    const int64_t all = deep * down.taps * across.taps, end = p.end < all ? p.end : all;
    const bool any = p.row < v->n * down.pixels * across.pixels && p.k < end;
    s->c.t.terms = any ? (int32_t)end - p.k : 0;
    s->taps_y = down.taps, s->back_y = down.back;
    s->taps_x = across.taps, s->back_x = across.back;
    const int64_t n = TILED(conv_dx_lane)(v, p.row + lane_of(a, t.thread), &down, &across, &s->c);
    s->c.image = (const REAL *)x->a + n * v->oh * v->ow * v->o + group * deep;
    s->c.wide = TYPED(is_wide)((const REAL *)x->a, v->o, a.n);
    s->c.tap = conv_tap_of(p.k + lane_k(a, t.thread), (int32_t)deep, across.taps);
    s->c.by = conv_tap_of(STEP, (int32_t)deep, across.taps);
    const int32_t c = p.col + lane_of(b, t.thread), from = p.k + lane_k(b, t.thread);
    const int64_t phase = p.which % (v->stride_h * v->stride_w);
    s->more = (int32_t)out - c;
    s->c.left = s->more > 0 ? (int32_t)end - from : 0;
    s->c.w = (const REAL *)x->b + (phase * v->groups * x->k + group * all + from) * out + c;
    s->c.wide_w = TYPED(is_wide)((const REAL *)x->b, out, lane_run(b));
}

GPU_BODY void TILED(conv_dx_load_a)(const conv_args *x, BODY_STATE(TILED(conv_dx)) * s)
{
    const window_args *v = &x->v;
    const TILED(conv_from) f = {(int32_t)v->oh, (int32_t)v->ow, (int32_t)v->o, x->out,
                                s->taps_y,      s->taps_x,      -s->back_y,    -s->back_x};

    TILED(conv_gather)(&f, &s->c);
}

GPU_BODY void TILED(conv_dx_load_b)(const conv_args *x, BODY_STATE(TILED(conv_dx)) * s)
{
    TYPED(load_across)
    (s->c.t.b, s->c.w, TILED(lane_b)(false), s->c.left, s->more, x->deep, s->c.wide_w);
    s->c.w += (int64_t)x->deep * STEP, s->c.left -= STEP;
}

GPU_BODY void TILED(conv_dx_write)(const conv_args *x, gpu_thread t, const TILED(tile) * s)
{
    const window_args *v = &x->v;
    const TILED(tile_part) p =
        TILED(part_of)(t.block, conv_phase_rows(v), x->deep, x->k, x->k_each);
    conv_phase down, across;
    TYPED(tile_to) to = {(REAL *)x->y + p.share * x->share_step, x->deep, x->accumulate, false};

    to.at += TILED(conv_dx_phases)(v, p.which, &down, &across) * x->deep;
    REAL *const first = to.at;
    to.wide = TYPED(is_wide)(first, v->c, TILED(run_n));
    UNROLL
    for (int32_t i = 0; i < TM; i++) {
        const int64_t row = p.row + TILED(row_of)(t.thread, i);
        int32_t at[2];
        if (row >= v->n * down.pixels * across.pixels) continue;
        const int64_t n = TILED(conv_dx_pixel)(v, &down, &across, row, at);
        to.at = first + ((n * v->h + at[0]) * v->w + at[1]) * v->c;
        TILED(tile_write_row)(s, i, to, p.col, t.thread);
    }
}

GPU_BODY bool TILED(conv_dx)(const conv_args *x, gpu_thread t, BODY_STATE(TILED(conv_dx)) * s,
                             void *shared, int phase)
{
    TILED(tile_shared) *tile = (TILED(tile_shared) *)shared;

    if (phase == 0) TILED(conv_dx_begin)(x, t, s);
    const bool more = TILED(has_step)(&s->c.t, phase);
    if (more) {
        TILED(conv_dx_load_a)(x, s);
        TILED(conv_dx_load_b)(x, s);
    }
    if (phase > 0) TILED(tile_multiply)(&s->c.t, tile, phase - 1);
    if (more) {
        TILED(store_a)(&s->c.t, tile, phase, true);
        TILED(store_b)(&s->c.t, tile, phase, false);
    } else TILED(conv_dx_write)(x, t, &s->c.t);
    return more;
}

/* ---- conv_dw: columns are taps, k are pixels of y ---- */

typedef struct BODY_STATE(TILED(conv_dw)) {
    TILED(tile) t;
    const REAL *image, *dy; /* the group's first channel; the next elements of dy */
    conv_tap tap;           /* the thread's first column */
    conv_tap at, by;        /* the next pixel, its image as y; from one pass to the next */
    int32_t left_a, left_b; /* pixels from there on */
    int32_t more_a, more_b; /* o's, columns from the thread's first on */
    bool wide_a, wide_b;
} BODY_STATE(TILED(conv_dw));

GPU_BODY void TILED(conv_dw_begin)(const conv_args *x, gpu_thread t, BODY_STATE(TILED(conv_dw)) * s)
{
    const gpu_lane a = TILED(lane_a)(false), b = TILED(lane_b)(false);
    const window_args *v = &x->v;
    const int64_t deep = x->deep, out = x->out, cols = deep * v->kh * v->kw;
    const int32_t oh = (int32_t)v->oh, ow = (int32_t)v->ow;

    const TILED(tile_part) p = TILED(part_of)(t.block, out, cols, x->k, x->k_each);
    s->t.terms = p.end - p.k;
    TILED(tile_places)(&s->t, t.thread, false, false);
    const int32_t col = p.col + lane_of(b, t.thread), o = p.row + lane_of(a, t.thread);
    const int32_t pixel = p.k + lane_k(b, t.thread), k = p.k + lane_k(a, t.thread);
    s->more_a = (int32_t)out - o, s->more_b = (int32_t)cols - col;
    s->left_a = p.end - k, s->left_b = s->more_b > 0 ? p.end - pixel : 0;
    s->tap = conv_tap_of(col, (int32_t)deep, v->kw);
    s->at = conv_tap_of(pixel, ow, oh);
    s->by = conv_tap_of(lane_pass(b, lane_run(b)), ow, oh);
    s->image = (const REAL *)x->a + p.which * deep;
    s->dy = (const REAL *)x->b + p.which * out + o + k * v->o;
    s->wide_a = TYPED(is_wide)((const REAL *)x->b + p.which * out, v->o, lane_run(a));
    s->wide_b = TYPED(is_wide)(s->image, v->c, lane_run(b)) && deep % lane_run(b) == 0;
}

/* The element of a column of the tile for the pixel; where there is none, `in` is false. */
GPU_BODY const REAL *TILED(conv_dw_find)(const window_args *v, const BODY_STATE(TILED(conv_dw)) * s,
                                         const conv_tap *tap, bool *in)
{
    const int32_t y = s->at.x * v->stride_h - v->pad_h + tap->y * v->dilation_h;
    const int32_t x = s->at.c * v->stride_w - v->pad_w + tap->x * v->dilation_w;
    const int32_t h = (int32_t)v->h, w = (int32_t)v->w, c = (int32_t)v->c;

    *in = (uint32_t)y < (uint32_t)h && (uint32_t)x < (uint32_t)w;
    return s->image + (*in ? (int64_t)s->at.y * (h * w * c) + ((y * w + x) * c + tap->c) : 0);
}

/* Neighbouring columns: of one tap, or each of its own. */
GPU_BODY void TILED(conv_dw_gather)(const conv_args *a, const BODY_STATE(TILED(conv_dw)) * s,
                                    REAL *to, bool there)
{
    const window_args *v = &a->v;
    const int32_t run = lane_run(TILED(lane_b)(false));
    const conv_tap one = {0, 0, 1};
    conv_tap tap = s->tap;
    bool in;

    if (s->wide_b) {
        const REAL *from = TILED(conv_dw_find)(v, s, &tap, &in);
        TYPED(load_run)(to, from, run, in && there ? run : 0, true);
        return;
    }
    UNROLL
    for (int32_t j = 0; j < run; j++) {
        const REAL *from = TILED(conv_dw_find)(v, s, &tap, &in);
        to[j] = in && there && j < s->more_b ? *from : 0;
        conv_next_tap(&tap, one, a->deep, v->kw);
    }
}

GPU_BODY void TILED(conv_dw_load_a)(const conv_args *x, BODY_STATE(TILED(conv_dw)) * s)
{
    const int32_t step = (int32_t)x->v.o;

    TYPED(load_across)
    (s->t.a, s->dy, TILED(lane_a)(false), s->left_a, s->more_a, step, s->wide_a);
    s->dy += (int64_t)step * STEP;
    s->left_a -= STEP;
}

GPU_BODY void TILED(conv_dw_load_b)(const conv_args *x, BODY_STATE(TILED(conv_dw)) * s)
{
    const gpu_lane b = TILED(lane_b)(false);

    UNROLL
    for (int32_t j = 0; j < b.n; j += lane_run(b)) {
        TILED(conv_dw_gather)(x, s, s->t.b + j, lane_pass(b, j) < s->left_b);
        conv_next_tap(&s->at, s->by, (int32_t)x->v.ow, (int32_t)x->v.oh);
    }
    s->left_b -= STEP;
}

GPU_BODY void TILED(conv_dw_write)(const conv_args *x, gpu_thread t, const TILED(tile) * s)
{
    const window_args *v = &x->v;
    const int64_t cols = (int64_t)x->deep * v->kh * v->kw;
    const TILED(tile_part) p = TILED(part_of)(t.block, x->out, cols, x->k, x->k_each);
    const TYPED(tile_to) to = {(REAL *)x->y + p.share * x->share_step + p.which * x->out * cols,
                               (int32_t)cols, x->accumulate, false};

    TILED(tile_write)(s, &p, to, x->out, cols, t.thread);
}

GPU_BODY bool TILED(conv_dw)(const conv_args *x, gpu_thread t, BODY_STATE(TILED(conv_dw)) * s,
                             void *shared, int phase)
{
    TILED(tile_shared) *tile = (TILED(tile_shared) *)shared;

    if (phase == 0) TILED(conv_dw_begin)(x, t, s);
    const bool more = TILED(has_step)(&s->t, phase);
    if (more) {
        TILED(conv_dw_load_a)(x, s);
        TILED(conv_dw_load_b)(x, s);
    }
    if (phase > 0) TILED(tile_multiply)(&s->t, tile, phase - 1);
    if (more) {
        TILED(store_a)(&s->t, tile, phase, false);
        TILED(store_b)(&s->t, tile, phase, false);
    } else TILED(conv_dw_write)(x, t, &s->t);
    return more;
}
