/* drmad_info(): the one table of what a result file and `drmad version` say about build and
 * machine. */
#include "drmad/info.h"
#include "base/base.h"
#include "base/version.h"
#include "exec/cpu/gemm.h"
#include "exec/cuda/cuda.h"
#include <stdio.h>
#include <string.h>

enum { INFO_VERSION, INFO_GIT, INFO_COMPILER, INFO_ISA, INFO_CPU, INFO_THREADS, INFO_KERNEL };

static const char *const keys[] = {
    [INFO_VERSION] = "version", [INFO_GIT] = "git", [INFO_COMPILER] = "compiler",
    [INFO_ISA] = "isa",         [INFO_CPU] = "cpu", [INFO_THREADS] = "threads",
    [INFO_KERNEL] = "kernel",
};

const char *drmad_info_key(int i)
{
    return i >= 0 && (size_t)i < COUNT(keys) ? keys[i] : NULL;
}

drmad_status drmad_info(drmad_ctx *ctx, const char *key, char *buf, size_t size)
{
    size_t i = 0;

    if (strcmp(key, "cuda") == 0) {
        if (cuda_describe(ctx, 0, buf, size) != DRMAD_OK)
            snprintf(buf, size, "none: %s", drmad_errmsg(ctx));
        return DRMAD_OK;
    }
    while (i < COUNT(keys) && strcmp(keys[i], key) != 0) i++;
    switch (i) {
    case INFO_VERSION: snprintf(buf, size, "%s", drmad_version()); break;
    case INFO_GIT: snprintf(buf, size, "%s", version_git()); break;
    case INFO_COMPILER: snprintf(buf, size, "%s", version_compiler()); break;
    case INFO_ISA: snprintf(buf, size, "%s", cpu_isa_name(cpu_isa_best())); break;
    case INFO_CPU: version_cpu(buf, size); break;
    case INFO_THREADS: snprintf(buf, size, "%d", drmad_ctx_threads(ctx)); break;
    case INFO_KERNEL: version_kernel(buf, size); break;
    default: return FAIL(ctx, DRMAD_E_USAGE, "info: no key \"%s\"", key);
    }
    return DRMAD_OK;
}
