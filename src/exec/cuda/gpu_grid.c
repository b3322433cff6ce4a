/* The grid trajectory's passes, each recorded once. To the grid: the cells of all weights, and from
 * them the list of those that have moved. Back: one call. */
#include "exec/cuda/kernel/body.h"
#include "exec/cuda/gpu_code.h"
#include "exec/cuda/lower/gpu_lower.h"
#include "exec/cuda/kernel/kernel_args.h"
#include <stddef.h>
#include <string.h>

typedef struct gpu_pass {
    gpu_state *state;
    drmad_ctx *ctx;
    gpu_program *program;
    void *cells, *before; /* of pick_args */
} gpu_pass;

_Static_assert(sizeof(grid_span) == sizeof(pass_span) &&
                   offsetof(grid_span, count) == offsetof(pass_span, count) &&
                   offsetof(grid_span, tau) == offsetof(pass_span, tau),
               "the same layout");
_Static_assert((int)GRID_FAR == (int)PASS_FAR && (int)GRID_EACH == (int)PASS_EACH, "the same");

static void add_call(gpu_call *to, gpu_kernel kernel, dtype type, const void *args, size_t bytes)
{
    to->kernel = kernel, to->type = type;
    memcpy(to->args, args, bytes);
    gpu_geometry(to);
}

/* Gives how many calls. */
static int32_t calls_there(const gpu_pass *x, const grid_pass *p, int64_t chunks, gpu_call *call)
{
    const cross_args cross = {.w = p->w,
                              .hat = p->hat,
                              .cells = x->cells,
                              .span = (const grid_span *)(const void *)p->span,
                              .spans = p->spans,
                              .total = p->total};
    const pick_args pick = {.cells = x->cells,
                            .before = x->before,
                            .count = p->list.count,
                            .at = p->list.at,
                            .by = p->list.by,
                            .chunks = chunks,
                            .total = p->total};
    static const gpu_kernel behind[] = {GPU_tally, GPU_offsets, GPU_pick};

    add_call(call, GPU_cross, p->type, &cross, sizeof cross);
    for (int32_t k = 0; k < (int32_t)COUNT(behind); k++) {
        add_call(&call[k + 1], behind[k], p->type, &pick, sizeof pick);
        call[k + 1].wave = k + 1;
    }
    return 1 + (int32_t)COUNT(behind);
}

static int32_t calls_back(const grid_pass *p, gpu_call *call)
{
    const uncross_args args = {.hat = p->hat,
                               .count = p->list.count,
                               .at = p->list.at,
                               .by = p->list.by,
                               .span = (const grid_span *)(const void *)p->span,
                               .spans = p->spans,
                               .total = p->total};

    add_call(call, GPU_uncross, p->type, &args, sizeof args);
    return 1;
}

drmad_status gpu_pass_new(gpu_state *s, drmad_ctx *ctx, const grid_pass *p, void **out)
{
    enum { CHUNK = GPU_THREADS * GRID_EACH };
    const int64_t chunks = (p->total + CHUNK - 1) / CHUNK;
    const gpu_transfer none = {0};
    gpu_call call[4] = {{.wave = 0}};
    drmad_status st = DRMAD_OK;
    gpu_pass *x = NULL;

    *out = NULL;
    if (p->total > INT32_MAX)
        return FAIL(ctx, DRMAD_E_MODEL,
                    "trajectory grid: %lld weights: expected at most %d; take replay or full",
                    (long long)p->total, INT32_MAX);
    TRY(mem_alloc(ctx, 1, sizeof *x, &x));
    *x = (gpu_pass){.state = s, .ctx = ctx};
    if (p->w) {
        TRY(gpu_take(s, ctx, (size_t)p->total, &x->cells));
        TRY(gpu_take(s, ctx, (size_t)chunks * sizeof(int32_t), &x->before));
    }
    const int32_t n = p->w ? calls_there(x, p, chunks, call) : calls_back(p, call);
    TRY(s->d->record(s->g, ctx, call, n, &none, &none, &x->program));
    *out = x, x = NULL;
done:
    gpu_pass_free(x);
    return st;
}

drmad_status gpu_pass_run(void *pass)
{
    const gpu_pass *x = pass;
    drmad_status st = DRMAD_OK;

    TRY(gpu_send(x->state));
    TRY(x->state->d->run(x->state->g, x->ctx, x->program));
done:
    return st;
}

void gpu_pass_free(void *pass)
{
    gpu_pass *x = pass;

    if (!x) return;
    gpu_send_untold(x->state);
    x->state->d->wait(x->state->g, x->ctx);
    x->state->d->forget(x->state->g, x->program);
    gpu_give(x->state, x->cells);
    gpu_give(x->state, x->before);
    mem_free(x->ctx, x);
}
