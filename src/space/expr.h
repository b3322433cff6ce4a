/* Conditions and rules on parameters: "depth > 1 and act == relu", "dim % heads == 0".
 *
 *   or  and  not   == != < <= > >=   + -   * / %   unary -   **
 *   numbers, "texts" or 'texts', true, false, names, `any name`, ( )
 *   log exp sqrt abs floor of one value, min max of two or more
 *
 * They bind and work as in Python: % has the divisor's sign, 1 <= x < 3 is two comparisons, ** goes
 * to the right. A name beside == or != that is no parameter is a text. Texts have no order and no
 * truth; text and number are never equal.
 *
 * A value that is left out makes what is computed from it open; `false and open` is false and
 * `true or open` is true all the same. Whoever asks says what open means.
 *
 * Ownership: expr_parse gives, expr_free takes.
 * Threads:   read-only once made. */
#ifndef EXPR_H
#define EXPR_H
#include "base/base.h"

enum { EXPR_BYTES_MAX = 4096, EXPR_NODES_MAX = 512, EXPR_DEPTH_MAX = 64 };

typedef struct expr expr;
typedef enum expr_truth { EXPR_FALSE, EXPR_TRUE, EXPR_OPEN } expr_truth;

typedef struct expr_value {
    enum expr_type { EXPR_MISSING, EXPR_NUMBER, EXPR_TEXT } type;
    double number; /* true is 1 */
    const char *text;
} expr_value;

/* What a name stands for: EXPR_MISSING for no parameter; one that may be either is a number. */
typedef enum expr_type expr_known_fn(void *user, const char *name);
/* DRMAD_E_CONFIG with the column at fault. */
drmad_status expr_parse(drmad_ctx *ctx, const char *text, expr_known_fn *fn, void *user,
                        expr **out);
void expr_free(drmad_ctx *ctx, expr *e); /* NULL is fine */
const char *expr_text(const expr *e);
/* The i-th parameter that the expression uses, NULL past the last. */
const char *expr_name(const expr *e, int32_t i);

typedef expr_value expr_lookup_fn(void *user, const char *name);
/* DRMAD_E_CONFIG when a text is computed with. */
drmad_status expr_eval(drmad_ctx *ctx, const expr *e, expr_lookup_fn *fn, void *user,
                       expr_truth *out);
#endif
