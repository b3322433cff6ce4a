/* A recursive reader that only moves a pointer, and a writer into one growing text. */
#include "store/json_text.h"
#include "base/number.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { DEPTH_MAX = 500, NUMBER_TEXT = 400 };

/* ---- looking ---- */

static const char *skip_space(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r')) p++;
    return p;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    const char low = (char)(c | 0x20);
    return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

/* Four hexadecimal digits at p, or -1. */
static int32_t hex4(const char *p, const char *end)
{
    int32_t x = 0;

    if (end - p < 4) return -1;
    for (int i = 0; i < 4; i++) {
        if (hex_digit(p[i]) < 0) return -1;
        x = 16 * x + hex_digit(p[i]);
    }
    return x;
}

/* The end of the string that begins at p; NULL when it does not end or has a bad escape. */
static const char *skip_string(const char *p, const char *end)
{
    for (p++; p < end && *p != '"'; p++) {
        if ((unsigned char)*p < 0x20) return NULL;
        if (*p != '\\') continue;
        if (++p == end || !strchr("\"\\/bfnrtu", *p)) return NULL;
        if (*p == 'u' && hex4(p + 1, end) < 0) return NULL;
    }
    return p < end ? p + 1 : NULL;
}

static const char *skip_word(const char *p, const char *end, const char *word)
{
    const size_t n = strlen(word);
    return (size_t)(end - p) >= n && memcmp(p, word, n) == 0 ? p + n : NULL;
}

static const char *skip_digits(const char *p, const char *end)
{
    while (p && p < end && *p >= '0' && *p <= '9') p++;
    return p;
}

static const char *skip_number(const char *p, const char *end)
{
    const char *from;

    if (*p == '-') p++;
    if (p < end && *p == 'I') return skip_word(p, end, "Infinity");
    from = p;
    p = p < end && *p == '0' ? p + 1 : skip_digits(p, end);
    if (p == from) return NULL;
    if (p < end && *p == '.') {
        from = p + 1;
        p = skip_digits(from, end);
        if (p == from) return NULL;
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < end && (*p == '+' || *p == '-')) p++;
        from = p;
        p = skip_digits(p, end);
        if (p == from) return NULL;
    }
    return p;
}

static const char *skip_value(const char *p, const char *end, int depth);

/* Members or items up to `close`; p is behind the opening bracket. */
static const char *skip_group(const char *p, const char *end, char close, int depth)
{
    p = skip_space(p, end);
    if (p < end && *p == close) return p + 1;
    while (p && p < end) {
        if (close == '}') {
            p = *p == '"' ? skip_string(p, end) : NULL;
            p = p ? skip_space(p, end) : NULL;
            if (!p || p == end || *p != ':') return NULL;
            p = skip_space(p + 1, end);
        }
        p = skip_value(p, end, depth + 1);
        p = p ? skip_space(p, end) : NULL;
        if (!p || p == end) return NULL;
        if (*p == close) return p + 1;
        p = *p == ',' ? skip_space(p + 1, end) : NULL;
    }
    return NULL;
}

/* The end of the value that begins at p (no space before it), NULL when there is none. */
static const char *skip_value(const char *p, const char *end, int depth)
{
    if (p >= end || depth > DEPTH_MAX) return NULL;
    switch (*p) {
    case '{': return skip_group(p + 1, end, '}', depth);
    case '[': return skip_group(p + 1, end, ']', depth);
    case '"': return skip_string(p, end);
    case 't': return skip_word(p, end, "true");
    case 'f': return skip_word(p, end, "false");
    case 'n': return skip_word(p, end, "null");
    case 'N': return skip_word(p, end, "NaN");
    default: return skip_number(p, end);
    }
}

bool json_whole(const char *text, size_t size, json_span *out)
{
    const char *end = text + size, *at = skip_space(text, end);
    const char *stop = skip_value(at, end, 0);

    *out = (json_span){at, stop};
    return stop && skip_space(stop, end) == end;
}

json_walk json_walk_of(json_span value)
{
    return (json_walk){.at = value.at, .end = value.end};
}

bool json_next(json_walk *w)
{
    if (!w->at || (!w->value.at && *w->at != '{' && *w->at != '[')) return false;
    const char close = w->end[-1];
    const char *p = skip_space(w->at + 1, w->end); /* behind the bracket or the comma */

    if (*p == close) return false; /* empty */
    w->key = (json_span){NULL, NULL};
    if (close == '}') {
        w->key = (json_span){p, skip_string(p, w->end)};
        p = skip_space(skip_space(w->key.end, w->end) + 1, w->end);
    }
    w->value = (json_span){p, skip_value(p, w->end, 0)};
    w->at = skip_space(w->value.end, w->end);
    if (*w->at == close) w->at = NULL;
    return true;
}

bool json_is(json_span v, char kind)
{
    if (!v.at) return false;
    switch (kind) {
    case '0': return strchr("-0123456789NI", *v.at) != NULL;
    case 't': return *v.at == 't' || *v.at == 'f';
    default: return *v.at == kind;
    }
}

json_span json_member(json_span object, const char *key)
{
    json_span found = {NULL, NULL};
    const size_t n = strlen(key);

    if (!json_is(object, '{')) return found;
    for (json_walk w = json_walk_of(object); json_next(&w);)
        if ((size_t)(w.key.end - w.key.at) == n + 2 && memcmp(w.key.at + 1, key, n) == 0)
            found = w.value;
    return found;
}

bool json_double(json_span v, double *out)
{
    char text[NUMBER_TEXT];
    const size_t n = v.at ? (size_t)(v.end - v.at) : 0;

    if (!json_is(v, '0') || n >= sizeof text) return false;
    memcpy(text, v.at, n);
    text[n] = 0;
    if (strcmp(text, "NaN") == 0) return number_read("nan", out);
    if (strcmp(text, "Infinity") == 0) return number_read("inf", out);
    if (strcmp(text, "-Infinity") == 0) return number_read("-inf", out);
    return number_read(text, out);
}

bool json_int(json_span v, int64_t *out)
{
    int64_t x = 0;

    if (!json_is(v, '0')) return false;
    const bool minus = *v.at == '-';
    for (const char *p = v.at + minus; p < v.end; p++) {
        if (*p < '0' || *p > '9') return false;
        if (__builtin_mul_overflow(x, 10, &x)) return false;
        if (__builtin_add_overflow(x, minus ? '0' - *p : *p - '0', &x)) return false;
    }
    *out = x;
    return true;
}

bool json_truth(json_span v)
{
    return v.at && *v.at == 't';
}

/* ---- strings ---- */

static char *put_utf8(char *out, uint32_t c)
{
    if (c == 0) { /* C's strings end at 0 */
        *out++ = (char)0xC0, *out++ = (char)0x80;
    } else if (c < 0x80) {
        *out++ = (char)c;
    } else if (c < 0x800) {
        *out++ = (char)(0xC0 | c >> 6);
        *out++ = (char)(0x80 | (c & 0x3F));
    } else if (c < 0x10000) {
        *out++ = (char)(0xE0 | c >> 12);
        *out++ = (char)(0x80 | (c >> 6 & 0x3F));
        *out++ = (char)(0x80 | (c & 0x3F));
    } else {
        *out++ = (char)(0xF0 | c >> 18);
        *out++ = (char)(0x80 | (c >> 12 & 0x3F));
        *out++ = (char)(0x80 | (c >> 6 & 0x3F));
        *out++ = (char)(0x80 | (c & 0x3F));
    }
    return out;
}

/* The code point of the escape \uXXXX whose X begin at *p, a pair taken as one; moves *p to the
 * last digit. */
static uint32_t escaped_point(const char **p, const char *end)
{
    const uint32_t c = (uint32_t)hex4(*p, end);

    *p += 3;
    if (c < 0xD800 || c > 0xDBFF || end - *p < 7 || (*p)[1] != '\\' || (*p)[2] != 'u') return c;
    const uint32_t low = (uint32_t)hex4(*p + 3, end);
    if (low < 0xDC00 || low > 0xDFFF) return c;
    *p += 6;
    return 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
}

drmad_status json_text(drmad_ctx *ctx, json_span v, char **out)
{
    static const char escapes[] = "\"\\/bfnrt", meaning[] = "\"\\/\b\f\n\r\t";
    char *to;

    *out = NULL;
    if (!json_is(v, '"')) return FAIL(ctx, DRMAD_E_DATA, "a text was expected");
    const drmad_status st = mem_alloc(ctx, (size_t)(v.end - v.at), 1, out);
    if (st != DRMAD_OK) return st;
    to = *out;
    for (const char *p = v.at + 1; p < v.end - 1; p++) {
        if (*p != '\\') {
            *to++ = *p;
        } else if (*++p == 'u') {
            p++;
            to = put_utf8(to, escaped_point(&p, v.end - 1));
        } else {
            *to++ = meaning[strchr(escapes, *p) - escapes];
        }
    }
    *to = 0;
    return DRMAD_OK;
}

/* ---- equal ---- */

static bool as_number(json_span v, double *out)
{
    if (!json_is(v, 't')) return json_double(v, out);
    *out = json_truth(v);
    return true;
}

/* One character's code point; p moves past it. */
static uint32_t next_point(const char **p, const char *end)
{
    static const char escapes[] = "\"\\/bfnrt", meaning[] = "\"\\/\b\f\n\r\t";
    const unsigned char c = (unsigned char)*(*p)++;
    uint32_t x = c;

    if (c == '\\' && **p == 'u') {
        ++*p;
        x = escaped_point(p, end);
        ++*p;
    } else if (c == '\\') {
        x = (unsigned char)meaning[strchr(escapes, *(*p)++) - escapes];
    } else if (c >= 0xC0) {
        const int more = c >= 0xF0 ? 3 : c >= 0xE0 ? 2 : 1;
        x = c & (0x3FU >> more);
        for (int i = 0; i < more && *p < end; i++) x = x << 6 | (*(*p)++ & 0x3F);
    }
    return x;
}

static bool same_strings(json_span a, json_span b)
{
    const char *p = a.at + 1, *q = b.at + 1;

    while (p < a.end - 1 && q < b.end - 1)
        if (next_point(&p, a.end - 1) != next_point(&q, b.end - 1)) return false;
    return p >= a.end - 1 && q >= b.end - 1;
}

bool json_same(json_span a, json_span b)
{
    double x, y;

    if (!a.at || !b.at) return a.at == b.at;
    if (json_is(a, '"') && json_is(b, '"')) return same_strings(a, b);
    if (as_number(a, &x) && as_number(b, &y)) return x == y || (x != x && y != y);
    if (json_is(a, '[') && json_is(b, '[')) {
        json_walk v = json_walk_of(a), w = json_walk_of(b);
        bool more = json_next(&v), other = json_next(&w);
        while (more && other && json_same(v.value, w.value))
            more = json_next(&v), other = json_next(&w);
        return !more && !other;
    }
    return a.end - a.at == b.end - b.at && memcmp(a.at, b.at, (size_t)(a.end - a.at)) == 0;
}

/* ---- writing ---- */

void json_put_string(text_out *o, const char *text)
{
    char code[8];
    const char *from = text;

    text_put(o, "\"");
    for (; *text; text++) {
        const unsigned char c = (unsigned char)*text;
        if (c >= 0x20 && c != '"' && c != '\\') continue;
        text_put_bytes(o, from, (size_t)(text - from));
        snprintf(code, sizeof code, c < 0x20 ? "\\u%04x" : "\\%c", c);
        text_put(o, code);
        from = text + 1;
    }
    text_put(o, from);
    text_put(o, "\"");
}

void json_put_int(text_out *o, int64_t x)
{
    char text[24];

    snprintf(text, sizeof text, "%" PRId64, x);
    text_put(o, text);
}

void json_put_real(text_out *o, double x)
{
    char text[NUMBER_SIZE];

    if (x != x) text_put(o, "NaN");
    else if (x - x != 0) text_put(o, x > 0 ? "Infinity" : "-Infinity");
    else text_put(o, number_print(x, text));
}

void json_put_span(text_out *o, json_span v)
{
    const char *from = v.at;

    for (const char *p = v.at; p < v.end;) {
        if (*p == '"') {
            p = skip_string(p, v.end);
        } else if (skip_space(p, v.end) > p) {
            text_put_bytes(o, from, (size_t)(p - from));
            from = p = skip_space(p, v.end);
        } else {
            p++;
        }
    }
    text_put_bytes(o, from, (size_t)(v.end - from));
}

void json_put_json(text_out *o, const char *json, const char *what)
{
    json_span v;

    if (o->st != DRMAD_OK) return;
    if (!json_whole(json, strlen(json), &v))
        o->st = FAIL(o->ctx, DRMAD_E_USAGE, "%s: not JSON: %.60s", what, json);
    else json_put_span(o, v);
}
