/* Scalars: from the text of a file into a field and back, in any locale. */
#include "base/number.h"
#include "base/text.h"
#include "config/config_inside.h"
#include <ctype.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 4096, TAKES_BYTES = 512 };

static const char *const bools[] = {"false", "true", NULL};

const char *shown(const char *text, char buf[SHOWN_BYTES])
{
    return text_shown(text, 40, buf);
}

static drmad_status wrong(config *c, const spot *s, const key_def *k, const char *text,
                          const char *why)
{
    char takes[TAKES_BYTES], buf[SHOWN_BYTES];

    return spot_fail(c, s, "\"%s\" %s; it takes %s", shown(text, buf), why,
                     key_takes(k, takes, sizeof takes));
}

void real_print(double x, char *buf, size_t size)
{
    locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    locale_t before = plain ? uselocale(plain) : (locale_t)0;

    if (isinf(x)) {
        snprintf(buf, size, x > 0 ? "inf" : "-inf");
    } else if (x == floor(x) && fabs(x) < 1e16) {
        snprintf(buf, size, "%.0f", x); /* 1000, not 1e+03 */
    } else {
        for (int digits = 1; digits <= 17; digits++) {
            snprintf(buf, size, "%.*g", digits, x);
            if (strtod(buf, NULL) == x) break;
        }
    }
    if (plain) uselocale(before), freelocale(plain);
}

/* The decimal number at the start of `text`: digits with an optional sign, point and exponent; no
 * hexadecimal, no names. Gives its end, NULL when there is none. */
static const char *number_end(const char *text)
{
    const char *p = text + (*text == '-' || *text == '+');
    const char *e;
    int digits = 0;

    for (; isdigit((unsigned char)*p); p++) digits++;
    if (*p == '.')
        for (p++; isdigit((unsigned char)*p); p++) digits++;
    if (digits == 0) return NULL;
    if (*p != 'e' && *p != 'E') return p;
    e = p + 1 + (p[1] == '-' || p[1] == '+');
    if (!isdigit((unsigned char)*e)) return p;
    while (isdigit((unsigned char)*e)) e++;
    return e;
}

/* .inf and inf with a sign; YAML's and everybody else's spelling. */
static bool is_infinity(const char *text, double *x)
{
    const char *p = text + (*text == '-' || *text == '+');

    p += *p == '.';
    if (strcmp(p, "inf") != 0) return false;
    *x = *text == '-' ? -INFINITY : INFINITY;
    return true;
}

/* The number that a special word stands for. */
static bool is_special(const key_def *k, const char *text, double *x)
{
    size_t len = strlen(text);
    const char *s = k->special;

    while (*s) {
        if (strncmp(s, text, len) == 0 && s[len] == '=') {
            *x = strncmp(s + len + 1, "nan", 3) == 0 ? NAN : number_strtod(s + len + 1, NULL);
            return true;
        }
        s += strcspn(s, " ");
        s += *s == ' ';
    }
    return false;
}

/* A number that fills `text` and lies in the key's range. */
static drmad_status number(config *c, const spot *s, const key_def *k, const char *text, bool plain,
                           double *x)
{
    const char *end = number_end(text);
    const char *p = text;

    if (!plain) return wrong(c, s, k, text, "is text in quotes");
    if (is_infinity(text, x)) end = text + strlen(text);
    else if (strcasecmp(text, ".nan") == 0 || strcasecmp(text, "nan") == 0)
        return wrong(c, s, k, text, "is no number at all");
    else if (!end || *end) return wrong(c, s, k, text, "is not a number");
    else *x = number_strtod(text, NULL);
    p += *p == '-' || *p == '+';
    if (p[0] == '0' && isdigit((unsigned char)p[1]))
        return wrong(c, s, k, text, "has leading zeros, which may mean octal");
    if (isinf(*x) && number_end(text)) return wrong(c, s, k, text, "is too large");
    if (!(*x >= k->low && *x <= k->high)) return wrong(c, s, k, text, "is out of range");
    return DRMAD_OK;
}

static drmad_status scalar_int(config *c, const spot *s, const key_def *k, int64_t *field,
                               const char *text, bool plain)
{
    drmad_status st = DRMAD_OK;
    double x = 0;

    if (plain && is_special(k, text, &x)) {
        *field = (int64_t)x;
        return DRMAD_OK;
    }
    TRY(number(c, s, k, text, plain, &x));
    if (x != floor(x) || isinf(x)) return wrong(c, s, k, text, "is not a whole number");
    *field = (int64_t)x; /* exact: ranges end at 2^53 - 1 */
done:
    return st;
}

static drmad_status set_real(config *c, const spot *s, const key_def *k, double *field,
                             const char *text, bool plain)
{
    if (plain && is_special(k, text, field)) return DRMAD_OK;
    return number(c, s, k, text, plain, field);
}

static drmad_status set_size(config *c, const spot *s, const key_def *k, int64_t *field,
                             const char *text, bool plain)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    const char *unit = number_end(text);
    double x, scale = 1;
    bool known = false;

    if (plain && is_special(k, text, &x)) {
        *field = (int64_t)x;
        return DRMAD_OK;
    }
    if (!plain || !unit) return wrong(c, s, k, text, "is not a size");
    x = number_strtod(text, NULL);
    while (*unit == ' ') unit++;
    for (size_t i = 0; i < COUNT(units) && !known; i++)
        if (*unit == '\0' || strcmp(unit, units[i]) == 0) known = true;
        else scale *= 1024;
    if (!known) return wrong(c, s, k, text, "has no unit of B, KiB, MiB, GiB or TiB");
    x *= scale;
    if (x != floor(x)) return wrong(c, s, k, text, "is not a whole number of bytes");
    if (!(x >= k->low && x <= k->high))
        return wrong(c, s, k, text, x < k->low ? "is too small" : "is too large");
    *field = (int64_t)x;
    return DRMAD_OK;
}

static drmad_status set_word(config *c, const spot *s, const key_def *k, int *field,
                             const char *text)
{
    const char *near = words_nearest(k->words, text);
    char why[64];
    double x;

    for (int i = 0; k->words[i]; i++)
        if (strcmp(k->words[i], text) == 0) {
            *field = i;
            return DRMAD_OK;
        }
    if (is_special(k, text, &x)) {
        *field = (int)x;
        return DRMAD_OK;
    }
    if (!near) return wrong(c, s, k, text, "is not a word it knows");
    snprintf(why, sizeof why, "is not a word it knows (did you mean %s?)", near);
    return wrong(c, s, k, text, why);
}

static drmad_status set_bool(config *c, const spot *s, const key_def *k, bool *field,
                             const char *text, bool plain)
{
    if (!plain) return wrong(c, s, k, text, "is text in quotes");
    if (strcmp(text, bools[0]) != 0 && strcmp(text, bools[1]) != 0)
        return wrong(c, s, k, text, "is neither true nor false");
    *field = text[0] == 't';
    return DRMAD_OK;
}

static drmad_status set_text(config *c, const spot *s, const key_def *k, char **field,
                             const char *text, bool plain)
{
    drmad_status st = DRMAD_OK;
    char *copy = NULL;

    if (plain && (strcmp(text, "~") == 0 || strcmp(text, "null") == 0)) text = "";
    if (strlen(text) > TEXT_MAX) return wrong(c, s, k, text, "is too long");
    for (const char *p = text; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return wrong(c, s, k, text, "has a control character in it");
    TRY(mem_strdup(c->ctx, text, &copy));
    mem_free(c->ctx, *field);
    *field = copy;
done:
    return st;
}

drmad_status scalar_set(config *c, const spot *s, const key_def *k, void *field, const char *text,
                        bool plain)
{
    char takes[TAKES_BYTES];

    if (k->type == TYPE_TEXT) return set_text(c, s, k, field, text, plain);
    if (plain && (text[0] == '\0' || strcmp(text, "~") == 0 || strcmp(text, "null") == 0))
        return spot_fail(c, s, "has no value; it takes %s", key_takes(k, takes, sizeof takes));
    switch (k->type) {
    case TYPE_INT: return scalar_int(c, s, k, field, text, plain);
    case TYPE_REAL: return set_real(c, s, k, field, text, plain);
    case TYPE_SIZE: return set_size(c, s, k, field, text, plain);
    case TYPE_BOOL: return set_bool(c, s, k, field, text, plain);
    case TYPE_WORD: return set_word(c, s, k, field, text);
    default: return wrong(c, s, k, text, "is a single value");
    }
}

/* Digits as JSON has them: no sign in front but -, no bare point. */
static bool is_json_number(const char *text)
{
    const char *p = text + (*text == '-');
    const char *point;

    if (!isdigit((unsigned char)*p) || number_end(text) != text + strlen(text)) return false;
    if (p[0] == '0' && isdigit((unsigned char)p[1])) return false;
    point = strchr(p, '.');
    return !point || isdigit((unsigned char)point[1]);
}

/* What other readers of YAML, or a person, would take for something else than text. */
static bool is_doubtful(const char *text)
{
    static const char *const words[] = {"null",  "true", "false", ".nan",  "nan", ".inf",
                                        "-.inf", "inf",  "-inf",  "+.inf", "+inf"};
    const char *end = number_end(text);

    for (size_t i = 0; i < COUNT(words); i++)
        if (strcasecmp(text, words[i]) == 0) return true;
    return end && *end == '\0';
}

/* `text` in quotes, as JSON and YAML both read it. Takes the place of *field. */
static drmad_status set_json_text(config *c, char **field, const char *text)
{
    drmad_status st = DRMAD_OK;
    char *out = NULL, *p;

    TRY(mem_alloc(c->ctx, 2 * strlen(text) + 3, 1, &out));
    p = out;
    *p++ = '"';
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') *p++ = '\\';
        *p++ = *text;
    }
    *p = '"';
    mem_free(c->ctx, *field);
    *field = out;
done:
    return st;
}

static drmad_status set_json(config *c, const spot *s, const key_def *k, char **field,
                             const char *text, bool plain)
{
    drmad_status st = DRMAD_OK;
    char buf[SHOWN_BYTES];

    if (plain && (text[0] == '\0' || strcmp(text, "~") == 0)) text = "null";
    bool bare = plain && (strcmp(text, "null") == 0 || strcmp(text, bools[0]) == 0 ||
                          strcmp(text, bools[1]) == 0 || is_json_number(text));

    if (plain && !bare && is_doubtful(text))
        return spot_fail(c, s,
                         "\"%s\" could be text or not; write null, true, false, 0.5, or put text "
                         "in quotes",
                         shown(text, buf));
    TRY(set_text(c, s, k, field, text, false));
    if (!bare) TRY(set_json_text(c, field, *field));
done:
    return st;
}

drmad_status scalar_item(config *c, const spot *s, const key_def *k, void *item, const char *text,
                         bool plain)
{
    switch (k->type) {
    case TYPE_INTS: return scalar_int(c, s, k, item, text, plain);
    case TYPE_REALS: return set_real(c, s, k, item, text, plain);
    case TYPE_SCALARS: return set_json(c, s, k, item, text, plain);
    default: return set_text(c, s, k, item, text, plain);
    }
}
