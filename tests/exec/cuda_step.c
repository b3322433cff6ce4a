#include "cuda_step.h"
#include "ops/ops.h"
#include <math.h>

static int build(graph *g, int64_t count, plan_output out[2])
{
    node w = graph_add_leaf(g, "w", F64, SHAPE(STEP_IN, STEP_OUT)),
         lr = graph_add_leaf(g, "lr", F64, SHAPE(1, 1));
    node rows = graph_add_leaf(g, "rows", F64, SHAPE(count, STEP_IN));
    node index = graph_add_leaf(g, "index", I32, SHAPE(STEP_BATCH));
    node x = g_gather(g, rows, index);
    node d = g_sub(g, g_tanh(g, g_matmul(g, x, w, false, false)),
                   g_fill(g, F64, SHAPE(STEP_BATCH, STEP_OUT), 0.5));
    node grad = g_matmul(g, x, d, true, false);

    out[0] =
        (plan_output){g_sub(g, w, g_mul(g, g_bcast(g, lr, SHAPE(STEP_IN, STEP_OUT)), grad)), 0};
    out[1] = (plan_output){g_dot(g, d, d), -1};
    return 2;
}

drmad_status step_open(drmad_ctx *ctx, const gpu_driver *d, step *s)
{
    return step_open_table(ctx, d, STEP_ROWS, s->rows, s);
}

drmad_status step_open_table(drmad_ctx *ctx, const gpu_driver *d, int64_t rows, double *table,
                             step *s)
{
    drmad_status st = DRMAD_OK;
    plan_output out[2];

    *s = (step){.lr = 0.1, .table = table};
    for (int i = 0; i < STEP_IN * STEP_OUT; i++) s->w[i] = 0.01 * i;
    for (int i = 0; i < rows * STEP_IN; i++) table[i] = sin(i);
    for (int i = 0; i < STEP_BATCH; i++) s->index[i] = 3 * i;
    TRY(cuda_backend_new(ctx, d, 0, &s->on));
    TRY(graph_new(ctx, &s->g));
    const int n = build(s->g, rows, out);
    TRY(graph_status(s->g) == DRMAD_OK ? DRMAD_OK : DRMAD_E_NOMEM);
    TRY(plan_new(ctx, s->g, out, n, s->on->target, &s->q));
    TRY(program_new(ctx, s->q, s->on, &s->p));
    TRY(backend_alloc(s->on, ctx, sizeof s->w, 1, &s->there));
    TRY(s->on->copy(s->on, ctx, COPY_UP, s->there, s->w, sizeof s->w));
    program_set_leaf(s->p, 0, s->w);
    program_set_leaf(s->p, 1, &s->lr);
    program_set_leaf(s->p, 2, table);
    program_set_leaf(s->p, 3, s->index);
    program_set_output(s->p, 0, s->w);
    program_set_output(s->p, 1, &s->loss);
done:
    return st;
}

void step_close(drmad_ctx *ctx, step *s)
{
    program_free(s->p);
    plan_free(s->q);
    graph_free(s->g);
    if (s->on) s->on->free(s->on, ctx, s->there);
    cuda_backend_free(s->on);
}
