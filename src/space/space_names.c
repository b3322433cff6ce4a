/* What slices and elements of h are called, in logs, results and files. */
#include "space/space_inside.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { NAME_MAX_BYTES = 1024 };

typedef struct text {
    char *buf;
    size_t size, used;
} text;

__attribute__((format(printf, 2, 3))) static void put(text *t, const char *fmt, ...)
{
    va_list ap;

    if (t->used >= t->size) return;
    va_start(ap, fmt);
    int n = vsnprintf(t->buf + t->used, t->size - t->used, fmt, ap);
    va_end(ap);
    if (n > 0) t->used += (size_t)n;
}

/* Bytes of the longest common prefix of the layer's tensor names that ends before a '.'; 0 when
 * there is none. */
static size_t layer_prefix(const param_table *p, int32_t layer)
{
    const char *first = NULL;
    size_t len = 0;

    for (int32_t i = 0; i < p->n; i++) {
        const char *name = p->at[i].name;
        size_t same = 0;

        if (p->at[i].layer != layer) continue;
        if (!first) first = name, len = strlen(name);
        while (same < len && name[same] == first[same]) same++;
        len = same;
    }
    while (len > 0 && first[len] != '.') len--;
    return len;
}

/* "layers.0" when all tensors of the layer share the slice, else "layers.0.weight" or
 * "layers.0.{weight,norm}". */
static void put_layer(text *t, const space *s, int32_t slice)
{
    const param_table *p = s->params;
    int32_t layer = s->slices[slice].layer, have = 0, sharing = 0, last = 0;
    size_t prefix = layer_prefix(p, layer);
    const char *comma = "";

    for (int32_t i = 0; i < p->n; i++) have += p->at[i].layer == layer;
    for (int32_t u = 0; u < s->n_uses; u++)
        if (s->uses[u].slice == slice) sharing++, last = s->uses[u].tensor;
    const char *name = p->at[last].name;

    if (sharing == 1 && (have > 1 || prefix == 0)) put(t, "/%s", name);
    else if (prefix > 0) put(t, "/%.*s", (int)prefix, name);
    else put(t, "/layer%d", (int)layer);
    if (sharing == have || sharing == 1) return;
    put(t, ".{");
    for (int32_t u = 0; u < s->n_uses; u++) {
        if (s->uses[u].slice != slice) continue;
        name = p->at[s->uses[u].tensor].name;
        put(t, "%s%s", comma, prefix > 0 ? name + prefix + 1 : name);
        comma = ",";
    }
    put(t, "}");
}

static drmad_status name_slice(space *s, int32_t i, const hyper_decl *d)
{
    char buf[NAME_MAX_BYTES];
    text t = {buf, sizeof buf, 0};
    hyper_slice *sl = &s->slices[i];

    put(&t, "%s", hyper_kind_of(sl->kind)->word);
    if (sl->tensor >= 0) put(&t, "/%s", s->params->at[sl->tensor].name);
    else if (sl->site >= 0) put(&t, "/%s", s->params->site[sl->site].name);
    else if (sl->per == PER_LAYER) put_layer(&t, s, i);
    else if (d->match) put(&t, "/%s", d->match);
    return mem_strdup(s->ctx, buf, &sl->name);
}

drmad_status space_name_slices(space *s, const hyper_decl *decls)
{
    drmad_status st = DRMAD_OK;

    for (int32_t i = 0; i < s->n_slices; i++) {
        TRY(name_slice(s, i, &decls[s->slices[i].decl]));
        for (int32_t j = 0; j < i; j++)
            if (strcmp(s->slices[i].name, s->slices[j].name) == 0)
                return FAIL(s->ctx, DRMAD_E_MODEL,
                            "two groups of hyperparameters are called \"%s\"; name the parameters "
                            "of the model so that its layers can be told apart",
                            s->slices[i].name);
    }
done:
    return st;
}

/* Which element of the slice's row: "/in[17]". */
static void put_element(text *t, const space *s, const hyper_slice *sl, int64_t e)
{
    const param *p = sl->tensor >= 0 ? &s->params->at[sl->tensor] : NULL;

    if (sl->per == PER_EXAMPLE || sl->per == PER_CLASS) {
        put(t, "/%s[%lld]", hyper_per_word(sl->per), (long long)e);
    } else if (sl->per == PER_CLASS_PAIR) {
        const int64_t k = s->facts.classes;

        put(t, "/%s[%lld,%lld]", hyper_per_word(sl->per), (long long)(e / k), (long long)(e % k));
    } else if (sl->per == PER_UNIT_IN && (!p || p->shape.rank > 1)) {
        put(t, "/in[%lld]", (long long)e);
    } else if (sl->per == PER_UNIT_OUT) {
        put(t, "/out[%lld]", (long long)e);
    } else if (sl->per == PER_WEIGHT) {
        int64_t below = p->count;

        put(t, "/");
        for (int32_t i = 0; i < p->shape.rank; i++) {
            below /= p->shape.dim[i];
            put(t, "%c%lld", i ? ',' : '[', (long long)(e / below % p->shape.dim[i]));
        }
        put(t, "]");
    }
}

char *space_element_name(const space *s, int64_t i, char *buf, size_t size)
{
    text t = {buf, size, 0};
    const hyper_slice *sl = space_slice_of(s, i);
    int64_t e = (i - sl->offset) % sl->elements, phase = (i - sl->offset) / sl->elements;

    if (size > 0) buf[0] = '\0';
    put(&t, "%s", sl->name);
    put_element(&t, s, sl, e);
    if (sl->phases > 1 || sl->every_step)
        put(&t, "/%s%lld", sl->every_step ? "step" : "phase", (long long)phase);
    return buf;
}
