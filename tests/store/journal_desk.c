/* A journal in the scratch folder, for its tests. */
#include "journal_desk.h"
#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

static const study_direction minimize = DIRECTION_MINIMIZE;

desk desk_at(const char *folder)
{
    desk d = {.ctx = test_ctx(), .study = -1};

    snprintf(d.path, sizeof d.path, "%s/runs.log", folder);
    snprintf(d.url, sizeof d.url, "journal:%s", d.path);
    return d;
}

store *desk_store(desk *d, double lease_s, double patience_s)
{
    const store_options o = {.create = true,
                             .lease_s = lease_s,
                             .patience_s = patience_s,
                             .worker = "host:1",
                             .version = "abc"};
    store *s = NULL;

    CHECK_OK(d->ctx, store_open(d->ctx, d->url, &o, &s));
    return s;
}

desk desk_open(double lease_s)
{
    desk d = desk_at(test_scratch());
    bool made;

    d.s = desk_store(&d, lease_s, 60);
    CHECK_OK(d.ctx, store_study_create(d.s, "study", &minimize, 1, &d.study, &made));
    return d;
}

void desk_close(desk *d)
{
    store_close(d->s);
}

void desk_append(const char *path, const char *text)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0644);

    CHECK(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
}

off_t desk_size(const char *path)
{
    struct stat sb;

    return stat(path, &sb) == 0 ? sb.st_size : -1;
}

int desk_lines(const char *path)
{
    FILE *f = fopen(path, "r");
    int n = 0;

    for (int c; f && (c = getc(f)) != EOF;) n += c == '\n';
    if (f) fclose(f);
    return n;
}

void desk_list(listing *l, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    const int n = vsnprintf(l->text + l->used, sizeof l->text - l->used, fmt, ap);
    va_end(ap);
    if (n > 0 && l->used + (size_t)n < sizeof l->text) l->used += (size_t)n;
}

static drmad_status desk_list_trial(void *user, const store_trial *t)
{
    listing *l = user;

    desk_list(l, "%lld %s", (long long)t->number, trial_state_word(t->state));
    for (int i = 0; i < t->n_params; i++)
        desk_list(l, " %s=%g", t->params[i].name, t->params[i].value);
    for (int i = 0; i < t->n_values; i++) desk_list(l, " -> %g", t->values[i]);
    for (int i = 0; i < t->n_reports; i++)
        desk_list(l, " @%lld:%g", (long long)t->reports[i].step, t->reports[i].value);
    for (int i = 0; i < t->n_attrs; i++)
        desk_list(l, " %c:%s=%s", t->attrs[i].system ? 's' : 'u', t->attrs[i].key,
                  t->attrs[i].json);
    desk_list(l, "\n");
    return DRMAD_OK;
}

void desk_check(desk *d, const char *want)
{
    listing l = {.used = 0};

    CHECK_OK(d->ctx, store_trial_each(d->s, d->study, -1, STATES_ALL, desk_list_trial, &l));
    CHECK_STR(l.text, want);
}

void desk_begin(desk *d, store_lease *l)
{
    CHECK_OK(d->ctx, store_trial_begin(d->s, d->study, -1, NULL, l));
    CHECK(l->trial > 0);
}

drmad_status desk_tell(store *s, const store_lease *l, double value)
{
    const store_trial end = {.state = TRIAL_COMPLETE, .n_values = 1, .values = &value};
    return store_trial_tell(s, l, &end);
}

void desk_count_errors(void *user, int level, const char *text)
{
    int *errors = user;

    *errors += level == LOG_ERROR;
    if (level == LOG_ERROR) CHECK(strstr(text, "line 2") || strstr(text, "artefact"));
}
