/* Cores and memory as containers and batch jobs limit them, from files made up here. */
#include "base/machine.h"
#include "test.h"
#include <sched.h>
#include <sys/stat.h>

/* Makes the folders above and the file. */
static void put(const char *root, const char *name, const char *text)
{
    char path[600];

    snprintf(path, sizeof path, "%s/%s", root, name);
    for (char *p = path + strlen(root) + 1; (p = strchr(p, '/')); p++) {
        *p = '\0';
        mkdir(path, 0755);
        *p = '/';
    }
    FILE *f = fopen(path, "w");
    if (!f || fputs(text, f) < 0 || fclose(f) != 0) test_fail(__FILE__, __LINE__, "%s", path);
}

TEST(machine_reads_quotas_of_cgroup_2_at_every_level)
{
    const char *root = test_scratch();

    put(root, "proc/self/cgroup", "0::/a/b\n");
    CHECK_INT(machine_quota_cores(root), 0);
    CHECK_INT(machine_quota_memory(root), 0);
    put(root, "sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
    put(root, "sys/fs/cgroup/a/b/memory.max", "max\n");
    CHECK_INT(machine_quota_cores(root), 0);
    CHECK_INT(machine_quota_memory(root), 0);
    put(root, "sys/fs/cgroup/a/cpu.max", "250000 100000\n");
    put(root, "sys/fs/cgroup/a/memory.max", "1073741824\n");
    CHECK_INT(machine_quota_cores(root), 3); /* 2.5 cores keep three threads busy in turn */
    CHECK_INT(machine_quota_memory(root), 1 << 30);
    put(root, "sys/fs/cgroup/a/b/cpu.max", "50000 100000\n");
    CHECK_INT(machine_quota_cores(root), 1);
}

TEST(machine_reads_quotas_within_a_container)
{
    const char *root = test_scratch();

    put(root, "proc/self/cgroup", "0::/\n"); /* a cgroup namespace: the mount is our group */
    put(root, "sys/fs/cgroup/cpu.max", "400000 100000\n");
    CHECK_INT(machine_quota_cores(root), 4);
    put(root, "proc/self/cgroup", "0::/docker/not-there\n");
    CHECK_INT(machine_quota_cores(root), 4);
}

TEST(machine_reads_quotas_of_cgroup_1)
{
    const char *root = test_scratch();

    put(root, "proc/self/cgroup", "5:cpuacct,cpu:/job\n4:memory:/job/task\n0::/x\n");
    put(root, "sys/fs/cgroup/cpu/job/cpu.cfs_quota_us", "-1\n");
    put(root, "sys/fs/cgroup/cpu/job/cpu.cfs_period_us", "100000\n");
    put(root, "sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    CHECK_INT(machine_quota_cores(root), 0);
    CHECK_INT(machine_quota_memory(root), 0);
    put(root, "sys/fs/cgroup/cpu/job/cpu.cfs_quota_us", "200000\n");
    put(root, "sys/fs/cgroup/memory/job/memory.limit_in_bytes", "536870912\n");
    CHECK_INT(machine_quota_cores(root), 2);
    CHECK_INT(machine_quota_memory(root), 1 << 29);
}

TEST(machine_cores_heed_mask_and_slurm)
{
    cpu_set_t before, one;

    CHECK_INT(sched_getaffinity(0, sizeof before, &before), 0);
    const int all = machine_cores();
    CHECK(all >= 1 && all <= CPU_COUNT(&before));
    setenv("SLURM_CPUS_PER_TASK", "1", 1);
    CHECK_INT(machine_cores(), 1);
    setenv("SLURM_CPUS_PER_TASK", "100000", 1);
    CHECK_INT(machine_cores(), all);
    setenv("SLURM_CPUS_PER_TASK", "many", 1);
    CHECK_INT(machine_cores(), all);
    unsetenv("SLURM_CPUS_PER_TASK");

    CPU_ZERO(&one);
    for (size_t i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++)
        if (CPU_ISSET(i, &before)) CPU_SET(i, &one);
    CHECK_INT(sched_setaffinity(0, sizeof one, &one), 0);
    CHECK_INT(machine_cores(), 1);
    CHECK_INT(sched_setaffinity(0, sizeof before, &before), 0);
}

TEST(machine_memory_heeds_slurm)
{
    const int64_t all = machine_memory();

    CHECK(all > 1 << 24);
    setenv("SLURM_MEM_PER_NODE", "16", 1);
    CHECK_INT(machine_memory(), 16 << 20);
    unsetenv("SLURM_MEM_PER_NODE");
    CHECK_INT(machine_memory(), all);
}
