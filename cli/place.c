/* Which study in which store: "NAME", "URL#NAME", --store URL, DRMAD_STORAGE. */
#include "cli.h"
#include <stdlib.h>
#include <string.h>

static const char *const schemes[] = {"sqlite:", "postgresql:", "postgresql+",
                                      "postgres:", "journal:"};

static bool is_url(const char *word)
{
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++)
        if (strncmp(word, schemes[i], strlen(schemes[i])) == 0) return true;
    return false;
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
    if (!url) return 0;
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
