/* Lets what is linked on a new glibc (2.29 to 2.36) run on 2.28, which manylinux_2_28 promises:
 * each name below was given a new version after 2.28, and this file binds ours to the first one.
 * Only x86-64: the first version there is 2.2.5. Linked where DRMAD_OLD_GLIBC is ON; not a room.
 * tools/build-wheel fails when a name is missing here (auditwheel looks at every version).
 *
 *   pthread_create, pthread_join, pthread_sigmask, pthread_condattr_setclock
 *                                                   moved into libc (2.32, 2.34); libpthread.so.0
 *                                                   must be needed as well, for 2.28 has them there
 *   dlopen, dlsym, dladdr, dlerror, dlclose         moved into libc (2.34) likewise from libdl.so.2
 *   stat, lstat, fstat, fstatat                     were inline calls of __xstat, __lxstat, ...
 *                                                   until 2.33
 *   exp, log, pow, exp2, log2
 *                         2.29 dropped the SVID error handling; same values, same code inside
 *   __libc_start_main     2.34; the old one with no init runs no constructors of the executable on
 *                         an old glibc: C has none */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>

#define OLD(name) __asm__(".symver old_" #name "," #name "@GLIBC_2.2.5")
#define HIDDEN __attribute__((visibility("hidden")))

#ifdef OLD_GLIBC_MAIN

typedef int main_fn(int, char **, char **);
int old___libc_start_main(main_fn *main, int argc, char **argv, void (*init)(void),
                          void (*fini)(void), void (*unload)(void), void *stack);
OLD(__libc_start_main);
HIDDEN int __libc_start_main(main_fn *main, int argc, char **argv, void (*init)(void),
                             void (*fini)(void), void (*unload)(void), void *stack);

int __libc_start_main(main_fn *main, int argc, char **argv, void (*init)(void), void (*fini)(void),
                      void (*unload)(void), void *stack)
{
    return old___libc_start_main(main, argc, argv, init, fini, unload, stack);
}

#else

int old_pthread_create(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
int old_pthread_join(pthread_t, void **);
int old_pthread_condattr_setclock(pthread_condattr_t *, clockid_t);
int old_pthread_sigmask(int, const sigset_t *, sigset_t *);
int old___xstat(int, const char *, struct stat *);
int old___lxstat(int, const char *, struct stat *);
int old___fxstat(int, int, struct stat *);
int old___fxstatat(int, int, const char *, struct stat *, int);
void *old_dlopen(const char *, int);
void *old_dlsym(void *, const char *);
int old_dladdr(const void *, Dl_info *);
char *old_dlerror(void);
int old_dlclose(void *);
double old_exp(double);
double old_log(double);
double old_pow(double, double);
double old_exp2(double);
double old_log2(double);

OLD(pthread_create);
OLD(pthread_join);
OLD(pthread_sigmask);
__asm__(".symver old_pthread_condattr_setclock,pthread_condattr_setclock@GLIBC_2.3.3");
OLD(__xstat);
OLD(__lxstat);
OLD(__fxstat);
__asm__(".symver old___fxstatat,__fxstatat@GLIBC_2.4");
OLD(dlopen);
OLD(dlsym);
OLD(dladdr);
OLD(dlerror);
OLD(dlclose);
OLD(exp);
OLD(log);
OLD(pow);
OLD(exp2);
OLD(log2);

enum { STAT_VERSION = 1 }; /* _STAT_VER of x86-64 */

HIDDEN int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *argument)
{
    return old_pthread_create(thread, attributes, run, argument);
}

HIDDEN int pthread_join(pthread_t thread, void **result)
{
    return old_pthread_join(thread, result);
}

HIDDEN int pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
    return old_pthread_sigmask(how, set, old);
}

HIDDEN int pthread_condattr_setclock(pthread_condattr_t *attributes, clockid_t clock)
{
    return old_pthread_condattr_setclock(attributes, clock);
}

HIDDEN int stat(const char *path, struct stat *info)
{
    return old___xstat(STAT_VERSION, path, info);
}

HIDDEN int fstat(int fd, struct stat *info)
{
    return old___fxstat(STAT_VERSION, fd, info);
}

HIDDEN int lstat(const char *path, struct stat *info)
{
    return old___lxstat(STAT_VERSION, path, info);
}

HIDDEN int fstatat(int folder, const char *path, struct stat *info, int flags)
{
    return old___fxstatat(STAT_VERSION, folder, path, info, flags);
}

HIDDEN void *dlopen(const char *file, int flags)
{
    return old_dlopen(file, flags);
}

HIDDEN void *dlsym(void *library, const char *name)
{
    return old_dlsym(library, name);
}

HIDDEN int dladdr(const void *address, Dl_info *info)
{
    return old_dladdr(address, info);
}

HIDDEN char *dlerror(void)
{
    return old_dlerror();
}

HIDDEN int dlclose(void *library)
{
    return old_dlclose(library);
}

HIDDEN double exp(double x)
{
    return old_exp(x);
}

HIDDEN double log(double x)
{
    return old_log(x);
}

HIDDEN double pow(double x, double y)
{
    return old_pow(x, y);
}

HIDDEN double exp2(double x)
{
    return old_exp2(x);
}

HIDDEN double log2(double x)
{
    return old_log2(x);
}

#endif
