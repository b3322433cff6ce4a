/* Many processes on one study: nothing lost, nothing done twice. */
#include "crowd.h"
#include "store/local.h"
#include <sys/stat.h>
#include <unistd.h>

enum { WORKERS = 32, PATIENCE_S = 120, LEASE_S = 600 };
static const study_direction down = DIRECTION_MINIMIZE;
static const char *const lr_dist = "{\"name\": \"FloatDistribution\", \"attributes\": {\"step\": "
                                   "null, \"low\": 0.0, \"high\": 1000000.0, \"log\": false}}";

/* What a study has come to, checked while it is read. */
typedef struct tally {
    int64_t n, last_id;
    int64_t count[TRIAL_STATE_COUNT];
    int bad;
    char why[256];
} tally;

static drmad_status tally_trial(void *user, const store_trial *t)
{
    tally *a = user;
    const char *why = NULL;

    if (t->number != a->n) why = "numbers have a gap or are out of order";
    if (t->id <= a->last_id) why = "ids do not rise";
    if (t->state == TRIAL_COMPLETE) {
        if (t->n_values != 1 || t->values[0] != (double)t->number) why = "value";
        if (t->n_params != 1 || t->params[0].value != (double)t->number) why = "parameter";
        if (!t->start || !t->complete || strcmp(t->start, t->complete) > 0) why = "times";
        if (!t->worker) why = "worker";
    }
    if (why && !a->bad++)
        snprintf(a->why, sizeof a->why, "trial %lld: %s", (long long)t->number, why);
    a->n++, a->last_id = t->id, a->count[t->state]++;
    return DRMAD_OK;
}

static void tally_study(store *s, int64_t study, tally *a)
{
    *a = (tally){.last_id = -1};
    CHECK_OK(store_ctx(s), store_trial_each(s, study, -1, STATES_ALL, tally_trial, a));
    if (a->bad) test_fail(__FILE__, __LINE__, "%d trials are wrong; %s", a->bad, a->why);
}

/* Runs one trial to its end; its value and parameter are its number. */
static void run_trial(crowd_worker *w, store *s, const store_lease *l)
{
    double value = (double)l->number;
    store_param p = {"lr", value, lr_dist};
    store_trial end = {.state = TRIAL_COMPLETE, .n_values = 1, .values = &value};

    if (l->number >= 0 && l->number < CROWD_MARKS) atomic_fetch_add(&w->shared->mark[l->number], 1);
    WORKER_OK(w, store_trial_params(s, l, &p, 1));
    WORKER_OK(w, store_trial_tell(s, l, &end));
}

static void make_study(const char *url, const char *name)
{
    drmad_ctx *ctx = test_ctx();
    store *s = NULL;
    int64_t study;
    bool made = false;

    CHECK_OK(ctx, backend_open(ctx, url, PATIENCE_S, LEASE_S, &s));
    if (!s) return;
    CHECK_OK(ctx, store_study_create(s, name, &down, 1, &study, &made));
    CHECK(made);
    store_close(s);
}

static void enter(crowd_worker *w, store **s, int64_t *study)
{
    WORKER_OK(w, backend_open(w->ctx, w->url, PATIENCE_S, LEASE_S, s));
    WORKER_OK(w, store_study_find(*s, "crowd", study));
}

static void begin_until_full(crowd_worker *w)
{
    store *s = NULL;
    store_lease l;
    int64_t study;
    int limit = *(int *)w->user;
    char key[STORE_REQUEST_SIZE];

    enter(w, &s, &study);
    for (;;) {
        store_request(s, key);
        WORKER_OK(w, store_trial_begin(s, study, limit, key, &l));
        if (l.trial < 0) break;
        run_trial(w, s, &l);
    }
    store_close(s);
}

static void check_marks(crowd *c, int n)
{
    for (int i = 0; i < n; i++)
        if (atomic_load(&c->mark[i]) != 1)
            test_fail(__FILE__, __LINE__, "trial %d was given to %d workers", i,
                      atomic_load(&c->mark[i]));
}

static void check_study(const char *url, int n)
{
    drmad_ctx *ctx = test_ctx();
    store *s = NULL;
    tally a;
    int64_t study;

    CHECK_OK(ctx, backend_open(ctx, url, PATIENCE_S, LEASE_S, &s));
    if (!s) return;
    CHECK_OK(ctx, store_study_find(s, "crowd", &study));
    tally_study(s, study, &a);
    CHECK_INT(a.n, n);
    CHECK_INT(a.count[TRIAL_COMPLETE], n);
    store_close(s);
}

/* F31: 32 processes x 1,000 trials (32 x 25 in make check), each begun and recorded once. */
TEST_BACKENDS(crowd_begins_each_trial_once)
{
    char url[BACKEND_URL_SIZE];
    crowd *c = crowd_new();
    int n = WORKERS * test_count(25, 1000);

    backend_url(b, url);
    make_study(url, "crowd");
    crowd_run(c, url, WORKERS, begin_until_full, &n);
    check_marks(c, n);
    check_study(url, n);
    crowd_free(c);
}

static void claim_until_empty(crowd_worker *w)
{
    store *s = NULL;
    store_lease l;
    int64_t study;
    char key[STORE_REQUEST_SIZE];

    enter(w, &s, &study);
    for (;;) {
        store_request(s, key);
        WORKER_OK(w, store_trial_claim(s, study, key, &l));
        if (l.trial < 0) break;
        run_trial(w, s, &l);
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
    int n = test_count(300, 5000);

    backend_url(b, url);
    make_study(url, "crowd");
    CHECK_OK(ctx, backend_open(ctx, url, PATIENCE_S, LEASE_S, &s));
    CHECK_OK(ctx, store_study_find(s, "crowd", &study));
    for (int i = 0; i < n; i++) {
        CHECK_OK(ctx, store_trial_add(s, study, &waiting, NULL, &id, &number));
        CHECK_INT(number, i);
    }
    store_close(s);
    crowd_run(c, url, WORKERS, claim_until_empty, NULL);
    check_marks(c, n);
    check_study(url, n);
    crowd_free(c);
}

static void create_study(crowd_worker *w)
{
    store *s = NULL;
    store_lease l;
    int64_t study;
    bool made = false;
    char key[STORE_REQUEST_SIZE];

    WORKER_OK(w, backend_open(w->ctx, w->url, PATIENCE_S, LEASE_S, &s));
    WORKER_OK(w, store_study_create(s, "crowd", &down, 1, &study, &made));
    atomic_fetch_add(&w->shared->count[0], made);
    store_request(s, key);
    WORKER_OK(w, store_trial_begin(s, study, -1, key, &l));
    run_trial(w, s, &l);
    store_close(s);
}

/* F32: database, schema and study are made by whoever comes first; all go on at once. */
TEST_BACKENDS(crowd_creates_schema_and_study_at_once)
{
    char url[BACKEND_URL_SIZE];

    for (int round = 0; round < test_count(2, 20); round++) {
        crowd *c = crowd_new();
        if (round == 0 || b == BACKEND_POSTGRES) backend_url(b, url);
        else snprintf(url, sizeof url, "sqlite:%s/round%d.db", backend_scratch(), round);
        crowd_run(c, url, WORKERS, create_study, NULL);
        CHECK_INT(atomic_load(&c->count[0]), 1);
        check_marks(c, WORKERS);
        check_study(url, WORKERS);
        crowd_free(c);
    }
}

static void few_trials(crowd_worker *w)
{
    store *s = NULL;
    store_lease l;
    int64_t study;
    char key[STORE_REQUEST_SIZE];

    enter(w, &s, &study);
    for (int i = 0; i < 3; i++) {
        store_request(s, key);
        WORKER_OK(w, store_trial_begin(s, study, -1, key, &l));
        run_trial(w, s, &l);
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
    make_study(url, "crowd");
    crowd_run(c, url, 20, few_trials, NULL);
    check_marks(c, 60);
    check_study(url, 60);

    for (int i = 0; i < 5; i++)
        CHECK_OK(ctx, backend_open(ctx, url, PATIENCE_S, LEASE_S, &hold[i]));
    double start = base_now();
    CHECK_FAILS(ctx, backend_open(ctx, url, 1.0, LEASE_S, &s), DRMAD_E_AGAIN, "too many clients");
    CHECK(base_now() - start < 10);
    for (int i = 0; i < 5; i++) store_close(hold[i]);
    CHECK_OK(ctx, local_stop(ctx, folder, true));
    snprintf(cmd, sizeof cmd, "rm -rf '%s'", folder);
    CHECK_INT(system(cmd), 0);
    mem_free(ctx, url);
    crowd_free(c);
}
