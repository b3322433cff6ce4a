/* What was built and where it runs, as far as this room can know it. */
#ifndef VERSION_H
#define VERSION_H
#include <stddef.h>

const char *version_git(void); /* "2a71c0d", "2a71c0d-dirty", or "unknown" outside a git checkout */
const char *version_compiler(void);          /* "gcc 12.2.0" */
void version_cpu(char *buf, size_t size);    /* the processor's model name, or "unknown" */
void version_kernel(char *buf, size_t size); /* "Linux 6.1.0 x86_64" */
#endif
