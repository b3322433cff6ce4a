/* Whole files under faults. write, fsync and rename are ours in this binary: they fail, fall short
 * or are interrupted when a test says so, and are the system's otherwise. */
#include "base/file.h"
#include "test.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static struct {
    int write_errno, fsync_errno, rename_errno; /* 0: none */
    int interrupts;                             /* writes that give EINTR first */
    size_t most;                                /* bytes a write takes, 0: all */
    int syncs;
} fault;

ssize_t write(int fd, const void *data, size_t n)
{
    if (fd > 2 && fault.interrupts > 0) {
        fault.interrupts--;
        errno = EINTR;
        return -1;
    }
    if (fd > 2 && fault.write_errno) {
        errno = fault.write_errno;
        return -1;
    }
    if (fd > 2 && fault.most && n > fault.most) n = fault.most;
    return syscall(SYS_write, fd, data, n);
}

int fsync(int fd)
{
    fault.syncs++;
    if (fault.fsync_errno) {
        errno = fault.fsync_errno;
        return -1;
    }
    return (int)syscall(SYS_fsync, fd);
}

int rename(const char *from, const char *to)
{
    if (fault.rename_errno) {
        errno = fault.rename_errno;
        return -1;
    }
    return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

static char at_path[600];

static const char *at(const char *folder, const char *name)
{
    snprintf(at_path, sizeof at_path, "%s/%s", folder, name);
    return at_path;
}

static int files_in(const char *folder)
{
    int n = 0;
    DIR *d = opendir(folder);

    for (struct dirent *e; d && (e = readdir(d));) n += e->d_name[0] != '.' || e->d_name[1] == 'd';
    if (d) closedir(d);
    return n;
}

static void check_content(drmad_ctx *ctx, const char *path, const char *want)
{
    char *got = NULL;
    size_t size;

    CHECK_OK(ctx, file_read_all(ctx, path, 1 << 20, &got, &size));
    if (!got) return;
    CHECK_STR(got, want);
    CHECK_INT(size, strlen(want));
    mem_free(ctx, got);
}

TEST(a_file_is_written_replaced_and_read_back)
{
    drmad_ctx *ctx = test_ctx();
    const char *dir = test_scratch();
    struct stat info;

    CHECK_OK(ctx, file_write_atomic(ctx, at(dir, "a"), "first", 5));
    check_content(ctx, at_path, "first");
    CHECK_OK(ctx, file_write_atomic(ctx, at_path, "2", 1));
    check_content(ctx, at_path, "2");
    CHECK(stat(at_path, &info) == 0 && (info.st_mode & 0022) == 0); /* nobody else writes it */
    CHECK_INT(files_in(dir), 1);
}

TEST(a_file_not_committed_leaves_the_old_one_and_nothing_else)
{
    drmad_ctx *ctx = test_ctx();
    const char *dir = test_scratch();
    file_out *f = NULL;

    CHECK_OK(ctx, file_write_atomic(ctx, at(dir, "a"), "old", 3));
    CHECK_OK(ctx, file_out_open(ctx, at_path, FILE_PRIVATE, &f));
    CHECK_OK(ctx, file_out_write(f, "half", 4));
    CHECK_INT(files_in(dir), 2);
    file_out_close(f);
    CHECK_INT(files_in(dir), 1);
    check_content(ctx, at_path, "old");
}

TEST(short_and_interrupted_writes_give_the_same_bytes)
{
    drmad_ctx *ctx = test_ctx();
    const char *dir = test_scratch(), text[] = "the quick brown fox jumps over the lazy dog";

    fault.most = 3, fault.interrupts = 5;
    CHECK_OK(ctx, file_write_atomic(ctx, at(dir, "a"), text, sizeof text - 1));
    fault.most = 0;
    CHECK_INT(fault.interrupts, 0);
    check_content(ctx, at_path, text);
}

/* F23, F24: a device that fails is the machine's fault, a folder that refuses the user's. */
TEST(every_failing_call_is_named_and_leaves_the_old_file)
{
    const struct {
        int *which, err;
        drmad_status want;
        const char *text;
    } rows[] = {
        {&fault.write_errno, ENOSPC, DRMAD_E_IO, "cannot write: No space left"},
        {&fault.write_errno, EDQUOT, DRMAD_E_IO, "cannot write: Disk quota"},
        {&fault.write_errno, EIO, DRMAD_E_IO, "cannot write: Input/output"},
        {&fault.fsync_errno, EIO, DRMAD_E_IO, "cannot sync"},
        {&fault.rename_errno, EROFS, DRMAD_E_OUTPUT, "Read-only"},
    };
    drmad_ctx *ctx = test_ctx();
    const char *dir = test_scratch();

    CHECK_OK(ctx, file_write_atomic(ctx, at(dir, "a"), "old", 3));
    for (size_t i = 0; i < COUNT(rows); i++) {
        fault.syncs = 0;
        *rows[i].which = rows[i].err;
        CHECK_FAILS(ctx, file_write_atomic(ctx, at_path, "new", 3), rows[i].want, rows[i].text);
        CHECK(strstr(drmad_errmsg(ctx), at_path) != NULL);
        CHECK(fault.syncs <= 1); /* a failed sync is not tried again */
        *rows[i].which = 0;
        check_content(ctx, at_path, "old");
        CHECK_INT(files_in(dir), 1);
    }
}

TEST(folders_that_cannot_be_used_are_refused)
{
    drmad_ctx *ctx = test_ctx();
    const char *dir = test_scratch();

    CHECK_FAILS(ctx, file_write_atomic(ctx, at(dir, "no/such/a"), "", 0), DRMAD_E_OUTPUT,
                "no/such/a");
    CHECK_FAILS(ctx, file_write_atomic(ctx, at(dir, ""), "", 0), DRMAD_E_OUTPUT,
                "expected the name");
    CHECK_FAILS(ctx, file_write_atomic(ctx, "", "", 0), DRMAD_E_OUTPUT, "expected the name");
    CHECK_OK(ctx, file_make_folder(ctx, at(dir, "x/y/z")));
    CHECK_OK(ctx, file_make_folder(ctx, at_path));
    CHECK_OK(ctx, file_check_folder(ctx, at_path));
    CHECK_FAILS(ctx, file_write_atomic(ctx, at(dir, "x"), "", 0), DRMAD_E_OUTPUT, "x");
    CHECK_OK(ctx, file_write_atomic(ctx, at(dir, "f"), "1", 1));
    CHECK_FAILS(ctx, file_make_folder(ctx, at_path), DRMAD_E_OUTPUT, "is a file");
    CHECK_FAILS(ctx, file_make_folder(ctx, at(dir, "f/g")), DRMAD_E_OUTPUT, "f");
    CHECK_FAILS(ctx, file_check_folder(ctx, at(dir, "none")), DRMAD_E_OUTPUT, "none");
    CHECK_FAILS(ctx, file_check_folder(ctx, at(dir, "f")), DRMAD_E_OUTPUT, "is a file");
}

/* F22: killed between write and rename. */
TEST(a_kill_before_the_rename_leaves_the_old_file)
{
    drmad_ctx *ctx = test_ctx();
    const char *dir = test_scratch();
    int status;

    CHECK_OK(ctx, file_write_atomic(ctx, at(dir, "a"), "old", 3));
    pid_t child = fork();
    if (child == 0) {
        file_out *f;
        if (file_out_open(ctx, at_path, FILE_PUBLIC, &f) == DRMAD_OK) file_out_write(f, "new", 3);
        _exit(7);
    }
    CHECK(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 7);
    check_content(ctx, at_path, "old");
}

/* F40: a link at the final name is replaced, never written through. */
TEST(a_planted_link_is_not_followed)
{
    drmad_ctx *ctx = test_ctx();
    const char *dir = test_scratch();
    char victim[600];
    struct stat info;

    CHECK_OK(ctx, file_write_atomic(ctx, at(dir, "victim"), "safe", 4));
    snprintf(victim, sizeof victim, "%s", at_path);
    CHECK(symlink(victim, at(dir, "link")) == 0);
    CHECK_OK(ctx, file_write_atomic(ctx, at_path, "new", 3));
    CHECK(lstat(at_path, &info) == 0 && S_ISREG(info.st_mode));
    check_content(ctx, victim, "safe");
}

TEST(what_cannot_be_read_is_refused_before_any_allocation)
{
    drmad_ctx *ctx = test_ctx();
    const char *dir = test_scratch();
    char *bytes;
    size_t size;

    CHECK_FAILS(ctx, file_read_all(ctx, at(dir, "none"), 9, &bytes, &size), DRMAD_E_IO,
                "No such file");
    CHECK_FAILS(ctx, file_read_all(ctx, dir, 9, &bytes, &size), DRMAD_E_IO, "regular file");
    CHECK(mkfifo(at(dir, "pipe"), 0600) == 0);
    CHECK_FAILS(ctx, file_read_all(ctx, at_path, 9, &bytes, &size), DRMAD_E_IO, "regular file");
    CHECK_OK(ctx, file_write_atomic(ctx, at(dir, "ten"), "0123456789", 10));
    CHECK_FAILS(ctx, file_read_all(ctx, at_path, 9, &bytes, &size), DRMAD_E_DATA,
                "10 bytes, at most 9");
    CHECK(bytes == NULL && size == 0);
    CHECK_OK(ctx, file_read_all(ctx, at_path, 10, &bytes, &size));
    mem_free(ctx, bytes);
    CHECK(truncate(at_path, (off_t)1 << 31) == 0); /* sparse: huge, yet no bytes */
    CHECK_FAILS(ctx, file_read_all(ctx, at_path, 1 << 20, &bytes, &size), DRMAD_E_DATA, "at most");
}

static drmad_status write_and_read(drmad_ctx *ctx, void *path)
{
    char *bytes = NULL;
    size_t size;
    drmad_status st;

    TRY(file_write_atomic(ctx, path, "abc", 3));
    TRY(file_read_all(ctx, path, 100, &bytes, &size));
done:
    mem_free(ctx, bytes);
    return st;
}

TEST(files_survive_every_failing_allocation)
{
    const char *dir = test_scratch();
    char path[300];

    snprintf(path, sizeof path, "%s/a", dir);
    test_oom(write_and_read, path);
    CHECK_INT(files_in(dir), 1);
}
