/* Optuna's distributions. The bytes matter: a sampler of Optuna's takes two distributions for the
 * same only when they are.
 *
 * Reading: Python's JSON knows NaN, infinities and whole numbers of any length, which no strict
 * reader does. So a copy of the text is read in which every scalar is a string: one that was a
 * string gets a ' in front, the others a =. */
#include "base/number.h"
#include "space/search_inside.h"
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static void put_pair(text_out *t, const char *key, const char *value)
{
    text_put(t, "\"");
    text_put(t, key);
    text_put(t, "\": ");
    text_put(t, value);
}

static void put_number(text_out *t, const search_param *p, const char *key, double x)
{
    char buf[NUMBER_SIZE];

    if (p->type == SEARCH_INT) snprintf(buf, sizeof buf, "%.0f", x == 0 ? 0 : x);
    else number_print(x, buf);
    put_pair(t, key, buf);
}

static void put_int(text_out *t, const search_param *p)
{
    text_put(t, "{\"name\": \"IntDistribution\", \"attributes\": {");
    put_pair(t, "log", p->log ? "true, " : "false, ");
    put_number(t, p, "step", p->step);
    text_put(t, ", ");
    put_number(t, p, "low", p->low);
    text_put(t, ", ");
    put_number(t, p, "high", p->high);
    text_put(t, "}}");
}

static void put_float(text_out *t, const search_param *p)
{
    text_put(t, "{\"name\": \"FloatDistribution\", \"attributes\": {");
    if (p->step > 0) put_number(t, p, "step", p->step);
    else put_pair(t, "step", "null");
    text_put(t, ", ");
    put_number(t, p, "low", p->low);
    text_put(t, ", ");
    put_number(t, p, "high", p->high);
    text_put(t, ", ");
    put_pair(t, "log", p->log ? "true" : "false");
    text_put(t, "}}");
}

drmad_status search_distribution_print(drmad_ctx *ctx, const search_param *p, char **out)
{
    text_out t = {.ctx = ctx};

    if (p->type == SEARCH_INT) {
        put_int(&t, p);
    } else if (p->type == SEARCH_FLOAT) {
        put_float(&t, p);
    } else {
        text_put(&t, "{\"name\": \"CategoricalDistribution\", \"attributes\": {\"choices\": [");
        for (int32_t i = 0; i < p->n_choices; i++) {
            if (i) text_put(&t, ", ");
            text_put(&t, p->choices[i]);
        }
        text_put(&t, "]}}");
    }
    return text_give(&t, out);
}

/* ---- reading ---- */

/* Copies a string with its quotes, a mark behind the first; gives what follows it. */
static const char *mark_string(text_out *t, const char *p)
{
    const char *from = ++p;

    while (*p && *p != '"') p += *p == '\\' && p[1] ? 2 : 1;
    text_put(t, "\"'");
    text_put_bytes(t, from, (size_t)(p - from));
    if (*p) text_put(t, "\"");
    return *p ? p + 1 : p;
}

static drmad_status mark_scalars(drmad_ctx *ctx, const char *json, char **out)
{
    static const char bare[] = "+-.0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    text_out t = {.ctx = ctx};

    text_put(&t, "");
    for (const char *p = json; *p;) {
        size_t n = strspn(p, bare);

        if (*p == '"') {
            p = mark_string(&t, p);
            continue;
        }
        if (n > 0) text_put(&t, "\"=");
        text_put_bytes(&t, p, n ? n : 1);
        if (n > 0) text_put(&t, "\"");
        p += n ? n : 1;
    }
    return text_give(&t, out);
}

/* The text of a scalar under `key`, past its mark, which is `kind`; NULL when there is none. */
static const char *marked(const json_t *o, const char *key, char kind)
{
    char name[32];

    snprintf(name, sizeof name, "'%s", key);
    const char *s = json_string_value(json_object_get(o, name));

    return s && s[0] == kind ? s + 1 : NULL;
}

/* A number, or NaN; null counts as not there. */
static double number_at(const json_t *o, const char *key, double absent)
{
    const char *s = marked(o, key, '=');
    double x;

    if (!s || strcmp(s, "null") == 0) return absent;
    return number_read(s, &x) ? x : NAN;
}

static drmad_status read_choices(drmad_ctx *ctx, search_param *p, const json_t *list)
{
    drmad_status st = DRMAD_OK;
    size_t n = json_array_size(list);
    text_out t = {.ctx = ctx};

    if (n == 0 || n > INT32_MAX) return FAIL(ctx, DRMAD_E_CONFIG, "it has no choices");
    TRY(mem_alloc(ctx, n, sizeof *p->choices, &p->choices));
    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_array_get(list, i);
        const char *s = json_string_value(item);

        if (!s) return FAIL(ctx, DRMAD_E_CONFIG, "choice %zu is no single value", i);
        p->n_choices = (int32_t)i + 1;
        t = (text_out){.ctx = ctx};
        if (s[0] == '=') text_put(&t, s + 1);
        else search_put_json(&t, s + 1, json_string_length(item) - 1);
        TRY(text_give(&t, &p->choices[i]));
    }
    TRY(search_choices_prepare(ctx, p));
done:
    return st;
}

/* The classes of all versions. */
typedef struct class
{
    const char *name;
    search_type type;
    int log; /* -1: as the attribute says */
} class;

static const class classes[] = {
    {"FloatDistribution", SEARCH_FLOAT, -1},
    {"IntDistribution", SEARCH_INT, -1},
    {"CategoricalDistribution", SEARCH_CATEGORICAL, 0},
    {"UniformDistribution", SEARCH_FLOAT, 0},
    {"LogUniformDistribution", SEARCH_FLOAT, 1},
    {"DiscreteUniformDistribution", SEARCH_FLOAT, 0},
    {"IntUniformDistribution", SEARCH_INT, 0},
    {"IntLogUniformDistribution", SEARCH_INT, 1},
    {"float", SEARCH_FLOAT, -1}, /* the short form's types: from here */
    {"int", SEARCH_INT, -1},
    {"categorical", SEARCH_CATEGORICAL, 0},
};

static drmad_status read_numbers(drmad_ctx *ctx, search_param *p, const class *c, const json_t *o)
{
    const char *flag = marked(o, "log", '=');
    char why[SEARCH_WHY_BYTES];

    p->log = c->log >= 0 ? c->log == 1 : flag && strcmp(flag, "true") == 0;
    p->low = number_at(o, "low", NAN);
    p->high = number_at(o, "high", NAN);
    p->step = number_at(o, "step", number_at(o, "q", 0));
    if (p->log && c->log == 1) p->step = 0; /* of no meaning there, but stored */
    const char *key = search_param_fault(p, why);

    return key ? FAIL(ctx, DRMAD_E_CONFIG, "%s: %s", key, why) : DRMAD_OK;
}

static drmad_status read_distribution(drmad_ctx *ctx, const json_t *root, search_param *p)
{
    drmad_status st = DRMAD_OK;
    const char *name = marked(root, "name", '\''), *type = marked(root, "type", '\'');
    const json_t *o = name ? json_object_get(root, "'attributes") : root;
    size_t i = name ? 0 : 8, end = name ? 8 : COUNT(classes);

    if (!name) name = type;
    while (name && i < end && strcmp(name, classes[i].name) != 0) i++;
    if (!name || i == end || !json_is_object(o))
        return FAIL(ctx, DRMAD_E_CONFIG, "none of Optuna's kinds");
    p->type = classes[i].type;
    if (p->type == SEARCH_CATEGORICAL) TRY(read_choices(ctx, p, json_object_get(o, "'choices")));
    else TRY(read_numbers(ctx, p, &classes[i], o));
    TRY(search_distribution_print(ctx, p, &p->distribution));
done:
    return st;
}

/* The reason is in the context; what it is about goes in front. */
static drmad_status not_readable(drmad_ctx *ctx, const char *name, const char *json)
{
    char why[SEARCH_WHY_BYTES], shown_name[EXPR_SHOWN_BYTES], shown_json[EXPR_SHOWN_BYTES];

    snprintf(why, sizeof why, "%s", drmad_errmsg(ctx));
    return FAIL(ctx, DRMAD_E_STORAGE,
                "parameter \"%s\": not a distribution that can be read: %s: %s",
                expr_shown(name, shown_name), expr_shown(json, shown_json), why);
}

drmad_status search_param_parse(drmad_ctx *ctx, const char *name, const char *distribution,
                                search_param **out)
{
    drmad_status st = DRMAD_OK;
    search_param *p = NULL;
    json_t *root = NULL;
    json_error_t why;
    char *copy = NULL;

    *out = NULL;
    TRY(mem_alloc(ctx, 1, sizeof *p, &p));
    TRY(mem_strdup(ctx, name, &p->name));
    TRY(mark_scalars(ctx, distribution, &copy));
    root = json_loads(copy, JSON_ALLOW_NUL, &why);
    st = root ? read_distribution(ctx, root, p)
              : FAIL(ctx, DRMAD_E_CONFIG, "not JSON: %s", why.text);
    if (st == DRMAD_E_CONFIG) st = not_readable(ctx, name, distribution);
    if (st == DRMAD_OK) *out = p, p = NULL;
done:
    json_decref(root);
    mem_free(ctx, copy);
    search_param_free(ctx, p);
    return st;
}
