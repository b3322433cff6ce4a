/* The other way round: a config as YAML, and the reference of all keys. */
#include "config/config_inside.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A text that grows; the first error sticks. */
typedef struct text {
    drmad_ctx *ctx;
    char *at;
    size_t used, room;
    drmad_status st;
} text;

static void put_bytes(text *t, const char *s, size_t n)
{
    if (t->st != DRMAD_OK) return;
    if (t->room - t->used <= n) {
        size_t room = 2 * (t->room + n) + 256;

        t->st = mem_resize(t->ctx, &t->at, t->room, room, 1);
        if (t->st != DRMAD_OK) return;
        t->room = room;
    }
    memcpy(t->at + t->used, s, n);
    t->used += n;
    t->at[t->used] = '\0';
}

__attribute__((format(printf, 2, 3))) static void put(text *t, const char *fmt, ...)
{
    char buf[1024];
    va_list ap;

    va_start(ap, fmt);
    int n = vsnprintf(buf, sizeof buf, fmt, ap);
    va_end(ap);
    if (n > 0) put_bytes(t, buf, (size_t)n < sizeof buf ? (size_t)n : sizeof buf - 1);
}

static drmad_status give(text *t, char **out)
{
    *out = NULL;
    if (t->st == DRMAD_OK) *out = t->at;
    else mem_free(t->ctx, t->at);
    return t->st;
}

/* The word that stands for x, when there is one: "auto=0 all=-1". */
static bool put_special(text *t, const key_def *k, double x)
{
    for (const char *s = k->special; *s;) {
        size_t word = strcspn(s, "=");
        const char *value = s + word + 1;
        bool nan_word = strncmp(value, "nan", 3) == 0;

        if (nan_word ? isnan(x) : (double)atoi(value) == x) {
            put_bytes(t, s, word);
            return true;
        }
        s += strcspn(s, " ");
        s += *s == ' ';
    }
    return false;
}

static void put_real(text *t, const key_def *k, double x)
{
    char buf[40];

    if (put_special(t, k, x)) return;
    real_print(x, buf, sizeof buf);
    put(t, "%s%s", isinf(x) && buf[0] != '-' ? "." : "", isinf(x) && buf[0] == '-' ? "-.inf" : buf);
}

static void put_int(text *t, const key_def *k, int64_t x)
{
    if (!put_special(t, k, (double)x)) put(t, "%lld", (long long)x);
}

static void put_size(text *t, const key_def *k, int64_t x)
{
    static const char *const units[] = {"", "KiB", "MiB", "GiB", "TiB"};
    size_t i = 0;

    if (put_special(t, k, (double)x)) return;
    while (i + 1 < COUNT(units) && x % 1024 == 0) x /= 1024, i++;
    put(t, "%lld%s", (long long)x, units[i]);
}

/* Control characters never get in, so quotes and backslashes are all there is to escape. */
static void put_quoted(text *t, const char *s)
{
    put_bytes(t, "\"", 1);
    for (; *s; s++) {
        if (*s == '"' || *s == '\\') put_bytes(t, "\\", 1);
        put_bytes(t, s, 1);
    }
    put_bytes(t, "\"", 1);
}

static void put_scalar(text *t, const key_def *k, const void *base)
{
    const void *field = field_in(base, k->at);

    switch (k->type) {
    case TYPE_INT: put_int(t, k, *(const int64_t *)field); break;
    case TYPE_REAL: put_real(t, k, *(const double *)field); break;
    case TYPE_SIZE: put_size(t, k, *(const int64_t *)field); break;
    case TYPE_BOOL: put(t, "%s", *(const bool *)field ? "true" : "false"); break;
    case TYPE_TEXT: put_quoted(t, *(char *const *)field); break;
    case TYPE_WORD: {
        int word = *(const int *)field;

        if (!put_special(t, k, word)) put(t, "%s", k->words[word]);
        break;
    }
    default: break;
    }
}

static void put_scalars(text *t, const key_def *k, const void *base)
{
    const int32_t *n = field_in(base, k->at);

    put(t, "[");
    for (int32_t i = 0; i < *n; i++) {
        const void *item = field_in(base, k->items + item_size(k) * (size_t)i);

        if (i) put(t, ", ");
        switch (k->type) {
        case TYPE_INTS: put_int(t, k, *(const int64_t *)item); break;
        case TYPE_REALS: put_real(t, k, *(const double *)item); break;
        case TYPE_TEXTS: put_quoted(t, *(char *const *)item); break;
        default: put_bytes(t, *(char *const *)item, strlen(*(char *const *)item)); break;
        }
    }
    put(t, "]");
}

static void put_record(text *t, const record *r, const void *base, int indent, bool item);

static void put_list(text *t, const key_def *k, const void *base, int indent)
{
    const int32_t *n = field_in(base, k->at);

    put(t, *n ? "\n" : " []\n");
    for (int32_t i = 0; i < *n; i++)
        put_record(t, k->of, field_in(base, k->items + k->of->size * (size_t)i), indent + 4, true);
}

/* `item`: the first key follows a dash. */
static void put_record(text *t, const record *r, const void *base, int indent, bool item)
{
    for (int i = 0; i < r->n; i++) {
        const key_def *k = &r->keys[i];

        if (item && i == 0) put(t, "%*s- %s:", indent - 2, "", k->name);
        else put(t, "%*s%s:", indent, "", k->name);
        if (k->type == TYPE_RECORD) {
            put(t, "\n");
            put_record(t, k->of, field_in(base, k->at), indent + 2, false);
        } else if (k->type == TYPE_LIST) {
            put_list(t, k, base, indent);
        } else {
            put(t, " ");
            if (is_scalar_list(k)) put_scalars(t, k, base);
            else put_scalar(t, k, base);
            put(t, "\n");
        }
    }
}

drmad_status config_print(const config *c, char **out)
{
    text t = {.ctx = c->ctx};

    put_record(&t, config_root(), &c->set, 0, false);
    return give(&t, out);
}

drmad_status key_print(const config *c, const key_def *k, const void *base, char **out)
{
    text t = {.ctx = c->ctx};

    if (is_scalar_list(k)) put_scalars(&t, k, base);
    else if (k->type == TYPE_TEXT) put(&t, "%s", *(char *const *)field_in(base, k->at));
    else put_scalar(&t, k, base);
    if (t.used == 0) put_bytes(&t, "", 0);
    return give(&t, out);
}

/* A table's cell: bars would end it. */
static void put_cell(text *t, const char *s)
{
    for (; *s; s++) {
        if (*s == '|') put_bytes(t, "\\", 1);
        put_bytes(t, s, 1);
    }
}

static void document_keys(text *t, const record *r)
{
    char takes[512];

    put(t, "| key | takes | default | |\n|---|---|---|---|\n");
    for (int i = 0; i < r->n; i++) {
        const key_def *k = &r->keys[i];
        const char *def = k->def ? k->def : k->type == TYPE_LIST ? "[]" : "";

        if (k->type == TYPE_RECORD) continue;
        put(t, "| `%s` | %s | ", k->name, key_takes(k, takes, sizeof takes));
        if (k->type == TYPE_TEXT && k->def && !def[0]) put(t, "empty");
        else if (def[0]) put(t, "`%s`", def);
        else put(t, "must be given");
        put(t, " | ");
        put_cell(t, k->text);
        put(t, " |\n");
    }
    put(t, "\n");
}

static void document_record(text *t, const key_def *k)
{
    put(t, "## `%s`\n\n%s\n\n", k->name, k->of->text);
    document_keys(t, k->of);
    for (int i = 0; i < k->of->n; i++) {
        const key_def *sub = &k->of->keys[i];

        if (sub->type != TYPE_LIST) continue;
        put(t, "### `%s.%s`\n\n%s\n\n", k->name, sub->name, sub->of->text);
        document_keys(t, sub->of);
    }
}

static void document_hyper(text *t)
{
    put(t, "### Kinds\n\n| kind | | transform | bounds | start |\n|---|---|---|---|---|\n");
    for (int i = 0; i < HYPER_KIND_COUNT; i++) {
        const hyper_kind_info *k = hyper_kind_of((hyper_kind)i);
        char low[32], high[32], start[32];

        real_print(k->low, low, sizeof low);
        real_print(k->high, high, sizeof high);
        real_print(k->start, start, sizeof start);
        put(t, "| `%s` | ", k->word);
        put_cell(t, k->text);
        put(t, " | %s | %s to %s | %s |\n", hyper_transform_word(k->transform), low, high, start);
    }
    put(t, "\n### Granularities and transforms\n\n| `per` | |\n|---|---|\n");
#define HYPER_PER(id, word, meaning) put(t, "| `%s` | %s |\n", word, meaning);
#include "config/hyper.def"
#undef HYPER_PER
    put(t, "\n| `transform` | |\n|---|---|\n");
#define HYPER_TRANSFORM(id, word, meaning) put(t, "| `%s` | %s |\n", word, meaning);
#include "config/hyper.def"
#undef HYPER_TRANSFORM
    put(t, "\n");
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
    text t = {.ctx = ctx};
    const record *root = config_root();

    put_bytes(&t, introduction, sizeof introduction - 1);
    document_keys(&t, root);
    for (int i = 0; i < root->n; i++) {
        const key_def *k = &root->keys[i];

        if (k->type != TYPE_RECORD && k->type != TYPE_LIST) continue;
        document_record(&t, k);
        if (strcmp(k->name, "hyper") == 0) document_hyper(&t);
        if (strcmp(k->name, "parameters") == 0) put_bytes(&t, hypero, sizeof hypero - 1);
    }
    return give(&t, out);
}
