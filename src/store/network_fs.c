/* Numbers: statfs(2), linux/magic.h, and the file systems' own sources. */
#include "store/network_fs.h"
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>

static const int64_t FUSE_MAGIC = 0x65735546;

static const struct {
    int64_t magic;
    const char *name;
} network[] = {
    {0x6969, "NFS"},
    {0xFF534D42, "CIFS"},
    {0xFE534D42, "SMB2"},
    {0x517B, "SMB"},
    {0x01021997, "9p"},
    {0x5346414F, "AFS"},
    {0x6B414653, "AFS"},
    {0x00C36400, "Ceph"},
    {0x0BD00BD0, "Lustre"},
    {0x47504653, "GPFS"},
    {0x19830326, "BeeGFS"},
    {0xAAD7AAEA, "PanFS"},
    {0x20030528, "OrangeFS"},
    {0x7461636F, "OCFS2"},
    {0x01161970, "GFS2"},
    {0x73757245, "Coda"},
    {0x564C, "NCP"},
    {0x013111A8, "IBRIX"},
    {0xBACBACBC, "VMware shared folders"},
    {0x786F4256, "VirtualBox shared folders"},
};

/* Local ones (fuseblk, fuse-overlayfs, gocryptfs, ...) are not in this list. */
static const char *const fuse_types[] = {
    "sshfs",    "rclone",   "s3fs",     "gcsfuse",    "glusterfs", "ceph-fuse", "juicefs",
    "moosefs",  "mfs",      "lizardfs", "davfs",      "curlftpfs", "smbnetfs",  "goofys",
    "geesefs",  "blobfuse", "cvmfs2",   "afpfs",      "seaweedfs", "weed",      "beegfs",
    "mount-s3", "httpfs",   "hdfs",     "gvfsd-fuse",
};

const char *network_filesystem_name(int64_t magic)
{
    for (size_t i = 0; i < COUNT(network); i++)
        if (network[i].magic == magic) return network[i].name;
    return NULL;
}

const char *network_fuse_name(const char *type)
{
    if (strncmp(type, "fuse.", 5) != 0) return NULL;
    for (size_t i = 0; i < COUNT(fuse_types); i++)
        if (strncmp(type + 5, fuse_types[i], strlen(fuse_types[i])) == 0) return fuse_types[i];
    return NULL;
}

/* The mount of device `dev` in /proc/self/mountinfo: "36 35 98:0 /a /b opts - fuse.sshfs ...". */
static const char *fuse_of(dev_t dev)
{
    char line[4096], type[128];
    unsigned mount_major, mount_minor;
    const char *name = NULL;
    FILE *f = fopen("/proc/self/mountinfo", "r");

    if (!f) return NULL;
    while (!name && fgets(line, sizeof line, f)) {
        const char *dash = strstr(line, " - ");
        if (!dash || sscanf(dash, " - %127s", type) != 1) continue;
        if (sscanf(line, "%*d %*d %u:%u", &mount_major, &mount_minor) != 2) continue;
        if (makedev(mount_major, mount_minor) == dev) name = network_fuse_name(type);
    }
    fclose(f);
    return name;
}

bool network_filesystem(const char *path, const char **name)
{
    char folder[PATH_MAX];
    struct statfs fs;
    struct stat sb;
    const char *at = path;

    *name = NULL;
    if (statfs(at, &fs) != 0) {
        const char *slash = strrchr(path, '/');
        const size_t n = slash == path ? 1 : slash ? (size_t)(slash - path) : 0;
        if (n >= sizeof folder) return false;
        memcpy(folder, n ? path : ".", n ? n : 1);
        folder[n ? n : 1] = 0;
        at = folder;
        if (statfs(at, &fs) != 0) return false;
    }
    /* (f_type is signed on some machines, the numbers are not) */
    const int64_t magic = (int64_t)fs.f_type & 0xFFFFFFFF;
    *name = network_filesystem_name(magic);
    if (magic == FUSE_MAGIC && stat(at, &sb) == 0) *name = fuse_of(sb.st_dev);
    return *name != NULL;
}
