/* A study that many processes run: trial n has the parameter lr = n and the value n, so that any
 * loss or mixing up shows when it is read. */
#include "crowd.h"
#include <unistd.h>

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
void crowd_run_trial(crowd_worker *w, store *s, const store_lease *l)
{
    double value = (double)l->number;
    store_param p = {"lr", value, lr_dist};
    store_trial end = {.state = TRIAL_COMPLETE, .n_values = 1, .values = &value};

    if (l->number >= 0 && l->number < CROWD_MARKS) atomic_fetch_add(&w->shared->mark[l->number], 1);
    WORKER_OK(w, store_trial_params(s, l, &p, 1, NULL));
    usleep(w->shared->pause);
    WORKER_OK(w, store_trial_tell(s, l, &end));
}

void crowd_study(const char *url)
{
    drmad_ctx *ctx = test_ctx();
    store *s = NULL;
    int64_t study;
    bool made = false;

    CHECK_OK(ctx, backend_open(ctx, url, CROWD_PATIENCE_S, CROWD_LEASE_S, &s));
    if (!s) return;
    CHECK_OK(ctx, store_study_create(s, CROWD_STUDY, &down, 1, &study, &made));
    CHECK(made);
    store_close(s);
}

void crowd_enter(crowd_worker *w, store **s, int64_t *study)
{
    WORKER_OK(w, backend_open(w->ctx, w->url, CROWD_PATIENCE_S, CROWD_LEASE_S, s));
    WORKER_OK(w, store_study_find(*s, CROWD_STUDY, study));
}

void crowd_begin_trials(crowd_worker *w)
{
    store *s = NULL;
    store_lease l;
    int64_t study;
    int limit = *(int *)w->user;
    char key[STORE_REQUEST_SIZE];

    crowd_enter(w, &s, &study);
    for (;;) {
        store_request(s, key);
        WORKER_OK(w, store_trial_begin(s, study, limit, key, &l));
        if (l.trial < 0) break;
        crowd_run_trial(w, s, &l);
    }
    store_close(s);
}

void crowd_check_marks(crowd *c, int n)
{
    for (int i = 0; i < n; i++)
        if (atomic_load(&c->mark[i]) != 1)
            test_fail(__FILE__, __LINE__, "trial %d was given to %d workers", i,
                      atomic_load(&c->mark[i]));
}

void crowd_check_study(const char *url, int n)
{
    drmad_ctx *ctx = test_ctx();
    store *s = NULL;
    tally a;
    int64_t study;

    CHECK_OK(ctx, backend_open(ctx, url, CROWD_PATIENCE_S, CROWD_LEASE_S, &s));
    if (!s) return;
    CHECK_OK(ctx, store_study_find(s, CROWD_STUDY, &study));
    tally_study(s, study, &a);
    CHECK_INT(a.n, n);
    CHECK_INT(a.count[TRIAL_COMPLETE], n);
    store_close(s);
}
