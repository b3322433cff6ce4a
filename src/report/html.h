/* One self-contained page: its frame, escaping, sections, tables. What is written is HTML and
 * well-formed XML at once, so that a parser can prove it sound. The page's policy
 * (Content-Security-Policy) forbids every request and every script but its own.
 *
 *   html_open(&h, ctx, "study mnist");  html_section(&h, "history", "History");  ...
 *   st = html_close(&h, &text);
 *
 * Texts of others (names, attributes) go through html_text and nothing else.
 * Ownership: html_close gives *out. Between open and close this thread's locale is C's. */
#ifndef HTML_H
#define HTML_H
#include "base/text.h"
#include <jansson.h>
#include <locale.h>

typedef struct html {
    text_out t;
    locale_t c, before;
    bool in_section;
} html;

void html_open(html *h, drmad_ctx *ctx, const char *title);
drmad_status html_close(html *h, char **out);
void html_drop(html *h); /* in place of html_close, after a failure */

/* Escaped. Control bytes, what turns the direction of writing and what is no UTF-8 become
 * visible. */
void html_text(text_out *t, const char *text);
void html_text_cut(text_out *t, const char *text, int32_t most); /* characters; then an ellipsis */
void html_json(text_out *t, const json_t *value); /* a text without its quotes, all else as JSON */
/* 4 digits, or as many as asked for; "not finite" words for the rest. */
enum { HTML_NUMBER = 32 };
const char *html_number(double x, int digits, char buf[HTML_NUMBER]);
void html_put_number(text_out *t, double x);
const char *html_duration(double seconds, char buf[HTML_NUMBER]);

/* Ends the section before; the first one begins <main>. */
void html_section(html *h, const char *id, const char *title);
/* "<p class=note>": printf form, for texts of our own. */
void html_note(html *h, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* A table with one row of heads: words with '|' between; a head that starts with '<' is of texts,
 * the others of numbers. `fold`: behind a "Numbers" that opens. */
void html_table(html *h, const char *class, const char *heads, bool fold);
void html_table_end(html *h, bool fold);
void html_cell(html *h, const char *text);
void html_cell_number(html *h, double x);
void html_cell_json(html *h, const json_t *value);
void html_row(html *h);
void html_row_end(html *h);
/* A list of name and value. */
void html_facts(html *h);
void html_fact(html *h, const char *name, const char *value); /* nothing where value is NULL */
void html_fact_say(html *h, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void html_facts_end(html *h);

/* ---- figures: charts side by side where there is room ---- */
void html_figures(html *h, const char *class); /* "", "wide" or "small" */
void html_figures_end(html *h);
void html_figure(html *h, const char *caption); /* ours */
void html_figure_end(html *h);
/* Legend: classes of marks with their words, "c complete|p pruned". */
void html_legend(html *h, const char *entries);

/* page_style.c */
extern const char html_style[], html_script[];
#endif
