/* The text of pool_isa.c for one type: included with real and NAME(f) defined. No guard. */

static void NAME(add)(int64_t n, real *restrict y, const real *restrict a)
{
    for (int64_t c = 0; c < n; c++) y[c] += a[c];
}

/* Adds the pixels under a window to `one`, or `one` to each of them. */
static void NAME(add_window)(const pool_row *p, int64_t x, real *image, real *one, bool spread)
{
    const taps down = taps_of(p->v, 0, p->y), across = taps_of(p->v, 1, x);

    for (int64_t i = down.first, row = down.pixel; i < down.end; i++, row += p->v->dilation[0]) {
        real *at = image + (row * p->v->size[1] + across.pixel) * p->c;
        for (int64_t k = across.first; k < across.end; k++, at += p->v->dilation[1] * p->c)
            NAME(add)(p->c, spread ? at : one, spread ? one : at);
    }
}

static void NAME(sum_row)(const pool_row *p, const void *image, void *row_)
{
    real *row = row_;

    for (int64_t i = 0; i < p->w * p->c; i++) row[i] = 0;
    for (int64_t x = 0; x < p->w; x++)
        NAME(add_window)(p, x, (real *)(uintptr_t)image, row + x * p->c, false);
}

static void NAME(spread_row)(const pool_row *p, void *image, const void *row_)
{
    real *row = (real *)(uintptr_t)row_;

    for (int64_t x = 0; x < p->w; x++) NAME(add_window)(p, x, image, row + x * p->c, true);
}

/* The largest so far of n elements, and where. A NaN wins. */
static void NAME(take_larger)(int64_t n, real *restrict best, int32_t *restrict arg, const real *a,
                              int32_t index)
{
    for (int32_t c = 0; c < (int32_t)n; c++) {
        const bool take = a[c] > best[c] || a[c] != a[c];
        best[c] = take ? a[c] : best[c];
        arg[c] = take ? index + c : arg[c];
    }
}

static void NAME(largest)(const pool_row *p, const real *image, int64_t x, int64_t c0, int32_t *arg)
{
    const int64_t n = p->c - c0 < POOL_BLOCK ? p->c - c0 : POOL_BLOCK;
    const taps down = taps_of(p->v, 0, p->y), across = taps_of(p->v, 1, x);
    real best[POOL_BLOCK];
    bool first = true;

    for (int64_t i = down.first, row = down.pixel; i < down.end; i++, row += p->v->dilation[0]) {
        int64_t at = (row * p->v->size[1] + across.pixel) * p->c + c0;
        for (int64_t k = across.first; k < across.end; k++, at += p->v->dilation[1] * p->c) {
            const int32_t index = (int32_t)(p->image + at);
            for (int32_t c = 0; first && c < (int32_t)n; c++)
                best[c] = image[at + c], arg[c] = index + c;
            if (!first) NAME(take_larger)(n, best, arg, image + at, index);
            first = false;
        }
    }
}

/* The same for n elements whose places are from + begin[j], for few channels. */
static void NAME(take_larger_at)(int64_t n, real *restrict best, int32_t *restrict arg,
                                 const real *restrict a, const int32_t *restrict begin,
                                 int32_t index)
{
    for (int64_t j = 0; j < n; j++) {
        const real v = a[begin[j]];
        const bool take = v > best[j] || v != v;
        best[j] = take ? v : best[j];
        arg[j] = take ? index + begin[j] : arg[j];
    }
}

/* Pixels x.. of the row, none of whose windows reaches over the sides. */
static void NAME(largest_beside)(const pool_row *p, const real *image, int64_t x, int64_t n,
                                 int32_t *arg)
{
    const taps down = taps_of(p->v, 0, p->y), across = taps_of(p->v, 1, x);
    real best[POOL_BLOCK];
    bool first = true;

    for (int64_t i = down.first, row = down.pixel; i < down.end; i++, row += p->v->dilation[0]) {
        int64_t at = (row * p->v->size[1] + across.pixel) * p->c;
        for (int64_t k = 0; k < across.end; k++, at += p->v->dilation[1] * p->c) {
            const int32_t index = (int32_t)(p->image + at);
            for (int64_t j = 0; first && j < n; j++)
                best[j] = image[at + p->begin[j]], arg[j] = index + p->begin[j];
            if (!first) NAME(take_larger_at)(n, best, arg, image + at, p->begin, index);
            first = false;
        }
    }
}

static void NAME(max_row)(const pool_row *p, const void *image, int32_t *row)
{
    const int64_t s = p->v->stride[1], reach = (int64_t)p->v->dilation[1] * (p->v->kernel[1] - 1);
    const int64_t last = (p->v->size[1] - 1 - reach + p->v->pad[1]) / s; /* inside, if pad is 0 */
    int64_t x = 0;

    for (; p->pixels > 0 && x + p->pixels <= last + 1 && x + p->pixels <= p->w; x += p->pixels)
        NAME(largest_beside)(p, image, x, p->pixels * p->c, row + x * p->c);
    for (; x < p->w; x++)
        for (int64_t c = 0; c < p->c; c += POOL_BLOCK)
            NAME(largest)(p, image, x, c, row + x * p->c + c);
}

const pool_fns EW_ISA(NAME(pool)) = {NAME(sum_row), NAME(spread_row), NAME(max_row)};
