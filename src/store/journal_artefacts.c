/* A trial's artefacts: files FILE.artefacts/TRIAL/SHA256, said by a system attribute of the trial
 * {"size": ..., "sha256": ...}. A file is there before the line that names it, and is named by its
 * contents, so no name of a user's ever becomes a path. */
#include "base/file.h"
#include "base/sha256.h"
#include "store/journal_inside.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEX_SIZE = 2 * 32 + 1, PATH_SIZE = 4096 };
static const size_t ARTEFACT_MAX = (size_t)1 << 40;

typedef struct artefact {
    int64_t size;
    char sha256[HEX_SIZE];
} artefact;

/* FILE.artefacts/TRIAL, or with `name` a file in it. */
static drmad_status path_of(const journal *j, int64_t trial, const char *name, char path[PATH_SIZE])
{
    const int n = snprintf(path, PATH_SIZE, "%s.artefacts/%lld%s%s", j->path, (long long)trial,
                           name ? "/" : "", name ? name : "");

    if (n > 0 && n < PATH_SIZE) return DRMAD_OK;
    return FAIL(j->s.ctx, DRMAD_E_USAGE, "%s: too long a path", j->s.url);
}

static bool read_attr(const store_attr *a, artefact *out)
{
    json_span v, sum;

    if (!json_whole(a->json, strlen(a->json), &v)) return false;
    sum = json_member(v, "sha256");
    if (!json_is(sum, '"') || sum.end - sum.at != HEX_SIZE + 1) return false;
    memcpy(out->sha256, sum.at + 1, HEX_SIZE - 1);
    out->sha256[HEX_SIZE - 1] = 0;
    return strspn(out->sha256, "0123456789abcdef") == HEX_SIZE - 1 &&
           json_int(json_member(v, "size"), &out->size);
}

static const store_attr *find(const journal_trial *t, const char *name)
{
    for (int32_t i = 0; i < t->n_artefacts; i++)
        if (strcmp(t->artefacts[i].key + strlen(ATTR_ARTEFACT), name) == 0) return t->artefacts + i;
    return NULL;
}

static drmad_status put_line(const journal *j, text_out *o, const journal_trial *t,
                             const char *name, const artefact *a)
{
    text_out key = {.ctx = j->s.ctx}, json = key;
    drmad_status st;

    text_put(&key, ATTR_ARTEFACT);
    text_put(&key, name);
    text_put(&json, "{\"size\":");
    json_put_int(&json, a->size);
    text_put(&json, ",\"sha256\":\"");
    text_put(&json, a->sha256);
    text_put(&json, "\"}");
    st = key.st != DRMAD_OK ? key.st : json.st;
    if (st == DRMAD_OK) {
        const store_attr attr = {.key = key.text, .json = json.text, .system = true};
        journal_put_attr(j, o, t->id, &attr);
        st = o->st;
    }
    text_free(&key);
    text_free(&json);
    return st;
}

/* Whether some artefact of the trial still has these contents. */
static bool in_use(const journal_trial *t, const char *sum)
{
    artefact a;

    for (int32_t i = 0; i < t->n_artefacts; i++)
        if (read_attr(t->artefacts + i, &a) && strcmp(a.sha256, sum) == 0) return true;
    return false;
}

drmad_status journal_artefact_put(store *s, const store_lease *l, const char *name,
                                  const void *data, size_t size)
{
    journal *j = (journal *)s;
    text_out o = {.ctx = s->ctx};
    artefact a = {.size = (int64_t)size}, old;
    char path[PATH_SIZE];
    journal_trial *t;
    drmad_status st = DRMAD_OK;

    sha256_hex(data, size, a.sha256);
    TRY(path_of(j, l->trial - 1, NULL, path));
    TRY(file_make_folder(s->ctx, path));
    TRY(path_of(j, l->trial - 1, a.sha256, path));
    TRY(file_write_atomic(s->ctx, path, data, size)); /* before the lock: it may take long */
    TRY(journal_enter(j));
    TRY(journal_held(j, &o, l, &t));
    const store_attr *before = find(t, name);
    const bool replaces = before && read_attr(before, &old);
    TRY(put_line(j, &o, t, name, &a));
    TRY(journal_append(j, &o));
    if (replaces && !in_use(t, old.sha256) && path_of(j, t->id, old.sha256, path) == DRMAD_OK)
        unlink(path);
done:
    journal_leave(j);
    text_free(&o);
    return st;
}

static drmad_status trial_of(journal *j, int64_t trial, const journal_trial **out)
{
    *out = NULL;
    if (trial >= 1 && trial <= j->state.n_trials) *out = j->state.trials + trial - 1;
    if (*out && journal_study_of(&j->state, (*out)->study)) return DRMAD_OK;
    return FAIL(j->s.ctx, DRMAD_E_USAGE, "%s: there is no trial %lld", j->s.url, (long long)trial);
}

drmad_status journal_artefact_get(store *s, int64_t trial, const char *name, void **data,
                                  size_t *size)
{
    journal *j = (journal *)s;
    char path[PATH_SIZE], sum[HEX_SIZE], *bytes = NULL;
    const journal_trial *t;
    artefact a;
    drmad_status st = DRMAD_OK;

    *data = NULL;
    TRY(journal_sync(j));
    TRY(trial_of(j, trial, &t));
    const store_attr *found = find(t, name);
    if (!found || !read_attr(found, &a)) {
        st = FAIL(s->ctx, DRMAD_E_USAGE, "%s: trial %lld has no artefact %s", s->url,
                  (long long)t->number, name);
        goto done;
    }
    TRY(path_of(j, t->id, a.sha256, path));
    TRY(file_read_all(s->ctx, path, ARTEFACT_MAX, &bytes, size));
    sha256_hex(bytes, *size, sum);
    if (strcmp(sum, a.sha256) != 0) {
        st = FAIL(s->ctx, DRMAD_E_STORAGE,
                  "%s: artefact %s of trial %lld is damaged: %s is not what its name says", s->url,
                  name, (long long)t->number, path);
        goto done;
    }
    *data = bytes;
    bytes = NULL;
done:
    mem_free(s->ctx, bytes);
    return st;
}

drmad_status journal_artefact_each(store *s, int64_t trial, store_artefact_fn *fn, void *user)
{
    journal *j = (journal *)s;
    const journal_trial *t;
    artefact a;
    drmad_status st = DRMAD_OK;

    TRY(journal_sync(j));
    TRY(trial_of(j, trial, &t));
    for (int32_t i = 0; i < t->n_artefacts; i++)
        if (read_attr(t->artefacts + i, &a))
            TRY(fn(user, t->artefacts[i].key + strlen(ATTR_ARTEFACT), a.size, a.sha256));
done:
    return st;
}

void journal_artefacts_delete(const journal *j, int64_t trial)
{
    char folder[PATH_SIZE];

    if (path_of(j, trial, NULL, folder) != DRMAD_OK) return;
    DIR *d = opendir(folder);
    if (!d) return;
    for (struct dirent *e; (e = readdir(d));) unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
    rmdir(folder);
}
