/* A command: a child in a process group of its own, without a shell. Killing the worker kills the
 * child too, for what it writes would belong to nobody. */
#include "worker/slot.h"
#include "worker/template.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { AGAIN = 75, LINGER_MS = 1000, OWN_VARS = 8 };

typedef struct child {
    pid_t pid;
    bool over; /* reaped */
    int status;
    double over_at;
} child;

/* What the child needs, all made before fork: after it nothing may be allocated. */
typedef struct launch {
    const slot *s;
    char **argv, **env;
    char program[4096];
    int in, out[2], err[2], gone[2]; /* gone: errno of a failed exec */
    pid_t parent;
} launch;

/* ---- words and environment ---- */

static const char *value_of(void *user, const char *name)
{
    const slot_job *job = user;

    for (int32_t i = 0; i < job->n; i++)
        if (strcmp(job->names[i], name) == 0) return job->values[i];
    return NULL;
}

/* The program as a shell finds it: with a slash a path, else along PATH. */
static bool find_program(const char *word, char *path, size_t size)
{
    const char *dirs = getenv("PATH");

    if (strchr(word, '/')) return snprintf(path, size, "%s", word) < (int)size;
    for (dirs = dirs ? dirs : "/usr/local/bin:/usr/bin:/bin"; *dirs;) {
        const size_t n = strcspn(dirs, ":");
        const int k = snprintf(path, size, "%.*s/%s", n ? (int)n : 1, n ? dirs : ".", word);

        if (k > 0 && k < (int)size && access(path, X_OK) == 0) return true;
        dirs += n + (dirs[n] == ':');
    }
    return false;
}

drmad_status command_find_program(drmad_ctx *ctx, const struct template *words)
{
    drmad_status st = DRMAD_OK;
    const slot_job none = {0};
    char **argv = NULL, path[4096];

    TRY(template_fill(words, value_of, (void *)&none, &argv));
    if (argv[0][0] && (!find_program(argv[0], path, sizeof path) || access(path, X_OK) != 0))
        TRY(FAIL(ctx, DRMAD_E_MISSING, "objective.cmd: %s: no such program", argv[0]));
done:
    mem_free(ctx, argv);
    return st;
}

/* DRMAD_PARAM_OPTIMIZER_LR for "optimizer.lr". */
static int put_param(char *to, size_t size, const char *name, const char *value)
{
    static const char prefix[] = "DRMAD_PARAM_";
    const int n = snprintf(to, size, "%s%s=%s", prefix, name, value);

    for (size_t i = sizeof prefix - 1; to && i < sizeof prefix - 1 + strlen(name); i++)
        to[i] = isalnum((unsigned char)to[i]) ? (char)toupper((unsigned char)to[i]) : '_';
    return n;
}

static int put_own(const slot *s, int i, char *to, size_t size)
{
    const slot_job *job = s->job;
    const command_spec *spec = s->own;

    switch (i) {
    case 0: return snprintf(to, size, "DRMAD_TRIAL=%lld", (long long)job->number);
    case 1: return snprintf(to, size, "DRMAD_TRIAL_NUMBER=%lld", (long long)job->number);
    case 2: return snprintf(to, size, "DRMAD_TRIAL_DIR=%s", job->dir);
    case 3: return snprintf(to, size, "DRMAD_STUDY=%s", job->study);
    case 4: return snprintf(to, size, "DRMAD_THREADS=%d", job->threads);
    case 5:
        return getenv("OMP_NUM_THREADS") ? 0
                                         : snprintf(to, size, "OMP_NUM_THREADS=%d", job->threads);
    case 6: return spec->env ? snprintf(to, size, "DRMAD_PARAMS=%s", job->params) : 0;
    default: return 0;
    }
}

static int put_var(const slot *s, int i, char *to, size_t size)
{
    const slot_job *job = s->job;

    if (i < OWN_VARS) return put_own(s, i, to, size);
    return put_param(to, size, job->names[i - OWN_VARS], job->values[i - OWN_VARS]);
}

extern char **environ;

/* Ours before theirs would leave two of a name: theirs are dropped. */
static bool is_ours(const char *var)
{
    static const char *const names[] = {
        "DRMAD_TRIAL=",   "DRMAD_TRIAL_NUMBER=", "DRMAD_TRIAL_DIR=", "DRMAD_STUDY=",
        "DRMAD_THREADS=", "DRMAD_PARAMS=",       "DRMAD_PARAM_"};

    for (size_t i = 0; i < COUNT(names); i++)
        if (strncmp(var, names[i], strlen(names[i])) == 0) return true;
    return false;
}

/* Gives *out, one block: the pointers, then our own variables' texts. */
static drmad_status make_env(const slot *s, char ***out)
{
    const command_spec *spec = s->own;
    const int own = OWN_VARS + (spec->env ? s->job->n : 0);
    size_t theirs = 0, bytes = 0, n = 0;

    while (environ && environ[theirs]) theirs++;
    for (int i = 0; i < own; i++) bytes += (size_t)put_var(s, i, NULL, 0) + 1;
    const size_t pointers = theirs + (size_t)own + 1;
    const drmad_status st = mem_alloc(s->ctx, pointers * sizeof **out + bytes, 1, out);
    if (st != DRMAD_OK) return st;
    char *to = (char *)(*out + pointers);
    for (size_t i = 0; i < theirs; i++)
        if (!is_ours(environ[i])) (*out)[n++] = environ[i];
    for (int i = 0; i < own; i++) {
        const int k = put_var(s, i, to, bytes);

        if (k <= 0) continue;
        (*out)[n++] = to;
        to += k + 1, bytes -= (size_t)k + 1;
    }
    return DRMAD_OK;
}

/* ---- the start ---- */

/* Only what is safe between fork and exec. */
static void become(const launch *l)
{
    const command_spec *spec = l->s->own;
    sigset_t none;

    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != l->parent) _exit(127);
    signal(SIGPIPE, SIG_DFL);
    signal(SIGXFSZ, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (spec->memory > 0) {
        const struct rlimit limit = {(rlim_t)spec->memory, (rlim_t)spec->memory};

        setrlimit(RLIMIT_AS, &limit);
    }
    if (dup2(l->in, 0) == 0 && dup2(l->out[1], 1) == 1 && dup2(l->err[1], 2) == 2)
        execve(l->program, l->argv, l->env);
    const int why = errno;
    if (write(l->gone[1], &why, sizeof why) != sizeof why) _exit(126);
    _exit(127);
}

static drmad_status open_in(launch *l)
{
    const command_spec *spec = l->s->own;
    const char *text = l->s->job->params;
    const size_t n = strlen(text);

    l->in = spec->in ? memfd_create("parameters", MFD_CLOEXEC)
                     : open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (l->in < 0 || (spec->in && (write(l->in, text, n) != (ssize_t)n ||
                                   write(l->in, "\n", 1) != 1 || lseek(l->in, 0, SEEK_SET) != 0)))
        return FAIL(l->s->ctx, DRMAD_E_IO, "standard input of a command: %s", strerror(errno));
    return DRMAD_OK;
}

static void shut(int fd)
{
    if (fd >= 0) close(fd);
}

static void close_ends(launch *l)
{
    const int fds[] = {l->in, l->out[0], l->out[1], l->err[0], l->err[1], l->gone[0], l->gone[1]};

    for (size_t i = 0; i < COUNT(fds); i++) shut(fds[i]);
}

/* Waits for exec: its errno, 0 when it went well. */
static int exec_error(launch *l)
{
    int why = 0;
    ssize_t n;

    close(l->gone[1]);
    l->gone[1] = -1;
    do n = read(l->gone[0], &why, sizeof why);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof why ? why : 0;
}

static drmad_status run(slot *s, launch *l, child *c)
{
    c->pid = fork();
    if (c->pid == 0) become(l);
    if (c->pid < 0) return FAIL(s->ctx, DRMAD_E_IO, "fork: %s", strerror(errno));
    setpgid(c->pid, c->pid); /* whoever of the two comes first */
    const int why = exec_error(l);
    if (why) {
        waitpid(c->pid, NULL, 0);
        return FAIL(s->ctx, why == ENOMEM ? DRMAD_E_NOMEM : DRMAD_E_MISSING,
                    "objective.cmd: %s: %s", l->argv[0], strerror(why));
    }
    fcntl(l->out[0], F_SETFL, O_NONBLOCK);
    fcntl(l->err[0], F_SETFL, O_NONBLOCK);
    s->out = l->out[0], s->err = l->err[0];
    l->out[0] = l->err[0] = -1;
    return DRMAD_OK;
}

static drmad_status command_start(slot *s)
{
    const command_spec *spec = s->own;
    launch l = {.s = s, .in = -1, .out = {-1, -1}, .err = {-1, -1}, .gone = {-1, -1}};
    drmad_status st = DRMAD_OK;
    child *c = NULL;

    l.parent = getpid();
    TRY(mem_alloc(s->ctx, 1, sizeof *c, &c));
    TRY(template_fill(spec->words, value_of, (void *)s->job, &l.argv));
    TRY(make_env(s, &l.env));
    if (!find_program(l.argv[0], l.program, sizeof l.program))
        TRY(FAIL(s->ctx, DRMAD_E_MISSING, "objective.cmd: %s: no such program", l.argv[0]));
    TRY(open_in(&l));
    if (pipe2(l.out, O_CLOEXEC) != 0 || pipe2(l.err, O_CLOEXEC) != 0 ||
        pipe2(l.gone, O_CLOEXEC) != 0)
        TRY(FAIL(s->ctx, DRMAD_E_IO, "pipe: %s", strerror(errno)));
    TRY(run(s, &l, c));
    s->inside = c, c = NULL;
done:
    close_ends(&l);
    mem_free(s->ctx, l.argv);
    mem_free(s->ctx, l.env);
    mem_free(s->ctx, c);
    return st;
}

/* ---- the end ---- */

static void command_stop(slot *s, bool force)
{
    const child *c = s->inside;

    if (!c->over) kill(-c->pid, force ? SIGKILL : SIGTERM);
}

/* Children of the child die with it, before its number can be another's: the zombie holds it. */
static void reap(child *c)
{
    siginfo_t info = {0};

    if (c->over || waitid(P_PID, (id_t)c->pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
        info.si_pid == 0)
        return;
    kill(-c->pid, SIGKILL);
    if (waitpid(c->pid, &c->status, 0) != c->pid) return;
    c->over = true;
    c->over_at = base_now();
}

/* A process that left the group may hold the pipe open: it is not waited for long. */
static bool command_ended(slot *s)
{
    child *c = s->inside;

    reap(c);
    return c->over && (s->out < 0 || 1e3 * (base_now() - c->over_at) >= LINGER_MS);
}

static void command_judge(slot *s)
{
    const command_spec *spec = s->own;
    const child *c = s->inside;
    char limit[96] = "";

    if (spec->memory > 0)
        snprintf(limit, sizeof limit, " under objective.memory, %lld MiB of address space",
                 (long long)(spec->memory >> 20));
    const bool fine = WIFEXITED(c->status) && WEXITSTATUS(c->status) == 0;
    const bool stopped = s->phase != SLOT_RUNNING && !s->timed_out;

    if (fine && (!stopped || s->said.result)) return;
    if (stopped) slot_fail(s, true, "stopped"); /* an intermediate value is not its result */
    else if (WIFEXITED(c->status) && WEXITSTATUS(c->status) == AGAIN)
        slot_fail(s, true, "the command asks to be run again (exit status 75)");
    else if (WIFEXITED(c->status))
        slot_fail(s, false, "exit status %d%s", WEXITSTATUS(c->status), limit);
    else
        slot_fail(s, false, "killed by signal %d (%s)%s", WTERMSIG(c->status),
                  strsignal(WTERMSIG(c->status)), limit);
}

static void command_close(slot *s)
{
    child *c = s->inside;

    if (!c->over) {
        kill(-c->pid, SIGKILL);
        waitpid(c->pid, &c->status, 0);
    }
    mem_free(s->ctx, c);
}

const slot_kind slot_command = {
    "command", command_start, command_stop, command_ended, command_judge, command_close, NULL,
};
