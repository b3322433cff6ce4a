/* The key table as data, from keys.def, and help for names that are not in it. */
#include "config/config_inside.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* clang-format off */
#define WORDS(list)          static const char *const words_##list[] = {
#define WORD(list, id, word) word,
#define WORDS_END(list)      NULL};
#include "config/words.def"
#undef WORDS
#undef WORD
#undef WORDS_END

#define HYPER_KIND(id, word, transform, low, high, start, least, most, text) word,
static const char *const words_hyper_kind[] = {
#include "config/hyper.def"
    NULL};
#undef HYPER_KIND
#define HYPER_PER(id, word, text) word,
static const char *const words_hyper_per[] = {
#include "config/hyper.def"
    NULL};
#undef HYPER_PER
#define HYPER_TRANSFORM(id, word, text) word,
static const char *const words_hyper_transform[] = {
#include "config/hyper.def"
    NULL};
#undef HYPER_TRANSFORM

#define AT(r, name) offsetof(config_##r, name)
#define BASE(r, name_, type_, def_, text_) \
    .name = #name_, .type = type_, .at = AT(r, name_), .def = def_, .text = text_
#define NUMBER(low_, high_, special_) .low = low_, .high = high_, .special = special_
#define RECORD(r, text) \
    static const char text_##r[] = text; \
    static const key_def keys_##r[] = {
#define KEY_INT(r, name, def, low, high, special, text) \
    {BASE(r, name, TYPE_INT, def, text), NUMBER(low, high, special)},
#define KEY_REAL(r, name, def, low, high, special, text) \
    {BASE(r, name, TYPE_REAL, def, text), NUMBER(low, high, special)},
#define KEY_SIZE(r, name, def, low, high, special, text) \
    {BASE(r, name, TYPE_SIZE, def, text), NUMBER(low, high, special)},
#define KEY_BOOL(r, name, def, text) \
    {BASE(r, name, TYPE_BOOL, def, text), .special = ""},
#define KEY_WORD(r, name, list, def, special_, text) \
    {BASE(r, name, TYPE_WORD, def, text), .words = words_##list, .special = special_},
#define KEY_TEXT(r, name, def, text) \
    {BASE(r, name, TYPE_TEXT, def, text), .special = ""},
#define SCALARS(r, name_, type_, max_, def_, text_) \
    .name = #name_, .type = type_, .at = AT(r, name_.n), .items = AT(r, name_.at), .max = max_, \
    .def = def_, .text = text_
#define KEY_INTS(r, name, max, def, low, high, special, text) \
    {SCALARS(r, name, TYPE_INTS, max, def, text), NUMBER(low, high, special)},
#define KEY_PAIR(r, name, def, low, high, special, text) \
    {SCALARS(r, name, TYPE_INTS, 2, def, text), NUMBER(low, high, special), .pair = true},
#define KEY_REALS(r, name, max, low, high, text) \
    {SCALARS(r, name, TYPE_REALS, max, "[]", text), NUMBER(low, high, "")},
#define KEY_TEXTS(r, name, max, text) \
    {SCALARS(r, name, TYPE_TEXTS, max, "[]", text), .special = ""},
#define KEY_SCALARS(r, name, max, text) \
    {SCALARS(r, name, TYPE_SCALARS, max, "[]", text), .special = ""},
#define KEY_RECORD(r, name_) \
    {.name = #name_, .type = TYPE_RECORD, .at = AT(r, name_), .of = &record_##name_, .special = ""},
#define KEY_LIST(r, name_, item_, max_, text_) \
    {.name = #name_, .type = TYPE_LIST, .at = AT(r, name_.n), .items = AT(r, name_.at), \
     .max = max_, .of = &record_##item_, .text = text_, .special = ""},
#define RECORD_END(r) \
    }; \
    static const record record_##r = {#r, text_##r, keys_##r, COUNT(keys_##r), sizeof(config_##r)};
#include "config/keys.def"
#include "config/keys_undef.h"
/* clang-format on */

const record *config_root(void)
{
    return &record_study;
}

const key_def *record_find(const record *r, const char *name)
{
    for (int i = 0; i < r->n; i++)
        if (strcmp(r->keys[i].name, name) == 0) return &r->keys[i];
    return NULL;
}

/* Edits (insert, delete, replace, swap neighbours) between two words; beyond NEAR_BYTES: many. */
enum { NEAR_BYTES = 32, FAR = 1000 };

static int edits(const char *a, const char *b)
{
    int d[NEAR_BYTES + 1][NEAR_BYTES + 1];
    size_t na = strlen(a), nb = strlen(b);

    if (na > NEAR_BYTES || nb > NEAR_BYTES) return FAR;
    for (size_t i = 0; i <= na; i++)
        for (size_t j = 0; j <= nb; j++) {
            if (i == 0 || j == 0) {
                d[i][j] = (int)(i + j);
                continue;
            }
            int best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);

            if (d[i - 1][j] + 1 < best) best = d[i - 1][j] + 1;
            if (d[i][j - 1] + 1 < best) best = d[i][j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                d[i - 2][j - 2] + 1 < best)
                best = d[i - 2][j - 2] + 1;
            d[i][j] = best;
        }
    return d[na][nb];
}

/* Near enough to be a slip of the hand. */
static int near_limit(const char *name)
{
    return 1 + (int)(strlen(name) / 4);
}

/* The key of `r` nearest to `name`; *cost takes the edits. */
static const key_def *nearest_key(const record *r, const char *name, int *cost)
{
    const key_def *best = NULL;

    *cost = near_limit(name) + 1;
    for (int i = 0; i < r->n; i++) {
        int e = edits(name, r->keys[i].name);

        if (e < *cost) *cost = e, best = &r->keys[i];
    }
    return best;
}

/* The same key elsewhere: "lr" at the top is meant for some record. */
static bool suggest_elsewhere(const char *name, char *buf, size_t size)
{
    const record *root = config_root();
    size_t used = 0;

    for (int i = 0; i < root->n && used < size; i++) {
        const key_def *k = &root->keys[i];

        if (k->type == TYPE_RECORD && record_find(k->of, name))
            used += (size_t)snprintf(buf + used, size - used, "%s%s.%s",
                                     used ? " or " : "; did you mean ", k->name, name);
    }
    return used > 0;
}

void record_suggest(const record *r, const char *name, char *buf, size_t size)
{
    int cost;
    const key_def *k = nearest_key(r, name, &cost);
    size_t used = 0;

    if (k) {
        snprintf(buf, size, "; did you mean %s?", k->name);
        return;
    }
    if (suggest_elsewhere(name, buf, size)) return;
    for (int i = 0; i < r->n && used < size; i++)
        used += (size_t)snprintf(buf + used, size - used, "%s%s",
                                 i ? ", " : "; known here: ", r->keys[i].name);
}

const char *words_nearest(const char *const *words, const char *text)
{
    const char *best = NULL;
    int cost = near_limit(text) + 1;

    for (; *words; words++) {
        int e = edits(text, *words);

        if (e < cost) cost = e, best = *words;
    }
    return best;
}

/* "a, b or c" */
static size_t put_words(char *buf, size_t size, const char *const *words)
{
    size_t used = 0;

    for (int i = 0; words[i] && used < size; i++)
        used += (size_t)snprintf(buf + used, size - used, "%s%s",
                                 i == 0         ? ""
                                 : words[i + 1] ? ", "
                                                : " or ",
                                 words[i]);
    return used;
}

static size_t put_range(char *buf, size_t size, const key_def *k)
{
    const char *what =
        k->type == TYPE_REAL || k->type == TYPE_REALS ? "a number" : "a whole number";
    char low[32], high[32];

    real_print(k->low, low, sizeof low);
    real_print(k->high, high, sizeof high);
    if (k->type == TYPE_SIZE) return (size_t)snprintf(buf, size, "a size like 512MiB or 2GiB");
    if (isinf(k->low) && isinf(k->high)) return (size_t)snprintf(buf, size, "%s", what);
    if (isinf(k->high)) return (size_t)snprintf(buf, size, "%s from %s", what, low);
    return (size_t)snprintf(buf, size, "%s from %s to %s", what, low, high);
}

char *key_takes(const key_def *k, char *buf, size_t size)
{
    size_t used = 0;
    const char *s = k->special;

    switch (k->type) {
    case TYPE_BOOL: used = (size_t)snprintf(buf, size, "true or false"); break;
    case TYPE_WORD: used = put_words(buf, size, k->words); break;
    case TYPE_TEXT: used = (size_t)snprintf(buf, size, "text"); break;
    case TYPE_RECORD: used = (size_t)snprintf(buf, size, "keys of its own"); break;
    case TYPE_LIST: used = (size_t)snprintf(buf, size, "a list"); break;
    case TYPE_TEXTS: used = (size_t)snprintf(buf, size, "a list, each text"); break;
    case TYPE_SCALARS:
        used = (size_t)snprintf(buf, size, "a list, each null, true, false, a number or text");
        break;
    case TYPE_INTS:
    case TYPE_REALS:
        if (!k->pair) used = (size_t)snprintf(buf, size, "a list, each "); /* fall through */
    default: used += put_range(buf + used, size - used, k); break;
    }
    if (k->pair && used < size)
        used += (size_t)snprintf(buf + used, size - used, ", or [height, width]");
    while (*s && used < size) { /* "auto=0 all=-1" */
        char word[24] = "";

        memcpy(word, s, strcspn(s, "="));
        used += (size_t)snprintf(buf + used, size - used, " or %s", word);
        s += strcspn(s, " ");
        s += *s == ' ';
    }
    return buf;
}
