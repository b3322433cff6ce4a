/* Wider: which layers go along, and which columns of theirs are copies.
 *
 * The columns of a layer are those of its output's last dimension. Layers that pass columns on
 * (norms, activations, pools, ...) share them with what they read, and `add` makes all that it
 * reads share theirs: such layers form a class, of which all that make columns of their own
 * (linear, conv, embedding) are widened together. `flatten` and `concat` have columns that follow
 * from others'. */
#include "nn/morph_inside.h"
#include <string.h>

typedef struct widening {
    const nn_spec *s;
    morph *m;
    int32_t *class_of; /* [n + 1], the last one the input's: union-find */
    int32_t wide;      /* the class */
} widening;

static int32_t find(const int32_t *class_of, int32_t i)
{
    while (class_of[i] != i) i = class_of[i];
    return i;
}

static bool makes_columns(const nn_layer *l)
{
    return l->kind == NN_LINEAR || l->kind == NN_CONV || l->kind == NN_EMBEDDING;
}

static bool has_own(const nn_layer *l)
{
    return makes_columns(l) || l->kind == NN_FLATTEN || l->kind == NN_CONCAT ||
           l->kind == NN_ATTENTION;
}

static void find_classes(widening *w)
{
    const int32_t n = w->s->n;

    for (int32_t i = 0; i <= n; i++) w->class_of[i] = i;
    for (int32_t i = 0; i < n; i++) {
        const nn_layer *l = &w->s->at[i];

        for (int32_t k = 0; !has_own(l) && k < l->inputs; k++) {
            const int32_t other = l->from[k] == NN_INPUT ? n : l->from[k];
            w->class_of[find(w->class_of, other)] = find(w->class_of, i);
        }
    }
}

/* Nothing of the class may be the net's input or output, or be bound otherwise. */
static drmad_status check_class(const widening *w, const nn_layer *l)
{
    const int32_t n = w->s->n;

    if (find(w->class_of, n) == w->wide)
        return nn_refuse(w->s, l, "its outputs are added to the net's input");
    if (find(w->class_of, w->s->output) == w->wide || nn_is_head(l))
        return nn_refuse(w->s, l, "its outputs are those of the net");
    for (int32_t i = 0; i < n; i++) {
        const nn_layer *o = &w->s->at[i];

        if (find(w->class_of, i) != w->wide) continue;
        if (has_own(o) && !makes_columns(o))
            return nn_refuse(w->s, l,
                             "its outputs are added to those of %s, which cannot be "
                             "widened",
                             o->name);
        if (o->kind == NN_CONV && o->window.groups > 1)
            return nn_refuse(w->s, o, "has groups, whose outputs are not all alike");
    }
    return DRMAD_OK;
}

/* ---- columns ---- */

static drmad_status columns_new(const widening *w, int32_t layer, int64_t n, int64_t old)
{
    morph_columns *c = &w->m->columns[layer];
    drmad_status st = DRMAD_OK;

    TRY(mem_alloc(w->m->ctx, (size_t)n, sizeof *c->from, &c->from));
    TRY(mem_alloc(w->m->ctx, (size_t)old, sizeof *c->copies, &c->copies));
    c->n = n, c->old = old;
done:
    return st;
}

static void count_copies(morph_columns *c)
{
    for (int64_t i = 0; i < c->n; i++) c->copies[c->from[i]]++;
}

/* NULL: as before. */
static const morph_columns *columns_of(const widening *w, int32_t layer)
{
    return layer != NN_INPUT && w->m->columns[layer].n > 0 ? &w->m->columns[layer] : NULL;
}

/* The old ones, then copies of them in random order, each as often as any other to within one. */
static drmad_status draw_columns(const widening *w, int32_t layer, int64_t n)
{
    const nn_layer *l = &w->s->at[layer];
    const int64_t old = l->out;
    const rng_key key = {w->m->seed, 0, rng_site("morph.wider")};
    const rng_perm perm = rng_perm_make(key, (uint64_t)old);
    const drmad_status st = columns_new(w, layer, n, old);

    if (st != DRMAD_OK) return st;
    morph_columns *c = &w->m->columns[layer];
    for (int64_t i = 0; i < n; i++)
        c->from[i] = (int32_t)(i < old ? i : (int64_t)rng_perm_at(&perm, (uint64_t)(i % old)));
    count_copies(c);
    return st;
}

static drmad_status copy_columns(const widening *w, int32_t layer, const morph_columns *from)
{
    if (!from) return DRMAD_OK;
    const drmad_status st = columns_new(w, layer, from->n, from->old);

    if (st != DRMAD_OK) return st;
    memcpy(w->m->columns[layer].from, from->from, (size_t)from->n * sizeof *from->from);
    count_copies(&w->m->columns[layer]);
    return st;
}

/* Columns are channels times pixels: C, H, W order. */
static drmad_status flatten_columns(const widening *w, int32_t layer)
{
    const morph_columns *from = columns_of(w, w->s->at[layer].from[0]);

    if (!from) return DRMAD_OK;
    const int64_t pixels = w->s->at[layer].shape.dim[0] / from->old;
    const drmad_status st = columns_new(w, layer, from->n * pixels, from->old * pixels);

    if (st != DRMAD_OK) return st;
    morph_columns *c = &w->m->columns[layer];
    for (int64_t i = 0; i < c->n; i++)
        c->from[i] = (int32_t)(from->from[i / pixels] * pixels + i % pixels);
    count_copies(c);
    return st;
}

static int64_t last_of(const nn_spec *s, int32_t layer)
{
    const shape *x = nn_shape(s, layer);

    return x->dim[x->rank - 1];
}

static drmad_status concat_columns(const widening *w, int32_t layer)
{
    const nn_layer *l = &w->s->at[layer];
    int64_t n = 0, old = 0;

    for (int32_t k = 0; k < l->inputs; k++) {
        const morph_columns *from = columns_of(w, l->from[k]);
        old += last_of(w->s, l->from[k]);
        n += from ? from->n : last_of(w->s, l->from[k]);
    }
    if (n == old) return DRMAD_OK;
    const drmad_status st = columns_new(w, layer, n, old);
    if (st != DRMAD_OK) return st;
    morph_columns *c = &w->m->columns[layer];
    int64_t at = 0, start = 0;
    for (int32_t k = 0; k < l->inputs; k++) {
        const morph_columns *from = columns_of(w, l->from[k]);
        const int64_t width = last_of(w->s, l->from[k]), many = from ? from->n : width;

        for (int64_t i = 0; i < many; i++)
            c->from[at++] = (int32_t)(start + (from ? from->from[i] : i));
        start += width;
    }
    count_copies(c);
    return st;
}

static bool even(const morph_columns *c)
{
    return c->n % c->old == 0; /* draw_columns: then each is there as often as any other */
}

/* What a layer that has or takes other columns can bear. */
static drmad_status check_reader(const widening *w, const nn_layer *l, const morph_columns *in)
{
    if (!in) return DRMAD_OK;
    switch (l->kind) {
    case NN_GROUP_NORM: return nn_refuse(w->s, l, "copies would change the groups' statistics");
    case NN_ATTENTION: return nn_refuse(w->s, l, "its heads cannot be widened");
    case NN_LAYER_NORM:
        if (even(in)) return DRMAD_OK;
        return nn_refuse(w->s, l,
                         "its statistics stay what they are only where all units have as many "
                         "copies: a multiple of %lld",
                         (long long)in->old);
    case NN_LINEAR:
        if (!l->tied) return DRMAD_OK;
        return nn_refuse(w->s, l, "its weight is an embedding's too");
    case NN_CONV:
        if (l->window.groups == 1) return DRMAD_OK;
        return nn_refuse(w->s, l, "has groups, whose inputs are not all alike");
    default: return DRMAD_OK;
    }
}

static drmad_status layer_columns(widening *w, int32_t i, int64_t outputs)
{
    const nn_layer *l = &w->s->at[i];
    const morph_columns *in = columns_of(w, l->from[0]);
    drmad_status st = DRMAD_OK;

    TRY(check_reader(w, l, in));
    if (makes_columns(l)) {
        if (find(w->class_of, i) == w->wide) TRY(draw_columns(w, i, outputs));
    } else if (l->kind == NN_FLATTEN) TRY(flatten_columns(w, i));
    else if (l->kind == NN_CONCAT) TRY(concat_columns(w, i));
    else if (l->kind != NN_ATTENTION) TRY(copy_columns(w, i, in));
done:
    return st;
}

/* ---- the new net ---- */

/* Which dimension of a layer's tensor k are its outputs, and which its inputs. */
static void map_tensors(const widening *w, int32_t i)
{
    const nn_layer *l = &w->s->at[i];
    const morph_columns *in = columns_of(w, l->from[0]), *out = columns_of(w, i);
    const bool product = l->kind == NN_LINEAR || l->kind == NN_CONV;
    nn_tensor t[NN_TENSORS_MAX];
    const int32_t n = nn_tensors(w->s, l, t);

    for (int32_t k = 0; k < n; k++) {
        morph_tensor *to = &w->m->at[l->first + k];
        const bool weight = product && t[k].role == PARAM_WEIGHT;

        to->out = weight ? 0 : t[k].shape.rank - 1;
        to->map[to->out] = out;
        if (!weight) continue;
        to->in = 1;
        to->map[1] = in;
    }
}

static drmad_status build(widening *w, int64_t outputs)
{
    drmad_status st = DRMAD_OK;

    for (int32_t i = 0; i < w->s->n; i++) {
        nn_layer l = w->s->at[i];

        TRY(layer_columns(w, i, outputs));
        if (makes_columns(&l) && columns_of(w, i)) l.out = outputs;
        TRY(morph_add(w->m, &l, l.first, false));
    }
    for (int32_t i = 0; i < w->s->n; i++) map_tensors(w, i);
done:
    return st;
}

static drmad_status find_layer(const nn_spec *s, const char *name, int64_t outputs, int32_t *out)
{
    *out = nn_find(s, name);
    if (*out < 0) return FAIL(s->ctx, DRMAD_E_CONFIG, "no layer is called \"%.60s\"", name);
    const nn_layer *l = &s->at[*out];
    if (!makes_columns(l))
        return nn_refuse(s, l, "only linear, conv and embedding layers can be widened");
    if (outputs <= l->out)
        return nn_refuse(s, l, "has %lld outputs; %lld are no more", (long long)l->out,
                         (long long)outputs);
    return DRMAD_OK;
}

drmad_status morph_wider(const nn_spec *s, const char *layer, int64_t outputs, uint64_t seed,
                         morph **out)
{
    widening w = {.s = s};
    drmad_status st = DRMAD_OK;
    int32_t at;

    *out = NULL;
    TRY(find_layer(s, layer, outputs, &at));
    TRY(mem_alloc(s->ctx, (size_t)s->n + 1, sizeof *w.class_of, &w.class_of));
    TRY(morph_new(s, &w.m));
    w.m->seed = seed;
    find_classes(&w);
    w.wide = find(w.class_of, at);
    TRY(check_class(&w, &s->at[at]));
    TRY(build(&w, outputs));
    *out = w.m, w.m = NULL;
done:
    mem_free(s->ctx, w.class_of);
    morph_free(w.m);
    return st;
}
