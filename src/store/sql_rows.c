/* The rows of a trial, and whether its parameters fit the study. */
#include "space/search.h"
#include "store/sql_store.h"
#include <stdio.h>
#include <string.h>

/* Calls with the same values, whose key is either (trial, token) or (request, 0). */
#define ADD(b, to, q, types, ...)                                                                  \
    do {                                                                                           \
        if ((to)->held) db_add(b, q##_HELD, "ii" types, (to)->trial, (to)->token, __VA_ARGS__);    \
        else db_add(b, q##_MADE, "si" types, (to)->request, (int64_t)0, __VA_ARGS__);              \
    } while (0)

void sql_add_params(db_batch *b, const sql_target *to, const store_param *p, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        ADD(b, to, Q_PARAM, "sds", p[i].name, p[i].value, p[i].distribution);
}

void sql_add_values(db_batch *b, const sql_target *to, const double *v, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        ADD(b, to, Q_VALUE, "ide", (int64_t)i, v[i], sql_value_word(v[i]));
}

void sql_add_reports(db_batch *b, const sql_target *to, const store_report *r, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        ADD(b, to, Q_REPORT, "ide", r[i].step, r[i].value, sql_value_word(r[i].value));
}

void sql_add_attrs(db_batch *b, const sql_target *to, const store_attr *a, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        if (a[i].system) ADD(b, to, Q_SYSTEM, "ss", a[i].key, a[i].json);
        else ADD(b, to, Q_USER, "ss", a[i].key, a[i].json);
}

/* ---- parameters that fit ---- */

static const sql_known *find_known(const sql_store *q, const char *name)
{
    for (int32_t i = 0; i < q->n_known; i++)
        if (strcmp(q->known[i].name, name) == 0) return &q->known[i];
    return NULL;
}

/* The oldest makes room once there are SQL_PARAMS_KNOWN. */
static drmad_status remember(sql_store *q, const char *name, const char *distribution)
{
    drmad_ctx *ctx = q->base.ctx;
    sql_known k = {0};
    drmad_status st = DRMAD_OK;

    TRY(mem_strdup(ctx, name, &k.name));
    TRY(mem_strdup(ctx, distribution, &k.distribution));
    if (q->n_known < SQL_PARAMS_KNOWN) {
        q->known[q->n_known++] = k;
        return DRMAD_OK;
    }
    sql_known *old = &q->known[q->oldest_known];
    q->oldest_known = (q->oldest_known + 1) % SQL_PARAMS_KNOWN;
    mem_free(ctx, old->name);
    mem_free(ctx, old->distribution);
    *old = k;
    return DRMAD_OK;
done:
    mem_free(ctx, k.name);
    return st;
}

static bool same_choices(const search_param *a, const search_param *b)
{
    if (a->n_choices != b->n_choices) return false;
    for (int32_t i = 0; i < a->n_choices; i++)
        if (strcmp(a->choices[i], b->choices[i]) != 0) return false;
    return true;
}

/* What Optuna demands of a name within a study: one class, one log flag, the same choices. first:
 * NULL, none is stored yet. */
static drmad_status fits(sql_store *q, const char *first, const store_param *p)
{
    drmad_ctx *ctx = q->base.ctx;
    search_param *a = NULL, *b = NULL;
    drmad_status st = DRMAD_OK;

    if (first && strcmp(first, p->distribution) == 0) return DRMAD_OK;
    st = search_param_parse(ctx, p->name, p->distribution, &b);
    if (st == DRMAD_E_STORAGE) st = DRMAD_E_USAGE; /* the caller's, not the store's */
    TRY(st);
    if (!first) goto done;
    TRY(search_param_parse(ctx, p->name, first, &a));
    const char *what = a->type != b->type                                     ? "class"
                       : a->log != b->log                                     ? "log flag"
                       : a->type == SEARCH_CATEGORICAL && !same_choices(a, b) ? "choices"
                                                                              : NULL;
    if (what) {
        char why[700];
        snprintf(
            why, sizeof why,
            "parameter \"%.64s\" is %.256s, but the study has it with another %s: %.256s. Take "
            "another name or a new study",
            p->name, p->distribution, what, first);
        st = sql_fail(q, DRMAD_E_USAGE, q->study.id, -1, why);
    }
done:
    search_param_free(ctx, a);
    search_param_free(ctx, b);
    return st;
}

drmad_status sql_remember_params(sql_store *q, const store_param *p, int32_t n)
{
    drmad_status st = DRMAD_OK;

    for (int32_t i = 0; i < n && st == DRMAD_OK; i++)
        if (!find_known(q, p[i].name)) st = remember(q, p[i].name, p[i].distribution);
    return st;
}

typedef struct first_row {
    drmad_ctx *ctx;
    char *distribution;
} first_row;

static drmad_status take_first(void *user, const db_row *r)
{
    first_row *f = user;

    return db_null(r, 0) ? DRMAD_OK : mem_strdup(f->ctx, db_text(r, 0), &f->distribution);
}

/* Asks the store; the study's lock keeps others from storing the name first. */
static drmad_status ask_first(sql_store *q, const store_param *p, bool *begun)
{
    first_row f = {.ctx = q->base.ctx};
    drmad_status st = DRMAD_OK;

    db_batch *b = db_start(&q->d);
    if (!*begun) db_add(b, Q_STUDY_LOCK, "i", q->study.id);
    db_add(b, Q_PARAM_FIRST, "is", q->study.id, p->name);
    db_each(b, take_first, &f);
    TRY(db_run(b, *begun ? 0 : DB_BEGIN));
    *begun = true;
    TRY(fits(q, f.distribution, p));
done:
    mem_free(q->base.ctx, f.distribution);
    return st;
}

drmad_status sql_check_params(sql_store *q, int64_t study, const store_param *p, int32_t n,
                              bool *begun)
{
    drmad_status st = DRMAD_OK;

    TRY(sql_know(q, study));
    for (int32_t i = 0; i < n; i++) {
        const sql_known *k = find_known(q, p[i].name);
        if (k) TRY(fits(q, k->distribution, &p[i]));
        else TRY(ask_first(q, &p[i], begun));
    }
done:
    return st;
}
