/* A library to be preloaded: one call of the C library fails, or the process dies there.
 *
 *   DRMAD_FAULT=CALL:N:WHAT    the N-th write, fsync or rename, from 1
 *     kill      SIGKILL before the call       after     SIGKILL after it
 *     half      SIGKILL after half a write    full      ENOSPC, from this call on
 *     io        EIO, this once                short     every call from this on writes one byte
 *     eintr     every other call from this on is interrupted
 *
 * Standard output and error are left alone. The process is the command's own: nothing here is
 * thread-safe, and drmad writes files from one thread. */
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int calls, flip;

/* The name of the fault that strikes now, "" for none. */
static const char *strike(const char *call)
{
    const char *spec = getenv("DRMAD_FAULT"), *colon = spec ? strchr(spec, ':') : NULL;
    static char what[16];
    int at;

    if (!colon || sscanf(colon, ":%d:%15s", &at, what) != 2) return "";
    const size_t n = (size_t)(colon - spec);
    if (strlen(call) != n || strncmp(spec, call, n) != 0) return "";
    const int lasts = strchr("fse", what[0]) != NULL; /* full, short, eintr */
    calls++;
    return calls == at || (lasts && calls > at) ? what : "";
}

/* Deaths before the call, and errors: true when the call is not to be made. */
static int refuse(const char *what)
{
    if (strcmp(what, "kill") == 0) kill(getpid(), SIGKILL);
    errno = strcmp(what, "full") == 0 ? ENOSPC : EIO;
    return strcmp(what, "full") == 0 || strcmp(what, "io") == 0;
}

ssize_t write(int fd, const void *data, size_t size)
{
    ssize_t (*real)(int, const void *, size_t);
    const char *what = fd > 2 ? strike("write") : "";

    *(void **)&real = dlsym(RTLD_NEXT, "write");
    if (refuse(what)) return -1;
    if (strcmp(what, "half") == 0) {
        real(fd, data, size / 2);
        kill(getpid(), SIGKILL);
    }
    if (strcmp(what, "eintr") == 0 && (flip = !flip)) {
        errno = EINTR;
        return -1;
    }
    const ssize_t n = real(fd, data, strcmp(what, "short") == 0 && size > 1 ? 1 : size);
    if (strcmp(what, "after") == 0) kill(getpid(), SIGKILL);
    return n;
}

int fsync(int fd)
{
    int (*real)(int);
    const char *what = strike("fsync");

    *(void **)&real = dlsym(RTLD_NEXT, "fsync");
    if (refuse(what)) return -1;
    const int n = real(fd);
    if (strcmp(what, "after") == 0) kill(getpid(), SIGKILL);
    return n;
}

int rename(const char *from, const char *to)
{
    int (*real)(const char *, const char *);
    const char *what = strike("rename");

    *(void **)&real = dlsym(RTLD_NEXT, "rename");
    if (refuse(what)) return -1;
    const int n = real(from, to);
    if (strcmp(what, "after") == 0) kill(getpid(), SIGKILL);
    return n;
}
