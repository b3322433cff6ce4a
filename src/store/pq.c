#include "store/pq.h"
#include "base/file.h"
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SERVICE_BYTES_MAX = 1 << 20 };

drmad_status pq_open(drmad_ctx *ctx, pq *out)
{
    typedef pq library_table;
    static const library_symbol symbols[] = {PQ_FUNCTIONS(LIBRARY_SYMBOL)};
    static const library_source source = {.file = "libpq.so.5",
                                          .what = "PostgreSQL's client library",
                                          .package = "libpq5",
                                          .oldest = "libpq 14",
                                          .symbols = symbols,
                                          .n = COUNT(symbols)};

    return library_open(ctx, &source, out);
}

/* A file of somebody else, or no regular file (a pipe, a secret's mount), is not ours to judge. */
static drmad_status check_mode(drmad_ctx *ctx, const char *path)
{
    struct stat info;

    if (stat(path, &info) != 0 || !S_ISREG(info.st_mode) || info.st_uid != geteuid())
        return DRMAD_OK;
    if (!(info.st_mode & 077)) return DRMAD_OK;
    return FAIL(ctx, DRMAD_E_UNSAFE,
                "%s holds passwords and others can read it (mode %03o): chmod 600 %s", path,
                (unsigned)(info.st_mode & 0777), path);
}

/* A service file may be for all to read as long as no password stands in it. */
static drmad_status check_service(drmad_ctx *ctx, const char *path)
{
    char *text = NULL;
    size_t size;

    if (file_read_all(ctx, path, SERVICE_BYTES_MAX, &text, &size) != DRMAD_OK) return DRMAD_OK;
    const bool secret = strncmp(text, "password", 8) == 0 || strstr(text, "\npassword");
    mem_free(ctx, text);
    return secret ? check_mode(ctx, path) : DRMAD_OK;
}

static const char *home(void)
{
    const char *h = getenv("HOME");
    const struct passwd *user = h && *h ? NULL : getpwuid(geteuid());

    return h && *h ? h : user ? user->pw_dir : "";
}

drmad_status pq_check_files(drmad_ctx *ctx, const pq *p, const char *url)
{
    const char *passfile = getenv("PGPASSFILE"), *service = getenv("PGSERVICEFILE");
    char path[1024];
    PQconninfoOption *options = p->PQconninfoParse(url, NULL);

    if (!options) /* libpq's own words may quote the password */
        return FAIL(ctx, DRMAD_E_USAGE,
                    "postgresql: the URL cannot be read; expected "
                    "postgresql://user@host:5432/database");
    bool serves = getenv("PGSERVICE") != NULL;
    for (const PQconninfoOption *o = options; o->keyword; o++) {
        if (o->val && strcmp(o->keyword, "passfile") == 0) passfile = o->val;
        if (o->val && strcmp(o->keyword, "service") == 0) serves = true;
    }
    if (!passfile || !*passfile) {
        snprintf(path, sizeof path, "%s/.pgpass", home());
        passfile = path;
    }
    drmad_status st = check_mode(ctx, passfile);
    if (st == DRMAD_OK && serves) {
        if (!service) {
            snprintf(path, sizeof path, "%s/.pg_service.conf", home());
            service = path;
        }
        st = check_service(ctx, service);
    }
    p->PQconninfoFree(options);
    return st;
}
