/* Studies in an SQL database. */
#include "store/sql_store.h"
#include <string.h>

/* ---- making and finding ---- */

static drmad_status take_id(void *user, const db_row *r)
{
    *(int64_t *)user = db_int(r, 0);
    return DRMAD_OK;
}

/* *study is 0 where there is none. */
static drmad_status look_for(sql_store *q, const char *name, int64_t *study)
{
    drmad_status st = DRMAD_OK;

    *study = 0;
    TRY(sql_ready(q));
    db_batch *b = db_start(&q->d);
    db_add(b, Q_STUDY_FIND, "s", name);
    db_each(b, take_id, study);
    TRY(db_run(b, 0));
done:
    return st;
}

drmad_status sql_study_find(store *s, const char *name, int64_t *study)
{
    sql_store *q = (sql_store *)s;
    drmad_status st = DRMAD_OK;

    TRY(look_for(q, name, study));
    if (*study == 0)
        st = FAIL(s->ctx, DRMAD_E_USAGE,
                  "%s: no study \"%.128s\": drmad study create makes one, drmad study list shows "
                  "those there are",
                  s->url, name);
    else sql_forget(q); /* ids of deleted studies come again */
done:
    return st;
}

typedef struct directions {
    const study_direction *want;
    int32_t n, seen;
    bool same;
} directions;

static drmad_status compare_direction(void *user, const db_row *r)
{
    directions *d = user;

    if (d->seen >= d->n || sql_direction(db_text(r, 0)) != d->want[d->seen]) d->same = false;
    d->seen++;
    return DRMAD_OK;
}

static drmad_status check_directions(sql_store *q, int64_t study, const char *name,
                                     const study_direction *d, int32_t n)
{
    directions x = {.want = d, .n = n, .same = true};
    drmad_status st = DRMAD_OK;

    db_batch *b = db_start(&q->d);
    db_add(b, Q_STUDY_DIRECTIONS, "i", study);
    db_each(b, compare_direction, &x);
    TRY(db_run(b, 0));
    if (!x.same || x.seen != n)
        st = FAIL(q->base.ctx, DRMAD_E_USAGE,
                  "%s: study \"%.128s\" is there with other directions: take another name",
                  q->base.url, name);
done:
    return st;
}

drmad_status sql_study_create(store *s, const char *name, const study_direction *d, int32_t n,
                              int64_t *study, bool *made)
{
    sql_store *q = (sql_store *)s;
    drmad_status st = DRMAD_OK;

    *made = false;
    TRY(look_for(q, name, study));
    if (*study == 0) {
        db_batch *b = db_start(&q->d);
        db_add(b, Q_STUDY_NEW, "s", name);
        db_each(b, take_id, study);
        TRY(db_run(b, DB_BEGIN));
        *made = *study != 0;
        b = db_start(&q->d);
        for (int32_t i = 0; i < n && *made; i++)
            db_add(b, Q_DIRECTION_NEW, "eii", sql_direction_word(d[i]), *study, (int64_t)i);
        if (!*made) {
            db_add(b, Q_STUDY_FIND, "s", name);
            db_each(b, take_id, study);
        }
        TRY(db_run(b, DB_COMMIT));
    }
    sql_forget(q);
    if (!*made) TRY(check_directions(q, *study, name, d, n));
done:
    db_rollback(&q->d);
    if (st != DRMAD_OK) *made = false;
    return st;
}

drmad_status sql_study_set_attr(store *s, int64_t study, const store_attr *a)
{
    sql_store *q = (sql_store *)s;
    drmad_status st = DRMAD_OK;

    TRY(sql_ready(q));
    db_batch *b = db_start(&q->d);
    db_add(b, a->system ? Q_STUDY_SET_SYSTEM : Q_STUDY_SET_USER, "iss", study, a->key, a->json);
    TRY(db_run(b, DB_WRITE));
    if (db_rows(b, 0) == 0) st = sql_fail(q, DRMAD_E_USAGE, study, -1, "no such study (deleted?)");
done:
    return st;
}

drmad_status sql_study_delete(store *s, int64_t study)
{
    static const db_query order[] = {
        Q_DELETE_PARAMS,       Q_DELETE_VALUES,     Q_DELETE_REPORTS, Q_DELETE_USER,
        Q_DELETE_SYSTEM,       Q_DELETE_BEATS,      Q_DELETE_TRIALS,  Q_DELETE_STUDY_USER,
        Q_DELETE_STUDY_SYSTEM, Q_DELETE_DIRECTIONS, Q_DELETE_STUDY};
    sql_store *q = (sql_store *)s;
    drmad_status st = DRMAD_OK;

    sql_forget(q);
    TRY(sql_ready(q));
    db_batch *b = db_start(&q->d);
    const int32_t lock = db_add(b, Q_STUDY_LOCK, "i", study);
    for (size_t i = 0; i < COUNT(order); i++) db_add(b, order[i], "i", study);
    TRY(db_run(b, DB_WRITE));
    if (db_rows(b, lock) == 0 && s->attempt == 0)
        st = sql_fail(q, DRMAD_E_USAGE, study, -1, "no such study");
done:
    return st;
}

/* ---- listing ---- */

typedef struct listed {
    drmad_ctx *ctx;
    store_study *studies;
    int32_t n, cap;
    store_study *at; /* whose directions, attributes and counts are read */
} listed;

static drmad_status take_study(void *user, const db_row *r)
{
    listed *l = user;
    char *name = NULL;
    drmad_status st = DRMAD_OK;

    if (l->n == l->cap) {
        const int32_t want = l->cap ? 2 * l->cap : 16;
        TRY(mem_resize(l->ctx, &l->studies, (size_t)l->cap, (size_t)want, sizeof *l->studies));
        l->cap = want;
    }
    TRY(mem_strdup(l->ctx, db_text(r, 1) ? db_text(r, 1) : "", &name));
    l->studies[l->n++] = (store_study){.id = db_int(r, 0), .name = name};
done:
    return st;
}

static drmad_status take_direction(void *user, const db_row *r)
{
    listed *l = user;
    store_study *s = l->at;
    study_direction *d = (study_direction *)s->directions;
    const size_t n = (size_t)s->n_directions;
    drmad_status st = mem_resize(l->ctx, &d, n, n + 1, sizeof *d);

    if (st != DRMAD_OK) return st;
    d[n] = sql_direction(db_text(r, 0));
    s->directions = d, s->n_directions++;
    return DRMAD_OK;
}

static drmad_status take_attr(void *user, const db_row *r)
{
    listed *l = user;
    store_study *s = l->at;
    store_attr *a = (store_attr *)s->attrs;
    const size_t n = (size_t)s->n_attrs;
    char *key = NULL, *json = NULL;
    drmad_status st = DRMAD_OK;

    if (db_null(r, 0) || db_null(r, 1)) return DRMAD_OK;
    TRY(mem_resize(l->ctx, &a, n, n + 1, sizeof *a));
    s->attrs = a;
    TRY(mem_strdup(l->ctx, db_text(r, 0), &key));
    TRY(mem_strdup(l->ctx, db_text(r, 1), &json));
    a[n] = (store_attr){.key = key, .json = json, .system = db_int(r, 2) != 0};
    s->n_attrs++, key = NULL;
done:
    mem_free(l->ctx, key);
    return st;
}

static drmad_status take_count(void *user, const db_row *r)
{
    listed *l = user;
    trial_state state;

    if (db_text(r, 0) && trial_state_of(db_text(r, 0), &state)) l->at->count[state] = db_int(r, 1);
    return DRMAD_OK;
}

static void free_listed(listed *l)
{
    for (int32_t i = 0; i < l->n; i++) {
        store_study *s = &l->studies[i];
        for (int32_t a = 0; a < s->n_attrs; a++) {
            mem_free(l->ctx, (char *)s->attrs[a].key);
            mem_free(l->ctx, (char *)s->attrs[a].json);
        }
        mem_free(l->ctx, (store_attr *)s->attrs);
        mem_free(l->ctx, (study_direction *)s->directions);
        mem_free(l->ctx, (char *)s->name);
    }
    mem_free(l->ctx, l->studies);
}

static drmad_status read_study(sql_store *q, listed *l, store_study *s)
{
    db_batch *b = db_start(&q->d);

    l->at = s;
    db_add(b, Q_STUDY_DIRECTIONS, "i", s->id);
    db_each(b, take_direction, l);
    db_add(b, Q_STUDY_ATTRS, "i", s->id);
    db_each(b, take_attr, l);
    db_add(b, Q_STUDY_COUNTS, "i", s->id);
    db_each(b, take_count, l);
    return db_run(b, DB_READ);
}

drmad_status sql_study_each(store *s, const char *name, store_study_fn *fn, void *user)
{
    sql_store *q = (sql_store *)s;
    listed l = {.ctx = s->ctx};
    drmad_status st = DRMAD_OK;

    TRY(sql_ready(q));
    db_batch *b = db_start(&q->d);
    db_add(b, Q_STUDY_LIST, "s", name);
    db_each(b, take_study, &l);
    TRY(db_run(b, 0));
    for (int32_t i = 0; i < l.n; i++) TRY(read_study(q, &l, &l.studies[i]));
    for (int32_t i = 0; i < l.n; i++) TRY(fn(user, &l.studies[i]));
done:
    free_listed(&l);
    return st;
}
