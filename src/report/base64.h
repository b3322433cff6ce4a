/* Base64 (RFC 4648, with padding): hashes in a page's policy, packed numbers in results of the
 * Python package. */
#ifndef BASE64_H
#define BASE64_H
#include "base/text.h"

void base64_put(text_out *t, const void *bytes, size_t n);
/* Gives *out of *n bytes, from the context's memory; DRMAD_E_DATA when the text is no base64. */
drmad_status base64_read(drmad_ctx *ctx, const char *text, size_t length, void **out, size_t *n);
#endif
