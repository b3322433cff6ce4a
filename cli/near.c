/* The nearest name to a mistyped one: edit distance, at most a third of the word wrong. */
#include "cli.h"
#include <string.h>

enum { WORD_MAX = 32 };

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Levenshtein's distance, one row of the table at a time. Both words are shorter than WORD_MAX. */
static size_t distance(const char *a, const char *b)
{
    size_t row[WORD_MAX + 1], n = strlen(b);

    for (size_t j = 0; j <= n; j++) row[j] = j;
    for (size_t i = 0; a[i]; i++) {
        size_t diagonal = row[0];

        row[0] = i + 1;
        for (size_t j = 0; j < n; j++) {
            size_t change = diagonal + (a[i] != b[j]);

            diagonal = row[j + 1];
            row[j + 1] = least(change, least(row[j], row[j + 1]) + 1);
        }
    }
    return row[n];
}

const char *near_name(const char *word, const char *const *names)
{
    const char *best = NULL;
    size_t limit = strlen(word) / 3 + 1;

    if (strlen(word) >= WORD_MAX) return NULL;
    for (; *names; names++) {
        size_t d = strlen(*names) < WORD_MAX ? distance(word, *names) : limit + 1;

        if (d <= limit) best = *names, limit = d - (d > 0);
    }
    return best;
}
