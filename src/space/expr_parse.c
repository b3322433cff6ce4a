/* Expressions from text: recursive descent, one function a level of binding. What can be refused
 * without values is refused here: names that are no parameters, texts that are computed with. */
#include "base/number.h"
#include "space/expr_inside.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>

typedef enum token_type { TOKEN_END, TOKEN_NUMBER, TOKEN_TEXT, TOKEN_NAME, TOKEN_SIGN } token_type;

typedef struct token {
    token_type type;
    int column;
    char sign[4]; /* operators and parentheses */
    double number;
    const char *text; /* names, and what stood in quotes */
    bool quoted;      /* a name in `` */
} token;

typedef struct parser {
    drmad_ctx *ctx;
    expr *e;
    const char *at; /* behind the current token */
    char *texts;    /* the next free byte of e->texts */
    token t;        /* the current token */
    int depth;
    expr_known_fn *known;
    void *user;
} parser;

static drmad_status parse_or(parser *p, int16_t *out);

static drmad_status fail_at(const parser *p, int column, const char *what)
{
    return expr_fail(p->ctx, p->e->text, column, what);
}

static bool is_name_byte(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '.' || (unsigned char)c >= 0x80;
}

/* Keeps n bytes of the text as a string; there is room, since each was taken from the text. */
static const char *keep(parser *p, const char *from, size_t n)
{
    char *s = p->texts;

    memcpy(s, from, n);
    s[n] = '\0';
    p->texts += n + 1;
    return s;
}

static drmad_status next_quoted(parser *p)
{
    const char *end = strchr(p->at + 1, p->at[0]);

    if (!end) return fail_at(p, p->t.column, "the closing quote is missing");
    p->t.quoted = p->at[0] == '`';
    p->t.type = p->t.quoted ? TOKEN_NAME : TOKEN_TEXT;
    p->t.text = keep(p, p->at + 1, (size_t)(end - p->at - 1));
    p->at = end + 1;
    return DRMAD_OK;
}

static drmad_status next_number(parser *p)
{
    const char *end = p->at;
    char digits[64];

    while (isdigit((unsigned char)*end) || *end == '.') end++;
    if ((*end == 'e' || *end == 'E') &&
        isdigit((unsigned char)end[1 + (end[1] == '-' || end[1] == '+')])) {
        for (end += 2; isdigit((unsigned char)*end);) end++;
    }
    size_t n = (size_t)(end - p->at);

    if (n >= sizeof digits || is_name_byte(*end))
        return fail_at(p, p->t.column, "not a number that can be read");
    memcpy(digits, p->at, n);
    digits[n] = '\0';
    if (!number_read(digits, &p->t.number))
        return fail_at(p, p->t.column, "not a number that can be read");
    p->t.type = TOKEN_NUMBER;
    p->at = end;
    return DRMAD_OK;
}

static drmad_status next_sign(parser *p)
{
    static const char *const signs[] = {"**", "==", "!=", "<=", ">=", "<", ">", "+",
                                        "-",  "*",  "/",  "%",  "(",  ")", ","};

    for (size_t i = 0; i < COUNT(signs); i++) {
        size_t n = strlen(signs[i]);

        if (strncmp(p->at, signs[i], n) != 0) continue;
        p->t.type = TOKEN_SIGN;
        memcpy(p->t.sign, signs[i], n + 1);
        p->at += n;
        return DRMAD_OK;
    }
    return fail_at(p, p->t.column,
                   *p->at == '='   ? "= is not a comparison; write =="
                   : *p->at == '&' ? "write `and`"
                   : *p->at == '|' ? "write `or`"
                   : *p->at == '!' ? "write `not`"
                                   : "a character that has no meaning here");
}

static drmad_status next(parser *p)
{
    p->at += strspn(p->at, " \t\r\n");
    p->t = (token){.column = (int)(p->at - p->e->text) + 1};
    char c = *p->at;

    if (c == '\0') return DRMAD_OK;
    if (c == '"' || c == '\'' || c == '`') return next_quoted(p);
    if (isdigit((unsigned char)c) || (c == '.' && isdigit((unsigned char)p->at[1])))
        return next_number(p);
    if (!is_name_byte(c) || c == '.') return next_sign(p);
    const char *end = p->at;

    while (is_name_byte(*end)) end++;
    p->t.type = TOKEN_NAME;
    p->t.text = keep(p, p->at, (size_t)(end - p->at));
    p->at = end;
    return DRMAD_OK;
}

static bool is_sign(const parser *p, const char *sign)
{
    return p->t.type == TOKEN_SIGN && strcmp(p->t.sign, sign) == 0;
}

static bool is_word(const parser *p, const char *word)
{
    return p->t.type == TOKEN_NAME && !p->t.quoted && strcmp(p->t.text, word) == 0;
}

static drmad_status expect(parser *p, const char *sign, const char *what)
{
    return is_sign(p, sign) ? next(p) : fail_at(p, p->t.column, what);
}

static drmad_status add(parser *p, expr_node n, int16_t *out)
{
    drmad_status st = DRMAD_OK;
    expr *e = p->e;

    if (e->n == EXPR_NODES_MAX) return fail_at(p, p->t.column, "the expression is too long");
    if (e->n % 32 == 0)
        TRY(mem_resize(p->ctx, &e->nodes, (size_t)e->n, (size_t)e->n + 32, sizeof n));
    e->nodes[e->n] = n;
    *out = (int16_t)e->n++;
done:
    return st;
}

/* A node that computes; what it computes with must not be a text for sure. */
static drmad_status add_inner(parser *p, expr_op op, int16_t a, int16_t b, int16_t *out)
{
    const expr_node *na = &p->e->nodes[a], *nb = &p->e->nodes[b];
    int column = nb->column;

    for (int i = 0; i < 2 && op != OP_EQUAL && op != OP_UNEQUAL; i++) {
        const expr_node *n = i ? nb : na;
        bool text =
            n->op == OP_TEXT || (n->op == OP_NAME && p->known(p->user, n->text) == EXPR_TEXT);

        if (text) return fail_at(p, n->column, "a text cannot be computed with");
    }
    return add(p, (expr_node){.op = op, .a = a, .b = b, .column = (int16_t)column}, out);
}

/* What is inside parentheses, a minus, a not or an exponent. */
static drmad_status deeper(parser *p)
{
    if (++p->depth > EXPR_DEPTH_MAX) return fail_at(p, p->t.column, "nested too deeply");
    return DRMAD_OK;
}

/* The name has been read, its parenthesis is next. */
static drmad_status parse_call(parser *p, const token *name, int16_t *out)
{
    static const struct {
        const char *name;
        expr_op op;
    } functions[] = {{"log", OP_LOG},     {"exp", OP_EXP}, {"sqrt", OP_SQRT}, {"abs", OP_ABS},
                     {"floor", OP_FLOOR}, {"min", OP_MIN}, {"max", OP_MAX}};
    drmad_status st = DRMAD_OK;
    size_t f = 0;
    int16_t arg;

    while (f < COUNT(functions) && strcmp(functions[f].name, name->text) != 0) f++;
    if (f == COUNT(functions))
        return fail_at(p, name->column,
                       "no such function; known are log, exp, sqrt, abs, floor, min, max");
    bool many = functions[f].op == OP_MIN || functions[f].op == OP_MAX;

    TRY(next(p));
    TRY(parse_or(p, out));
    if (!many) TRY(add_inner(p, functions[f].op, *out, *out, out));
    else if (!is_sign(p, ",")) return fail_at(p, p->t.column, "min and max take two values");
    while (many && is_sign(p, ",")) {
        TRY(next(p));
        TRY(parse_or(p, &arg));
        TRY(add_inner(p, functions[f].op, *out, arg, out));
    }
    TRY(expect(p, ")", "a ) is missing"));
done:
    return st;
}

/* A name stands as OP_NAME until it is known to be a text: parse_comparison. */
static drmad_status parse_name(parser *p, int16_t *out)
{
    drmad_status st = DRMAD_OK;
    token name = p->t;
    expr_node n = {.op = OP_NAME, .column = (int16_t)name.column, .text = name.text};

    if (is_word(p, "true") || is_word(p, "false"))
        n = (expr_node){.op = OP_NUMBER, .column = n.column, .number = is_word(p, "true")};
    else if (is_word(p, "and") || is_word(p, "or") || is_word(p, "not"))
        return fail_at(p, name.column, "a value is missing");
    TRY(next(p));
    if (n.op == OP_NAME && !name.quoted && is_sign(p, "(")) {
        TRY(deeper(p));
        TRY(parse_call(p, &name, out));
        p->depth--;
    } else {
        TRY(add(p, n, out));
    }
done:
    return st;
}

static drmad_status parse_primary(parser *p, int16_t *out)
{
    drmad_status st = DRMAD_OK;
    expr_node n = {.column = (int16_t)p->t.column, .number = p->t.number, .text = p->t.text};

    if (p->t.type == TOKEN_NAME) return parse_name(p, out);
    if (p->t.type == TOKEN_NUMBER || p->t.type == TOKEN_TEXT) {
        n.op = p->t.type == TOKEN_NUMBER ? OP_NUMBER : OP_TEXT;
        TRY(next(p));
        return add(p, n, out);
    }
    if (!is_sign(p, "(")) return fail_at(p, p->t.column, "a value is missing");
    TRY(deeper(p));
    TRY(next(p));
    TRY(parse_or(p, out));
    TRY(expect(p, ")", "a ) is missing"));
    p->depth--;
done:
    return st;
}

static drmad_status parse_unary(parser *p, int16_t *out)
{
    drmad_status st = DRMAD_OK;
    int16_t exponent;

    TRY(deeper(p));
    if (is_sign(p, "-")) {
        TRY(next(p));
        TRY(parse_unary(p, out));
        TRY(add_inner(p, OP_NEGATE, *out, *out, out));
    } else {
        TRY(parse_primary(p, out));
        if (is_sign(p, "**")) {
            TRY(next(p));
            TRY(parse_unary(p, &exponent));
            TRY(add_inner(p, OP_POWER, *out, exponent, out));
        }
    }
    p->depth--;
done:
    return st;
}

static drmad_status parse_term(parser *p, int16_t *out)
{
    drmad_status st = DRMAD_OK;
    int16_t b;

    TRY(parse_unary(p, out));
    while (is_sign(p, "*") || is_sign(p, "/") || is_sign(p, "%")) {
        expr_op op = is_sign(p, "*") ? OP_MULTIPLY : is_sign(p, "/") ? OP_DIVIDE : OP_MODULO;

        TRY(next(p));
        TRY(parse_unary(p, &b));
        TRY(add_inner(p, op, *out, b, out));
    }
done:
    return st;
}

static drmad_status parse_sum(parser *p, int16_t *out)
{
    drmad_status st = DRMAD_OK;
    int16_t b;

    TRY(parse_term(p, out));
    while (is_sign(p, "+") || is_sign(p, "-")) {
        expr_op op = is_sign(p, "+") ? OP_ADD : OP_SUBTRACT;

        TRY(next(p));
        TRY(parse_term(p, &b));
        TRY(add_inner(p, op, *out, b, out));
    }
done:
    return st;
}

static bool is_unknown(const parser *p, int16_t i)
{
    const expr_node *n = &p->e->nodes[i];

    return n->op == OP_NAME && p->known(p->user, n->text) == EXPR_MISSING;
}

static bool is_comparison(const parser *p, expr_op *op)
{
    static const char *const signs[] = {"==", "!=", "<", "<=", ">", ">="};

    for (size_t i = 0; i < COUNT(signs); i++)
        if (is_sign(p, signs[i])) {
            *op = (expr_op)(OP_EQUAL + (int)i);
            return true;
        }
    return false;
}

/* a < b, and a < b < c as a < b and b < c. */
static drmad_status parse_comparison(parser *p, int16_t *out)
{
    drmad_status st = DRMAD_OK;
    int16_t a, b, one;
    bool first = true;
    expr_op op;

    TRY(parse_sum(p, &a));
    *out = a;
    while (is_comparison(p, &op)) {
        TRY(next(p));
        TRY(parse_sum(p, &b));
        bool equality = op == OP_EQUAL || op == OP_UNEQUAL;

        if (equality && is_unknown(p, a) && !is_unknown(p, b)) p->e->nodes[a].op = OP_TEXT;
        else if (equality && is_unknown(p, b) && !is_unknown(p, a)) p->e->nodes[b].op = OP_TEXT;
        TRY(add_inner(p, op, a, b, &one));
        if (first) *out = one;
        else TRY(add_inner(p, OP_AND, *out, one, out));
        first = false, a = b;
    }
done:
    return st;
}

static drmad_status parse_not(parser *p, int16_t *out)
{
    drmad_status st = DRMAD_OK;

    if (!is_word(p, "not")) return parse_comparison(p, out);
    TRY(deeper(p));
    TRY(next(p));
    TRY(parse_not(p, out));
    TRY(add_inner(p, OP_NOT, *out, *out, out));
    p->depth--;
done:
    return st;
}

static drmad_status parse_and(parser *p, int16_t *out)
{
    drmad_status st = DRMAD_OK;
    int16_t b;

    TRY(parse_not(p, out));
    while (is_word(p, "and")) {
        TRY(next(p));
        TRY(parse_not(p, &b));
        TRY(add_inner(p, OP_AND, *out, b, out));
    }
done:
    return st;
}

static drmad_status parse_or(parser *p, int16_t *out)
{
    drmad_status st = DRMAD_OK;
    int16_t b;

    TRY(parse_and(p, out));
    while (is_word(p, "or")) {
        TRY(next(p));
        TRY(parse_and(p, &b));
        TRY(add_inner(p, OP_OR, *out, b, out));
    }
done:
    return st;
}

/* What is left as a name must be a parameter, and the whole must not be a text. */
static drmad_status check_names(const parser *p)
{
    const expr *e = p->e;
    char what[160], buf[EXPR_SHOWN_BYTES];

    for (int16_t i = 0; i < e->n; i++) {
        if (!is_unknown(p, i)) continue;
        snprintf(what, sizeof what, "no parameter is called \"%s\"",
                 expr_shown(e->nodes[i].text, buf));
        return fail_at(p, e->nodes[i].column, what);
    }
    const expr_node *whole = &e->nodes[e->n - 1];

    if (whole->op == OP_TEXT ||
        (whole->op == OP_NAME && p->known(p->user, whole->text) == EXPR_TEXT))
        return fail_at(p, whole->column, "a text is neither true nor false");
    return DRMAD_OK;
}

drmad_status expr_parse(drmad_ctx *ctx, const char *text, expr_known_fn *fn, void *user, expr **out)
{
    drmad_status st = DRMAD_OK;
    parser p = {.ctx = ctx, .known = fn, .user = user};
    int16_t whole;
    expr *e = NULL;

    *out = NULL;
    if (strlen(text) > EXPR_BYTES_MAX)
        return expr_fail(ctx, text, EXPR_BYTES_MAX, "the expression is too long");
    TRY(mem_alloc(ctx, 1, sizeof *e, &e));
    TRY(mem_strdup(ctx, text, &e->text));
    TRY(mem_alloc(ctx, 2 * strlen(text) + 1, 1, &e->texts));
    p.e = e, p.at = e->text, p.texts = e->texts;
    TRY(next(&p));
    TRY(parse_or(&p, &whole));
    if (p.t.type != TOKEN_END) {
        st = fail_at(&p, p.t.column, "an operator is missing before this");
        goto done;
    }
    TRY(check_names(&p));
    *out = e, e = NULL;
done:
    expr_free(ctx, e);
    return st;
}
