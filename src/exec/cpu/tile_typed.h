/* The text of the block kernels for one type: tile_isa.c includes it once with real = float and
 * once with real = double, NAME(f) naming the function. No guard. */

static void NAME(scale_u8)(int64_t n, void *y_, const uint8_t *a, double s)
{
    real *restrict y = y_;
    const real f = (real)s;

    for (int64_t i = 0; i < n; i++) y[i] = (real)a[i] * f;
}

static void NAME(spread_cols)(int64_t rows, int64_t cols, void *y_, const void *a_)
{
    real *restrict y = y_;
    const real *restrict a = a_;

    for (int64_t r = 0; r < rows; r++, y += cols)
        for (int64_t c = 0; c < cols; c++) y[c] = a[c];
}

static void NAME(spread_rows)(int64_t rows, int64_t cols, void *y_, const void *a_)
{
    real *restrict y = y_;
    const real *restrict a = a_;

    for (int64_t r = 0; r < rows; r++, y += cols)
        for (int64_t c = 0; c < cols; c++) y[c] = a[r];
}

static void NAME(onehot)(int64_t rows, int64_t cols, void *y_, const int32_t *index, int64_t first)
{
    real *restrict y = y_;

    for (int64_t i = 0; i < rows * cols; i++) y[i] = 0;
    for (int64_t r = 0; r < rows; r++) {
        const int64_t c = index[r] - first;
        if (c >= 0 && c < cols) y[r * cols + c] = 1;
    }
}

static void NAME(add_wide_rows)(int64_t rows, int64_t cols, real *restrict y, const real *a,
                                const real *b)
{
    if (b)
        for (int64_t r = 0; r < rows; r++, a += cols, b += cols)
            for (int64_t c = 0; c < cols; c++) y[c] += a[c] * b[c];
    else
        for (int64_t r = 0; r < rows; r++, a += cols)
            for (int64_t c = 0; c < cols; c++) y[c] += a[c];
}

enum { NAME(STRIP) = 16, NAME(NARROW) = 8, NAME(WIDE) = 128 };

typedef real NAME(strip)
    __attribute__((vector_size(NAME(STRIP) * sizeof(real)), aligned(sizeof(real)), may_alias));

/* Of one row. */
INLINE void NAME(add_to)(NAME(strip) * s, const real *a, const real *b)
{
    const NAME(strip) x = *(const NAME(strip) *)a;

    if (b) *s += x * *(const NAME(strip) *)b;
    else *s += x;
}

/* A strip of columns, whose sums stay in registers: one for each of four rows, so that an addition
 * need not wait for the one before. */
INLINE void NAME(add_strip_of)(int64_t rows, int64_t cols, real *y, const real *a, const real *b)
{
    NAME(strip) s0 = {0}, s1 = s0, s2 = s0, s3 = s0;
    const int64_t whole = rows / 4 * 4;

    for (int64_t r = 0; r < whole; r += 4, a += 4 * cols, b += b ? 4 * cols : 0) {
        NAME(add_to)(&s0, a, b);
        NAME(add_to)(&s1, a + cols, b ? b + cols : NULL);
        NAME(add_to)(&s2, a + 2 * cols, b ? b + 2 * cols : NULL);
        NAME(add_to)(&s3, a + 3 * cols, b ? b + 3 * cols : NULL);
    }
    for (int64_t r = whole; r < rows; r++, a += cols, b += b ? cols : 0) NAME(add_to)(&s0, a, b);
    *(NAME(strip) *)y += (s0 + s2) + (s1 + s3);
}

static void NAME(add_strip)(int64_t rows, int64_t cols, real *y, const real *a, const real *b)
{
    if (b) NAME(add_strip_of)(rows, cols, y, a, b);
    else NAME(add_strip_of)(rows, cols, y, a, NULL);
}

/* Rows so short that as many as make up some strips are added as if they were one. */
static void NAME(add_narrow_rows)(int64_t rows, int64_t cols, real *restrict y, const real *a,
                                  const real *b)
{
    enum { TOGETHER = NAME(STRIP) };
    const int64_t n = TOGETHER * cols, whole = rows / TOGETHER;
    real s[TOGETHER * NAME(NARROW)] = {0};

    for (int64_t c = 0; c < n; c += NAME(STRIP))
        NAME(add_strip)(whole, n, s + c, a + c, b ? b + c : NULL);
    for (int64_t k = 0; k < TOGETHER; k++)
        for (int64_t c = 0; c < cols; c++) y[c] += s[k * cols + c];
    NAME(add_wide_rows)(rows % TOGETHER, cols, y, a + whole * n, b ? b + whole * n : NULL);
}

static void NAME(add_rows)(int64_t rows, int64_t cols, void *y_, const void *a_, const void *b_)
{
    real *y = y_;
    const real *a = a_, *b = b_;
    int64_t c = 0;

    if (cols <= NAME(NARROW)) {
        NAME(add_narrow_rows)(rows, cols, y, a, b);
        return;
    }
    if (cols <= NAME(WIDE))
        for (; c + NAME(STRIP) <= cols; c += NAME(STRIP))
            NAME(add_strip)(rows, cols, y + c, a + c, b ? b + c : NULL);
    if (c == 0) NAME(add_wide_rows)(rows, cols, y, a, b);
    for (int64_t r = 0; r < rows && c > 0; r++)
        for (int64_t i = c; i < cols; i++)
            y[i] += b ? a[r * cols + i] * b[r * cols + i] : a[r * cols + i];
}

/* Over a row, or the products of two. */
static double NAME(row_sum)(int64_t cols, const real *a, const real *b)
{
    double s[4] = {0};
    int64_t c = 0;

    for (; c + 4 <= cols; c += 4)
        for (int k = 0; k < 4; k++) s[k] += (double)a[c + k] * (b ? (double)b[c + k] : 1);
    for (; c < cols; c++) s[c & 3] += (double)a[c] * (b ? (double)b[c] : 1);
    return (s[0] + s[2]) + (s[1] + s[3]);
}

static void NAME(row_sums)(int64_t rows, int64_t cols, double *y, const void *a_, const void *b_)
{
    const real *a = a_, *b = b_;

    if (b)
        for (int64_t r = 0; r < rows; r++) y[r] += NAME(row_sum)(cols, a + r * cols, b + r * cols);
    else
        for (int64_t r = 0; r < rows; r++) y[r] += NAME(row_sum)(cols, a + r * cols, NULL);
}

static void NAME(row_maxs)(int64_t rows, int64_t cols, void *y_, const void *a_)
{
    real *y = y_;
    const real *a = a_;

    for (int64_t r = 0; r < rows; r++, a += cols) {
        real m = a[0];
        for (int64_t c = 1; c < cols; c++) m = a[c] > m || a[c] != a[c] ? a[c] : m;
        y[r] = m;
    }
}

static void NAME(minus_rows)(int64_t rows, int64_t cols, void *y_, const void *a_, const void *b_)
{
    real *y = y_;
    const real *a = a_, *b = b_;

    for (int64_t r = 0; r < rows; r++, a += cols, y += cols)
        for (int64_t c = 0; c < cols; c++) y[c] = a[c] - b[r];
}

const tile_fns EW_ISA(NAME(tile)) = {
    NAME(scale_u8), NAME(spread_cols), NAME(spread_rows), NAME(onehot),
    NAME(add_rows), NAME(row_sums),    NAME(row_maxs),    NAME(minus_rows),
};
