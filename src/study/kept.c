/* The values that a study's last call came to, for its caller. */
#include "study/study_parts.h"
#include "setup/start.h"
#include <stdio.h>
#include <string.h>

void study_forget_kept(drmad_study *s)
{
    space_free(s->kept_space);
    mem_free(s->ctx, s->kept);
    s->kept_space = NULL, s->kept = NULL;
}

drmad_status study_keep(drmad_study *s, int64_t meta_step, const double *values)
{
    const space_facts facts = setup_facts(s->s, meta_step);
    drmad_status st = DRMAD_OK;

    study_forget_kept(s);
    TRY(space_new(s->ctx, s->s->params, &facts, s->s->decl, s->s->decls, &s->kept_space));
    const size_t n = (size_t)s->kept_space->total;
    TRY(mem_alloc(s->ctx, n + 1, sizeof *s->kept, &s->kept));
    if (values) memcpy(s->kept, values, n * sizeof *values);
done:
    return st;
}

drmad_status study_keep_saved(drmad_study *s, int64_t meta_steps)
{
    const setup *u = s->s;
    drmad_status st = DRMAD_OK;
    st_file *f = NULL;
    char path[1200];
    int64_t tied = 0;

    for (int64_t next = 0; next >= 0 && next < meta_steps;) {
        tied = next;
        next = space_next_change(u->decl, u->decls, next);
    }
    TRY(folder_read_tensors(s->f, "hyperparameters.safetensors", &f));
    if (!f) goto done;
    TRY(study_keep(s, tied, NULL));
    snprintf(path, sizeof path, "%s/hyperparameters.safetensors", folder_path(s->f));
    TRY(start_values(s->kept_space, path, f, s->kept));
done:
    mem_free(s->ctx, f);
    return st;
}

/* The word's kind, HYPER_KIND_COUNT for none. */
static hyper_kind kind_of(const char *word)
{
    int k = 0;

    while (k < HYPER_KIND_COUNT && strcmp(hyper_kind_of((hyper_kind)k)->word, word) != 0) k++;
    return (hyper_kind)k;
}

static drmad_status check_value(drmad_study *s, const char *kind, int tensor, int64_t step)
{
    const hyper_kind k = kind_of(kind);

    if (!s->kept)
        return FAIL(s->ctx, DRMAD_E_USAGE, "no values: tune or why has not ended well yet");
    if (k == HYPER_KIND_COUNT)
        return FAIL(s->ctx, DRMAD_E_USAGE, "no hyperparameter is called \"%s\"", kind);
    if (hyper_is_about_tensors(k) ? tensor < 0 || tensor >= s->s->params->n : tensor != -1)
        return FAIL(s->ctx, DRMAD_E_USAGE, "%s: tensor %d of %d", kind, tensor, s->s->params->n);
    if (step < 0 || step >= s->s->spec.steps)
        return FAIL(s->ctx, DRMAD_E_USAGE, "step %lld of %lld", (long long)step,
                    (long long)s->s->spec.steps);
    return DRMAD_OK;
}

drmad_status drmad_study_value(drmad_study *s, const char *kind, int tensor, int64_t step,
                               double *out, int64_t count, int *tuned)
{
    drmad_status st = check_value(s, kind, tensor, step);
    double *leaf = NULL;

    if (st != DRMAD_OK) return st;
    const hyper_kind k = kind_of(kind);
    const hyper_use *u = space_find(s->kept_space, k, tensor);
    const shape *to = tensor < 0 ? (u ? &u->shape : NULL) : &s->s->params->at[tensor].shape;
    train_spec spec = s->s->spec;
    spec.rate = train_rate(&spec, s->kept_space, s->kept);
    const hyper_at at = {.t = step, .base = train_base(&spec, k, step), .type = F64};

    *tuned = u != NULL;
    if (count != (to ? shape_count(to) : 1))
        TRY(FAIL(s->ctx, DRMAD_E_USAGE, "%s: room for %lld values, there are %lld", kind,
                 (long long)count, (long long)(to ? shape_count(to) : 1)));
    if (!u) {
        for (int64_t e = 0; e < count; e++) out[e] = at.base;
        goto done;
    }
    TRY(mem_alloc(s->ctx, (size_t)shape_count(&u->shape), sizeof *leaf, &leaf));
    space_fetch(s->kept_space, u, &at, s->kept, leaf);
    for (int64_t e = 0; e < count; e++) out[e] = leaf[use_index(&u->shape, to, e)];
done:
    mem_free(s->ctx, leaf);
    return st;
}
