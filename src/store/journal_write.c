/* Lines of ours: Optuna's operations in Optuna's words, so that all its versions replay them. Times
 * are UTC and say so, as Optuna 5.0 writes them. */
#include "store/journal_inside.h"
#include <string.h>

void journal_line(const journal *j, text_out *o, int code)
{
    text_put(o, "{\"op_code\":");
    json_put_int(o, code);
    journal_field_string(o, "worker_id", j->worker_id);
}

static void field(text_out *o, const char *key)
{
    text_put(o, ",\"");
    text_put(o, key);
    text_put(o, "\":");
}

void journal_field_int(text_out *o, const char *key, int64_t value)
{
    field(o, key);
    json_put_int(o, value);
}

void journal_field_string(text_out *o, const char *key, const char *text)
{
    field(o, key);
    json_put_string(o, text);
}

/* "2026-01-31 12:00:00.123456", UTC, as ISO 8601 writes it. */
static void put_iso(text_out *o, const char *text)
{
    char day[STORE_TIME_SIZE] = "";

    memcpy(day, text, strnlen(text, sizeof day - 1));
    if (strlen(day) > 10) day[10] = 'T';
    text_put(o, "\"");
    text_put(o, day);
    text_put(o, "+00:00\"");
}

void journal_field_time(text_out *o, const char *key, int64_t micros)
{
    char text[STORE_TIME_SIZE];

    journal_time_text(micros, text);
    field(o, key);
    put_iso(o, text);
}

void journal_line_end(text_out *o)
{
    text_put(o, "}\n");
}

static void put_member(text_out *o, const char *key, const char *json)
{
    json_put_string(o, key);
    text_put(o, ":");
    json_put_json(o, json, key);
}

void journal_put_attr(const journal *j, text_out *o, int64_t trial, const store_attr *a)
{
    journal_line(j, o, a->system ? OP_TRIAL_SYSTEM_ATTR : OP_TRIAL_USER_ATTR);
    journal_field_int(o, "trial_id", trial);
    field(o, a->system ? "system_attr" : "user_attr");
    text_put(o, "{");
    put_member(o, a->key, a->json);
    text_put(o, "}");
    journal_line_end(o);
}

/* "drmad:lease":{...} */
static void put_lease(const journal *j, text_out *o, int64_t token)
{
    text_put(o, "\"" ATTR_LEASE "\":{\"token\":");
    json_put_int(o, token);
    journal_field_string(o, "worker", j->s.worker);
    journal_field_time(o, "beat", j->now);
    field(o, "lease_s");
    json_put_real(o, j->s.lease_s);
    text_put(o, "}");
}

void journal_put_lease(const journal *j, text_out *o, int64_t trial, int64_t token)
{
    journal_line(j, o, OP_TRIAL_SYSTEM_ATTR);
    journal_field_int(o, "trial_id", trial);
    field(o, "system_attr");
    text_put(o, "{");
    put_lease(j, o, token);
    text_put(o, "}");
    journal_line_end(o);
}

static void put_version(text_out *o, const char *version)
{
    text_put(o, "\"" ATTR_VERSION "\":");
    json_put_string(o, version);
}

void journal_put_version(const journal *j, text_out *o, const journal_trial *t)
{
    if (!j->s.version || (t->version && strcmp(t->version, j->s.version) == 0)) return;
    journal_line(j, o, OP_TRIAL_SYSTEM_ATTR);
    journal_field_int(o, "trial_id", t->id);
    field(o, "system_attr");
    text_put(o, "{");
    put_version(o, j->s.version);
    text_put(o, "}");
    journal_line_end(o);
}

void journal_put_state(const journal *j, text_out *o, int64_t trial, trial_state state)
{
    journal_line(j, o, OP_TRIAL_STATE);
    journal_field_int(o, "trial_id", trial);
    journal_field_int(o, "state", state);
    if (state == TRIAL_RUNNING) journal_field_time(o, "datetime_start", j->now);
    else if (state != TRIAL_WAITING) journal_field_time(o, "datetime_complete", j->now);
}

/* ---- a whole trial ---- */

static void put_given_time(const journal *j, text_out *o, const char *key, const char *given)
{
    if (!given) {
        journal_field_time(o, key, j->now);
        return;
    }
    field(o, key);
    put_iso(o, given);
}

static void put_values(text_out *o, const store_trial *t)
{
    field(o, "value");
    if (t->n_values == 1) json_put_real(o, t->values[0]);
    else text_put(o, "null");
    field(o, "values");
    if (t->n_values < 2) {
        text_put(o, "null");
        return;
    }
    for (int32_t i = 0; i < t->n_values; i++) {
        text_put(o, i ? "," : "[");
        json_put_real(o, t->values[i]);
    }
    text_put(o, "]");
}

static void put_params(text_out *o, const store_trial *t)
{
    field(o, "distributions");
    for (int32_t i = 0; i < t->n_params; i++) {
        text_put(o, i ? "," : "{");
        json_put_string(o, t->params[i].name);
        text_put(o, ":");
        json_put_string(o, t->params[i].distribution);
    }
    text_put(o, t->n_params ? "}" : "{}");
    field(o, "params");
    for (int32_t i = 0; i < t->n_params; i++) {
        text_put(o, i ? "," : "{");
        json_put_string(o, t->params[i].name);
        text_put(o, ":");
        json_put_real(o, t->params[i].value);
    }
    text_put(o, t->n_params ? "}" : "{}");
}

static void put_attrs(const journal *j, text_out *o, const store_trial *t, bool is_system,
                      int64_t token)
{
    bool first = true;

    field(o, is_system ? "system_attrs" : "user_attrs");
    text_put(o, "{");
    for (int32_t i = 0; i < t->n_attrs; i++) {
        if (t->attrs[i].system != is_system) continue;
        if (!first) text_put(o, ",");
        put_member(o, t->attrs[i].key, t->attrs[i].json);
        first = false;
    }
    if (is_system && token) {
        if (!first) text_put(o, ",");
        put_lease(j, o, token);
        first = false;
    }
    const char *version = t->version ? t->version : j->s.version;
    if (is_system && version && t->state != TRIAL_WAITING) {
        if (!first) text_put(o, ",");
        put_version(o, version);
    }
    text_put(o, "}");
}

static void put_reports(text_out *o, const store_trial *t)
{
    field(o, "intermediate_values");
    text_put(o, "{");
    for (int32_t i = 0; i < t->n_reports; i++) {
        text_put(o, i ? ",\"" : "\"");
        json_put_int(o, t->reports[i].step);
        text_put(o, "\":");
        json_put_real(o, t->reports[i].value);
    }
    text_put(o, "}");
}

void journal_put_trial(const journal *j, text_out *o, int64_t study, const store_trial *t,
                       const char *request, int64_t token)
{
    journal_line(j, o, OP_CREATE_TRIAL);
    journal_field_int(o, "study_id", study);
    if (t->state == TRIAL_WAITING && !t->start) {
        field(o, "datetime_start");
        text_put(o, "null");
    } else {
        put_given_time(j, o, "datetime_start", t->start);
    }
    journal_field_int(o, "state", t->state);
    put_values(o, t);
    if (t->state != TRIAL_WAITING && t->state != TRIAL_RUNNING)
        put_given_time(j, o, "datetime_complete", t->complete);
    put_params(o, t);
    put_attrs(j, o, t, false, 0);
    put_attrs(j, o, t, true, token);
    put_reports(o, t);
    if (request) journal_field_string(o, FIELD_REQUEST, request);
    if (token) journal_field_int(o, FIELD_TOKEN, token);
    journal_line_end(o);
}
