/* Which instruction sets this processor (and operating system) can run. */
#include "exec/cpu/gemm.h"

cpu_isa cpu_isa_best(void)
{
#if defined(__x86_64__) || defined(__i386__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
        return ISA_AVX512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return ISA_AVX2;
#endif
    return ISA_PORTABLE;
}

const char *cpu_isa_name(cpu_isa isa)
{
    static const char *const names[ISA_COUNT] = {"portable", "avx2", "avx512"};

    return names[isa];
}
