/* Reading trials, a page at a time: one query for the trials, one a table for what they hold, all
 * of one snapshot. */
#include "store/sql_store.h"
#include <math.h>
#include <string.h>
#include <stdio.h>

enum { PAGE = 256, CHUNK_BYTES = 1 << 16 };

/* Texts of a page, in chunks that do not move. */
typedef struct chunk {
    struct chunk *next;
    size_t used, size;
    char bytes[];
} chunk;

typedef struct page {
    drmad_ctx *ctx;
    chunk *texts;
    store_trial *trials;
    store_param *params;
    double *values;
    store_report *reports;
    store_attr *attrs;
    int32_t n, n_params, n_values, n_reports, n_attrs; /* in use */
    int32_t cap, cap_params, cap_values, cap_reports, cap_attrs;
    int32_t at; /* the trial whose rows come: those of a table come in the order of trials */
} page;

static void free_page(page *p)
{
    while (p->texts) {
        chunk *next = p->texts->next;
        mem_free(p->ctx, p->texts);
        p->texts = next;
    }
    mem_free(p->ctx, p->trials);
    mem_free(p->ctx, p->params);
    mem_free(p->ctx, p->values);
    mem_free(p->ctx, p->reports);
    mem_free(p->ctx, p->attrs);
}

static drmad_status keep_text(page *p, const char *text, const char **out)
{
    const size_t n = text ? strlen(text) + 1 : 0;

    *out = NULL;
    if (!text) return DRMAD_OK;
    if (!p->texts || p->texts->size - p->texts->used < n) {
        const size_t size = n > CHUNK_BYTES ? n : CHUNK_BYTES;
        chunk *c = NULL;
        drmad_status st = mem_alloc(p->ctx, sizeof *c + size, 1, &c);
        if (st != DRMAD_OK) return st;
        *c = (chunk){.next = p->texts, .size = size};
        p->texts = c;
    }
    char *to = p->texts->bytes + p->texts->used;
    memcpy(to, text, n);
    p->texts->used += n;
    *out = to;
    return DRMAD_OK;
}

static drmad_status grow(page *p, void *array, int32_t n, int32_t *cap, size_t size)
{
    if (n < *cap) return DRMAD_OK;
    const int32_t want = *cap ? 2 * *cap : 64;
    drmad_status st = mem_resize(p->ctx, array, (size_t)*cap, (size_t)want, size);
    if (st == DRMAD_OK) *cap = want;
    return st;
}

/* Always six digits: PostgreSQL leaves zeros at the end out. */
static drmad_status keep_time(page *p, const char *text, const char **out)
{
    static const char zeros[] = ".000000";
    char full[STORE_TIME_SIZE];

    if (!text) return keep_text(p, NULL, out);
    const size_t n = strlen(text);
    if (n < 19 || n >= 26) return keep_text(p, text, out);
    snprintf(full, sizeof full, "%s%s", text, zeros + (n - 19));
    return keep_text(p, full, out);
}

static drmad_status take_trial(void *user, const db_row *r)
{
    page *p = user;
    drmad_status st = DRMAD_OK;

    TRY(grow(p, &p->trials, p->n, &p->cap, sizeof *p->trials));
    store_trial *t = &p->trials[p->n];
    *t = (store_trial){.id = db_int(r, 0), .number = db_int(r, 1)};
    trial_state_of(db_text(r, 2), &t->state);
    TRY(keep_time(p, db_text(r, 3), &t->start));
    TRY(keep_time(p, db_text(r, 4), &t->complete));
    TRY(keep_text(p, db_text(r, 5), &t->version));
    TRY(keep_text(p, db_text(r, 6), &t->worker));
    p->n++;
done:
    return st;
}

/* The trial that a row belongs to, NULL: none of this page. */
static store_trial *trial_of(page *p, const db_row *r)
{
    const int64_t id = db_int(r, 0);

    if (p->at == p->n || p->trials[p->at].id > id) p->at = 0; /* the next table's first row */
    while (p->at < p->n && p->trials[p->at].id < id) p->at++;
    return p->at < p->n && p->trials[p->at].id == id ? &p->trials[p->at] : NULL;
}

static drmad_status take_param(void *user, const db_row *r)
{
    page *p = user;
    store_trial *t = trial_of(p, r);
    drmad_status st = DRMAD_OK;

    if (!t || db_null(r, 1)) return DRMAD_OK;
    TRY(grow(p, &p->params, p->n_params, &p->cap_params, sizeof *p->params));
    store_param *x = &p->params[p->n_params];
    x->value = db_real(r, 2);
    TRY(keep_text(p, db_text(r, 1), &x->name));
    TRY(keep_text(p, db_null(r, 3) ? "" : db_text(r, 3), &x->distribution));
    p->n_params++, t->n_params++;
done:
    return st;
}

static drmad_status take_value(void *user, const db_row *r)
{
    page *p = user;
    store_trial *t = trial_of(p, r);
    drmad_status st = DRMAD_OK;

    if (!t) return DRMAD_OK;
    TRY(grow(p, &p->values, p->n_values, &p->cap_values, sizeof *p->values));
    p->values[p->n_values++] = sql_value_of(db_real(r, 1), db_text(r, 2));
    t->n_values++;
done:
    return st;
}

static drmad_status take_report(void *user, const db_row *r)
{
    page *p = user;
    store_trial *t = trial_of(p, r);
    drmad_status st = DRMAD_OK;

    if (!t) return DRMAD_OK;
    TRY(grow(p, &p->reports, p->n_reports, &p->cap_reports, sizeof *p->reports));
    p->reports[p->n_reports++] =
        (store_report){.step = db_int(r, 1), .value = sql_value_of(db_real(r, 2), db_text(r, 3))};
    t->n_reports++;
done:
    return st;
}

static drmad_status take_attr(void *user, const db_row *r)
{
    page *p = user;
    store_trial *t = trial_of(p, r);
    drmad_status st = DRMAD_OK;

    if (!t || db_null(r, 1) || db_null(r, 2)) return DRMAD_OK;
    TRY(grow(p, &p->attrs, p->n_attrs, &p->cap_attrs, sizeof *p->attrs));
    store_attr *a = &p->attrs[p->n_attrs];
    a->system = db_int(r, 3) != 0;
    TRY(keep_text(p, db_text(r, 1), &a->key));
    TRY(keep_text(p, db_text(r, 2), &a->json));
    p->n_attrs++, t->n_attrs++;
done:
    return st;
}

/* Arrays have stopped moving: gives each trial its part. */
static void hand_out(page *p)
{
    const store_param *params = p->params;
    const double *values = p->values;
    const store_report *reports = p->reports;
    const store_attr *attrs = p->attrs;

    for (int32_t i = 0; i < p->n; i++) {
        store_trial *t = &p->trials[i];
        t->params = params, t->values = values, t->reports = reports, t->attrs = attrs;
        if (t->n_params) params += t->n_params;
        if (t->n_values) values += t->n_values;
        if (t->n_reports) reports += t->n_reports;
        if (t->n_attrs) attrs += t->n_attrs;
    }
}

static drmad_status read_page(sql_store *q, int64_t study, int64_t after, unsigned states,
                              int32_t most, page *p)
{
    static const struct {
        db_query query;
        db_row_fn *fn;
    } tables[] = {
        {Q_PAGE_PARAMS, take_param},
        {Q_PAGE_VALUES, take_value},
        {Q_PAGE_REPORTS, take_report},
        {Q_PAGE_ATTRS, take_attr},
    };
    drmad_status st = DRMAD_OK;

    TRY(sql_ready(q));
    db_batch *b = db_start(&q->d);
    db_add(b, q->own ? Q_TRIALS : Q_TRIALS_PLAIN, "iiii", study, after, (int64_t)most,
           (int64_t)states);
    db_each(b, take_trial, p);
    TRY(db_run(b, DB_SNAPSHOT));
    b = db_start(&q->d);
    for (size_t i = 0; i < COUNT(tables) && p->n > 0; i++) {
        db_add(b, tables[i].query, "iiii", study, p->trials[0].id, p->trials[p->n - 1].id,
               (int64_t)states);
        db_each(b, tables[i].fn, p);
    }
    TRY(db_run(b, DB_COMMIT));
    hand_out(p);
done:
    db_rollback(&q->d);
    return st;
}

drmad_status sql_trial_each(store *s, int64_t study, int64_t *after, unsigned states,
                            store_trial_fn *fn, void *user)
{
    sql_store *q = (sql_store *)s;
    drmad_status st = DRMAD_OK;
    bool more = true;

    TRY(sql_know(q, study));
    while (more && st == DRMAD_OK) {
        page p = {.ctx = s->ctx};
        st = read_page(q, study, *after, states, PAGE, &p);
        for (int32_t i = 0; i < p.n && st == DRMAD_OK; i++) {
            st = fn(user, &p.trials[i]);
            *after = p.trials[i].id;
        }
        more = p.n == PAGE;
        free_page(&p);
    }
done:
    return st;
}

drmad_status sql_trial_read(store *s, int64_t study, int64_t trial, store_trial_fn *fn, void *user)
{
    sql_store *q = (sql_store *)s;
    page p = {.ctx = s->ctx};
    char why[64];
    drmad_status st = DRMAD_OK;

    TRY(sql_know(q, study));
    TRY(read_page(q, study, trial - 1, STATES_ALL, 1, &p));
    if (p.n == 1 && p.trials[0].id == trial) {
        st = fn(user, &p.trials[0]);
    } else {
        snprintf(why, sizeof why, "no trial of id %lld", (long long)trial);
        st = sql_fail(q, DRMAD_E_USAGE, study, -1, why);
    }
done:
    free_page(&p);
    return st;
}

static drmad_status take_id(void *user, const db_row *r)
{
    *(int64_t *)user = db_int(r, 0);
    return DRMAD_OK;
}

drmad_status sql_trial_best(store *s, int64_t study, int64_t *trial)
{
    sql_store *q = (sql_store *)s;
    drmad_status st = DRMAD_OK;

    *trial = -1;
    TRY(sql_know(q, study));
    TRY(sql_ready(q));
    db_batch *b = db_start(&q->d);
    db_add(b, q->study.first == DIRECTION_MAXIMIZE ? Q_BEST_HIGH : Q_BEST_LOW, "i", study);
    db_each(b, take_id, trial);
    TRY(db_run(b, 0));
done:
    return st;
}

static drmad_status take_now(void *user, const db_row *r)
{
    static const char zeros[] = ".000000";
    const char *text = db_text(r, 0);
    const size_t n = text ? strlen(text) : 0;

    snprintf(user, STORE_TIME_SIZE, "%s%s", text ? text : "",
             n >= 19 && n < 26 ? zeros + (n - 19) : "");
    return DRMAD_OK;
}

drmad_status sql_now(store *s, char now[STORE_TIME_SIZE])
{
    sql_store *q = (sql_store *)s;
    drmad_status st = DRMAD_OK;

    TRY(sql_ready(q));
    db_batch *b = db_start(&q->d);
    db_add(b, Q_NOW, "");
    db_each(b, take_now, now);
    TRY(db_run(b, 0));
done:
    return st;
}
