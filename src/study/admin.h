/* The inside of drmad/store.h: the public handle and the reading of settings. */
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

/* A setting that a call knows: where its value goes. */
typedef enum setting_type { SETTING_TEXT, SETTING_FLAG, SETTING_REAL, SETTING_INT } setting_type;
typedef struct setting {
    const char *key;
    setting_type type;
    void *to; /* const char **, bool *, double *, int64_t * */
} setting;

/* Sets what the n texts "key=value" say; the last of equal keys wins. Texts are borrowed. */
drmad_status settings_read(drmad_ctx *ctx, const char *call, const char *const *texts, int n,
                           const setting *known, size_t n_known);
#endif
