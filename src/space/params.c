/* The parameter table. */
#include "space/params.h"
#include <string.h>

enum { ALIGN_ELEMENTS = 16 }; /* 64 bytes of f32: one cache line, one AVX-512 register */

drmad_status params_new(drmad_ctx *ctx, param_table **out)
{
    drmad_status st = mem_alloc(ctx, 1, sizeof **out, out);

    if (st == DRMAD_OK) (*out)->ctx = ctx;
    return st;
}

void params_free(param_table *p)
{
    if (!p) return;
    for (int32_t i = 0; i < p->n; i++) mem_free(p->ctx, p->at[i].name);
    for (int32_t i = 0; i < p->sites; i++) mem_free(p->ctx, p->site[i].name);
    mem_free(p->ctx, p->at);
    mem_free(p->ctx, p->site);
    mem_free(p->ctx, p);
}

drmad_status params_add(param_table *p, const char *name, shape s, param_role role, int32_t layer)
{
    drmad_status st = DRMAD_OK;
    char *copy = NULL;

    TRY(mem_strdup(p->ctx, name, &copy));
    TRY(mem_resize(p->ctx, &p->at, (size_t)p->n, (size_t)p->n + 1, sizeof *p->at));
    param *q = &p->at[p->n++];
    *q = (param){copy, s, role, layer, p->total, shape_count(&s)};
    copy = NULL;
    if (role != PARAM_STAT) p->weights += q->count;
    p->total += (q->count + ALIGN_ELEMENTS - 1) / ALIGN_ELEMENTS * ALIGN_ELEMENTS;
    if (layer >= p->layers) p->layers = layer + 1;
done:
    mem_free(p->ctx, copy);
    return st;
}

drmad_status params_add_site(param_table *p, const char *name, hyper_kind kind)
{
    const size_t n = (size_t)p->sites;
    drmad_status st = DRMAD_OK;

    TRY(mem_resize(p->ctx, &p->site, n, n + 1, sizeof *p->site));
    TRY(mem_strdup(p->ctx, name, &p->site[n].name));
    p->site[n].kind = kind;
    p->sites++;
done:
    return st;
}
