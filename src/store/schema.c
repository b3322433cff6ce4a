#include "store/schema.h"
#include <stdio.h>
#include <string.h>

const char *const schema_tables[] = {
    "alembic_version",
    "studies",
    "study_directions",
    "study_system_attributes",
    "study_user_attributes",
    "trial_heartbeats",
    "trial_intermediate_values",
    "trial_params",
    "trial_system_attributes",
    "trial_user_attributes",
    "trial_values",
    "trials",
    "version_info",
    "drmad_artefacts",
    "drmad_leases",
    "drmad_schema",
    "drmad_versions",
};

/* ---- looking ---- */

static drmad_status see_table(void *user, const db_row *r)
{
    bool *there = user;

    for (size_t i = 0; i < COUNT(schema_tables); i++)
        if (db_text(r, 0) && strcmp(db_text(r, 0), schema_tables[i]) == 0) there[i] = true;
    return DRMAD_OK;
}

static drmad_status see_revision(void *user, const db_row *r)
{
    schema_state *now = user;
    const char *revision = db_text(r, 0);

    snprintf(now->revision, sizeof now->revision, "%s", revision ? revision : "");
    return DRMAD_OK;
}

static drmad_status see_version(void *user, const db_row *r)
{
    schema_state *now = user;
    const char *identity = db_text(r, 1);

    now->version = db_int(r, 0);
    snprintf(now->store, sizeof now->store, "%s", identity ? identity : "");
    return DRMAD_OK;
}

drmad_status schema_read(db *d, schema_state *out)
{
    bool there[COUNT(schema_tables)] = {false};
    drmad_status st = DRMAD_OK;

    memset(out, 0, sizeof *out);
    db_batch *b = db_start(d);
    db_add(b, Q_TABLES, "");
    db_each(b, see_table, there);
    TRY(db_run(b, 0));
    for (size_t i = 0; i < COUNT(schema_tables); i++) {
        const bool theirs = i < SCHEMA_OPTUNA_TABLES;
        if (there[i]) theirs ? out->optuna++ : out->own++;
        else if (theirs && !out->missing) out->missing = schema_tables[i];
    }
    b = db_start(d);
    if (there[0]) {
        db_add(b, Q_REVISION, "");
        db_each(b, see_revision, out);
    }
    if (out->own == SCHEMA_OWN_TABLES) {
        db_add(b, Q_SCHEMA, "");
        db_each(b, see_version, out);
    }
    if (b->n_calls > 0) TRY(db_run(b, 0));
done:
    return st;
}

/* ---- judging ---- */

/* The store's URL as Optuna's tools take it. */
static const char *optuna_url(const store *s, char *buf, size_t size)
{
    if (strcmp(s->ops->scheme, "sqlite") != 0) return s->url;
    snprintf(buf, size, "sqlite:///%s", s->place);
    return buf;
}

static drmad_status refuse_revision(store *s, const schema_state *now)
{
    static const char *const older[] = {"v0.9.0.a", "v1.2.0.a", "v1.3.0.a", "v2.4.0.a", "v2.6.0.a",
                                        "v3.0.0.a", "v3.0.0.b", "v3.0.0.c", "v3.0.0.d"};
    char url[512];

    for (size_t i = 0; i < COUNT(older); i++)
        if (strcmp(now->revision, older[i]) == 0)
            return FAIL(s->ctx, DRMAD_E_STORAGE,
                        "%s: Optuna's tables are of revision %s, expected %s: optuna storage "
                        "upgrade --storage %s",
                        s->url, now->revision, SCHEMA_REVISION, optuna_url(s, url, sizeof url));
    return FAIL(s->ctx, DRMAD_E_STORAGE,
                "%s: Optuna's tables are of revision %s, which this drmad does not know (it knows "
                "%s): use a newer drmad",
                s->url, now->revision, SCHEMA_REVISION);
}

drmad_status schema_judge(store *s, const schema_state *now)
{
    if (now->optuna == 0)
        return FAIL(s->ctx, DRMAD_E_USAGE,
                    "%s: holds no studies: drmad study create makes the first", s->url);
    /* Optuna makes tables and revision in two transactions: look again before calling it damaged */
    const drmad_status half = s->attempt < 6 ? DRMAD_E_AGAIN : DRMAD_E_STORAGE;
    if (now->optuna < SCHEMA_OPTUNA_TABLES)
        return FAIL(s->ctx, half, "%s: half made: no table %s. Restore a backup, or start anew",
                    s->url, now->missing);
    if (!now->revision[0])
        return FAIL(s->ctx, half,
                    "%s: half made: no revision in alembic_version. Open it once with Optuna",
                    s->url);
    if (strcmp(now->revision, SCHEMA_REVISION) != 0) return refuse_revision(s, now);
    if (now->own == 0) return DRMAD_OK;
    if (now->own < SCHEMA_OWN_TABLES || now->version == 0)
        return FAIL(s->ctx, half,
                    "%s: half made: drmad's own tables are not complete. Restore a "
                    "backup",
                    s->url);
    if (now->version > SCHEMA_VERSION)
        return FAIL(s->ctx, DRMAD_E_STORAGE,
                    "%s: drmad's tables are of version %lld, newer than this drmad's %d: use a "
                    "newer drmad",
                    s->url, (long long)now->version, SCHEMA_VERSION);
    if (now->version < SCHEMA_VERSION)
        return FAIL(s->ctx, DRMAD_E_STORAGE,
                    "%s: drmad's tables are of version %lld, this drmad needs %d: drmad store "
                    "upgrade %s",
                    s->url, (long long)now->version, SCHEMA_VERSION, s->url);
    return DRMAD_OK;
}

/* ---- making ---- */

static drmad_status run_steps(db *d, int64_t after)
{
    drmad_status st = DRMAD_OK;

    for (const schema_step *x = schema_steps; x->driver && st == DRMAD_OK; x++)
        if (x->number > after && strcmp(x->driver, d->driver->name) == 0) st = db_script(d, x->sql);
    return st;
}

/* Of all who come at once one makes the tables; the others wait and find them made. */
static drmad_status make(store *s, db *d, bool upgrade)
{
    schema_state now;
    drmad_status st = DRMAD_OK;
    db_batch *b = db_start(d);

    db_add(b, Q_SCHEMA_LOCK, "");
    TRY(db_run(b, DB_BEGIN));
    TRY(schema_read(d, &now));
    const bool fresh = now.optuna == 0 && now.own == 0;
    if (!fresh && now.own == 0) TRY(schema_judge(s, &now));
    if (fresh || now.own == 0 || (upgrade && now.version < SCHEMA_VERSION)) {
        const int64_t done_steps = fresh ? 0 : now.own == 0 ? 1 : now.version;
        TRY(run_steps(d, done_steps));
        TRY(db_run(db_start(d), DB_COMMIT));
        base_log(s->ctx, LOG_INFO,
                 fresh ? "%s: made" : "%s: drmad's own tables added beside Optuna's (version %d)",
                 s->url, SCHEMA_VERSION);
    }
done:
    if (st != DRMAD_OK && (d->cls == DB_UNIQUE || strcmp(d->state, "42P07") == 0))
        st = DRMAD_E_AGAIN; /* Optuna was making its own, without a lock */
    db_rollback(d);
    return st;
}

drmad_status schema_open(store *s, db *d, schema_state *out)
{
    drmad_status st = DRMAD_OK;

    TRY(schema_read(d, out));
    const bool fresh = out->optuna == 0 && out->own == 0 && s->create;
    if (!s->read_only && (fresh || (out->optuna > 0 && out->own == 0))) {
        if (!fresh) TRY(schema_judge(s, out));
        TRY(make(s, d, false));
        TRY(schema_read(d, out));
    }
    TRY(schema_judge(s, out));
done:
    return st;
}

drmad_status schema_upgrade(store *s, db *d)
{
    schema_state now;
    drmad_status st = DRMAD_OK;

    TRY(schema_read(d, &now));
    st = schema_judge(s, &now);
    const bool behind = now.own == SCHEMA_OWN_TABLES && now.version < SCHEMA_VERSION;
    if (st != DRMAD_OK && !behind) goto done;
    TRY(make(s, d, true));
done:
    return st;
}
