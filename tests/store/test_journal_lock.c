/* The journal when something goes wrong: torn and damaged files, locks of the dead, many processes,
 * writers killed at any moment. */
#include "journal_desk.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const study_direction minimize[] = {DIRECTION_MINIMIZE};

/* ---- torn and damaged files ---- */

TEST(journal_cuts_off_a_torn_last_line)
{
    desk d = desk_open(60);
    store_lease l;

    desk_begin(&d, &l);
    const off_t whole = desk_size(d.path);
    desk_append(d.path, "{\"op_code\":4,\"worker_id\":\"w\",\"study");
    desk_check(&d, "0 RUNNING\n"); /* readers wait for the rest */
    CHECK(desk_size(d.path) > whole);
    CHECK_OK(d.ctx, desk_tell(d.s, &l, 1));
    desk_check(&d, "0 COMPLETE -> 1\n");
    CHECK_INT(desk_lines(d.path), 3);
    desk_close(&d);
    d.s = desk_store(&d, 60, 1);
    desk_check(&d, "0 COMPLETE -> 1\n");
    desk_close(&d);
}

TEST(journal_reads_a_line_that_comes_in_two_pieces)
{
    desk d = desk_open(60);

    desk_append(d.path, "{\"op_code\":4,\"worker_id\":\"w\",\"stu");
    desk_check(&d, "");
    desk_append(d.path, "dy_id\":0,\"datetime_start\":null,\"state\":4}\n");
    desk_check(&d, "0 WAITING\n");
    desk_close(&d);
}

TEST(journal_names_the_damaged_line)
{
    static const char *const bad[] = {"rubbish\n", "{\"op_code\":99,\"worker_id\":\"w\"}\n",
                                      "{\"op_code\":5,\"worker_id\":\"w\",\"trial_id\":0}\n",
                                      "[1]\n"};
    char folder[PATH_SIZE - 16];

    for (size_t i = 0; i < COUNT(bad); i++) {
        snprintf(folder, sizeof folder, "%s/%zu", test_scratch(), i);
        mkdir(folder, 0755);
        desk d = desk_at(folder);
        store_lease l;
        bool made;
        store *s = NULL;
        d.s = desk_store(&d, 60, 1);
        CHECK_OK(d.ctx, store_study_create(d.s, "study", minimize, 1, &d.study, &made));
        desk_begin(&d, &l);
        desk_append(d.path, bad[i]);
        CHECK_FAILS(d.ctx, desk_tell(d.s, &l, 1), DRMAD_E_STORAGE, "line 3 cannot be read");
        desk_append(d.path, "{\"op_code\":1,\"worker_id\":\"w\",\"study_id\":7}\n");
        const store_options o = {.patience_s = 0};
        CHECK_FAILS(d.ctx, store_open(d.ctx, d.url, &o, &s), DRMAD_E_STORAGE, "line 3");
        desk_close(&d);
    }
}

TEST(journal_check_finds_damage)
{
    desk d = desk_open(60);
    int errors = 0;

    CHECK_OK(d.ctx, store_check(d.ctx, d.url, desk_count_errors, &errors));
    CHECK_INT(errors, 0);
    desk_append(d.path, "rubbish\n{\"op_code\":1,\"worker_id\":\"w\",\"study_id\":7}\n");
    const off_t size = desk_size(d.path);
    CHECK_FAILS(d.ctx, store_check(d.ctx, d.url, desk_count_errors, &errors), DRMAD_E_STORAGE, "");
    CHECK_INT(errors, 1);
    CHECK_INT(desk_size(d.path), size);
    desk_close(&d);
}

TEST(journal_refuses_a_file_that_is_not_there)
{
    desk d = desk_at(test_scratch());
    const store_options o = {.patience_s = 0}, read_only = {.read_only = true, .create = true};

    CHECK_FAILS(d.ctx, store_open(d.ctx, d.url, &o, &d.s), DRMAD_E_USAGE, "no such file");
    CHECK_FAILS(d.ctx, store_open(d.ctx, d.url, &read_only, &d.s), DRMAD_E_USAGE, "no such");
    CHECK_INT(desk_size(d.path), -1);
}

/* ---- the lock ---- */

TEST(journal_waits_for_either_lock_of_optuna)
{
    desk d = desk_open(60);
    char lock[PATH_SIZE + 8];
    store *hasty = desk_store(&d, 60, 0.01);
    store_lease l;

    snprintf(lock, sizeof lock, "%s.lock", d.path);
    for (int kind = 0; kind < 2; kind++) {
        if (kind == 0) CHECK(symlink(d.path, lock) == 0);
        else close(open(lock, O_CREAT | O_EXCL | O_WRONLY, 0644));
        const off_t size = desk_size(d.path);
        CHECK_FAILS(d.ctx, store_trial_begin(hasty, d.study, -1, NULL, &l), DRMAD_E_AGAIN, ".lock");
        CHECK_INT(desk_size(d.path), size);
        desk_check(&d, ""); /* readers do not wait */
        unlink(lock);
    }
    CHECK_OK(d.ctx, store_trial_begin(hasty, d.study, -1, NULL, &l));
    struct stat sb;
    CHECK(lstat(lock, &sb) != 0); /* given back */
    store_close(hasty);
    desk_close(&d);
}

TEST(journal_takes_away_a_lock_whose_holder_died)
{
    desk d = desk_open(60);
    char lock[PATH_SIZE + 8];
    store_lease l;

    snprintf(lock, sizeof lock, "%s.lock", d.path);
    for (int kind = 0; kind < 2; kind++) {
        if (kind == 0) CHECK(symlink("nowhere", lock) == 0);
        else close(open(lock, O_CREAT | O_EXCL | O_WRONLY, 0644));
        ((journal *)d.s)->lock.grace_s = 2; /* longer than one attempt waits */
        const double start = base_now();
        desk_begin(&d, &l);
        const double waited = base_now() - start;
        if (waited < 2 || waited > 6) test_fail(__FILE__, __LINE__, "waited %g s", waited);
    }
    desk_close(&d);
}

/* A holder that slept so long that its lock was taken away finds that out before it writes. */
TEST(journal_does_not_write_without_its_lock)
{
    desk d = desk_open(60);
    char lock[PATH_SIZE + 8];
    journal *j = (journal *)d.s;
    text_out o = {.ctx = d.ctx};

    snprintf(lock, sizeof lock, "%s.lock", d.path);
    const off_t size = desk_size(d.path);
    CHECK_OK(d.ctx, journal_enter(j));
    unlink(lock);
    CHECK(symlink(d.path, lock) == 0);
    journal_line(j, &o, OP_DELETE_STUDY);
    journal_field_int(&o, "study_id", 0);
    journal_line_end(&o);
    CHECK_FAILS(d.ctx, journal_append(j, &o), DRMAD_E_AGAIN, "lost the lock");
    journal_leave(j);
    struct stat sb;
    CHECK(lstat(lock, &sb) == 0); /* another's: left alone */
    unlink(lock);

    CHECK_OK(d.ctx, journal_enter(j));
    j->lock.since -= 20; /* half of the grace period is over: others may soon take it */
    CHECK_FAILS(d.ctx, journal_append(j, &o), DRMAD_E_AGAIN, "lost the lock");
    journal_leave(j);
    CHECK_INT(desk_size(d.path), size);
    text_free(&o);
    desk_close(&d);
}

/* ---- many processes ---- */

enum { WORKERS = 8 };

static void work(const desk *d, int pipe_end)
{
    drmad_ctx *ctx = drmad_ctx_new(NULL, NULL);
    const store_options o = {.lease_s = 60, .patience_s = 60};
    store *s = NULL;
    store_lease l;
    int64_t study;

    if (store_open(ctx, d->url, &o, &s) != DRMAD_OK) _exit(1);
    if (store_study_find(s, "study", &study) != DRMAD_OK) _exit(2);
    for (;;) {
        if (store_trial_claim(s, study, NULL, &l) != DRMAD_OK) _exit(3);
        if (l.trial < 0) break;
        if (write(pipe_end, &l.number, sizeof l.number) != sizeof l.number) _exit(4);
        if (desk_tell(s, &l, (double)l.number) != DRMAD_OK) _exit(5);
    }
    _exit(0);
}

static drmad_status check_told(void *user, const store_trial *t)
{
    (void)user;
    CHECK(t->n_values == 1 && t->values[0] == (double)t->number);
    return DRMAD_OK;
}

TEST(journal_eight_processes_claim_each_once)
{
    desk d = desk_open(60);
    const int n = test_count(200, 2000);
    const store_trial waiting = {.state = TRIAL_WAITING};
    int ends[2], status, *times = calloc((size_t)n, sizeof *times);
    int64_t id, number;

    for (int i = 0; i < n; i++)
        CHECK_OK(d.ctx, store_trial_add(d.s, d.study, &waiting, NULL, &id, &number));
    desk_close(&d);
    CHECK(pipe(ends) == 0);
    for (int i = 0; i < WORKERS; i++)
        if (fork() == 0) work(&d, ends[1]);
    close(ends[1]);
    while (read(ends[0], &number, sizeof number) == sizeof number) times[number]++;
    for (int i = 0; i < WORKERS; i++) {
        wait(&status);
        CHECK_INT(status, 0);
    }
    close(ends[0]);
    for (int i = 0; i < n; i++)
        if (times[i] != 1) test_fail(__FILE__, __LINE__, "trial %d ran %d times", i, times[i]);
    d.s = desk_store(&d, 60, 1);
    CHECK_OK(d.ctx, store_trial_each(d.s, d.study, -1, STATES_ALL, check_told, NULL));
    desk_close(&d);
    free(times);
}

static void write_for_ever(const desk *d)
{
    drmad_ctx *ctx = drmad_ctx_new(NULL, NULL);
    const store_options o = {.lease_s = 60, .patience_s = 60};
    store *s = NULL;
    store_lease l;

    if (store_open(ctx, d->url, &o, &s) != DRMAD_OK) _exit(1);
    for (double x = 0;; x++)
        if (store_trial_begin(s, d->study, -1, NULL, &l) != DRMAD_OK ||
            desk_tell(s, &l, x) != DRMAD_OK)
            _exit(2);
}

/* A writer is killed at any moment, most often with the lock in its hand: what it finished is
 * there, and the next one goes on at once. */
TEST(journal_outlives_killed_writers)
{
    desk d = desk_open(60);
    const int n = test_count(10, 100);
    store_lease l;

    const double start = base_now();
    for (int i = 0; i < n; i++) {
        const pid_t child = fork();
        int status;
        if (child == 0) write_for_ever(&d);
        usleep(20000 + (useconds_t)(i * 7919 % 10000));
        kill(child, SIGKILL);
        CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status));
        desk_begin(&d, &l);
        CHECK_OK(d.ctx, desk_tell(d.s, &l, i));
    }
    desk_close(&d);
    if (base_now() - start > 1.5 * n) /* not the grace period each time */
        test_fail(__FILE__, __LINE__, "%g s", base_now() - start);
    d.s = desk_store(&d, 60, 1);
    int errors = 0;
    CHECK_OK(d.ctx, store_check(d.ctx, d.url, desk_count_errors, &errors));
    CHECK_INT(errors, 0);
    desk_close(&d);
}
