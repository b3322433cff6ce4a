/* Conditions and rules on parameters: "depth > 1 and act == relu", "lr * batch <= 6.4".
 *
 *   or  and  not   == != < <= > >=   + -   * /   unary -   **   numbers, "texts", names, ( )
 *   functions: log exp sqrt abs min max floor; a name after == or != that is no parameter is a text
 *
 * A parameter that is left out makes every comparison with it false.
 * Ownership: expr_parse gives, expr_free takes. */
#ifndef EXPR_H
#define EXPR_H
#include "base/base.h"

typedef struct expr expr;

typedef struct expr_value {
    enum { EXPR_MISSING, EXPR_NUMBER, EXPR_TEXT } type;
    double number; /* true is 1 */
    const char *text;
} expr_value;

/* DRMAD_E_CONFIG with the column at fault. */
drmad_status expr_parse(drmad_ctx *ctx, const char *text, expr **out);
void expr_free(drmad_ctx *ctx, expr *e); /* NULL is fine */
const char *expr_text(const expr *e);
/* The i-th name that the expression uses, NULL past the last. */
const char *expr_name(const expr *e, int32_t i);

typedef expr_value expr_lookup_fn(void *user, const char *name);
drmad_status expr_true(drmad_ctx *ctx, const expr *e, expr_lookup_fn *fn, void *user, bool *out);
#endif
