/* The thread pool: every tile once, whatever the number of threads, and with none that could be
 * started. */
#include "base/pool.h"
#include "test.h"
#include <sched.h>
#include <pthread.h>
#include <sched.h>
#include <time.h>

enum { TILES = 300 };

typedef struct sheet {
    atomic_int hits[TILES];
    int plain[TILES]; /* written by one thread, read by the caller after pool_run */
    bool slow;
} sheet;

static void mark(void *arg, int64_t i)
{
    sheet *s = arg;

    atomic_fetch_add(&s->hits[i], 1);
    s->plain[i] = (int)i + 1;
    if (s->slow && i % 50 == 0) sched_yield();
}

static void check_run(drmad_ctx *ctx, int tiles, bool slow)
{
    static sheet s;

    memset(&s, 0, sizeof s);
    s.slow = slow;
    pool_run(ctx, tiles, mark, &s);
    for (int i = 0; i < TILES; i++) {
        CHECK_INT(atomic_load(&s.hits[i]), i < tiles);
        CHECK_INT(s.plain[i], i < tiles ? i + 1 : 0);
    }
}

TEST(a_pool_runs_every_tile_once)
{
    drmad_ctx *ctx = test_ctx();
    const int tiles[] = {0, 1, 2, 3, 7, TILES};

    for (int threads = 1; threads <= 5; threads++) {
        CHECK_OK(ctx, drmad_ctx_set_threads(ctx, threads));
        for (int round = 0; round < 200; round++) check_run(ctx, tiles[round % 6], round % 11 == 0);
    }
}

/* Jobs that follow at once, and after the workers have gone to sleep. */
TEST(a_late_worker_never_touches_the_next_job)
{
    drmad_ctx *ctx = test_ctx();
    struct timespec nap = {0, 300000};

    CHECK_OK(ctx, drmad_ctx_set_threads(ctx, 4));
    for (int round = 0; round < 2000; round++) {
        check_run(ctx, 2 + round % 5, false);
        if (round % 40 == 0) nanosleep(&nap, NULL);
    }
}

static drmad_status pool_body(drmad_ctx *ctx, void *arg)
{
    (void)arg;
    drmad_status st = drmad_ctx_set_threads(ctx, 3);
    if (st == DRMAD_OK) check_run(ctx, TILES, false);
    return st;
}

TEST(without_memory_for_a_pool_the_caller_does_the_work)
{
    test_oom(pool_body, NULL);
}

static void count_line(void *user, int level, const char *line)
{
    (void)level;
    if (strstr(line, "only 1 of 4")) ++*(int *)user;
}

/* Workers would need stacks larger than the address space left: pthread_create fails. */
TEST(without_threads_the_caller_does_the_work)
{
    drmad_ctx *ctx = test_ctx();
    pthread_attr_t before, huge;
    int warned = 0;

    CHECK_OK(ctx, drmad_ctx_set_threads(ctx, 4));
    drmad_ctx_set_log(ctx, count_line, &warned);
    CHECK(pthread_getattr_default_np(&before) == 0);
    CHECK(pthread_attr_init(&huge) == 0 && pthread_attr_setstacksize(&huge, (size_t)1 << 50) == 0);
    CHECK(pthread_setattr_default_np(&huge) == 0);
    check_run(ctx, TILES, false);
    CHECK(pthread_setattr_default_np(&before) == 0);
    check_run(ctx, TILES, false);
    CHECK_INT(warned, 1);
    pthread_attr_destroy(&huge);
    pthread_attr_destroy(&before);
}

TEST(auto_threads_are_those_that_may_run)
{
    drmad_ctx *ctx = test_ctx();
    cpu_set_t before, one;
    size_t first = 0;

    CHECK_INT(sched_getaffinity(0, sizeof before, &before), 0);
    while (!CPU_ISSET(first, &before)) first++;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    CHECK_INT(sched_setaffinity(0, sizeof one, &one), 0);
    CHECK_OK(ctx, drmad_ctx_set_threads(ctx, 0));
    CHECK_INT(drmad_ctx_threads(ctx), 1);
    CHECK_INT(sched_setaffinity(0, sizeof before, &before), 0);
}
