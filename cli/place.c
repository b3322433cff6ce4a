/* Which study in which store: "NAME", "URL#NAME", --store URL, DRMAD_STORAGE. */
#include "cli.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const schemes[] = {"sqlite:", "postgresql:", "postgresql+",
                                      "postgres:", "journal:"};

static bool is_url(const char *word)
{
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++)
        if (strncmp(word, schemes[i], strlen(schemes[i])) == 0) return true;
    return false;
}

/* "postgresql://user:password@host/..." or "...?password=...": what libpq would take from it. */
static bool has_password(const char *url)
{
    const char *host = strstr(url, "://");
    const char *query = strchr(url, '?');

    if (!host || strncmp(url, "postgres", 8) != 0) return false;
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

int place_check(const char *who, const char *url)
{
    if (!url || !has_password(url)) return 0;
    fprintf(stderr,
            "drmad %s: a password on the command line can be read by every user of this machine: "
            "put it into ~/.pgpass (mode 0600, or PGPASSFILE), name a service (PGSERVICE), or set "
            "the URL in DRMAD_STORAGE\n",
            who);
    return drmad_status_exit(DRMAD_E_UNSAFE);
}

static int refuse(const char *who, const char *what)
{
    fprintf(stderr, "drmad %s: %s\n", who, what);
    return EXIT_USAGE;
}

/* In a URL a '#' is written %23, so the first one ends it; names may have more of them. */
int place_of(const args *a, const char *who, place *out)
{
    const char *word = a->word_count ? a->words[0] : "";
    const bool url = is_url(word);
    const char *hash = url ? strchr(word, '#') : NULL;

    *out = (place){.url = a->store, .name = word};
    int status = place_check(who, url ? word : a->store);
    if (status || !url) return status;
    if (!hash || !hash[1]) return refuse(who, "which study of the store? write URL#NAME");
    if (a->store) return refuse(who, "--store and a URL before #NAME: give one of them");
    out->owned = strndup(word, (size_t)(hash - word));
    out->url = out->owned, out->name = hash + 1;
    return out->owned ? 0 : drmad_status_exit(DRMAD_E_NOMEM);
}

void place_free(place *p)
{
    free(p->owned);
}
