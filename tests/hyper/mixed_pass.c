/* The passes of a mixed_device: the bodies of the GPU's kernels, by one thread, at once. */
#include "exec/cuda/kernel/body_all.h"
#include "mixed_device.h"

typedef struct pass {
    const mixed_device *d;
    drmad_ctx *ctx;
    pass_spec spec;
    void *block;
} pass;

static drmad_status pass_new(const backend *b, drmad_ctx *ctx, const pass_spec *p, void **out)
{
    const size_t list = sizeof(pass_list) + (size_t)p->total * sizeof(pass_move);
    const size_t sums = (size_t)p->spans * PASS_SHARES * sizeof(double);
    drmad_status st = DRMAD_OK;
    pass *x = NULL;

    *out = NULL;
    TRY(mem_alloc(ctx, 1, sizeof *x, &x));
    *x = (pass){.d = (const mixed_device *)b, .ctx = ctx, .spec = *p};
    TRY(mem_alloc(ctx, 1, list > sums ? list : sums, &x->block));
    *out = x, x = NULL;
done:
    mem_free(ctx, x);
    return st;
}

static void pass_free(void *p)
{
    pass *x = p;

    if (!x) return;
    mem_free(x->ctx, x->block);
    mem_free(x->ctx, x);
}

static void find_moves(const pass *x, const pick_args *a)
{
    pass_list *list = x->block;

    list->count = 0;
    for (int32_t i = 0; i < x->spec.total; i++) {
        const double tau = a->hat ? span_tau(a->span, a->spans, i) : 0;
        const bool single = x->spec.type == F32;
        const int32_t n = single ? moved_by_f32(a, i, (float)tau) : moved_by_f64(a, i, tau);
        if (n == 0) continue;
        if (single) do_move_f32(a, i, n, (float)tau);
        else do_move_f64(a, i, n, tau);
        list->move[list->count++] = (pass_move){i, n};
    }
}

static void add_squares(const pass *x, const void *w, const pass_span *span)
{
    double *sum = x->block;

    for (int32_t k = 0; k < x->spec.spans; k++, span++, sum += PASS_SHARES) {
        memset(sum, 0, PASS_SHARES * sizeof *sum);
        for (int64_t i = 0; i < span->count; i++) {
            const double v = dtype_get(x->spec.type, w, span->offset + i);
            sum[0] += v * v;
        }
    }
}

static drmad_status pass_run(void *p, const pass_numbers *n)
{
    const gpu_thread one = {.blocks = 1, .threads = 1};
    const pass *x = p;
    const pass_spec *s = &x->spec;
    const pass_list *list = x->block;
    const grid_numbers numbers = {n->m, n->e};
    const grid_span *span = (const grid_span *)(const void *)n->span;
    const void *from = s->from ? mixed_real(x->d, s->from) : NULL;
    void *hat = s->hat ? mixed_real(x->d, s->hat) : NULL;
    uint16_t *cells = s->cells ? mixed_real(x->d, s->cells) : NULL;
    const pick_args pick = {
        .from = from, .hat = hat, .cells = cells, .numbers = &numbers, .span = span,
        .spans = s->spans};
    const uncross_args back = {.hat = hat, .cells = cells, .numbers = &numbers, .span = span,
                               .spans = s->spans, .count = &list->count,
                               .move = (const grid_move *)(const void *)list->move,
                               .total = s->total};
    no_state none;

    switch (s->kind) {
    case PASS_CROSS:
    case PASS_RISE: find_moves(x, &pick); break;
    case PASS_UNCROSS:
        if (s->type == F32) uncross_f32(&back, one, &none, NULL, 0);
        else uncross_f64(&back, one, &none, NULL, 0);
        break;
    case PASS_FALL:
        fall_any(&back, one, &none, NULL, 0);
        if (s->type == F32) lows_f32(&back, one, &none, NULL, 0);
        else lows_f64(&back, one, &none, NULL, 0);
        break;
    case PASS_SQUARES: add_squares(x, from, n->span); break;
    }
    return DRMAD_OK;
}

static drmad_status pass_block(void *p, void *out_ptr)
{
    const pass *x = p;

    memcpy(out_ptr, &x->block, sizeof x->block);
    return DRMAD_OK;
}

void mixed_passes(backend *on)
{
    on->pass_new = pass_new, on->pass_run = pass_run;
    on->pass_block = pass_block, on->pass_free = pass_free;
}
