/* The journal's file: new lines since last time, and lines of ours at the end of it.
 *
 * The file is opened anew each time: that is what makes a network file system look at the server.
 * Readers take no lock. They stop before a last line without end, and before a last line that is
 * no JSON (its writer is at work); with the lock in hand nobody is at work, so the first is the
 * rest of a writer that died, and the second is damage. */
#include "store/journal_inside.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK = 1 << 16 };

drmad_status journal_errno(journal *j, const char *what, int error)
{
    const bool again = error == EAGAIN || error == ESTALE || error == ETIMEDOUT || error == EMFILE;
    const bool device = error == EIO || error == ENOSPC || error == EDQUOT;
    const drmad_status st = again ? DRMAD_E_AGAIN : device ? DRMAD_E_IO : DRMAD_E_STORAGE;

    return FAIL(j->s.ctx, st, "%s: %s: %s", j->s.url, what, strerror(error));
}

/* A replay that failed half-way, or of another file, is worth nothing: begin again next time. */
static void forget(journal *j)
{
    journal_state_free(j->s.ctx, &j->state);
    j->offset = 0;
    j->inode = 0;
}

/* Replays the whole lines of [text, text + size), which begins at j->offset; *used: how much. A
 * line that cannot be read ends it: `*bad` is DRMAD_E_DATA when it is no JSON, else E_STORAGE. */
static drmad_status replay(journal *j, const char *text, size_t size, size_t *used,
                           drmad_status *bad)
{
    drmad_status st = DRMAD_OK;
    const char *end;

    *used = 0;
    *bad = DRMAD_OK;
    while (*used < size && (end = memchr(text + *used, '\n', size - *used))) {
        const size_t n = (size_t)(end - text) - *used;
        st = journal_apply(j->s.ctx, &j->state, text + *used, n);
        if (st == DRMAD_E_STORAGE || st == DRMAD_E_DATA) *bad = st;
        if (st != DRMAD_OK) break;
        *used += n + 1;
        j->offset += (off_t)n + 1;
    }
    return *bad != DRMAD_OK ? DRMAD_OK : st;
}

static drmad_status bad_line(journal *j)
{
    char why[sizeof j->s.ctx->errmsg];

    const long long line = (long long)j->state.lines + 1;

    memcpy(why, drmad_errmsg(j->s.ctx), sizeof why);
    forget(j);
    return FAIL(j->s.ctx, DRMAD_E_STORAGE,
                "%s: line %lld cannot be read (%.300s): keep a copy of %s, then take that line out",
                j->s.url, line, why, j->path);
}

/* Reads on to `size`. What is left behind the last whole line is no error here. */
static drmad_status read_on(journal *j, int fd, off_t size)
{
    drmad_status st = DRMAD_OK;
    char *text = NULL;
    size_t room = 0, have = 0, used;
    drmad_status bad = DRMAD_OK;

    while (j->offset + (off_t)have < size && bad == DRMAD_OK) {
        if (room - have < BLOCK) {
            const size_t want = room ? 2 * room : BLOCK;
            TRY(mem_resize(j->s.ctx, &text, room, want, 1));
            room = want;
        }
        const off_t left = size - j->offset - (off_t)have;
        const size_t n = left < (off_t)(room - have) ? (size_t)left : room - have;
        const ssize_t got = pread(fd, text + have, n, j->offset + (off_t)have);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) TRY(journal_errno(j, "cannot be read", errno));
        if (got == 0) break; /* cut off meanwhile */
        have += (size_t)got;
        TRY(replay(j, text, have, &used, &bad));
        have -= used;
        memmove(text, text + used, have);
    }
    if (bad != DRMAD_OK) {
        const char *end = memchr(text, '\n', have);
        const bool last = j->offset + (off_t)(end + 1 - text) >= size;
        if (!last || j->fd >= 0 || bad == DRMAD_E_STORAGE) st = bad_line(j);
    }
done:
    mem_free(j->s.ctx, text);
    return st;
}

static drmad_status sync_fd(journal *j, int fd, off_t *size)
{
    struct stat sb;
    drmad_status st = DRMAD_OK;

    if (fstat(fd, &sb) != 0) TRY(journal_errno(j, "cannot be read", errno));
    if (!S_ISREG(sb.st_mode)) {
        st = FAIL(j->s.ctx, DRMAD_E_STORAGE, "%s: not a regular file", j->s.url);
        goto done;
    }
    if (sb.st_size < j->offset || (j->inode && j->inode != (uint64_t)sb.st_ino)) {
        base_log(j->s.ctx, LOG_WARN, "%s: another file now, or shorter: read again from its start",
                 j->s.url);
        forget(j);
    }
    j->inode = (uint64_t)sb.st_ino;
    *size = sb.st_size;
    if (sb.st_size > j->offset) st = read_on(j, fd, sb.st_size);
done:
    if (st != DRMAD_OK && st != DRMAD_E_STORAGE) forget(j);
    return st;
}

static drmad_status open_file(journal *j, int flags, int *fd)
{
    *fd = open(j->path, flags | O_CLOEXEC, 0666);
    if (*fd >= 0) return DRMAD_OK;
    if (errno == ENOENT)
        return FAIL(j->s.ctx, DRMAD_E_STORAGE, "%s: there is no such file", j->s.url);
    return journal_errno(j, "cannot be opened", errno);
}

drmad_status journal_sync(journal *j)
{
    off_t size;
    int fd;
    drmad_status st = open_file(j, O_RDONLY, &fd);

    if (st != DRMAD_OK) return st;
    st = sync_fd(j, fd, &size);
    close(fd);
    return st;
}

drmad_status journal_enter(journal *j)
{
    off_t size = 0;
    drmad_status st = DRMAD_OK;

    TRY(journal_lock_take(j));
    TRY(open_file(j, O_RDWR | O_APPEND, &j->fd));
    TRY(sync_fd(j, j->fd, &size));
    if (size > j->offset) {
        base_log(j->s.ctx, LOG_WARN, "%s: the last line (%lld bytes) was never ended: cut off",
                 j->s.url, (long long)(size - j->offset));
        if (!journal_lock_ours(j)) {
            st = FAIL(j->s.ctx, DRMAD_E_AGAIN, "%s: lost the lock %s", j->s.url, j->lock.path);
        } else if (ftruncate(j->fd, j->offset) != 0) {
            st = journal_errno(j, "the torn last line cannot be cut off", errno);
        }
    }
done:
    return st;
}

void journal_leave(journal *j)
{
    if (j->fd >= 0) close(j->fd);
    j->fd = -1;
    journal_lock_drop(j);
}

static drmad_status write_all(journal *j, const char *text, size_t size)
{
    while (size) {
        const ssize_t n = write(j->fd, text, size);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return journal_errno(j, "cannot be written", errno);
        text += n;
        size -= (size_t)n;
    }
    /* A failed sync is not tried again: the next one may succeed without the data. */
    return fsync(j->fd) == 0 ? DRMAD_OK : journal_errno(j, "cannot be synced", errno);
}

drmad_status journal_append(journal *j, const text_out *lines)
{
    drmad_status st = lines->st;
    size_t used;
    drmad_status bad;

    if (st != DRMAD_OK || lines->used == 0) return st;
    if (!journal_lock_ours(j))
        return FAIL(j->s.ctx, DRMAD_E_AGAIN, "%s: lost the lock %s", j->s.url, j->lock.path);
    st = write_all(j, lines->text, lines->used);
    if (st != DRMAD_OK) {
        if (journal_lock_ours(j) && ftruncate(j->fd, j->offset) != 0)
            base_log(j->s.ctx, LOG_WARN, "%s: a half-written line stays behind", j->s.url);
        return st;
    }
    st = replay(j, lines->text, lines->used, &used, &bad);
    if (bad != DRMAD_OK) st = bad_line(j);
    if (st != DRMAD_OK) forget(j);
    return st;
}
