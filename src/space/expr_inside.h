/* Shared by expr.c, which evaluates, and expr_parse.c: an expression is its nodes, each after its
 * operands, so that one pass from first to last computes it, however deep it is. */
#ifndef EXPR_INSIDE_H
#define EXPR_INSIDE_H
#include "base/text.h"
#include "space/expr.h"

typedef enum expr_op {
    OP_NUMBER,
    OP_TEXT,
    OP_NAME,
    OP_NOT,
    OP_AND,
    OP_OR,
    OP_EQUAL, /* comparisons: from here ... */
    OP_UNEQUAL,
    OP_LESS,
    OP_LESS_EQUAL,
    OP_GREATER,
    OP_GREATER_EQUAL, /* ... to here */
    OP_ADD,
    OP_SUBTRACT,
    OP_MULTIPLY,
    OP_DIVIDE,
    OP_MODULO,
    OP_POWER,
    OP_MIN,
    OP_MAX,
    OP_NEGATE, /* one operand: from here ... */
    OP_LOG,
    OP_EXP,
    OP_SQRT,
    OP_ABS,
    OP_FLOOR /* ... to here */
} expr_op;

typedef struct expr_node {
    expr_op op;
    int16_t a, b;   /* operands; the same twice where there is one */
    int16_t column; /* from 1 */
    double number;
    const char *text; /* of a name or a text: in expr.texts */
} expr_node;

struct expr {
    char *text;  /* as it was given */
    char *texts; /* names and texts, each ended by a NUL */
    int32_t n;
    expr_node *nodes;
};

/* Text that is fit for a message: at most 64 bytes, control characters as '?'. */
enum { EXPR_SHOWN_BYTES = 72 };
const char *expr_shown(const char *text, char buf[EXPR_SHOWN_BYTES]);
/* '"lr * ...": column 6: ...' */
drmad_status expr_fail(drmad_ctx *ctx, const char *text, int column, const char *what);
#endif
