/* Study files: YAML events straight into the structs. Nothing is built in between and nothing is
 * followed: an alias, an unknown key or a value of the wrong form ends the reading at once, so no
 * file can make it deep, long or large. */
#include "config/config_inside.h"
#include <stdio.h>
#include <string.h>
#include <yaml.h>

typedef struct reader {
    config *c;
    spot *s; /* its path is where we are; its line and column follow the events */
    yaml_parser_t p;
    yaml_event_t e;
    bool in_file; /* not an override */
} reader;

static drmad_status read_value(reader *r, const key_def *k, void *base);

static void at_mark(reader *r, const yaml_mark_t *m)
{
    if (!r->in_file) return;
    r->s->line = (int)m->line + 1;
    r->s->column = (int)m->column + 1;
}

static drmad_status parser_failed(reader *r)
{
    if (r->p.error == YAML_MEMORY_ERROR)
        return FAIL(r->c->ctx, DRMAD_E_NOMEM, "%s: no memory to parse it", r->s->source);
    at_mark(r, &r->p.problem_mark);
    return spot_fail(r->c, r->s, "not YAML: %s%s%s", r->p.context ? r->p.context : "",
                     r->p.context ? ": " : "", r->p.problem ? r->p.problem : "cannot be read");
}

/* Anchors, aliases and tags can make one file mean another; a study needs none of them. */
static drmad_status check_plain(reader *r)
{
    const yaml_event_t *e = &r->e;
    const void *anchor = NULL, *tag = NULL;

    switch (e->type) {
    case YAML_ALIAS_EVENT: return spot_fail(r->c, r->s, "aliases (*) are not allowed in a study");
    case YAML_SCALAR_EVENT: anchor = e->data.scalar.anchor, tag = e->data.scalar.tag; break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = e->data.sequence_start.anchor, tag = e->data.sequence_start.tag;
        break;
    case YAML_MAPPING_START_EVENT:
        anchor = e->data.mapping_start.anchor, tag = e->data.mapping_start.tag;
        break;
    case YAML_DOCUMENT_START_EVENT:
        if (e->data.document_start.tag_directives.start !=
            e->data.document_start.tag_directives.end)
            tag = e->data.document_start.tag_directives.start;
        break;
    default: break;
    }
    if (anchor) return spot_fail(r->c, r->s, "anchors (&) are not allowed in a study");
    if (tag) return spot_fail(r->c, r->s, "tags (!) are not allowed in a study");
    return DRMAD_OK;
}

static drmad_status next(reader *r)
{
    yaml_event_delete(&r->e);
    if (!yaml_parser_parse(&r->p, &r->e)) return parser_failed(r);
    at_mark(r, &r->e.start_mark);
    return check_plain(r);
}

/* Appends ".name" to the path; gives the length to cut it back to. */
static size_t path_push(spot *s, const char *name)
{
    size_t before = strlen(s->path);

    snprintf(s->path + before, sizeof s->path - before, "%s%s", before ? "." : "", name);
    return before;
}

static drmad_status read_key(reader *r, const record *rec, void *base, uint64_t *seen)
{
    drmad_status st = DRMAD_OK;
    const char *name = (const char *)r->e.data.scalar.value;
    char buf[SHOWN_BYTES], help[512];
    size_t before = 0;

    if (r->e.type != YAML_SCALAR_EVENT)
        return spot_fail(r->c, r->s, "a key must be a word, not a list or a mapping");
    const key_def *k = strlen(name) == r->e.data.scalar.length ? record_find(rec, name) : NULL;

    if (!k) {
        record_suggest(rec, name, help, sizeof help);
        return spot_fail(r->c, r->s, "no key is called \"%s\"%s", shown(name, buf), help);
    }
    before = path_push(r->s, k->name);
    uint64_t bit = (uint64_t)1 << (k - rec->keys);

    if (*seen & bit) return spot_fail(r->c, r->s, "the key stands here twice");
    *seen |= bit;
    TRY(next(r));
    TRY(read_value(r, k, base));
    r->s->path[before] = '\0';
done:
    return st;
}

static bool must_be_given(const key_def *k)
{
    return !k->def && k->type != TYPE_RECORD && k->type != TYPE_LIST;
}

/* The mapping that has just begun. `fresh`: keys without default must be there. */
static drmad_status read_record(reader *r, const record *rec, void *base, bool fresh)
{
    drmad_status st = DRMAD_OK;
    int line = r->s->line, column = r->s->column;
    uint64_t seen = 0;

    for (;;) {
        TRY(next(r));
        if (r->e.type == YAML_MAPPING_END_EVENT) break;
        TRY(read_key(r, rec, base, &seen));
    }
    for (int i = 0; fresh && i < rec->n; i++) {
        const key_def *k = &rec->keys[i];

        if (!must_be_given(k) || (seen >> i & 1)) continue;
        r->s->line = line, r->s->column = column;
        return spot_fail(r->c, r->s, "the key %s is missing", k->name);
    }
done:
    return st;
}

static const char *form_of(const yaml_event_t *e)
{
    return e->type == YAML_SCALAR_EVENT           ? "a single value"
           : e->type == YAML_SEQUENCE_START_EVENT ? "a list"
                                                  : "a mapping";
}

/* Whether the event begins what the key takes; a missing value is said to be one. */
static drmad_status check_form(reader *r, const key_def *k, yaml_event_type_t want)
{
    char takes[512];

    if (r->e.type == want) return DRMAD_OK;
    key_takes(k, takes, sizeof takes);
    if (r->e.type == YAML_SCALAR_EVENT && r->e.data.scalar.length == 0)
        return spot_fail(r->c, r->s, "has no value; it takes %s", takes);
    return spot_fail(r->c, r->s, "is %s; it takes %s", form_of(&r->e), takes);
}

static drmad_status check_nul(reader *r)
{
    if (strlen((const char *)r->e.data.scalar.value) == r->e.data.scalar.length) return DRMAD_OK;
    return spot_fail(r->c, r->s, "has a NUL in it");
}

/* A single value for a record that needs no more than its first key. */
static drmad_status read_short(reader *r, const record *rec, void *item)
{
    const key_def *first = &rec->keys[0];
    bool enough = must_be_given(first);
    drmad_status st = DRMAD_OK;

    for (int i = 1; i < rec->n; i++) enough = enough && !must_be_given(&rec->keys[i]);
    if (!enough || r->e.type != YAML_SCALAR_EVENT)
        return spot_fail(r->c, r->s, "is %s; it takes keys of its own", form_of(&r->e));
    path_push(r->s, first->name);
    TRY(read_value(r, first, item));
done:
    return st;
}

static drmad_status read_item(reader *r, const key_def *k, void *base, int32_t i)
{
    drmad_status st = DRMAD_OK;
    void *item = field_of(base, k->items + item_size(k) * (size_t)i);
    char index[16];
    size_t before;

    snprintf(index, sizeof index, "%d", (int)i);
    before = path_push(r->s, index);
    if (k->type != TYPE_LIST) {
        if (r->e.type != YAML_SCALAR_EVENT)
            return spot_fail(r->c, r->s, "is %s; it takes a single value", form_of(&r->e));
        TRY(check_nul(r));
        TRY(config_mark_set(r->c, r->s));
        TRY(scalar_item(r->c, r->s, k, item, (const char *)r->e.data.scalar.value,
                        r->e.data.scalar.style == YAML_PLAIN_SCALAR_STYLE));
    } else {
        TRY(config_mark_set(r->c, r->s));
        if (r->e.type == YAML_MAPPING_START_EVENT) TRY(read_record(r, k->of, item, true));
        else TRY(read_short(r, k->of, item));
    }
    r->s->path[before] = '\0';
done:
    return st;
}

/* The list that has just begun replaces what was there. */
static drmad_status read_list(reader *r, const key_def *k, void *base)
{
    drmad_status st = DRMAD_OK;
    int32_t *n = field_of(base, k->at);

    list_clear(r->c, k, base);
    for (;;) {
        TRY(next(r));
        if (r->e.type == YAML_SEQUENCE_END_EVENT) break;
        if (*n == k->max) return spot_fail(r->c, r->s, "has more than %d entries", (int)k->max);
        if (k->type == TYPE_LIST) {
            void *item = field_of(base, k->items + k->of->size * (size_t)*n);

            ++*n; /* from here on config_free looks after it */
            TRY(record_defaults(r->c, k->of, item));
            TRY(read_item(r, k, base, *n - 1));
        } else {
            TRY(read_item(r, k, base, (*n)++));
        }
    }
    if (k->pair && *n == 0) return spot_fail(r->c, r->s, "is an empty list");
done:
    return st;
}

/* A pair's one value for both. */
static drmad_status read_alone(reader *r, const key_def *k, void *base)
{
    drmad_status st = DRMAD_OK;
    int32_t *n = field_of(base, k->at);
    void *item = field_of(base, k->items);

    TRY(check_nul(r));
    TRY(scalar_item(r->c, r->s, k, item, (const char *)r->e.data.scalar.value,
                    r->e.data.scalar.style == YAML_PLAIN_SCALAR_STYLE));
    *n = 1;
done:
    return st;
}

/* The value that has just begun, for key `k` of the record at `base`. */
static drmad_status read_value(reader *r, const key_def *k, void *base)
{
    drmad_status st = DRMAD_OK;

    TRY(config_mark_set(r->c, r->s));
    if (k->type == TYPE_RECORD) {
        TRY(check_form(r, k, YAML_MAPPING_START_EVENT));
        return read_record(r, k->of, field_of(base, k->at), false);
    }
    if (k->pair && r->e.type == YAML_SCALAR_EVENT && r->e.data.scalar.length > 0)
        return read_alone(r, k, base);
    if (k->type == TYPE_LIST || is_scalar_list(k)) {
        TRY(check_form(r, k, YAML_SEQUENCE_START_EVENT));
        return read_list(r, k, base);
    }
    TRY(check_form(r, k, YAML_SCALAR_EVENT));
    TRY(check_nul(r));
    TRY(scalar_set(r->c, r->s, k, field_of(base, k->at), (const char *)r->e.data.scalar.value,
                   r->e.data.scalar.style == YAML_PLAIN_SCALAR_STYLE));
done:
    return st;
}

/* Bytes of the UTF-8 character at p, 0 when it is none (overlong forms and surrogates are none). */
static size_t utf8_length(const unsigned char *p, size_t left)
{
    size_t n = p[0] < 0x80   ? 1
               : p[0] < 0xC2 ? 0
               : p[0] < 0xE0 ? 2
               : p[0] < 0xF0 ? 3
               : p[0] < 0xF5 ? 4
                             : 0;

    if (n > left) return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xC0) != 0x80) return 0;
    if (p[0] == 0xE0 && p[1] < 0xA0) return 0;
    if (p[0] == 0xED && p[1] > 0x9F) return 0;
    if (p[0] == 0xF0 && p[1] < 0x90) return 0;
    if (p[0] == 0xF4 && p[1] > 0x8F) return 0;
    return n;
}

/* What no study has in it, said with line and column before the parser sees it. */
static drmad_status check_bytes(const reader *r, const char *text, size_t size)
{
    spot s = *r->s;
    bool indent = true;

    if (size > CONFIG_BYTES_MAX)
        return spot_fail(r->c, &s, "%zu bytes; a study has at most %d", size, CONFIG_BYTES_MAX);
    if (r->in_file) s.line = s.column = 1;
    for (size_t i = 0; i < size;) {
        const unsigned char *p = (const unsigned char *)text + i;
        size_t n = utf8_length(p, size - i);

        if (n == 0) return spot_fail(r->c, &s, "not UTF-8 text (byte 0x%02x)", *p);
        if (*p == '\t' && indent)
            return spot_fail(r->c, &s, "a tab in the indentation; YAML takes spaces only");
        if ((*p < 0x20 && *p != '\n' && *p != '\r' && *p != '\t') || *p == 0x7f)
            return spot_fail(r->c, &s, "a control character (byte 0x%02x)", *p);
        indent = *p == '\n' || (indent && *p == ' ');
        if (r->in_file) {
            s.column++;
            if (*p == '\n') s.line++, s.column = 1;
        }
        i += n;
    }
    return DRMAD_OK;
}

/* Reads the one document of `text`. Exactly one of `rec` (a mapping into base) and `k` (its value)
 * is given. */
static drmad_status read_document(reader *r, const record *rec, const key_def *k, void *base)
{
    drmad_status st = DRMAD_OK;

    TRY(next(r)); /* stream start */
    TRY(next(r));
    if (r->e.type == YAML_STREAM_END_EVENT) {
        if (k && k->type == TYPE_TEXT)
            return scalar_set(r->c, r->s, k, field_of(base, k->at), "", true);
        return k ? spot_fail(r->c, r->s, "has no value") : DRMAD_OK;
    }
    TRY(next(r)); /* document start */
    if (k) {
        TRY(read_value(r, k, base));
    } else {
        if (r->e.type != YAML_MAPPING_START_EVENT)
            return spot_fail(r->c, r->s, "is %s; a study is made of keys and values",
                             form_of(&r->e));
        TRY(read_record(r, rec, base, false));
    }
    TRY(next(r)); /* document end */
    TRY(next(r));
    if (r->e.type != YAML_STREAM_END_EVENT)
        return spot_fail(r->c, r->s, "a second document begins; a study is one");
done:
    return st;
}

static drmad_status read_text(config *c, spot *s, const record *rec, const key_def *k, void *base,
                              const char *text, size_t size)
{
    drmad_status st = DRMAD_OK;
    reader r = {.c = c, .s = s, .in_file = s->line > 0};

    TRY(check_bytes(&r, text, size));
    if (!yaml_parser_initialize(&r.p))
        return FAIL(c->ctx, DRMAD_E_NOMEM, "%s: no memory to parse it", s->source);
    yaml_parser_set_encoding(&r.p, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.p, (const unsigned char *)text, size);
    st = read_document(&r, rec, k, base);
    yaml_event_delete(&r.e);
    yaml_parser_delete(&r.p);
done:
    return st;
}

drmad_status yaml_read_record(config *c, spot *s, const record *r, void *base, const char *text,
                              size_t size)
{
    return read_text(c, s, r, NULL, base, text, size);
}

drmad_status yaml_read_key(config *c, spot *s, const key_def *k, void *base, const char *text,
                           size_t size)
{
    return read_text(c, s, NULL, k, base, text, size);
}
