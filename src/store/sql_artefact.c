/* Artefacts: bytes beside a trial, in a table of ours. */
#include "base/sha256.h"
#include "store/sql_store.h"
#include <stdio.h>
#include <string.h>

static const size_t BYTES_MAX = 512u
                                << 20; /* SQLite takes 1 GB a row, PostgreSQL's text form twice */

drmad_status sql_artefact_put(store *s, const store_lease *l, const char *name, const void *data,
                              size_t size)
{
    sql_store *q = (sql_store *)s;
    char hex[65], why[160];
    drmad_status st = DRMAD_OK;

    if (size > BYTES_MAX) {
        snprintf(why, sizeof why, "artefact \"%.64s\" has %zu bytes, at most %zu can be stored",
                 name, size, BYTES_MAX);
        return sql_fail(q, DRMAD_E_USAGE, l->study, l->number, why);
    }
    sha256_hex(data, size, hex);
    TRY(sql_ready(q));
    db_batch *b = db_start(&q->d);
    sql_add_renewal(q, b, l);
    db_add(b, Q_ARTEFACT_PUT, "iisisb", l->trial, l->token, name, (int64_t)size, hex, data, size);
    TRY(sql_run_held(q, b, DB_WRITE, l));
done:
    return st;
}

typedef struct bytes {
    drmad_ctx *ctx;
    void *data;
    size_t size;
} bytes;

static drmad_status take_bytes(void *user, const db_row *r)
{
    bytes *x = user;
    const void *from = db_blob(r, 0, &x->size);
    drmad_status st = mem_alloc(x->ctx, x->size + 1, 1, &x->data);

    if (st == DRMAD_OK && x->size) memcpy(x->data, from, x->size);
    return st;
}

static drmad_status check_own(sql_store *q)
{
    if (q->own) return DRMAD_OK;
    return FAIL(q->base.ctx, DRMAD_E_USAGE,
                "%s: has no artefacts: drmad's own tables are added when it is first opened for "
                "writing",
                q->base.url);
}

drmad_status sql_artefact_get(store *s, int64_t trial, const char *name, void **data, size_t *size)
{
    sql_store *q = (sql_store *)s;
    bytes x = {.ctx = s->ctx};
    drmad_status st = DRMAD_OK;

    TRY(sql_ready(q));
    TRY(check_own(q));
    db_batch *b = db_start(&q->d);
    db_add(b, Q_ARTEFACT_GET, "is", trial, name);
    db_each(b, take_bytes, &x);
    TRY(db_run(b, 0));
    if (!x.data)
        st = FAIL(s->ctx, DRMAD_E_USAGE, "%s: trial of id %lld has no artefact \"%.128s\"", s->url,
                  (long long)trial, name);
    *data = x.data, *size = x.size, x.data = NULL;
done:
    mem_free(s->ctx, x.data);
    return st;
}

/* The list is read whole before the first is given: an attempt may have to be made again. */
typedef struct entry {
    struct entry *next;
    int64_t size;
    char sha256[65], name[];
} entry;

typedef struct entries {
    drmad_ctx *ctx;
    entry *first, **end;
} entries;

static drmad_status take_entry(void *user, const db_row *r)
{
    entries *x = user;
    const char *name = db_text(r, 0), *hex = db_text(r, 2);
    const size_t n = strlen(name) + 1;
    entry *e = NULL;
    drmad_status st = mem_alloc(x->ctx, sizeof *e + n, 1, &e);

    if (st != DRMAD_OK) return st;
    e->size = db_int(r, 1);
    memcpy(e->name, name, n);
    snprintf(e->sha256, sizeof e->sha256, "%s", hex ? hex : "");
    *x->end = e, x->end = &e->next;
    return DRMAD_OK;
}

drmad_status sql_artefact_each(store *s, int64_t trial, store_artefact_fn *fn, void *user)
{
    sql_store *q = (sql_store *)s;
    entries x = {.ctx = s->ctx, .end = &x.first};
    drmad_status st = DRMAD_OK;

    TRY(sql_ready(q));
    if (!q->own) return DRMAD_OK;
    db_batch *b = db_start(&q->d);
    db_add(b, Q_ARTEFACT_LIST, "i", trial);
    db_each(b, take_entry, &x);
    TRY(db_run(b, 0));
    for (const entry *e = x.first; e; e = e->next) TRY(fn(user, e->name, e->size, e->sha256));
done:
    while (x.first) {
        entry *next = x.first->next;
        mem_free(s->ctx, x.first);
        x.first = next;
    }
    return st;
}
