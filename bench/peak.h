/* The ceiling that a benchmark compares itself with: multiply-adds in registers alone, measured in
 * the same process and
 * the same moment; and the clock that leaves out what other programs take. */
#ifndef PEAK_H
#define PEAK_H
#include "exec/cpu/gemm.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Processor seconds of this thread. */
static inline double cpu_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* `rounds` times 24 independent chains of x = x * f + f. The body is the same text for each vector
 * length; the sums
 * are named variables, since gcc spills an array that inline assembly touches. */
#define PEAK_12(DO, p)                                                                             \
    DO(p##0)                                                                                       \
    DO(p##1)                                                                                       \
    DO(p##2) DO(p##3) DO(p##4) DO(p##5) DO(p##6) DO(p##7) DO(p##8) DO(p##9) DO(p##A) DO(p##B)
#define PEAK_CHAIN(x) vec x = {0};
#define PEAK_KEEP(x) __asm__ volatile("" : : PEAK_REG(x));
#if defined(__x86_64__)
#define PEAK_REG(x) "x"(x)
#define PEAK_FMA(x) __asm__ volatile("vfmadd231ps %1, %1, %0" : "+v"(x) : "v"(f));
#define PEAK_LOOP(name, isa, type)                                                                 \
    __attribute__((target(isa), noinline, unused)) static void name(int64_t rounds)                \
    {                                                                                              \
        typedef type vec;                                                                          \
        vec f = {0};                                                                               \
        PEAK_12(PEAK_CHAIN, x)                                                                     \
        for (int64_t i = 0; i < rounds; i++) {                                                     \
            PEAK_12(PEAK_FMA, x)                                                                   \
            PEAK_12(PEAK_FMA, x)                                                                   \
        }                                                                                          \
    }
typedef float peak_v8 __attribute__((vector_size(32)));
typedef float peak_v16 __attribute__((vector_size(64)));
PEAK_LOOP(peak_avx2, "avx2,fma", peak_v8)
PEAK_LOOP(peak_avx512, "avx512f,fma", peak_v16)
#endif

typedef float peak_v4 __attribute__((vector_size(16)));
/* A product and a sum are two instructions here. */
__attribute__((noinline, unused)) static void peak_portable(int64_t rounds)
{
    peak_v4 x0 = {0}, x1 = {0}, x2 = {0}, x3 = {0}, x4 = {0}, x5 = {0}, x6 = {0}, x7 = {0}, f = {0};

    for (int64_t i = 0; i < rounds * 3; i++) {
        x0 = x0 * f + f, x1 = x1 * f + f, x2 = x2 * f + f, x3 = x3 * f + f;
        x4 = x4 * f + f, x5 = x5 * f + f, x6 = x6 * f + f, x7 = x7 * f + f;
        __asm__ volatile("" : : "m"(f) : "memory");
    }
    volatile float sink = (x0 + x1 + x2 + x3 + x4 + x5 + x6 + x7)[0];
    (void)sink;
}

/* FLOP/s of `isa` on this core now, from about 50 microseconds. */
static inline double peak_flops(cpu_isa isa)
{
    enum { ROUNDS = 6000 };
    double lanes = isa == ISA_AVX512 ? 16 : isa == ISA_AVX2 ? 8 : 4, start = cpu_seconds();

#if defined(__x86_64__)
    if (isa == ISA_AVX512) peak_avx512(ROUNDS);
    else if (isa == ISA_AVX2) peak_avx2(ROUNDS);
    else peak_portable(ROUNDS);
#else
    peak_portable(ROUNDS);
#endif
    return 2.0 * 24 * lanes * ROUNDS / (cpu_seconds() - start);
}

static inline int peak_compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Sorts x. */
static inline double median(double *x, int n)
{
    qsort(x, (size_t)n, sizeof *x, peak_compare);
    return n % 2 ? x[n / 2] : 0.5 * (x[n / 2 - 1] + x[n / 2]);
}

/* The processor's name as Linux gives it. */
static inline void print_machine(const char *bench, cpu_isa isa)
{
    char line[256], name[256] = "unknown\n";
    FILE *f = fopen("/proc/cpuinfo", "r");

    while (f && fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !colon) continue;
        snprintf(name, sizeof name, "%s", colon + 2);
        break;
    }
    if (f) fclose(f);
    printf("%s: %s, one thread, %s", bench, cpu_isa_name(isa), name);
}
#endif
