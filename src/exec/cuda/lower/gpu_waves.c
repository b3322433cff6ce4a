/* Which calls may run at once. What a unit's calls (a product's, a group's, a plain step's) read
 * and write is known by address; a unit begins when those are done that wrote what it reads, or
 * read or wrote what it writes. Its calls run one after another. */
#include "exec/cuda/lower/gpu_waves.h"
#include <stdlib.h>
#include <string.h>

typedef struct gpu_order {
    int32_t wave, kind, call;
} gpu_order;

static drmad_status grow(drmad_ctx *ctx, void *list, int32_t n, int32_t *room, size_t size)
{
    const size_t old = (size_t)*room, more = old ? 2 * old : 64;
    drmad_status st = DRMAD_OK;

    if (n < *room) return DRMAD_OK;
    TRY(mem_resize(ctx, list, old, more, size));
    *room = (int32_t)more;
done:
    return st;
}

drmad_status gpu_unit_begin(gpu_waves *w, drmad_ctx *ctx, int32_t call)
{
    drmad_status st = DRMAD_OK;

    TRY(grow(ctx, &w->unit, w->units, &w->unit_room, sizeof *w->unit));
    w->unit[w->units++] = (gpu_unit){.call = call, .span = w->spans};
done:
    return st;
}

drmad_status gpu_unit_uses(gpu_waves *w, drmad_ctx *ctx, gpu_span s)
{
    drmad_status st = DRMAD_OK;

    TRY(grow(ctx, &w->span, w->spans, &w->span_room, sizeof *w->span));
    w->span[w->spans++] = s;
done:
    return st;
}

static bool conflict(const gpu_waves *w, int32_t a, int32_t b)
{
    for (int32_t i = w->unit[a].span; i < w->unit[a + 1].span; i++)
        for (int32_t j = w->unit[b].span; j < w->unit[b + 1].span; j++) {
            const gpu_span *s = &w->span[i], *t = &w->span[j];
            if ((s->writes || t->writes) && s->from < t->to && t->from < s->to) return true;
        }
    return false;
}

static void find_waves(gpu_waves *w)
{
    for (int32_t u = 0; u < w->units; u++) {
        int32_t wave = 0;
        for (int32_t d = 0; d < u; d++) {
            const int32_t end = w->unit[d].wave + w->unit[d + 1].call - w->unit[d].call;
            if (end > wave && conflict(w, d, u)) wave = end;
        }
        w->unit[u].wave = wave;
    }
}

static int compare(const void *pa, const void *pb)
{
    const gpu_order *a = pa, *b = pb;

    if (a->wave != b->wave) return a->wave < b->wave ? -1 : 1;
    if (a->kind != b->kind) return a->kind < b->kind ? -1 : 1;
    return a->call < b->call ? -1 : a->call > b->call;
}

drmad_status gpu_waves_arrange(gpu_waves *w, drmad_ctx *ctx, gpu_call *call, int32_t calls)
{
    const int32_t units = w->units;
    drmad_status st = DRMAD_OK;
    gpu_order *order = NULL;
    gpu_call *was = NULL;

    TRY(gpu_unit_begin(w, ctx, calls)); /* the end of the last */
    w->units = units;
    TRY(mem_alloc(ctx, (size_t)calls + 1, sizeof *order, &order));
    TRY(mem_alloc(ctx, (size_t)calls + 1, sizeof *was, &was));
    find_waves(w);
    for (int32_t u = 0; u < units; u++)
        for (int32_t i = w->unit[u].call; i < w->unit[u + 1].call; i++)
            order[i] = (gpu_order){w->unit[u].wave + i - w->unit[u].call,
                                   2 * (int32_t)call[i].kernel + (call[i].type == F64), i};
    qsort(order, (size_t)calls, sizeof *order, compare);
    memcpy(was, call, (size_t)calls * sizeof *call);
    for (int32_t i = 0; i < calls; i++) {
        call[i] = was[order[i].call];
        call[i].wave = order[i].wave;
    }
done:
    mem_free(ctx, order);
    mem_free(ctx, was);
    return st;
}

void gpu_waves_free(gpu_waves *w, drmad_ctx *ctx)
{
    mem_free(ctx, w->unit);
    mem_free(ctx, w->span);
}
