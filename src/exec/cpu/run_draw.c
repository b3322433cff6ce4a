/* Random numbers and counts: functions of an element's place alone. */
#include "exec/cpu/draw_kernels.h"
#include "exec/cpu/run_plain.h"

enum { DRAWS = 4096 }; /* a tile */

static void draw_some(void *arg, int64_t tile)
{
    static draw_uniform_fn *const uniform[ISA_COUNT] = {draw_uniform_portable, draw_uniform_avx2,
                                                        draw_uniform_avx512};
    const plain *x = arg;
    const uint32_t *key = (const uint32_t *)(const void *)x->in[0];
    const rng_key k = {
        .seed = (uint64_t)key[1] << 32 | key[0], .step = key[2], .site = (uint32_t)x->r->attr.n};
    const bool normal = x->r->op == OP_normal;
    float *f = (float *)(void *)x->out;
    double *d = (double *)(void *)x->out;
    const int64_t first = tile * DRAWS;
    const int64_t end = (tile + 1) * DRAWS < x->v->size ? (tile + 1) * DRAWS : x->v->size;

    if (x->v->type == F32 && !normal) {
        uniform[x->code->isa](k, (uint64_t)first, end - first, f + first);
        return;
    }
    for (int64_t i = first; i < end; i++) {
        const uint64_t e = (uint64_t)i;
        if (x->v->type == F32) f[i] = (float)rng_normal(k, e);
        else d[i] = normal ? rng_normal(k, e) : rng_uniform(k, e);
    }
}

void plain_draw(plain *x)
{
    enum { EACH = 32 }; /* operations */

    plain_tiles(x, (x->v->size + DRAWS - 1) / DRAWS, x->v->size * EACH, draw_some);
}

void plain_iota(plain *x)
{
    const shape *s = &x->r->shape;
    int64_t inner = 1;

    for (int32_t i = x->r->attr.axis + 1; i < s->rank; i++) inner *= s->dim[i];
    for (int64_t i = 0; i < x->v->size; i++) {
        const int64_t v = i / inner % s->dim[x->r->attr.axis];
        if (x->v->type == F32) ((float *)(void *)x->out)[i] = (float)v;
        else if (x->v->type == F64) ((double *)(void *)x->out)[i] = (double)v;
        else ((int32_t *)(void *)x->out)[i] = (int32_t)v;
    }
}
