/* A PostgreSQL server of one's own, to try things out, for tests, and for the nodes of a cluster
 * job: no administrator, no shell, no password that anyone types.
 *
 *   FOLDER/data        the cluster; the role `drmad` owns the database `drmad`, nobody else enters
 *   FOLDER/pgpass      the random password, 0600, in libpq's form
 *   FOLDER/port        where it listened last; taken again when it is free
 *   FOLDER/server.log  what the server says
 *
 * The server runs as the user who starts it; started by root, as `postgres`, else `nobody`, whose
 * the folder then is.
 *
 * Errors:    E_MISSING no PostgreSQL server here (names the package), E_OUTPUT the folder cannot be
 *            used, E_USAGE a bad address, E_STORAGE the server does not start (ends with its log's
 *            last line), E_AGAIN another start or stop is under way for longer than a minute
 * Ownership: urls are given, from the context's memory.
 * Threads:   any; forks, and waits for its children. */
#ifndef LOCAL_H
#define LOCAL_H
#include "base/base.h"

typedef struct local_options {
    const char *folder;      /* NULL: local_folder() */
    const char *bin;         /* where initdb, pg_ctl, postgres lie; NULL: PATH, then Debian's */
    const char *bind;        /* listens on this address besides loopback; NULL: loopback alone */
    const char *url_file;    /* written, 0600: the URL with password, for other nodes; NULL: none */
    int32_t max_connections; /* 0: 100 */
    bool fragile;            /* fast, and lost when the machine stops: for tests */
} local_options;

enum { LOCAL_PATH_SIZE = 1024 };
/* The usual folder: ~/.local/share/drmad/postgresql (XDG_DATA_HOME), root's
 * /var/lib/drmad/postgresql. */
drmad_status local_folder(drmad_ctx *ctx, char folder[LOCAL_PATH_SIZE]);

/* Makes the cluster unless it is there, starts the server unless it runs, and waits until it
 * answers. *url holds no password, it names pgpass: what a command may show. A server that runs is
 * left as it is: with `bind`, `url_file` or `max_connections` that is E_USAGE. */
drmad_status local_start(drmad_ctx *ctx, const local_options *o, char **url);
/* folder NULL: local_folder(). at_once: without ending sessions in order; the next start recovers.
 * Fine when nothing runs. */
drmad_status local_stop(drmad_ctx *ctx, const char *folder, bool at_once);
/* *url is NULL when nothing runs. */
drmad_status local_url(drmad_ctx *ctx, const char *folder, char **url);
#endif
