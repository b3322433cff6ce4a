#include "base/settings.h"
#include "base/number.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static drmad_status refuse(drmad_ctx *ctx, const char *call, const char *key, const char *value,
                           const char *expected)
{
    return FAIL(ctx, DRMAD_E_USAGE, "%s: %s=%s: expected %s", call, key, value, expected);
}

static drmad_status read_flag(drmad_ctx *ctx, const char *call, const setting *s, const char *value)
{
    const bool on = strcmp(value, "true") == 0;

    if (!on && strcmp(value, "false") != 0)
        return refuse(ctx, call, s->key, value, "true or false");
    *(bool *)s->to = on;
    return DRMAD_OK;
}

static drmad_status read_int(drmad_ctx *ctx, const char *call, const setting *s, const char *value)
{
    char *end;

    errno = 0;
    const long long x = strtoll(value, &end, 10);
    if (errno || end == value || *end) return refuse(ctx, call, s->key, value, "a whole number");
    *(int64_t *)s->to = x;
    return DRMAD_OK;
}

static drmad_status read_one(drmad_ctx *ctx, const char *call, const setting *s, const char *value)
{
    switch (s->type) {
    case SETTING_TEXT: *(const char **)s->to = value; return DRMAD_OK;
    case SETTING_FLAG: return read_flag(ctx, call, s, value);
    case SETTING_INT: return read_int(ctx, call, s, value);
    case SETTING_REAL: break;
    }
    if (!number_read(value, s->to) || !isfinite(*(double *)s->to))
        return refuse(ctx, call, s->key, value, "a number");
    return DRMAD_OK;
}

drmad_status settings_read(drmad_ctx *ctx, const char *call, const char *const *texts, int n,
                           const setting *known, size_t n_known)
{
    for (int i = 0; i < n; i++) {
        const char *equals = strchr(texts[i], '=');
        const size_t length = equals ? (size_t)(equals - texts[i]) : strlen(texts[i]);
        size_t k = 0;

        while (k < n_known &&
               !(strlen(known[k].key) == length && memcmp(known[k].key, texts[i], length) == 0))
            k++;
        if (!equals || k == n_known)
            return FAIL(ctx, DRMAD_E_USAGE, "%s: \"%.*s\" is no setting, as in %s=...", call,
                        (int)length, texts[i], known[0].key);
        const drmad_status st = read_one(ctx, call, &known[k], equals + 1);
        if (st != DRMAD_OK) return st;
    }
    return DRMAD_OK;
}
