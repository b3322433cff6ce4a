/* A command as a study writes it: words as a shell would cut them, with {parameter} to be filled
 * in. No shell ever sees it: what is filled in stays within its word, whatever it contains.
 *
 *   python train.py --lr={lr} "my data"     four words
 *   a space or tab ends a word; '...' as it is; "..." with \" and \\; \c outside quotes is c
 *   {{ and }} are braces
 *
 * Ownership: template_new gives, template_free takes. Read-only once made. */
#ifndef TEMPLATE_H
#define TEMPLATE_H
#include "base/base.h"

typedef struct template template;

/* DRMAD_E_CONFIG with the column at fault. */
drmad_status template_new(drmad_ctx *ctx, const char *text, template **out);
void template_free(template *t); /* NULL is fine */

int32_t template_words(const template *t);
/* The i-th name in braces, NULL past the last. */
const char *template_name(const template *t, int32_t i);

/* The text to put in place of {name}; NULL: nothing, as where a condition leaves the parameter
 * out. */
typedef const char *template_value_fn(void *user, const char *name);
/* Gives *argv, words ended by NULL: one block of the context's memory. */
drmad_status template_fill(const template *t, template_value_fn *value, void *user, char ***argv);
#endif
