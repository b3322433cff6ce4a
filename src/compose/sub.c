/* Studies within a study. */
#include "compose/sub.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

drmad_status sub_set(drmad_study *s, const char *key, const char *fmt, ...)
{
    char value[1200];
    va_list ap;

    va_start(ap, fmt);
    const int n = vsnprintf(value, sizeof value, fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= sizeof value)
        return FAIL(s->ctx, DRMAD_E_CONFIG, "%s: the value is too long", key);
    return config_set(s->cfg, key, value);
}

static drmad_status set_param(drmad_study *s, const char *key, const json_t *value)
{
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));
    drmad_status st = DRMAD_OK;

    if (!text) TRY(FAIL(s->ctx, DRMAD_E_NOMEM, "out of memory for a parameter"));
    TRY(config_set(s->cfg, key, json_is_string(value) ? json_string_value(value) : text));
done:
    free(text);
    return st;
}

drmad_status sub_new(drmad_study *of, const json_t *params, const char *dir, drmad_study **out)
{
    drmad_status st = DRMAD_OK;
    drmad_study *s = NULL;
    const char *key;
    json_t *value;

    *out = NULL;
    TRY(study_from_text(of->ctx, of->base, &s));
    s->lender = of->s;
    json_object_foreach((json_t *)params, key, value) TRY(set_param(s, key, value));
    const char *within = of->f ? folder_path(of->f) : of->cfg->set.output.dir;
    TRY(sub_set(s, "output.dir", "%s/%s", within, dir));
    *out = s, s = NULL;
done:
    drmad_study_free(s);
    return st;
}

static void on_event(void *user, const char *stage, double done, double total, const char *json)
{
    const sub_voice *v = user;
    json_t *event = json_loads(json, 0, NULL);

    if (v->name[0]) json_object_set_new(event, "of", json_string(v->name));
    study_event(v->of, stage, done, total, event);
}

void sub_listen(drmad_study *s, sub_voice *v)
{
    drmad_study_set_events(s, on_event, v);
}
