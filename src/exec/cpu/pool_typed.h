/* The text of pool_isa.c for one type: included with real and NAME(f) defined. No guard. */

/* For each tap of result pixel x of the row: is it inside, and which pixel of the image? */
static int64_t NAME(under)(const pool_row *p, int64_t x, int64_t tap)
{
    const window *v = p->v;
    const int64_t row = p->y * v->stride[0] - v->pad[0] + tap / v->kernel[1] * v->dilation[0];
    const int64_t col = x * v->stride[1] - v->pad[1] + tap % v->kernel[1] * v->dilation[1];

    if (row < 0 || row >= v->size[0] || col < 0 || col >= v->size[1]) return -1;
    return row * v->size[1] + col;
}

static void NAME(sum_row)(const pool_row *p, const void *image_, void *row_)
{
    const real *image = image_;
    real *row = row_;

    for (int64_t x = 0; x < p->w; x++) {
        real *restrict y = row + x * p->c;
        for (int64_t c = 0; c < p->c; c++) y[c] = 0;
        for (int64_t t = 0; t < p->taps; t++) {
            const int64_t at = NAME(under)(p, x, t);
            const real *restrict a = image + at * p->c;
            for (int64_t c = 0; at >= 0 && c < p->c; c++) y[c] += a[c];
        }
    }
}

static void NAME(spread_row)(const pool_row *p, void *image_, const void *row_)
{
    real *image = image_;
    const real *row = row_;

    for (int64_t x = 0; x < p->w; x++)
        for (int64_t t = 0; t < p->taps; t++) {
            const int64_t at = NAME(under)(p, x, t);
            real *restrict y = image + at * p->c;
            const real *restrict a = row + x * p->c;
            for (int64_t c = 0; at >= 0 && c < p->c; c++) y[c] += a[c];
        }
}

/* The first tap inside decides what `best` starts from. A NaN wins. */
static void NAME(largest)(const pool_row *p, const real *image, int64_t x, int64_t c0, int32_t *arg)
{
    const int64_t n = p->c - c0 < BLOCK ? p->c - c0 : BLOCK;
    real best[BLOCK];
    bool first = true;

    for (int64_t t = 0; t < p->taps; t++) {
        const int64_t at = NAME(under)(p, x, t);
        const real *restrict a = image + at * p->c + c0;
        const int32_t index = (int32_t)(p->image + at * p->c + c0);
        if (at < 0) continue;
        for (int32_t c = 0; c < (int32_t)n; c++) {
            const bool take = first || a[c] > best[c] || a[c] != a[c];
            best[c] = take ? a[c] : best[c];
            arg[c] = take ? index + c : arg[c];
        }
        first = false;
    }
}

static void NAME(max_row)(const pool_row *p, const void *image, int32_t *row)
{
    for (int64_t x = 0; x < p->w; x++)
        for (int64_t c = 0; c < p->c; c += BLOCK) NAME(largest)(p, image, x, c, row + x * p->c + c);
}

const pool_fns EW_ISA(NAME(pool)) = {NAME(sum_row), NAME(spread_row), NAME(max_row)};
