/* Text that grows, from the context's memory. What JSON and CSV have in common: numbers are the
 * shortest that read back the same, whatever the locale.
 *
 *   buffer b = {.ctx = ctx};   ...   text_free(&b); */
#ifndef BUFFER_H
#define BUFFER_H
#include "base/text.h"
#include <jansson.h>

typedef text_out buffer;

/* Each gives the buffer's status. */
drmad_status buffer_put(buffer *b, const char *bytes, size_t n);
drmad_status buffer_text(buffer *b, const char *text);
drmad_status buffer_say(buffer *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Compact JSON, keys in their order. */
drmad_status buffer_json(buffer *b, const json_t *value);
/* A name for people: control bytes as \xNN, so that no name moves a cursor or ends a line. */
drmad_status buffer_name(buffer *b, const char *name);
/* A value for people: a text without its quotes, all else as JSON; names' rule for control bytes.
 */
drmad_status buffer_value(buffer *b, const json_t *value);
#endif
