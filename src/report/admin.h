/* The inside of drmad/store.h: the public handle. */
#ifndef ADMIN_H
#define ADMIN_H
#include "drmad/store.h"
#include "report/report.h"

struct drmad_store {
    drmad_ctx *ctx;
    store *store;
    char *json;  /* the last call's result */
    buffer text; /* for people */
};

/* Forgets the last call's result. */
void admin_forget(drmad_store *s);
/* Waits, in short naps, so that a request to stop is heard. */
void admin_nap(drmad_ctx *ctx, double seconds);
#endif
