/* What callers hand in is checked once, here, whatever kind of store it goes to. */
#include "store/store_inside.h"
#include <jansson.h>
#include <math.h>
#include <string.h>

/* The characters of a UTF-8 text, -1 when it is none: no overlong forms, no surrogates, nothing
 * beyond U+10FFFF (RFC 3629). */
static int64_t utf8_length(const char *text)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *p = (const unsigned char *)text;
    int64_t n = 0;

    for (; *p; n++) {
        const int size = *p < 0x80       ? 1
                         : *p >> 5 == 6  ? 2
                         : *p >> 4 == 14 ? 3
                         : *p >> 3 == 30 ? 4
                                         : 0;
        uint32_t c = size == 1 ? *p : size == 2 ? *p & 31u : size == 3 ? *p & 15u : *p & 7u;
        if (size == 0) return -1;
        for (int i = 1; i < size; i++) {
            if (p[i] >> 6 != 2) return -1;
            c = c << 6 | (p[i] & 63u);
        }
        if (c < least[size] || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000)) return -1;
        p += size;
    }
    return n;
}

drmad_status store_check_name(store *s, const char *what, const char *name)
{
    const int64_t n = name ? utf8_length(name) : 0;

    if (!name || n == 0)
        return FAIL(s->ctx, DRMAD_E_USAGE, "%s: empty, expected 1 to %d characters", what,
                    STORE_NAME_MAX);
    if (n < 0) return FAIL(s->ctx, DRMAD_E_USAGE, "%s: not UTF-8", what);
    if (n > STORE_NAME_MAX)
        return FAIL(s->ctx, DRMAD_E_USAGE,
                    "%s: %lld characters, at most %d can be stored: %.60s...", what, (long long)n,
                    STORE_NAME_MAX, name);
    return DRMAD_OK;
}

/* NaN and Infinity, which Python would take, are no JSON: browsers stumble over them. */
static drmad_status check_json(store *s, const char *what, const char *name, const char *json,
                               bool object)
{
    json_error_t why;
    json_t *tree = json ? json_loads(json, JSON_DECODE_ANY | JSON_ALLOW_NUL, &why) : NULL;

    if (!tree && json && json_error_code(&why) == json_error_out_of_memory)
        return FAIL(s->ctx, DRMAD_E_NOMEM, "out of memory: %s \"%s\"", what, name);
    if (!tree)
        return FAIL(s->ctx, DRMAD_E_USAGE, "%s \"%s\": not JSON%s%s", what, name, json ? ": " : "",
                    json ? why.text : "");
    const bool good = !object || json_is_object(tree);
    json_decref(tree);
    return good ? DRMAD_OK
                : FAIL(s->ctx, DRMAD_E_USAGE, "%s \"%s\": expected a JSON object", what, name);
}

drmad_status store_check_attrs(store *s, const store_attr *a, int32_t n)
{
    drmad_status st = DRMAD_OK;

    for (int32_t i = 0; i < n; i++) {
        TRY(store_check_name(s, "attribute's key", a[i].key));
        TRY(check_json(s, "attribute", a[i].key, a[i].json, false));
    }
done:
    return st;
}

drmad_status store_check_params(store *s, const store_param *p, int32_t n)
{
    drmad_status st = DRMAD_OK;

    for (int32_t i = 0; i < n; i++) {
        TRY(store_check_name(s, "parameter's name", p[i].name));
        if (!isfinite(p[i].value))
            return FAIL(s->ctx, DRMAD_E_USAGE, "parameter \"%s\": its value is not finite",
                        p[i].name);
        TRY(check_json(s, "distribution of parameter", p[i].name, p[i].distribution, true));
    }
done:
    return st;
}

static bool is_time(const char *t)
{
    static const char form[] = "0000-00-00 00:00:00.000000";

    if (strlen(t) != strlen(form)) return false;
    for (size_t i = 0; t[i]; i++)
        if (form[i] == '0' ? t[i] < '0' || t[i] > '9' : t[i] != form[i]) return false;
    return true;
}

drmad_status store_check_trial(store *s, const store_trial *t)
{
    const bool complete = t->state == TRIAL_COMPLETE;
    drmad_status st = DRMAD_OK;

    TRY(store_check_params(s, t->params, t->n_params));
    TRY(store_check_attrs(s, t->attrs, t->n_attrs));
    for (int32_t i = 0; i < t->n_values && complete; i++)
        if (isnan(t->values[i]))
            return FAIL(s->ctx, DRMAD_E_USAGE, "value %d is NaN, which no COMPLETE trial has",
                        (int)i);
    if ((t->start && !is_time(t->start)) || (t->complete && !is_time(t->complete)))
        return FAIL(s->ctx, DRMAD_E_USAGE, "time \"%s\": expected YYYY-MM-DD HH:MM:SS.ffffff",
                    t->start && !is_time(t->start) ? t->start : t->complete);
    if (t->version) TRY(store_check_name(s, "version", t->version));
    if (t->worker) TRY(store_check_name(s, "worker", t->worker));
done:
    return st;
}
