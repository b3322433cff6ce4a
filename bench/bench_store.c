/* What the store costs: ask and tell, by one and by four processes, and whether two processes ever
 * get one trial. Alone it prints lines; bench_versus_optuna.py drives it beside Optuna:
 *
 *   bench_store serve FOLDER               a PostgreSQL until standard input ends; prints its URL
 *   bench_store database URL NAME on|off   a new database; prints its URL; off: synchronous_commit
 *   bench_store run URL TRIALS PROCESSES PARAMS
 *                                          prints seconds from the common start to the last end
 *
 * A trial here is what Optuna makes of one: begun, each parameter stored on its own, told; so
 * PARAMS + 2 commits. */
#include "base/base.h"
#include "store/local.h"
#include "store/store.h"
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PROCESSES_MAX = 32, PARAMS_MAX = 64, TRIALS_MAX = 100000, URL_SIZE = 2048 };

typedef struct shared {
    atomic_int ready, go, failed;
    double end[PROCESSES_MAX];
    atomic_int given[TRIALS_MAX]; /* trial number -> to how many processes */
} shared;

static _Noreturn void give_up(drmad_ctx *ctx, const char *what)
{
    fprintf(stderr, "bench_store: %s: %s\n", what, drmad_errmsg(ctx));
    exit(1);
}

#define MUST(ctx, call)                                                                            \
    do {                                                                                           \
        if ((call) != DRMAD_OK) give_up((ctx), #call);                                             \
    } while (0)

static store *enter(drmad_ctx *ctx, const char *url, int64_t *study)
{
    const study_direction down = DIRECTION_MINIMIZE;
    store_options o = {.create = true, .patience_s = 120, .lease_s = 60};
    store *s = NULL;
    bool made;

    MUST(ctx, store_open(ctx, url, &o, &s));
    MUST(ctx, store_study_create(s, "bench", &down, 1, study, &made));
    return s;
}

static void one_trial(store *s, int64_t study, int params, shared *all)
{
    drmad_ctx *ctx = store_ctx(s);
    store_lease l;
    char key[STORE_REQUEST_SIZE], name[16];
    double value = 0.5;
    store_trial end = {.state = TRIAL_COMPLETE, .n_values = 1, .values = &value};

    store_request(s, key);
    MUST(ctx, store_trial_begin(s, study, -1, key, &l));
    if (l.number < TRIALS_MAX) atomic_fetch_add(&all->given[l.number], 1);
    for (int i = 0; i < params; i++) {
        snprintf(name, sizeof name, "p%d", i);
        store_param p = {name, 0.25,
                         "{\"name\": \"FloatDistribution\", \"attributes\": {\"step\": null, "
                         "\"low\": 0.0, \"high\": 1.0, \"log\": false}}"};
        MUST(ctx, store_trial_params(s, &l, &p, 1, NULL));
    }
    MUST(ctx, store_trial_tell(s, &l, &end));
}

static void work(const char *url, int trials, int params, int index, shared *all)
{
    drmad_ctx *ctx = drmad_ctx_new(NULL, NULL);
    int64_t study;
    store *s = enter(ctx, url, &study);

    atomic_fetch_add(&all->ready, 1);
    while (!atomic_load(&all->go)) usleep(200);
    for (int i = 0; i < trials; i++) one_trial(s, study, params, all);
    all->end[index] = base_now();
    store_close(s);
    drmad_ctx_free(ctx);
}

/* Seconds; *doubled counts trials that went to more than one process. */
static double run(const char *url, int trials, int processes, int params, int *doubled)
{
    shared *all =
        mmap(NULL, sizeof *all, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t child[PROCESSES_MAX];
    double start, last = 0;
    int status, each = trials / processes;

    if (all == MAP_FAILED) exit(1);
    for (int i = 0; i < processes; i++) {
        child[i] = fork();
        if (child[i] != 0) continue;
        work(url, each, params, i, all);
        _exit(0);
    }
    while (atomic_load(&all->ready) < processes && waitpid(-1, &status, WNOHANG) == 0) usleep(200);
    start = base_now();
    atomic_store(&all->go, 1);
    for (int i = 0; i < processes; i++) {
        if (waitpid(child[i], &status, 0) != child[i] || status != 0) exit(1);
        if (all->end[i] > last) last = all->end[i];
    }
    *doubled = 0;
    for (int i = 0; i < each * processes && i < TRIALS_MAX; i++)
        *doubled += atomic_load(&all->given[i]) != 1;
    munmap(all, sizeof *all);
    return last - start;
}

static int serve(const char *folder)
{
    drmad_ctx *ctx = drmad_ctx_new(NULL, NULL);
    local_options o = {.folder = folder};
    char *url = NULL, byte;

    MUST(ctx, local_start(ctx, &o, &url));
    printf("%s\n", url);
    fflush(stdout);
    while (read(0, &byte, 1) > 0) continue;
    MUST(ctx, local_stop(ctx, folder, true));
    mem_free(ctx, url);
    drmad_ctx_free(ctx);
    return 0;
}

static int database(const char *url, const char *name, const char *synchronous)
{
    char sql[256];
    PGconn *c = PQconnectdb(url);
    bool good = PQstatus(c) == CONNECTION_OK;
    const char *path = strstr(url, "/drmad?");

    snprintf(sql, sizeof sql, "CREATE DATABASE %s", name);
    PGresult *r = PQexec(c, sql);
    good = good && PQresultStatus(r) == PGRES_COMMAND_OK;
    PQclear(r);
    snprintf(sql, sizeof sql, "ALTER DATABASE %s SET synchronous_commit = %s", name, synchronous);
    r = PQexec(c, sql);
    good = good && PQresultStatus(r) == PGRES_COMMAND_OK;
    PQclear(r);
    if (!good || !path) fprintf(stderr, "bench_store: %s", PQerrorMessage(c));
    else printf("%.*s/%s%s\n", (int)(path - url), url, name, path + strlen("/drmad"));
    PQfinish(c);
    return good && path ? 0 : 1;
}

/* A fresh file each time; the median of the runs. */
static double sqlite_ms(const char *folder, int trials, int processes, int *doubled)
{
    enum { RUNS = 5 };
    double ms[RUNS];
    char url[URL_SIZE];
    int bad;

    for (int i = 0; i < RUNS; i++) {
        snprintf(url, sizeof url, "sqlite:%s/%d-%d.db", folder, processes, i);
        double t = 1e3 * run(url, trials, processes, 3, &bad) / trials;
        *doubled += bad;
        int k = i;
        for (; k > 0 && ms[k - 1] > t; k--) ms[k] = ms[k - 1];
        ms[k] = t;
    }
    return ms[RUNS / 2];
}

static int alone(void)
{
    char folder[] = "/tmp/drmad-bench-XXXXXX", cmd[64];
    int doubled = 0;

    if (!mkdtemp(folder)) return 1;
    double one = sqlite_ms(folder, 1000, 1, &doubled), four = sqlite_ms(folder, 1000, 4, &doubled);
    sqlite_ms(folder, 2048, 32, &doubled);
    printf("store_sqlite_asktell_ms ratio %.3f ask + 3 parameters + tell, 5 commits, WAL; four "
           "processes on one study: %.3f ms a trial\n",
           one, four);
    printf("store_claims_double ratio %d trials that went to two of 4 or 32 processes\n", doubled);
    snprintf(cmd, sizeof cmd, "rm -rf %s", folder);
    return system(cmd) != 0;
}

int main(int argc, char **argv)
{
    int doubled;

    if (argc == 1) return alone();
    if (argc == 3 && strcmp(argv[1], "serve") == 0) return serve(argv[2]);
    if (argc == 5 && strcmp(argv[1], "database") == 0) return database(argv[2], argv[3], argv[4]);
    if (argc != 6 || strcmp(argv[1], "run") != 0) return 2;
    int processes = atoi(argv[4]), params = atoi(argv[5]);
    if (processes < 1 || processes > PROCESSES_MAX || params < 0 || params > PARAMS_MAX) return 2;
    printf("%.6f\n", run(argv[2], atoi(argv[3]), processes, params, &doubled));
    return doubled != 0;
}
