/* A config's life: defaults, files, overrides, and where each key was set. */
#include "config/config_inside.h"
#include "base/file.h"
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct config_mark {
    char path[64];
    int line, column; /* 0 = an override */
};

drmad_status config_mark_set(config *c, const spot *s)
{
    drmad_status st = DRMAD_OK;

    if (!c->source) return st; /* the defaults are still being set */
    if (c->n_marks == c->room_marks) {
        size_t room = 2 * c->room_marks + 64;

        TRY(mem_resize(c->ctx, &c->marks, c->room_marks, room, sizeof *c->marks));
        c->room_marks = room;
    }
    config_mark *m = &c->marks[c->n_marks++];

    memcpy(m->path, s->path, sizeof m->path);
    m->line = s->line, m->column = s->column;
done:
    return st;
}

void config_where(const config *c, const char *key, char *buf, size_t size)
{
    char path[64];

    snprintf(path, sizeof path, "%s", key);
    for (;;) {
        for (size_t i = c->n_marks; i-- > 0;) {
            const config_mark *m = &c->marks[i];

            if (strcmp(m->path, path) != 0) continue;
            if (m->line == 0) snprintf(buf, size, "override");
            else snprintf(buf, size, "%s:%d:%d", c->source, m->line, m->column);
            return;
        }
        char *dot = strrchr(path, '.');

        if (!dot) break;
        *dot = '\0';
    }
    snprintf(buf, size, "default");
}

const char *config_set_under(const config *c, const char *of)
{
    const size_t n = strlen(of);

    for (size_t i = 0; i < c->n_marks; i++)
        if (strncmp(c->marks[i].path, of, n) == 0 && strchr(".", c->marks[i].path[n]))
            return c->marks[i].path;
    return NULL;
}

drmad_status config_refuse(const config *c, const char *key, const char *fmt, ...)
{
    char where[256], what[768];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    config_where(c, key, where, sizeof where);
    return FAIL(c->ctx, DRMAD_E_CONFIG, "%s: %s: %s", where, key, what);
}

drmad_status spot_fail(const config *c, const spot *s, const char *fmt, ...)
{
    char what[768], place[32] = "";
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    if (s->line > 0) snprintf(place, sizeof place, ":%d:%d", s->line, s->column);
    return FAIL(c->ctx, DRMAD_E_CONFIG, "%s%s: %s%s%s", s->source, place, s->path,
                s->path[0] ? ": " : "", what);
}

static drmad_status default_of(config *c, const key_def *k, void *base)
{
    spot s = {.source = "default"};

    if (k->type == TYPE_RECORD) return record_defaults(c, k->of, field_of(base, k->at));
    if (!k->def) return DRMAD_OK;
    snprintf(s.path, sizeof s.path, "%s", k->name);
    if (is_scalar_list(k)) return yaml_read_key(c, &s, k, base, k->def, strlen(k->def));
    return scalar_set(c, &s, k, field_of(base, k->at), k->def, true);
}

drmad_status record_defaults(config *c, const record *r, void *base)
{
    drmad_status st = DRMAD_OK;

    for (int i = 0; i < r->n; i++) TRY(default_of(c, &r->keys[i], base));
done:
    return st;
}

void list_clear(const config *c, const key_def *k, void *base)
{
    int32_t *n = field_of(base, k->at);

    for (int32_t i = 0; i < *n; i++) {
        void *item = field_of(base, k->items + item_size(k) * (size_t)i);

        if (k->type == TYPE_LIST) record_free(c, k->of, item);
        else if (is_text_list(k)) mem_free(c->ctx, *(char **)item);
        memset(item, 0, item_size(k));
    }
    *n = 0;
}

void record_free(const config *c, const record *r, void *base)
{
    for (int i = 0; i < r->n; i++) {
        const key_def *k = &r->keys[i];

        if (k->type == TYPE_TEXT) {
            char **text = field_of(base, k->at);

            mem_free(c->ctx, *text);
            *text = NULL;
        } else if (k->type == TYPE_RECORD) {
            record_free(c, k->of, field_of(base, k->at));
        } else if (k->type == TYPE_LIST || is_scalar_list(k)) {
            list_clear(c, k, base);
        }
    }
}

drmad_status config_new(drmad_ctx *ctx, config **out)
{
    drmad_status st = DRMAD_OK;
    config *c = NULL;

    *out = NULL;
    TRY(mem_alloc(ctx, 1, sizeof *c, &c));
    c->ctx = ctx;
    TRY(record_defaults(c, config_root(), &c->set));
    TRY(mem_strdup(ctx, "default", &c->source));
    *out = c, c = NULL;
done:
    config_free(c);
    return st;
}

void config_free(config *c)
{
    if (!c) return;
    record_free(c, config_root(), &c->set);
    mem_free(c->ctx, c->source);
    mem_free(c->ctx, c->marks);
    mem_free(c->ctx, c);
}

drmad_status config_read(config *c, const char *source, const char *text, size_t size)
{
    drmad_status st = DRMAD_OK;
    spot s = {.source = source, .line = 1, .column = 1};
    char *copy = NULL;

    TRY(mem_strdup(c->ctx, source, &copy));
    mem_free(c->ctx, c->source);
    c->source = copy;
    TRY(yaml_read_record(c, &s, config_root(), &c->set, text, size));
done:
    return st;
}

/* What "hyper.0.start" leads to: a key of a record, or an item of a list (then item is set). */
typedef struct target {
    const key_def *k;
    void *base;
    const record *item;
} target;

/* The entry `name` of list `k` in the record at t->base. */
static drmad_status step_into_list(const config *c, const spot *s, const char *name, target *t)
{
    const int32_t *n = field_of(t->base, t->k->at);
    char buf[SHOWN_BYTES], *end;
    long i = strtol(name, &end, 10);

    if (!isdigit((unsigned char)name[0]) || *end || i >= *n)
        return spot_fail(c, s, "\"%s\" is none of its %d entries, which count from 0",
                         shown(name, buf), (int)*n);
    t->base = field_of(t->base, t->k->items + t->k->of->size * (size_t)i);
    t->item = t->k->of;
    return DRMAD_OK;
}

/* Follows the path in s->path, which serves as the name in messages too. */
static drmad_status find_target(const config *c, const spot *s, target *t)
{
    drmad_status st = DRMAD_OK;
    char path[sizeof s->path], help[512], *part, *rest = path;

    memcpy(path, s->path, sizeof path);
    *t = (target){.base = (void *)&c->set, .item = config_root()};
    while ((part = strsep(&rest, "."))) {
        if (!t->item && t->k->type == TYPE_LIST) {
            TRY(step_into_list(c, s, part, t));
            continue;
        }
        if (!t->item && t->k->type == TYPE_RECORD)
            t->base = field_of(t->base, t->k->at), t->item = t->k->of;
        if (!t->item) return spot_fail(c, s, "%s is a single value, it has no keys", t->k->name);
        t->k = record_find(t->item, part);
        if (!t->k) {
            char buf[SHOWN_BYTES];

            record_suggest(t->item, part, help, sizeof help);
            return spot_fail(c, s, "no key is called \"%s\"%s", shown(part, buf), help);
        }
        t->item = NULL;
    }
done:
    return st;
}

static drmad_status spot_of_key(const config *c, const char *key, spot *s)
{
    char buf[SHOWN_BYTES];

    *s = (spot){.source = "override"};
    if (strlen(key) >= sizeof s->path)
        return spot_fail(c, s, "no key is called \"%s\"", shown(key, buf));
    snprintf(s->path, sizeof s->path, "%s", key);
    for (char *p = s->path; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f) *p = '?';
    return DRMAD_OK;
}

drmad_status config_set(config *c, const char *key, const char *value)
{
    drmad_status st = DRMAD_OK;
    target t;
    spot s;

    TRY(spot_of_key(c, key, &s));
    TRY(find_target(c, &s, &t));
    if (t.item) TRY(yaml_read_record(c, &s, t.item, t.base, value, strlen(value)));
    else TRY(yaml_read_key(c, &s, t.k, t.base, value, strlen(value)));
done:
    return st;
}

drmad_status config_drop(config *c, const char *key, int32_t i)
{
    drmad_status st = DRMAD_OK;
    target t;
    spot s;

    TRY(spot_of_key(c, key, &s));
    TRY(find_target(c, &s, &t));
    int32_t *n = field_of(t.base, t.k->at);
    if (t.k->type != TYPE_LIST || i < 0 || i >= *n)
        return FAIL(c->ctx, DRMAD_E_INTERNAL, "%s has no entry %d", key, (int)i);
    const size_t size = t.k->of->size;
    char *at = field_of(t.base, t.k->items + size * (size_t)i);
    record_free(c, t.k->of, at);
    memmove(at, at + size, size * (size_t)(*n - i - 1));
    memset(at + size * (size_t)(*n - i - 1), 0, size);
    *n -= 1;
done:
    return st;
}

drmad_status config_get(const config *c, const char *key, char **out)
{
    drmad_status st = DRMAD_OK;
    target t;
    spot s;

    *out = NULL;
    TRY(spot_of_key(c, key, &s));
    s.source = "get";
    TRY(find_target(c, &s, &t));
    if (t.item || t.k->type == TYPE_RECORD || t.k->type == TYPE_LIST)
        return spot_fail(c, &s, "has keys of its own, no value");
    TRY(key_print(c, t.k, t.base, out));
done:
    return st;
}

drmad_status config_override(config *c, const char *text)
{
    const char *equals = strchr(text, '=');
    char name[256], buf[SHOWN_BYTES];

    if (!equals || equals == text || (size_t)(equals - text) >= sizeof name)
        return FAIL(c->ctx, DRMAD_E_CONFIG, "override: \"%s\" is not of the form key=value",
                    shown(text, buf));
    memcpy(name, text, (size_t)(equals - text));
    name[equals - text] = '\0';
    return config_set(c, name, equals + 1);
}

/* A study that cannot be read is a wrong argument, whatever the reason. */
static drmad_status read_file(config *c, const char *path)
{
    drmad_status st = DRMAD_OK;
    char *text = NULL, why[512];
    size_t size;

    st = file_read_all(c->ctx, path, CONFIG_BYTES_MAX, &text, &size);
    if (st != DRMAD_OK && st != DRMAD_E_NOMEM) {
        snprintf(why, sizeof why, "%s", drmad_errmsg(c->ctx));
        return FAIL(c->ctx, DRMAD_E_CONFIG, "%s", why);
    }
    if (st == DRMAD_OK) st = config_read(c, path, text, size);
    mem_free(c->ctx, text);
    return st;
}

drmad_status config_gather(drmad_ctx *ctx, const char *path, const char *const *overrides, int n,
                           config **out)
{
    drmad_status st = DRMAD_OK;
    config *c = NULL;

    *out = NULL;
    TRY(config_new(ctx, &c));
    if (path) TRY(read_file(c, path));
    for (int i = 0; i < n; i++) TRY(config_override(c, overrides[i]));
    *out = c, c = NULL;
done:
    config_free(c);
    return st;
}

drmad_status config_load(drmad_ctx *ctx, const char *path, const char *const *overrides, int n,
                         config **out)
{
    drmad_status st = config_gather(ctx, path, overrides, n, out);

    if (st == DRMAD_OK) st = config_finish(*out);
    if (st == DRMAD_OK) return st;
    config_free(*out);
    *out = NULL;
    return st;
}
