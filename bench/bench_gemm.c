/* Products of the two MLPs' training steps, as shares of the multiply-add peak probed in the same
 * round, next to
 * oneDNN's dnnl_sgemm where libdnnl can be loaded (this program alone loads it, and only to
 * compare). Operands are hot:
 * each is used again and again, as far as the caches hold it.
 *
 *   bench_gemm [portable|avx2|avx512]      pin it: taskset -c 0 bench_gemm */
#include "peak.h"
#include <dlfcn.h>

enum { ROUNDS = 41 };

typedef struct product {
    int64_t m, n, k;
    const char *flags; /* op(A) op(B): "NT" is x W^T */
    int small,
        large; /* times in one training step of 784-50-50-50-10 (b50), 784-800-800-10 (b128) */
} product;

static const product products[] = {
    {50, 50, 784, "NT", 1, 0},   {50, 50, 50, "NT", 2, 0},   {50, 10, 50, "NT", 1, 0},
    {50, 50, 10, "NN", 1, 0},    {50, 50, 50, "NN", 2, 0},   {10, 50, 50, "TN", 1, 0},
    {50, 50, 50, "TN", 2, 0},    {50, 784, 50, "TN", 1, 0},  {128, 800, 784, "NT", 0, 1},
    {128, 800, 800, "NT", 0, 1}, {128, 10, 800, "NT", 0, 1}, {128, 800, 10, "NN", 0, 1},
    {128, 800, 800, "NN", 0, 1}, {10, 800, 128, "TN", 0, 1}, {800, 800, 128, "TN", 0, 1},
    {800, 784, 128, "TN", 0, 1}, {512, 50, 784, "NT", 0, 0}, {1000, 50, 784, "NT", 0, 0},
};
enum { PRODUCTS = sizeof products / sizeof products[0] };

typedef int sgemm_fn(char ta, char tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a,
                     int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc);

static struct {
    cpu_isa isa;
    sgemm_fn *peer;
    float *a, *b, *c;
    void *work;
} bench;

static gemm_shape shape_of(const product *p)
{
    gemm_shape s = {
        .m = p->m, .n = p->n, .k = p->k, .ta = p->flags[0] == 'T', .tb = p->flags[1] == 'T'};

    s.lda = s.ta ? s.m : s.k, s.ldb = s.tb ? s.k : s.n, s.ldc = s.n;
    return s;
}

static double work_of(const product *p)
{
    return 2.0 * (double)p->m * (double)p->n * (double)p->k;
}

static void ours(const gemm_shape *s)
{
    gemm_f32(bench.isa, s, bench.a, bench.b, bench.c, bench.work);
}

static void peer(const gemm_shape *s)
{
    bench.peer(s->ta ? 'T' : 'N', s->tb ? 'T' : 'N', s->m, s->n, s->k, 1, bench.a, s->lda, bench.b,
               s->ldb, 0, bench.c, s->ldc);
}

/* Seconds of one product: the mean of about 4 MFLOP of them. */
static double seconds(const product *p, void (*run)(const gemm_shape *))
{
    gemm_shape s = shape_of(p);
    int times = 1 + (int)(4e6 / work_of(p));

    run(&s);
    double start = cpu_seconds();
    for (int i = 0; i < times; i++) run(&s);
    return (cpu_seconds() - start) / times;
}

static void *numbers(size_t count)
{
    float *x = aligned_alloc(64, count * sizeof *x);

    if (!x) abort();
    for (size_t i = 0; i < count; i++) x[i] = (float)(i * 7919 % 2003) / 1000 - 1;
    return x;
}

static void setup(int argc, char **argv)
{
    size_t work = 64;

    bench.isa = cpu_isa_best();
    for (cpu_isa i = ISA_PORTABLE; argc > 1 && i < bench.isa; i++)
        if (strcmp(argv[1], cpu_isa_name(i)) == 0) bench.isa = i;
    for (int i = 0; i < PRODUCTS; i++) {
        gemm_shape s = shape_of(&products[i]);
        size_t w = gemm_f32_work(bench.isa, &s);
        work = w > work ? w : work;
    }
    bench.a = numbers(1 << 20), bench.b = numbers(1 << 20), bench.c = numbers(1 << 20);
    bench.work = aligned_alloc(64, (work + 63) / 64 * 64);
    if (!bench.work) abort();
    setenv("OMP_NUM_THREADS", "1", 1);
    void *lib = dlopen("libdnnl.so.2", RTLD_NOW | RTLD_LOCAL);
    if (lib) *(void **)&bench.peer = dlsym(lib, "dnnl_sgemm");
}

int main(int argc, char **argv)
{
    static double share[2][PRODUCTS][ROUNDS], micros[PRODUCTS][ROUNDS], steps[2][2][ROUNDS],
        peaks[ROUNDS];

    setup(argc, argv);
    for (int r = 0; r < ROUNDS; r++) {
        double flops[2] = {0}, spent[2][2] = {{0}};
        for (int i = 0; i < PRODUCTS; i++) {
            const product *p = &products[i];
            double peak = peaks[r] = peak_flops(bench.isa), t[2] = {seconds(p, ours), 0};
            if (bench.peer) t[1] = seconds(p, peer);
            micros[i][r] = t[0] * 1e6;
            for (int w = 0; w < 2; w++) {
                share[w][i][r] = work_of(p) / t[w] / peak;
                spent[w][0] += p->small * t[w] * peak, spent[w][1] += p->large * t[w] * peak;
            }
            flops[0] += p->small * work_of(p), flops[1] += p->large * work_of(p);
        }
        for (int w = 0; w < 2; w++)
            for (int net = 0; net < 2; net++) steps[w][net][r] = flops[net] / spent[w][net];
    }
    print_machine("bench_gemm", bench.isa);
    printf("peak %.1f GFLOP/s; medians of %d; %s\n", median(peaks, ROUNDS) / 1e9, ROUNDS,
           bench.peer ? "peer dnnl_sgemm" : "no libdnnl.so.2 to compare with");
    for (int i = 0; i < PRODUCTS; i++) {
        const product *p = &products[i];
        printf("%s %4d x %3d x %3d  %8.2f us  %5.1f %%", p->flags, (int)p->m, (int)p->n, (int)p->k,
               median(micros[i], ROUNDS), 100 * median(share[0][i], ROUNDS));
        printf(bench.peer ? "  peer %5.1f %%\n" : "\n", 100 * median(share[1][i], ROUNDS));
    }
    if (bench.peer)
        printf("peer: small %.3f large %.3f\n", median(steps[1][0], ROUNDS),
               median(steps[1][1], ROUNDS));
    printf("gemm_small_peak_share ratio %.4f\n", median(steps[0][0], ROUNDS));
    printf("gemm_large_peak_share ratio %.4f\n", median(steps[0][1], ROUNDS));
    return 0;
}
