/* What this process may use of the machine: less than there is under taskset, in a container, in a
 * batch job. */
#ifndef MACHINE_H
#define MACHINE_H
#include <stdint.h>

/* The least of: the affinity mask, the CPU quotas of the cgroups around us (v1 and v2), and
 * SLURM_CPUS_PER_TASK. At least 1. */
int machine_cores(void);
/* The least of: physical memory, the cgroups' limits, SLURM_MEM_PER_NODE. Bytes. */
int64_t machine_memory(void);

/* The same below `root` in place of /, for tests. */
int machine_quota_cores(const char *root);      /* 0: no quota */
int64_t machine_quota_memory(const char *root); /* 0: no limit */
#endif
