/* What the passes of body_grid.h have in common in both types. */
#ifndef BODY_PICK_H
#define BODY_PICK_H
#include "exec/cuda/kernel/body.h"
#include "exec/cuda/kernel/kernel_args.h"
#define SQUARE_CELLS GPU_BODY
#include "exec/square_cells.h"

enum { SCAN_STEPS = 8 }; /* GPU_THREADS = 2^8 */

/* What the thread itself has. */
typedef struct own_state {
    int32_t own;
} own_state;
typedef own_state offsets_any_state;
typedef no_state fall_any_state;

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

/* Averaged squares fall back to the cells before. */
GPU_BODY bool fall_any(const fall_args *x, gpu_thread t, fall_any_state *s, void *shared, int phase)
{
    for (int64_t i = first_of(t); i < *x->count; i += stride_of(t)) {
        const grid_move m = x->move[i];
        x->cells[m.at] = m.by == GRID_NEW ? 0 : (uint16_t)(x->cells[m.at] - m.by);
    }
    (void)s, (void)shared, (void)phase;
    return false;
}
#endif
