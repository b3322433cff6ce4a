/* The lock of a journal: a name, FILE.lock, that only one process can make. Optuna's two locks, a
 * symbolic link or a file opened with O_EXCL, are one name, so they exclude each other and us.
 * Whoever dies with it leaves it there; a lock that has not changed for the grace period is
 * taken away, by Optuna as by us. A holder that slept through that finds its lock gone before it
 * writes (journal_lock_ours).
 *
 * The link's own time is the file system's clock: on a network file system the server's, one for
 * all machines. */
#include "store/journal_inside.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { NANO = 1000000000 };
static const double WAIT_S = 1.5, SLEEP_FIRST_S = 0.001, SLEEP_LAST_S = 0.05;

static bool look(const char *path, uint64_t *inode, int64_t *nanos)
{
    struct stat st;

    if (lstat(path, &st) != 0) return false;
    *inode = (uint64_t)st.st_ino;
    *nanos = (int64_t)st.st_mtim.tv_sec * NANO + st.st_mtim.tv_nsec;
    return true;
}

/* 0, or why not: EEXIST when others hold it. */
static int make(const journal_lock *l)
{
    if (symlink(l->target, l->path) == 0) return 0;
    if (errno != EPERM && errno != ENOSYS && errno != EOPNOTSUPP) return errno;
    const int fd = open(l->path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666);
    if (fd < 0) return errno; /* (this file system has no symbolic links) */
    close(fd);
    return 0;
}

/* Takes the name away by renaming, which only one of several can do. False when it was gone. */
static bool take_away(journal *j, uint64_t inode, int64_t nanos)
{
    char away[4096];
    uint64_t got;
    int64_t got_time;

    const int n = snprintf(away, sizeof away, "%s%016llx.rename", j->lock.path,
                           (unsigned long long)store_random(&j->s));
    if (n < 0 || (size_t)n >= sizeof away || rename(j->lock.path, away) != 0) return false;
    if (look(away, &got, &got_time) && (got != inode || got_time != nanos)) {
        /* It changed hands since it was looked at: give it back, unless a third has come. */
        if (renameat2(AT_FDCWD, away, AT_FDCWD, j->lock.path, RENAME_NOREPLACE) == 0) return false;
    }
    unlink(away);
    return true;
}

/* Follows the lock of others, and ends it when it has been the same for the grace period. */
static void watch(journal *j)
{
    journal_lock *l = &j->lock;
    uint64_t inode;
    int64_t nanos;

    if (!look(l->path, &inode, &nanos)) return;
    if (inode != l->seen_inode || nanos != l->seen_time) {
        l->seen_inode = inode;
        l->seen_time = nanos;
        l->seen_since = base_now();
        return;
    }
    if (base_now() - l->seen_since <= l->grace_s) return;
    if (take_away(j, inode, nanos))
        base_log(j->s.ctx, LOG_WARN, "%s: held for %.0f s without a sign of life: taken away",
                 l->path, l->grace_s);
}

static void wait_a_little(journal *j, double *sleep_s)
{
    const double part = 0.5 + 0.5 * (double)(store_random(&j->s) >> 11) * 0x1p-53;
    const struct timespec ts = {.tv_nsec = (long)(*sleep_s * part * NANO)};

    nanosleep(&ts, NULL);
    *sleep_s = *sleep_s * 2 < SLEEP_LAST_S ? *sleep_s * 2 : SLEEP_LAST_S;
}

drmad_status journal_lock_take(journal *j)
{
    journal_lock *l = &j->lock;
    const double start = base_now();
    double sleep_s = SLEEP_FIRST_S;
    int error;

    while ((error = make(l)) != 0) {
        if (error != EEXIST) return journal_errno(j, "cannot take the lock", error);
        watch(j);
        if (base_now() - start > WAIT_S)
            return FAIL(j->s.ctx, DRMAD_E_AGAIN, "%s: another process holds the lock %s", j->s.url,
                        l->path);
        wait_a_little(j, &sleep_s);
    }
    if (!look(l->path, &l->held_inode, &l->held_time))
        return journal_errno(j, "the lock is gone", errno);
    l->since = base_now();
    l->seen_inode = 0;
    j->now = l->held_time / 1000;
    return DRMAD_OK;
}

bool journal_lock_ours(const journal *j)
{
    const journal_lock *l = &j->lock;
    uint64_t inode;
    int64_t nanos;

    return l->held_time && base_now() - l->since < l->grace_s / 2 &&
           look(l->path, &inode, &nanos) && inode == l->held_inode && nanos == l->held_time;
}

void journal_lock_drop(journal *j)
{
    journal_lock *l = &j->lock;
    uint64_t inode;
    int64_t nanos;

    if (!l->held_time) return;
    if (look(l->path, &inode, &nanos) && inode == l->held_inode && nanos == l->held_time)
        take_away(j, inode, nanos);
    else base_log(j->s.ctx, LOG_WARN, "%s: taken away while we held it", l->path);
    l->held_time = 0;
}
