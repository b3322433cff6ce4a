/* Opening: the store, the study in it, the space, the points that the study wants tried first. */
#include "trials/session.h"
#include "base/sha256.h"
#include "drmad/store.h"
#include "trials/suggest.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what is kept with the study ---- */

/* Gives *out. */
static drmad_status read_text(drmad_ctx *ctx, const char *text, config **out)
{
    drmad_status st = DRMAD_OK;
    config *c = NULL;

    *out = NULL;
    TRY(config_new(ctx, &c));
    TRY(config_read(c, "kept study", text, strlen(text)));
    *out = c, c = NULL;
done:
    config_free(c);
    return st;
}

/* Whether trials of both belong together; *looks_by: the sampler of theirs. A text that this drmad
 * cannot read is another's. */
static drmad_status compare(drmad_ctx *ctx, const char *ours, const char *theirs, bool *same,
                            int *looks_by)
{
    drmad_status st = DRMAD_OK;
    char *a = NULL, *b = NULL;
    config *c = NULL, *d = NULL;

    *same = false, *looks_by = -1;
    TRY(read_text(ctx, ours, &c));
    TRY(study_print(c, STUDY_COMPARED, &a));
    st = read_text(ctx, theirs, &d);
    if (st == DRMAD_E_CONFIG) st = DRMAD_OK;
    TRY(st);
    if (!d) goto done;
    TRY(study_print(d, STUDY_COMPARED, &b));
    *same = strcmp(a, b) == 0;
    *looks_by = d->set.search.sampler;
done:
    config_free(c);
    config_free(d);
    mem_free(ctx, a);
    mem_free(ctx, b);
    return st;
}

/* What the store knows of the study. */
typedef struct kept {
    char *text; /* what it was made from; jansson's */
    int32_t objectives;
    study_direction direction; /* of the first */
} kept;

static drmad_status read_kept(void *user, const store_study *study)
{
    kept *k = user;

    k->objectives = study->n_directions;
    if (study->n_directions > 0) k->direction = study->directions[0];
    for (int32_t i = 0; i < study->n_attrs; i++) {
        const store_attr *a = &study->attrs[i];
        json_t *j;

        if (!a->system || strcmp(a->key, SESSION_STUDY_KEY) != 0) continue;
        j = json_loads(a->json, JSON_DECODE_ANY, NULL);
        if (json_is_string(j) && !k->text) k->text = strdup(json_string_value(j));
        json_decref(j);
    }
    return DRMAD_OK;
}

/* The study of this session, its sampler as it is here: so that all others mean the same by
 * `auto`. */
static drmad_status write_kept(drmad_study *s, const char *text)
{
    struct session *ss = s->session;
    drmad_status st = DRMAD_OK;
    char *whole = NULL, *json = NULL;
    config *c = NULL;

    TRY(read_text(s->ctx, text, &c));
    c->set.search.sampler = suggest_word(ss->options.kind);
    TRY(study_print(c, STUDY_KEPT, &whole));
    TRY(trial_json_text(s->ctx, whole, strlen(whole), &json));
    TRY(store_study_set_attr(ss->store, ss->study,
                             &(store_attr){SESSION_STUDY_KEY, json, .system = true}));
done:
    config_free(c);
    mem_free(s->ctx, whole);
    mem_free(s->ctx, json);
    return st;
}

/* The first that comes says what the study is; others are told when theirs differs. */
static drmad_status keep_study(drmad_study *s, const kept *k)
{
    drmad_status st = DRMAD_OK;
    struct session *ss = s->session;
    char *text = NULL;
    int looks_by = -1;
    bool same = true;

    if (s->given) TRY(mem_strdup(s->ctx, s->given, &text));
    else TRY(study_print(s->cfg, STUDY_KEPT, &text));
    if (k->text) TRY(compare(s->ctx, text, k->text, &same, &looks_by));
    TRY(suggest_setup(s, looks_by));
    if (!same)
        base_log(s->ctx, LOG_WARN,
                 "study %s in %s began with other settings than it has here: its trials may "
                 "not be comparable",
                 ss->name, store_url(ss->store));
    if (!k->text && !ss->reading) TRY(write_kept(s, text));
done:
    mem_free(s->ctx, text);
    return st;
}

/* ---- search.enqueue ---- */

/* One key a point, the same in every process: so each is queued once, whoever comes first. Equal
 * points are told apart by their count. */
static void point_key(const config *c, int64_t study, int32_t i, char key[STORE_REQUEST_SIZE])
{
    const char *point = c->set.search.enqueue.at[i];
    char head[64], hex[SHA256_HEX];
    sha256 h;
    int same = 0;

    for (int32_t k = 0; k < i; k++) same += strcmp(c->set.search.enqueue.at[k], point) == 0;
    snprintf(head, sizeof head, "enqueue %d %lld ", same, (long long)study);
    sha256_start(&h);
    sha256_add(&h, head, strlen(head));
    sha256_add(&h, point, strlen(point));
    sha256_end_hex(&h, hex);
    snprintf(key, STORE_REQUEST_SIZE, "%.32s", hex);
}

static drmad_status enqueue_point(drmad_study *s, int32_t i, double *x)
{
    drmad_status st = DRMAD_OK;
    struct session *ss = s->session;
    const char *point = s->cfg->set.search.enqueue.at[i];
    char key[STORE_REQUEST_SIZE], path[64], *json = NULL;
    int64_t id, number;

    st = search_parse(ss->space, point, x);
    if (st == DRMAD_E_CONFIG) {
        snprintf(path, sizeof path, "search.enqueue.%d", (int)i);
        return config_refuse(s->cfg, path, "%s", drmad_errmsg(s->ctx));
    }
    TRY(st);
    TRY(search_print(ss->space, x, &json));
    point_key(s->cfg, ss->study, i, key);
    const store_attr fixed = {PAST_FIXED_KEY, json, .system = true};
    const store_trial t = {.state = TRIAL_WAITING, .n_attrs = 1, .attrs = &fixed};
    TRY(store_trial_add(ss->store, ss->study, &t, key, &id, &number));
done:
    mem_free(s->ctx, json);
    return st;
}

static drmad_status enqueue_points(drmad_study *s)
{
    drmad_status st = DRMAD_OK;
    double *x = NULL;

    TRY(mem_alloc(s->ctx, (size_t)s->session->space->n + 1, sizeof *x, &x));
    for (int32_t i = 0; i < s->cfg->set.search.enqueue.n; i++) TRY(enqueue_point(s, i, x));
done:
    mem_free(s->ctx, x);
    return st;
}

/* ---- opening ---- */

/* Others on the machine can read arguments, and study files are shared. */
static drmad_status check_url(drmad_ctx *ctx, const char *url)
{
    if (!drmad_store_has_password(url)) return DRMAD_OK;
    return FAIL(ctx, DRMAD_E_UNSAFE,
                "store: a password in an argument or a study file can be read by others: put it "
                "into PGPASSFILE (mode 0600), or the whole URL into DRMAD_STORAGE");
}

/* URL#NAME, in a URL a # is %23. Gives *url; *name is behind # in `target`, NULL: there is none. */
static drmad_status split_place(drmad_ctx *ctx, const char *target, char **url, const char **name)
{
    drmad_status st = DRMAD_OK;
    const char *mark = strchr(target, '#');

    *name = mark && mark[1] ? mark + 1 : NULL;
    *url = NULL;
    TRY(check_url(ctx, target));
    TRY(mem_strdup(ctx, target, url));
    if (mark) (*url)[mark - target] = '\0';
done:
    return st;
}

/* A study of several objectives is one that others have made: then it is as they made it. */
static drmad_status find_or_make(drmad_study *s, kept *k)
{
    struct session *ss = s->session;
    const bool maximise = s->cfg->set.search.direction == CFG_DIRECTION_MAXIMIZE;
    const study_direction d = maximise ? DIRECTION_MAXIMIZE : DIRECTION_MINIMIZE;
    drmad_status st = DRMAD_OK;
    bool made;

    st = store_study_each(ss->store, ss->name, read_kept, k);
    if (st == DRMAD_E_USAGE && !ss->reading) st = DRMAD_OK; /* none of that name yet */
    TRY(st);
    if (ss->reading || k->objectives > 1) {
        TRY(store_study_find(ss->store, ss->name, &ss->study));
        ss->objectives = k->objectives;
        ss->maximise = k->direction == DIRECTION_MAXIMIZE;
    } else {
        TRY(store_study_create(ss->store, ss->name, &d, 1, &ss->study, &made));
        ss->objectives = 1;
        ss->maximise = maximise;
    }
done:
    return st;
}

static drmad_status open_study(drmad_study *s, double patience_s)
{
    drmad_status st = DRMAD_OK;
    const config_study *c = &s->cfg->set;
    struct session *ss = s->session;
    const store_options o = {
        .create = !ss->reading,
        .read_only = ss->reading,
        .patience_s = patience_s < 0 ? c->worker.patience : patience_s,
        .lease_s = c->worker.lease,
        .version = c->version[0] ? c->version : NULL,
    };
    const char *named;
    kept k = {0};

    TRY(split_place(s->ctx, c->store, &ss->url, &named));
    TRY(mem_strdup(s->ctx, named ? named : c->name, &ss->name));
    TRY(search_from_config(s->cfg, &ss->space));
    TRY(store_open(s->ctx, ss->url, &o, &ss->store));
    TRY(find_or_make(s, &k));
    TRY(keep_study(s, &k));
    if (!ss->reading) TRY(enqueue_points(s));
done:
    free(k.text);
    return st;
}

static drmad_status open_session(drmad_study *s, double patience_s, bool reading)
{
    drmad_status st = DRMAD_OK;

    TRY(mem_alloc(s->ctx, 1, sizeof *s->session, &s->session));
    s->session->ctx = s->ctx;
    s->session->reading = reading;
    s->session_close = session_close;
    TRY(open_study(s, patience_s));
done:
    if (st != DRMAD_OK) session_close(s);
    return st;
}

drmad_status session_open(drmad_study *s, double patience_s)
{
    return s->session ? DRMAD_OK : open_session(s, patience_s, false);
}

drmad_status session_open_reading(drmad_study *s)
{
    session_close(s);
    return open_session(s, -1, true);
}

void session_close(drmad_study *s)
{
    struct session *ss = s->session;

    if (!ss) return;
    sampler_free(ss->sampler);
    past_free(ss->past);
    for (int32_t i = 0; i < ss->n_shared; i++) search_free(ss->shared[i]);
    mem_free(s->ctx, ss->shared);
    search_free(ss->space);
    store_close(ss->store);
    mem_free(s->ctx, ss->name);
    mem_free(s->ctx, ss->url);
    mem_free(s->ctx, ss);
    s->session = NULL;
}

/* ---- a study that only the store has ---- */

typedef struct found {
    drmad_ctx *ctx;
    char *name; /* of the last */
    int n;
} found;

static drmad_status count_study(void *user, const store_study *study)
{
    found *f = user;

    f->n++;
    mem_free(f->ctx, f->name);
    f->name = NULL;
    return mem_strdup(f->ctx, study->name, &f->name);
}

/* The name behind #, or the only study there is; gives *name. */
static drmad_status which_study(store *o, const char *named, char **name)
{
    drmad_status st = DRMAD_OK;
    found f = {.ctx = store_ctx(o)};

    *name = NULL;
    if (named) return mem_strdup(f.ctx, named, name);
    TRY(store_study_each(o, NULL, count_study, &f));
    if (f.n != 1)
        TRY(FAIL(f.ctx, DRMAD_E_USAGE, "%s holds %d studies: say which, as %s#NAME", store_url(o),
                 f.n, store_url(o)));
    *name = f.name, f.name = NULL;
done:
    mem_free(f.ctx, f.name);
    return st;
}

/* Gives *text (of jansson's memory) and *name. */
static drmad_status fetch_study(drmad_ctx *ctx, const char *url, const char *named, char **name,
                                kept *k)
{
    drmad_status st = DRMAD_OK;
    const store_options o = {.read_only = true, .patience_s = 30};
    store *open = NULL;
    int64_t study;

    *name = NULL;
    TRY(store_open(ctx, url, &o, &open));
    TRY(which_study(open, named, name));
    TRY(store_study_find(open, *name, &study));
    TRY(store_study_each(open, *name, read_kept, k));
    if (!k->text)
        TRY(FAIL(ctx, DRMAD_E_USAGE,
                 "study %s in %s does not say what a trial runs, for no drmad has worked on it "
                 "yet: name a study file",
                 *name, store_url(open)));
done:
    store_close(open);
    return st;
}

/* Where its trials are, whatever its text says; nothing of the store decides where files go. */
static drmad_status put_place(config *c, const char *url, const char *name)
{
    const size_t size = strlen(url) + strlen(name) + 2;
    char *target = NULL;
    const drmad_status st = mem_alloc(c->ctx, size, 1, &target);

    if (st != DRMAD_OK) return st;
    snprintf(target, size, "%s#%s", url, name);
    mem_free(c->ctx, c->set.store);
    c->set.store = target;
    c->set.output.dir[0] = c->set.trajectory.spill_dir[0] = '\0';
    return DRMAD_OK;
}

drmad_status drmad_study_open(drmad_ctx *ctx, const char *target, int trust,
                              const char *const *overrides, int n, drmad_study **out)
{
    drmad_status st = DRMAD_OK;
    char *url = NULL, *name = NULL;
    const char *named;
    drmad_study *s = NULL;
    char where[256];
    kept k = {0};

    *out = NULL;
    TRY(split_place(ctx, target, &url, &named));
    TRY(fetch_study(ctx, url, named, &name, &k));
    TRY(study_new(ctx, &s));
    TRY(config_new(ctx, &s->cfg));
    TRY(config_read(s->cfg, target, k.text, strlen(k.text)));
    TRY(put_place(s->cfg, url, name));
    for (int i = 0; i < n; i++) TRY(config_override(s->cfg, overrides[i]));
    config_where(s->cfg, "objective.cmd", where, sizeof where);
    s->foreign = !trust && strcmp(where, "override") != 0;
    TRY(study_finish_load(s));
    *out = s, s = NULL;
done:
    free(k.text);
    mem_free(ctx, url);
    mem_free(ctx, name);
    drmad_study_free(s);
    return st;
}
