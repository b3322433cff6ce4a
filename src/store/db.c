/* What both drivers share: batches, transactions around them, the words in which their SQL differs,
 * and what a failure means. */
#include "store/db.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const texts[] = {
#define Q(name, sql) sql,
#include "store/queries.def"
#undef Q
};

drmad_status db_connect(db *d, const db_options *o)
{
    if (d->connected) return DRMAD_OK;
    d->label = o->label;
    d->in_transaction = false;
    drmad_status st = d->driver->connect(d, o);
    if (st == DRMAD_OK) d->connected = true;
    else d->driver->close(d);
    return st;
}

void db_close(db *d)
{
    if (!d->driver) return;
    d->driver->close(d);
    d->connected = d->in_transaction = false;
    mem_free(d->ctx, d->batch.calls);
    mem_free(d->ctx, d->batch.values);
    memset(&d->batch, 0, sizeof d->batch);
}

db_batch *db_start(db *d)
{
    db_batch *b = &d->batch;

    b->d = d;
    b->n_calls = b->n_values = 0;
    b->st = DRMAD_OK;
    return b;
}

/* Room for one more element behind `n`. */
static drmad_status grow(drmad_ctx *ctx, void *array, int32_t n, int32_t *cap, size_t size)
{
    if (n < *cap) return DRMAD_OK;
    const int32_t want = *cap ? 2 * *cap : 16;
    drmad_status st = mem_resize(ctx, array, (size_t)*cap, (size_t)want, size);
    if (st == DRMAD_OK) *cap = want;
    return st;
}

static db_value take_value(char type, va_list *ap)
{
    db_value v = {.type = type};

    switch (type) {
    case 'i': v.i = va_arg(*ap, int64_t); break;
    case 'd': v.d = va_arg(*ap, double); break;
    case 'b':
        v.s = va_arg(*ap, const char *);
        v.size = va_arg(*ap, size_t);
        break;
    default: v.s = va_arg(*ap, const char *); break;
    }
    return v;
}

int32_t db_add(db_batch *b, db_query q, const char *types, ...)
{
    db_call c = {.query = q, .first = b->n_values};
    va_list ap;

    va_start(ap, types);
    for (const char *t = types; *t && b->st == DRMAD_OK; t++, c.n++) {
        b->st = grow(b->d->ctx, &b->values, b->n_values, &b->cap_values, sizeof *b->values);
        if (b->st == DRMAD_OK) b->values[b->n_values++] = take_value(*t, &ap);
    }
    va_end(ap);
    if (b->st == DRMAD_OK)
        b->st = grow(b->d->ctx, &b->calls, b->n_calls, &b->cap_calls, sizeof *b->calls);
    if (b->st != DRMAD_OK) return 0;
    b->calls[b->n_calls] = c;
    return b->n_calls++;
}

void db_each(db_batch *b, db_row_fn *fn, void *user)
{
    if (b->st != DRMAD_OK) return;
    b->calls[b->n_calls - 1].fn = fn;
    b->calls[b->n_calls - 1].user = user;
}

void db_need(db_batch *b)
{
    if (b->st == DRMAD_OK) b->calls[b->n_calls - 1].need = true;
}

/* Puts the transaction's beginning before the calls; those after keep their places by db_rows. */
static drmad_status surround(db_batch *b, int flags)
{
    if (flags & (DB_BEGIN | DB_SNAPSHOT)) {
        db_add(b, flags & DB_BEGIN ? Q_BEGIN_WRITE : Q_BEGIN_READ, "");
        if (b->st != DRMAD_OK) return b->st;
        const db_call begin = b->calls[b->n_calls - 1];
        memmove(b->calls + 1, b->calls, (size_t)(b->n_calls - 1) * sizeof *b->calls);
        b->calls[0] = begin;
    }
    if (flags & DB_COMMIT) db_add(b, Q_COMMIT, "");
    return b->st;
}

drmad_status db_run(db_batch *b, int flags)
{
    db *d = b->d;
    const bool begins = flags & (DB_BEGIN | DB_SNAPSHOT), ends = flags & DB_COMMIT;
    drmad_status st = b->st == DRMAD_OK ? surround(b, flags) : b->st;

    d->cls = DB_OK;
    d->state[0] = '\0';
    if (st == DRMAD_OK) {
        if (begins) d->in_transaction = true;
        st = d->driver->run(d, b);
    }
    if (begins && b->n_calls > 0)
        memmove(b->calls, b->calls + 1, /* places as db_add gave them */
                (size_t)(b->n_calls - 1) * sizeof *b->calls);
    if (st == DRMAD_OK && ends) d->in_transaction = false;
    if (st != DRMAD_OK) {
        const db_class cls = d->cls; /* of the failure, not of the rollback after it */
        char state[sizeof d->state];
        memcpy(state, d->state, sizeof state);
        db_rollback(d);
        d->cls = cls;
        memcpy(d->state, state, sizeof state);
    }
    return st;
}

int64_t db_rows(const db_batch *b, int32_t call)
{
    return b->calls[call].rows;
}

void db_rollback(db *d)
{
    if (!d->connected) d->in_transaction = false;
    if (!d->in_transaction) return;
    char message[sizeof d->ctx->errmsg];
    db_call call = {.query = Q_ROLLBACK};
    db_batch b = {.d = d, .calls = &call, .n_calls = 1};

    memcpy(message, d->ctx->errmsg, sizeof message);
    if (d->driver->run(d, &b) != DRMAD_OK && d->connected) {
        d->driver->close(d); /* a transaction that does not end ends with its connection */
        d->connected = false;
    }
    d->in_transaction = false;
    memcpy(d->ctx->errmsg, message, sizeof message);
}

drmad_status db_script(db *d, const char *sql)
{
    d->cls = DB_OK;
    return d->driver->script(d, sql);
}

const db_value *db_values(const db_batch *b, const db_call *c)
{
    return c->n > 0 ? b->values + c->first : NULL;
}

drmad_status db_take_time(db *d, double seconds)
{
    char sql[64];

    if (!d->driver->limits_time) return DRMAD_OK;
    d->wait_s = seconds;
    snprintf(sql, sizeof sql, "SET statement_timeout = %d", (int)(1000 * seconds));
    return db_script(d, sql);
}

drmad_status db_fail(db *d, db_class cls, const char *text)
{
    static const struct {
        drmad_status st;
        const char *what;
    } kinds[] = {
        [DB_OK] = {DRMAD_E_INTERNAL, "failed"},
        [DB_BUSY] = {DRMAD_E_AGAIN, "is locked by others"},
        [DB_LOST] = {DRMAD_E_AGAIN, "does not answer"},
        [DB_UNIQUE] = {DRMAD_E_STORAGE, "has that already"},
        [DB_CORRUPT] = {DRMAD_E_STORAGE, "is damaged (drmad store check says where)"},
        [DB_DENIED] = {DRMAD_E_STORAGE, "refuses us"},
        [DB_FULL] = {DRMAD_E_IO, "cannot write"},
        [DB_MEMORY] = {DRMAD_E_NOMEM, "out of memory"},
        [DB_ERROR] = {DRMAD_E_STORAGE, "failed"},
    };
    char line[512];
    size_t n = strcspn(text, "\n"); /* libpq's first line says it, the rest quotes SQL */

    d->cls = cls;
    snprintf(line, sizeof line, "%.*s", (int)(n < sizeof line ? n : sizeof line - 1), text);
    if (cls == DB_LOST && d->connected) {
        d->driver->close(d);
        d->connected = d->in_transaction = false;
    }
    return FAIL(d->ctx, kinds[cls].st, "%s: %s: %s", d->label, kinds[cls].what, line);
}

drmad_status db_sql(db *d, db_query q, char **out)
{
    const char *at = texts[q];
    size_t size = strlen(at) + 1, used = 0;

    for (const char *w = strchr(at, '@'); w; w = strchr(w + 1, '@')) size += 512;
    drmad_status st = mem_alloc(d->ctx, size, 1, out);
    if (st != DRMAD_OK) return st;
    while (*at) {
        const size_t plain = strcspn(at, "@");
        memcpy(*out + used, at, plain);
        used += plain, at += plain;
        if (!*at) break;
        const size_t n = strcspn(at + 1, "@");
        const char *word = d->driver->word(at + 1, n);
        if (!word) {
            st = FAIL(d->ctx, DRMAD_E_INTERNAL, "no word \"%.*s\" in SQL", (int)n, at + 1);
            mem_free(d->ctx, *out);
            *out = NULL;
            return st;
        }
        memcpy(*out + used, word, strlen(word));
        used += strlen(word), at += n + 2;
    }
    return DRMAD_OK;
}

int64_t db_int(const db_row *r, int column)
{
    return r->d->driver->integer(r, column);
}

double db_real(const db_row *r, int column)
{
    return r->d->driver->real(r, column);
}

bool db_null(const db_row *r, int column)
{
    return r->d->driver->null(r, column);
}

const char *db_text(const db_row *r, int column)
{
    return r->d->driver->text(r, column);
}

const void *db_blob(const db_row *r, int column, size_t *size)
{
    return r->d->driver->blob(r, column, size);
}
