/* Records in a run folder. */
#include "compose/record.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

double record_number(const json_t *record, const char *key)
{
    return json_number_value(json_object_get(record, key));
}

double record_real(const json_t *record, const char *key)
{
    const json_t *x = json_object_get(record, key);

    return json_is_number(x) ? json_number_value(x) : NAN;
}

const char *record_shown(double x, int digits, char buf[24])
{
    if (isfinite(x)) snprintf(buf, 24, "%.*f", digits, x);
    else snprintf(buf, 24, "-");
    return buf;
}

bool record_done(const json_t *record)
{
    const char *status = json_string_value(json_object_get(record, "status"));

    return status && strcmp(status, "done") == 0;
}

drmad_status record_put(drmad_study *s, json_t *record, const char *key, json_t *value)
{
    if (!value || json_object_set_new(record, key, value) != 0)
        return FAIL(s->ctx, DRMAD_E_NOMEM, "out of memory for a record (%s)", key);
    return DRMAD_OK;
}

drmad_status record_new(drmad_study *s, const char *stage, const char *print, json_t **out)
{
    *out = json_pack("{s:s,s:s,s:s,s:f,s:f}", "stage", stage, "status", "running", "study_sha256",
                     print, "runs", 0.0, "seconds", 0.0);
    return *out ? DRMAD_OK : FAIL(s->ctx, DRMAD_E_NOMEM, "out of memory for a record");
}

drmad_status record_read(drmad_study *s, const char *name, const char *print, json_t **out)
{
    drmad_status st = DRMAD_OK;
    char *text = NULL;

    *out = NULL;
    TRY(folder_read_text(s->f, name, &text));
    if (!text) goto done;
    *out = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    const char *whose = json_string_value(json_object_get(*out, "study_sha256"));
    if (!whose) TRY(FAIL(s->ctx, DRMAD_E_STORAGE, "%s/%s: damaged", folder_path(s->f), name));
    if (strcmp(whose, print) != 0)
        TRY(FAIL(s->ctx, DRMAD_E_CONFIG,
                 "%s/%s: of another study, other data or another device; leave --resume out to "
                 "start anew",
                 folder_path(s->f), name));
done:
    mem_free(s->ctx, text);
    if (st != DRMAD_OK) {
        json_decref(*out);
        *out = NULL;
    }
    return st;
}

drmad_status record_save(drmad_study *s, const char *name, json_t *record, double runs,
                         double seconds)
{
    drmad_status st = DRMAD_OK;

    TRY(record_put(s, record, "runs", json_real(record_number(record, "runs") + runs)));
    TRY(record_put(s, record, "seconds", json_real(record_number(record, "seconds") + seconds)));
    TRY(folder_json(s->f, name, record));
done:
    return st;
}

double record_rest(double budget, double share, double spent)
{
    return budget > 0 ? fmax(budget * share - spent, 1e-9) : 0;
}
