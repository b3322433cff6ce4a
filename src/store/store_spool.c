/* Results that could not be stored yet, one file each:
 *
 *   SPOOL/IDENTITY-TRIAL-TOKEN.json    0600, whole or not there
 *
 * IDENTITY is the store's own, so that a copy of a URL elsewhere never takes what is not its. */
#include "base/file.h"
#include "base/number.h"
#include "store/json_text.h"
#include "store/store_inside.h"
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const size_t FILE_BYTES_MAX = 256u << 20;

/* ---- writing ---- */

static void put_key(text_out *o, const char *key)
{
    text_put(o, o->used > 1 ? ", " : "");
    json_put_string(o, key);
    text_put(o, ": ");
}

static void put_double(text_out *o, double x) /* as a text: infinities and NaN are kept */
{
    char buf[NUMBER_SIZE];

    json_put_string(o, number_print(x, buf));
}

static void put_result(text_out *o, const store *s, const store_lease *l, const store_trial *end)
{
    const struct {
        const char *key;
        int64_t value;
    } numbers[] = {
        {"study", l->study}, {"trial", l->trial}, {"number", l->number}, {"token", l->token}};

    text_put(o, "{");
    put_key(o, "url"), json_put_string(o, s->url);
    for (size_t i = 0; i < COUNT(numbers); i++)
        put_key(o, numbers[i].key), json_put_int(o, numbers[i].value);
    put_key(o, "state"), json_put_string(o, trial_state_word(end->state));
    put_key(o, "values"), text_put(o, "[");
    for (int32_t i = 0; i < end->n_values; i++)
        text_put(o, i ? ", " : ""), put_double(o, end->values[i]);
    text_put(o, "]"), put_key(o, "reports"), text_put(o, "[");
    for (int32_t i = 0; i < end->n_reports; i++) {
        text_put(o, i ? ", " : ""), json_put_int(o, end->reports[i].step);
        text_put(o, ", "), put_double(o, end->reports[i].value);
    }
    text_put(o, "]"), put_key(o, "attrs"), text_put(o, "[");
    for (int32_t i = 0; i < end->n_attrs; i++) {
        const store_attr *a = &end->attrs[i];
        text_put(o, i ? ", " : ""), json_put_string(o, a->key);
        text_put(o, ", "), json_put_string(o, a->json);
        text_put(o, a->system ? ", true" : ", false");
    }
    text_put(o, "]}\n");
}

static drmad_status path_of(store *s, const char *name, char **out)
{
    const size_t n = strlen(s->spool) + strlen(name) + 2;
    const drmad_status st = mem_alloc(s->ctx, n, 1, out);

    if (st == DRMAD_OK) snprintf(*out, n, "%s/%s", s->spool, name);
    return st;
}

drmad_status spool_keep(store *s, const store_lease *l, const store_trial *end, char **path)
{
    text_out o = {.ctx = s->ctx};
    file_out *f = NULL;
    char name[STORE_IDENTITY_SIZE + 64];
    drmad_status st = DRMAD_OK;

    *path = NULL;
    snprintf(name, sizeof name, "%s-%lld-%llx.json", s->identity, (long long)l->trial,
             (unsigned long long)l->token);
    TRY(file_make_folder(s->ctx, s->spool));
    TRY(path_of(s, name, path));
    put_result(&o, s, l, end);
    TRY(o.st);
    TRY(file_out_open(s->ctx, *path, FILE_PRIVATE, &f));
    TRY(file_out_write(f, o.text, o.used));
    TRY(file_out_commit(f));
done:
    if (st != DRMAD_OK) {
        mem_free(s->ctx, *path);
        *path = NULL;
    }
    file_out_close(f);
    text_free(&o);
    return st;
}

void spool_drop(store *s, char *path)
{
    if (path) unlink(path);
    mem_free(s->ctx, path);
}

/* ---- reading ---- */

/* A result read back: the lists own their texts. */
typedef struct result {
    drmad_ctx *ctx;
    store_lease lease;
    store_trial end;
    double *values;
    store_report *reports;
    store_attr *attrs;
} result;

static void free_result(result *r)
{
    for (int32_t i = 0; i < r->end.n_attrs; i++) {
        mem_free(r->ctx, (char *)r->attrs[i].key);
        mem_free(r->ctx, (char *)r->attrs[i].json);
    }
    mem_free(r->ctx, r->values);
    mem_free(r->ctx, r->reports);
    mem_free(r->ctx, r->attrs);
}

static int32_t length(json_span list)
{
    json_walk w = json_walk_of(list);
    int32_t n = 0;

    while (json_next(&w)) n++;
    return n;
}

static bool take_double(drmad_ctx *ctx, json_span v, double *x)
{
    char *text = NULL;
    const bool good = json_text(ctx, v, &text) == DRMAD_OK && number_read(text, x);

    mem_free(ctx, text);
    return good;
}

static drmad_status bad(result *r, const char *path)
{
    return FAIL(r->ctx, DRMAD_E_DATA, "%s: not a result that drmad kept", path);
}

static drmad_status take_values(result *r, json_span list, const char *path)
{
    json_walk w = json_walk_of(list);
    const int32_t n = length(list);
    drmad_status st = mem_alloc(r->ctx, (size_t)n, sizeof *r->values, &r->values);

    for (int32_t i = 0; i < n && st == DRMAD_OK; i++)
        if (!json_next(&w) || !take_double(r->ctx, w.value, &r->values[i])) st = bad(r, path);
    r->end.values = r->values, r->end.n_values = n;
    return st;
}

static drmad_status take_reports(result *r, json_span list, const char *path)
{
    json_walk w = json_walk_of(list);
    const int32_t n = length(list) / 2;
    drmad_status st = mem_alloc(r->ctx, (size_t)n, sizeof *r->reports, &r->reports);

    for (int32_t i = 0; i < n && st == DRMAD_OK; i++) {
        const bool step = json_next(&w) && json_int(w.value, &r->reports[i].step);
        if (!step || !json_next(&w) || !take_double(r->ctx, w.value, &r->reports[i].value))
            st = bad(r, path);
    }
    r->end.reports = r->reports, r->end.n_reports = n;
    return st;
}

static drmad_status take_attrs(result *r, json_span list)
{
    json_walk w = json_walk_of(list);
    const int32_t n = length(list) / 3;
    char *text;
    drmad_status st = DRMAD_OK;

    TRY(mem_alloc(r->ctx, (size_t)n, sizeof *r->attrs, &r->attrs));
    r->end.attrs = r->attrs, r->end.n_attrs = n;
    for (int32_t i = 0; i < n && json_next(&w); i++) {
        TRY(json_text(r->ctx, w.value, &text));
        r->attrs[i].key = text;
        if (!json_next(&w)) break;
        TRY(json_text(r->ctx, w.value, &text));
        r->attrs[i].json = text;
        if (json_next(&w)) r->attrs[i].system = json_truth(w.value);
    }
done:
    return st;
}

static drmad_status take_result(result *r, const char *path, const char *text, size_t size)
{
    json_span whole;
    char *state = NULL;
    drmad_status st = DRMAD_OK;

    if (!json_whole(text, size, &whole)) return bad(r, path);
    if (!json_int(json_member(whole, "study"), &r->lease.study) ||
        !json_int(json_member(whole, "trial"), &r->lease.trial) ||
        !json_int(json_member(whole, "number"), &r->lease.number) ||
        !json_int(json_member(whole, "token"), &r->lease.token) ||
        !json_is(json_member(whole, "state"), '"'))
        return bad(r, path);
    TRY(json_text(r->ctx, json_member(whole, "state"), &state));
    if (!trial_state_of(state, &r->end.state)) {
        st = bad(r, path);
        goto done;
    }
    TRY(take_values(r, json_member(whole, "values"), path));
    TRY(take_reports(r, json_member(whole, "reports"), path));
    TRY(take_attrs(r, json_member(whole, "attrs")));
done:
    mem_free(r->ctx, state);
    return st;
}

/* A file of ours alone: what others put there is not taken for a result. */
static bool is_ours(const char *path)
{
    struct stat info;

    return lstat(path, &info) == 0 && S_ISREG(info.st_mode) && info.st_uid == geteuid() &&
           !(info.st_mode & 022);
}

static drmad_status tell_again(store *s, const result *r)
{
    patience p = patience_start(s);
    drmad_status st;

    do st = s->ops->trial_tell(s, &r->lease, &r->end);
    while (patience_again(&p, st));
    return st;
}

/* Stores one file. What its trial does not take any more is dropped with a line in the log. */
static drmad_status flush_file(store *s, const char *path, int32_t *stored)
{
    result r = {.ctx = s->ctx};
    char *text = NULL;
    size_t size;
    drmad_status st = DRMAD_OK;

    if (!is_ours(path)) return DRMAD_OK;
    TRY(file_read_all(s->ctx, path, FILE_BYTES_MAX, &text, &size));
    TRY(take_result(&r, path, text, size));
    st = tell_again(s, &r);
    if (st == DRMAD_OK) ++*stored;
    if (st == DRMAD_E_LEASE) base_log(s->ctx, LOG_WARN, "%s: dropped: %s", path, s->ctx->errmsg);
    if (st == DRMAD_OK || st == DRMAD_E_LEASE) unlink(path);
done:
    if (st == DRMAD_E_DATA || st == DRMAD_E_IO || st == DRMAD_E_USAGE)
        base_log(s->ctx, LOG_WARN, "%s: left where it is: %s", path, s->ctx->errmsg);
    free_result(&r);
    mem_free(s->ctx, text);
    return st == DRMAD_E_AGAIN || st == DRMAD_E_NOMEM || st == DRMAD_E_STORAGE ? st : DRMAD_OK;
}

drmad_status spool_flush(store *s, int32_t *stored)
{
    const size_t n = strlen(s->identity);
    drmad_status st = DRMAD_OK;
    char *path = NULL;
    DIR *d = opendir(s->spool);

    if (!d) return DRMAD_OK; /* nothing was ever kept */
    for (struct dirent *e = readdir(d); e; e = readdir(d)) {
        if (strncmp(e->d_name, s->identity, n) != 0 || e->d_name[n] != '-') continue;
        TRY(path_of(s, e->d_name, &path));
        TRY(flush_file(s, path, stored));
        mem_free(s->ctx, path);
        path = NULL;
    }
done:
    mem_free(s->ctx, path);
    closedir(d);
    return st;
}
