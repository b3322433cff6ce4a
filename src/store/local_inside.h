/* The parts of a local server that know processes and addresses; local.c says what is done. */
#ifndef LOCAL_INSIDE_H
#define LOCAL_INSIDE_H
#include "store/local.h"
#include <limits.h>
#include <sys/types.h>

typedef struct local_server {
    drmad_ctx *ctx;
    char folder[LOCAL_PATH_SIZE], bin[LOCAL_PATH_SIZE];
    char user[64];
    uid_t uid;
    gid_t gid;
    int lock; /* the folder, open and locked; -1: there is none */
} local_server;

typedef struct local_program {
    const char *const *argv; /* argv[0]: one of v->bin, or a whole path */
    const char *input;       /* NULL: none; at most a few kilobytes */
    const char *log;         /* whose last line explains a failure; NULL: setup.log */
    bool quiet;              /* what it prints is not kept */
} local_program;

/* Fills v->bin. DRMAD_E_MISSING names the Debian package. */
drmad_status local_programs(local_server *v, const char *bin);
/* Runs a program in the folder as the server's user. status NULL: one that is not 0 is
 * DRMAD_E_STORAGE. */
drmad_status local_run(local_server *v, const local_program *p, int *status);
/* Writes a file of the folder as that user, mode 0600. */
drmad_status local_write(local_server *v, const char *name, const char *text, bool append);

drmad_status local_check_address(drmad_ctx *ctx, const char *bind);
void local_listen(const char *bind, char *out, size_t size); /* as of listen_addresses */
void local_host(const char *bind, char *out, size_t size);   /* as other nodes name it */
void local_percent(const char *text, char *out, size_t size);
/* A free port of loopback and `bind`, `last` if it can be. */
drmad_status local_port(local_server *v, const char *bind, int last, int *port);
#endif
