/* A server that goes away: restarts, cut connections, lost replies, silence. Nothing is lost,
 * nothing happens twice. */
#include "crowd.h"
#include "proxy.h"
#include <dirent.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const study_direction down = DIRECTION_MINIMIZE;

/* ---- the server restarts under a crowd ---- */

typedef struct crowd_under_fault {
    char url[BACKEND_URL_SIZE];
    crowd *c;
    int n;
    pid_t boss; /* who runs the crowd, so that the test is free to do harm */
} crowd_under_fault;

static void boss_run(crowd_worker *w)
{
    pid_t child[8];
    crowd_under_fault *f = w->user;

    for (int i = 0; i < 8; i++) child[i] = crowd_fork(f->c, f->url, i, crowd_begin_trials, &f->n);
    for (int i = 0; i < 8; i++) {
        int status = 0;
        waitpid(child[i], &status, 0);
        if (status != 0) crowd_fail(f->c, "a worker died, status %d", status);
    }
}

static void fault_begin(crowd_under_fault *f, int n)
{
    backend_url(BACKEND_POSTGRES, f->url);
    f->c = crowd_new(), f->n = n;
    f->c->pause = 10000; /* so that faults meet a crowd at work, however fast the store is */
    crowd_study(f->url);
    f->boss = crowd_fork(f->c, f->url, 0, boss_run, f);
}

static bool fault_goes_on(crowd_under_fault *f)
{
    siginfo_t info = {0};

    waitid(P_PID, (id_t)f->boss, &info, WEXITED | WNOHANG | WNOWAIT);
    return info.si_pid == 0;
}

static void fault_end(crowd_under_fault *f)
{
    crowd_join(f->c, f->boss);
    crowd_check_marks(f->c, f->n);
    crowd_check_study(f->url, f->n);
    crowd_free(f->c);
}

/* F29. Stops in turn at once (the server recovers from its log) and in order. */
TEST(outage_restarts_lose_nothing)
{
    crowd_under_fault f;
    int restarts = 0;

    fault_begin(&f, test_count(600, 8000));
    while (restarts < test_count(3, 40) && fault_goes_on(&f)) {
        usleep(100000 + (useconds_t)(restarts * 7919 % 13) * 20000);
        server_stop(restarts++ % 2 == 0);
        usleep(100000);
        server_start();
    }
    CHECK(restarts >= 2);
    fault_end(&f);
}

/* Sessions are ended from outside, at any moment of their transactions. */
TEST(outage_terminated_sessions_lose_nothing)
{
    crowd_under_fault f;
    int ended = 0;
    PGconn *c = server_connect(NULL);

    fault_begin(&f, test_count(400, 8000));
    while (fault_goes_on(&f)) {
        PGresult *r = PQexec(c, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE "
                                "pid <> pg_backend_pid() AND usename = 'drmad' ORDER BY random() "
                                "LIMIT 1");
        ended += PQntuples(r);
        PQclear(r);
        usleep(20000);
    }
    PQfinish(c);
    CHECK(ended >= 10);
    fault_end(&f);
}

/* ---- the server is silent, or gone ---- */

static int spooled(void)
{
    char path[512];
    int n = 0;

    snprintf(path, sizeof path, "%s/spool", backend_scratch());
    DIR *d = opendir(path);
    for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d)) {
        struct stat info;
        if (fstatat(dirfd(d), e->d_name, &info, 0) != 0 || !S_ISREG(info.st_mode)) continue;
        CHECK_INT(info.st_mode & 0077, 0);
        n++;
    }
    if (d) closedir(d);
    return n;
}

static void begin_one(store *s, int64_t *study, store_lease *l)
{
    char key[STORE_REQUEST_SIZE];
    bool made;

    CHECK_OK(store_ctx(s), store_study_create(s, CROWD_STUDY, &down, 1, study, &made));
    store_request(s, key);
    CHECK_OK(store_ctx(s), store_trial_begin(s, *study, -1, key, l));
}

static drmad_status check_told(void *user, const store_trial *t)
{
    CHECK_INT(t->state, TRIAL_COMPLETE);
    CHECK(t->n_values == 1 && t->values[0] == *(double *)user);
    return DRMAD_OK;
}

static void flush_elsewhere(crowd_worker *w)
{
    store *s = NULL;
    int32_t stored = 0;

    WORKER_OK(w, backend_open(w->ctx, w->url, 10, 600, &s));
    WORKER_OK(w, store_flush(s, &stored));
    atomic_store(&w->shared->count[0], stored);
    store_close(s);
}

/* F29: a result that cannot be stored waits on this machine's disk; a later process stores it. */
TEST(outage_keeps_the_result_on_disk)
{
    drmad_ctx *ctx = test_ctx();
    char url[BACKEND_URL_SIZE];
    store *s = NULL;
    store_lease l;
    int64_t study;
    double value = 0.125;
    store_trial end = {.state = TRIAL_COMPLETE, .n_values = 1, .values = &value};
    crowd *c = crowd_new();

    backend_url(BACKEND_POSTGRES, url);
    CHECK_OK(ctx, backend_open(ctx, url, 1, 600, &s));
    if (!s) return;
    begin_one(s, &study, &l);
    server_stop(true);
    CHECK_FAILS(ctx, store_trial_tell(s, &l, &end), DRMAD_E_AGAIN, "127.0.0.1");
    CHECK(!strstr(drmad_errmsg(ctx), server_password()));
    CHECK_INT(spooled(), 1);
    store_close(s);
    server_start();

    for (int round = 0; round < 2; round++) {
        crowd_join(c, crowd_fork(c, url, 0, flush_elsewhere, NULL));
        CHECK_INT(atomic_load(&c->count[0]), round == 0);
        CHECK_INT(spooled(), 0);
    }
    CHECK_OK(ctx, backend_open(ctx, url, 10, 600, &s));
    CHECK_OK(ctx, store_trial_read(s, study, l.trial, check_told, &value));
    store_close(s);
    crowd_free(c);
}

/* F29: a firewall drops what is sent and says nothing: a call gives up in time, and once the way is
 * free again the same store goes on. */
TEST(outage_silence_ends_in_time)
{
    drmad_ctx *ctx = test_ctx();
    char url[BACKEND_URL_SIZE], through[BACKEND_URL_SIZE], now[STORE_TIME_SIZE];
    store *s = NULL;
    store_lease l;
    int64_t study;
    bool held = false;
    proxy *p = proxy_open(server_port());

    backend_url(BACKEND_POSTGRES, url);
    proxy_url(p, url, through);
    CHECK_OK(ctx, backend_open(ctx, through, 2, 600, &s));
    if (!s) return;
    begin_one(s, &study, &l);
    proxy_set(p, PROXY_SWALLOW, 0);
    double start = base_now();
    CHECK_FAILS(ctx, store_beat(s, &l, 1, &held), DRMAD_E_AGAIN, "127.0.0.1");
    CHECK(base_now() - start < 20);
    proxy_set(p, PROXY_REFUSE, 0);
    CHECK_FAILS(ctx, store_now(s, now), DRMAD_E_AGAIN, "127.0.0.1");
    proxy_set(p, PROXY_FORWARD, 0);
    CHECK_OK(ctx, store_beat(s, &l, 1, &held));
    CHECK(held);
    store_close(s);
    proxy_close(p);
}

/* An idle connection that was dropped in the meantime is made anew without a word. */
TEST(outage_idle_connection_is_made_anew)
{
    drmad_ctx *ctx = test_ctx();
    char url[BACKEND_URL_SIZE];
    store *s = NULL;
    store_lease l;
    int64_t study;
    bool held = false;
    PGconn *c = server_connect(NULL);

    backend_url(BACKEND_POSTGRES, url);
    CHECK_OK(ctx, backend_open(ctx, url, 10, 600, &s));
    if (!s) return;
    begin_one(s, &study, &l);
    server_run(c, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> "
                  "pg_backend_pid() AND usename = 'drmad'");
    PQfinish(c);
    CHECK_OK(ctx, store_beat(s, &l, 1, &held));
    CHECK(held);
    store_close(s);
}
