/* JSON scalars and texts as Python writes them. */
#include "base/number.h"
#include "space/search_inside.h"
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* The character at s, U+FFFD where it is no UTF-8; gives the bytes it takes. */
static size_t utf8_read(const char *s, size_t left, uint32_t *c)
{
    const unsigned char *p = (const unsigned char *)s;
    size_t n = p[0] < 0x80 ? 1 : p[0] < 0xC2 ? 0 : p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : 4;

    *c = 0xFFFD;
    if (n == 1) *c = p[0];
    if (n <= 1 || n > left) return 1;
    uint32_t value = p[0] & (0xFFu >> (n + 1));

    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xC0) != 0x80) return 1;
        value = value << 6 | (p[i] & 0x3F);
    }
    if ((n == 3 && value < 0x800) || (value >= 0xD800 && value < 0xE000)) return 1;
    if (n == 4 && (value < 0x10000 || value > 0x10FFFF)) return 1;
    *c = value;
    return n;
}

static void put_escape(text_out *t, uint32_t c)
{
    static const char short_form[] = "\"\"\\\\\nn\rr\tt\ff\bb";
    char buf[16];

    for (const char *p = short_form; *p; p += 2)
        if (c == (unsigned char)p[0]) {
            text_put_bytes(t, (char[]){'\\', p[1]}, 2);
            return;
        }
    if (c < 0x10000) snprintf(buf, sizeof buf, "\\u%04x", c);
    else
        snprintf(buf, sizeof buf, "\\u%04x\\u%04x", 0xD800 + ((c - 0x10000) >> 10),
                 0xDC00 + ((c - 0x10000) & 0x3FF));
    text_put(t, buf);
}

void search_put_json(text_out *t, const char *s, size_t n)
{
    uint32_t c;

    text_put(t, "\"");
    for (size_t i = 0; i < n;) {
        size_t bytes = utf8_read(s + i, n - i, &c);

        if (c >= 0x20 && c < 0x7F && c != '"' && c != '\\') text_put_bytes(t, s + i, 1);
        else put_escape(t, c);
        i += bytes;
    }
    text_put(t, "\"");
}

/* ---- scalars ---- */

/* A number as JSON has it. *whole: without point and exponent. */
static bool is_number(const char *text, bool *whole)
{
    static const char digits[] = "0123456789";
    const char *p = text + (*text == '-');
    size_t n = strspn(p, digits);

    if (n == 0 || (p[0] == '0' && n > 1)) return false;
    *whole = p[n] == '\0';
    p += n;
    if (*p == '.') {
        n = strspn(p + 1, digits);
        if (n == 0) return false;
        p += 1 + n;
    }
    if (*p == 'e' || *p == 'E') {
        p += 1 + (p[1] == '-' || p[1] == '+');
        n = strspn(p, digits);
        if (n == 0) return false;
        p += n;
    }
    return *p == '\0';
}

/* null, true, 3, 1e-05, NaN: what is no text, as Python writes it. */
static drmad_status plain_scalar(drmad_ctx *ctx, const char *text, char **out)
{
    static const char *const words[] = {"null", "true", "false", "NaN", "Infinity", "-Infinity"};
    char buf[NUMBER_SIZE];
    bool whole = false;
    double x;

    *out = NULL;
    for (size_t i = 0; i < COUNT(words); i++)
        if (strcmp(text, words[i]) == 0) return mem_strdup(ctx, text, out);
    if (!is_number(text, &whole) || !number_read(text, &x))
        return FAIL(ctx, DRMAD_E_CONFIG, "%s is neither null, true, false, a number nor text",
                    expr_shown(text, (char[EXPR_SHOWN_BYTES]){0}));
    if (whole) return mem_strdup(ctx, strcmp(text, "-0") == 0 ? "0" : text, out);
    if (isinf(x)) return mem_strdup(ctx, x > 0 ? "Infinity" : "-Infinity", out);
    return mem_strdup(ctx, number_print(x, buf), out);
}

drmad_status search_scalar_print(drmad_ctx *ctx, const char *text, char **json, char **plain)
{
    drmad_status st = DRMAD_OK;
    text_out t = {.ctx = ctx};
    json_t *s = NULL;

    *json = *plain = NULL;
    if (text[0] != '"') {
        TRY(plain_scalar(ctx, text, json));
        TRY(mem_strdup(ctx, *json, plain));
        goto done;
    }
    s = json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    if (!json_is_string(s)) {
        st = FAIL(ctx, DRMAD_E_CONFIG, "%s is no text that JSON knows",
                  expr_shown(text, (char[EXPR_SHOWN_BYTES]){0}));
        goto done;
    }
    search_put_json(&t, json_string_value(s), json_string_length(s));
    TRY(text_give(&t, json));
    TRY(mem_strdup(ctx, json_string_value(s), plain));
done:
    if (st != DRMAD_OK) {
        mem_free(ctx, *json);
        *json = NULL;
    }
    json_decref(s);
    return st;
}

drmad_status search_choices_prepare(drmad_ctx *ctx, search_param *p)
{
    drmad_status st = DRMAD_OK;
    char *json;

    if (!p->texts) TRY(mem_alloc(ctx, (size_t)p->n_choices + 1, sizeof *p->texts, &p->texts));
    for (int32_t i = 0; i < p->n_choices; i++) {
        mem_free(ctx, p->texts[i]);
        TRY(search_scalar_print(ctx, p->choices[i], &json, &p->texts[i]));
        mem_free(ctx, p->choices[i]);
        p->choices[i] = json;
    }
done:
    return st;
}
