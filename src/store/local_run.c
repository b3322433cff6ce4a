/* A local server's children and addresses. No shell; a child has no privileges, no descriptors and
 * no environment of ours. */
#include "store/local_inside.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EXIT_USER = 120, EXIT_FOLDER = 121, EXIT_FILE = 122, EXIT_PROGRAM = 123 };
enum { DESCRIPTORS = 1024, TAIL = 4096, PORT_TRIES = 20, ARGS_MAX = 24 };
#define DEBIAN "/usr/lib/postgresql"

/* ---- finding the programs ---- */

static bool has_programs(const char *bin)
{
    static const char *const names[] = {"initdb", "pg_ctl", "postgres"};
    char path[LOCAL_PATH_SIZE + 16];

    for (size_t i = 0; i < COUNT(names); i++) {
        snprintf(path, sizeof path, "%s/%s", bin, names[i]);
        if (access(path, X_OK) != 0) return false;
    }
    return true;
}

static bool find_in_path(char bin[LOCAL_PATH_SIZE])
{
    const char *p = getenv("PATH");

    while (p && *p) {
        size_t n = strcspn(p, ":");
        if (p[0] == '/' && n < LOCAL_PATH_SIZE) {
            snprintf(bin, LOCAL_PATH_SIZE, "%.*s", (int)n, p);
            if (has_programs(bin)) return true;
        }
        p += n + (p[n] == ':');
    }
    return false;
}

static bool find_debian(char bin[LOCAL_PATH_SIZE])
{
    DIR *d = opendir(DEBIAN);
    long newest = -1;
    char path[LOCAL_PATH_SIZE];

    for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d)) {
        long version = strtol(e->d_name, NULL, 10);
        snprintf(path, sizeof path, DEBIAN "/%s/bin", e->d_name);
        if (version <= newest || !has_programs(path)) continue;
        newest = version;
        strcpy(bin, path);
    }
    if (d) closedir(d);
    return newest >= 0;
}

drmad_status local_programs(local_server *v, const char *bin)
{
    if (bin) {
        snprintf(v->bin, sizeof v->bin, "%s", bin);
        if (has_programs(v->bin)) return DRMAD_OK;
        return FAIL(v->ctx, DRMAD_E_MISSING, "%s: no initdb, pg_ctl and postgres there", bin);
    }
    if (find_in_path(v->bin) || find_debian(v->bin)) return DRMAD_OK;
    return FAIL(v->ctx, DRMAD_E_MISSING,
                "no PostgreSQL server here (initdb, pg_ctl, postgres in PATH or " DEBIAN
                "/*/bin): apt-get install postgresql");
}

/* ---- children ---- */

/* In the child: the server's user, the folder, none of our descriptors but 0, 1, 2. */
static void child_settle(const local_server *v, int in, int out)
{
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0) _exit(EXIT_FILE);
    for (int fd = 3; fd < DESCRIPTORS; fd++) close(fd);
    if (v->uid != geteuid())
        if (setgroups(0, NULL) != 0 || setgid(v->gid) != 0 || setuid(v->uid) != 0) _exit(EXIT_USER);
    umask(077);
    if (chdir(v->folder) != 0) _exit(EXIT_FOLDER);
}

static drmad_status child_wait(local_server *v, pid_t child, const char *what, int *status)
{
    int got = 0;

    while (waitpid(child, &got, 0) < 0)
        if (errno != EINTR)
            return FAIL(v->ctx, DRMAD_E_INTERNAL, "%s: waitpid: %s", what, strerror(errno));
    *status = WIFEXITED(got) ? WEXITSTATUS(got) : 128 + WTERMSIG(got);
    if (*status == EXIT_FOLDER)
        return FAIL(v->ctx, DRMAD_E_OUTPUT,
                    "%s: the server runs as user %s, who cannot enter it; choose a folder that"
                    " everybody can reach, as /var/lib/drmad/postgresql",
                    v->folder, v->user);
    if (*status == EXIT_USER)
        return FAIL(v->ctx, DRMAD_E_MISSING, "cannot become user %s (uid %u)", v->user, v->uid);
    if (*status == EXIT_PROGRAM)
        return FAIL(v->ctx, DRMAD_E_MISSING, "%s/%s: cannot be run", v->bin, what);
    return DRMAD_OK;
}

/* The last line of a log that says anything. */
static void log_tail(local_server *v, const char *name, char out[TAIL])
{
    struct stat info;
    ssize_t n = 0;

    out[0] = '\0';
    int fd = openat(v->lock, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return;
    if (fstat(fd, &info) == 0)
        n = pread(fd, out, TAIL - 1, info.st_size > TAIL - 1 ? info.st_size - TAIL + 1 : 0);
    close(fd);
    while (n > 0 && isspace((unsigned char)out[n - 1])) n--;
    out[n > 0 ? n : 0] = '\0';
    char *line = strrchr(out, '\n');
    if (line) memmove(out, line + 1, strlen(line));
}

static int input_pipe(const char *input)
{
    int ends[2];

    if (!input) return open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (pipe2(ends, O_CLOEXEC) != 0) return -1;
    size_t size = strlen(input);
    ssize_t n = write(ends[1], input, size); /* a pipe takes 64 KiB without a reader */
    close(ends[1]);
    if (n == (ssize_t)size) return ends[0];
    close(ends[0]);
    return -1;
}

static void child_exec(const local_server *v, const local_program *p, int in)
{
    char search[] = "PATH=/usr/bin:/bin", locale[] = "LC_ALL=C";
    char *const clean[] = {search, locale, NULL};
    char path[LOCAL_PATH_SIZE + 64];
    char *argv[ARGS_MAX] = {NULL};
    int null = open("/dev/null", O_WRONLY);

    child_settle(v, in, null);
    if (!p->quiet) {
        int log = open("setup.log", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);
        if (log < 0) _exit(EXIT_FILE);
        dup2(log, 1), dup2(log, 2), close(log);
    }
    snprintf(path, sizeof path, "%s%s%s", p->argv[0][0] == '/' ? "" : v->bin,
             p->argv[0][0] == '/' ? "" : "/", p->argv[0]);
    argv[0] = path; /* by which a program of PostgreSQL finds the others */
    for (int i = 1; i < ARGS_MAX - 1 && p->argv[i]; i++) argv[i] = (char *)(uintptr_t)p->argv[i];
    execve(path, argv, clean);
    _exit(EXIT_PROGRAM);
}

drmad_status local_run(local_server *v, const local_program *p, int *status)
{
    char tail[TAIL];
    int got = 0, in = input_pipe(p->input);

    if (in < 0) return FAIL(v->ctx, DRMAD_E_IO, "%s: no pipe: %s", p->argv[0], strerror(errno));
    pid_t child = fork();
    if (child == 0) child_exec(v, p, in);
    close(in);
    if (child < 0) return FAIL(v->ctx, DRMAD_E_IO, "fork: %s", strerror(errno));

    drmad_status st = child_wait(v, child, p->argv[0], &got);
    if (st != DRMAD_OK) return st;
    if (status) *status = got;
    if (status || got == 0) return DRMAD_OK;
    log_tail(v, p->log ? p->log : "setup.log", tail);
    return FAIL(v->ctx, DRMAD_E_STORAGE, "%s: %s %s ends with %d; its log: %s", v->folder,
                p->argv[0], p->argv[1], got, tail);
}

drmad_status local_write(local_server *v, const char *name, const char *text, bool append)
{
    int status = 0, null = open("/dev/null", O_RDWR | O_CLOEXEC);
    size_t size = strlen(text);

    if (null < 0) return FAIL(v->ctx, DRMAD_E_IO, "/dev/null: %s", strerror(errno));
    pid_t child = fork();
    if (child == 0) {
        child_settle(v, null, null);
        int flags = O_WRONLY | O_CREAT | O_NOFOLLOW | (append ? O_APPEND : O_TRUNC);
        int fd = open(name, flags, 0600);
        bool good = fd >= 0 && write(fd, text, size) == (ssize_t)size && close(fd) == 0;
        _exit(good ? 0 : EXIT_FILE);
    }
    close(null);
    if (child < 0) return FAIL(v->ctx, DRMAD_E_IO, "fork: %s", strerror(errno));
    drmad_status st = child_wait(v, child, name, &status);
    if (st == DRMAD_OK && status != 0)
        st = FAIL(v->ctx, DRMAD_E_OUTPUT, "%s/%s: cannot be written", v->folder, name);
    return st;
}

/* ---- addresses ---- */

static bool is_wildcard(const char *bind)
{
    return strcmp(bind, "*") == 0 || strcmp(bind, "0.0.0.0") == 0;
}

/* What may stand in a settings file and in a URL as it is. */
drmad_status local_check_address(drmad_ctx *ctx, const char *bind)
{
    if (!bind || is_wildcard(bind)) return DRMAD_OK;
    for (const char *c = bind; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr(".:-_", *c))
            return FAIL(ctx, DRMAD_E_USAGE, "bind %s: not an address", bind);
    if (!bind[0] || strlen(bind) > 255)
        return FAIL(ctx, DRMAD_E_USAGE, "bind: an address of 1 to 255 characters");
    return DRMAD_OK;
}

void local_listen(const char *bind, char *out, size_t size)
{
    if (bind && is_wildcard(bind)) snprintf(out, size, "0.0.0.0"); /* loopback is part of it */
    else snprintf(out, size, "127.0.0.1%s%s", bind ? "," : "", bind ? bind : "");
}

void local_host(const char *bind, char *out, size_t size)
{
    if (!bind) snprintf(out, size, "127.0.0.1");
    else if (is_wildcard(bind) || strcmp(bind, "::") == 0) gethostname(out, size - 1);
    else snprintf(out, size, strchr(bind, ':') ? "[%s]" : "%s", bind);
    out[size - 1] = '\0';
}

void local_percent(const char *text, char *out, size_t size)
{
    size_t n = 0;

    for (const char *c = text; *c && n + 4 < size; c++) {
        if (isalnum((unsigned char)*c) || strchr("/._-~", *c)) out[n++] = *c;
        else n += (size_t)snprintf(out + n, 4, "%%%02X", (unsigned char)*c);
    }
    out[n] = '\0';
}

/* Binds to port *port (0: any, told) of one address and lets go again. */
static bool port_try(const struct addrinfo *a, int *port)
{
    struct sockaddr_storage at;
    socklen_t size = sizeof at;
    int on = 1, fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0) return false;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    bool good = bind(fd, a->ai_addr, a->ai_addrlen) == 0 &&
                getsockname(fd, (struct sockaddr *)&at, &size) == 0;
    close(fd);
    if (!good) return false;
    in_port_t got = at.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&at)->sin6_port
                                             : ((struct sockaddr_in *)&at)->sin_port;
    *port = ntohs(got);
    return true;
}

static drmad_status port_on(local_server *v, const char *host, int *port, bool *good)
{
    struct addrinfo want = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    char number[16];

    snprintf(number, sizeof number, "%d", *port);
    int e = getaddrinfo(host, number, &want, &found);
    if (e != 0) return FAIL(v->ctx, DRMAD_E_USAGE, "bind %s: %s", host, gai_strerror(e));
    *good = port_try(found, port);
    freeaddrinfo(found);
    return DRMAD_OK;
}

drmad_status local_port(local_server *v, const char *bind, int last, int *port)
{
    drmad_status st = DRMAD_OK;
    char host[LOCAL_PATH_SIZE];
    bool good = false;

    local_listen(bind, host, sizeof host);
    const char *second = strchr(host, ',');
    for (int i = 0; i < PORT_TRIES && !good; i++) {
        *port = i == 0 && last > 0 ? last : 0;
        TRY(port_on(v, "127.0.0.1", port, &good));
        if (good && second) TRY(port_on(v, second + 1, port, &good));
    }
    if (!good)
        st = FAIL(v->ctx, DRMAD_E_USAGE, "%s: no address of this machine", bind ? bind : host);
done:
    return st;
}
