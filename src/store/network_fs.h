/* Whether a path lies on a file system that is another machine's, where SQLite's locks and its
 * shared memory file cannot be trusted. */
#ifndef NETWORK_FS_H
#define NETWORK_FS_H
#include "base/base.h"

/* *name: what kind it is ("NFS"), lives for ever. `path` may not exist yet: its folder counts then.
 * False when it cannot be told. */
bool network_filesystem(const char *path, const char **name);
/* By the number that statfs(2) gives; NULL: local, or not known. */
const char *network_filesystem_name(int64_t magic);
/* By the type in /proc/self/mountinfo of what runs in user space: "fuse.sshfs". NULL as above. */
const char *network_fuse_name(const char *type);
#endif
