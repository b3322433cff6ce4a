/* One message of a conversation with the server is lost: the reply to a COMMIT, or a request. The
 * call says that it is done, and it is done once. */
#include "backends.h"
#include "proxy.h"
#include <unistd.h>

static const study_direction down = DIRECTION_MINIMIZE;
static const char *const lr_dist = "{\"name\": \"FloatDistribution\", \"attributes\": {\"step\": "
                                   "null, \"low\": 0.0, \"high\": 1.0, \"log\": false}}";

typedef struct scene {
    proxy *p;
    store *s, *clean; /* through the proxy; beside it */
    drmad_ctx *ctx, *clean_ctx;
    int64_t study;
    store_lease lease;
    char key[STORE_REQUEST_SIZE], url[BACKEND_URL_SIZE];
} scene;

/* What the study holds, to see what a call has changed. */
typedef struct census {
    int64_t count[TRIAL_STATE_COUNT], params, values, reports, attrs;
} census;

static drmad_status census_trial(void *user, const store_trial *t)
{
    census *a = user;

    a->count[t->state]++;
    a->params += t->n_params, a->values += t->n_values, a->reports += t->n_reports;
    for (int i = 0; i < t->n_attrs; i++) a->attrs += !t->attrs[i].system;
    return DRMAD_OK;
}

static census census_take(scene *c)
{
    census a = {0};

    CHECK_OK(c->clean_ctx, store_trial_each(c->clean, c->study, -1, STATES_ALL, census_trial, &a));
    return a;
}

typedef struct call {
    const char *name;
    void (*before)(scene *c);
    drmad_status (*run)(scene *c);
    census change;
} call;

static void before_nothing(scene *c)
{
    (void)c;
}

static void before_queued(scene *c)
{
    store_trial t = {.state = TRIAL_WAITING};
    int64_t id, number;

    CHECK_OK(c->clean_ctx, store_trial_add(c->clean, c->study, &t, NULL, &id, &number));
}

static void before_begun(scene *c)
{
    char key[STORE_REQUEST_SIZE];

    store_request(c->clean, key);
    CHECK_OK(c->clean_ctx, store_trial_begin(c->clean, c->study, -1, key, &c->lease));
}

/* A trial of a worker that has died: its lease is over. */
static void before_expired(scene *c)
{
    char key[STORE_REQUEST_SIZE];
    store *brief = NULL;
    store_lease l;

    CHECK_OK(c->clean_ctx, backend_open(c->clean_ctx, c->url, 10, 0.05, &brief));
    if (!brief) return;
    store_request(brief, key);
    CHECK_OK(c->clean_ctx, store_trial_begin(brief, c->study, -1, key, &l));
    store_close(brief);
    usleep(100000);
}

static drmad_status run_add(scene *c)
{
    store_attr a = {"user", "[1, 2]", false};
    store_param p = {"lr", 0.5, lr_dist};
    double value = 1;
    store_trial t = {.state = TRIAL_COMPLETE,
                     .n_values = 1,
                     .values = &value,
                     .n_params = 1,
                     .params = &p,
                     .n_attrs = 1,
                     .attrs = &a};
    int64_t id, number;

    return store_trial_add(c->s, c->study, &t, c->key, &id, &number);
}

static drmad_status run_claim(scene *c)
{
    drmad_status st = store_trial_claim(c->s, c->study, c->key, &c->lease);
    bool held = false;

    if (st == DRMAD_OK && c->lease.trial < 0) return FAIL(c->ctx, DRMAD_E_INTERNAL, "none given");
    if (st == DRMAD_OK) st = store_beat(c->clean, &c->lease, 1, &held);
    return st == DRMAD_OK && !held ? FAIL(c->ctx, DRMAD_E_INTERNAL, "not held") : st;
}

static drmad_status run_begin(scene *c)
{
    drmad_status st = store_trial_begin(c->s, c->study, -1, c->key, &c->lease);
    bool held = false;

    if (st == DRMAD_OK) st = store_beat(c->clean, &c->lease, 1, &held);
    return st == DRMAD_OK && !held ? FAIL(c->ctx, DRMAD_E_INTERNAL, "not held") : st;
}

/* The study has its trials: the INSERT makes none, and what follows it fails. */
static drmad_status run_begin_full(scene *c)
{
    drmad_status st = store_trial_begin(c->s, c->study, 0, c->key, &c->lease);

    if (st == DRMAD_OK && c->lease.trial >= 0) st = FAIL(c->ctx, DRMAD_E_INTERNAL, "one too many");
    return st;
}

static drmad_status run_params(scene *c)
{
    store_param p[] = {{"lr", 0.5, lr_dist}, {"wd", 0.25, lr_dist}};

    return store_trial_params(c->s, &c->lease, p, 2, NULL);
}

static drmad_status run_reports(scene *c)
{
    store_report r[] = {{1, 0.5}, {2, NAN}, {3, INFINITY}};

    return store_trial_reports(c->s, &c->lease, r, 3);
}

static drmad_status run_attrs(scene *c)
{
    store_attr a[] = {{"one", "1", false}, {"two", "\"zwei\"", false}};

    return store_trial_attrs(c->s, &c->lease, a, 2);
}

static drmad_status run_beat(scene *c)
{
    bool held = false;
    drmad_status st = store_beat(c->s, &c->lease, 1, &held);

    return st == DRMAD_OK && !held ? FAIL(c->ctx, DRMAD_E_INTERNAL, "not held") : st;
}

static drmad_status run_tell(scene *c)
{
    double value = 0.5;
    store_report r = {7, 0.75};
    store_attr a = {"done", "true", false};
    store_trial end = {.state = TRIAL_COMPLETE,
                       .n_values = 1,
                       .values = &value,
                       .n_reports = 1,
                       .reports = &r,
                       .n_attrs = 1,
                       .attrs = &a};

    return store_trial_tell(c->s, &c->lease, &end);
}

static drmad_status run_release(scene *c)
{
    return store_trial_release(c->s, &c->lease);
}

static drmad_status run_expire(scene *c)
{
    int32_t expired;

    return store_trial_expire(c->s, c->study, 5, &expired);
}

static drmad_status run_study(scene *c)
{
    int64_t study;
    bool made;
    char name[64];

    snprintf(name, sizeof name, "study-%s", c->key);
    return store_study_create(c->s, name, &down, 1, &study, &made);
}

static drmad_status run_study_attr(scene *c)
{
    return store_study_set_attr(c->s, c->study, &(store_attr){c->key, "{}", false});
}

static drmad_status run_artefact(scene *c)
{
    void *data = NULL;
    size_t size = 0;
    drmad_status st = store_artefact_put(c->s, &c->lease, "net", "weights", 7);

    if (st == DRMAD_OK) st = store_artefact_get(c->s, c->lease.trial, "net", &data, &size);
    if (st == DRMAD_OK && (size != 7 || memcmp(data, "weights", 7) != 0))
        st = FAIL(c->ctx, DRMAD_E_INTERNAL, "other bytes");
    mem_free(c->ctx, data);
    return st;
}

static drmad_status run_read(scene *c)
{
    census a = {0}, b = census_take(c);
    drmad_status st = store_trial_each(c->s, c->study, -1, STATES_ALL, census_trial, &a);

    if (st == DRMAD_OK && memcmp(&a, &b, sizeof a) != 0)
        st = FAIL(c->ctx, DRMAD_E_INTERNAL, "trials read twice or not at all");
    return st;
}

#define COUNTS(...) .count = {__VA_ARGS__}
static const call calls[] = {
    {"add",
     before_nothing,
     run_add,
     {COUNTS([TRIAL_COMPLETE] = 1), .params = 1, .values = 1, .attrs = 1}},
    {"claim", before_queued, run_claim, {COUNTS([TRIAL_WAITING] = -1, [TRIAL_RUNNING] = 1)}},
    {"begin", before_nothing, run_begin, {COUNTS([TRIAL_RUNNING] = 1)}},
    {"begin of a full study", before_begun, run_begin_full, {.params = 0}},
    {"params", before_begun, run_params, {.params = 2}},
    {"reports", before_begun, run_reports, {.reports = 3}},
    {"attrs", before_begun, run_attrs, {.attrs = 2}},
    {"beat", before_begun, run_beat, {.params = 0}},
    {"tell",
     before_begun,
     run_tell,
     {COUNTS([TRIAL_RUNNING] = -1, [TRIAL_COMPLETE] = 1), .values = 1, .reports = 1, .attrs = 1}},
    {"release", before_begun, run_release, {COUNTS([TRIAL_RUNNING] = -1, [TRIAL_WAITING] = 1)}},
    {"expire",
     before_expired,
     run_expire,
     {COUNTS([TRIAL_RUNNING] = -1, [TRIAL_FAIL] = 1, [TRIAL_WAITING] = 1)}},
    {"study", before_nothing, run_study, {.params = 0}},
    {"study attribute", before_nothing, run_study_attr, {.params = 0}},
    {"artefact", before_begun, run_artefact, {.params = 0}},
    {"read", before_nothing, run_read, {.params = 0}},
};

static void census_add(census *a, const census *b)
{
    for (int i = 0; i < TRIAL_STATE_COUNT; i++) a->count[i] += b->count[i];
    a->params += b->params, a->values += b->values, a->reports += b->reports, a->attrs += b->attrs;
}

/* Whether the fault came: no such message any more means the call is through. */
static bool lose_one(scene *c, const call *one, proxy_fault fault, int n)
{
    census want, got;

    one->before(c);
    want = census_take(c);
    census_add(&want, &one->change);
    store_request(c->s, c->key);
    proxy_set(c->p, fault, n);
    drmad_status st = one->run(c);
    bool fired = proxy_fired(c->p);
    proxy_set(c->p, PROXY_FORWARD, 0);
    got = census_take(c);
    if (st != DRMAD_OK || memcmp(&got, &want, sizeof got) != 0)
        test_fail(__FILE__, __LINE__, "%s with %s %d lost: status %d (%s), the study is %s",
                  one->name, fault == PROXY_LOSE_REPLY ? "reply" : "request", n, (int)st,
                  st != DRMAD_OK ? drmad_errmsg(c->ctx) : "",
                  memcmp(&got, &want, sizeof got) == 0 ? "right" : "wrong");
    return fired;
}

static void scene_open(scene *c)
{
    char through[BACKEND_URL_SIZE];
    bool made;

    *c = (scene){.ctx = test_ctx(), .clean_ctx = drmad_ctx_new(NULL, NULL)};
    backend_url(BACKEND_POSTGRES, c->url);
    c->p = proxy_open(server_port());
    proxy_url(c->p, c->url, through);
    CHECK_OK(c->clean_ctx, backend_open(c->clean_ctx, c->url, 20, 600, &c->clean));
    CHECK_OK(c->clean_ctx, store_study_create(c->clean, "lost", &down, 1, &c->study, &made));
    CHECK_OK(c->ctx, backend_open(c->ctx, through, 20, 600, &c->s));
}

static void scene_close(scene *c)
{
    store_close(c->s), store_close(c->clean);
    proxy_close(c->p);
    drmad_ctx_free(c->clean_ctx);
}

enum { MESSAGES_MAX = 60 }; /* of one call, connecting again included */

/* F30: the server has committed and its reply never came; or the request never arrived. Every
 * message of every call is lost once, and each time the study has changed exactly as it should. */
static void lose_all(proxy_fault fault)
{
    scene c;

    scene_open(&c);
    for (size_t i = 0; c.s && i < COUNT(calls); i++) {
        int n = 0;
        while (n < MESSAGES_MAX && lose_one(&c, &calls[i], fault, n)) n++;
        if (n == 0 || n == MESSAGES_MAX)
            test_fail(__FILE__, __LINE__, "%s: %d messages were lost", calls[i].name, n);
    }
    scene_close(&c);
}

TEST(lost_replies_change_nothing)
{
    lose_all(PROXY_LOSE_REPLY);
}

TEST(lost_requests_change_nothing)
{
    lose_all(PROXY_LOSE_REQUEST);
}
