/* Views in hypero's shape, made by one script in one transaction. */
#include "store/hypero.h"
#include "store/sql_store.h"
#include <string.h>

static const char *script_text(void)
{
    const schema_step *x = schema_steps;

    while (x->number != 0 || !x->driver) x++;
    return x->sql;
}

/* What PostgreSQL says when a table, or a view of other columns, has one of the names. */
static bool in_the_way(const db *d)
{
    return strcmp(d->state, "42809") == 0 || strcmp(d->state, "42P16") == 0;
}

drmad_status store_hypero_views(store *s, const char *schema)
{
    sql_store *q = (sql_store *)s;
    drmad_status st = DRMAD_OK;

    if (s->ops != &store_postgres)
        return FAIL(s->ctx, DRMAD_E_USAGE, "%s: views in hypero's shape need a store on PostgreSQL",
                    s->url);
    TRY(sql_ready(q));
    db_batch *b = db_start(&q->d);
    db_add(b, Q_HYPERO_VIEWS, "s", schema);
    TRY(db_run(b, DB_BEGIN));
    st = db_script(&q->d, script_text());
    if (st != DRMAD_OK && in_the_way(&q->d))
        st = FAIL(s->ctx, DRMAD_E_USAGE,
                  "%s: schema \"%s\" has tables of these names: name another one (--schema)",
                  s->url, schema);
    if (st == DRMAD_OK) st = db_run(db_start(&q->d), DB_COMMIT);
done:
    db_rollback(&q->d);
    return st;
}
