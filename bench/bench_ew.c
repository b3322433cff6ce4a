/* Elementwise kernels and reductions: nanoseconds an element on a run that stays in the
 * first-level cache, at the
 * length of a tile of the planner and at the length of a layer.
 *
 *   bench_ew [portable|avx2|avx512]      pin it: taskset -c 0 bench_ew */
#include "exec/cpu/ew.h"
#include "peak.h"

enum { ROUNDS = 41, LENGTHS = 2, LONGEST = 2500 };
static const int64_t lengths[LENGTHS] = {500, LONGEST};

static struct {
    cpu_isa isa;
    float a[LONGEST], b[LONGEST], c[LONGEST], y[LONGEST];
} bench;

/* op < EW_COUNT: a kernel; then sum, dot, max. */
static void once(int op, int64_t n)
{
    volatile double sink = 0;

    if (op < EW_COUNT)
        ew_get(bench.isa, F32, (ew_op)op)(n, bench.y, bench.a, bench.b, bench.c, 0.5);
    else if (op == EW_COUNT) sink = ew_sum(bench.isa, F32)(n, bench.a);
    else if (op == EW_COUNT + 1) sink = ew_dot(bench.isa, F32)(n, bench.a, bench.b);
    else sink = ew_max(bench.isa, F32)(n, bench.a);
    (void)sink;
}

/* Nanoseconds an element, from about 50000 elements. */
static double nanos(int op, int64_t n)
{
    int times = (int)(50000 / n);

    once(op, n);
    double start = cpu_seconds();
    for (int i = 0; i < times; i++) once(op, n);
    return (cpu_seconds() - start) * 1e9 / (double)(times * n);
}

int main(int argc, char **argv)
{
    enum { OPS = EW_COUNT + 3 };
    static const char *const sums[] = {"SUM", "DOT", "MAX"};
    static double t[OPS][LENGTHS][ROUNDS], peaks[ROUNDS];

    bench.isa = cpu_isa_best();
    for (cpu_isa i = ISA_PORTABLE; argc > 1 && i < bench.isa; i++)
        if (strcmp(argv[1], cpu_isa_name(i)) == 0) bench.isa = i;
    for (int i = 0; i < LONGEST; i++) {
        bench.a[i] = (float)(i * 7919 % 2003) / 300 + 0.01f; /* positive, for log and sqrt */
        bench.b[i] = bench.c[i] = (float)(i * 7907 % 2011) / 1000 - 1;
    }
    for (int r = 0; r < ROUNDS; r++) {
        peaks[r] = peak_flops(bench.isa);
        for (int op = 0; op < OPS; op++)
            for (int l = 0; l < LENGTHS; l++) t[op][l][r] = nanos(op, lengths[l]);
    }
    print_machine("bench_ew", bench.isa);
    printf("peak %.1f GFLOP/s; medians of %d; ns an element at n = 500 and 2500\n",
           median(peaks, ROUNDS) / 1e9, ROUNDS);
    for (int op = 0; op < OPS; op++)
        printf("%-9s %7.3f %7.3f\n", op < EW_COUNT ? ew_name((ew_op)op) : sums[op - EW_COUNT],
               median(t[op][0], ROUNDS), median(t[op][1], ROUNDS));
    printf("ew_tanh_ns ratio %.4f\n", median(t[EW_TANH][1], ROUNDS));
    printf("ew_exp_ns ratio %.4f\n", median(t[EW_EXP][1], ROUNDS));
    return 0;
}
