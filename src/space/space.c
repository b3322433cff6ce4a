/* Lays out the space: which tensors a declaration reaches, how they share slices, where slices lie
 * in h. */
#include "space/space_inside.h"
#include <string.h>

enum { TOTAL_MAX = INT32_MAX }; /* values; 16 GiB a vector: nothing sensible is near it */

hyper_per space_per_at(const hyper_decl *d, int64_t meta_step)
{
    for (int32_t i = 0; i < d->n_ties; i++)
        if (meta_step < d->ties[i].until) return d->ties[i].per;
    return d->per;
}

int64_t space_next_change(const hyper_decl *decls, int32_t n, int64_t meta_step)
{
    int64_t next = -1;

    for (int32_t d = 0; d < n; d++)
        for (int32_t i = 0; i < decls[d].n_ties; i++) {
            int64_t until = decls[d].ties[i].until;

            if (until > meta_step && (next < 0 || until < next)) next = until;
        }
    return next;
}

/* Where the table of uses keeps (kind, tensor). */
static size_t columns(const space *s)
{
    const param_table *p = s->params;

    return (size_t)(p->n > p->sites ? p->n : p->sites) + 1;
}

static size_t cell(const space *s, hyper_kind kind, int32_t tensor)
{
    return (size_t)kind * columns(s) + (size_t)(tensor + 1);
}

const hyper_use *space_find(const space *s, hyper_kind kind, int32_t tensor)
{
    int32_t u = s->use_of[cell(s, kind, tensor)];

    return u > 0 ? &s->uses[u - 1] : NULL;
}

const char *space_place(const space *s, hyper_kind kind, int32_t tensor)
{
    if (tensor < 0) return "the data";
    return hyper_is_about_layers(kind) ? s->params->site[tensor].name : s->params->at[tensor].name;
}

bool space_has(const space *s, hyper_kind kind)
{
    for (int32_t i = 0; i < s->n_slices; i++)
        if (s->slices[i].kind == kind) return true;
    return false;
}

const hyper_slice *space_slice_of(const space *s, int64_t i)
{
    int32_t lo = 0, hi = s->n_slices;

    while (hi - lo > 1) {
        int32_t mid = lo + (hi - lo) / 2;

        if (s->slices[mid].offset <= i) lo = mid;
        else hi = mid;
    }
    return &s->slices[lo];
}

/* The leaf's shape for a tensor. A bias is the weight of one constant input: per unit-in it has one
 * value. */
static shape tensor_use_shape(const param *p, hyper_per per)
{
    shape u = shape_ones(p->shape.rank);

    if (per == PER_WEIGHT) return p->shape;
    if (per == PER_UNIT_OUT && u.rank > 0) u.dim[0] = p->shape.dim[0];
    if (per == PER_UNIT_IN && u.rank > 1) u.dim[1] = p->shape.dim[1];
    return u;
}

static shape data_use_shape(const space_facts *f, hyper_kind kind, hyper_per per)
{
    if (kind == HYPER_INPUT_SCALE) return SHAPE(1, per == PER_UNIT_IN ? f->inputs : 1);
    if (kind == HYPER_LABEL_FLIP)
        return SHAPE(per == PER_GLOBAL ? 1 : f->classes, per == PER_CLASS_PAIR ? f->classes : 1);
    if (kind == HYPER_LABEL_SMOOTHING || kind == HYPER_GCE_Q || kind == HYPER_DISTILL_TEMPERATURE ||
        kind == HYPER_BRIGHTNESS || kind == HYPER_CONTRAST || kind == HYPER_ERASING ||
        kind == HYPER_NOISE || kind == HYPER_MIXUP)
        return SHAPE(1, 1);
    if (per == PER_EXAMPLE) return SHAPE(f->examples);
    return SHAPE(per == PER_CLASS ? f->classes : 1);
}

static drmad_status too_large(const space *s, const hyper_slice *sl)
{
    return FAIL(
        s->ctx, DRMAD_E_CONFIG,
        "hyper.%d (%s): %lld values per %s x %lld in time beyond the %lld before them: more "
        "than the %lld that fit the memory limit",
        (int)sl->decl, hyper_kind_of(sl->kind)->word, (long long)sl->elements,
        hyper_per_word(sl->per), (long long)sl->phases, (long long)s->total, (long long)s->limit);
}

static drmad_status add_slice(space *s, const hyper_decl *d, int32_t decl, const shape *use,
                              int32_t tensor)
{
    drmad_status st = DRMAD_OK;
    hyper_per per = space_per_at(d, s->facts.meta_step);
    hyper_slice sl = {
        .kind = d->kind,
        .per = per,
        .decl = decl,
        .layer = tensor < 0 || per == PER_GLOBAL ? -1 : s->params->at[tensor].layer,
        .tensor = per == PER_GLOBAL || per == PER_LAYER ? -1 : tensor,
        .site = -1,
        .transform = d->transform,
        .low = d->low,
        .high = d->high,
        .start = d->start,
        .multiplier = d->multiplier,
        .every_step = d->phases == 0,
        .smooth = d->smooth,
        .offset = s->total,
        .elements = shape_count(use),
        .phases = d->phases ? d->phases : s->facts.steps,
    };

    if (sl.elements > (s->limit - s->total) / sl.phases) return too_large(s, &sl);
    TRY(mem_resize(s->ctx, &s->slices, (size_t)s->n_slices, (size_t)s->n_slices + 1,
                   sizeof *s->slices));
    s->slices[s->n_slices++] = sl;
    s->total += sl.elements * sl.phases;
done:
    return st;
}

static drmad_status add_use(space *s, hyper_kind kind, int32_t tensor, int32_t slice, shape use)
{
    drmad_status st = DRMAD_OK;
    int32_t *at = &s->use_of[cell(s, kind, tensor)];

    TRY(mem_resize(s->ctx, &s->uses, (size_t)s->n_uses, (size_t)s->n_uses + 1, sizeof *s->uses));
    s->uses[s->n_uses++] = (hyper_use){kind, tensor, slice, use};
    *at = s->n_uses; /* its index and one, so that zero means none */
done:
    return st;
}

static drmad_status reached_twice(const space *s, int32_t decl, const hyper_use *u)
{
    return FAIL(s->ctx, DRMAD_E_CONFIG, "hyper.%d (%s): reaches %s, which hyper.%d reaches already",
                (int)decl, hyper_kind_of(u->kind)->word, space_place(s, u->kind, u->tensor),
                (int)s->slices[u->slice].decl);
}

/* The slice of declaration `decl` that `tensor` shares with tensors before it; -1 when it needs its
 * own. */
static int32_t shared_slice(const space *s, int32_t decl, hyper_per per, int32_t tensor)
{
    if (per != PER_GLOBAL && per != PER_LAYER) return -1;
    for (int32_t i = s->n_slices - 1; i >= 0 && s->slices[i].decl == decl; i--)
        if (per == PER_GLOBAL || s->slices[i].layer == s->params->at[tensor].layer) return i;
    return -1;
}

static drmad_status lay_tensors(space *s, const hyper_decl *d, int32_t decl)
{
    drmad_status st = DRMAD_OK;
    hyper_per per = space_per_at(d, s->facts.meta_step);
    int32_t reached = 0, matrices = 0;

    for (int32_t i = 0; i < s->params->n; i++) {
        const param *p = &s->params->at[i];
        const hyper_use *before = space_find(s, d->kind, i);

        if (!space_reaches(d, p)) continue;
        if (before) return reached_twice(s, decl, before);
        reached++, matrices += p->shape.rank > 1;
        shape use = tensor_use_shape(p, per);
        int32_t slice = shared_slice(s, decl, per, i);

        if (slice < 0) {
            slice = s->n_slices;
            TRY(add_slice(s, d, decl, &use, i));
        }
        TRY(add_use(s, d->kind, i, slice, use));
    }
    if (reached == 0 || (matrices == 0 && d->per == PER_UNIT_IN))
        return FAIL(s->ctx, DRMAD_E_CONFIG, "hyper.%d (%s): %s%s%s%s reaches no %s", (int)decl,
                    hyper_kind_of(d->kind)->word, reached ? "no value per unit-in: " : "",
                    d->match ? "match \"" : "it", d->match ? d->match : "", d->match ? "\"" : "",
                    reached ? "matrix" : "parameter");
done:
    return st;
}

static drmad_status reaches_nothing(const space *s, const hyper_decl *d, int32_t decl)
{
    const char *word = hyper_kind_of(d->kind)->word;
    const bool dropout = d->kind == HYPER_DROPOUT;

    if (d->match)
        return FAIL(s->ctx, DRMAD_E_CONFIG, "hyper.%d (%s): match \"%s\" reaches no %s", (int)decl,
                    word, d->match, dropout ? "dropout layer" : "auxiliary head");
    return FAIL(s->ctx, DRMAD_E_CONFIG, "hyper.%d (%s): the model has no %s", (int)decl, word,
                dropout ? "dropout layer; presets have them where model.dropout is above 0"
                        : "auxiliary head; model.auxiliary adds them");
}

static drmad_status lay_sites(space *s, const hyper_decl *d, int32_t decl)
{
    const hyper_per per = space_per_at(d, s->facts.meta_step);
    const shape one = SHAPE(1, 1);
    drmad_status st = DRMAD_OK;
    int32_t reached = 0;

    for (int32_t i = 0; i < s->params->sites; i++) {
        const hyper_use *before = space_find(s, d->kind, i);

        if (!space_reaches_site(d, &s->params->site[i])) continue;
        if (before) return reached_twice(s, decl, before);
        if (reached++ == 0 || per == PER_LAYER) TRY(add_slice(s, d, decl, &one, -1));
        if (per == PER_LAYER) s->slices[s->n_slices - 1].site = i;
        TRY(add_use(s, d->kind, i, s->n_slices - 1, one));
    }
    if (reached == 0) st = reaches_nothing(s, d, decl);
done:
    return st;
}

static drmad_status lay_data(space *s, const hyper_decl *d, int32_t decl)
{
    drmad_status st = DRMAD_OK;
    const hyper_use *before = space_find(s, d->kind, -1);
    shape use = data_use_shape(&s->facts, d->kind, space_per_at(d, s->facts.meta_step));

    if (before) return reached_twice(s, decl, before);
    TRY(add_slice(s, d, decl, &use, -1));
    TRY(add_use(s, d->kind, -1, s->n_slices - 1, use));
done:
    return st;
}

static drmad_status lay_all(space *s, const hyper_decl *decls, int32_t n)
{
    drmad_status st = DRMAD_OK;
    size_t cells = (size_t)HYPER_KIND_COUNT * columns(s);

    TRY(mem_alloc(s->ctx, cells, sizeof *s->use_of, &s->use_of));
    for (int32_t d = 0; d < n; d++) {
        TRY(space_check_decl(s->ctx, &s->facts, &decls[d], d));
        if (hyper_is_about_tensors(decls[d].kind)) TRY(lay_tensors(s, &decls[d], d));
        else if (hyper_is_about_layers(decls[d].kind)) TRY(lay_sites(s, &decls[d], d));
        else TRY(lay_data(s, &decls[d], d));
    }
    TRY(space_name_slices(s, decls));
done:
    return st;
}

drmad_status space_new(drmad_ctx *ctx, const param_table *params, const space_facts *facts,
                       const hyper_decl *decls, int32_t n, space **out)
{
    drmad_status st = DRMAD_OK;
    space *s = NULL;

    *out = NULL;
    TRY(space_check_facts(ctx, facts));
    TRY(mem_alloc(ctx, 1, sizeof *s, &s));
    s->ctx = ctx, s->params = params, s->facts = *facts;
    s->limit = TOTAL_MAX;
    if (facts->memory && facts->memory / sizeof(double) < (size_t)s->limit)
        s->limit = (int64_t)(facts->memory / sizeof(double));
    TRY(lay_all(s, decls, n));
    *out = s, s = NULL;
done:
    space_free(s);
    return st;
}

void space_free(space *s)
{
    if (!s) return;
    for (int32_t i = 0; i < s->n_slices; i++) mem_free(s->ctx, s->slices[i].name);
    mem_free(s->ctx, s->slices);
    mem_free(s->ctx, s->uses);
    mem_free(s->ctx, s->use_of);
    mem_free(s->ctx, s->start);
    mem_free(s->ctx, s);
}
