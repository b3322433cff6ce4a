/* The grid trajectory's passes: one call, recorded once. */
#include "exec/cuda/gpu_code.h"
#include "exec/cuda/gpu_lower.h"
#include "exec/cuda/kernel_args.h"
#include <stddef.h>
#include <string.h>

typedef struct gpu_pass {
    gpu_state *state;
    drmad_ctx *ctx;
    gpu_program *program;
} gpu_pass;

_Static_assert(sizeof(grid_span) == sizeof(pass_span) &&
                   offsetof(grid_span, count) == offsetof(pass_span, count) &&
                   offsetof(grid_span, tau) == offsetof(pass_span, tau),
               "the same layout");
_Static_assert((int)GRID_FAR == (int)PASS_FAR && (int)GRID_EACH == (int)PASS_EACH, "the same");

drmad_status gpu_pass_new(gpu_state *s, drmad_ctx *ctx, const grid_pass *p, void **out)
{
    const cross_args args = {.w = p->w,
                             .hat = p->hat,
                             .cells = p->cells,
                             .span = (const grid_span *)(const void *)p->span,
                             .spans = p->spans,
                             .total = p->total};
    const gpu_transfer none = {0};
    gpu_call call = {.kernel = p->w ? GPU_cross : GPU_uncross, .type = p->type};
    drmad_status st = DRMAD_OK;
    gpu_pass *x = NULL;

    *out = NULL;
    TRY(mem_alloc(ctx, 1, sizeof *x, &x));
    *x = (gpu_pass){.state = s, .ctx = ctx};
    memcpy(call.args, &args, sizeof args);
    gpu_geometry(&call);
    TRY(s->d->record(s->g, ctx, &call, 1, &none, &none, &x->program));
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
    mem_free(x->ctx, x);
}
