/* The lock of a journal: a name, FILE.lock, that only one process can make. Optuna's two locks, a
 * symbolic link or a file opened with O_EXCL, are one name, so they exclude each other and us. Ours
 * is the file, and says who we are. Whoever dies with the lock leaves it there: one of ours whose
 * process is gone from this machine is taken away at once, any other when it has not changed for
 * the grace period, as Optuna does. A holder that slept through that finds its lock gone before it
 * writes (journal_lock_ours).
 *
 * The file's time is the file system's clock: on a network file system the server's, one for all
 * machines. */
#include "store/journal_inside.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { NANO = 1000000000, STAT_SIZE = 1024 };
static const double WAIT_S = 1.5, SLEEP_FIRST_S = 0.001, SLEEP_LAST_S = 0.05, DEAD_AFTER_S = 0.1;

/* ---- who ---- */

static bool read_start(const char *path, char *text, size_t size)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    const ssize_t n = fd >= 0 ? read(fd, text, size - 1) : -1;

    if (fd >= 0) close(fd);
    text[n > 0 ? n : 0] = 0;
    return n > 0;
}

/* When the process began, in ticks since boot; 0: there is none. */
static unsigned long long process_start(long pid)
{
    char path[64], text[STAT_SIZE], state = 'Z';
    unsigned long long start = 0;

    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    if (!read_start(path, text, sizeof text)) return 0;
    const char *end = strrchr(text, ')'); /* the name before may hold anything */
    if (!end || sscanf(end,
                       ") %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d "
                       "%*d %*d %llu",
                       &state, &start) != 2)
        return 0;
    return state == 'Z' || state == 'X' ? 0 : start;
}

/* "drmad BOOT NAMESPACE": what a process number means something in. */
static void here(char text[LOCK_HOLDER_SIZE])
{
    char boot[64], space[64];
    const ssize_t n = readlink("/proc/self/ns/pid", space, sizeof space - 1);

    space[n > 0 ? n : 0] = 0;
    if (!read_start("/proc/sys/kernel/random/boot_id", boot, sizeof boot)) boot[0] = 0;
    boot[strcspn(boot, "\n")] = 0;
    snprintf(text, LOCK_HOLDER_SIZE, "drmad %s %s", boot, space);
}

void journal_lock_who(journal_lock *l)
{
    char place[LOCK_HOLDER_SIZE];

    here(place);
    const int n = snprintf(l->holder, sizeof l->holder, "%s %ld %llu\n", place, (long)getpid(),
                           process_start(getpid()));
    if (n < 0 || (size_t)n >= sizeof l->holder) l->holder[0] = 0;
}

/* Whether the lock is one of ours, of this machine, whose process is no more. */
static bool holder_is_dead(const journal_lock *l)
{
    char place[LOCK_HOLDER_SIZE], text[LOCK_HOLDER_SIZE];
    unsigned long long start;
    long pid;

    here(place);
    if (!read_start(l->path, text, sizeof text)) return false;
    const size_t n = strlen(place);
    if (strncmp(text, place, n) != 0 || sscanf(text + n, " %ld %llu\n", &pid, &start) != 2)
        return false;
    return start != 0 && process_start(pid) != start;
}

/* ---- the name ---- */

static bool look(const char *path, uint64_t *inode, int64_t *nanos)
{
    struct stat st;

    if (lstat(path, &st) != 0) return false;
    *inode = (uint64_t)st.st_ino;
    *nanos = (int64_t)st.st_mtim.tv_sec * NANO + st.st_mtim.tv_nsec;
    return true;
}

/* A new file `path` that says who we are: 0, or why not. */
static int make_file(journal_lock *l, const char *path)
{
    struct stat st;
    const size_t n = strlen(l->holder);
    const int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0644);

    if (fd < 0) return errno;
    const bool said = write(fd, l->holder, n) == (ssize_t)n && fstat(fd, &st) == 0;
    const int error = said ? 0 : errno;
    close(fd);
    if (!said) {
        unlink(path);
        return error;
    }
    l->held_inode = (uint64_t)st.st_ino;
    l->held_time = (int64_t)st.st_mtim.tv_sec * NANO + st.st_mtim.tv_nsec;
    return 0;
}

/* 0, or why not: EEXIST when others hold it. The name is linked to a file that is whole already: a
 * process killed between the making and the writing of one would leave a lock that says nothing,
 * as Optuna's do, and is waited for. Where there are no links it is made in place. */
static int make(journal *j)
{
    journal_lock *l = &j->lock;
    char whole[4096];
    uint64_t inode;
    int64_t nanos;

    if (look(l->path, &inode, &nanos)) return EEXIST;
    const int n = snprintf(whole, sizeof whole, "%s%016llx.new", l->path,
                           (unsigned long long)store_random(&j->s));
    if (n < 0 || (size_t)n >= sizeof whole) return ENAMETOOLONG;
    int error = make_file(l, whole);
    if (error) return error;
    if (link(whole, l->path) != 0) error = errno;
    unlink(whole);
    if (error == EPERM || error == EOPNOTSUPP || error == ENOSYS || error == EMLINK)
        error = make_file(l, l->path);
    if (error) l->held_time = 0;
    return error;
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

/* Follows the lock of others, and ends it when its holder is dead or has been silent too long. */
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
    const double age = base_now() - l->seen_since;
    if (age > l->grace_s) {
        if (take_away(j, inode, nanos))
            base_log(j->s.ctx, LOG_WARN, "%s: held for %.0f s without a sign of life: taken away",
                     l->path, age);
    } else if (age > DEAD_AFTER_S && holder_is_dead(l)) {
        if (take_away(j, inode, nanos))
            base_log(j->s.ctx, LOG_INFO, "%s: its process has died: taken away", l->path);
    }
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

    while ((error = make(j)) != 0) {
        if (error != EEXIST) return journal_errno(j, "cannot take the lock", error);
        watch(j);
        if (base_now() - start > WAIT_S)
            return FAIL(j->s.ctx, DRMAD_E_AGAIN, "%s: another process holds the lock %s", j->s.url,
                        l->path);
        wait_a_little(j, &sleep_s);
    }
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
