/* The template as one list of pieces: text, names, ends of words. */
#include "worker/template.h"
#include <ctype.h>
#include <string.h>

typedef enum piece_type { PIECE_TEXT, PIECE_NAME, PIECE_END } piece_type;

typedef struct piece {
    piece_type type;
    const char *text; /* terminated, in `buffer` */
} piece;

struct template
{
    drmad_ctx *ctx;
    char *buffer; /* all pieces' texts */
    piece *pieces;
    int32_t n, words;
};

typedef struct reader {
    template *t;
    const char *at, *start;
    char *to;    /* where the next character goes */
    char quote;  /* 0, ' or " */
    bool inside; /* a word, which may still be empty */
    bool text;   /* the last piece is text that grows */
} reader;

static drmad_status wrong(const reader *r, const char *at, const char *what)
{
    return FAIL(r->t->ctx, DRMAD_E_CONFIG, "column %d: %s", (int)(at - r->start) + 1, what);
}

/* A piece takes at least one character of the text, but for the end of the last word. */
static void add_piece(reader *r, piece_type type)
{
    if (r->text) *r->to++ = '\0';
    r->t->pieces[r->t->n++] = (piece){type, r->to};
    r->text = type == PIECE_TEXT;
}

static void put(reader *r, char c)
{
    if (!r->text) add_piece(r, PIECE_TEXT);
    r->inside = true;
    *r->to++ = c;
}

static void end_word(reader *r)
{
    if (!r->inside) return;
    add_piece(r, PIECE_END);
    r->inside = false;
    r->t->words++;
}

/* r->at is behind the brace. */
static drmad_status read_name(reader *r)
{
    const size_t n = strcspn(r->at, "{}");

    if (r->at[n] != '}') return wrong(r, r->at - 1, "{ without }; a brace itself is {{");
    if (n == 0) return wrong(r, r->at - 1, "{} names no parameter; braces themselves are {{ }}");
    add_piece(r, PIECE_NAME);
    memcpy(r->to, r->at, n);
    r->to += n;
    *r->to++ = '\0';
    r->at += n + 1;
    r->inside = true;
    return DRMAD_OK;
}

static drmad_status read_one(reader *r)
{
    const char c = *r->at++;

    if (r->quote && c == r->quote) {
        r->quote = 0;
    } else if (c == '{' || c == '}') {
        if (*r->at == c) {
            put(r, c);
            r->at++;
            return DRMAD_OK;
        }
        return c == '{' ? read_name(r) : wrong(r, r->at - 1, "} without {; a brace itself is }}");
    } else if (c == '\\' && r->quote != '\'') {
        const bool special = r->quote == 0 || *r->at == '"' || *r->at == '\\';

        if (!*r->at) return wrong(r, r->at - 1, "nothing behind the backslash");
        put(r, special ? *r->at++ : c);
    } else if (!r->quote && (c == '\'' || c == '"')) {
        r->quote = c;
        r->inside = true;
    } else if (!r->quote && isspace((unsigned char)c)) {
        end_word(r);
    } else {
        put(r, c);
    }
    return DRMAD_OK;
}

drmad_status template_new(drmad_ctx *ctx, const char *text, template **out)
{
    const size_t n = strlen(text);
    drmad_status st = DRMAD_OK;
    template *t = NULL;

    *out = NULL;
    TRY(mem_alloc(ctx, 1, sizeof *t, &t));
    t->ctx = ctx;
    TRY(mem_alloc(ctx, 2 * n + 4, 1, &t->buffer));
    TRY(mem_alloc(ctx, 2 * n + 4, sizeof *t->pieces, &t->pieces));
    reader r = {.t = t, .at = text, .start = text, .to = t->buffer};
    while (*r.at) TRY(read_one(&r));
    if (r.quote) TRY(wrong(&r, r.at, "a quote is not closed"));
    end_word(&r);
    if (t->words == 0) TRY(wrong(&r, text, "no command"));
    *out = t, t = NULL;
done:
    template_free(t);
    return st;
}

void template_free(template *t)
{
    if (!t) return;
    mem_free(t->ctx, t->pieces);
    mem_free(t->ctx, t->buffer);
    mem_free(t->ctx, t);
}

int32_t template_words(const template *t)
{
    return t->words;
}

const char *template_name(const template *t, int32_t i)
{
    for (int32_t k = 0; k < t->n; k++)
        if (t->pieces[k].type == PIECE_NAME && i-- == 0) return t->pieces[k].text;
    return NULL;
}

static const char *text_of(const piece *p, template_value_fn *value, void *user)
{
    const char *s = p->text;

    if (p->type == PIECE_END) return "";
    if (p->type == PIECE_NAME) s = value(user, p->text);
    return s ? s : "";
}

drmad_status template_fill(const template *t, template_value_fn *value, void *user, char ***argv)
{
    const size_t words = (size_t)t->words + 1;
    size_t size = words * sizeof **argv, w = 0;
    char **v, *to;

    *argv = NULL;
    for (int32_t i = 0; i < t->n; i++) size += strlen(text_of(&t->pieces[i], value, user)) + 1;
    const drmad_status st = mem_alloc(t->ctx, size, 1, &v);
    if (st != DRMAD_OK) return st;
    to = (char *)(v + words);
    v[w++] = to;
    for (int32_t i = 0; i < t->n; i++) {
        const char *s = text_of(&t->pieces[i], value, user);
        const size_t n = strlen(s);

        memcpy(to, s, n);
        to += n;
        if (t->pieces[i].type != PIECE_END) continue;
        *to++ = '\0';
        v[w++] = to;
    }
    v[w - 1] = NULL;
    *argv = v;
    return DRMAD_OK;
}
