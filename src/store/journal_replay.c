/* A trial's lines. What is rejected, and that it is rejected silently, is Optuna's rule: whoever
 * appended the line finds out when it reads on. */
#include "store/journal_inside.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

static bool finished(trial_state s)
{
    return s != TRIAL_RUNNING && s != TRIAL_WAITING;
}

bool journal_finished(const journal_trial *t)
{
    return finished(t->state);
}

bool journal_leased(const journal_trial *t)
{
    return t->state == TRIAL_RUNNING && t->lease.token != 0 && t->lease.token == t->running_token;
}

/* ---- times ---- */

void journal_time_text(int64_t micros, char text[STORE_TIME_SIZE])
{
    const time_t s = (time_t)(micros / 1000000);
    struct tm tm;
    char whole[24];

    gmtime_r(&s, &tm);
    strftime(whole, sizeof whole, "%Y-%m-%d %H:%M:%S", &tm);
    snprintf(text, STORE_TIME_SIZE, "%s.%06d", whole, (int)(micros % 1000000));
}

/* "2026-01-31T12:00:00.123456+00:00" as microseconds. Without an offset it is the local time of the
 * writer, of Optuna before 5.0, taken as ours: as Optuna 5.0 reads it. */
static bool read_time(json_span v, int64_t *micros)
{
    struct tm tm = {.tm_isdst = -1};
    int fraction = 0, used = 0, h = 0, m = 0;
    char text[40], sign[2] = "";
    const size_t n = v.at ? (size_t)(v.end - v.at) - 2 : 0;

    if (!json_is(v, '"') || n >= sizeof text) return false;
    memcpy(text, v.at + 1, n);
    text[n] = 0;
    if (sscanf(text, "%4d-%2d-%2d%*1[T ]%2d:%2d:%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
               &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &used) != 6)
        return false;
    tm.tm_year -= 1900, tm.tm_mon -= 1;
    const char *p = text + used;
    if (*p == '.') {
        int scale = 100000;
        for (p++; *p >= '0' && *p <= '9'; p++, scale /= 10) fraction += scale * (*p - '0');
    }
    const bool offset = sscanf(p, "%1[+-]%2d:%2d", sign, &h, &m) == 3;
    int64_t s = offset || *p == 'Z' ? timegm(&tm) : mktime(&tm);
    if (offset) s -= (*sign == '-' ? -1 : 1) * (3600 * h + 60 * m);
    *micros = 1000000 * s + fraction;
    return true;
}

static drmad_status set_time(drmad_ctx *ctx, json_span v, char text[STORE_TIME_SIZE])
{
    int64_t micros;

    text[0] = 0;
    if (!v.at || json_is(v, 'n')) return DRMAD_OK;
    if (!read_time(v, &micros))
        return FAIL(ctx, DRMAD_E_STORAGE, "not a time: %.*s", (int)(v.end - v.at), v.at);
    journal_time_text(micros, text);
    return DRMAD_OK;
}

/* ---- parts of a trial ---- */

static drmad_status span_text(drmad_ctx *ctx, json_span v, char **out)
{
    const size_t n = (size_t)(v.end - v.at);
    const drmad_status st = mem_alloc(ctx, n + 1, 1, out);

    if (st == DRMAD_OK) memcpy(*out, v.at, n);
    return st;
}

static drmad_status set_values(drmad_ctx *ctx, journal_trial *t, json_span list, json_span one)
{
    drmad_status st = DRMAD_OK;
    double x;

    if (!json_is(list, '[') && !json_is(one, '0')) return st;
    t->n_values = 0;
    mem_free(ctx, t->values);
    t->values = NULL;
    if (json_is(list, '[')) {
        for (json_walk w = json_walk_of(list); json_next(&w);) {
            TRY(journal_grow(ctx, &t->values, t->n_values, sizeof *t->values));
            if (!json_double(w.value, &x))
                return FAIL(ctx, DRMAD_E_STORAGE, "a value is no number");
            t->values[t->n_values++] = x;
        }
    } else {
        TRY(journal_grow(ctx, &t->values, 0, sizeof *t->values));
        t->n_values = json_double(one, t->values);
    }
done:
    return st;
}

static drmad_status set_report(drmad_ctx *ctx, journal_trial *t, int64_t step, json_span v)
{
    drmad_status st = DRMAD_OK;
    double x;
    int32_t i = t->n_reports;

    if (!json_double(v, &x))
        return FAIL(ctx, DRMAD_E_STORAGE, "an intermediate value is no number");
    while (i > 0 && t->reports[i - 1].step >= step) i--;
    if (i == t->n_reports || t->reports[i].step != step) {
        TRY(journal_grow(ctx, &t->reports, t->n_reports, sizeof *t->reports));
        memmove(t->reports + i + 1, t->reports + i,
                (size_t)(t->n_reports - i) * sizeof *t->reports);
        t->n_reports++;
    }
    t->reports[i] = (store_report){.step = step, .value = x};
done:
    return st;
}

static drmad_status set_lease(drmad_ctx *ctx, journal_trial *t, json_span v)
{
    char *worker = NULL;
    drmad_status st = DRMAD_OK;

    if (!json_int(json_member(v, "token"), &t->lease.token) ||
        !json_double(json_member(v, "lease_s"), &t->lease.lease_s) ||
        !read_time(json_member(v, "beat"), &t->lease.beat) ||
        !json_is(json_member(v, "worker"), '"'))
        return FAIL(ctx, DRMAD_E_STORAGE, "not a lease: %.*s", (int)(v.end - v.at), v.at);
    TRY(json_text(ctx, json_member(v, "worker"), &worker));
    mem_free(ctx, t->lease.worker);
    t->lease.worker = worker;
done:
    return st;
}

static drmad_status set_attr(drmad_ctx *ctx, journal_state *state, journal_trial *t,
                             const json_walk *w, bool is_system)
{
    drmad_status st = DRMAD_OK;
    char *key = NULL, *json = NULL;

    TRY(json_text(ctx, w->key, &key));
    if (is_system && strcmp(key, ATTR_LEASE) == 0) {
        TRY(set_lease(ctx, t, w->value));
    } else if (is_system && strcmp(key, ATTR_VERSION) == 0 && json_is(w->value, '"')) {
        TRY(json_text(ctx, w->value, &json));
        mem_free(ctx, t->version);
        t->version = json;
        json = NULL;
    } else {
        TRY(span_text(ctx, w->value, &json));
        const store_attr a = {.key = key, .json = json, .system = is_system};
        if (is_system && strncmp(key, ATTR_ARTEFACT, strlen(ATTR_ARTEFACT)) == 0)
            TRY(journal_attr_set(ctx, state, &t->artefacts, &t->n_artefacts, &a));
        else TRY(journal_attr_set(ctx, state, &t->attrs, &t->n_attrs, &a));
    }
done:
    mem_free(ctx, key);
    mem_free(ctx, json);
    return st;
}

/* ---- parameters ---- */

/* The kind and log flag of a distribution in long or short form. */
static bool dist_read(const char *text, json_span *kind, json_span *attributes)
{
    json_span v;

    if (!json_whole(text, strlen(text), &v)) return false;
    *kind = json_member(v, "name");
    *attributes = kind->at ? json_member(v, "attributes") : v;
    if (!kind->at) *kind = json_member(v, "type");
    return json_is(*kind, '"') && json_is(*attributes, '{');
}

static char dist_kind(json_span kind)
{
    static const struct {
        const char *name;
        char kind;
    } names[] = {
        {"\"FloatDistribution\"", 'f'},
        {"\"float\"", 'f'},
        {"\"IntDistribution\"", 'i'},
        {"\"int\"", 'i'},
        {"\"CategoricalDistribution\"", 'c'},
        {"\"categorical\"", 'c'},
        {"\"UniformDistribution\"", 'u'},
        {"\"LogUniformDistribution\"", 'l'},
        {"\"DiscreteUniformDistribution\"", 'd'},
        {"\"IntUniformDistribution\"", 'U'},
        {"\"IntLogUniformDistribution\"", 'L'},
    };
    const size_t n = (size_t)(kind.end - kind.at);

    for (size_t i = 0; i < COUNT(names); i++)
        if (strlen(names[i].name) == n && memcmp(names[i].name, kind.at, n) == 0)
            return names[i].kind;
    return 0;
}

/* Whether one parameter may have both: same class, same logarithm, same choices. */
static bool compatible(const char *a, const char *b)
{
    json_span kind_a, kind_b, in_a, in_b;

    if (a == b) return true;
    if (!dist_read(a, &kind_a, &in_a) || !dist_read(b, &kind_b, &in_b)) return false;
    if (dist_kind(kind_a) != dist_kind(kind_b)) return false;
    if (dist_kind(kind_a) == 'c')
        return json_same(json_member(in_a, "choices"), json_member(in_b, "choices"));
    return json_truth(json_member(in_a, "log")) == json_truth(json_member(in_b, "log"));
}

static journal_dist *find_dist(const journal_study *s, const char *name)
{
    for (int32_t i = 0; i < s->n_dists; i++)
        if (s->dists[i].name == name) return s->dists + i;
    return NULL;
}

drmad_status journal_param_fits(journal *j, const journal_study *s, const store_param *p)
{
    json_span kind, inside;
    const char *name;
    drmad_status st = DRMAD_OK;

    if (!dist_read(p->distribution, &kind, &inside) || !dist_kind(kind))
        return FAIL(j->s.ctx, DRMAD_E_USAGE,
                    "%s: study %s: parameter %s: not a distribution: %.200s", j->s.url, s->name,
                    p->name, p->distribution);
    TRY(journal_intern(j->s.ctx, &j->state, p->name, &name));
    const journal_dist *d = find_dist(s, name);
    if (d && !compatible(d->distribution, p->distribution))
        st = FAIL(j->s.ctx, DRMAD_E_USAGE,
                  "%s: study %s: parameter %s has another type, logarithm or choices there: take "
                  "another name or another study",
                  j->s.url, s->name, p->name);
done:
    return st;
}

/* Keeps the study's table of first trials with a parameter. */
static drmad_status note_dist(drmad_ctx *ctx, journal_study *s, int64_t trial, const store_param *p)
{
    drmad_status st = DRMAD_OK;
    journal_dist *d = find_dist(s, p->name);

    if (!d) {
        TRY(journal_grow(ctx, &s->dists, s->n_dists, sizeof *s->dists));
        d = s->dists + s->n_dists++;
    } else if (d->trial < trial) {
        goto done;
    }
    *d = (journal_dist){.name = p->name, .distribution = p->distribution, .trial = trial};
done:
    return st;
}

static drmad_status set_param(drmad_ctx *ctx, journal_study *s, journal_trial *t,
                              const store_param *p)
{
    drmad_status st = DRMAD_OK;
    int32_t i = 0;

    while (i < t->n_params && t->params[i].name != p->name) i++;
    if (i == t->n_params) {
        TRY(journal_grow(ctx, &t->params, i, sizeof *t->params));
        t->n_params++;
    }
    t->params[i] = *p;
    st = note_dist(ctx, s, t->id, p);
done:
    return st;
}

/* Name, value and distribution (a text of JSON) as a parameter whose texts are the state's. */
static drmad_status read_param(drmad_ctx *ctx, journal_state *state, json_span name,
                               json_span value, json_span dist, store_param *out)
{
    char *name_text = NULL, *dist_text = NULL;
    json_span kind, inside;
    drmad_status st = DRMAD_OK;

    if (!json_is(name, '"') || !json_is(dist, '"') || !json_double(value, &out->value))
        return FAIL(ctx, DRMAD_E_STORAGE, "a parameter without name, value and distribution");
    TRY(json_text(ctx, name, &name_text));
    TRY(json_text(ctx, dist, &dist_text));
    if (!dist_read(dist_text, &kind, &inside) || !dist_kind(kind)) {
        st = FAIL(ctx, DRMAD_E_STORAGE, "parameter %.60s: not a distribution: %.200s", name_text,
                  dist_text);
        goto done;
    }
    TRY(journal_intern(ctx, state, name_text, &out->name));
    TRY(journal_intern(ctx, state, dist_text, &out->distribution));
done:
    mem_free(ctx, name_text);
    mem_free(ctx, dist_text);
    return st;
}

/* The member of that very spelling; both objects come from one writer. */
static json_span same_member(json_span object, json_span key)
{
    for (json_walk w = json_walk_of(object); json_next(&w);)
        if (json_same(w.key, key)) return w.value;
    return (json_span){NULL, NULL};
}

/* ---- lines ---- */

/* What CREATE_TRIAL has beyond an empty trial. */
static drmad_status create_contents(drmad_ctx *ctx, journal_state *state, journal_trial *t,
                                    const journal_op *op)
{
    drmad_status st = DRMAD_OK;
    const json_span dists = json_member(op->line, "distributions");
    int64_t step;
    store_param p;

    TRY(set_time(ctx, json_member(op->line, "datetime_start"), t->start));
    TRY(set_time(ctx, json_member(op->line, "datetime_complete"), t->complete));
    TRY(set_values(ctx, t, json_member(op->line, "values"), json_member(op->line, "value")));
    for (json_walk w = json_walk_of(json_member(op->line, "params")); json_next(&w);) {
        TRY(read_param(ctx, state, w.key, w.value, same_member(dists, w.key), &p));
        TRY(set_param(ctx, state->studies + t->study, t, &p));
    }
    for (json_walk w = json_walk_of(json_member(op->line, "user_attrs")); json_next(&w);)
        TRY(set_attr(ctx, state, t, &w, false));
    for (json_walk w = json_walk_of(json_member(op->line, "system_attrs")); json_next(&w);)
        TRY(set_attr(ctx, state, t, &w, true));
    json_walk w = json_walk_of(json_member(op->line, "intermediate_values"));
    while (json_next(&w)) {
        if (!json_int((json_span){w.key.at + 1, w.key.end - 1}, &step))
            return FAIL(ctx, DRMAD_E_STORAGE, "a step is no whole number");
        TRY(set_report(ctx, t, step, w.value));
    }
done:
    return st;
}

/* Remembers which trial a request made; its token stands in the trial. */
static drmad_status note_request(drmad_ctx *ctx, journal_state *state, const journal_op *op,
                                 int64_t trial)
{
    const json_span v = json_member(op->line, FIELD_REQUEST);
    struct journal_slot *slot;
    char *request = NULL;
    drmad_status st = DRMAD_OK;

    if (!json_is(v, '"')) return st;
    TRY(json_text(ctx, v, &request));
    TRY(journal_map_at(ctx, &state->requests, request, &slot));
    slot->value = trial;
    json_int(json_member(op->line, FIELD_TOKEN), &slot->token);
done:
    mem_free(ctx, request);
    return st;
}

static void count_state(journal_study *s, journal_trial *t, trial_state state)
{
    s->count[t->state]--;
    t->state = state;
    s->count[state]++;
    if (state == TRIAL_WAITING && t->number < s->first_waiting) s->first_waiting = t->number;
    if (state == TRIAL_RUNNING && t->number < s->first_running) s->first_running = t->number;
}

static bool read_state(json_span v, trial_state *out)
{
    int64_t x;

    if (!json_int(v, &x) || x < 0 || x >= TRIAL_STATE_COUNT) return false;
    *out = (trial_state)x;
    return true;
}

static drmad_status create_trial(drmad_ctx *ctx, journal_state *state, const journal_op *op)
{
    drmad_status st = DRMAD_OK;
    const json_span v = json_member(op->line, "state");
    journal_trial fresh = {.state = TRIAL_RUNNING};
    int64_t study;

    if (!json_int(json_member(op->line, "study_id"), &study) ||
        (v.at && !read_state(v, &fresh.state)))
        return FAIL(ctx, DRMAD_E_STORAGE, "a trial without \"study_id\" or with a bad \"state\"");
    journal_study *s = journal_study_of(state, study);
    if (!s) return st; /* rejected */
    TRY(journal_grow(ctx, &state->trials, state->n_trials, sizeof *state->trials));
    TRY(journal_grow(ctx, &s->trials, s->n_trials, sizeof *s->trials));
    fresh.id = state->n_trials;
    fresh.study = study;
    fresh.number = s->n_trials;
    json_int(json_member(op->line, FIELD_TOKEN), &fresh.running_token);
    journal_trial *t = state->trials + state->n_trials++;
    *t = fresh;
    s->trials[s->n_trials++] = t->id;
    s->count[t->state]++;
    TRY(create_contents(ctx, state, t, op));
    st = note_request(ctx, state, op, t->id);
done:
    return st;
}

static drmad_status trial_param(drmad_ctx *ctx, journal_state *state, journal_trial *t,
                                const journal_op *op)
{
    drmad_status st = DRMAD_OK;
    journal_study *s = state->studies + t->study;
    store_param p;

    TRY(read_param(ctx, state, json_member(op->line, "param_name"),
                   json_member(op->line, "param_value_internal"),
                   json_member(op->line, "distribution"), &p));
    const journal_dist *d = find_dist(s, p.name);
    if (d && !compatible(d->distribution, p.distribution)) goto done; /* rejected */
    st = set_param(ctx, s, t, &p);
done:
    return st;
}

static drmad_status set_state(drmad_ctx *ctx, journal_state *state, journal_trial *t,
                              const journal_op *op)
{
    drmad_status st = DRMAD_OK;
    trial_state to;

    if (!read_state(json_member(op->line, "state"), &to))
        return FAIL(ctx, DRMAD_E_STORAGE, "no \"state\" from 0 to %d", TRIAL_STATE_COUNT - 1);
    if (to == TRIAL_RUNNING && t->state == TRIAL_RUNNING) return st; /* rejected: taken already */
    if (to == TRIAL_RUNNING) {
        TRY(set_time(ctx, json_member(op->line, "datetime_start"), t->start));
        t->running_token = 0;
        json_int(json_member(op->line, FIELD_TOKEN), &t->running_token);
        TRY(note_request(ctx, state, op, t->id));
    }
    if (finished(to)) {
        TRY(set_time(ctx, json_member(op->line, "datetime_complete"), t->complete));
        json_int(json_member(op->line, FIELD_TOKEN), &t->end_token);
    }
    TRY(set_values(ctx, t, json_member(op->line, "values"), (json_span){NULL, NULL}));
    count_state(state->studies + t->study, t, to);
done:
    return st;
}

drmad_status journal_apply_trial(drmad_ctx *ctx, journal_state *state, const journal_op *op)
{
    int64_t id, step;

    if (op->code == OP_CREATE_TRIAL) return create_trial(ctx, state, op);
    if (!json_int(json_member(op->line, "trial_id"), &id))
        return FAIL(ctx, DRMAD_E_STORAGE, "no \"trial_id\"");
    if (id < 0 || id >= state->n_trials || finished(state->trials[id].state))
        return DRMAD_OK; /* rejected: there is none, or it is finished */

    journal_trial *t = state->trials + id;
    if (op->code == OP_TRIAL_PARAM) return trial_param(ctx, state, t, op);
    if (op->code == OP_TRIAL_STATE) return set_state(ctx, state, t, op);
    if (op->code == OP_TRIAL_REPORT) {
        if (!json_int(json_member(op->line, "step"), &step))
            return FAIL(ctx, DRMAD_E_STORAGE, "no \"step\"");
        return set_report(ctx, t, step, json_member(op->line, "intermediate_value"));
    }
    const bool is_system = op->code == OP_TRIAL_SYSTEM_ATTR;
    json_walk w = json_walk_of(json_member(op->line, is_system ? "system_attr" : "user_attr"));
    if (!json_next(&w) || !w.key.at)
        return FAIL(ctx, DRMAD_E_STORAGE, "an attribute without key and value");
    return set_attr(ctx, state, t, &w, is_system);
}

void journal_trial_free(drmad_ctx *ctx, journal_trial *t)
{
    for (int32_t i = 0; i < t->n_attrs; i++) mem_free(ctx, (char *)(uintptr_t)t->attrs[i].json);
    for (int32_t i = 0; i < t->n_artefacts; i++)
        mem_free(ctx, (char *)(uintptr_t)t->artefacts[i].json);
    mem_free(ctx, t->attrs);
    mem_free(ctx, t->artefacts);
    mem_free(ctx, t->params);
    mem_free(ctx, t->values);
    mem_free(ctx, t->reports);
    mem_free(ctx, t->version);
    mem_free(ctx, t->lease.worker);
}
