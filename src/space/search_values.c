/* Points as people write them: a JSON object or "lr=0.1 act=relu". */
#include "base/number.h"
#include "space/search_inside.h"
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- out ---- */

void search_value_print(text_out *t, const search_param *p, double x)
{
    char buf[NUMBER_SIZE];

    if (p->type == SEARCH_CATEGORICAL) {
        text_put(t, p->choices[(int32_t)x]);
        return;
    }
    if (p->type == SEARCH_INT) snprintf(buf, sizeof buf, "%.0f", x == 0 ? 0 : x);
    else number_print(x, buf);
    text_put(t, buf);
}

/* Whether x can be written: others may have stored values from outside today's range. */
static drmad_status check_value(drmad_ctx *ctx, const search_param *p, double x)
{
    char why[SEARCH_WHY_BYTES], name[EXPR_SHOWN_BYTES], number[NUMBER_SIZE];
    bool good = p->type == SEARCH_CATEGORICAL ? !search_value_fault(p, x, why) : isfinite(x);

    if (good && (p->type != SEARCH_INT || x == floor(x))) return DRMAD_OK;
    return FAIL(ctx, DRMAD_E_CONFIG, "parameter %s: %s is no value of its type",
                expr_shown(p->name, name), number_print(x, number));
}

drmad_status search_print_one(drmad_ctx *ctx, const search_param *p, double x, char **out)
{
    drmad_status st = DRMAD_OK;
    text_out t = {.ctx = ctx};

    *out = NULL;
    TRY(check_value(ctx, p, x));
    search_value_print(&t, p, x);
    TRY(text_give(&t, out));
done:
    return st;
}

drmad_status search_print(const search *s, const double *x, char **out)
{
    drmad_status st = DRMAD_OK;
    text_out t = {.ctx = s->ctx};
    bool first = true;

    *out = NULL;
    for (int32_t i = 0; i < s->n; i++)
        if (!isnan(x[i])) TRY(check_value(s->ctx, &s->params[i], x[i]));
    text_put(&t, "{");
    for (int32_t i = 0; i < s->n; i++) {
        const search_param *p = &s->params[i];

        if (isnan(x[i])) continue;
        if (!first) text_put(&t, ", ");
        search_put_json(&t, p->name, strlen(p->name));
        text_put(&t, ": ");
        search_value_print(&t, p, x[i]);
        first = false;
    }
    text_put(&t, "}");
    TRY(text_give(&t, out));
done:
    return st;
}

/* ---- in ---- */

/* "relu, tanh or null" */
static void put_choices(const search_param *p, char *buf, size_t size)
{
    size_t used = 0;

    for (int32_t i = 0; i < p->n_choices && used < size; i++)
        used += (size_t)snprintf(buf + used, size - used, "%s%s",
                                 i == 0                  ? ""
                                 : i + 1 == p->n_choices ? " or "
                                                         : ", ",
                                 p->choices[i]);
    if (used >= size) memcpy(buf + size - 4, "...", 4);
}

static int32_t find_choice(const search_param *p, const char *json)
{
    for (int32_t i = 0; i < p->n_choices; i++)
        if (strcmp(p->choices[i], json) == 0) return i;
    return -1;
}

/* The choice that a JSON scalar is, -1 for none: 1 is also the choice 1.0, and the other way. */
static drmad_status choice_of_json(drmad_ctx *ctx, const search_param *p, const char *json,
                                   int32_t *out)
{
    drmad_status st = DRMAD_OK;
    char *exact = NULL, *plain = NULL;
    double x, y;

    *out = -1;
    TRY(search_scalar_print(ctx, json, &exact, &plain));
    *out = find_choice(p, exact);
    for (int32_t i = 0; *out < 0 && number_read(exact, &x) && i < p->n_choices; i++)
        if (number_read(p->choices[i], &y) && x == y) *out = i;
done:
    mem_free(ctx, exact);
    mem_free(ctx, plain);
    return st;
}

/* A JSON scalar for a parameter. */
static drmad_status value_of_json(drmad_ctx *ctx, const search_param *p, const char *json,
                                  double *x)
{
    drmad_status st = DRMAD_OK;
    char why[SEARCH_WHY_BYTES], buf[EXPR_SHOWN_BYTES];
    int32_t choice;

    if (p->type == SEARCH_CATEGORICAL) {
        TRY(choice_of_json(ctx, p, json, &choice));
        put_choices(p, why, sizeof why);
        if (choice < 0)
            return FAIL(ctx, DRMAD_E_CONFIG, "%s is none of its choices, %s", expr_shown(json, buf),
                        why);
        *x = choice;
        return DRMAD_OK;
    }
    if (!number_read(json, x) || !isfinite(*x))
        return FAIL(ctx, DRMAD_E_CONFIG, "%s is not a number", expr_shown(json, buf));
    if (p->type == SEARCH_INT && *x != floor(*x))
        return FAIL(ctx, DRMAD_E_CONFIG, "%s is not a whole number", expr_shown(json, buf));
    if (search_value_fault(p, *x, why)) return FAIL(ctx, DRMAD_E_CONFIG, "%s", why);
done:
    return st;
}

drmad_status search_value_of_text(drmad_ctx *ctx, const search_param *p, const char *text,
                                  double *x)
{
    drmad_status st = DRMAD_OK;
    text_out t = {.ctx = ctx};
    char *json = NULL;

    for (int32_t i = 0; p->type == SEARCH_CATEGORICAL && i < p->n_choices; i++)
        if (strcmp(text, p->choices[i]) == 0) {
            *x = i;
            return st;
        }
    search_put_json(&t, text, strlen(text));
    TRY(text_give(&t, &json));
    int32_t choice = p->type == SEARCH_CATEGORICAL ? find_choice(p, json) : -1;

    if (choice >= 0) *x = choice;
    else if (p->type != SEARCH_CATEGORICAL) TRY(value_of_json(ctx, p, text, x));
    else st = value_of_json(ctx, p, number_read(text, &(double){0}) ? text : json, x);
done:
    mem_free(ctx, json);
    return st;
}

/* The reason is in the context; the parameter's name goes in front. */
static drmad_status about(drmad_ctx *ctx, drmad_status st, const char *name)
{
    char why[512], buf[EXPR_SHOWN_BYTES];

    if (st != DRMAD_E_CONFIG) return st;
    snprintf(why, sizeof why, "%s", drmad_errmsg(ctx));
    return FAIL(ctx, DRMAD_E_CONFIG, "parameter %s: %s", expr_shown(name, buf), why);
}

static drmad_status find(const search *s, const char *name, int32_t *out)
{
    char known[SEARCH_WHY_BYTES], buf[EXPR_SHOWN_BYTES];
    size_t used = 0;

    *out = search_find(s, name);
    if (*out >= 0) return DRMAD_OK;
    known[0] = '\0';
    for (int32_t i = 0; i < s->n && used < sizeof known; i++) {
        const char *sep = i == 0 ? "; known are " : ", ";

        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", sep, s->params[i].name);
    }
    if (used >= sizeof known) memcpy(known + sizeof known - 4, "...", 4);
    return FAIL(s->ctx, DRMAD_E_CONFIG, "no parameter is called \"%s\"%s", expr_shown(name, buf),
                known);
}

/* A JSON value as text; only single values have a place in a point. */
static drmad_status json_text(drmad_ctx *ctx, const json_t *v, char **out)
{
    text_out t = {.ctx = ctx};

    *out = NULL;
    if (json_is_object(v) || json_is_array(v))
        return FAIL(ctx, DRMAD_E_CONFIG, "takes a single value, no list or object");
    if (json_is_string(v)) {
        search_put_json(&t, json_string_value(v), json_string_length(v));
        return text_give(&t, out);
    }
    char *dump = json_dumps(v, JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));

    if (!dump) return FAIL(ctx, DRMAD_E_NOMEM, "no memory to print a number");
    text_put(&t, dump);
    free(dump);
    return text_give(&t, out);
}

static drmad_status parse_object(const search *s, json_t *o, double *x)
{
    drmad_status st = DRMAD_OK;
    char *json = NULL;
    const char *name;
    const json_t *v;
    int32_t i;

    json_object_foreach(o, name, v)
    {
        TRY(find(s, name, &i));
        TRY(about(s->ctx, json_text(s->ctx, v, &json), name));
        TRY(about(s->ctx, value_of_json(s->ctx, &s->params[i], json, &x[i]), name));
        mem_free(s->ctx, json);
        json = NULL;
    }
done:
    mem_free(s->ctx, json);
    return st;
}

static drmad_status parse_json(const search *s, const char *text, double *x)
{
    json_error_t why;
    json_t *o = json_loads(text, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &why);
    char buf[EXPR_SHOWN_BYTES];
    drmad_status st = json_is_object(o)
                          ? parse_object(s, o, x)
                          : FAIL(s->ctx, DRMAD_E_CONFIG, "%s: not a JSON object: column %d: %s",
                                 expr_shown(text, buf), why.column, why.text);

    json_decref(o);
    return st;
}

/* "lr=0.1 act=relu", which it cuts up. */
static drmad_status parse_words(const search *s, char *text, double *x)
{
    drmad_status st = DRMAD_OK;
    char *word, *value, *rest = text, buf[EXPR_SHOWN_BYTES];
    int32_t i;

    while ((word = strsep(&rest, " \t\r\n"))) {
        if (!*word) continue;
        value = strchr(word, '=');
        if (!value)
            return FAIL(s->ctx, DRMAD_E_CONFIG, "\"%s\" is not of the form name=value",
                        expr_shown(word, buf));
        *value++ = '\0';
        TRY(find(s, word, &i));
        if (!isnan(x[i]))
            return FAIL(s->ctx, DRMAD_E_CONFIG, "parameter %s: stands there twice", word);
        TRY(about(s->ctx, search_value_of_text(s->ctx, &s->params[i], value, &x[i]), word));
    }
done:
    return st;
}

drmad_status search_parse(const search *s, const char *json, double *x)
{
    drmad_status st = DRMAD_OK;
    char *copy = NULL;

    for (int32_t i = 0; i < s->n; i++) x[i] = NAN;
    if (json[strspn(json, " \t\r\n")] == '{') return parse_json(s, json, x);
    TRY(mem_strdup(s->ctx, json, &copy));
    TRY(parse_words(s, copy, x));
done:
    mem_free(s->ctx, copy);
    return st;
}
