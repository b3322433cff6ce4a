/* What all lowering stands on: addresses of results and operands, memory for a step and for the
 * program, emitting; and the way through the steps. */
#include "exec/cuda/lower/gpu_lower.h"
#include "exec/cuda/kernel/kernel_args.h"
#include <string.h>

enum { ALIGN = 256, TAPE_ALIGN = 16 };

_Static_assert((int)TYPE_F32 == (int)F32 && (int)TYPE_F64 == (int)F64 &&
                   (int)TYPE_I32 == (int)I32 && (int)TYPE_U8 == (int)U8 &&
                   (int)TYPE_BF16 == (int)BF16,
               "types of kernels");
_Static_assert(sizeof(group_args) <= GPU_ARGS_MAX && sizeof(sum_args) <= GPU_ARGS_MAX, "room");

/* ---- addresses ---- */

static void *base_of(const gpu_lower *l, node n)
{
    const plan_node *v = &l->plan->node[n];

    if (v->cls == PN_LEAF) return (void *)(uintptr_t)l->leaf[graph_rec(l->plan->g, n)->attr.n];
    if (v->at.kind == PLACE_OUTPUT) return l->out[v->at.number];
    if (l->apart) return (char *)l->scratch + l->place[n];
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

static size_t take(gpu_lower *l, size_t bytes)
{
    const size_t at = l->scratch_used;

    l->scratch_used += (bytes + ALIGN - 1) / ALIGN * ALIGN;
    if (l->scratch_used > l->scratch_most) l->scratch_most = l->scratch_used;
    return at;
}

void *gpu_scratch(gpu_lower *l, size_t bytes)
{
    return (char *)l->scratch + take(l, bytes);
}

static void place_results(gpu_lower *l)
{
    for (node n = 0; n < l->plan->nodes; n++) {
        const plan_node *v = &l->plan->node[n];
        if (v->at.kind == PLACE_ARENA) l->place[n] = take(l, v->bytes);
    }
}

const void *gpu_tape(gpu_lower *l, const void *data, size_t bytes)
{
    const size_t at = l->tape_used;

    if (l->call && bytes && at + bytes <= l->tape_room) memcpy((char *)l->tape + at, data, bytes);
    l->tape_used += (bytes + TAPE_ALIGN - 1) / TAPE_ALIGN * TAPE_ALIGN;
    return (char *)l->tape_device + at;
}

/* ---- calls ---- */

static bool reads_index(gpu_kernel k)
{
    return k == GPU_gather || k == GPU_scatter || k == GPU_take;
}

void gpu_emit_call(gpu_lower *l, const gpu_call *c)
{
    if (c->blocks == 0) return; /* nothing to do */
    l->flags |= reads_index(c->kernel);
    if (l->call && l->calls < l->call_room) l->call[l->calls] = *c;
    l->calls++;
}

drmad_status gpu_emit(gpu_lower *l, gpu_kernel k, dtype t, const void *args, size_t bytes)
{
    gpu_call c = {.kernel = k, .type = t};

    if (bytes > GPU_ARGS_MAX)
        return FAIL(l->ctx, DRMAD_E_INTERNAL, "cuda: %zu bytes of arguments", bytes);
    memcpy(c.args, args, bytes);
    gpu_geometry(&c);
    gpu_emit_call(l, &c);
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

/* Does it have calls of its own? */
static bool is_product(const gpu_lower *l, node n)
{
    return l->plan->node[n].cls == PN_MATMUL && !gpu_is_dot(l, n);
}

/* ---- units ---- */

static drmad_status use(gpu_lower *l, node n, bool writes)
{
    const plan_node *v = &l->plan->node[n];
    const uintptr_t at = (uintptr_t)base_of(l, n);

    if (v->cls != PN_LEAF && v->at.kind == PLACE_NONE) return DRMAD_OK; /* a register */
    return gpu_unit_uses(&l->waves, l->ctx, (gpu_span){at, at + v->bytes, writes});
}

static drmad_status use_node(gpu_lower *l, node n)
{
    const plan_node *v = &l->plan->node[n];
    drmad_status st = DRMAD_OK;

    for (int k = 0; k < v->n_in; k++) {
        if (v->in[k].src != NODE_NONE) TRY(use(l, v->in[k].src, false));
        if (v->in[k].index != NODE_NONE) TRY(use(l, v->in[k].index, false));
    }
    TRY(use(l, v->cls == PN_MATMUL ? v->into : n, true));
done:
    return st;
}

/* A unit of what node n does, or all of the step but products with calls of their own. */
static drmad_status begin_unit(gpu_lower *l, const plan_step *s, node n)
{
    const plan *p = l->plan;
    drmad_status st = DRMAD_OK;

    if (!l->apart) {
        l->scratch_used = 0;
        return DRMAD_OK;
    }
    TRY(gpu_unit_begin(&l->waves, l->ctx, l->calls));
    if (n != NODE_NONE) return use_node(l, n);
    for (int32_t i = 0; i < s->n; i++)
        if (!is_product(l, p->order[s->first + i])) TRY(use_node(l, p->order[s->first + i]));
done:
    return st;
}

static drmad_status lower_step(gpu_lower *l, const plan_step *s)
{
    drmad_status st = DRMAD_OK;
    const plan *p = l->plan;

    for (int32_t i = 0; i < s->n; i++) {
        const node n = p->order[s->first + i];
        if (!is_product(l, n)) continue;
        TRY(begin_unit(l, s, n));
        TRY(gpu_lower_product(l, n, is_first(p, s, i)));
    }
    if (s->matmuls == s->n) return DRMAD_OK;
    TRY(begin_unit(l, s, NODE_NONE));
    if (s->matmuls + s->points + s->sums == 0) TRY(gpu_lower_plain(l, s));
    else TRY(gpu_lower_group(l, s));
done:
    return st;
}

drmad_status gpu_lower_steps(gpu_lower *l)
{
    drmad_status st = DRMAD_OK;

    l->calls = 0, l->tape_used = 0, l->scratch_used = 0, l->scratch_most = 0;
    l->waves.units = l->waves.spans = 0, l->flags = false;
    if (l->apart) place_results(l);
    for (int32_t i = 0; i < l->plan->steps; i++) TRY(lower_step(l, &l->plan->step[i]));
    if (l->call && l->calls > l->call_room) return DRMAD_OK; /* the caller refuses it */
    if (l->call && l->apart) TRY(gpu_waves_arrange(&l->waves, l->ctx, l->call, l->calls));
    for (int32_t i = 0; l->call && !l->apart && i < l->calls; i++) l->call[i].wave = i;
done:
    return st;
}
