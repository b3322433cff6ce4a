/* Standard error: log lines and, on a terminal, one progress line with the time left. */
#include "cli.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BAR = 24, LABEL_MAX = 16 };
static const double redraw_s = 0.1;

static double now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}

void term_init(term *t, const args *a)
{
    const char *kind = getenv("TERM"), *no_color = getenv("NO_COLOR");

    *t = (term){.quiet = a->quiet, .verbose = a->verbose, .since = now()};
    t->seen = t->since;
    t->tty = isatty(STDERR_FILENO) && kind && strcmp(kind, "dumb") != 0;
    t->color = t->tty && !(no_color && no_color[0]); /* no-color.org */
}

/* Names in messages come from files: on a terminal a control byte could move the cursor. Those of
 * UTF-8, U+0080 to U+009F, are C2 80 to C2 9F. */
static void put_clean(FILE *f, const char *s, size_t most)
{
    for (size_t i = 0; s[i] && i < most; i++) {
        const unsigned char c = (unsigned char)s[i], before = i ? (unsigned char)s[i - 1] : 0;
        const bool control = (c < 0x20 && c != '\n' && c != '\t') || c == 0x7f ||
                             (before == 0xc2 && c >= 0x80 && c <= 0x9f);

        putc(control ? '?' : c, f);
    }
}

void print_clean(const char *text)
{
    if (isatty(STDOUT_FILENO)) put_clean(stdout, text, SIZE_MAX);
    else fputs(text, stdout);
}

void term_clear(term *t)
{
    if (t->open) fputs("\r\033[K", stderr);
    t->open = false;
}

void term_say(term *t, const char *label, const char *text)
{
    term_clear(t);
    fprintf(stderr, t->color ? "\033[1m%s:\033[0m " : "%s: ", label);
    put_clean(stderr, text, SIZE_MAX);
    putc('\n', stderr);
}

void term_log(void *term_ptr, int level, const char *line)
{
    term *t = term_ptr;
    int shown = t->quiet ? 0 : 2 + t->verbose; /* errors; up to progress; detail with -v */

    if (level > shown) return;
    if (level <= 1) {
        term_say(t, level == 0 ? "error" : "warning", line);
        return;
    }
    term_clear(t);
    put_clean(stderr, line, SIZE_MAX);
    putc('\n', stderr);
}

static void put_duration(double s)
{
    long n = s < 1e6 ? lround(s) : 1000000;

    if (n < 3600) fprintf(stderr, "%ld:%02ld", n / 60, n % 60);
    else fprintf(stderr, "%ld:%02ld:%02ld", n / 3600, n / 60 % 60, n % 60);
}

/* A new stage begins with the event before its first one. */
static void enter(term *t, const char *stage)
{
    if (strcmp(t->stage, stage) == 0) return;
    snprintf(t->stage, sizeof t->stage, "%s", stage);
    t->since = t->seen;
}

static void put_bar(double share)
{
    fprintf(stderr, " [");
    for (int i = 0; i < BAR; i++) putc(i < lround(share * BAR) ? '#' : '.', stderr);
    fprintf(stderr, "] %3.0f %%", 100 * share);
}

void term_progress(term *t, const char *stage, double done, double total)
{
    double s = now(), share = total > 0 ? fmin(1, fmax(0, done / total)) : 0;

    enter(t, stage);
    t->seen = s;
    if (!t->tty || t->quiet || (t->open && s - t->drawn < redraw_s)) return;
    t->drawn = s;
    term_clear(t);
    t->open = true;
    put_clean(stderr, stage, LABEL_MAX);
    if (total > 0) put_bar(share);
    fprintf(stderr, "  ");
    put_duration(s - t->since);
    if (share > 0 && share < 1) {
        fprintf(stderr, ", left ");
        put_duration((s - t->since) * (1 - share) / share);
    }
    fflush(stderr);
}
