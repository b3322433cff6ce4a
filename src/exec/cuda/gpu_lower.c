/* What all lowering stands on: addresses of results and operands, memory for a step and for the
 * program, emitting; and the way through the steps. */
#include "exec/cuda/gpu_lower.h"
#include "exec/cuda/kernel_args.h"
#include <string.h>

enum { ALIGN = 256, TAPE_ALIGN = 16 };

_Static_assert((int)TYPE_F32 == (int)F32 && (int)TYPE_F64 == (int)F64 &&
                   (int)TYPE_I32 == (int)I32 && (int)TYPE_U8 == (int)U8,
               "types of kernels");
_Static_assert(sizeof(group_args) <= GPU_ARGS_MAX && sizeof(sum_args) <= GPU_ARGS_MAX, "room");

/* ---- addresses ---- */

static void *base_of(const gpu_lower *l, node n)
{
    const plan_node *v = &l->plan->node[n];

    if (v->cls == PN_LEAF) return (void *)(uintptr_t)l->leaf[graph_rec(l->plan->g, n)->attr.n];
    if (v->at.kind == PLACE_OUTPUT) return l->out[v->at.number];
    return (char *)l->arena + v->at.offset;
}

void *gpu_result(const gpu_lower *l, node n)
{
    return base_of(l, n);
}

const void *gpu_operand(const gpu_lower *l, const plan_access *a)
{
    const size_t size = dtype_size(l->plan->node[a->src].type);

    return (const char *)base_of(l, a->src) + (size_t)a->offset * size;
}

const int32_t *gpu_index(const gpu_lower *l, const plan_access *a)
{
    return (const int32_t *)base_of(l, a->index) + a->index_offset;
}

/* ---- memory ---- */

void *gpu_scratch(gpu_lower *l, size_t bytes)
{
    void *got = (char *)l->scratch + l->scratch_used;

    l->scratch_used += (bytes + ALIGN - 1) / ALIGN * ALIGN;
    if (l->scratch_used > l->scratch_most) l->scratch_most = l->scratch_used;
    return got;
}

const void *gpu_tape(gpu_lower *l, const void *data, size_t bytes)
{
    const size_t at = l->tape_used;

    if (l->call && bytes) memcpy((char *)l->tape + at, data, bytes);
    l->tape_used += (bytes + TAPE_ALIGN - 1) / TAPE_ALIGN * TAPE_ALIGN;
    return (char *)l->tape_device + at;
}

/* ---- calls ---- */

static bool reads_index(gpu_kernel k)
{
    return k == GPU_gather || k == GPU_scatter || k == GPU_take;
}

drmad_status gpu_emit(gpu_lower *l, gpu_kernel k, dtype t, const void *args, size_t bytes)
{
    gpu_call c = {.kernel = k, .type = t};

    if (bytes > GPU_ARGS_MAX)
        return FAIL(l->ctx, DRMAD_E_INTERNAL, "cuda: %zu bytes of arguments", bytes);
    memcpy(c.args, args, bytes);
    gpu_geometry(&c);
    if (c.blocks == 0) return DRMAD_OK; /* nothing to do */
    l->flags |= reads_index(k);
    if (l->call) l->call[l->calls] = c;
    l->calls++;
    return DRMAD_OK;
}

/* ---- steps ---- */

/* Is member i the first of its step that writes its memory? */
static bool is_first(const plan *p, const plan_step *s, int32_t i)
{
    const node into = p->node[p->order[s->first + i]].into;

    for (int32_t j = 0; j < i; j++) {
        const plan_node *v = &p->node[p->order[s->first + j]];
        if (v->cls == PN_MATMUL && v->into == into) return false;
    }
    return true;
}

static drmad_status lower_step(gpu_lower *l, const plan_step *s)
{
    drmad_status st = DRMAD_OK;
    const plan *p = l->plan;

    l->scratch_used = 0;
    if (s->matmuls + s->points + s->sums == 0) return gpu_lower_plain(l, s);
    for (int32_t i = 0; i < s->n; i++) {
        const node n = p->order[s->first + i];
        if (p->node[n].cls == PN_MATMUL) TRY(gpu_lower_product(l, n, is_first(p, s, i)));
    }
    if (s->points + s->sums > 0) TRY(gpu_lower_group(l, s));
done:
    return st;
}

drmad_status gpu_lower_steps(gpu_lower *l)
{
    drmad_status st = DRMAD_OK;

    l->calls = 0, l->tape_used = 0, l->flags = false;
    for (int32_t i = 0; i < l->plan->steps; i++) TRY(lower_step(l, &l->plan->step[i]));
done:
    return st;
}
