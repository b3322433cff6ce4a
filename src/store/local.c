/* A PostgreSQL server of one's own; local.h says for whom.
 *
 * Everything under the folder is made by children that run as the server's user, so root never
 * writes where that user could lay a link. The programs are PostgreSQL's own: initdb makes the
 * cluster, a single-user session makes role and database before anyone can connect, pg_ctl starts
 * and stops. A cluster is made as data.new and renamed when it is complete. */
#include "store/local.h"
#include "base/file.h"
#include "store/local_inside.h"
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CLUSTER "data"
#define CLUSTER_NEW "data.new"
#define CONNECTIONS 100
enum { LOCK_TRIES = 1200, LOCK_PAUSE_MS = 50, SMALL_FILE = 512, PASSWORD_BYTES = 16 };
enum { STATUS_NOT_RUNNING = 3, STATUS_NO_CLUSTER = 4 }; /* of `pg_ctl status` */

drmad_status local_folder(drmad_ctx *ctx, char folder[LOCAL_PATH_SIZE])
{
    const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    int n;

    if (geteuid() == 0) /* root's home is closed to the server's user */
        n = snprintf(folder, LOCAL_PATH_SIZE, "/var/lib/drmad/postgresql");
    else if (data && data[0] == '/')
        n = snprintf(folder, LOCAL_PATH_SIZE, "%s/drmad/postgresql", data);
    else if (home && home[0] == '/')
        n = snprintf(folder, LOCAL_PATH_SIZE, "%s/.local/share/drmad/postgresql", home);
    else return FAIL(ctx, DRMAD_E_USAGE, "HOME is not set: name a folder for the server");
    if (n >= LOCAL_PATH_SIZE) return FAIL(ctx, DRMAD_E_USAGE, "HOME is too long");
    return DRMAD_OK;
}

/* ---- the folder and its owner ---- */

static void owner_find(local_server *v)
{
    v->uid = geteuid(), v->gid = getegid();
    snprintf(v->user, sizeof v->user, "%s", "you");
    if (v->uid != 0) return;

    const struct passwd *p = getpwnam("postgres");
    if (!p) p = getpwnam("nobody");
    v->uid = p ? p->pw_uid : 65534, v->gid = p ? p->pw_gid : 65534;
    snprintf(v->user, sizeof v->user, "%s", p ? p->pw_name : "nobody");
}

/* A new folder is given to the server's user; one that is another's is not touched. */
static drmad_status folder_make(local_server *v, const char *folder)
{
    struct stat info;
    char parent[LOCAL_PATH_SIZE];

    snprintf(parent, sizeof parent, "%s", folder);
    char *slash = strrchr(parent, '/');
    if (slash && slash != parent) {
        *slash = '\0';
        drmad_status st = file_make_folder(v->ctx, parent);
        if (st != DRMAD_OK) return st;
    }
    if (mkdir(folder, 0700) == 0) {
        if (v->uid != geteuid() && lchown(folder, v->uid, v->gid) != 0)
            return FAIL(v->ctx, DRMAD_E_OUTPUT, "%s: cannot give it to user %s: %s", folder,
                        v->user, strerror(errno));
    } else if (errno != EEXIST) {
        return FAIL(v->ctx, DRMAD_E_OUTPUT, "%s: %s", folder, strerror(errno));
    }
    if (lstat(folder, &info) != 0 || !S_ISDIR(info.st_mode))
        return FAIL(v->ctx, DRMAD_E_OUTPUT, "%s: not a folder", folder);
    if (info.st_uid != v->uid)
        return FAIL(v->ctx, DRMAD_E_OUTPUT,
                    "%s: belongs to uid %u, the server runs as uid %u (%s);"
                    " name a folder that does not exist yet",
                    folder, info.st_uid, v->uid, v->user);
    return DRMAD_OK;
}

static drmad_status folder_lock(local_server *v)
{
    struct timespec pause = {0, LOCK_PAUSE_MS * 1000000L};

    v->lock = open(v->folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (v->lock < 0) return FAIL(v->ctx, DRMAD_E_OUTPUT, "%s: %s", v->folder, strerror(errno));
    for (int i = 0; i < LOCK_TRIES; i++) {
        if (flock(v->lock, LOCK_EX | LOCK_NB) == 0) return DRMAD_OK;
        nanosleep(&pause, NULL);
    }
    return FAIL(v->ctx, DRMAD_E_AGAIN, "%s: another start or stop is under way", v->folder);
}

/* Whether FOLDER holds, or was meant to hold, a server of ours; then it is locked. */
static drmad_status server_open(local_server *v, drmad_ctx *ctx, const char *folder, bool make)
{
    drmad_status st = DRMAD_OK;
    char usual[LOCAL_PATH_SIZE], real[PATH_MAX];

    *v = (local_server){.ctx = ctx, .lock = -1};
    owner_find(v);
    if (!folder) {
        TRY(local_folder(ctx, usual));
        folder = usual;
    }
    if (make) TRY(folder_make(v, folder));
    if (!realpath(folder, real)) {
        if (errno != ENOENT) st = FAIL(ctx, DRMAD_E_OUTPUT, "%s: %s", folder, strerror(errno));
        goto done; /* no folder, no server: lock stays -1 */
    }
    if (strlen(real) >= sizeof v->folder || strchr(real, '\n')) {
        st = FAIL(ctx, DRMAD_E_OUTPUT, "%s: no name for a server's folder", folder);
        goto done;
    }
    strcpy(v->folder, real);
    TRY(folder_lock(v));
done:
    return st;
}

static void server_close(local_server *v)
{
    if (v->lock >= 0) close(v->lock);
}

/* ---- making the cluster ---- */

static drmad_status password_make(local_server *v, char hex[2 * PASSWORD_BYTES + 1])
{
    unsigned char raw[PASSWORD_BYTES];

    if (getrandom(raw, sizeof raw, 0) != (ssize_t)sizeof raw)
        return FAIL(v->ctx, DRMAD_E_IO, "no random numbers: %s", strerror(errno));
    for (int i = 0; i < PASSWORD_BYTES; i++) snprintf(hex + 2 * i, 3, "%02x", raw[i]);
    return DRMAD_OK;
}

/* The role may make databases, so that tests can each have one; it is no superuser. */
static drmad_status roles_make(local_server *v)
{
    const char *argv[] = {"postgres", "--single",
                          "-D",       CLUSTER_NEW,
                          "-c",       "exit_on_error=on",
                          "-c",       "log_min_error_statement=panic",
                          "postgres", NULL};
    drmad_status st = DRMAD_OK;
    char hex[2 * PASSWORD_BYTES + 1], text[SMALL_FILE];

    TRY(password_make(v, hex));
    snprintf(text, sizeof text, "*:*:*:drmad:%s\n", hex);
    TRY(local_write(v, "pgpass", text, false));
    snprintf(text, sizeof text,
             "CREATE ROLE drmad LOGIN CREATEDB PASSWORD '%s'\nCREATE DATABASE drmad OWNER drmad\n",
             hex);
    TRY(local_run(v, &(local_program){.argv = argv, .input = text}, NULL));
done:
    explicit_bzero(hex, sizeof hex), explicit_bzero(text, sizeof text);
    return st;
}

static drmad_status cluster_make(local_server *v, const local_options *o)
{
    const char *sweep[] = {"/bin/rm", "-rf", CLUSTER_NEW, NULL};
    const char *init[] = {"initdb",   "-D",   CLUSTER_NEW,  "-U",
                          "postgres", "-A",   "reject",     "-k",
                          "-E",       "UTF8", "--locale=C", o->fragile ? "--no-sync" : NULL,
                          NULL};
    const char *keep[] = {"/bin/mv", "-T", CLUSTER_NEW, CLUSTER, NULL};
    drmad_status st = DRMAD_OK;

    TRY(local_run(v, &(local_program){.argv = sweep}, NULL));
    TRY(local_run(v, &(local_program){.argv = init}, NULL));
    TRY(roles_make(v));
    TRY(local_write(v, CLUSTER_NEW "/postgresql.conf", "include 'drmad.conf'\n", true));
    TRY(local_run(v, &(local_program){.argv = keep}, NULL));
done:
    return st;
}

static bool cluster_exists(const local_server *v)
{
    struct stat info;

    return fstatat(v->lock, CLUSTER, &info, AT_SYMLINK_NOFOLLOW) == 0;
}

/* ---- settings, written anew at each start ---- */

static drmad_status settings_write(local_server *v, const local_options *o, int port)
{
    drmad_status st = DRMAD_OK;
    const char *any = "host all drmad 0.0.0.0/0 scram-sha-256\nhost all drmad ::/0 scram-sha-256\n";
    const char *near = "host all drmad 127.0.0.1/32 scram-sha-256\n";
    char listen[SMALL_FILE], text[2 * SMALL_FILE], number[16];

    local_listen(o->bind, listen, sizeof listen);
    snprintf(text, sizeof text,
             "listen_addresses = '%s'\nport = %d\nunix_socket_directories = ''\n"
             "max_connections = %d\nsuperuser_reserved_connections = 0\n"
             "password_encryption = 'scram-sha-256'\ntimezone = 'UTC'\nlog_timezone = 'UTC'\n%s",
             listen, port, o->max_connections ? o->max_connections : CONNECTIONS,
             o->fragile ? "fsync = off\nfull_page_writes = off\nshared_buffers = '32MB'\n" : "");
    TRY(local_write(v, CLUSTER "/drmad.conf", text, false));
    TRY(local_write(v, CLUSTER "/pg_hba.conf", o->bind ? any : near, false));
    snprintf(number, sizeof number, "%d\n", port);
    TRY(local_write(v, "port", number, false));
done:
    return st;
}

static drmad_status text_read(local_server *v, const char *name, char text[SMALL_FILE])
{
    char path[LOCAL_PATH_SIZE + 16];
    char *got = NULL;
    size_t size;

    snprintf(path, sizeof path, "%s/%s", v->folder, name);
    drmad_status st = file_read_all(v->ctx, path, SMALL_FILE - 1, &got, &size);
    snprintf(text, SMALL_FILE, "%s", st == DRMAD_OK ? got : "");
    text[strcspn(text, "\n")] = '\0';
    mem_free(v->ctx, got);
    return st;
}

static int port_last(local_server *v)
{
    char text[SMALL_FILE];
    struct stat info;

    if (fstatat(v->lock, "port", &info, AT_SYMLINK_NOFOLLOW) != 0) return 0;
    if (text_read(v, "port", text) != DRMAD_OK) return 0;
    return (int)strtol(text, NULL, 10);
}

/* ---- addresses for people and programs ---- */

/* gives *url; the password file is named, its content is not. */
static drmad_status url_print(local_server *v, int port, char **url)
{
    char path[LOCAL_PATH_SIZE + 16], safe[3 * sizeof path], text[sizeof safe + 128];

    snprintf(path, sizeof path, "%s/pgpass", v->folder);
    local_percent(path, safe, sizeof safe);
    snprintf(text, sizeof text, "postgresql://drmad@127.0.0.1:%d/drmad?passfile=%s", port, safe);
    return mem_strdup(v->ctx, text, url);
}

static drmad_status url_file_write(local_server *v, const local_options *o, int port)
{
    drmad_status st = DRMAD_OK;
    char host[SMALL_FILE], line[SMALL_FILE], text[3 * SMALL_FILE];
    file_out *f = NULL;

    TRY(text_read(v, "pgpass", line));
    const char *password = strrchr(line, ':');
    local_host(o->bind, host, sizeof host);
    int n = snprintf(text, sizeof text, "postgresql://drmad%s@%s:%d/drmad\n",
                     password ? password : "", host, port);
    TRY(file_out_open(v->ctx, o->url_file, FILE_PRIVATE, &f));
    TRY(file_out_write(f, text, (size_t)n));
    TRY(file_out_commit(f));
done:
    explicit_bzero(line, sizeof line), explicit_bzero(text, sizeof text);
    file_out_close(f);
    return st;
}

/* ---- start, stop ---- */

static drmad_status running(local_server *v, bool *out)
{
    const char *argv[] = {"pg_ctl", "status", "-D", CLUSTER, NULL};
    int status = 0;

    *out = false;
    if (!cluster_exists(v)) return DRMAD_OK;
    drmad_status st = local_run(v, &(local_program){.argv = argv, .quiet = true}, &status);
    if (st != DRMAD_OK) return st;
    if (status != 0 && status != STATUS_NOT_RUNNING && status != STATUS_NO_CLUSTER)
        return FAIL(v->ctx, DRMAD_E_STORAGE, "%s: pg_ctl status ends with %d", v->folder, status);
    *out = status == 0;
    return DRMAD_OK;
}

static drmad_status server_start(local_server *v, const local_options *o, int *port)
{
    const char *argv[] = {"pg_ctl", "start", "-s", "-w", "-D", CLUSTER, "-l", "server.log", NULL};
    drmad_status st = DRMAD_OK;

    TRY(local_port(v, o->bind, port_last(v), port));
    TRY(settings_write(v, o, *port));
    TRY(local_run(v, &(local_program){.argv = argv, .log = "server.log"}, NULL));
done:
    return st;
}

drmad_status local_start(drmad_ctx *ctx, const local_options *o, char **url)
{
    drmad_status st = DRMAD_OK;
    local_server v;
    bool runs = false;
    int port = 0;

    *url = NULL;
    TRY(server_open(&v, ctx, o->folder, true));
    TRY(local_programs(&v, o->bin));
    TRY(local_check_address(ctx, o->bind));
    TRY(running(&v, &runs));
    if (runs && (o->bind || o->url_file || o->max_connections)) {
        st = FAIL(ctx, DRMAD_E_USAGE, "%s: its server runs already; stop it first", v.folder);
        goto done;
    }
    if (runs) port = port_last(&v);
    if (!runs && !cluster_exists(&v)) TRY(cluster_make(&v, o));
    if (!runs) TRY(server_start(&v, o, &port));
    if (o->url_file) TRY(url_file_write(&v, o, port));
    TRY(url_print(&v, port, url));
done:
    server_close(&v);
    return st;
}

/* The server of the folder, for server_close also on failure; *runs: whether it does. */
static drmad_status find_running(local_server *v, drmad_ctx *ctx, const char *folder, bool *runs)
{
    drmad_status st = DRMAD_OK;

    *runs = false;
    TRY(server_open(v, ctx, folder, false));
    if (v->lock < 0 || !cluster_exists(v)) goto done;
    TRY(local_programs(v, NULL));
    TRY(running(v, runs));
done:
    return st;
}

drmad_status local_stop(drmad_ctx *ctx, const char *folder, bool at_once)
{
    const char *argv[] = {
        "pg_ctl", "stop", "-s", "-w", "-D", CLUSTER, "-m", at_once ? "immediate" : "fast", NULL};
    drmad_status st = DRMAD_OK;
    local_server v;
    bool runs;

    TRY(find_running(&v, ctx, folder, &runs));
    if (runs) TRY(local_run(&v, &(local_program){.argv = argv, .log = "server.log"}, NULL));
done:
    server_close(&v);
    return st;
}

drmad_status local_url(drmad_ctx *ctx, const char *folder, char **url)
{
    drmad_status st = DRMAD_OK;
    local_server v;
    bool runs;

    *url = NULL;
    TRY(find_running(&v, ctx, folder, &runs));
    if (runs) TRY(url_print(&v, port_last(&v), url));
done:
    server_close(&v);
    return st;
}
