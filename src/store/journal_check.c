/* Health of a journal: every line replayed, the end of the file, the lock, the artefacts. Nothing
 * is changed. */
#include "store/journal_inside.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

typedef struct checking {
    journal *j;
    store_finding_fn *fn;
    void *user;
    bool damaged;
} checking;

static void find(checking *c, int level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void find(checking *c, int level, const char *fmt, ...)
{
    char text[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    c->damaged |= level == LOG_ERROR;
    c->fn(c->user, level, text);
}

static void check_end(checking *c)
{
    const journal *j = c->j;
    struct stat sb;

    if (stat(j->path, &sb) == 0 && sb.st_size > j->offset)
        find(c, LOG_WARN,
             "%s: the last line (%lld bytes) is not whole: a writer is at work, or died; the next "
             "writer of ours cuts it off",
             j->path, (long long)(sb.st_size - j->offset));
}

static void check_lock(checking *c)
{
    struct stat sb, journal_sb;

    if (lstat(c->j->lock.path, &sb) == 0 && stat(c->j->path, &journal_sb) == 0)
        find(c, LOG_INFO,
             "%s: the lock is held; one that stays for %.0f s without a sign of life is taken away "
             "by the next writer",
             c->j->lock.path, c->j->lock.grace_s);
}

/* Reads every artefact and compares it with its sum. */
static drmad_status check_artefacts(checking *c)
{
    journal *j = c->j;
    drmad_status st = DRMAD_OK;
    size_t size;
    void *data;

    for (int64_t i = 0; i < j->state.n_trials; i++) {
        if (!journal_study_of(&j->state, j->state.trials[i].study)) continue;
        for (int32_t k = 0; k < j->state.trials[i].n_artefacts; k++) {
            const char *key = j->state.trials[i].artefacts[k].key;
            st = journal_artefact_get(&j->s, i + 1, key + strlen(ATTR_ARTEFACT), &data, &size);
            if (st == DRMAD_E_NOMEM) return st;
            if (st != DRMAD_OK) find(c, LOG_ERROR, "%s", drmad_errmsg(j->s.ctx));
            mem_free(j->s.ctx, data);
        }
    }
    return DRMAD_OK;
}

drmad_status journal_check(store *s, store_finding_fn *fn, void *user)
{
    checking c = {.j = (journal *)s, .fn = fn, .user = user};
    drmad_status st = DRMAD_OK;

    TRY(journal_setup(c.j));
    st = journal_sync(c.j);
    if (st == DRMAD_E_STORAGE) {
        fn(user, LOG_ERROR, drmad_errmsg(s->ctx));
        goto done;
    }
    if (st != DRMAD_OK) goto done;
    check_end(&c);
    check_lock(&c);
    TRY(check_artefacts(&c));
    find(&c, LOG_INFO, "%s: %lld lines, %lld studies, %lld trials", c.j->path,
         (long long)c.j->state.lines, (long long)c.j->state.n_studies,
         (long long)c.j->state.n_trials);
    if (c.damaged) st = FAIL(s->ctx, DRMAD_E_STORAGE, "%s: damaged", s->url);
done:
    return st;
}

/* There is nothing of ours beside the lines, so nothing to bring up to date. */
drmad_status journal_upgrade(store *s)
{
    journal *j = (journal *)s;
    drmad_status st = DRMAD_OK;

    TRY(journal_setup(j));
    st = journal_sync(j);
done:
    return st;
}
