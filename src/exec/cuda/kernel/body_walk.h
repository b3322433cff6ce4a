/* The kernel `walk`: one launch that goes through many waves of calls, with a barrier of all its
 * blocks between two. gpu_walk.c writes its list; each block has a copy and finds its way with
 * walk_next alone, which nvcc and gcc compile; a driver adds no more than running the phases of a
 * body and the barrier.
 *
 * The blocks of a wave's calls are counted through: block b of a grid of n runs those numbered b,
 * b + n, ... Which of them runs one makes no difference to what comes out. */
#ifndef BODY_WALK_H
#define BODY_WALK_H
#include "exec/cuda/kernel/body.h"

/* What it can run: none of the large tiles (KERNEL_F32), which need all registers, and of double no
 * more than programs in single have. */
typedef enum walk_body {
    WALK_NOTHING,
#define KERNEL(name) WALK_##name##_f32,
#define KERNEL_BOTH(name) WALK_##name##_f32, WALK_##name##_f64,
#define KERNEL_F32(name)
#define KERNEL_ALONE(name)
#define KERNEL_APART(name)
#define KERNEL_ANY(name) WALK_##name##_any,
#include "exec/cuda/kernel/kernels.def"
#undef KERNEL
    WALK_BODIES
} walk_body;

typedef struct walk_call {
    int32_t body;
    int32_t first, end; /* its blocks among the wave's; first 0: a wave begins */
    int32_t args;       /* bytes from the list's start to the struct of kernel_args.h */
} walk_call;

/* Behind it lie the calls, then their arguments, each at a multiple of WALK_ALIGN. */
typedef struct walk_list {
    int32_t calls, pad[3];
} walk_list;

enum { WALK_ALIGN = 16 };

typedef enum walk_do { WALK_RUN, WALK_WAIT, WALK_END } walk_do;

/* Where a block of the grid is: at {block, blocks, 0, block} when it begins. */
typedef struct walk_place {
    int32_t block, blocks; /* of the grid */
    int32_t call, next;    /* next of the wave's blocks */
} walk_place;

GPU_BODY const walk_call *walk_calls(const walk_list *l)
{
    return (const walk_call *)(const void *)(l + 1);
}

/* RUN: a block of *call, which is t's; WAIT: for the barrier, then ask again; all blocks are told
 * to wait equally often. */
GPU_BODY walk_do walk_next(const walk_list *l, walk_place *p, const walk_call **call, gpu_thread *t)
{
    for (; p->call < l->calls; p->call++) {
        const walk_call *c = walk_calls(l) + p->call;
        if (p->next < c->end) {
            *call = c;
            t->block = p->next - c->first, t->blocks = c->end - c->first;
            p->next += p->blocks;
            return WALK_RUN;
        }
        if (p->call + 1 < l->calls && c[1].first == 0) {
            p->call++, p->next = p->block;
            return WALK_WAIT;
        }
    }
    return WALK_END;
}
#endif
