/* JSON as text: looked at in place and written without a tree, NaN and Infinity as Python writes
 * them included. A journal's lines are read and made with it: what is only passed on, attributes
 * above all, stays the bytes it was.
 *
 * Threads: pure functions. */
#ifndef JSON_TEXT_H
#define JSON_TEXT_H
#include "base/text.h"

/* One value inside a longer text: [at, end). at == NULL: none. */
typedef struct json_span {
    const char *at, *end;
} json_span;

/* The whole of [text, text + size) as one value, space around it allowed; false when it is not
 * JSON, or nested deeper than 500. */
bool json_whole(const char *text, size_t size, json_span *out);

/* The members of an object or the items of an array, one a call; false past the last, and at once
 * for anything else. `walk` starts as the span itself with at = its first byte. key.at is NULL in
 * an array; a key's span has its quotes. The value must have passed json_whole. */
typedef struct json_walk {
    const char *at, *end;
    json_span key, value;
} json_walk;
json_walk json_walk_of(json_span value);
bool json_next(json_walk *w);

/* The member `key` (plain ASCII) of an object; of several the last, as in Python. */
json_span json_member(json_span object, const char *key);
bool json_is(json_span v, char kind); /* '{' '[' '"' '0' (a number) 'n' (null) 't' (true, false) */
bool json_int(json_span v, int64_t *out);
bool json_double(json_span v, double *out); /* NaN, Infinity and whole numbers too */
bool json_truth(json_span v);
/* Gives *out, the text that a string stands for, as UTF-8. What UTF-8 or C cannot hold, lone
 * surrogates and U+0000, is kept apart from all else as three bytes and as C0 80. */
drmad_status json_text(drmad_ctx *ctx, json_span v, char **out);
/* Whether two values are equal as Python sees it: 1 == 1.0 == true, whatever the spelling. Scalars
 * and arrays of them; anything else by its bytes. */
bool json_same(json_span a, json_span b);

/* Values onto a growing text. */
void json_put_string(text_out *o, const char *text);
void json_put_int(text_out *o, int64_t x);
void json_put_real(text_out *o, double x);
void json_put_span(text_out *o, json_span v); /* in one line, without space */
/* `json` in one line; what is not JSON fails with DRMAD_E_USAGE, naming `what`. */
void json_put_json(text_out *o, const char *json, const char *what);
#endif
