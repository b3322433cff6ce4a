/* A text that grows by doubling. */
#include "base/text.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { LEAST = 256 };

void text_put_bytes(text_out *t, const char *bytes, size_t n)
{
    size_t need;

    if (t->st != DRMAD_OK) return;
    if (!size_add(t->used, n, &need) || !size_add(need, 1, &need)) need = SIZE_MAX;
    if (need > t->size) {
        size_t size = need < SIZE_MAX / 2 ? 2 * need : need;

        if (size < LEAST) size = LEAST;
        t->st = mem_resize(t->ctx, &t->text, t->size, size, 1);
        if (t->st != DRMAD_OK) return;
        t->size = size;
    }
    memcpy(t->text + t->used, bytes, n);
    t->used += n;
    t->text[t->used] = '\0';
}

void text_put(text_out *t, const char *text)
{
    text_put_bytes(t, text, strlen(text));
}

void text_say(text_out *t, const char *fmt, ...)
{
    char line[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    text_put(t, line);
}

drmad_status text_give(text_out *t, char **out)
{
    const drmad_status st = t->st;

    *out = NULL;
    if (st == DRMAD_OK) *out = t->text;
    else mem_free(t->ctx, t->text);
    *t = (text_out){.ctx = t->ctx};
    return st;
}

void text_free(text_out *t)
{
    mem_free(t->ctx, t->text);
    *t = (text_out){.ctx = t->ctx};
}

char *text_shown(const char *text, size_t most, char *buf)
{
    size_t n = 0;

    for (; text[n] && n < most; n++)
        buf[n] = (char)((unsigned char)text[n] < 0x20 || text[n] == 0x7f ? '?' : text[n]);
    if (text[n]) {
        while (n > 0 && ((unsigned char)text[n] & 0xC0) == 0x80) n--; /* not inside a character */
        memcpy(buf + n, "...", 3), n += 3;
    }
    buf[n] = '\0';
    return buf;
}
