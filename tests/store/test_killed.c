/* Workers that are killed or frozen at any moment: what they had is run again, what they told is
 * kept, and what they say too late is refused. */
#include "crowd.h"
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

enum { POINTS_MAX = 4000, RETRIES = 3, WORKERS = 8 };
static const study_direction down = DIRECTION_MINIMIZE;
static const char *const lr_dist = "{\"name\": \"FloatDistribution\", \"attributes\": {\"step\": "
                                   "null, \"low\": 0.0, \"high\": 1000000.0, \"log\": false}}";

/* ---- what a trial says of its history ---- */

/* The whole number that an attribute holds, -1: no such attribute. */
static int64_t attr_number(const store_trial *t, const char *key)
{
    for (int i = 0; i < t->n_attrs; i++)
        if (strcmp(t->attrs[i].key, key) == 0) return strtoll(t->attrs[i].json, NULL, 10);
    return -1;
}

/* How many entries a list has: "[3, 7]" has two. */
static int attr_length(const store_trial *t, const char *key)
{
    int n = 0;

    for (int i = 0; i < t->n_attrs; i++) {
        if (strcmp(t->attrs[i].key, key) != 0) continue;
        const char *c = t->attrs[i].json;
        for (n = strpbrk(c, "0123456789") != NULL; *c; c++) n += *c == ',';
    }
    return n;
}

/* One point that was queued, over all trials that tried it. */
typedef struct point {
    int complete, failed, open, tries;
    double value;
} point;

typedef struct history {
    point points[POINTS_MAX];
    int64_t n; /* trials */
    int bad;
    char why[200];
} history;

static void history_bad(history *h, const store_trial *t, const char *why)
{
    if (!h->bad++) snprintf(h->why, sizeof h->why, "trial %lld: %s", (long long)t->number, why);
}

static drmad_status history_trial(void *user, const store_trial *t)
{
    history *h = user;
    int64_t i = attr_number(t, "point"), first = attr_number(t, "failed_trial");
    int earlier = attr_length(t, "retry_history");

    if (t->number != h->n++) history_bad(h, t, "number");
    if (i < 0 || i >= POINTS_MAX) {
        history_bad(h, t, "its point is lost");
        return DRMAD_OK;
    }
    point *p = &h->points[i];
    if (earlier != p->tries) history_bad(h, t, "retry_history has another length than its tries");
    if ((p->tries > 0) != (first >= 0)) history_bad(h, t, "failed_trial");
    if (first >= 0 && first != i) history_bad(h, t, "failed_trial is not the first one");
    p->tries++;
    p->complete += t->state == TRIAL_COMPLETE;
    p->failed += t->state == TRIAL_FAIL;
    p->open += t->state == TRIAL_WAITING || t->state == TRIAL_RUNNING;
    if (t->state == TRIAL_COMPLETE) p->value = t->n_values == 1 ? t->values[0] : -1;
    return DRMAD_OK;
}

static history *history_read(store *s, int64_t study)
{
    history *h = calloc(1, sizeof *h);

    if (!h) abort();
    CHECK_OK(store_ctx(s), store_trial_each(s, study, -1, STATES_ALL, history_trial, h));
    if (h->bad) test_fail(__FILE__, __LINE__, "%d trials are wrong; %s", h->bad, h->why);
    return h;
}

/* ---- SIGKILL at random ---- */

/* Queues points 0 .. n-1; trial i is point i. */
static void queue_points(const char *url, int n)
{
    drmad_ctx *ctx = test_ctx();
    store *s = NULL;
    int64_t study, id, number;
    bool made;
    char text[16];

    CHECK_OK(ctx, backend_open(ctx, url, CROWD_PATIENCE_S, CROWD_LEASE_S, &s));
    if (!s) return;
    CHECK_OK(ctx, store_study_create(s, CROWD_STUDY, &down, 1, &study, &made));
    for (int i = 0; i < n; i++) {
        snprintf(text, sizeof text, "%d", i);
        store_attr a = {"point", text, false};
        store_trial t = {.state = TRIAL_WAITING, .n_attrs = 1, .attrs = &a};
        CHECK_OK(ctx, store_trial_add(s, study, &t, NULL, &id, &number));
    }
    store_close(s);
}

static drmad_status point_of(void *user, const store_trial *t)
{
    *(int64_t *)user = attr_number(t, "point");
    return DRMAD_OK;
}

enum { BRIEF_LEASE_MS = 800, FREEZE_EACH = 8 };

/* Claims, expires what others left, tells; counts in mark[index] what it took, in told[point] what
 * it told. A lease may run out while this process waits for a core: then it goes on. */
static void work_on_points(crowd_worker *w)
{
    store *s = NULL;
    store_lease l;
    int64_t study, i = -1;
    int32_t expired;
    char key[STORE_REQUEST_SIZE];

    WORKER_OK(w, backend_open(w->ctx, w->url, CROWD_PATIENCE_S, BRIEF_LEASE_MS / 1e3, &s));
    WORKER_OK(w, store_study_find(s, CROWD_STUDY, &study));
    while (!atomic_load(&w->shared->stop)) {
        WORKER_OK(w, store_trial_expire(s, study, RETRIES, &expired));
        store_request(s, key);
        WORKER_OK(w, store_trial_claim(s, study, key, &l));
        if (l.trial < 0) {
            usleep(20000);
            continue;
        }
        atomic_fetch_add(&w->shared->mark[w->index], 1);
        WORKER_OK(w, store_trial_read(s, study, l.trial, point_of, &i));
        double value = (double)i;
        store_param p = {"lr", value, lr_dist};
        store_trial end = {.state = TRIAL_COMPLETE, .n_values = 1, .values = &value};
        drmad_status st = store_trial_params(s, &l, &p, 1, NULL);
        if (st == DRMAD_OK) {
            usleep(2000);
            st = store_trial_tell(s, &l, &end);
        }
        if (st == DRMAD_E_LEASE) continue;
        WORKER_OK(w, st);
        atomic_fetch_add(&w->shared->told[i], 1);
    }
    store_close(s);
}

static drmad_status count_open(void *user, const store_study *s)
{
    *(int64_t *)user = s->count[TRIAL_WAITING] + s->count[TRIAL_RUNNING];
    return DRMAD_OK;
}

/* Until nothing waits and nothing runs: the leases of the dead are over by then. */
static void wait_for_the_end(const char *url)
{
    drmad_ctx *ctx = test_ctx();
    store *s = NULL;
    int64_t open = 1;
    double start = base_now();

    CHECK_OK(ctx, backend_open(ctx, url, CROWD_PATIENCE_S, CROWD_LEASE_S, &s));
    while (s && open > 0 && base_now() - start < CROWD_PATIENCE_S) {
        usleep(100000);
        CHECK_OK(ctx, store_study_each(s, CROWD_STUDY, count_open, &open));
    }
    CHECK_INT(open, 0);
    store_close(s);
}

/* Until the victim has taken one more trial, which it holds for two milliseconds at least. */
static void wait_for_claim(crowd *c, int victim)
{
    atomic_store(&c->mark[victim], 0);
    for (int ms = 0; ms < 500 && !atomic_load(&c->mark[victim]); ms++) usleep(1000);
}

static void kill_some(crowd *c, const char *url, int kills)
{
    pid_t child[WORKERS];

    for (int i = 0; i < WORKERS; i++) child[i] = crowd_fork(c, url, i, work_on_points, NULL);
    srand(17);
    for (int k = 0; k < kills; k++) {
        int victim = rand() % WORKERS;
        const bool holding = rand() % 4 != 0; /* else anywhere, while it connects too */
        if (holding) wait_for_claim(c, victim);
        usleep((useconds_t)(rand() % (holding ? 2000 : 20000)));
        if (k % FREEZE_EACH == FREEZE_EACH - 1) { /* perhaps within a transaction */
            kill(child[victim], SIGSTOP);
            usleep(2 * BRIEF_LEASE_MS * 1000);
            kill(child[victim], SIGCONT);
            continue;
        }
        kill(child[victim], SIGKILL);
        waitpid(child[victim], NULL, 0);
        atomic_store(&c->mark[victim], 0);
        child[victim] = crowd_fork(c, url, victim, work_on_points, NULL);
    }
    wait_for_the_end(url);
    atomic_store(&c->stop, 1);
    for (int i = 0; i < WORKERS; i++) crowd_join(c, child[i]);
}

/* 200 workers (16 in make check) are killed wherever they are, in the middle of a statement too;
 * every eighth is frozen past its lease and goes on. Every point is complete once, or was tried as
 * often as is allowed; what was told is there. */
TEST_BACKENDS(killed_workers_lose_and_double_nothing)
{
    drmad_ctx *ctx = test_ctx();
    char url[BACKEND_URL_SIZE];
    crowd *c = crowd_new();
    store *s = NULL;
    int64_t study;
    int few = b == BACKEND_JOURNAL ? 4 : 1; /* one process at a time may add to a journal */
    int n = test_count(600, 3000) / few, failed = 0, complete = 0;

    backend_url(b, url);
    queue_points(url, n);
    kill_some(c, url, test_count(16, 232));
    CHECK_OK(ctx, backend_open(ctx, url, CROWD_PATIENCE_S, CROWD_LEASE_S, &s));
    CHECK_OK(ctx, store_study_find(s, CROWD_STUDY, &study));
    history *h = history_read(s, study);
    for (int i = 0; i < n; i++) {
        const point *p = &h->points[i];
        bool over = p->complete == 1 || (p->complete == 0 && p->failed == RETRIES + 1);
        int told = atomic_load(&c->told[i]);
        if (!over || p->open || (p->complete && p->value != i) || told > p->complete)
            test_fail(__FILE__, __LINE__, "point %d: %d complete, %d failed, %d open, told %d", i,
                      p->complete, p->failed, p->open, told);
        failed += p->failed, complete += p->complete;
    }
    CHECK(failed > 0); /* some were killed while they had a trial */
    CHECK(complete >= n - n / 20);
    free(h);
    store_close(s);
    crowd_free(c);
}

/* ---- leases that end ---- */

static void die_after_claim(crowd_worker *w)
{
    store *s = NULL;
    store_lease l;
    int64_t study;
    char key[STORE_REQUEST_SIZE];

    WORKER_OK(w, backend_open(w->ctx, w->url, 10, 0.3, &s));
    WORKER_OK(w, store_study_find(s, CROWD_STUDY, &study));
    store_request(s, key);
    WORKER_OK(w, store_trial_claim(s, study, key, &l));
    if (l.trial < 0) crowd_fail(w->shared, "nothing to claim");
    atomic_fetch_add(&w->shared->count[0], 1);
    raise(SIGKILL);
}

/* F33: dead before its first heartbeat: the lease was made with the claim and ends all the same.
 * After RETRIES retries the point is left alone. */
TEST_BACKENDS(killed_after_claim_is_retried_so_often)
{
    drmad_ctx *ctx = test_ctx();
    char url[BACKEND_URL_SIZE], key[STORE_REQUEST_SIZE];
    crowd *c = crowd_new();
    store *s = NULL;
    store_lease l;
    int64_t study;
    int32_t expired = -1;

    backend_url(b, url);
    queue_points(url, 1);
    for (int i = 0; i <= RETRIES; i++) {
        waitpid(crowd_fork(c, url, i, die_after_claim, NULL), NULL, 0);
        CHECK_INT(atomic_load(&c->count[0]), i + 1);
        CHECK_OK(ctx, backend_open(ctx, url, 10, 0.3, &s));
        CHECK_OK(ctx, store_study_find(s, CROWD_STUDY, &study));
        if (i == 0) CHECK_OK(ctx, store_trial_expire(s, study, RETRIES, &expired));
        if (i == 0) CHECK_INT(expired, 0); /* not over yet */
        usleep(500000);
        CHECK_OK(ctx, store_trial_expire(s, study, RETRIES, &expired));
        CHECK_INT(expired, 1);
        CHECK_OK(ctx, store_trial_expire(s, study, RETRIES, &expired));
        CHECK_INT(expired, 0); /* once */
        store_close(s);
    }
    CHECK_OK(ctx, backend_open(ctx, url, 10, 0.3, &s));
    store_request(s, key);
    CHECK_OK(ctx, store_trial_claim(s, study, key, &l));
    CHECK_INT(l.trial, -1);
    history *h = history_read(s, study);
    CHECK_INT(h->n, RETRIES + 1);
    CHECK_INT(h->points[0].failed, RETRIES + 1);
    free(h);
    store_close(s);
    if (atomic_load(&c->failed)) test_fail(__FILE__, __LINE__, "%s", c->message);
    crowd_free(c);
}

enum { FROZEN_LEASE_MS = 500 };

/* Takes a trial, says so, and is frozen while it waits for count[1]. Then nothing it writes may go
 * through. */
static void freeze(crowd_worker *w)
{
    store *s = NULL;
    store_lease l;
    int64_t study;
    double value = 666;
    bool held = true;
    char key[STORE_REQUEST_SIZE];
    store_param p = {"late", value, lr_dist};
    store_report r = {1, value};
    store_attr a = {"late", "true", false};
    store_trial end = {.state = TRIAL_COMPLETE, .n_values = 1, .values = &value};

    WORKER_OK(w, backend_open(w->ctx, w->url, 10, FROZEN_LEASE_MS / 1e3, &s));
    WORKER_OK(w, store_study_find(s, CROWD_STUDY, &study));
    store_request(s, key);
    WORKER_OK(w, store_trial_claim(s, study, key, &l));
    atomic_store(&w->shared->count[0], 1);
    while (!atomic_load(&w->shared->count[1])) usleep(1000);

    drmad_status st[] = {
        store_trial_tell(s, &l, &end),
        store_trial_params(s, &l, &p, 1, NULL),
        store_trial_reports(s, &l, &r, 1),
        store_trial_attrs(s, &l, &a, 1),
        store_artefact_put(s, &l, "late", "x", 1),
        store_trial_release(s, &l),
    };
    for (size_t i = 0; i < COUNT(st); i++)
        if (st[i] != DRMAD_E_LEASE) crowd_fail(w->shared, "late write %zu: status %d", i, st[i]);
    if (!strstr(drmad_errmsg(w->ctx), CROWD_STUDY))
        crowd_fail(w->shared, "the message names no study: %s", drmad_errmsg(w->ctx));
    WORKER_OK(w, store_beat(s, &l, 1, &held));
    if (held) crowd_fail(w->shared, "a lost lease is held");
    store_close(s);
}

static drmad_status check_untouched(void *user, const store_trial *t)
{
    (void)user;
    for (int i = 0; i < t->n_params; i++) CHECK(strcmp(t->params[i].name, "late") != 0);
    CHECK_INT(t->n_reports, 0);
    CHECK(attr_number(t, "late") < 0);
    if (t->number == 0) CHECK_INT(t->state, TRIAL_FAIL);
    if (t->number == 0) CHECK_INT(t->n_values, 0);
    if (t->number == 1) CHECK(t->state == TRIAL_COMPLETE && t->n_values == 1 && t->values[0] == 1);
    return DRMAD_OK;
}

/* F34: frozen past twice its lease while another finishes the retry; woken, it is refused and
 * overwrites nothing. */
TEST_BACKENDS(frozen_worker_is_refused)
{
    drmad_ctx *ctx = test_ctx();
    char url[BACKEND_URL_SIZE], key[STORE_REQUEST_SIZE];
    crowd *c = crowd_new();
    store *s = NULL;
    store_lease l;
    int64_t study;
    int32_t expired = -1;
    double value = 1;
    store_trial end = {.state = TRIAL_COMPLETE, .n_values = 1, .values = &value};

    backend_url(b, url);
    queue_points(url, 1);
    pid_t child = crowd_fork(c, url, 0, freeze, NULL);
    while (!atomic_load(&c->count[0]) && !atomic_load(&c->failed)) usleep(1000);
    kill(child, SIGSTOP);
    usleep(2 * FROZEN_LEASE_MS * 1000);
    CHECK_OK(ctx, backend_open(ctx, url, 10, 60, &s));
    CHECK_OK(ctx, store_study_find(s, CROWD_STUDY, &study));
    CHECK_OK(ctx, store_trial_expire(s, study, RETRIES, &expired));
    CHECK_INT(expired, 1);
    store_request(s, key);
    CHECK_OK(ctx, store_trial_claim(s, study, key, &l));
    CHECK_INT(l.number, 1);
    CHECK_OK(ctx, store_trial_tell(s, &l, &end));
    atomic_store(&c->count[1], 1);
    kill(child, SIGCONT);
    crowd_join(c, child);
    CHECK_OK(ctx, store_trial_each(s, study, -1, STATES_ALL, check_untouched, NULL));
    store_close(s);
    crowd_free(c);
}

static drmad_status check_told(void *user, const store_trial *t)
{
    CHECK_INT(t->state, TRIAL_COMPLETE);
    CHECK_INT(t->n_params, 0);
    CHECK(t->n_values == 1 && t->values[0] == *(double *)user);
    return DRMAD_OK;
}

/* The same trial, given back and taken by another: its state says RUNNING to both, the token tells
 * them apart. */
TEST_BACKENDS(frozen_lease_of_a_trial_given_back_is_refused)
{
    drmad_ctx *ctx = test_ctx();
    char url[BACKEND_URL_SIZE], key[STORE_REQUEST_SIZE];
    store *s = NULL;
    store_lease old, l;
    int64_t study;
    bool held = true;
    double late = 666, value = 1;
    store_trial wrong = {.state = TRIAL_COMPLETE, .n_values = 1, .values = &late};
    store_trial end = {.state = TRIAL_COMPLETE, .n_values = 1, .values = &value};
    store_param p = {"late", late, lr_dist};

    backend_url(b, url);
    queue_points(url, 1);
    CHECK_OK(ctx, backend_open(ctx, url, 10, 60, &s));
    CHECK_OK(ctx, store_study_find(s, CROWD_STUDY, &study));
    store_request(s, key);
    CHECK_OK(ctx, store_trial_claim(s, study, key, &old));
    CHECK_OK(ctx, store_trial_release(s, &old));
    store_request(s, key);
    CHECK_OK(ctx, store_trial_claim(s, study, key, &l));
    CHECK_INT(l.trial, old.trial);
    CHECK_FAILS(ctx, store_trial_tell(s, &old, &wrong), DRMAD_E_LEASE, CROWD_STUDY);
    CHECK_FAILS(ctx, store_trial_params(s, &old, &p, 1, NULL), DRMAD_E_LEASE, CROWD_STUDY);
    CHECK_OK(ctx, store_beat(s, &old, 1, &held));
    CHECK(!held);
    CHECK_OK(ctx, store_trial_tell(s, &l, &end));
    CHECK_FAILS(ctx, store_trial_release(s, &old), DRMAD_E_LEASE, CROWD_STUDY);
    CHECK_OK(ctx, store_trial_read(s, study, l.trial, check_told, &value));
    store_close(s);
}
