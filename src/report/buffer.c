/* Growing texts. jansson's own writer prints 0.1 as 0.10000000000000001, hence one here. */
#include "report/buffer.h"
#include "base/number.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

drmad_status buffer_put(buffer *b, const char *bytes, size_t n)
{
    text_put_bytes(b, bytes, n);
    return b->st;
}

drmad_status buffer_text(buffer *b, const char *text)
{
    return buffer_put(b, text, strlen(text));
}

/* For short texts: what is longer than the line is cut. Names go through buffer_name. */
drmad_status buffer_say(buffer *b, const char *fmt, ...)
{
    char line[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    return buffer_text(b, line);
}

/* ---- JSON ---- */

static drmad_status put_string(buffer *b, const char *s, size_t n)
{
    drmad_status st = buffer_put(b, "\"", 1);
    size_t from = 0;

    for (size_t i = 0; i < n && st == DRMAD_OK; i++) {
        const unsigned char c = (unsigned char)s[i];
        char escape[8];

        if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f) continue;
        st = buffer_put(b, s + from, i - from);
        if (c == '"' || c == '\\') snprintf(escape, sizeof escape, "\\%c", c);
        else if (c == '\n') snprintf(escape, sizeof escape, "\\n");
        else snprintf(escape, sizeof escape, "\\u%04x", c);
        if (st == DRMAD_OK) st = buffer_text(b, escape);
        from = i + 1;
    }
    if (st == DRMAD_OK) st = buffer_put(b, s + from, n - from);
    return st == DRMAD_OK ? buffer_put(b, "\"", 1) : st;
}

static drmad_status put_object(buffer *b, const json_t *o)
{
    drmad_status st = buffer_put(b, "{", 1);
    const char *key, *between = "";
    json_t *value;

    json_object_foreach((json_t *)o, key, value)
    {
        if (st == DRMAD_OK) st = buffer_text(b, between);
        if (st == DRMAD_OK) st = put_string(b, key, strlen(key));
        if (st == DRMAD_OK) st = buffer_put(b, ":", 1);
        if (st == DRMAD_OK) st = buffer_json(b, value);
        between = ",";
    }
    return st == DRMAD_OK ? buffer_put(b, "}", 1) : st;
}

static drmad_status put_array(buffer *b, const json_t *a)
{
    drmad_status st = buffer_put(b, "[", 1);

    for (size_t i = 0; i < json_array_size(a) && st == DRMAD_OK; i++) {
        if (i) st = buffer_put(b, ",", 1);
        if (st == DRMAD_OK) st = buffer_json(b, json_array_get(a, i));
    }
    return st == DRMAD_OK ? buffer_put(b, "]", 1) : st;
}

drmad_status buffer_json(buffer *b, const json_t *value)
{
    char number[NUMBER_SIZE];

    switch (json_typeof(value)) {
    case JSON_OBJECT: return put_object(b, value);
    case JSON_ARRAY: return put_array(b, value);
    case JSON_STRING: return put_string(b, json_string_value(value), json_string_length(value));
    case JSON_INTEGER: return buffer_say(b, "%lld", (long long)json_integer_value(value));
    case JSON_REAL: return buffer_text(b, number_print(json_real_value(value), number));
    case JSON_TRUE: return buffer_text(b, "true");
    case JSON_FALSE: return buffer_text(b, "false");
    case JSON_NULL: break;
    }
    return buffer_text(b, "null");
}

/* ---- for people ---- */

/* Besides the ASCII ones, the control characters U+0080 to U+009F: C2 80 to C2 9F. */
static size_t control_at(const char *s)
{
    const unsigned char c = (unsigned char)s[0], d = c ? (unsigned char)s[1] : 0;

    if (c < 0x20 || c == 0x7f) return 1;
    return c == 0xc2 && d >= 0x80 && d <= 0x9f ? 2 : 0;
}

drmad_status buffer_name(buffer *b, const char *name)
{
    drmad_status st = DRMAD_OK;

    for (const char *s = name; *s && st == DRMAD_OK;) {
        const size_t n = control_at(s);

        if (n == 0) st = buffer_put(b, s, 1);
        for (size_t i = 0; i < n && st == DRMAD_OK; i++)
            st = buffer_say(b, "\\x%02x", (unsigned char)s[i]);
        s += n ? n : 1;
    }
    return st;
}

drmad_status buffer_value(buffer *b, const json_t *value)
{
    drmad_status st = DRMAD_OK;
    buffer text = {.ctx = b->ctx};

    if (json_is_string(value)) return buffer_name(b, json_string_value(value));
    TRY(buffer_json(&text, value));
    TRY(buffer_name(b, text.text));
done:
    text_free(&text);
    return st;
}
