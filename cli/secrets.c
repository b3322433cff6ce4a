/* Passwords on the command line, which every user of the machine can read. */
#include "cli.h"
#include <string.h>
#include <strings.h>

/* "postgresql://user:password@host/..." or "...?password=..." anywhere in a word, as in
 * store=URL: what libpq would take from it. */
static bool has_password(const char *word)
{
    const char *url = strstr(word, "postgres"), *host = url ? strstr(url, "://") : NULL;
    const char *query = host ? strchr(host, '?') : NULL;

    if (!host) return false;
    const size_t n = strcspn(host + 3, "?#"); /* a password may hold a bare '/' */
    const char *at = memrchr(host + 3, '@', n);
    const char *colon = at ? memchr(host + 3, ':', (size_t)(at - host - 3)) : NULL;
    if (colon && colon + 1 < at) return true;
    for (; query; query = strpbrk(query + 1, "&?"))
        if (strncasecmp(query + 1, "password=", 9) == 0 ||
            strncasecmp(query + 1, "sslpassword=", 12) == 0)
            return true;
    return false;
}

int secrets_check(int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        if (!has_password(argv[i])) continue;
        fprintf(stderr,
                "drmad: a password on the command line can be read by every user of this machine: "
                "put it into ~/.pgpass (mode 0600, or PGPASSFILE), name a service (PGSERVICE), or "
                "set the URL in DRMAD_STORAGE\n");
        return drmad_status_exit(DRMAD_E_UNSAFE);
    }
    return 0;
}
