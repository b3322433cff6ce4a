/* npy, versions 1 to 3: 93 "NUMPY", version, length of the header, a Python dict with exactly
 * `descr`, `fortran_order` and `shape`, then the elements (NEP 1). The dict is read by the small
 * grammar below and never evaluated; a type that would need Python objects is refused as unsafe,
 * others that we cannot keep by name. */
#include "data/array.h"
#include <stdio.h>
#include <string.h>

enum { HEADER_MAX = 10000, DESCR_MAX = 32 }; /* HEADER_MAX: NumPy's own limit */

static const uint8_t magic[6] = {0x93, 'N', 'U', 'M', 'P', 'Y'};

static const struct {
    char text[3]; /* behind the byte order */
    element element;
} types[] = {{"u1", EL_U8},  {"b1", EL_BOOL}, {"i1", EL_I8},  {"i2", EL_I16},
             {"i4", EL_I32}, {"i8", EL_I64},  {"f4", EL_F32}, {"f8", EL_F64}};

typedef struct cursor {
    drmad_ctx *ctx;
    const blob *b;
    size_t at, end;
} cursor;

static drmad_status expected(const cursor *c, const char *what)
{
    return FAIL(c->ctx, DRMAD_E_DATA, "%s: byte %zu: expected %s in the npy header", c->b->name,
                c->at, what);
}

/* The next character that is no blank, 0 at the end. */
static char peek(cursor *c)
{
    while (c->at < c->end && (c->b->at[c->at] == ' ' || c->b->at[c->at] == '\n')) c->at++;
    return c->at < c->end ? (char)c->b->at[c->at] : '\0';
}

static bool take(cursor *c, char ch)
{
    if (ch == '\0' || peek(c) != ch) return false;
    c->at++;
    return true;
}

/* A quoted string without escapes. */
static drmad_status take_string(cursor *c, char out[DESCR_MAX])
{
    const char quote = peek(c);
    size_t n = 0;

    if (quote != '\'' && quote != '"') return expected(c, "a quoted string");
    for (c->at++; c->at < c->end && (char)c->b->at[c->at] != quote; c->at++) {
        const uint8_t ch = c->b->at[c->at];
        if (n + 1 == DESCR_MAX || ch < ' ' || ch > '~' || ch == '\\')
            return expected(c, "a short plain string");
        out[n++] = (char)ch;
    }
    if (c->at == c->end) return expected(c, "the end of a string");
    c->at++;
    out[n] = '\0';
    return DRMAD_OK;
}

static drmad_status take_descr(cursor *c, array_head *h)
{
    char text[DESCR_MAX];

    if (peek(c) == '[' || peek(c) == '(')
        return FAIL(c->ctx, DRMAD_E_UNSAFE,
                    "%s: byte %zu: a structured type; save each field as an array of its own",
                    c->b->name, c->at);
    drmad_status st = take_string(c, text);
    if (st != DRMAD_OK) return st;
    if (strchr(text, 'O') || strchr(text, 'V'))
        return FAIL(c->ctx, DRMAD_E_UNSAFE,
                    "%s: type '%s' holds Python objects or raw records; save the array with a "
                    "plain type and numpy.save(path, array, allow_pickle=False)",
                    c->b->name, text);
    if (text[0] && strchr("<>|=", text[0]))
        for (size_t i = 0; i < COUNT(types); i++)
            if (strcmp(text + 1, types[i].text) == 0) {
                h->element = types[i].element;
                h->big_endian = text[0] == '>';
                return DRMAD_OK;
            }
    return FAIL(c->ctx, DRMAD_E_DATA, "%s: type '%s', expected u1 b1 i1 i2 i4 i8 f4 or f8",
                c->b->name, text);
}

static drmad_status take_order(cursor *c, array_head *h)
{
    static const char *const words[] = {"False", "True"};

    peek(c);
    for (int i = 0; i < 2; i++) {
        const size_t n = strlen(words[i]);
        if (c->end - c->at >= n && memcmp(c->b->at + c->at, words[i], n) == 0) {
            c->at += n;
            h->column_major = i == 1;
            return DRMAD_OK;
        }
    }
    return expected(c, "True or False");
}

static drmad_status take_number(cursor *c, int64_t *out)
{
    int64_t v = 0;

    if (peek(c) < '0' || peek(c) > '9') return expected(c, "a dimension");
    for (; c->at < c->end && c->b->at[c->at] >= '0' && c->b->at[c->at] <= '9'; c->at++)
        if (__builtin_mul_overflow(v, 10, &v) ||
            __builtin_add_overflow(v, c->b->at[c->at] - '0', &v))
            return expected(c, "a dimension below 2^63");
    *out = v;
    return DRMAD_OK;
}

/* "()", "(3,)", "(3, 4)" or "(3, 4,)"; "(3)" is a number to Python, not a tuple. */
static drmad_status take_shape(cursor *c, array_head *h)
{
    bool comma = true;

    h->shape = (shape){0};
    if (!take(c, '(')) return expected(c, "the shape, a tuple");
    while (!take(c, ')')) {
        if (!comma) return expected(c, "a comma or the end of the shape");
        if (h->shape.rank == RANK_MAX)
            return FAIL(c->ctx, DRMAD_E_DATA, "%s: byte %zu: more than %d dimensions", c->b->name,
                        c->at, RANK_MAX);
        drmad_status st = take_number(c, &h->shape.dim[h->shape.rank++]);
        if (st != DRMAD_OK) return st;
        comma = take(c, ',');
    }
    return h->shape.rank == 1 && !comma ? expected(c, "a comma behind the only dimension")
                                        : DRMAD_OK;
}

static drmad_status take_dict(cursor *c, array_head *h)
{
    static const struct {
        const char *key;
        drmad_status (*take)(cursor *c, array_head *h);
    } rows[] = {{"descr", take_descr}, {"fortran_order", take_order}, {"shape", take_shape}};
    bool seen[COUNT(rows)] = {false};
    char key[DESCR_MAX];

    if (!take(c, '{')) return expected(c, "{");
    for (bool comma = true; !take(c, '}'); comma = take(c, ',')) {
        size_t r = 0;
        if (!comma) return expected(c, "a comma or }");
        drmad_status st = take_string(c, key);
        if (st != DRMAD_OK) return st;
        while (r < COUNT(rows) && strcmp(rows[r].key, key) != 0) r++;
        if (r == COUNT(rows) || seen[r])
            return FAIL(
                c->ctx, DRMAD_E_DATA,
                "%s: byte %zu: key '%s', expected descr, fortran_order and shape, once each",
                c->b->name, c->at, key);
        seen[r] = true;
        if (!take(c, ':')) return expected(c, ":");
        st = rows[r].take(c, h);
        if (st != DRMAD_OK) return st;
    }
    for (size_t r = 0; r < COUNT(rows); r++)
        if (!seen[r])
            return FAIL(c->ctx, DRMAD_E_DATA, "%s: byte %zu: the npy header lacks '%s'", c->b->name,
                        c->at, rows[r].key);
    return peek(c) == '\0' && c->at == c->end ? DRMAD_OK : expected(c, "only blanks behind }");
}

static bool npy_claims(const blob *b)
{
    return b->size >= sizeof magic && memcmp(b->at, magic, sizeof magic) == 0;
}

static drmad_status npy_head(drmad_ctx *ctx, const blob *b, array_head *out)
{
    const uint8_t *p = b->at;
    const size_t start = b->size > 6 && p[6] == 1 ? 10 : 12;

    if (b->size < start)
        return FAIL(ctx, DRMAD_E_DATA, "%s: ends at byte %zu, expected %zu bytes before the header",
                    b->name, b->size, start);
    if (p[6] < 1 || p[6] > 3 || p[7] != 0)
        return FAIL(ctx, DRMAD_E_DATA, "%s: byte 6: npy version %u.%u, expected 1.0, 2.0 or 3.0",
                    b->name, p[6], p[7]);
    size_t length = (size_t)p[8] | (size_t)p[9] << 8;
    if (start == 12) length |= (size_t)p[10] << 16 | (size_t)p[11] << 24;
    if (length > HEADER_MAX)
        return FAIL(ctx, DRMAD_E_DATA, "%s: byte 8: a header of %zu bytes, at most %d", b->name,
                    length, HEADER_MAX);
    if (b->size - start < length)
        return FAIL(ctx, DRMAD_E_DATA, "%s: ends at byte %zu inside the header, expected %zu bytes",
                    b->name, b->size, start + length);
    cursor c = {ctx, b, start, start + length};
    out->offset = start + length;
    return take_dict(&c, out);
}

const array_format array_npy = {"npy", npy_claims, npy_head};
