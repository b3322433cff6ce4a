/* A local PostgreSQL: made, answering, closed to others, stopped, started again. */
#include "backends.h"
#include "store/local.h"
#include <fcntl.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void folder_name(const char *what, char path[128])
{
    snprintf(path, 128, "/tmp/drmad-local-%ld-%s", (long)getpid(), what);
}

static void folder_remove(const char *path)
{
    char cmd[256];

    snprintf(cmd, sizeof cmd, "rm -rf '%s'", path);
    if (system(cmd) != 0) test_fail(__FILE__, __LINE__, "%s left behind", path);
}

static int mode_of(const char *folder, const char *name)
{
    struct stat info;
    char path[256];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    return stat(path, &info) == 0 ? (int)(info.st_mode & 0777) : -1;
}

/* The one value a query gives. */
static void ask(PGconn *c, const char *sql, char out[128])
{
    PGresult *r = PQexec(c, sql);

    snprintf(out, 128, "%s", PQntuples(r) == 1 ? PQgetvalue(r, 0, 0) : PQerrorMessage(c));
    PQclear(r);
}

TEST(local_server_lives_and_keeps_its_address)
{
    drmad_ctx *ctx = test_ctx();
    char folder[128], got[128];
    char *url = NULL, *again = NULL;

    folder_name("lives", folder);
    local_options o = {.folder = folder, .fragile = true};
    CHECK_OK(ctx, local_url(ctx, folder, &url));
    CHECK(!url);
    CHECK_OK(ctx, local_start(ctx, &o, &url));
    CHECK_OK(ctx, local_start(ctx, &o, &again)); /* runs: the same one */
    if (!url || !again) return;
    CHECK_STR(again, url);
    mem_free(ctx, again);

    PGconn *c = PQconnectdb(url);
    CHECK_STR(PQerrorMessage(c), "");
    server_run(c, "CREATE TABLE kept (x INT)");
    ask(c,
        "SELECT current_database() || ' ' || current_user || ' ' || rolsuper FROM pg_roles "
        "WHERE rolname = current_user",
        got);
    CHECK_STR(got, "drmad drmad false");
    PQfinish(c);

    CHECK_OK(ctx, local_stop(ctx, folder, true));
    CHECK_OK(ctx, local_stop(ctx, folder, false)); /* nothing runs: fine */
    CHECK_OK(ctx, local_url(ctx, folder, &again));
    CHECK(!again);
    CHECK_OK(ctx, local_start(ctx, &o, &again));
    CHECK_STR(again ? again : "", url ? url : "?");
    c = PQconnectdb(again);
    ask(c, "SELECT count(*) FROM kept", got);
    CHECK_STR(got, "0");
    PQfinish(c);
    CHECK_OK(ctx, local_stop(ctx, folder, false));
    mem_free(ctx, url), mem_free(ctx, again);
    folder_remove(folder);
}

TEST(local_server_is_closed_to_others)
{
    char url[256];
    struct stat info;
    const char *folder = server_folder();

    CHECK_INT(mode_of(folder, "."), 0700);
    CHECK_INT(mode_of(folder, "pgpass"), 0600);
    CHECK_INT(mode_of(folder, "data/pg_hba.conf"), 0600);
    CHECK_INT((int)strlen(server_password()), 32);
    if (geteuid() == 0) {
        const struct passwd *p = getpwnam("postgres");
        if (!p) p = getpwnam("nobody");
        CHECK(p && stat(folder, &info) == 0 && info.st_uid == p->pw_uid);
    }
    snprintf(url, sizeof url, "postgresql://drmad:wrong@127.0.0.1:%d/drmad", server_port());
    PGconn *c = PQconnectdb(url);
    CHECK(strstr(PQerrorMessage(c), "password authentication failed"));
    PQfinish(c);
    snprintf(url, sizeof url, "postgresql://postgres:@127.0.0.1:%d/drmad", server_port());
    c = PQconnectdb(url);
    CHECK(PQstatus(c) == CONNECTION_BAD); /* the superuser has no way in */
    PQfinish(c);
}

TEST(local_url_holds_no_secret)
{
    drmad_ctx *ctx = test_ctx();
    char *url = NULL;

    CHECK_OK(ctx, local_url(ctx, server_folder(), &url));
    CHECK(url && !strstr(url, server_password()));
    mem_free(ctx, url);
}

TEST(local_server_listens_where_told)
{
    drmad_ctx *ctx = test_ctx();
    char folder[128], file[128], line[512] = "";
    char *url = NULL;

    folder_name("bind", folder);
    folder_name("url", file);
    local_options o = {.folder = folder,
                       .bind = "127.0.0.2",
                       .url_file = file,
                       .max_connections = 5,
                       .fragile = true};
    CHECK_OK(ctx, local_start(ctx, &o, &url));
    FILE *f = fopen(file, "r");
    CHECK(f && fgets(line, sizeof line, f));
    if (f) fclose(f);
    line[strcspn(line, "\n")] = '\0';
    CHECK(strstr(line, "@127.0.0.2:"));
    CHECK_INT(mode_of("/tmp", file + strlen("/tmp/")), 0600);

    PGconn *c = PQconnectdb(line); /* from the file alone */
    CHECK_STR(PQerrorMessage(c), "");
    char got[128];
    ask(c, "SHOW max_connections", got);
    CHECK_STR(got, "5");
    PQfinish(c);
    mem_free(ctx, url);
    CHECK_FAILS(ctx, local_start(ctx, &o, &url), DRMAD_E_USAGE, "stop it first");
    CHECK_OK(ctx, local_stop(ctx, folder, false));
    unlink(file);
    folder_remove(folder);
}

TEST(local_refusals_name_what_is_wrong)
{
    drmad_ctx *ctx = test_ctx();
    char folder[128];
    char *url = NULL;
    const char *bad[] = {"1.2.3.4'", "a b", "$(id)", ""};

    folder_name("refused", folder);
    local_options o = {.folder = folder, .bin = "/nowhere", .fragile = true};
    CHECK_FAILS(ctx, local_start(ctx, &o, &url), DRMAD_E_MISSING, "/nowhere: no initdb");
    o.bin = NULL;
    for (size_t i = 0; i < COUNT(bad); i++) {
        o.bind = bad[i];
        CHECK_FAILS(ctx, local_start(ctx, &o, &url), DRMAD_E_USAGE, "address");
    }
    o.bind = "203.0.113.77"; /* of RFC 5737: nobody's */
    CHECK_FAILS(ctx, local_start(ctx, &o, &url), DRMAD_E_USAGE, "no address of this machine");
    CHECK(!url);
    folder_remove(folder);

    o.bind = NULL, o.folder = "/etc/hostname";
    CHECK_FAILS(ctx, local_start(ctx, &o, &url), DRMAD_E_OUTPUT, "/etc/hostname");
    o.folder = "/proc/nothing/here";
    CHECK_FAILS(ctx, local_start(ctx, &o, &url), DRMAD_E_OUTPUT, "/proc/nothing");
}

TEST(local_server_cannot_live_where_its_user_cannot_go)
{
    drmad_ctx *ctx = test_ctx();
    char folder[512];
    char *url = NULL;

    snprintf(folder, sizeof folder, "%s/pg", test_scratch()); /* 0700, ours */
    local_options o = {.folder = folder, .fragile = true};
    if (geteuid() == 0)
        CHECK_FAILS(ctx, local_start(ctx, &o, &url), DRMAD_E_OUTPUT, "cannot enter it");
    else {
        CHECK_OK(ctx, local_start(ctx, &o, &url));
        CHECK_OK(ctx, local_stop(ctx, folder, true));
    }
    mem_free(ctx, url);
}

/* A cluster half made by a start that was killed is made anew; two starts at once are one. */
TEST(local_start_survives_interruption_and_rivals)
{
    drmad_ctx *ctx = test_ctx();
    char folder[128], cmd[512];
    char *url = NULL;
    int status;

    folder_name("rivals", folder);
    local_options o = {.folder = folder, .fragile = true};
    CHECK_INT(mkdir(folder, 0700), 0);
    snprintf(cmd, sizeof cmd,
             "mkdir %s/data.new && touch %s/data.new/half && chown -R $(stat -c "
             "%%u %s) %s",
             folder, folder, server_folder(), folder);
    CHECK_INT(system(cmd), 0);

    pid_t rival = fork();
    if (rival == 0) {
        drmad_ctx *mine = drmad_ctx_new(NULL, NULL);
        _exit(local_start(mine, &o, &url) != DRMAD_OK);
    }
    CHECK_OK(ctx, local_start(ctx, &o, &url));
    CHECK(waitpid(rival, &status, 0) == rival && status == 0);
    PGconn *c = PQconnectdb(url);
    CHECK_STR(PQerrorMessage(c), "");
    PQfinish(c);
    CHECK_OK(ctx, local_stop(ctx, folder, true));
    mem_free(ctx, url);
    folder_remove(folder);
}

/* Run by name, alone: the server of a binary that is killed goes too. Told apart by its folder. */
TEST(local_fixture_leaves_nothing_behind)
{
    char folder[128] = "";
    int ends[2];
    ssize_t n = 0;

    CHECK_INT(pipe2(ends, O_CLOEXEC), 0);
    pid_t child = fork();
    if (child == 0) {
        char self[512] = "";
        if (readlink("/proc/self/exe", self, sizeof self - 1) < 0) _exit(1);
        dup2(ends[1], 1);
        execl(self, self, "local_url_holds_no_secret", (char *)NULL);
        _exit(1);
    }
    close(ends[1]);
    n = read(ends[0], folder, sizeof folder - 1); /* its PASS line: the server runs */
    CHECK(n > 0 && strncmp(folder, "PASS", 4) == 0);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    close(ends[0]);
    snprintf(folder, sizeof folder, "/tmp/drmad-postgres-%ld", (long)child);
    for (int i = 0; i < 200 && access(folder, F_OK) == 0; i++) usleep(50000);
    CHECK(access(folder, F_OK) != 0);
}
