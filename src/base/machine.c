/* Cores and memory. Both cgroup versions set limits at any level of the tree, so every folder from
 * our own up to the mount is read. Within a container the path that /proc/self/cgroup gives may
 * not be there; the mount itself then is our group. */
#include "base/machine.h"
#include <math.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_SIZE = 4096 };

/* One line of a small file; false when there is none. */
static bool first_line(const char *dir, const char *name, char *line, int size)
{
    char path[PATH_SIZE + 64];
    bool ok = false;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "re");
    if (!f) return false;
    if (fgets(line, size, f)) ok = true;
    fclose(f);
    return ok;
}

static double number_in(const char *dir, const char *name)
{
    char line[64];

    return first_line(dir, name, line, sizeof line) ? strtod(line, NULL) : 0;
}

/* Cores that the group at `dir` may use; 0 = as many as it likes. */
static double quota_v2(const char *dir)
{
    char line[64], *rest;

    if (!first_line(dir, "cpu.max", line, sizeof line)) return 0;
    const double quota = strtod(line, &rest); /* "max 100000": 0 */
    const double period = strtod(rest, NULL);
    return rest != line && quota > 0 && period > 0 ? quota / period : 0;
}

static double quota_v1(const char *dir)
{
    const double quota = number_in(dir, "cpu.cfs_quota_us"); /* -1: none */
    const double period = number_in(dir, "cpu.cfs_period_us");

    return quota > 0 && period > 0 ? quota / period : 0;
}

static double memory_v2(const char *dir)
{
    return number_in(dir, "memory.max");
}

static double memory_v1(const char *dir)
{
    const double bytes = number_in(dir, "memory.limit_in_bytes");

    return bytes < 0x1p60 ? bytes : 0; /* no limit is a number near 2^63 */
}

/* Our group's path under the controller `name` ("": version 2). */
static bool group_path(const char *root, const char *name, char *path, size_t size)
{
    char file[PATH_SIZE], line[PATH_SIZE];
    bool found = false;

    snprintf(file, sizeof file, "%s/proc/self/cgroup", root);
    FILE *f = fopen(file, "re");
    while (f && !found && fgets(line, sizeof line, f)) {
        char *controllers = strchr(line, ':');
        char *group = controllers ? strchr(controllers + 1, ':') : NULL;

        if (!group) continue;
        *group++ = '\0', controllers++;
        group[strcspn(group, "\n")] = '\0';
        for (char *c; !found && (c = strsep(&controllers, ","));) found = strcmp(c, name) == 0;
        if (found) snprintf(path, size, "%s", group);
    }
    if (f) fclose(f);
    return found;
}

typedef double limit_fn(const char *dir);

/* The least limit from the group at `mount` + its path up to `mount`; 0 = none. */
static double least_up(const char *root, const char *mount, const char *name, limit_fn *limit)
{
    char dir[PATH_SIZE], group[PATH_SIZE / 2] = "";
    double least = 0;

    if (!group_path(root, name, group, sizeof group)) return 0;
    const int top = snprintf(dir, sizeof dir, "%s%s", root, mount);
    if (top < 0 || (size_t)top + strlen(group) >= sizeof dir) return 0;
    strcat(dir, strcmp(group, "/") == 0 ? "" : group);
    for (;;) {
        const double x = limit(dir);
        char *slash = strrchr(dir, '/');

        if (x > 0 && (least <= 0 || x < least)) least = x;
        if (slash < dir + top) break;
        *slash = '\0';
    }
    return least;
}

static double least_of(double a, double b)
{
    return a > 0 && (b <= 0 || a < b) ? a : b;
}

int machine_quota_cores(const char *root)
{
    double cores = least_up(root, "/sys/fs/cgroup", "", quota_v2);

    cores = least_of(cores, least_up(root, "/sys/fs/cgroup/cpu", "cpu", quota_v1));
    return cores > 0 ? (int)fmin(4096, fmax(1, ceil(cores - 1e-9))) : 0;
}

int64_t machine_quota_memory(const char *root)
{
    double bytes = least_up(root, "/sys/fs/cgroup", "", memory_v2);

    bytes = least_of(bytes, least_up(root, "/sys/fs/cgroup/memory", "memory", memory_v1));
    return bytes > 0 ? (int64_t)fmin(bytes, 0x1p60) : 0;
}

/* A whole positive number in the environment, else 0. */
static long long slurm(const char *name)
{
    const char *text = getenv(name);
    char *end;
    const long long n = text ? strtoll(text, &end, 10) : 0;

    return text && *text && *end == '\0' && n > 0 ? n : 0;
}

int machine_cores(void)
{
    cpu_set_t set;
    const bool masked = sched_getaffinity(0, sizeof set, &set) == 0;
    long long cores = masked ? CPU_COUNT(&set) : sysconf(_SC_NPROCESSORS_ONLN);
    const long long limits[] = {machine_quota_cores(""), slurm("SLURM_CPUS_PER_TASK")};

    for (int i = 0; i < 2; i++)
        if (limits[i] > 0 && limits[i] < cores) cores = limits[i];
    return cores > 1 ? (int)cores : 1;
}

int64_t machine_memory(void)
{
    const double pages = (double)sysconf(_SC_PHYS_PAGES), size = (double)sysconf(_SC_PAGESIZE);
    const double limits[] = {(double)machine_quota_memory(""),
                             0x1p20 * (double)slurm("SLURM_MEM_PER_NODE")};
    double bytes = pages * size;

    for (int i = 0; i < 2; i++)
        if (limits[i] > 0 && limits[i] < bytes) bytes = limits[i];
    return (int64_t)bytes;
}
