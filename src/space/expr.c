/* What an expression is worth: one pass over its nodes. */
#include "space/expr_inside.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static expr_value number_of(double x)
{
    return (expr_value){.type = EXPR_NUMBER, .number = x};
}

static double modulo(double a, double b)
{
    double r = fmod(a, b);

    return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

static double compute(expr_op op, double a, double b)
{
    switch (op) {
    case OP_LESS: return a < b;
    case OP_LESS_EQUAL: return a <= b;
    case OP_GREATER: return a > b;
    case OP_GREATER_EQUAL: return a >= b;
    case OP_ADD: return a + b;
    case OP_SUBTRACT: return a - b;
    case OP_MULTIPLY: return a * b;
    case OP_DIVIDE: return a / b;
    case OP_MODULO: return modulo(a, b);
    case OP_POWER: return pow(a, b);
    case OP_MIN: return b < a ? b : a;
    case OP_MAX: return b > a ? b : a;
    case OP_NOT: return a == 0;
    case OP_NEGATE: return -a;
    case OP_LOG: return log(a);
    case OP_EXP: return exp(a);
    case OP_SQRT: return sqrt(a);
    case OP_ABS: return fabs(a);
    default: return floor(a);
    }
}

/* Operands of both kinds, none of them open. */
static expr_value compare(const expr_value *a, const expr_value *b, bool want)
{
    bool same = a->type == b->type &&
                (a->type == EXPR_TEXT ? strcmp(a->text, b->text) == 0 : a->number == b->number);

    return number_of(same == want);
}

/* `stop` decides whatever the other side is: 0 for and, 1 for or. */
static expr_value connect(const expr_value *a, const expr_value *b, bool stop)
{
    bool open = a->type == EXPR_MISSING || b->type == EXPR_MISSING;

    if (a->type != EXPR_MISSING && (a->number != 0) == stop) return number_of(stop);
    if (b->type != EXPR_MISSING && (b->number != 0) == stop) return number_of(stop);
    return open ? (expr_value){.type = EXPR_MISSING} : number_of(!stop);
}

/* One inner node; false: a text where a number must be. */
static bool node_value(const expr_node *n, const expr_value *values, expr_value *out)
{
    const expr_value *a = &values[n->a], *b = &values[n->b];
    bool equality = n->op == OP_EQUAL || n->op == OP_UNEQUAL;

    *out = (expr_value){.type = EXPR_MISSING};
    if (!equality && (a->type == EXPR_TEXT || b->type == EXPR_TEXT)) return false;
    if (n->op == OP_AND || n->op == OP_OR) *out = connect(a, b, n->op == OP_OR);
    else if (a->type == EXPR_MISSING || b->type == EXPR_MISSING) return true;
    else if (equality) *out = compare(a, b, n->op == OP_EQUAL);
    else *out = number_of(compute(n->op, a->number, b->number));
    return true;
}

drmad_status expr_eval(drmad_ctx *ctx, const expr *e, expr_lookup_fn *fn, void *user,
                       expr_truth *out)
{
    expr_value values[EXPR_NODES_MAX];

    *out = EXPR_OPEN;
    for (int32_t i = 0; i < e->n; i++) {
        const expr_node *n = &e->nodes[i];

        if (n->op == OP_NUMBER) values[i] = number_of(n->number);
        else if (n->op == OP_TEXT) values[i] = (expr_value){.type = EXPR_TEXT, .text = n->text};
        else if (n->op == OP_NAME) values[i] = fn(user, n->text);
        else if (!node_value(n, values, &values[i]))
            return expr_fail(ctx, e->text, n->column, "a text cannot be computed with");
    }
    const expr_value *whole = &values[e->n - 1];

    if (whole->type == EXPR_TEXT)
        return expr_fail(ctx, e->text, 1, "a text is neither true nor false");
    if (whole->type == EXPR_NUMBER) *out = whole->number != 0 ? EXPR_TRUE : EXPR_FALSE;
    return DRMAD_OK;
}

void expr_free(drmad_ctx *ctx, expr *e)
{
    if (!e) return;
    mem_free(ctx, e->text);
    mem_free(ctx, e->texts);
    mem_free(ctx, e->nodes);
    mem_free(ctx, e);
}

const char *expr_text(const expr *e)
{
    return e->text;
}

const char *expr_name(const expr *e, int32_t i)
{
    for (int32_t k = 0; k < e->n; k++)
        if (e->nodes[k].op == OP_NAME && i-- == 0) return e->nodes[k].text;
    return NULL;
}

const char *expr_shown(const char *text, char buf[EXPR_SHOWN_BYTES])
{
    return text_shown(text, 64, buf);
}

drmad_status expr_fail(drmad_ctx *ctx, const char *text, int column, const char *what)
{
    char buf[EXPR_SHOWN_BYTES];

    return FAIL(ctx, DRMAD_E_CONFIG, "\"%s\": column %d: %s", expr_shown(text, buf), column, what);
}
