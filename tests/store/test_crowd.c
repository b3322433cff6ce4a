/* Many processes on one study: nothing lost, nothing done twice. */
#include "crowd.h"
#include "store/local.h"
#include <sys/stat.h>
#include <unistd.h>

/* As many on the two cores of `make check` tell no more than a few. */
static int workers(void)
{
    return test_count(8, 32);
}

/* A journal is one file that one process at a time may add to: fewer will do. */
static int count_on(backend b, int reduced, int full)
{
    return b == BACKEND_JOURNAL ? test_count(reduced / 5, full / 20) : test_count(reduced, full);
}

/* F31: 32 processes x 1,000 trials (8 x 50 in make check), each begun and recorded once. */
TEST_BACKENDS(crowd_begins_each_trial_once)
{
    char url[BACKEND_URL_SIZE];
    crowd *c = crowd_new();
    int n = workers() * count_on(b, 50, 1000);

    backend_url(b, url);
    crowd_study(url);
    crowd_run(c, url, workers(), crowd_begin_trials, &n);
    crowd_check_marks(c, n);
    crowd_check_study(url, n);
    crowd_free(c);
}

static void claim_until_empty(crowd_worker *w)
{
    store *s = NULL;
    store_lease l;
    int64_t study;
    char key[STORE_REQUEST_SIZE];

    crowd_enter(w, &s, &study);
    for (;;) {
        store_request(s, key);
        WORKER_OK(w, store_trial_claim(s, study, key, &l));
        if (l.trial < 0) break;
        crowd_run_trial(w, s, &l);
    }
    store_close(s);
}

/* A queue of waiting trials is emptied by 32 processes, none twice, the oldest first. */
TEST_BACKENDS(crowd_claims_each_queued_trial_once)
{
    drmad_ctx *ctx = test_ctx();
    char url[BACKEND_URL_SIZE];
    crowd *c = crowd_new();
    store *s = NULL;
    store_trial waiting = {.state = TRIAL_WAITING};
    int64_t study, id, number = -1;
    int n = count_on(b, 300, 5000);

    backend_url(b, url);
    crowd_study(url);
    CHECK_OK(ctx, backend_open(ctx, url, CROWD_PATIENCE_S, CROWD_LEASE_S, &s));
    CHECK_OK(ctx, store_study_find(s, "crowd", &study));
    for (int i = 0; i < n; i++) {
        CHECK_OK(ctx, store_trial_add(s, study, &waiting, NULL, &id, &number));
        CHECK_INT(number, i);
    }
    store_close(s);
    crowd_run(c, url, workers(), claim_until_empty, NULL);
    crowd_check_marks(c, n);
    crowd_check_study(url, n);
    crowd_free(c);
}

enum { CREATORS = 32 };

static void create_study(crowd_worker *w)
{
    const study_direction direction = DIRECTION_MINIMIZE;
    store *s = NULL;
    store_lease l;
    int64_t study;
    bool made = false;
    char key[STORE_REQUEST_SIZE];

    WORKER_OK(w, backend_open(w->ctx, w->url, CROWD_PATIENCE_S, CROWD_LEASE_S, &s));
    WORKER_OK(w, store_study_create(s, "crowd", &direction, 1, &study, &made));
    atomic_fetch_add(&w->shared->count[0], made);
    store_request(s, key);
    WORKER_OK(w, store_trial_begin(s, study, -1, key, &l));
    crowd_run_trial(w, s, &l);
    store_close(s);
}

/* F32: database, schema and study are made by whoever comes first; all go on at once. */
TEST_BACKENDS(crowd_creates_schema_and_study_at_once)
{
    char url[BACKEND_URL_SIZE];

    for (int round = 0; round < count_on(b, 5, 20); round++) {
        crowd *c = crowd_new();
        if (round == 0 || b == BACKEND_POSTGRES) backend_url(b, url);
        else
            snprintf(url, sizeof url, "%s:%s/round%d.db",
                     b == BACKEND_SQLITE ? "sqlite" : "journal", backend_scratch(), round);
        crowd_run(c, url, CREATORS, create_study, NULL);
        CHECK_INT(atomic_load(&c->count[0]), 1);
        crowd_check_marks(c, CREATORS);
        crowd_check_study(url, CREATORS);
        crowd_free(c);
    }
}

static void few_trials(crowd_worker *w)
{
    store *s = NULL;
    store_lease l;
    int64_t study;
    char key[STORE_REQUEST_SIZE];

    crowd_enter(w, &s, &study);
    for (int i = 0; i < 3; i++) {
        store_request(s, key);
        WORKER_OK(w, store_trial_begin(s, study, -1, key, &l));
        crowd_run_trial(w, s, &l);
    }
    store_close(s);
}

/* F36: a server that takes 5 connections serves 20 workers, who wait for each other; one who will
 * not wait is told why. */
TEST(crowd_shares_five_connections)
{
    drmad_ctx *ctx = test_ctx();
    char folder[128], cmd[200];
    char *url = NULL;
    crowd *c = crowd_new();
    store *hold[5] = {NULL}, *s = NULL;

    test_scratch();
    snprintf(folder, sizeof folder, "/tmp/drmad-five-%ld", (long)getpid());
    local_options o = {.folder = folder, .max_connections = 5, .fragile = true};
    CHECK_OK(ctx, local_start(ctx, &o, &url));
    if (!url) return;
    crowd_study(url);
    crowd_run(c, url, 20, few_trials, NULL);
    crowd_check_marks(c, 60);
    crowd_check_study(url, 60);

    for (int i = 0; i < 5; i++)
        CHECK_OK(ctx, backend_open(ctx, url, CROWD_PATIENCE_S, CROWD_LEASE_S, &hold[i]));
    double start = base_now();
    CHECK_FAILS(ctx, backend_open(ctx, url, 1.0, CROWD_LEASE_S, &s), DRMAD_E_AGAIN,
                "too many clients");
    CHECK(base_now() - start < 10);
    for (int i = 0; i < 5; i++) store_close(hold[i]);
    CHECK_OK(ctx, local_stop(ctx, folder, true));
    snprintf(cmd, sizeof cmd, "rm -rf '%s'", folder);
    CHECK_INT(system(cmd), 0);
    mem_free(ctx, url);
    crowd_free(c);
}
