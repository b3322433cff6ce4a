/* Shared by the files of search.h only. */
#ifndef SEARCH_INSIDE_H
#define SEARCH_INSIDE_H
#include "base/text.h"
#include "space/expr_inside.h"
#include "space/search.h"

enum { SEARCH_NAME_MAX = 512, SEARCH_WHY_BYTES = 256 };
#define SEARCH_WHOLE_MAX 9007199254740992.0 /* 2^53: the whole numbers that a double tells apart */

/* As Python's json.dumps writes it: in quotes, ASCII. */
void search_put_json(text_out *t, const char *s, size_t n);

/* ---- parameters: search_param.c, search_json.c ---- */

/* Fills in what was left open and says what is wrong: the key at fault, and in `why` the reason;
 * NULL when all is well. Choices are as search_choices_prepare left them. */
const char *search_param_fault(search_param *p, char why[SEARCH_WHY_BYTES]);
void search_param_clear(drmad_ctx *ctx, search_param *p); /* all but p itself */
/* Choices as Python writes them, and their texts. DRMAD_E_CONFIG when one is no JSON scalar. */
drmad_status search_choices_prepare(drmad_ctx *ctx, search_param *p);
drmad_status search_distribution_print(drmad_ctx *ctx, const search_param *p, char **out);
/* NULL, or why x cannot be the parameter's value. */
const char *search_value_fault(const search_param *p, double x, char why[SEARCH_WHY_BYTES]);

/* ---- values: search_values.c ---- */

/* Takes the JSON scalar at `text` as Python would write it; DRMAD_E_CONFIG when it is none. *plain:
 * what it says without quotes. */
drmad_status search_scalar_print(drmad_ctx *ctx, const char *text, char **json, char **plain);
/* The value that a text stands for: a JSON scalar, or bare text for a choice. Fails without naming
 * the parameter. */
drmad_status search_value_of_text(drmad_ctx *ctx, const search_param *p, const char *text,
                                  double *x);
void search_value_print(text_out *t, const search_param *p, double x);

/* What a name in a condition or a rule stands for; user: the search. expr_known_fn. */
enum expr_type search_param_known(void *user, const char *name);

/* ---- grids: search_grid.c ---- */

/* The last of low, low + step, ... that is at most high, and how many there are, in decimal
 * arithmetic on the numbers as they print, as Optuna does it. False when they have more digits than
 * can be computed with. */
bool search_grid_last(double low, double high, double step, double *last, double *count);
#endif
