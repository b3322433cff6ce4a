/* What plan and graph say of a convolution, and the steps that sum up its weight's derivative. */
#include "exec/cpu/run_plain.h"

conv cpu_conv_of(cpu_isa isa, const plan *p, node n)
{
    const node_rec *r = graph_rec(p->g, n);
    const shape *a = graph_shape(p->g, r->in[0]), *b = graph_shape(p->g, r->in[1]);
    const shape *image = r->op == OP_conv_dx ? &r->shape : a;
    const shape *result = r->op == OP_conv ? &r->shape : r->op == OP_conv_dx ? a : b;
    conv c = {.op = r->op == OP_conv      ? CONV_Y
                    : r->op == OP_conv_dx ? CONV_DX
                                          : CONV_DW,
              .type = (dtype)r->dtype,
              .isa = isa,
              .n = image->dim[0],
              .ci = image->dim[3],
              .co = result->dim[3],
              .v = r->attr.window};

    conv_prepare(&c);
    return c;
}

static void sums_tile(void *arg, int64_t i)
{
    const plain *x = arg;
    cpu_lane *lane = cpu_take_lane(x->code);

    conv_dw_tile(x->conv, &(conv_memory){x->in[0], x->in[1], x->code->scratch}, i, lane->work);
    cpu_give_lane(lane);
}

static void put_tile(void *arg, int64_t i)
{
    const plain *x = arg;
    const int64_t o = x->conv->co, wide = x->conv->wide;

    conv_put(x->conv, x->code->scratch, x->out, i * wide, (i + 1) * wide < o ? (i + 1) * wide : o);
}

void plain_conv_dw(plain *x)
{
    const conv *c = x->conv;

    plain_tiles(x, c->tiles, x->macs, sums_tile);
    plain_tiles(x, (c->co + c->wide - 1) / c->wide, x->v->size * c->shares, put_tile);
}
