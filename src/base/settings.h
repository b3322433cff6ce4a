/* Settings of a call by name: texts "key=value". */
#ifndef SETTINGS_H
#define SETTINGS_H
#include "base/base.h"

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
