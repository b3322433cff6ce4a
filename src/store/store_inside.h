/* What the parts of store.c share. */
#ifndef STORE_INSIDE_H
#define STORE_INSIDE_H
#include "store/store_ops.h"

/* ---- arguments (store_args.c): DRMAD_E_USAGE, naming the value and what is expected ---- */

/* Not empty, UTF-8, at most STORE_NAME_MAX characters. what: "study name". */
drmad_status store_check_name(store *s, const char *what, const char *name);
drmad_status store_check_attrs(store *s, const store_attr *a, int32_t n);
drmad_status store_check_params(store *s, const store_param *p, int32_t n);
/* All of a new or an ended trial. */
drmad_status store_check_trial(store *s, const store_trial *t);

/* ---- places (store_place.c) ---- */

/* Which kind of store a URL names: sets ops, url (without password) and place. */
drmad_status store_set_place(store *s, const char *url);
/* options.spool, else the user's own; options.worker, else "host:pid:n". */
drmad_status store_set_names(store *s, const store_options *o);

/* ---- patience (store.c) ---- */

typedef struct patience {
    store *s;
    double end, wait;
    int attempt;
} patience;
patience patience_start(store *s);
/* Whether the attempt that ended with `st` is to be made again; sleeps before. */
bool patience_again(patience *p, drmad_status st);

/* ---- the spool (store_spool.c) ---- */

/* Writes the result to a file of its own; gives *path. */
drmad_status spool_keep(store *s, const store_lease *l, const store_trial *end, char **path);
void spool_drop(store *s, char *path); /* removes the file and frees its name; NULL is fine */
/* Stores what lies there for this store. */
drmad_status spool_flush(store *s, int32_t *stored);
#endif
