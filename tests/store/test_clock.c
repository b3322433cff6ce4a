/* F35: workers whose clocks are a day apart, or jump: leases go by the database's clock, intervals
 * by a monotonic one, so nothing expires early or never. */
#include "crowd.h"
#include "skew.h"
#include <sqlite3.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { DAY = 86400 };
static const study_direction down = DIRECTION_MINIMIZE;

static int64_t sqlite_seconds(void)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *q = NULL;
    int64_t seconds = 0;

    CHECK_INT(sqlite3_open(":memory:", &db), SQLITE_OK);
    CHECK_INT(sqlite3_prepare_v2(db, "SELECT strftime('%s', 'now')", -1, &q, NULL), SQLITE_OK);
    if (sqlite3_step(q) == SQLITE_ROW) seconds = sqlite3_column_int64(q, 0);
    sqlite3_finalize(q);
    sqlite3_close(db);
    return seconds;
}

TEST(clock_skew_reaches_the_libraries)
{
    char url[BACKEND_URL_SIZE], before[STORE_TIME_SIZE], after[STORE_TIME_SIZE];
    drmad_ctx *ctx = test_ctx();
    store *s = NULL;
    time_t now = time(NULL);

    skew_set(DAY);
    CHECK(time(NULL) - now >= DAY && time(NULL) - now < DAY + 100);
    CHECK(sqlite_seconds() - now >= DAY && sqlite_seconds() - now < DAY + 100);
    skew_set(0);
    backend_url(BACKEND_POSTGRES, url);
    CHECK_OK(ctx, backend_open(ctx, url, 10, 60, &s));
    CHECK_OK(ctx, store_now(s, before));
    skew_set(DAY);
    CHECK_OK(ctx, store_now(s, after)); /* the server's clock is not ours */
    skew_set(0);
    before[10] = after[10] = '\0';
    CHECK(strcmp(before, after) == 0 || time(NULL) % DAY < 100);
    store_close(s);
}

/* A third of the crowd lives yesterday, a third tomorrow; all expire what they take to be over. */
static void begin_skewed(crowd_worker *w)
{
    store *s = NULL;
    store_lease l;
    int64_t study;
    int32_t expired;
    char key[STORE_REQUEST_SIZE];

    skew_set((w->index % 3 - 1) * DAY);
    crowd_enter(w, &s, &study);
    for (;;) {
        WORKER_OK(w, store_trial_expire(s, study, 3, &expired));
        if (expired) crowd_fail(w->shared, "%d live trials were failed", (int)expired);
        store_request(s, key);
        WORKER_OK(w, store_trial_begin(s, study, *(int *)w->user, key, &l));
        if (l.trial < 0) break;
        usleep(2000);
        crowd_run_trial(w, s, &l);
    }
    store_close(s);
}

TEST_BACKENDS(clock_skew_of_a_day_changes_no_lease)
{
    char url[BACKEND_URL_SIZE];
    crowd *c = crowd_new();
    int n = test_count(150, b == BACKEND_JOURNAL ? 300 : 3000);

    backend_url(b, url);
    crowd_study(url);
    crowd_run(c, url, 9, begin_skewed, &n);
    crowd_check_marks(c, n);
    crowd_check_study(url, n);
    crowd_free(c);
}

static void begin_and_die(crowd_worker *w)
{
    store *s = NULL;
    store_lease l;
    int64_t study;
    char key[STORE_REQUEST_SIZE];

    skew_set(*(long *)w->user);
    WORKER_OK(w, backend_open(w->ctx, w->url, 10, 0.7, &s));
    WORKER_OK(w, store_study_find(s, CROWD_STUDY, &study));
    store_request(s, key);
    WORKER_OK(w, store_trial_begin(s, study, -1, key, &l));
}

/* A worker dies whose clock was a day off; its lease of 0.7 s is over after that time. On
 * SQLite the machine's clock is the database's: there a step back or forth while the lease runs
 * must not make it last a day, nor end at once. */
TEST_BACKENDS(clock_steps_leave_a_lease_its_length)
{
    drmad_ctx *ctx = test_ctx();
    char url[BACKEND_URL_SIZE];
    long steps[] = {DAY, -DAY};
    crowd *c = crowd_new();
    store *s = NULL;
    int64_t study;
    int32_t expired;
    bool made;

    backend_url(b, url);
    for (size_t i = 0; i < COUNT(steps); i++) {
        CHECK_OK(ctx, backend_open(ctx, url, 10, 1, &s));
        CHECK_OK(ctx, store_study_create(s, CROWD_STUDY, &down, 1, &study, &made));
        store_close(s);
        crowd_join(c, crowd_fork(c, url, 0, begin_and_die, &steps[i]));
        CHECK_OK(ctx, backend_open(ctx, url, 10, 1, &s));
        CHECK_OK(ctx, store_trial_expire(s, study, 0, &expired));
        CHECK_INT(expired, 0);
        usleep(1000000);
        CHECK_OK(ctx, store_trial_expire(s, study, 0, &expired));
        CHECK_INT(expired, 1);
        store_close(s);
    }
    crowd_free(c);
}
