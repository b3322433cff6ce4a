/* The page: frame, escaping, tables. */
#include "report/html.h"
#include "base/sha256.h"
#include "report/base64.h"
#include "report/buffer.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- texts ---- */

/* Bytes of the UTF-8 character at s, 0 when it is none; *code its number. */
static int utf8_at(const unsigned char *s, uint32_t *code)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const int n = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;

    if (n == 0 || s[0] > 0xf4) return 0;
    *code = n == 1 ? s[0] : s[0] & (0xffu >> (n + 1));
    for (int i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80) return 0;
        *code = *code << 6 | (s[i] & 0x3fu);
    }
    if (*code < least[n] || (*code >= 0xd800 && *code <= 0xdfff) || *code > 0x10ffff) return 0;
    return n;
}

/* What a page should show rather than do: controls, and marks that turn the direction. */
static bool is_hidden(uint32_t c)
{
    return (c < 0x20 && c != '\n') || (c >= 0x7f && c <= 0x9f) || (c >= 0x200b && c <= 0x200f) ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0xfeff ||
           (c & 0xfffe) == 0xfffe;
}

static int put_character(text_out *t, const char *s)
{
    static const char *const from = "&<>\"'";
    static const char *const to[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"};
    uint32_t c = 0;
    const int n = utf8_at((const unsigned char *)s, &c);
    const char *special = n == 1 ? strchr(from, s[0]) : NULL;

    if (n == 0) text_say(t, "\\x%02x", (unsigned char)s[0]);
    else if (is_hidden(c)) text_say(t, c < 0x100 ? "\\x%02x" : "\\u%04x", (unsigned)c);
    else if (special) text_put(t, to[special - from]);
    else text_put_bytes(t, s, (size_t)n);
    return n ? n : 1;
}

static int32_t characters(const char *text)
{
    int32_t n = 0;

    for (; *text; text++) n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

void html_text_cut(text_out *t, const char *text, int32_t most)
{
    const bool whole = characters(text) <= most;

    for (int32_t i = 0; *text && (whole || i + 1 < most); i++) text += put_character(t, text);
    if (!whole) text_put(t, "\xe2\x80\xa6");
}

void html_text(text_out *t, const char *text)
{
    while (*text) text += put_character(t, text);
}

void html_json(text_out *t, const json_t *value)
{
    buffer b = {.ctx = t->ctx};

    if (json_is_string(value)) {
        html_text(t, json_string_value(value));
        return;
    }
    if (value && buffer_json(&b, value) != DRMAD_OK) t->st = b.st;
    if (b.text) html_text(t, b.text);
    text_free(&b);
}

const char *html_number(double x, int digits, char buf[HTML_NUMBER])
{
    if (isnan(x)) return "\xe2\x80\x93";
    if (isinf(x)) return x > 0 ? "inf" : "-inf";
    snprintf(buf, HTML_NUMBER, "%.*g", digits, x);
    return buf;
}

void html_put_number(text_out *t, double x)
{
    char buf[HTML_NUMBER];

    text_put(t, html_number(x, 4, buf));
}

const char *html_duration(double s, char buf[HTML_NUMBER])
{
    if (!isfinite(s)) return "\xe2\x80\x93";
    if (s < 120) snprintf(buf, HTML_NUMBER, "%.3g s", s);
    else if (s < 7200) snprintf(buf, HTML_NUMBER, "%.1f min", s / 60);
    else if (s < 172800) snprintf(buf, HTML_NUMBER, "%.1f h", s / 3600);
    else snprintf(buf, HTML_NUMBER, "%.1f days", s / 86400);
    return buf;
}

/* ---- the frame ---- */

/* The hash by which the policy knows our script: a name that slipped through could still not run
 * as one. */
static void put_policy(text_out *t)
{
    uint8_t hash[32];
    sha256 s;

    sha256_start(&s);
    sha256_add(&s, html_script, strlen(html_script));
    sha256_end(&s, hash);
    text_put(t, "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
                "style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
                "script-src 'sha256-");
    base64_put(t, hash, sizeof hash);
    text_put(t, "'\"/>\n");
}

void html_open(html *h, drmad_ctx *ctx, const char *title)
{
    text_out *t = &h->t;

    *h = (html){.t.ctx = ctx, .c = newlocale(LC_ALL_MASK, "C", (locale_t)0)};
    h->before = uselocale(h->c);
    text_put(t,
             "<!DOCTYPE html>\n<html lang=\"en\" xmlns=\"http://www.w3.org/1999/xhtml\">\n<head>\n"
             "<meta charset=\"utf-8\"/>\n");
    put_policy(t);
    text_put(t, "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
                "<meta name=\"color-scheme\" content=\"light dark\"/>\n<link rel=\"icon\" "
                "href=\"data:,\"/>\n<title>");
    html_text(t, title);
    text_put(t, "</title>\n<style>");
    text_put(t, html_style);
    text_put(t, "</style>\n</head>\n<body>\n<header><h1>");
    html_text(t, title);
    text_put(t, "</h1><button type=\"button\" id=\"theme\" title=\"light or dark\" "
                "aria-label=\"light or dark\">\xe2\x97\x90</button></header>\n<main>\n");
}

void html_drop(html *h)
{
    uselocale(h->before);
    if (h->c) freelocale(h->c);
    text_free(&h->t);
}

drmad_status html_close(html *h, char **out)
{
    text_out *t = &h->t;

    if (h->in_section) text_put(t, "</section>\n");
    text_say(t,
             "</main>\n<footer>made by drmad %s</footer>\n<output id=\"tip\" hidden=\"hidden\">"
             "</output>\n<script>",
             drmad_version());
    text_put(t, html_script);
    text_put(t, "</script>\n</body>\n</html>\n");
    uselocale(h->before);
    if (h->c) freelocale(h->c);
    return text_give(t, out);
}

/* ---- sections, tables ---- */

void html_section(html *h, const char *id, const char *title)
{
    if (h->in_section) text_put(&h->t, "</section>\n");
    h->in_section = true;
    text_say(&h->t, "<section id=\"%s\"><h2>%s</h2>\n", id, title);
}

void html_note(html *h, const char *fmt, ...)
{
    char line[1000];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    text_put(&h->t, "<p class=\"note\">");
    html_text(&h->t, line);
    text_put(&h->t, "</p>\n");
}

void html_table(html *h, const char *class, const char *heads, bool fold)
{
    if (fold) text_put(&h->t, "<details><summary>Numbers</summary>");
    text_say(&h->t, "<div class=\"scroll\"><table class=\"%s\"><thead><tr>", class);
    for (const char *from = heads;; from++) {
        const size_t n = strcspn(from, "|");
        const bool text = from[0] == '<';
        char word[128];

        snprintf(word, sizeof word, "%.*s", (int)(n - text), from + text);
        text_put(&h->t, text ? "<th class=\"text\">" : "<th>");
        html_text(&h->t, word);
        text_put(&h->t, "</th>");
        from += n;
        if (!*from) break;
    }
    text_put(&h->t, "</tr></thead><tbody>\n");
}

void html_table_end(html *h, bool fold)
{
    text_put(&h->t, "</tbody></table></div>\n");
    if (fold) text_put(&h->t, "</details>\n");
}

void html_row(html *h)
{
    text_put(&h->t, "<tr>");
}

void html_row_end(html *h)
{
    text_put(&h->t, "</tr>\n");
}

void html_cell(html *h, const char *text)
{
    text_put(&h->t, "<td class=\"text\">");
    html_text(&h->t, text);
    text_put(&h->t, "</td>");
}

void html_cell_number(html *h, double x)
{
    char buf[HTML_NUMBER];

    text_say(&h->t, "<td>%s</td>", html_number(x, 5, buf));
}

void html_cell_json(html *h, const json_t *value)
{
    if (json_is_real(value)) {
        html_cell_number(h, json_real_value(value));
        return;
    }
    text_put(&h->t, json_is_number(value) ? "<td>" : "<td class=\"text\">");
    if (value && !json_is_null(value)) html_json(&h->t, value);
    text_put(&h->t, "</td>");
}

void html_facts(html *h)
{
    text_put(&h->t, "<dl>\n");
}

void html_fact(html *h, const char *name, const char *value)
{
    if (!value) return;
    text_put(&h->t, "<div><dt>");
    html_text(&h->t, name);
    text_put(&h->t, "</dt><dd>");
    html_text(&h->t, value);
    text_put(&h->t, "</dd></div>\n");
}

void html_fact_say(html *h, const char *name, const char *fmt, ...)
{
    char line[1000];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    html_fact(h, name, line);
}

void html_facts_end(html *h)
{
    text_put(&h->t, "</dl>\n");
}

/* ---- figures ---- */

void html_figures(html *h, const char *class)
{
    text_say(&h->t, "<div class=\"figures %s\">\n", class);
}

void html_figures_end(html *h)
{
    text_put(&h->t, "</div>\n");
}

void html_figure(html *h, const char *caption)
{
    text_put(&h->t, "<figure><figcaption>");
    html_text(&h->t, caption);
    text_put(&h->t, "</figcaption>\n");
}

void html_figure_end(html *h)
{
    text_put(&h->t, "</figure>\n");
}

void html_legend(html *h, const char *entries)
{
    text_put(&h->t, "<p class=\"legend\">");
    for (const char *from = entries;; from++) {
        const int n = (int)strcspn(from, "|"), space = (int)strcspn(from, " ");

        text_say(&h->t, "<span><i class=\"%.*s\"></i>%.*s</span> ", space, from, n - space - 1,
                 from + space + 1);
        from += n;
        if (!*from) break;
    }
    text_put(&h->t, "</p>\n");
}
