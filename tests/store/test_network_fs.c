/* File systems of other machines. The test's own statfs() stands before the C library's and says
 * what it is told to. */
#include "store/network_fs.h"
#include "store/store.h"
#include "test.h"
#include <sys/syscall.h>
#include <sys/statfs.h>
#include <unistd.h>

static long told; /* 0: the truth */

int statfs(const char *path, struct statfs *out)
{
    const long result = syscall(SYS_statfs, path, out);

    if (result == 0 && told) out->f_type = told;
    return (int)result;
}

TEST(network_filesystems_are_known)
{
    static const struct {
        long magic;
        const char *name;
    } rows[] = {{0x6969, "NFS"},        {0xFF534D42, "CIFS"}, {0xFE534D42, "SMB2"},
                {0x01021997, "9p"},     {0x5346414F, "AFS"},  {0x00C36400, "Ceph"},
                {0x0BD00BD0, "Lustre"}, {0x47504653, "GPFS"}};
    char path[512];
    const char *name;

    snprintf(path, sizeof path, "%s/not-there-yet.db", test_scratch());
    for (size_t i = 0; i < COUNT(rows); i++) {
        told = rows[i].magic;
        CHECK(network_filesystem(path, &name) && strcmp(name, rows[i].name) == 0);
        told = (long)(int)rows[i].magic; /* as a signed f_type has it */
        CHECK(network_filesystem("/", &name) && strcmp(name, rows[i].name) == 0);
        CHECK(network_filesystem("relative.db", &name));
    }
    told = 0xEF53; /* ext4 */
    CHECK(!network_filesystem(path, &name) && !name);
    told = 0;
    CHECK(!network_filesystem("/nowhere/at/all/x.db", &name));
}

TEST(network_filesystems_in_user_space_are_known)
{
    CHECK_STR(network_fuse_name("fuse.sshfs"), "sshfs");
    CHECK_STR(network_fuse_name("fuse.s3fs"), "s3fs");
    CHECK(!network_fuse_name("fuse.gocryptfs"));
    CHECK(!network_fuse_name("fuseblk"));
    CHECK(!network_fuse_name("ext4"));
}

/* SQLite's locks and shared memory cannot be trusted there. */
TEST(sqlite_on_a_network_filesystem_is_refused)
{
    drmad_ctx *ctx = test_ctx();
    const store_options o = {.create = true};
    char url[520], path[512];
    store *s = NULL;

    snprintf(path, sizeof path, "%s/runs.db", test_scratch());
    snprintf(url, sizeof url, "sqlite:%s", path);
    told = 0x6969;
    CHECK_FAILS(ctx, store_open(ctx, url, &o, &s), DRMAD_E_STORAGE, "NFS");
    CHECK(strstr(drmad_errmsg(ctx), "journal:") && strstr(drmad_errmsg(ctx), "postgresql:"));
    CHECK(access(path, F_OK) != 0); /* nothing was made there */
    told = 0;
    CHECK_OK(ctx, store_open(ctx, url, &o, &s));
    store_close(s);
}
