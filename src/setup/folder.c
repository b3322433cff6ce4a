/* The run folder. */
#include "setup/folder.h"
#include "base/file.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TEXT_MAX = 1 << 30 };

struct folder {
    drmad_ctx *ctx;
    char path[1024];
    int lock, log;
    int64_t log_bytes;
};

static void join(const folder *f, const char *name, char *out, size_t size)
{
    snprintf(out, size, "%s/%s", f->path, name);
}

/* What a process that was killed while it wrote a file left behind. */
static void sweep(const folder *f)
{
    char path[1400];
    DIR *dir = opendir(f->path);

    for (struct dirent *e; dir && (e = readdir(dir));) {
        if (fnmatch(".drmad-*.tmp", e->d_name, 0) != 0) continue;
        snprintf(path, sizeof path, "%s/%s", f->path, e->d_name);
        unlink(path);
    }
    if (dir) closedir(dir);
}

drmad_status folder_open(drmad_ctx *ctx, const config *cfg, folder **out)
{
    const config_study *c = &cfg->set;
    drmad_status st = DRMAD_OK;
    folder *f = NULL;
    char path[1100];

    *out = NULL;
    TRY(mem_alloc(ctx, 1, sizeof *f, &f));
    f->ctx = ctx;
    f->lock = f->log = -1;
    const int n = c->output.dir[0] ? snprintf(f->path, sizeof f->path, "%s", c->output.dir)
                                   : snprintf(f->path, sizeof f->path, "runs/%s", c->name);
    if (n < 0 || (size_t)n >= sizeof f->path)
        TRY(config_refuse(cfg, "output.dir", "the path is too long"));
    TRY(file_make_folder(ctx, f->path));
    TRY(file_check_folder(ctx, f->path));
    join(f, ".lock", path, sizeof path);
    f->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (f->lock < 0) TRY(FAIL(ctx, DRMAD_E_OUTPUT, "%s: %s", path, strerror(errno)));
    if (flock(f->lock, LOCK_EX | LOCK_NB) != 0)
        TRY(FAIL(ctx, DRMAD_E_AGAIN, "%s: another drmad works in this folder", f->path));
    sweep(f);
    *out = f, f = NULL;
done:
    folder_close(f);
    return st;
}

void folder_close(folder *f)
{
    if (!f) return;
    if (f->log >= 0) close(f->log);
    if (f->lock >= 0) close(f->lock);
    mem_free(f->ctx, f);
}

const char *folder_path(const folder *f)
{
    return f->path;
}

drmad_status folder_text(folder *f, const char *name, const char *text)
{
    char path[1100];

    join(f, name, path, sizeof path);
    return file_write_atomic(f->ctx, path, text, strlen(text));
}

drmad_status folder_json(folder *f, const char *name, const json_t *json)
{
    char *text = json_dumps(json, JSON_INDENT(2) | JSON_REAL_PRECISION(17));

    if (!text) return FAIL(f->ctx, DRMAD_E_NOMEM, "out of memory for %s", name);
    const drmad_status st = folder_text(f, name, text);
    free(text);
    return st;
}

drmad_status folder_tensors(folder *f, const char *name, const st_file *file)
{
    char path[1100];

    join(f, name, path, sizeof path);
    return safetensors_write(f->ctx, path, file);
}

bool folder_has(const folder *f, const char *name)
{
    char path[1100];

    join(f, name, path, sizeof path);
    return access(path, F_OK) == 0;
}

drmad_status folder_read_tensors(folder *f, const char *name, st_file **out)
{
    char path[1100];

    *out = NULL;
    join(f, name, path, sizeof path);
    return folder_has(f, name) ? safetensors_read(f->ctx, path, out) : DRMAD_OK;
}

drmad_status folder_read_text(folder *f, const char *name, char **out)
{
    char path[1100];
    size_t size;

    *out = NULL;
    join(f, name, path, sizeof path);
    return folder_has(f, name) ? file_read_all(f->ctx, path, TEXT_MAX, out, &size) : DRMAD_OK;
}

drmad_status folder_remove(folder *f, const char *name)
{
    char path[1100];

    join(f, name, path, sizeof path);
    if (unlink(path) != 0 && errno != ENOENT)
        return FAIL(f->ctx, DRMAD_E_IO, "%s: %s", path, strerror(errno));
    return DRMAD_OK;
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *at)
{
    (void)info, (void)type, (void)at;
    return remove(path);
}

drmad_status folder_remove_tree(folder *f, const char *name)
{
    char path[1100];

    join(f, name, path, sizeof path);
    if (nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT)
        return FAIL(f->ctx, DRMAD_E_IO, "%s: %s", path, strerror(errno));
    return DRMAD_OK;
}

/* Where the last whole line within the first `bytes` ends. */
static int64_t whole_lines(int fd, int64_t bytes)
{
    char c = '\n';

    while (bytes > 0 && pread(fd, &c, 1, (off_t)(bytes - 1)) == 1 && c != '\n') bytes--;
    return bytes;
}

drmad_status folder_log_open(folder *f, int64_t bytes)
{
    char path[1100];
    struct stat info;

    join(f, "log.jsonl", path, sizeof path);
    f->log = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (f->log < 0 || fstat(f->log, &info) != 0)
        return FAIL(f->ctx, DRMAD_E_OUTPUT, "%s: %s", path, strerror(errno));
    const int64_t whole = bytes > 0 ? whole_lines(f->log, info.st_size) : 0;
    if (bytes > 0 && whole < info.st_size)
        base_log(f->ctx, LOG_WARN, "%s: the last line is torn; dropped", path);
    if (whole < bytes) bytes = whole;
    if (ftruncate(f->log, bytes) != 0 || lseek(f->log, 0, SEEK_END) < 0)
        return FAIL(f->ctx, DRMAD_E_IO, "%s: %s", path, strerror(errno));
    f->log_bytes = bytes;
    return DRMAD_OK;
}

drmad_status folder_log(folder *f, const char *line)
{
    const size_t n = strlen(line);
    size_t done = 0;

    if (f->log < 0) return DRMAD_OK;
    while (done < n + 1) {
        const ssize_t k = done < n ? write(f->log, line + done, n - done) : write(f->log, "\n", 1);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) return FAIL(f->ctx, DRMAD_E_IO, "%s/log.jsonl: %s", f->path, strerror(errno));
        done += (size_t)k;
    }
    f->log_bytes += (int64_t)n + 1;
    return DRMAD_OK;
}

int64_t folder_log_bytes(const folder *f)
{
    return f->log_bytes;
}
