/* Reading and writing whole files. Every call that can be interrupted or fall short is repeated;
 * every other failure is named with the path. Formats are left to the rooms below. */
#include "base/file.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

struct file_out {
    drmad_ctx *ctx;
    int fd;
    bool made; /* the temporary file exists */
    char *path, *folder, *temp;
};

/* The user can mend a folder (status 2); a full or failing device is the machine's (status 6). */
static drmad_status fail_errno(drmad_ctx *ctx, const char *doing, const char *path, int err)
{
    switch (err) {
    case ENOENT:
    case ENOTDIR:
    case EISDIR:
    case EACCES:
    case EPERM:
    case EROFS:
    case ELOOP:
    case ENAMETOOLONG:
    case EEXIST: return FAIL(ctx, DRMAD_E_OUTPUT, "%s: cannot %s: %s", path, doing, strerror(err));
    default: return FAIL(ctx, DRMAD_E_IO, "%s: cannot %s: %s", path, doing, strerror(err));
    }
}

/* "a/b" -> "a", "b" -> ".", "/b" -> "/". */
static drmad_status folder_of(drmad_ctx *ctx, const char *path, char **out)
{
    const char *slash = strrchr(path, '/');

    if (path[0] == '\0' || (slash && slash[1] == '\0'))
        return FAIL(ctx, DRMAD_E_OUTPUT, "\"%s\": expected the name of a file", path);
    if (!slash) return mem_strdup(ctx, ".", out);
    drmad_status st = mem_strdup(ctx, path, out);
    if (st == DRMAD_OK) (*out)[slash == path ? 1 : slash - path] = '\0';
    return st;
}

/* O_EXCL and a name nobody can guess: a link planted at that name is never followed. */
static drmad_status make_temp(file_out *f, unsigned mode)
{
    const size_t size = strlen(f->folder) + 32;
    uint64_t random;
    drmad_status st = mem_alloc(f->ctx, size, 1, &f->temp);

    if (st != DRMAD_OK) return st;
    for (int tries = 0; tries < 8; tries++) {
        if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random)
            return fail_errno(f->ctx, "draw a random name", f->path, errno);
        snprintf(f->temp, size, "%s/.drmad-%016llx.tmp", f->folder, (unsigned long long)random);
        f->fd = open(f->temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, (mode_t)mode);
        if (f->fd >= 0) {
            f->made = true;
            return DRMAD_OK;
        }
        if (errno != EEXIST && errno != EINTR) break;
    }
    return fail_errno(f->ctx, "make a file in its folder", f->path, errno);
}

drmad_status file_out_open(drmad_ctx *ctx, const char *path, unsigned mode, file_out **out)
{
    file_out *f = NULL;
    drmad_status st = mem_alloc(ctx, 1, sizeof *f, &f);

    *out = NULL;
    if (st != DRMAD_OK) return st;
    f->ctx = ctx;
    f->fd = -1;
    TRY(mem_strdup(ctx, path, &f->path));
    TRY(folder_of(ctx, path, &f->folder));
    TRY(make_temp(f, mode));
    *out = f, f = NULL;
done:
    file_out_close(f);
    return st;
}

drmad_status file_out_write(file_out *f, const void *data, size_t size)
{
    const char *at = data;

    while (size > 0) {
        ssize_t n = write(f->fd, at, size);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fail_errno(f->ctx, "write", f->path, errno);
        at += n, size -= (size_t)n;
    }
    return DRMAD_OK;
}

static drmad_status sync_folder(file_out *f)
{
    int fd = open(f->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0) return fail_errno(f->ctx, "open its folder", f->path, errno);
    int failed = fsync(fd) != 0 && errno != EINVAL ? errno : 0; /* EINVAL: no such thing here */
    close(fd);
    return failed ? FAIL(f->ctx, DRMAD_E_IO, "%s: cannot sync its folder: %s", f->path,
                         strerror(failed))
                  : DRMAD_OK;
}

drmad_status file_out_commit(file_out *f)
{
    if (fsync(f->fd) != 0) return fail_errno(f->ctx, "sync", f->path, errno);
    int failed = close(f->fd) != 0 ? errno : 0;
    f->fd = -1;
    if (failed) return fail_errno(f->ctx, "close", f->path, failed);
    if (rename(f->temp, f->path) != 0)
        return fail_errno(f->ctx, "put it in its place", f->path, errno);
    f->made = false;
    return sync_folder(f);
}

void file_out_close(file_out *f)
{
    if (!f) return;
    if (f->fd >= 0) close(f->fd);
    if (f->made) unlink(f->temp);
    mem_free(f->ctx, f->path);
    mem_free(f->ctx, f->folder);
    mem_free(f->ctx, f->temp);
    mem_free(f->ctx, f);
}

drmad_status file_write_atomic(drmad_ctx *ctx, const char *path, const void *data, size_t size)
{
    file_out *f = NULL;
    drmad_status st;

    TRY(file_out_open(ctx, path, FILE_PUBLIC, &f));
    TRY(file_out_write(f, data, size));
    TRY(file_out_commit(f));
done:
    file_out_close(f);
    return st;
}

static drmad_status read_exactly(drmad_ctx *ctx, const char *path, int fd, char *to, size_t size)
{
    for (size_t got = 0; got < size;) {
        ssize_t n = read(fd, to + got, size - got);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return FAIL(ctx, DRMAD_E_IO, "%s: byte %zu: %s", path, got, strerror(errno));
        if (n == 0)
            return FAIL(ctx, DRMAD_E_IO, "%s: ended at byte %zu while being read, was %zu bytes",
                        path, got, size);
        got += (size_t)n;
    }
    return DRMAD_OK;
}

drmad_status file_read_all(drmad_ctx *ctx, const char *path, size_t cap, char **out, size_t *size)
{
    drmad_status st = DRMAD_OK;
    char *bytes = NULL;
    struct stat info;

    *out = NULL, *size = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK); /* a pipe must not hang us */
    if (fd < 0) return FAIL(ctx, DRMAD_E_IO, "%s: %s", path, strerror(errno));
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        st = FAIL(ctx, DRMAD_E_IO, "%s: expected a regular file", path);
        goto done;
    }
    if (info.st_size < 0 || (uintmax_t)info.st_size > cap) {
        st = FAIL(ctx, DRMAD_E_DATA, "%s: %jd bytes, at most %zu are accepted", path,
                  (intmax_t)info.st_size, cap);
        goto done;
    }
    TRY(mem_alloc(ctx, (size_t)info.st_size + 1, 1, &bytes));
    TRY(read_exactly(ctx, path, fd, bytes, (size_t)info.st_size));
    *out = bytes, bytes = NULL;
    *size = (size_t)info.st_size;
done:
    mem_free(ctx, bytes);
    close(fd);
    return st;
}

drmad_status file_make_folder(drmad_ctx *ctx, const char *path)
{
    char *part = NULL;
    struct stat info;
    drmad_status st = mem_strdup(ctx, path, &part);

    if (st != DRMAD_OK) return st;
    for (char *at = part; *at && st == DRMAD_OK;) {
        at += strspn(at, "/");
        at += strcspn(at, "/");
        char end = *at;
        *at = '\0';
        if (mkdir(part, 0777) != 0 && errno != EEXIST)
            st = fail_errno(ctx, "make the folder", part, errno);
        *at = end;
    }
    mem_free(ctx, part);
    if (st != DRMAD_OK) return st;
    if (stat(path, &info) != 0) return fail_errno(ctx, "make the folder", path, errno);
    if (!S_ISDIR(info.st_mode))
        return FAIL(ctx, DRMAD_E_OUTPUT, "%s: is a file, expected a folder", path);
    return DRMAD_OK;
}

drmad_status file_check_folder(drmad_ctx *ctx, const char *path)
{
    struct stat info;

    if (stat(path, &info) != 0) return fail_errno(ctx, "use the folder", path, errno);
    if (!S_ISDIR(info.st_mode))
        return FAIL(ctx, DRMAD_E_OUTPUT, "%s: is a file, expected a folder", path);
    if (access(path, W_OK | X_OK) != 0) return fail_errno(ctx, "make files in it", path, errno);
    return DRMAD_OK;
}
