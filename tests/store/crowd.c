/* Many processes on one store; crowd.h says how to use it. */
#include "crowd.h"
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORKERS_MAX = 64 };

crowd *crowd_new(void)
{
    void *p = mmap(NULL, sizeof(crowd), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (p != MAP_FAILED) return p;
    test_fail(__FILE__, __LINE__, "no shared memory");
    return NULL;
}

void crowd_free(crowd *c)
{
    if (c) munmap(c, sizeof *c);
}

void crowd_fail(crowd *c, const char *fmt, ...)
{
    va_list ap;

    if (atomic_fetch_add(&c->failed, 1) > 0) return;
    va_start(ap, fmt);
    vsnprintf(c->message, sizeof c->message, fmt, ap);
    va_end(ap);
}

pid_t crowd_fork(crowd *c, const char *url, int index, crowd_fn *fn, void *user)
{
    fflush(stdout);
    pid_t child = fork();
    if (child != 0) return child;

    crowd_worker w = {drmad_ctx_new(NULL, NULL), c, url, index, user};
    fn(&w);
    _exit(0);
}

void crowd_join(crowd *c, pid_t child)
{
    int status = 0;

    if (waitpid(child, &status, 0) != child || status != 0)
        crowd_fail(c, "a worker died, status %d", status);
    if (atomic_exchange(&c->failed, 0)) test_fail(__FILE__, __LINE__, "%s", c->message);
}

typedef struct barrier {
    crowd_fn *fn;
    void *user;
} barrier;

static void at_barrier(crowd_worker *w)
{
    barrier *b = w->user;

    atomic_fetch_add(&w->shared->ready, 1);
    while (!atomic_load(&w->shared->go)) usleep(500);
    w->user = b->user;
    b->fn(w);
}

void crowd_run(crowd *c, const char *url, int n, crowd_fn *fn, void *user)
{
    pid_t child[WORKERS_MAX];
    barrier b = {fn, user};

    atomic_store(&c->ready, 0), atomic_store(&c->go, 0);
    for (int i = 0; i < n; i++) child[i] = crowd_fork(c, url, i, at_barrier, &b);
    while (atomic_load(&c->ready) < n) usleep(500);
    atomic_store(&c->go, 1);
    for (int i = 0; i < n; i++) crowd_join(c, child[i]);
}
