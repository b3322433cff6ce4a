/* Moves of elements of any type: walks, rows and elements by index, casts, counts. */
#ifndef BODY_MOVE_H
#define BODY_MOVE_H
#include "exec/cuda/kernel/body.h"
#include "exec/cuda/kernel/kernel_args.h"

typedef struct bytes16 {
    uint32_t word[4];
} BODY_ALIGN(16) bytes16;

GPU_BODY void copy_element(int32_t size, void *y, int64_t to, const void *a, int64_t from)
{
    if (size == 16) ((bytes16 *)y)[to] = ((const bytes16 *)a)[from];
    else if (size == 4) ((uint32_t *)y)[to] = ((const uint32_t *)a)[from];
    else if (size == 8) ((uint64_t *)y)[to] = ((const uint64_t *)a)[from];
    else ((uint8_t *)y)[to] = ((const uint8_t *)a)[from];
}

GPU_BODY void clear_element(int32_t size, void *y, int64_t to)
{
    if (size == 4) ((uint32_t *)y)[to] = 0;
    else if (size == 8) ((uint64_t *)y)[to] = 0;
    else ((uint8_t *)y)[to] = 0;
}

/* ---- move ---- */

typedef no_state move_any_state;

GPU_BODY bool move_any(const move_args *x, gpu_thread t, move_any_state *s, void *shared, int phase)
{
    for (int64_t i = first_of(t); i < x->count; i += stride_of(t)) {
        int64_t left = i, from = 0, at;
        bool inside = true;
        for (int32_t k = x->rank - 1; k >= 0; k--) {
            left = divide(left, x->dim[k], &at);
            at -= x->shift[k];
            inside = inside && at >= 0 && at < x->limit[k];
            from += at * x->from[k];
        }
        if (inside) copy_element(x->size, x->y, i, x->a, from);
        else clear_element(x->size, x->y, i);
    }
    (void)s, (void)shared, (void)phase;
    return false;
}

/* ---- turn: squares of 32 by 32, of which a thread has four elements ---- */

enum { TURN = 32, TURN_ROWS = GPU_THREADS / TURN };

typedef struct turn_any_state {
    int64_t y, a;           /* the square's first element */
    int64_t row, col;       /* in it: a's and y's neighbours lie along a row */
    int64_t y_step, a_step; /* from one row of y to the next, of a */
} turn_any_state;

GPU_BODY void turn_begin(const turn_args *x, gpu_thread t, turn_any_state *s)
{
    const int32_t last = x->rank - 1;
    int64_t left = t.block, y_step = 1, at;

    for (int32_t k = last; k >= 0; k--) {
        const bool edge = k == last || k == x->axis;
        left = divide(left, edge ? (x->dim[k] + TURN - 1) / TURN : x->dim[k], &at);
        if (edge) at *= TURN;
        s->y += at * y_step, s->a += at * x->from[k];
        if (k == last) s->col = at;
        if (k == x->axis) s->row = at, s->y_step = y_step;
        y_step *= x->dim[k];
    }
    s->a_step = x->from[last];
}

GPU_BODY bool turn_any(const turn_args *x, gpu_thread t, turn_any_state *s, void *shared, int phase)
{
    const int32_t across = t.thread % TURN, down = t.thread / TURN;

    if (phase == 0) turn_begin(x, t, s);
    for (int32_t i = down; i < TURN; i += TURN_ROWS) {
        const int64_t row = s->row + (phase ? i : across), col = s->col + (phase ? across : i);
        if (row >= x->dim[x->axis] || col >= x->dim[x->rank - 1]) continue;
        if (phase == 0)
            copy_element(x->size, shared, i * (TURN + 1) + across, x->a,
                         s->a + across + i * s->a_step);
        else
            copy_element(x->size, x->y, s->y + across + i * s->y_step, shared,
                         across * (TURN + 1) + i);
    }
    return phase == 0;
}

/* ---- carry ---- */

enum { CARRY_UNIT = 16 }; /* bytes of a thread at once, where pieces lie so */

typedef no_state carry_any_state;

GPU_BODY int32_t carry_unit(const carry_piece *p)
{
    const uint64_t all = (uintptr_t)p->from | (uintptr_t)p->to | (uint64_t)p->bytes;

    return all % CARRY_UNIT == 0 ? CARRY_UNIT : all % 4 == 0 ? 4 : 1;
}

/* Units are counted through all pieces, so that several small ones keep as many threads busy. */
GPU_BODY bool carry_any(const carry_args *x, gpu_thread t, carry_any_state *s, void *shared,
                        int phase)
{
    int64_t i = first_of(t), first = 0;

    for (int64_t k = 0; k < x->table->pieces; k++) {
        const carry_piece p = x->table->piece[k];
        const int32_t unit = carry_unit(&p);
        const int64_t end = first + p.bytes / unit;
        for (; i < end; i += stride_of(t)) copy_element(unit, p.to, i - first, p.from, i - first);
        first = end;
    }
    (void)s, (void)shared, (void)phase;
    return false;
}

/* ---- rows and elements by index ---- */

typedef no_state gather_any_state, take_any_state;

/* Whether all rows may be copied by 16 bytes. */
GPU_BODY bool rows_are_wide(const gather_args *x)
{
    return ((uintptr_t)x->a | (uintptr_t)x->y | (uint64_t)(x->cols * x->size)) % 16 == 0;
}

/* A row whose index is bad stays as it is: the run will fail. */
GPU_BODY bool gather_any(const gather_args *x, gpu_thread t, gather_any_state *s, void *shared,
                         int phase)
{
    const int32_t size = rows_are_wide(x) ? 16 : x->size;
    const int64_t cols = x->cols * x->size / size, count = x->n * cols;

    for (int64_t i = first_of(t); i < count; i += stride_of(t)) {
        int64_t col;
        const int64_t row = divide(i, cols, &col);
        const int32_t index = x->index[row];
        if (index >= 0 && index < x->rows) copy_element(size, x->y, i, x->a, index * cols + col);
        else if (col == 0) bad_index(x->bad, index, x->rows);
    }
    (void)s, (void)shared, (void)phase;
    return false;
}

GPU_BODY bool take_any(const take_args *x, gpu_thread t, take_any_state *s, void *shared, int phase)
{
    for (int64_t i = first_of(t); i < x->n; i += stride_of(t)) {
        const int32_t index = x->index[i];
        if (index >= 0 && index < x->rows) copy_element(x->size, x->y, i, x->a, index);
        else bad_index(x->bad, index, x->rows);
    }
    (void)s, (void)shared, (void)phase;
    return false;
}

/* ---- cast, iota; types by number, as in tensor/tensor.h ---- */

enum { BODY_F32, BODY_F64, BODY_I32, BODY_U8 };

GPU_BODY double get_element(int32_t type, const void *a, int64_t i)
{
    if (type == BODY_F32) return (double)((const float *)a)[i];
    if (type == BODY_F64) return ((const double *)a)[i];
    if (type == BODY_I32) return (double)((const int32_t *)a)[i];
    return (double)((const uint8_t *)a)[i];
}

/* As the CPU's: NaN becomes 0, what is too large the largest. */
GPU_BODY int32_t saturate(double x)
{
    if (!(x > -2147483648.0)) return x == x ? -2147483647 - 1 : 0;
    return x < 2147483647.0 ? (int32_t)x : 2147483647;
}

GPU_BODY void put_element(int32_t type, void *y, int64_t i, double v)
{
    if (type == BODY_F32) ((float *)y)[i] = (float)v;
    else if (type == BODY_F64) ((double *)y)[i] = v;
    else if (type == BODY_I32) ((int32_t *)y)[i] = saturate(v);
    else ((uint8_t *)y)[i] = (uint8_t)v;
}

typedef no_state cast_any_state, iota_any_state;

GPU_BODY bool cast_any(const cast_args *x, gpu_thread t, cast_any_state *s, void *shared, int phase)
{
    for (int64_t i = first_of(t); i < x->count; i += stride_of(t))
        put_element(x->to, x->y, i, get_element(x->from, x->a, i));
    (void)s, (void)shared, (void)phase;
    return false;
}

GPU_BODY bool iota_any(const iota_args *x, gpu_thread t, iota_any_state *s, void *shared, int phase)
{
    for (int64_t i = first_of(t); i < x->count; i += stride_of(t)) {
        int64_t at, low;
        (void)divide(divide(i, x->inner, &low), x->dim, &at);
        put_element(x->to, x->y, i, (double)at);
    }
    (void)s, (void)shared, (void)phase;
    return false;
}

/* Threads of a row in body_rows.h: a power of two. */
GPU_BODY int32_t row_lanes(int64_t cols)
{
    int32_t lanes = 1;

    while (lanes < cols && lanes < GPU_THREADS) lanes *= 2;
    return lanes;
}

/* The tau of the span that weight e is of; 0 for none. */
GPU_BODY double span_tau(const grid_span *span, int32_t spans, int64_t e)
{
    int32_t low = 0, high = spans;

    while (high - low > 1) {
        const int32_t middle = (low + high) / 2;
        if (span[middle].offset <= e) low = middle;
        else high = middle;
    }
    return e >= span[low].offset && e < span[low].offset + span[low].count ? span[low].tau : 0;
}

/* Pieces of a target's columns in body_sums.h. */
GPU_BODY int64_t scatter_pieces(const scatter_args *x)
{
    return x->cols > GPU_THREADS ? (x->cols + GPU_THREADS - 1) / GPU_THREADS : 1;
}
#endif
