/* Build and machine, for result files and `drmad version`. git_id.h is made anew by every build
 * (cmake/git_id.cmake); this is the only file that sees it. */
#include "base/version.h"
#include "git_id.h"
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

const char *version_git(void)
{
    return DRMAD_GIT_ID;
}

const char *version_compiler(void)
{
#if defined(__clang__)
    return "clang " TEXT(__clang_major__) "." TEXT(__clang_minor__) "." TEXT(__clang_patchlevel__);
#else
    return "gcc " TEXT(__GNUC__) "." TEXT(__GNUC_MINOR__) "." TEXT(__GNUC_PATCHLEVEL__);
#endif
}

void version_cpu(char *buf, size_t size)
{
    char line[256];
    FILE *f = fopen("/proc/cpuinfo", "r");

    snprintf(buf, size, "unknown");
    if (!f) return;
    while (fgets(line, sizeof line, f)) {
        const char *colon = strchr(line, ':');

        if (!colon || strncmp(line, "model name", 10) != 0) continue;
        line[strcspn(line, "\n")] = '\0';
        snprintf(buf, size, "%s", colon + 1 + strspn(colon + 1, " "));
        break;
    }
    fclose(f);
}

void version_kernel(char *buf, size_t size)
{
    struct utsname u;

    if (uname(&u) != 0) snprintf(buf, size, "unknown");
    else snprintf(buf, size, "%s %s %s", u.sysname, u.release, u.machine);
}
