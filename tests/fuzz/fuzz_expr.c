/* Conditions and rules: what is accepted must be worth the same twice, whatever the names stand
 * for; what is not must be refused with a message. */
#include "fuzz.h"
#include "space/expr.h"

/* One-letter names are parameters: capitals are texts, x is left out. */
static enum expr_type known(void *user, const char *name)
{
    (void)user;
    if (!name[0] || name[1]) return EXPR_MISSING;
    return name[0] >= 'A' && name[0] <= 'Z' ? EXPR_TEXT : EXPR_NUMBER;
}

static expr_value value(void *user, const char *name)
{
    (void)user;
    if (known(NULL, name) == EXPR_TEXT) return (expr_value){.type = EXPR_TEXT, .text = name};
    if (name[0] == 'x') return (expr_value){.type = EXPR_MISSING};
    if (name[0] == 't') return (expr_value){.type = EXPR_TEXT, .text = "t"};
    return (expr_value){.type = EXPR_NUMBER, .number = name[0] - 'f'};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    drmad_ctx *ctx = drmad_ctx_new(NULL, NULL);
    char *text = malloc(size + 1);
    expr_truth first = EXPR_OPEN, second = EXPR_OPEN;
    expr *e = NULL;

    if (!ctx || !text) abort();
    if (size) memcpy(text, data, size);
    text[size] = '\0';
    drmad_status st = expr_parse(ctx, text, known, NULL, &e);

    if ((st == DRMAD_OK) != (e != NULL)) abort();
    if (e) {
        if (strcmp(expr_text(e), text) != 0) abort();
        for (int32_t i = 0; expr_name(e, i); i++)
            if (known(NULL, expr_name(e, i)) == EXPR_MISSING) abort();
        st = expr_eval(ctx, e, value, NULL, &first);
        if (expr_eval(ctx, e, value, NULL, &second) != st || first != second) abort();
    }
    if (st != DRMAD_OK && (st != DRMAD_E_CONFIG || drmad_errmsg(ctx)[0] == '\0')) abort();
    expr_free(ctx, e);
    drmad_ctx_free(ctx);
    free(text);
    return 0;
}
