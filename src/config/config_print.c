/* The other way round: a config as YAML, and the reference of all keys. */
#include "base/text.h"
#include "config/config_inside.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The word that stands for x, when there is one: "auto=0 all=-1". */
static bool put_special(text_out *t, const key_def *k, double x)
{
    for (const char *s = k->special; *s;) {
        size_t word = strcspn(s, "=");
        const char *value = s + word + 1;
        bool nan_word = strncmp(value, "nan", 3) == 0;

        if (nan_word ? isnan(x) : (double)atoi(value) == x) {
            text_put_bytes(t, s, word);
            return true;
        }
        s += strcspn(s, " ");
        s += *s == ' ';
    }
    return false;
}

static void put_real(text_out *t, const key_def *k, double x)
{
    char buf[40];

    if (put_special(t, k, x)) return;
    real_print(x, buf, sizeof buf);
    text_say(t, "%s%s", isinf(x) && buf[0] != '-' ? "." : "",
             isinf(x) && buf[0] == '-' ? "-.inf" : buf);
}

static void put_int(text_out *t, const key_def *k, int64_t x)
{
    if (!put_special(t, k, (double)x)) text_say(t, "%lld", (long long)x);
}

static void put_size(text_out *t, const key_def *k, int64_t x)
{
    static const char *const units[] = {"", "KiB", "MiB", "GiB", "TiB"};
    size_t i = 0;

    if (put_special(t, k, (double)x)) return;
    while (i + 1 < COUNT(units) && x % 1024 == 0) x /= 1024, i++;
    text_say(t, "%lld%s", (long long)x, units[i]);
}

/* Control characters never get in, so quotes and backslashes are all there is to escape. */
static void put_quoted(text_out *t, const char *s)
{
    text_put_bytes(t, "\"", 1);
    for (; *s; s++) {
        if (*s == '"' || *s == '\\') text_put_bytes(t, "\\", 1);
        text_put_bytes(t, s, 1);
    }
    text_put_bytes(t, "\"", 1);
}

static void put_scalar(text_out *t, const key_def *k, const void *base)
{
    const void *field = field_in(base, k->at);

    switch (k->type) {
    case TYPE_INT: put_int(t, k, *(const int64_t *)field); break;
    case TYPE_REAL: put_real(t, k, *(const double *)field); break;
    case TYPE_SIZE: put_size(t, k, *(const int64_t *)field); break;
    case TYPE_BOOL: text_say(t, "%s", *(const bool *)field ? "true" : "false"); break;
    case TYPE_TEXT: put_quoted(t, *(char *const *)field); break;
    case TYPE_WORD: {
        int word = *(const int *)field;

        if (!put_special(t, k, word)) text_say(t, "%s", k->words[word]);
        break;
    }
    default: break;
    }
}

static void put_scalars(text_out *t, const key_def *k, const void *base)
{
    const int32_t *n = field_in(base, k->at);

    const bool listed = !k->pair || *n > 1;

    if (listed) text_say(t, "[");
    for (int32_t i = 0; i < *n; i++) {
        const void *item = field_in(base, k->items + item_size(k) * (size_t)i);

        if (i) text_say(t, ", ");
        switch (k->type) {
        case TYPE_INTS: put_int(t, k, *(const int64_t *)item); break;
        case TYPE_REALS: put_real(t, k, *(const double *)item); break;
        case TYPE_TEXTS: put_quoted(t, *(char *const *)item); break;
        default: text_put_bytes(t, *(char *const *)item, strlen(*(char *const *)item)); break;
        }
    }
    if (listed) text_say(t, "]");
}

static void put_record(text_out *t, const record *r, const void *base, int indent, bool item);

static void put_list(text_out *t, const key_def *k, const void *base, int indent)
{
    const int32_t *n = field_in(base, k->at);

    text_say(t, *n ? "\n" : " []\n");
    for (int32_t i = 0; i < *n; i++)
        put_record(t, k->of, field_in(base, k->items + k->of->size * (size_t)i), indent + 4, true);
}

/* `item`: the first key follows a dash. */
static void put_record(text_out *t, const record *r, const void *base, int indent, bool item)
{
    for (int i = 0; i < r->n; i++) {
        const key_def *k = &r->keys[i];

        if (item && i == 0) text_say(t, "%*s- %s:", indent - 2, "", k->name);
        else text_say(t, "%*s%s:", indent, "", k->name);
        if (k->type == TYPE_RECORD) {
            text_say(t, "\n");
            put_record(t, k->of, field_in(base, k->at), indent + 2, false);
        } else if (k->type == TYPE_LIST) {
            put_list(t, k, base, indent);
        } else {
            text_say(t, " ");
            if (is_scalar_list(k)) put_scalars(t, k, base);
            else put_scalar(t, k, base);
            text_say(t, "\n");
        }
    }
}

drmad_status config_print(const config *c, char **out)
{
    text_out t = {.ctx = c->ctx};

    put_record(&t, config_root(), &c->set, 0, false);
    return text_give(&t, out);
}

drmad_status key_print(const config *c, const key_def *k, const void *base, char **out)
{
    text_out t = {.ctx = c->ctx};

    if (is_scalar_list(k)) put_scalars(&t, k, base);
    else if (k->type == TYPE_TEXT) text_say(&t, "%s", *(char *const *)field_in(base, k->at));
    else put_scalar(&t, k, base);
    if (t.used == 0) text_put_bytes(&t, "", 0);
    return text_give(&t, out);
}

/* A table's cell: bars would end it. */
static void put_cell(text_out *t, const char *s)
{
    for (; *s; s++) {
        if (*s == '|') text_put_bytes(t, "\\", 1);
        text_put_bytes(t, s, 1);
    }
}

static void document_keys(text_out *t, const record *r)
{
    char takes[512];

    text_say(t, "| key | takes | default | |\n|---|---|---|---|\n");
    for (int i = 0; i < r->n; i++) {
        const key_def *k = &r->keys[i];
        const char *def = k->def ? k->def : k->type == TYPE_LIST ? "[]" : "";

        if (k->type == TYPE_RECORD) continue;
        text_say(t, "| `%s` | %s | ", k->name, key_takes(k, takes, sizeof takes));
        if (k->type == TYPE_TEXT && k->def && !def[0]) text_say(t, "empty");
        else if (def[0]) text_say(t, "`%s`", def);
        else text_say(t, "must be given");
        text_say(t, " | ");
        put_cell(t, k->text);
        text_say(t, " |\n");
    }
    text_say(t, "\n");
}

static void document_record(text_out *t, const key_def *k)
{
    text_say(t, "## `%s`\n\n%s\n\n", k->name, k->of->text);
    document_keys(t, k->of);
    for (int i = 0; i < k->of->n; i++) {
        const key_def *sub = &k->of->keys[i];

        if (sub->type != TYPE_LIST && sub->type != TYPE_RECORD) continue;
        text_say(t, "### `%s.%s`\n\n%s\n\n", k->name, sub->name, sub->of->text);
        document_keys(t, sub->of);
    }
}

static void document_hyper(text_out *t)
{
    text_say(t, "### Kinds\n\n| kind | | transform | bounds | start |\n|---|---|---|---|---|\n");
    for (int i = 0; i < HYPER_KIND_COUNT; i++) {
        const hyper_kind_info *k = hyper_kind_of((hyper_kind)i);
        char low[32], high[32], start[32];

        real_print(k->low, low, sizeof low);
        real_print(k->high, high, sizeof high);
        real_print(k->start, start, sizeof start);
        text_say(t, "| `%s` | ", k->word);
        put_cell(t, k->text);
        text_say(t, " | %s | %s to %s | %s |\n", hyper_transform_word(k->transform), low, high,
                 start);
    }
    text_say(t, "\n### Granularities and transforms\n\n| `per` | |\n|---|---|\n");
#define HYPER_PER(id, word, meaning) text_say(t, "| `%s` | %s |\n", word, meaning);
#include "config/hyper.def"
#undef HYPER_PER
    text_say(t, "\n| `transform` | |\n|---|---|\n");
#define HYPER_TRANSFORM(id, word, meaning) text_say(t, "| `%s` | %s |\n", word, meaning);
#include "config/hyper.def"
#undef HYPER_TRANSFORM
    text_say(t, "\n");
}

static const char hypero[] =
    "hypero's samplers said so:\n\n"
    "| hypero | here |\n|---|---|\n"
    "| `categorical(probs, vals)` | `{choices: vals, weights: probs}` |\n"
    "| `uniform(min, max)` | `{low: min, high: max}` |\n"
    "| `randint(min, max)` | `{type: int, low: min, high: max}`, both ends possible |\n"
    "| `logUniform(min, max)` | `{low: e^min, high: e^max, log: true}`: hypero's bounds are "
    "natural "
    "logarithms, ours are values; `logUniform(log(1e-4), log(1))` is `{low: 1e-4, high: 1, log: "
    "true}` |\n"
    "| `normal(mean, std)` | `{prior: normal, mean: mean, sd: std, low: mean - 8 std, high: mean + "
    "8 "
    "std}`: a range has ends here, which so far out are never met |\n\n";

static const char introduction[] =
    "# The study file\n\n"
    "This page is printed from `src/config/keys.def`; `tests/config` checks that it is up to "
    "date.\n\n"
    "A study is one YAML mapping. Every key has a default, so a study names only what differs:\n\n"
    "```yaml\n"
    "name: mnist-l2\n"
    "data: {kind: mnist, train: 15000, valid: 5000}\n"
    "train: {steps: 2000, batch: 50}\n"
    "hyper:\n"
    "  - {kind: l2, per: unit-in, start: 1e-3}\n"
    "  - {kind: lr, per: layer, phases: 5}\n"
    "```\n\n"
    "On the command line `key=value` overrides a key, its path joined by dots: `outer.lr=0.02`, "
    "`hyper.0.start=1e-3`, `model.layers=[784,50,10]`, `hyper=[{kind: l2}]`. A list is replaced, "
    "a section is merged.\n\n"
    "A search over whole runs, drmad's own or any command's, names `parameters`; its trials are "
    "kept in a store:\n\n"
    "```yaml\n"
    "name: resnet\n"
    "store: sqlite:runs.db\n"
    "parameters:\n"
    "  - {name: lr, low: 1e-5, high: 1, log: true}\n"
    "  - {name: depth, type: int, low: 1, high: 8}\n"
    "  - {name: act, choices: [relu, tanh], when: depth > 1}\n"
    "search: {trials: 100, constraints: [lr * depth <= 2]}\n"
    "objective: {cmd: \"python train.py --lr {lr} --depth {depth}\", timeout: 3600}\n"
    "```\n\n"
    "Anchors, aliases, tags and duplicate keys are refused, and so is every key that does not "
    "stand here.\n\n";

drmad_status config_document(drmad_ctx *ctx, char **out)
{
    text_out t = {.ctx = ctx};
    const record *root = config_root();

    text_put_bytes(&t, introduction, sizeof introduction - 1);
    document_keys(&t, root);
    for (int i = 0; i < root->n; i++) {
        const key_def *k = &root->keys[i];

        if (k->type != TYPE_RECORD && k->type != TYPE_LIST) continue;
        document_record(&t, k);
        if (strcmp(k->name, "hyper") == 0) document_hyper(&t);
        if (strcmp(k->name, "parameters") == 0) text_put_bytes(&t, hypero, sizeof hypero - 1);
    }
    return text_give(&t, out);
}
