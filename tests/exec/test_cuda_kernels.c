/* The kernels of the CUDA backend, on the host driver, against naive loops in double. Odd sizes,
 * empty ones, all layouts. */
#include "kernel_fixture.h"
#include <sys/wait.h>
#include <unistd.h>

/* Single: some hundred terms of size 1; double likewise. */
static double tol_of(dtype t)
{
    return t == F32 ? 1e-5 : 1e-12;
}

/* ---- matmul ---- */

typedef struct product {
    int64_t batch, m, n, k;
    int ta, tb, add;
    gpu_kernel kernel;
    int64_t k_each;
    int aside; /* elements from a multiple of 16 bytes to where the operands and the result begin */
} product;

static void multiply(const product *p, const double *a, const double *b, double *c)
{
    for (int64_t i = 0; i < p->batch * p->m * p->n; i++) {
        const int64_t which = i / (p->m * p->n), row = i / p->n % p->m, col = i % p->n;
        const double *x = a + which * p->m * p->k, *y = b + which * p->k * p->n;
        double sum = p->add ? c[i] : 0;
        for (int64_t k = 0; k < p->k; k++)
            sum += x[p->ta ? k * p->m + row : row * p->k + k] *
                   y[p->tb ? col * p->k + k : k * p->n + col];
        c[i] = sum;
    }
}

static void check_matmul(dtype t, const product *p)
{
    const int64_t count = p->batch * p->m * p->n;
    double *a, *b, *c;
    kx x;

    kx_open(&x, t, 3);
    matmul_args args = {.m = p->m,
                        .n = p->n,
                        .k = p->k,
                        .lda = p->ta ? p->m : p->k,
                        .ldb = p->tb ? p->k : p->n,
                        .ldc = p->n,
                        .batch = p->batch,
                        .a_step = p->m * p->k,
                        .b_step = p->k * p->n,
                        .c_step = p->m * p->n,
                        .k_each = p->k_each,
                        .ta = p->ta,
                        .tb = p->tb,
                        .accumulate = p->add};
    const size_t aside = (size_t)p->aside * dtype_size(t);
    args.a = (char *)kx_numbers(&x, p->batch * p->m * p->k + p->aside, &a) + aside;
    args.b = (char *)kx_numbers(&x, p->batch * p->k * p->n + p->aside, &b) + aside;
    args.c = (char *)kx_numbers(&x, count + p->aside, &c) + aside;
    multiply(p, a + p->aside, b + p->aside, c + p->aside);
    kx_call(&x, p->kernel, &args, sizeof args);
    kx_compare(&x, "matmul", args.c, c + p->aside, count, tol_of(t));
    free(a), free(b), free(c);
    kx_close(&x);
}

static const gpu_kernel matmuls[] = {GPU_matmul, GPU_matmul_small, GPU_matmul_large,
                                     GPU_matmul_narrow, GPU_matmul_tall};

TEST(cuda_matmul_is_right_in_all_layouts_and_tiles)
{
    static const int64_t sizes[][4] = {{1, 1, 1, 1},     {1, 64, 64, 16},  {2, 65, 33, 17},
                                       {1, 130, 31, 5},  {3, 7, 150, 100}, {1, 5, 3, 0},
                                       {1, 0, 3, 4},     {0, 3, 3, 3},     {1, 132, 68, 36},
                                       {1, 36, 132, 52}, {2, 130, 66, 50}};

    for (int t = F32; t <= F64; t++)
        for (size_t i = 0; i < COUNT(sizes) * COUNT(matmuls) * 4; i++) {
            const int64_t *s = sizes[i / 4 / COUNT(matmuls)];
            const product p = {.batch = s[0],
                               .m = s[1],
                               .n = s[2],
                               .k = s[3],
                               .ta = (int)(i & 1),
                               .tb = (int)(i >> 1 & 1),
                               .add = (int)(i % 3 == 0),
                               .kernel = matmuls[i / 4 % COUNT(matmuls)],
                               .k_each = 128};
            if (kx_has((dtype)t, p.kernel)) check_matmul((dtype)t, &p);
        }
}

/* Vectors are not read from places where they cannot lie. */
TEST(cuda_matmul_of_what_lies_anywhere)
{
    for (int t = F32; t <= F64; t++)
        for (size_t i = 0; i < 3 * COUNT(matmuls) * 4; i++) {
            const product p = {.batch = 1,
                               .m = 36,
                               .n = 68,
                               .k = 24,
                               .ta = (int)(i & 1),
                               .tb = (int)(i >> 1 & 1),
                               .kernel = matmuls[i / 4 % COUNT(matmuls)],
                               .k_each = 128,
                               .aside = 1 + (int)(i / 4 / COUNT(matmuls))};
            if (kx_has((dtype)t, p.kernel)) check_matmul((dtype)t, &p);
        }
}

/* A k that is cut: each share's part by itself, then their sum. */
TEST(cuda_shares_of_a_product_add_up)
{
    const product p = {.batch = 2, .m = 33, .n = 20, .k = 100, .ta = 1, .k_each = 32};
    const int64_t count = p.batch * p.m * p.n;

    for (int t = F32; t <= F64; t++)
        for (int add = 0; add < 2; add++) {
            double *a, *b, *c;
            kx x;
            kx_open(&x, (dtype)t, 4);
            matmul_args args = {.m = p.m, .n = p.n, .k = p.k, .lda = p.m, .ldb = p.n, .ldc = p.n};
            args.batch = p.batch, args.a_step = p.m * p.k, args.b_step = p.k * p.n;
            args.c_step = p.m * p.n, args.k_each = p.k_each, args.share_step = count, args.ta = 1;
            args.a = kx_numbers(&x, p.batch * p.m * p.k, &a);
            args.b = kx_numbers(&x, p.batch * p.k * p.n, &b);
            args.c = kx_new(&x, (size_t)(4 * count) * dtype_size(x.type));
            fold_args sum = {.from = args.c, .shares = 4, .share_step = count, .accumulate = add};
            sum.r = 1, sum.p = count, sum.q = 1;
            sum.to = kx_numbers(&x, count, &c);
            multiply(&(product){p.batch, p.m, p.n, p.k, 1, 0, add, 0, 0, 0}, a, b, c);
            KX_CALL(&x, matmul_small, &args);
            KX_CALL(&x, fold, &sum);
            kx_compare(&x, "shares", sum.to, c, count, tol_of(x.type));
            free(a), free(b), free(c);
            kx_close(&x);
        }
}

/* ---- moves ---- */

static size_t bytes_of(dtype t)
{
    return dtype_size(t);
}

/* Pieces of every length and offset, units of 16, 4 and 1 bytes, with more and with fewer threads
 * than there is work for; bytes beside them stay. */
TEST(cuda_pieces_are_carried)
{
    enum { BYTES = 20000 };
    static const int64_t piece[][3] = {{0, 32, 4096}, {4100, 4200, 20},   {4131, 5001, 77},
                                       {5000, 0, 1},  {6000, 6016, 8000}, {16001, 17003, 2001},
                                       {64, 5200, 0}};
    unsigned char from[BYTES], want[BYTES], got[BYTES];

    for (int64_t bytes = 1; bytes <= 100000; bytes *= 100) {
        carry_table table = {0};
        kx x;
        kx_open(&x, F32, 1);
        for (int i = 0; i < BYTES; i++) from[i] = (unsigned char)(i * 7 % 251), want[i] = 0;
        char *a = kx_up(&x, from, BYTES), *y = kx_new(&x, BYTES);
        for (size_t i = 0; i < COUNT(piece); i++) {
            table.piece[table.pieces++] =
                (carry_piece){a + piece[i][0], y + piece[i][1], piece[i][2]};
            memcpy(want + piece[i][1], from + piece[i][0], (size_t)piece[i][2]);
        }
        const carry_args args = {.table = kx_up(&x, &table, sizeof table), .bytes = bytes};
        KX_CALL(&x, carry, &args);
        kx_down(&x, got, y, BYTES);
        CHECK(memcmp(got, want, BYTES) == 0);
        kx_close(&x);
    }
}

/* Zeros around, a part of, turned axes, repeated: all four at once, in each size of element. */
TEST(cuda_walks_reach_every_element)
{
    static const dtype types[] = {U8, F32, F64};

    for (size_t k = 0; k < COUNT(types); k++) {
        const int32_t size = (int32_t)bytes_of(types[k]);
        unsigned char a[6 * 5 * 8], y[2 * 7 * 3 * 8], want[2 * 7 * 3 * 8] = {0};
        kx x;
        kx_open(&x, F32, 8);
        for (size_t i = 0; i < sizeof a; i++) a[i] = (unsigned char)kx_below(&x, 256);
        /* y[r, i, j] = a[j + 1, i - 1], r twice, i - 1 in [0, 5) */
        move_args args = {.a = kx_up(&x, a, sizeof a), .rank = 3, .size = size, .count = 42};
        const int64_t dim[] = {2, 7, 3}, from[] = {0, 1, 5}, shift[] = {0, 1, -1};
        const int64_t limit[] = {2, 5, 6};
        memcpy(args.dim, dim, sizeof dim);
        memcpy(args.from, from, sizeof from), memcpy(args.shift, shift, sizeof shift);
        memcpy(args.limit, limit, sizeof limit);
        args.y = kx_new(&x, sizeof y);
        for (int i = 0; i < 42; i++) {
            const int row = i / 3 % 7 - 1, col = i % 3 + 1;
            if (row >= 0 && row < 5)
                memcpy(want + i * size, a + (col * 5 + row) * size, (size_t)size);
        }
        KX_CALL(&x, move, &args);
        kx_down(&x, y, args.y, (size_t)(42 * size));
        CHECK(memcmp(y, want, (size_t)(42 * size)) == 0);
        kx_close(&x);
    }
}

/* y[i, j, k] = a[i, k, j], and a step further where a's rows are longer. */
TEST(cuda_turns_of_axes)
{
    static const int64_t dims[][3] = {{1, 32, 32}, {2, 33, 31}, {3, 5, 70}, {1, 1, 1}, {2, 64, 1}};

    for (size_t n = 0; n < COUNT(dims) * 2; n++) {
        const int64_t *d = dims[n / 2], count = d[0] * d[1] * d[2], row = d[1] + 2;
        double *a, *want = malloc((size_t)count * sizeof *want);
        kx x;
        kx_open(&x, n % 2 ? F32 : F64, 11);
        turn_args args = {.a = kx_numbers(&x, d[0] * row * d[2], &a), .rank = 3, .axis = 1};
        args.size = (int32_t)bytes_of(x.type), args.count = count;
        memcpy(args.dim, d, 3 * sizeof *d);
        args.from[0] = row * d[2], args.from[1] = 1, args.from[2] = row;
        args.y = kx_new(&x, (size_t)count * bytes_of(x.type));
        for (int64_t i = 0; i < count; i++)
            want[i] = a[i / d[2] / d[1] * row * d[2] + i % d[2] * row + i / d[2] % d[1]];
        KX_CALL(&x, turn, &args);
        kx_compare(&x, "turn", args.y, want, count, 0);
        free(a), free(want);
        kx_close(&x);
    }
}

static void check_by_index(dtype t, int64_t n, int64_t rows, int64_t cols)
{
    const size_t size = bytes_of(t);
    double *a, *b;
    int32_t *index;
    kx x;

    kx_open(&x, t, 9);
    gather_args g = {.n = n, .rows = rows, .cols = cols, .size = (int32_t)size};
    g.a = kx_numbers(&x, rows * cols, &a);
    g.index = kx_indices(&x, n, rows, &index);
    g.y = kx_new(&x, (size_t)(n * cols) * size);
    g.bad = kx_new(&x, sizeof *g.bad);
    double *want = malloc(((size_t)(n * cols) + 1) * sizeof *want);
    for (int64_t i = 0; i < n * cols; i++) want[i] = a[index[i / cols] * cols + i % cols];
    KX_CALL(&x, gather, &g);
    kx_compare(&x, "gather", g.y, want, n * cols, 0);
    if (cols == 1) {
        g.y = kx_new(&x, (size_t)n * size);
        KX_CALL(&x, take, &g);
        kx_compare(&x, "take", g.y, want, n, 0);
    }
    for (int by_index = 0; by_index < 2; by_index++) {
        scatter_args s = {.index = g.index, .bad = g.bad, .n = n, .rows = rows, .cols = cols};
        s.a = kx_numbers(&x, n * cols, &b);
        s.y = kx_new(&x, (size_t)(rows * cols) * size);
        s.by_index = by_index;
        double *sum = calloc((size_t)(rows * cols) + 1, sizeof *sum);
        for (int64_t i = 0; i < n * cols; i++) sum[index[i / cols] * cols + i % cols] += b[i];
        KX_CALL(&x, scatter, &s);
        kx_compare(&x, "scatter", s.y, sum, rows * cols, tol_of(t));
        free(b), free(sum);
    }
    uint64_t bad = 0;
    kx_down(&x, &bad, g.bad, sizeof bad);
    CHECK(bad == 0);
    free(a), free(index), free(want);
    kx_close(&x);
}

TEST(cuda_rows_by_index_come_and_go)
{
    static const int64_t sizes[][3] = {{5, 3, 1},    {1, 1, 1},   {0, 4, 3},     {300, 7, 5},
                                       {40, 900, 1}, {9, 4, 600}, {600, 300, 2}, {7, 5, 8}};

    for (int t = F32; t <= F64; t++)
        for (size_t i = 0; i < COUNT(sizes); i++)
            check_by_index((dtype)t, sizes[i][0], sizes[i][1], sizes[i][2]);
}

/* What bad_index of body.h makes of it. */
static uint64_t flag_of(int32_t index, int64_t rows)
{
    return (uint64_t)1 << 63 | (uint64_t)rows << 32 | (uint32_t)index;
}

TEST(cuda_index_outside_is_told_and_nothing_else_is_written)
{
    static const int32_t bad[] = {-1, 4};

    for (int i = 0; i < 8; i++) {
        const int32_t index[3] = {2, bad[i % 2], 0};
        const float ones[12] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
        uint64_t flag = 0;
        float y[8] = {0};
        kx x;
        kx_open(&x, F32, 1);
        gather_args g = {.n = 3, .rows = 4, .cols = 2, .size = 4};
        scatter_args s = {.n = 3, .rows = 4, .cols = 2, .by_index = i / 2 == 3};
        g.a = s.a = kx_up(&x, ones, sizeof ones);
        g.index = s.index = kx_up(&x, index, sizeof index);
        g.bad = s.bad = kx_new(&x, sizeof flag);
        g.y = s.y = kx_new(&x, sizeof y);
        if (i / 2 == 0) KX_CALL(&x, gather, &g);
        if (i / 2 == 1) g.cols = 1, kx_call(&x, GPU_take, &g, sizeof g);
        if (i / 2 >= 2) KX_CALL(&x, scatter, &s);
        kx_down(&x, &flag, g.bad, sizeof flag);
        CHECK(flag == flag_of(bad[i % 2], 4));
        kx_down(&x, y, g.y, sizeof y);
        double sum = 0;
        for (int k = 0; k < 8; k++) sum += (double)y[k];
        CHECK_NEAR(sum, i / 2 == 1 ? 2 : 4, 0);
        kx_close(&x);
    }
}

TEST(cuda_casts_and_counts)
{
    static const double values[] = {0, 1, 3, 250, 7.75, -2.5, 1e12, -1e12, NAN};
    enum { N = COUNT(values) };

    for (int from = F32; from < BF16; from++)
        for (int to = F32; to <= I32; to++) {
            const int64_t n = from == U8 ? 4 : from == I32 ? 6 : N;
            double a[N], y[N];
            kx x;
            kx_open(&x, F32, 1);
            for (int64_t i = 0; i < n; i++) dtype_put((dtype)from, a, i, values[i]);
            cast_args args = {.count = n, .from = from, .to = to, .a = kx_up(&x, a, sizeof a)};
            args.y = kx_new(&x, sizeof y);
            KX_CALL(&x, cast, &args);
            kx_down(&x, y, args.y, sizeof y);
            for (int64_t i = 0; i < n; i++) {
                double want = dtype_get((dtype)from, a, i);
                if (to == I32)
                    want = isnan(want) ? 0 : fmax(fmin(trunc(want), INT32_MAX), INT32_MIN);
                if (to == F32) want = (double)(float)want;
                const double got = dtype_get((dtype)to, y, i);
                CHECK(got == want || (isnan(got) && isnan(want)));
            }
            iota_args count = {.y = args.y, .count = 8, .inner = 2, .dim = 3, .to = to};
            KX_CALL(&x, iota, &count);
            kx_down(&x, y, args.y, sizeof y);
            for (int64_t i = 0; i < 8; i++)
                CHECK(dtype_get((dtype)to, y, i) == (double)(i / 2 % 3));
            kx_close(&x);
        }
}

/* ---- rows ---- */

static void check_rows(dtype t, int64_t rows, int64_t cols)
{
    double *a, *most = malloc(((size_t)rows + 1) * sizeof *most);
    double *lse = malloc(((size_t)rows + 1) * sizeof *lse);
    int32_t *at = malloc(((size_t)rows + 1) * sizeof *at);
    kx x;

    kx_open(&x, t, 10);
    rows_args args = {.rows = rows, .cols = cols, .a = kx_numbers(&x, rows * cols, &a)};
    args.y = kx_new(&x, (size_t)rows * 8);
    KX_CALL(&x, argmax, &args);
    kx_down(&x, at, args.y, (size_t)rows * sizeof *at);
    for (int64_t r = 0; r < rows; r++) {
        const double *v = a + r * cols;
        int64_t best = 0;
        double sum = 0;
        for (int64_t c = 1; c < cols; c++) best = v[c] > v[best] ? c : best;
        for (int64_t c = 0; c < cols; c++) sum += exp(v[c] - v[best]);
        most[r] = v[best], lse[r] = v[best] + log(sum);
        if (at[r] != best) CHECK_INT(at[r], best);
    }
    KX_CALL(&x, rowmax, &args);
    kx_compare(&x, "rowmax", args.y, most, rows, 0);
    KX_CALL(&x, logsumexp, &args);
    kx_compare(&x, "logsumexp", args.y, lse, rows, t == F32 ? 1e-6 : 1e-14);
    free(a), free(most), free(lse), free(at);
    kx_close(&x);
}

TEST(cuda_rows_are_right)
{
    static const int64_t sizes[][2] = {{1, 1},    {3, 2},   {300, 10}, {65, 33},
                                       {5, 1000}, {600, 1}, {0, 4}};

    for (int t = F32; t <= F64; t++)
        for (size_t i = 0; i < COUNT(sizes); i++) check_rows((dtype)t, sizes[i][0], sizes[i][1]);
}

/* As the CPU's: tests/exec/test_kernels.c. */
TEST(cuda_rows_survive_extremes)
{
    const double rows[] = {1000,     1000, -2000, -1000,     -1000,     -1e5,
                           INFINITY, 0,    1,     2,         -INFINITY, -INFINITY,
                           NAN,      0,    1,     -INFINITY, -INFINITY, -INFINITY};
    const double sums[] = {1000 + M_LN2, -1000 + M_LN2, INFINITY, 2, NAN, -INFINITY};
    static const int32_t first[] = {0, 0, 0, 0, 0, 0};

    for (int t = F32; t <= F64; t++) {
        unsigned char data[18 * 8];
        int32_t at[6];
        kx x;
        kx_open(&x, (dtype)t, 1);
        for (int64_t i = 0; i < 18; i++) dtype_put(x.type, data, i, rows[i]);
        rows_args args = {.rows = 6, .cols = 3, .a = kx_up(&x, data, sizeof data)};
        args.y = kx_new(&x, 6 * 8);
        KX_CALL(&x, logsumexp, &args);
        unsigned char got[6 * 8];
        kx_down(&x, got, args.y, sizeof got);
        for (int i = 0; i < 6; i++) {
            const double y = dtype_get(x.type, got, i);
            if (isfinite(sums[i])) CHECK_NEAR(y, sums[i], t == F32 ? 1e-4 : 1e-13);
            else CHECK(isnan(sums[i]) ? isnan(y) != 0 : y == sums[i]);
        }
        KX_CALL(&x, argmax, &args);
        kx_down(&x, at, args.y, sizeof at);
        CHECK(memcmp(at, first, sizeof at) == 0);
        kx_close(&x);
    }
}

/* ---- draws ---- */

TEST(cuda_draws_are_the_generators)
{
    const uint32_t words[4] = {123456789, 4000000000u, 77, 0};
    const rng_key k = {(uint64_t)words[1] << 32 | words[0], words[2], 5};
    enum { N = 3001 };

    for (int t = F32; t <= F64; t++) {
        unsigned char *y = malloc(N * 8);
        kx x;
        kx_open(&x, (dtype)t, 1);
        draw_args args = {.key = kx_up(&x, words, sizeof words), .count = N, .site = 5};
        args.y = kx_new(&x, N * 8);
        KX_CALL(&x, uniform, &args);
        kx_down(&x, y, args.y, N * 8);
        for (uint64_t i = 0; i < N; i++)
            if (dtype_get(x.type, y, (int64_t)i) !=
                (t == F32 ? (double)rng_uniform_f32(k, i) : rng_uniform(k, i)))
                test_fail(__FILE__, __LINE__, "uniform %s: element %d", dtype_name(x.type), (int)i);
        KX_CALL(&x, normal, &args);
        kx_down(&x, y, args.y, N * 8);
        for (uint64_t i = 0; i < N; i++)
            CHECK_NEAR(dtype_get(x.type, y, (int64_t)i), rng_normal(k, i), t == F32 ? 1e-6 : 1e-14);
        free(y);
        kx_close(&x);
    }
}

/* ---- the device ---- */

/* As a GPU's: who takes it for the host's is found out. */
TEST(cuda_memory_cannot_be_touched_by_the_host)
{
    kx x;
    int how = 0;

    kx_open(&x, F32, 1);
    const volatile char *there = kx_new(&x, 100);
    const pid_t child = fork();
    if (child == 0) {
        if (!freopen("/dev/null", "w", stderr)) _exit(1);
        _exit(there[50]); /* zeroed, if it could be read */
    }
    CHECK(waitpid(child, &how, 0) == child);
    CHECK(!WIFEXITED(how) || WEXITSTATUS(how) != 0);
    kx_close(&x);
}
