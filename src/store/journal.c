/* `journal:FILE`, Optuna's append-only journal: studies, and reading. Reading takes no lock, it
 * reads on to where the file ends. */
#include "store/journal_inside.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const double GRACE_S = 30; /* Optuna's */

static drmad_status join(drmad_ctx *ctx, const char *a, const char *b, char **out)
{
    const size_t n = strlen(a) + strlen(b) + 1;
    const drmad_status st = mem_alloc(ctx, n, 1, out);

    if (st == DRMAD_OK) snprintf(*out, n, "%s%s", a, b);
    return st;
}

drmad_status journal_setup(journal *j)
{
    drmad_ctx *ctx = j->s.ctx;
    const uint64_t a = store_random(&j->s), b = store_random(&j->s);
    drmad_status st = DRMAD_OK;

    j->fd = -1;
    j->lock.grace_s = GRACE_S;
    snprintf(j->worker_id, sizeof j->worker_id, "%08x-%04x-%04x-%04x-%012llx-0",
             (unsigned)(a >> 32), (unsigned)(a >> 16 & 0xFFFF), (unsigned)(a & 0xFFFF),
             (unsigned)(b >> 48), (unsigned long long)(b & 0xFFFFFFFFFFFF));
    TRY(mem_strdup(ctx, j->s.place, &j->path));
    TRY(join(ctx, j->path, ".lock", &j->lock.path));
    journal_lock_who(&j->lock);
done:
    return st;
}

static drmad_status set_identity(journal *j)
{
    char *real = realpath(j->path, NULL);

    if (!real) return journal_errno(j, "cannot be opened", errno);
    snprintf(j->s.identity, sizeof j->s.identity, "journal-%016llx",
             (unsigned long long)journal_hash(real));
    free(real);
    return DRMAD_OK;
}

/* Optuna deletes studies and knows nothing of their artefacts. (No trial's number comes back.) */
static void sweep(const journal *j)
{
    for (int64_t i = 0; i < j->state.n_trials; i++) {
        const journal_trial *t = j->state.trials + i;
        if (t->n_artefacts && j->state.studies[t->study].deleted) journal_artefacts_delete(j, i);
    }
}

static drmad_status journal_open(store *s)
{
    journal *j = (journal *)s;
    drmad_status st = DRMAD_OK;

    TRY(journal_setup(j));
    if (s->create && !s->read_only) {
        const int fd = open(j->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
        if (fd < 0) TRY(journal_errno(j, "cannot be made", errno));
        close(fd);
    }
    if (access(j->path, F_OK) != 0 && errno == ENOENT)
        TRY(FAIL(s->ctx, DRMAD_E_USAGE, "%s: no such file", s->url));
    TRY(set_identity(j));
    TRY(journal_sync(j));
    if (!s->read_only) sweep(j);
done:
    return st;
}

static void journal_close(store *s)
{
    journal *j = (journal *)s;

    journal_state_free(s->ctx, &j->state);
    mem_free(s->ctx, j->path);
    mem_free(s->ctx, j->lock.path);
}

/* ---- studies ---- */

drmad_status journal_find(journal *j, int64_t id, journal_study **out)
{
    *out = journal_study_of(&j->state, id - 1);
    if (*out) return DRMAD_OK;
    return FAIL(j->s.ctx, DRMAD_E_USAGE, "%s: there is no study %lld", j->s.url, (long long)id);
}

static journal_study *study_named(journal *j, const char *name)
{
    for (int64_t i = 0; i < j->state.n_studies; i++) {
        journal_study *s = journal_study_of(&j->state, i);
        if (s && strcmp(s->name, name) == 0) return s;
    }
    return NULL;
}

static int64_t id_of(const journal *j, const journal_study *s)
{
    return s - j->state.studies + 1;
}

static drmad_status same_directions(const journal *j, const journal_study *s,
                                    const study_direction *d, int32_t n)
{
    bool same = s->n_directions == n;

    for (int32_t i = 0; same && i < n; i++) same = s->directions[i] == d[i];
    if (same) return DRMAD_OK;
    return FAIL(j->s.ctx, DRMAD_E_USAGE,
                "%s: study %s is there with other directions: take another name", j->s.url,
                s->name);
}

static drmad_status study_create(store *s, const char *name, const study_direction *d, int32_t n,
                                 int64_t *study, bool *made)
{
    journal *j = (journal *)s;
    text_out o = {.ctx = s->ctx};
    drmad_status st = DRMAD_OK;

    *made = false;
    TRY(journal_enter(j));
    const journal_study *found = study_named(j, name);
    if (found) {
        TRY(same_directions(j, found, d, n));
    } else {
        journal_line(j, &o, OP_CREATE_STUDY);
        journal_field_string(&o, "study_name", name);
        text_put(&o, ",\"directions\":");
        for (int32_t i = 0; i < n; i++) {
            text_put(&o, i ? "," : "[");
            json_put_int(&o, d[i]);
        }
        text_put(&o, "]");
        journal_line_end(&o);
        TRY(journal_append(j, &o));
        found = study_named(j, name);
        *made = true;
    }
    *study = id_of(j, found);
done:
    journal_leave(j);
    text_free(&o);
    return st;
}

static drmad_status study_find(store *s, const char *name, int64_t *study)
{
    journal *j = (journal *)s;
    drmad_status st = DRMAD_OK;

    TRY(journal_sync(j));
    const journal_study *found = study_named(j, name);
    if (found) *study = id_of(j, found);
    else st = FAIL(s->ctx, DRMAD_E_USAGE, "%s: there is no study %s", s->url, name);
done:
    return st;
}

static drmad_status study_each(store *s, const char *name, store_study_fn *fn, void *user)
{
    journal *j = (journal *)s;
    drmad_status st = DRMAD_OK;

    TRY(journal_sync(j));
    for (int64_t i = 0; i < j->state.n_studies; i++) {
        const journal_study *in = journal_study_of(&j->state, i);
        if (!in || (name && strcmp(in->name, name) != 0)) continue;
        store_study out = {.id = i + 1,
                           .name = in->name,
                           .n_directions = in->n_directions,
                           .n_attrs = in->n_attrs,
                           .directions = in->directions,
                           .attrs = in->attrs};
        memcpy(out.count, in->count, sizeof out.count);
        TRY(fn(user, &out));
    }
done:
    return st;
}

static drmad_status study_set_attr(store *s, int64_t study, const store_attr *a)
{
    journal *j = (journal *)s;
    text_out o = {.ctx = s->ctx};
    journal_study *in;
    drmad_status st = DRMAD_OK;

    TRY(journal_enter(j));
    TRY(journal_find(j, study, &in));
    journal_line(j, &o, a->system ? OP_STUDY_SYSTEM_ATTR : OP_STUDY_USER_ATTR);
    journal_field_int(&o, "study_id", study - 1);
    text_put(&o, a->system ? ",\"system_attr\":{" : ",\"user_attr\":{");
    json_put_string(&o, a->key);
    text_put(&o, ":");
    json_put_json(&o, a->json, a->key);
    text_put(&o, "}");
    journal_line_end(&o);
    st = journal_append(j, &o);
done:
    journal_leave(j);
    text_free(&o);
    return st;
}

static drmad_status study_delete(store *s, int64_t study)
{
    journal *j = (journal *)s;
    text_out o = {.ctx = s->ctx};
    journal_study *in;
    drmad_status st = DRMAD_OK;

    TRY(journal_enter(j));
    TRY(journal_find(j, study, &in));
    journal_line(j, &o, OP_DELETE_STUDY);
    journal_field_int(&o, "study_id", study - 1);
    journal_line_end(&o);
    TRY(journal_append(j, &o));
    in = j->state.studies + study - 1;
    for (int64_t i = 0; i < in->n_trials; i++) journal_artefacts_delete(j, in->trials[i]);
done:
    journal_leave(j);
    text_free(&o);
    return st;
}

/* ---- reading ---- */

store_trial journal_view(const journal_trial *t)
{
    return (store_trial){.id = t->id + 1,
                         .number = t->number,
                         .state = t->state,
                         .start = t->start[0] && t->state != TRIAL_WAITING ? t->start : NULL,
                         .complete = t->complete[0] ? t->complete : NULL,
                         .n_params = t->n_params,
                         .n_values = t->n_values,
                         .n_reports = t->n_reports,
                         .n_attrs = t->n_attrs,
                         .params = t->params,
                         .values = t->values,
                         .reports = t->reports,
                         .attrs = t->attrs,
                         .version = t->version,
                         .worker = t->running_token ? t->lease.worker : NULL};
}

static drmad_status trial_each(store *s, int64_t study, int64_t *after, unsigned states,
                               store_trial_fn *fn, void *user)
{
    journal *j = (journal *)s;
    journal_study *in;
    int64_t low = 0;
    drmad_status st = DRMAD_OK;

    TRY(journal_sync(j));
    TRY(journal_find(j, study, &in));
    for (int64_t high = in->n_trials; low < high;) { /* the first place with an id > *after */
        const int64_t middle = low + (high - low) / 2;
        if (in->trials[middle] + 1 > *after) high = middle;
        else low = middle + 1;
    }
    for (; low < in->n_trials; low++) {
        const journal_trial *t = j->state.trials + in->trials[low];
        if (!(states & STATE_BIT(t->state))) continue;
        const store_trial out = journal_view(t);
        TRY(fn(user, &out));
        *after = out.id;
    }
done:
    return st;
}

static drmad_status trial_read(store *s, int64_t study, int64_t trial, store_trial_fn *fn,
                               void *user)
{
    journal *j = (journal *)s;
    journal_study *in;
    drmad_status st = DRMAD_OK;

    TRY(journal_sync(j));
    TRY(journal_find(j, study, &in));
    if (trial < 1 || trial > j->state.n_trials || j->state.trials[trial - 1].study != study - 1) {
        st = FAIL(s->ctx, DRMAD_E_USAGE, "%s: study %s has no trial %lld", s->url, in->name,
                  (long long)trial);
        goto done;
    }
    const store_trial out = journal_view(j->state.trials + trial - 1);
    st = fn(user, &out);
done:
    return st;
}

static drmad_status trial_best(store *s, int64_t study, int64_t *trial)
{
    journal *j = (journal *)s;
    journal_study *in;
    double best = 0;
    drmad_status st = DRMAD_OK;

    *trial = -1;
    TRY(journal_sync(j));
    TRY(journal_find(j, study, &in));
    for (int64_t i = 0; i < in->n_trials; i++) {
        const journal_trial *t = j->state.trials + in->trials[i];
        if (t->state != TRIAL_COMPLETE || t->n_values == 0) continue;
        const double x = t->values[0];
        const bool better = in->directions[0] == DIRECTION_MAXIMIZE ? x > best : x < best;
        if (*trial >= 0 && !better) continue;
        best = x;
        *trial = t->id + 1;
    }
done:
    return st;
}

static drmad_status now(store *s, char text[STORE_TIME_SIZE])
{
    journal *j = (journal *)s;
    drmad_status st = journal_lock_take(j);

    if (st == DRMAD_OK) journal_time_text(j->now, text);
    journal_leave(j);
    return st;
}

const store_ops store_journal = {
    .scheme = "journal",
    .size = sizeof(journal),
    .open = journal_open,
    .close = journal_close,
    .study_create = study_create,
    .study_find = study_find,
    .study_each = study_each,
    .study_set_attr = study_set_attr,
    .study_delete = study_delete,
    .trial_add = journal_trial_add,
    .trial_claim = journal_trial_claim,
    .trial_begin = journal_trial_begin,
    .trial_expire = journal_trial_expire,
    .trial_params = journal_trial_params,
    .trial_reports = journal_trial_reports,
    .trial_attrs = journal_trial_attrs,
    .beat = journal_beat,
    .trial_tell = journal_trial_tell,
    .trial_release = journal_trial_release,
    .trial_each = trial_each,
    .trial_read = trial_read,
    .trial_best = trial_best,
    .now = now,
    .artefact_put = journal_artefact_put,
    .artefact_get = journal_artefact_get,
    .artefact_each = journal_artefact_each,
    .check = journal_check,
    .upgrade = journal_upgrade,
};
