/* Products against a naive loop. Operands are small integers, so every order of summation gives
 * the same exact value:
 * what fails is a wrong element, not rounding. */
#include "base/rng.h"
#include "exec/cpu/gemm.h"
#include "test.h"
#include <sys/mman.h>
#include <unistd.h>

enum { GUARD = 64, LIMIT = 7 }; /* guard elements around C; operands lie in [-LIMIT, LIMIT] */
static const double UNTOUCHED = 12345;

/* Memory whose end is the end of what may be touched: the page after it is locked. */
typedef struct fenced {
    void *map;
    size_t bytes;
} fenced;

typedef struct product {
    gemm_shape s;
    bool f64;
    void *a, *b, *c, *work;
    double *want; /* GUARD + m * ldc + GUARD */
    size_t c_count, work_bytes;
    fenced fence[3];
} product;

static double get(const product *p, const void *x, int64_t i)
{
    return p->f64 ? ((const double *)x)[i] : (double)((const float *)x)[i];
}

static void put(const product *p, void *x, int64_t i, double v)
{
    if (p->f64) ((double *)x)[i] = v;
    else ((float *)x)[i] = (float)v;
}

static void *fenced_open(const product *p, int64_t count, fenced *f)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE),
           bytes = (size_t)count * (p->f64 ? sizeof(double) : sizeof(float));
    size_t whole = (bytes + page - 1) / page * page;

    f->bytes = whole + page;
    f->map = mmap(NULL, f->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (f->map == MAP_FAILED || mprotect((char *)f->map + whole, page, PROT_NONE) != 0) abort();
    return (char *)f->map + whole - bytes;
}

static void *filled(const product *p, int64_t count, uint32_t site, fenced *f)
{
    if (count < 0) count = 0;
    void *x = fenced_open(p, count, f);

    for (int64_t i = 0; i < count; i++)
        put(p, x, i,
            (double)(rng_u64((rng_key){11, site, 0}, (uint64_t)i) % (2 * LIMIT + 1)) - LIMIT);
    return x;
}

static void naive(product *p)
{
    const gemm_shape *s = &p->s;

    for (int64_t i = 0; i < s->m; i++) {
        for (int64_t j = 0; j < s->n; j++) {
            double sum = s->acc ? p->want[GUARD + i * s->ldc + j] : 0;
            for (int64_t q = 0; q < s->k; q++)
                sum += get(p, p->a, s->ta ? q * s->lda + i : i * s->lda + q) *
                       get(p, p->b, s->tb ? j * s->ldb + q : q * s->ldb + j);
            p->want[GUARD + i * s->ldc + j] = sum;
        }
    }
}

static void product_open(product *p, cpu_isa isa)
{
    const gemm_shape *s = &p->s;
    int64_t a_count = s->ta ? (s->k - 1) * s->lda + s->m : (s->m - 1) * s->lda + s->k;
    int64_t b_count = s->tb ? (s->n - 1) * s->ldb + s->k : (s->k - 1) * s->ldb + s->n;

    p->a = filled(p, a_count, 1, &p->fence[0]);
    p->b = filled(p, b_count, 2, &p->fence[1]);
    p->c_count = (size_t)(s->m * s->ldc + 2 * GUARD);
    p->c = filled(p, (int64_t)p->c_count, 3, &p->fence[2]);
    p->want = calloc(p->c_count, sizeof(double));
    p->work_bytes = p->f64 ? gemm_f64_work(isa, s) : gemm_f32_work(isa, s);
    p->work = aligned_alloc(64, (p->work_bytes + 63) / 64 * 64 + GUARD);
    if (!p->want || !p->work) abort();
    memset(p->work, 0xff,
           p->work_bytes + GUARD); /* NaN: scratch must be written before it is read */
    for (size_t i = 0; i < p->c_count; i++) {
        bool outside =
            i < GUARD || i >= p->c_count - GUARD || (int64_t)(i - GUARD) % s->ldc >= s->n;
        if (outside) put(p, p->c, (int64_t)i, UNTOUCHED);
        p->want[i] = get(p, p->c, (int64_t)i);
    }
    naive(p);
}

static void product_close(product *p)
{
    for (int i = 0; i < 3; i++) munmap(p->fence[i].map, p->fence[i].bytes);
    free(p->want), free(p->work);
}

static void compute(product *p, cpu_isa isa)
{
    if (p->f64) gemm_f64(isa, &p->s, p->a, p->b, (double *)p->c + GUARD, p->work);
    else gemm_f32(isa, &p->s, p->a, p->b, (float *)p->c + GUARD, p->work);
}

static void check_product(gemm_shape s, cpu_isa isa, bool f64)
{
    product p = {.s = s, .f64 = f64};
    size_t wrong = 0;

    product_open(&p, isa);
    compute(&p, isa);
    for (size_t i = 0; i < p.c_count; i++) wrong += get(&p, p.c, (int64_t)i) != p.want[i];
    for (size_t i = 0; i < GUARD; i++) wrong += ((unsigned char *)p.work)[p.work_bytes + i] != 0xff;
    if (wrong)
        test_fail(__FILE__, __LINE__, "%s %s %c%c %lld x %lld x %lld acc %d: %zu elements wrong",
                  cpu_isa_name(isa), f64 ? "f64" : "f32", s.ta ? 'T' : 'N', s.tb ? 'T' : 'N',
                  (long long)s.m, (long long)s.n, (long long)s.k, s.acc, wrong);
    product_close(&p);
}

static gemm_shape shaped(int64_t m, int64_t n, int64_t k, int flags, int64_t slack)
{
    gemm_shape s = {.m = m, .n = n, .k = k, .ta = flags & 1, .tb = flags & 2, .acc = flags & 4};

    s.lda = (s.ta ? m : k) + slack + 1;
    s.ldb = (s.tb ? k : n) + 2 * slack + 1;
    s.ldc = n + 3 * slack + 1;
    if (slack == 0) s.lda--, s.ldb--, s.ldc--;
    if (s.ldc == 0) s.ldc = 1;
    return s;
}

/* Every size near the kernels' tile edges, with all flags. */
TEST(a_product_is_exact_on_integers_at_every_tile_edge)
{
    const int64_t sizes[] = {1, 2, 3, 5, 8, 13, 16, 17, 33, 50};

    for (cpu_isa isa = ISA_PORTABLE; isa <= cpu_isa_best(); isa++)
        for (size_t x = 0; x < COUNT(sizes) * COUNT(sizes) * COUNT(sizes); x++)
            for (int flags = 0; flags < 8; flags++)
                check_product(shaped(sizes[x % 10], sizes[x / 10 % 10], sizes[x / 100], flags,
                                     (int64_t)x % 3),
                              isa, false);
}

TEST(every_count_of_rows_and_columns_is_exact)
{
    for (cpu_isa isa = ISA_PORTABLE; isa <= cpu_isa_best(); isa++)
        for (int64_t m = 1; m <= 30; m++)
            for (int64_t n = 1; n <= 70; n++)
                check_product(shaped(m, n, 20, (int)(m + n) % 8, 0), isa, false);
}

TEST(the_shapes_of_the_models_are_exact)
{
    static const int64_t shapes[][4] = {
        {50, 50, 784, 2},   {50, 50, 50, 2},    {50, 10, 50, 2},    {50, 50, 50, 0},
        {50, 50, 10, 0},    {50, 784, 50, 1},   {50, 50, 50, 1},    {10, 50, 50, 1},
        {128, 10, 800, 2},  {128, 200, 784, 2}, {128, 200, 800, 0}, {128, 800, 10, 0},
        {300, 784, 128, 1}, {10, 800, 128, 1},  {512, 50, 784, 2},  {700, 33, 300, 1},
        {257, 100, 600, 0}, {257, 65, 600, 3},  {31, 700, 513, 1},
    };

    for (cpu_isa isa = ISA_PORTABLE; isa <= cpu_isa_best(); isa++)
        for (size_t i = 0; i < COUNT(shapes); i++)
            for (int acc = 0; acc < 2; acc++)
                check_product(shaped(shapes[i][0], shapes[i][1], shapes[i][2],
                                     (int)shapes[i][3] + 4 * acc, acc),
                              isa, false);
}

TEST(an_empty_product_writes_zeros_or_keeps_what_is_there)
{
    for (cpu_isa isa = ISA_PORTABLE; isa <= cpu_isa_best(); isa++) {
        for (int flags = 0; flags < 8; flags++) {
            check_product(shaped(5, 19, 0, flags, 1), isa, false);
            check_product(shaped(0, 19, 3, flags, 1), isa, false);
            check_product(shaped(5, 0, 3, flags, 1), isa, false);
            check_product(shaped(5, 19, 0, flags, 1), isa, true);
        }
    }
}

TEST(a_product_in_double_is_exact_on_integers)
{
    const int64_t sizes[] = {1, 3, 16, 17, 50, 300};

    for (cpu_isa isa = ISA_PORTABLE; isa <= cpu_isa_best(); isa++)
        for (size_t x = 0; x < 6 * 6 * 6; x++)
            check_product(
                shaped(sizes[x % 6], sizes[x / 6 % 6], sizes[x / 36], (int)x % 8, (int64_t)x % 3),
                isa, true);
}
