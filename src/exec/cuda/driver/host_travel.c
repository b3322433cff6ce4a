/* The host driver's copies that nobody waits for. One up is made at once, one down when it is
 * waited for; the bytes of either are compared with those at its beginning when it must be over, so
 * that a caller who writes too early is found. */
#include "exec/cuda/driver/host_gpu.h"
#include <string.h>

static drmad_status add_travel(gpu *g, drmad_ctx *ctx, bool down, void *to, const void *from,
                               size_t bytes)
{
    drmad_status st = DRMAD_OK;
    travel **last = &g->travels, *t = NULL;

    TRY(mem_alloc(ctx, 1, sizeof *t + bytes, &t));
    *t = (travel){.down = down, .to = to, .from = from, .bytes = bytes, .after = g->runs};
    if (down) TRY(host_copy(g, ctx, COPY_DOWN, t->was, from, bytes));
    else memcpy(t->was, from, bytes);
    while (*last) last = &(*last)->next;
    *last = t, t = NULL;
done:
    mem_free(ctx, t);
    return st;
}

/* One has arrived. */
static drmad_status end_travel(gpu *g, drmad_ctx *ctx, const travel *t)
{
    drmad_status st = DRMAD_OK;

    if (t->down) TRY(host_copy(g, ctx, COPY_DOWN, t->to, t->from, t->bytes));
    if (memcmp(t->down ? t->to : t->from, t->was, t->bytes) != 0)
        TRY(FAIL(ctx, DRMAD_E_INTERNAL, "memory changed while it travelled %s",
                 t->down ? "to the host" : "from the host"));
done:
    return st;
}

/* Takes *at out of the list. */
static drmad_status end_one(gpu *g, drmad_ctx *ctx, travel **at)
{
    travel *t = *at;

    *at = t->next;
    const drmad_status st = end_travel(g, ctx, t);
    mem_free(ctx, t);
    return st;
}

/* The first error of two. */
static drmad_status first_of_two(drmad_status a, drmad_status b)
{
    return a != DRMAD_OK ? a : b;
}

drmad_status host_travels_end(gpu *g, drmad_ctx *ctx, int64_t runs)
{
    drmad_status st = DRMAD_OK;

    for (travel **at = &g->travels; *at;) {
        if (!(*at)->down && (*at)->after < runs) st = first_of_two(st, end_one(g, ctx, at));
        else at = &(*at)->next;
    }
    return st;
}

drmad_status host_put(gpu *g, drmad_ctx *ctx, void *to, const void *from, size_t bytes)
{
    drmad_status st = DRMAD_OK;

    TRY(host_copy(g, ctx, COPY_UP, to, from, bytes));
    TRY(add_travel(g, ctx, false, to, from, bytes));
done:
    return st;
}

drmad_status host_ahead(gpu *g, drmad_ctx *ctx, const gpu_transfer *up)
{
    if (!up->ahead) return DRMAD_OK;
    return add_travel(g, ctx, false, up->device, up->host, up->bytes);
}

/* What lies in the way has left by then. */
static drmad_status make_way(gpu *g, drmad_ctx *ctx, const char *to, size_t bytes)
{
    drmad_status st = DRMAD_OK;

    for (travel **at = &g->travels; *at;) {
        const char *from = (*at)->from;
        const bool in_it = !(*at)->down && from < to + bytes && to < from + (*at)->bytes;
        if (in_it) st = first_of_two(st, end_one(g, ctx, at));
        else at = &(*at)->next;
    }
    return st;
}

drmad_status host_get(gpu *g, drmad_ctx *ctx, void *to, const void *from, size_t bytes)
{
    drmad_status st = DRMAD_OK;

    TRY(make_way(g, ctx, to, bytes));
    TRY(add_travel(g, ctx, true, to, from, bytes));
    memset(to, 0x5a, bytes);
done:
    return st;
}

/* All up to the last that goes down. */
drmad_status host_got(gpu *g, drmad_ctx *ctx)
{
    const travel *last = NULL;
    drmad_status st = DRMAD_OK;

    for (const travel *t = g->travels; t; t = t->next)
        if (t->down) last = t;
    while (last) {
        const bool over = g->travels == last;
        st = first_of_two(st, end_one(g, ctx, &g->travels));
        if (over) last = NULL;
    }
    return st;
}
