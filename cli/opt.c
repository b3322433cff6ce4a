/* The one parser of command lines: a table of options in, an args out. Options and words may be
 * mixed; "--" ends the options. */
#include "cli.h"
#include <stdlib.h>
#include <string.h>

enum { NAMES_MAX = 64 };

static bool wrong(const command *c, const char *what, const char *word)
{
    fprintf(stderr, "drmad %s: %s: %s (see drmad %s --help)\n", c->name, word, what, c->name);
    return false;
}

static bool needs(const command *c)
{
    fprintf(stderr, "drmad %s: needs %s (see drmad %s --help)\n", c->name, c->words, c->name);
    return false;
}

static bool takes_value(const opt *o)
{
    return o->metavar != NULL;
}

static const opt *find_letter(const opt *opts, char letter)
{
    for (const opt *o = opts; o->type != OPT_LAST; o++)
        if (o->letter && o->letter == letter) return o;
    return NULL;
}

static const opt *find_name(const opt *opts, const char *name, size_t length)
{
    for (const opt *o = opts; o->type != OPT_LAST; o++)
        if (strlen(o->name) == length && memcmp(o->name, name, length) == 0) return o;
    return NULL;
}

static bool add_setting(const command *c, const opt *o, const char *value, args *a)
{
    const char *v = o->metavar ? value : "true";
    size_t size = strlen(o->key) + strlen(v) + 2;
    char *s = a->setting_count < WORDS_MAX ? malloc(size) : NULL;

    if (!s) return wrong(c, "too many options", o->name);
    snprintf(s, size, "%s=%s", o->key, v);
    a->settings[a->setting_count++] = s;
    return true;
}

/* `value` is NULL for an option that takes none. */
static bool apply(const command *c, const opt *o, const char *value, args *a)
{
    char *field = (char *)a + o->field;

    switch (o->type) {
    case OPT_FLAG: *(bool *)field = true; return true;
    case OPT_COUNT: *(int *)(void *)field += 1; return true;
    case OPT_TEXT: *(const char **)(void *)field = value; return true;
    case OPT_SETTING: return add_setting(c, o, value, a);
    case OPT_LAST: break;
    }
    return false;
}

static bool unknown_name(const command *c, const char *word, const char *name, size_t length)
{
    const char *names[NAMES_MAX + 1] = {0};
    char typed[64];
    int n = 0;

    for (const opt *o = c->opts; o->type != OPT_LAST && n < NAMES_MAX; o++) names[n++] = o->name;
    snprintf(typed, sizeof typed, "%.*s", (int)length, name);
    const char *near = near_name(typed, names);
    if (!near) return wrong(c, "no such option", word);
    fprintf(stderr, "drmad %s: %s: no such option; did you mean --%s?\n", c->name, word, near);
    return false;
}

/* --name, --name=value, --name value. *next is the word after it or NULL; set to NULL when used. */
static bool parse_long(const command *c, const char *word, const char **next, args *a)
{
    const char *name = word + 2, *equals = strchr(name, '=');
    size_t length = equals ? (size_t)(equals - name) : strlen(name);
    const opt *o = find_name(c->opts, name, length);

    if (!o) return unknown_name(c, word, name, length);
    if (!takes_value(o)) return equals ? wrong(c, "takes no value", word) : apply(c, o, NULL, a);
    if (equals) return apply(c, o, equals + 1, a);
    if (!*next) return wrong(c, "needs a value", word);
    bool ok = apply(c, o, *next, a);
    *next = NULL;
    return ok;
}

/* -q, -vv, -s7, -s 7. */
static bool parse_short(const command *c, const char *word, const char **next, args *a)
{
    for (const char *p = word + 1; *p; p++) {
        const opt *o = find_letter(c->opts, *p);

        if (!o) return wrong(c, "no such option", word);
        if (takes_value(o)) {
            const char *value = p[1] ? p + 1 : *next;

            if (!value) return wrong(c, "needs a value", word);
            if (!p[1]) *next = NULL;
            return apply(c, o, value, a);
        }
        if (!apply(c, o, NULL, a)) return false;
    }
    return true;
}

/* -0.5 is a value, not options. */
static bool is_number(const char *word)
{
    return word[1] == '.' || (word[1] >= '0' && word[1] <= '9');
}

bool args_parse(const command *c, int argc, char **argv, args *a)
{
    bool options = true;

    memset(a, 0, sizeof *a);
    for (int i = 0; i < argc; i++) {
        const char *word = argv[i], *next = i + 1 < argc ? argv[i + 1] : NULL;
        const char *offered = next;
        bool ok = true;

        if (options && strcmp(word, "--") == 0) options = false;
        else if (options && word[0] == '-' && word[1] == '-') ok = parse_long(c, word, &next, a);
        else if (options && word[0] == '-' && word[1] && !is_number(word))
            ok = parse_short(c, word, &next, a);
        else if (a->word_count == WORDS_MAX) ok = wrong(c, "too many words", word);
        else a->words[a->word_count++] = word;
        if (!ok) return false;
        if (offered && !next) i++; /* it was the option's value */
    }
    if (a->help) return true;
    if (a->word_count < c->least) return needs(c);
    if (a->word_count > c->most) return wrong(c, "is one word too many", a->words[c->most]);
    return true;
}

void args_free(args *a)
{
    for (int i = 0; i < a->setting_count; i++) free(a->settings[i]);
}
