/* Where a store is: URLs, the user's folders, names of workers. */
#include "drmad/store.h"
#include "store/store_inside.h"
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* "user:secret@" and "password=secret" become "user:***@" and "password=***", in place: three
 * characters at most take the place of whatever was there. Gives *out. */
static drmad_status without_password(drmad_ctx *ctx, const char *url, char **out)
{
    const size_t size = 2 * strlen(url) + 8; /* each of them may grow by two */
    const char *from = url, *slashes = strstr(url, "://");
    char *to;
    drmad_status st = mem_alloc(ctx, size, 1, out);

    if (st != DRMAD_OK) return st;
    to = *out;
    if (slashes) {
        const char *host = slashes + 3;
        /* a secret may hold a bare '/' or '@': the last '@' before the query ends it */
        const char *end = host + strcspn(host, "?#"), *at = end;
        while (at > host && at[-1] != '@') at--;
        const char *colon = at > host ? memchr(host, ':', (size_t)(at - host)) : NULL;
        if (colon) {
            to += sprintf(to, "%.*s:***", (int)(colon - url), url);
            from = at - 1;
        }
    }
    while (*from) {
        const char *secret = strstr(from, "password=");
        const size_t n = secret ? (size_t)(secret - from) + 9 : strlen(from);
        memcpy(to, from, n);
        to += n, from += n;
        if (!secret) break;
        to += sprintf(to, "***");
        from += strcspn(from, "&#");
    }
    *to = '\0';
    return DRMAD_OK;
}

int drmad_store_has_password(const char *text)
{
    const char *url = strstr(text, "postgres"), *host = url ? strstr(url, "://") : NULL;
    const char *query = host ? strchr(host, '?') : NULL;

    if (!host) return 0;
    const size_t n = strcspn(host + 3, "?#"); /* a password may hold a bare '/' */
    const char *at = memrchr(host + 3, '@', n);
    const char *colon = at ? memchr(host + 3, ':', (size_t)(at - host - 3)) : NULL;

    if (colon && colon + 1 < at) return 1;
    for (; query; query = strpbrk(query + 1, "&?"))
        if (strncasecmp(query + 1, "password=", 9) == 0 ||
            strncasecmp(query + 1, "sslpassword=", 12) == 0)
            return 1;
    return 0;
}

static const store_ops *ops_of(const char *url)
{
    static const struct {
        const char *begin;
        const store_ops *ops;
    } kinds[] = {
        {"sqlite:", &store_sqlite},       {"journal:", &store_journal},
        {"postgresql:", &store_postgres}, {"postgresql+", &store_postgres},
        {"postgres:", &store_postgres},
    };

    for (size_t i = 0; i < COUNT(kinds); i++)
        if (strncmp(url, kinds[i].begin, strlen(kinds[i].begin)) == 0) return kinds[i].ops;
    return NULL;
}

/* %23 is #, behind which a study's name would begin. Nothing else is decoded: all other names are
 * the same files to Optuna. */
static void decode_marks(char *file)
{
    for (char *at = file; (at = strstr(at, "%23")); at++) {
        *at = '#';
        memmove(at + 1, at + 3, strlen(at + 3) + 1);
    }
}

/* What the kind of store opens: "sqlite:runs.db" and SQLAlchemy's "sqlite:///runs.db" are a file,
 * "postgresql+psycopg2://..." is libpq's "postgresql://...". */
static drmad_status place_of(store *s, const char *url)
{
    const char *rest = strchr(url, ':') + 1;

    if (s->ops == &store_postgres) {
        const size_t n = strlen("postgresql:") + strlen(rest) + 1;
        if (strncmp(rest, "//", 2) != 0)
            return FAIL(s->ctx, DRMAD_E_USAGE, "%s: expected postgresql://user@host:5432/database",
                        s->url);
        drmad_status st = mem_alloc(s->ctx, n, 1, &s->place);
        if (st == DRMAD_OK) snprintf(s->place, n, "postgresql:%s", rest);
        return st;
    }
    if (strncmp(rest, "///", 3) == 0) rest += 3;
    if (!*rest)
        return FAIL(s->ctx, DRMAD_E_USAGE, "%s: no file named, expected %s:FILE", s->url,
                    s->ops->scheme);
    const drmad_status st = mem_strdup(s->ctx, rest, &s->place);
    if (st == DRMAD_OK) decode_marks(s->place);
    return st;
}

drmad_status store_set_place(store *s, const char *url)
{
    drmad_status st = DRMAD_OK;

    if (!url || !*url) url = getenv("DRMAD_STORAGE");
    if (!url || !*url) url = "sqlite:drmad.db";
    TRY(without_password(s->ctx, url, &s->url));
    s->ops = ops_of(url);
    if (!s->ops)
        st = FAIL(s->ctx, DRMAD_E_USAGE,
                  "%s: no such store, expected sqlite:FILE, postgresql://user@host/database or "
                  "journal:FILE",
                  s->url);
    else st = place_of(s, url);
done:
    return st;
}

static const char *home(void)
{
    const char *h = getenv("HOME");
    const struct passwd *user = h && *h ? NULL : getpwuid(geteuid());

    return h && *h ? h : user ? user->pw_dir : "/var/tmp";
}

static drmad_status set_spool(store *s, const char *folder)
{
    const char *state = getenv("XDG_STATE_HOME");
    char path[4096];

    if (folder) snprintf(path, sizeof path, "%s", folder);
    else if (state && state[0] == '/') snprintf(path, sizeof path, "%s/drmad/spool", state);
    else snprintf(path, sizeof path, "%s/.local/state/drmad/spool", home());
    return mem_strdup(s->ctx, path, &s->spool);
}

drmad_status store_set_names(store *s, const store_options *o)
{
    char host[64] = "", worker[128];
    drmad_status st = DRMAD_OK;

    gethostname(host, sizeof host - 1);
    snprintf(worker, sizeof worker, "%s:%ld:0", host[0] ? host : "localhost", (long)getpid());
    TRY(set_spool(s, o->spool));
    if (o->worker) TRY(store_check_name(s, "worker", o->worker));
    TRY(mem_strdup(s->ctx, o->worker ? o->worker : worker, &s->worker));
    if (o->version) {
        TRY(store_check_name(s, "version", o->version));
        TRY(mem_strdup(s->ctx, o->version, &s->version));
    }
done:
    return st;
}
