/* A text that grows, from the context's memory. The first failure sticks in `st` and makes the rest
 * do nothing, so a writer looks once, at the end.
 *
 *   text_out t = {.ctx = ctx};   text_put(&t, "...");   ...   text_give(&t, &out), or text_free(&t)
 *
 * Ownership: `text` ends with a 0 and is the writer's until given; NULL before anything was put. */
#ifndef TEXT_H
#define TEXT_H
#include "base/base.h"

typedef struct text_out {
    drmad_ctx *ctx;
    char *text;
    size_t used, size;
    drmad_status st;
} text_out;

void text_put_bytes(text_out *t, const char *bytes, size_t n);
void text_put(text_out *t, const char *text);
/* For short texts: what is longer than 1023 bytes is cut. */
void text_say(text_out *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Gives *out, NULL on failure; nothing is left in `t` then. */
drmad_status text_give(text_out *t, char **out);
void text_free(text_out *t); /* empty again, without a failure */

/* The beginning of `text` for a message: at most `most` bytes and "...", control bytes as '?'. buf
 * has room for most + 4. Gives buf. */
char *text_shown(const char *text, size_t most, char *buf);
#endif
