/* hypero's tables, through the connection that our own stores have. */
#include "store/hypero.h"
#include "store/db.h"
#include <stdio.h>
#include <string.h>

enum { IDENTITY_SIZE = 200 };
#define LABEL "hypero database"
static const double wait_s = 10;

struct hypero {
    drmad_ctx *ctx;
    db db;
    char identity[IDENTITY_SIZE];
};

static drmad_status on_identity(void *user, const db_row *r)
{
    hypero *h = user;

    snprintf(h->identity, sizeof h->identity, "%s", db_text(r, 0));
    return DRMAD_OK;
}

static drmad_status on_one(void *user, const db_row *r)
{
    (void)user;
    (void)r;
    return DRMAD_OK;
}

static drmad_status find_schema(hypero *h, const char *schema)
{
    db_batch *b = db_start(&h->db);
    drmad_status st;

    db_add(b, Q_HYPERO_IDENTITY, "s", schema);
    db_each(b, on_identity, h);
    st = db_run(b, 0);
    if (st == DRMAD_OK && !h->identity[0])
        st = FAIL(h->ctx, DRMAD_E_USAGE,
                  LABEL ": no schema \"%s\"; name hypero's with schema (--schema)", schema);
    if (st != DRMAD_OK) return st;
    b = db_start(&h->db);
    db_add(b, Q_HYPERO_PATH, "s", schema);
    db_each(b, on_one, h);
    return db_run(b, 0);
}

/* "42..." is PostgreSQL's class for tables and columns that are not there. */
static drmad_status run(hypero *h, db_batch *b)
{
    const drmad_status st = db_run(b, 0);

    if (st == DRMAD_OK || strncmp(h->db.state, "42", 2) != 0) return st;
    return FAIL(h->ctx, DRMAD_E_STORAGE,
                LABEL ": the schema does not have hypero's tables battery, version, experiment, "
                      "param, meta and result");
}

drmad_status hypero_open(drmad_ctx *ctx, const char *url, const char *schema, hypero **out)
{
    const db_options o = {.place = url, .label = LABEL, .read_only = true};
    drmad_status st = DRMAD_OK;
    hypero *h = NULL;

    *out = NULL;
    if (strncmp(url, "postgres://", 11) != 0 && strncmp(url, "postgresql://", 13) != 0)
        return FAIL(ctx, DRMAD_E_USAGE, LABEL ": expected postgresql://HOST/DATABASE");
    TRY(mem_alloc(ctx, 1, sizeof *h, &h));
    h->ctx = ctx;
    h->db.ctx = ctx, h->db.driver = &db_postgres, h->db.wait_s = wait_s;
    TRY(db_connect(&h->db, &o));
    TRY(find_schema(h, schema));
    *out = h, h = NULL;
done:
    hypero_close(h);
    return st;
}

void hypero_close(hypero *h)
{
    if (!h) return;
    db_close(&h->db);
    mem_free(h->ctx, h);
}

const char *hypero_identity(const hypero *h)
{
    return h->identity;
}

/* ---- reading ---- */

typedef struct names {
    hypero_name_fn *fn;
    void *user;
} names;

static drmad_status on_name(void *user, const db_row *r)
{
    const names *n = user;

    return n->fn(n->user, db_text(r, 0));
}

drmad_status hypero_batteries(hypero *h, hypero_name_fn *fn, void *user)
{
    db_batch *b = db_start(&h->db);
    names n = {fn, user};

    db_add(b, Q_HYPERO_BATTERIES, "");
    db_each(b, on_name, &n);
    return run(h, b);
}

drmad_status hypero_versions(hypero *h, const char *battery, hypero_name_fn *fn, void *user)
{
    db_batch *b = db_start(&h->db);
    names n = {fn, user};

    db_add(b, Q_HYPERO_VERSIONS, "s", battery);
    db_each(b, on_name, &n);
    return run(h, b);
}

typedef struct experiments {
    hypero_fn *fn;
    void *user;
} experiments;

static drmad_status on_experiment(void *user, const db_row *r)
{
    const experiments *x = user;
    const hypero_experiment e = {
        .id = db_int(r, 0),
        .version = db_text(r, 1),
        .time = db_text(r, 2),
        .param = db_text(r, 3),
        .meta = db_text(r, 4),
        .result = db_text(r, 5),
    };

    return x->fn(x->user, &e);
}

drmad_status hypero_experiments(hypero *h, const char *battery, hypero_fn *fn, void *user)
{
    db_batch *b = db_start(&h->db);
    experiments x = {fn, user};

    db_add(b, Q_HYPERO_EXPERIMENTS, "s", battery);
    db_each(b, on_experiment, &x);
    return run(h, b);
}
