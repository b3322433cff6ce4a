/* From a byte for each weight to the list of those that have moved, in order: tally counts those of
 * each chunk, a block's; offsets, one block, adds up what is before each; pick writes the list. A
 * thread has 16 neighbours, as in body_grid.h. */
#ifndef BODY_PICK_H
#define BODY_PICK_H
#include "exec/cuda/kernel/body.h"
#include "exec/cuda/kernel/kernel_args.h"

enum { SCAN_STEPS = 8 }; /* GPU_THREADS = 2^8 */

/* What the thread itself has. */
typedef struct tally_any_state {
    int32_t own;
} tally_any_state;
typedef tally_any_state offsets_any_state, pick_any_state;

/* The sum of `own` over the threads up to this one, when phase is SCAN_STEPS; each phase until then
 * doubles how many are added. Two rows: what one phase writes the next reads. */
GPU_BODY int32_t scan(gpu_thread t, int32_t own, void *shared, int phase)
{
    int32_t *to = (int32_t *)shared + phase % 2 * GPU_THREADS;
    const int32_t *from = (const int32_t *)shared + (phase + 1) % 2 * GPU_THREADS;

    if (phase == 0) return to[t.thread] = own;
    const int32_t back = t.thread - (1 << (phase - 1));
    return to[t.thread] = from[t.thread] + (back >= 0 ? from[back] : 0);
}

/* How many of group i's cells are not 0. */
GPU_BODY int32_t moved_in(const pick_args *x, int64_t i)
{
    const int8_t *cells = x->cells + i * GRID_EACH;
    const uint64_t *eight = (const uint64_t *)(const void *)cells;
    int32_t n = 0;

    if (i >= x->total / GRID_EACH || (eight[0] | eight[1]) == 0) return 0;
    for (int32_t k = 0; k < GRID_EACH; k++) n += cells[k] != 0;
    return n;
}

GPU_BODY bool tally_any(const tally_args *x, gpu_thread t, tally_any_state *s, void *shared,
                        int phase)
{
    if (phase == 0) s->own = moved_in(x, first_of(t));
    const int32_t sum = scan(t, s->own, shared, phase);
    if (phase < SCAN_STEPS) return true;
    if (t.thread == t.threads - 1) x->before[t.block] = sum;
    return false;
}

/* A thread has a run of chunks. */
GPU_BODY bool offsets_any(const offsets_args *x, gpu_thread t, offsets_any_state *s, void *shared,
                          int phase)
{
    const int64_t each = (x->chunks + t.threads - 1) / t.threads, first = t.thread * each,
                  end = first + each < x->chunks ? first + each : x->chunks;

    for (int64_t i = first; phase == 0 && i < end; i++) s->own += x->before[i];
    int32_t sum = scan(t, s->own, shared, phase);
    if (phase < SCAN_STEPS) return true;
    if (t.thread == t.threads - 1) *x->count = sum;
    sum -= s->own;
    for (int64_t i = first; i < end; i++) {
        const int32_t n = x->before[i];
        x->before[i] = sum;
        sum += n;
    }
    return false;
}

GPU_BODY bool pick_any(const pick_args *x, gpu_thread t, pick_any_state *s, void *shared, int phase)
{
    const int64_t first = first_of(t) * GRID_EACH;

    if (phase == 0) s->own = moved_in(x, first_of(t));
    const int32_t sum = scan(t, s->own, shared, phase);
    if (phase < SCAN_STEPS) return true;
    int32_t to = x->before[t.block] + sum - s->own;
    for (int64_t i = first; s->own > 0 && i < first + GRID_EACH; i++) {
        if (x->cells[i] == 0) continue;
        x->at[to] = (int32_t)i;
        x->by[to++] = x->cells[i];
    }
    return false;
}
#endif
