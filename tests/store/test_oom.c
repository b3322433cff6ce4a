/* Memory runs out at every allocation in turn: each call says so, the store stays usable, nothing
 * is left allocated, and what is stored is whole. */
#include "backends.h"
#include <unistd.h>

static const study_direction down = DIRECTION_MINIMIZE;
static const char *const lr_dist = "{\"name\": \"FloatDistribution\", \"attributes\": {\"step\": "
                                   "null, \"low\": 0.0, \"high\": 1.0, \"log\": false}}";

static drmad_status ignore_study(void *user, const store_study *s)
{
    (void)user, (void)s;
    return DRMAD_OK;
}

static drmad_status ignore_trial(void *user, const store_trial *t)
{
    (void)user, (void)t;
    return DRMAD_OK;
}

static drmad_status ignore_file(void *user, const char *name, int64_t size, const char *sha256)
{
    (void)user, (void)name, (void)size, (void)sha256;
    return DRMAD_OK;
}

static void ignore_finding(void *user, int level, const char *text)
{
    (void)user, (void)level, (void)text;
}

/* A trial from the queue to its end. */
static drmad_status one_trial(store *s, int64_t study)
{
    const double value = 0.5;
    const store_param p[] = {{"lr", 0.5, lr_dist}, {"wd", 0.25, lr_dist}};
    const store_report r = {1, 0.75};
    const store_attr a = {"note", "[1, 2, 3]", false};
    const store_trial queued = {
        .state = TRIAL_WAITING, .n_params = 1, .params = p, .n_attrs = 1, .attrs = &a};
    const store_trial end = {.state = TRIAL_COMPLETE,
                             .n_values = 1,
                             .values = &value,
                             .n_reports = 1,
                             .reports = &r,
                             .n_attrs = 1,
                             .attrs = &a};
    store_lease l;
    int64_t id, number;
    int32_t n;
    bool held;
    void *data = NULL;
    size_t size;
    drmad_status st = DRMAD_OK;

    TRY(store_trial_add(s, study, &queued, NULL, &id, &number));
    TRY(store_trial_expire(s, study, 1, &n));
    TRY(store_trial_claim(s, study, NULL, &l));
    if (l.trial < 0) return FAIL(store_ctx(s), DRMAD_E_INTERNAL, "none waits");
    TRY(store_trial_params(s, &l, p, 2, NULL));
    TRY(store_trial_reports(s, &l, &r, 1));
    TRY(store_trial_attrs(s, &l, &a, 1));
    TRY(store_artefact_put(s, &l, "net", "abc", 3));
    TRY(store_artefact_get(s, l.trial, "net", &data, &size));
    TRY(store_artefact_each(s, l.trial, ignore_file, NULL));
    TRY(store_beat(s, &l, 1, &held));
    TRY(store_trial_tell(s, &l, &end));
    TRY(store_trial_best(s, study, &id));
    TRY(store_trial_each(s, study, -1, STATES_ALL, ignore_trial, NULL));
    TRY(store_study_each(s, NULL, ignore_study, NULL));
done:
    mem_free(store_ctx(s), data);
    return st;
}

static drmad_status life(drmad_ctx *ctx, void *url)
{
    char spool[300];
    store_options o = {.create = true, .patience_s = 5, .version = "1.0", .worker = "tortured"};
    store *s = NULL;
    int64_t study;
    bool made;
    drmad_status st = DRMAD_OK;

    snprintf(spool, sizeof spool, "%s/spool", backend_scratch());
    o.spool = spool;
    TRY(store_open(ctx, url, &o, &s));
    TRY(store_study_create(s, "study", &down, 1, &study, &made));
    TRY(store_study_set_attr(s, study, &(store_attr){"k", "{}", true}));
    TRY(one_trial(s, study));
done:
    store_close(s);
    return st;
}

static drmad_status check(drmad_ctx *ctx, void *url)
{
    return store_check(ctx, url, ignore_finding, NULL);
}

TEST_DATABASES(oom_in_every_call_leaves_the_store_whole)
{
    char url[BACKEND_URL_SIZE];

    backend_url(b, url);
    test_oom(life, url);
    test_oom(check, url);
    CHECK_OK(test_ctx(), store_check(test_ctx(), url, NULL, NULL));
}

/* Expiry with a retry: each run finds one trial whose lease is over. */
static drmad_status expire(drmad_ctx *ctx, void *url)
{
    char spool[300];
    store_options o = {.create = true, .patience_s = 5, .lease_s = 0.001, .spool = spool};
    store *s = NULL;
    store_lease l;
    int64_t study;
    int32_t n;
    bool made;
    drmad_status st = DRMAD_OK;

    snprintf(spool, sizeof spool, "%s/spool", backend_scratch());
    TRY(store_open(ctx, url, &o, &s));
    TRY(store_study_create(s, "study", &down, 1, &study, &made));
    TRY(store_trial_begin(s, study, -1, NULL, &l));
    TRY(store_trial_params(s, &l, &(store_param){"lr", 0.5, lr_dist}, 1, NULL));
    usleep(2000);
    TRY(store_trial_expire(s, study, 2, &n));
    if (n < 1) st = FAIL(ctx, DRMAD_E_INTERNAL, "none expired");
done:
    store_close(s);
    return st;
}

TEST_DATABASES(oom_while_trials_expire)
{
    char url[BACKEND_URL_SIZE];

    backend_url(b, url);
    test_oom(expire, url);
    CHECK_OK(test_ctx(), store_check(test_ctx(), url, NULL, NULL));
}
