/* The grid trajectory's passes, each recorded once, with blocks of their own: the numbers of a run
 * go up, and a list or sums come down beside what runs later, or a list goes up. Of passes that
 * take a list there are two seats in turn, so that the host fills one in while the other's is under
 * way. */
#include "exec/cuda/gpu_code.h"
#include "exec/cuda/kernel/body.h"
#include "exec/cuda/kernel/kernel_args.h"
#include "exec/cuda/lower/gpu_lower.h"
#include <stddef.h>
#include <string.h>

enum { SEATS = 2, CALLS = 3, FEW = 256 };

typedef struct pass_seat {
    gpu_program *program;
    void *numbers, *block; /* page-locked */
    char *numbers_there, *block_there;
    bool ran;
} pass_seat;

typedef struct gpu_pass {
    gpu_state *state;
    drmad_ctx *ctx;
    pass_spec spec;
    pass_seat seat[SEATS];
    int32_t at;    /* the seat of the next run */
    bool under_way; /* what the last run found has not been asked for */
    int64_t likely; /* entries of a list that come down at once */
    void *before;   /* of pick_args */
} gpu_pass;

_Static_assert(sizeof(grid_span) == sizeof(pass_span) &&
                   offsetof(grid_span, count) == offsetof(pass_span, count) &&
                   offsetof(grid_span, tau) == offsetof(pass_span, tau) &&
                   sizeof(grid_move) == sizeof(pass_move) &&
                   offsetof(grid_move, by) == offsetof(pass_move, by) &&
                   sizeof(grid_numbers) % sizeof(int64_t) == 0,
               "the same layout");
_Static_assert((int)GRID_NAN == (int)PASS_NAN && (int)GRID_FAR == (int)PASS_FAR &&
                   (int)GRID_NEW == (int)PASS_NEW && (int)GRID_EACH == (int)PASS_EACH &&
                   (int)GRID_SHARES == (int)PASS_SHARES,
               "the same");

static bool goes_back(const gpu_pass *x)
{
    return x->spec.kind == PASS_UNCROSS || x->spec.kind == PASS_FALL;
}

static size_t numbers_bytes(const gpu_pass *x)
{
    return sizeof(grid_numbers) + (size_t)x->spec.spans * sizeof(grid_span);
}

static size_t list_bytes(int64_t entries)
{
    return sizeof(pass_list) + (size_t)entries * sizeof(pass_move);
}

static size_t block_bytes(const gpu_pass *x)
{
    return x->spec.kind == PASS_SQUARES ? (size_t)x->spec.spans * PASS_SHARES * sizeof(double)
                                        : list_bytes(x->spec.total);
}

/* Fewer entries than all: a quarter more than there were last time. */
static void expect(gpu_pass *x, int64_t count)
{
    const int64_t likely = count + count / 4 + FEW;

    x->likely = likely < x->spec.total ? likely : x->spec.total;
}

/* ---- calls ---- */

static void add_call(gpu_call *to, gpu_kernel kernel, dtype type, const void *args, size_t bytes)
{
    to->kernel = kernel, to->type = type;
    memcpy(to->args, args, bytes);
    gpu_geometry(to);
}

static int32_t calls_there(const gpu_pass *x, const pass_seat *s, int64_t chunks, gpu_call *call)
{
    static const gpu_kernel in_turn[CALLS] = {GPU_tally, GPU_offsets, GPU_pick};
    const pass_spec *p = &x->spec;
    const pick_args pick = {.from = p->from,
                            .hat = p->hat,
                            .cells = p->cells,
                            .numbers = (const grid_numbers *)(const void *)s->numbers_there,
                            .span = (const grid_span *)(const void *)(s->numbers_there +
                                                                      sizeof(grid_numbers)),
                            .spans = p->spans,
                            .before = x->before,
                            .count = (int64_t *)(void *)s->block_there,
                            .move = (grid_move *)(void *)(s->block_there + sizeof(pass_list)),
                            .chunks = chunks,
                            .total = p->total};

    for (int32_t k = 0; k < CALLS; k++) {
        add_call(&call[k], in_turn[k], p->type, &pick, sizeof pick);
        call[k].wave = k;
    }
    return CALLS;
}

static int32_t calls_back(const gpu_pass *x, const pass_seat *s, gpu_call *call)
{
    const pass_spec *p = &x->spec;
    const uncross_args args = {.hat = p->hat,
                               .cells = p->cells,
                               .numbers = (const grid_numbers *)(const void *)s->numbers_there,
                               .span = (const grid_span *)(const void *)(s->numbers_there +
                                                                         sizeof(grid_numbers)),
                               .spans = p->spans,
                               .count = (const int64_t *)(const void *)s->block_there,
                               .move = (const grid_move *)(const void *)(s->block_there +
                                                                         sizeof(pass_list)),
                               .total = p->total};

    if (p->kind == PASS_UNCROSS) {
        add_call(call, GPU_uncross, p->type, &args, sizeof args);
        return 1;
    }
    add_call(call, GPU_fall, p->type, &args, sizeof args);
    add_call(call + 1, GPU_lows, p->type, &args, sizeof args);
    call[1].wave = 1;
    return 2;
}

static int32_t calls_of(const gpu_pass *x, const pass_seat *s, int64_t chunks, gpu_call *call)
{
    const squares_args sums = {
        .from = x->spec.from,
        .span = (const grid_span *)(const void *)(s->numbers_there + sizeof(grid_numbers)),
        .spans = x->spec.spans,
        .sum = (double *)(void *)s->block_there};

    if (goes_back(x)) return calls_back(x, s, call);
    if (x->spec.kind != PASS_SQUARES) return calls_there(x, s, chunks, call);
    add_call(call, GPU_squares, x->spec.type, &sums, sizeof sums);
    return 1;
}

/* ---- made and given up ---- */

static drmad_status make_seat(gpu_pass *x, pass_seat *seat, int64_t chunks)
{
    gpu_call call[CALLS] = {{.wave = 0}};
    const gpu_transfer none = {0};
    gpu_state *s = x->state;
    drmad_status st = DRMAD_OK;
    void *at;

    TRY(s->d->alloc_host(s->g, x->ctx, numbers_bytes(x), &seat->numbers));
    TRY(s->d->alloc_host(s->g, x->ctx, block_bytes(x), &seat->block));
    TRY(gpu_take(s, x->ctx, numbers_bytes(x), &at));
    seat->numbers_there = at;
    TRY(gpu_take(s, x->ctx, block_bytes(x), &at));
    seat->block_there = at;
    const int32_t n = calls_of(x, seat, chunks, call);
    TRY(s->d->record(s->g, x->ctx, call, n, &none, &none, &seat->program));
done:
    return st;
}

drmad_status gpu_pass_new(gpu_state *s, drmad_ctx *ctx, const pass_spec *p, void **out)
{
    enum { CHUNK = GPU_THREADS * GRID_EACH };
    const int64_t chunks = (p->total + CHUNK - 1) / CHUNK;
    drmad_status st = DRMAD_OK;
    gpu_pass *x = NULL;

    *out = NULL;
    if (p->total > INT32_MAX)
        return FAIL(ctx, DRMAD_E_MODEL,
                    "trajectory grid: %lld weights: expected at most %d; take replay or full",
                    (long long)p->total, INT32_MAX);
    TRY(mem_alloc(ctx, 1, sizeof *x, &x));
    *x = (gpu_pass){.state = s, .ctx = ctx, .spec = *p};
    expect(x, 0);
    if (p->kind == PASS_CROSS || p->kind == PASS_RISE)
        TRY(gpu_take(s, ctx, (size_t)chunks * sizeof(int32_t), &x->before));
    for (int32_t k = 0; k < (goes_back(x) ? SEATS : 1); k++)
        TRY(make_seat(x, &x->seat[k], chunks));
    *out = x, x = NULL;
done:
    gpu_pass_free(x);
    return st;
}

void gpu_pass_free(void *pass)
{
    gpu_pass *x = pass;

    if (!x) return;
    const gpu_driver *d = x->state->d;
    gpu *g = x->state->g;
    gpu_send_untold(x->state);
    d->got(g, x->ctx);
    d->wait(g, x->ctx);
    for (int32_t k = 0; k < SEATS; k++) {
        d->forget(g, x->seat[k].program);
        d->free_host(g, x->seat[k].numbers);
        d->free_host(g, x->seat[k].block);
        gpu_give(x->state, x->seat[k].numbers_there);
        gpu_give(x->state, x->seat[k].block_there);
    }
    gpu_give(x->state, x->before);
    mem_free(x->ctx, x);
}

/* ---- runs ---- */

static drmad_status send_numbers(const gpu_pass *x, const pass_seat *s, const pass_numbers *n)
{
    const grid_numbers numbers = {n->m, n->e};

    memcpy(s->numbers, &numbers, sizeof numbers);
    if (x->spec.spans > 0)
        memcpy((char *)s->numbers + sizeof numbers, n->span,
               (size_t)x->spec.spans * sizeof(pass_span));
    return x->state->d->put(x->state->g, x->ctx, s->numbers_there, s->numbers, numbers_bytes(x));
}

static drmad_status bring(gpu_pass *x, const pass_seat *s)
{
    const bool list = x->spec.kind != PASS_SQUARES;
    const size_t bytes = list ? list_bytes(x->likely) : block_bytes(x);

    x->under_way = true;
    return x->state->d->get(x->state->g, x->ctx, s->block, s->block_there, bytes);
}

drmad_status gpu_pass_run(void *pass, const pass_numbers *n)
{
    gpu_pass *x = pass;
    pass_seat *s = &x->seat[x->at];
    const gpu_driver *d = x->state->d;
    drmad_status st = DRMAD_OK;
    void *last;

    if (x->under_way) TRY(gpu_pass_block(x, &last));
    TRY(gpu_send(x->state));
    TRY(send_numbers(x, s, n));
    if (goes_back(x))
        TRY(d->put(x->state->g, x->ctx, s->block_there, s->block,
                   list_bytes(((const pass_list *)s->block)->count)));
    TRY(d->run(x->state->g, x->ctx, s->program));
    s->ran = true;
    if (goes_back(x)) x->at = 1 - x->at;
    else TRY(bring(x, s));
done:
    return st;
}

/* A list that is longer than was likely: the rest of it. */
static drmad_status bring_rest(gpu_pass *x, const pass_seat *s)
{
    const pass_list *list = s->block;
    const size_t here = list_bytes(x->likely);
    drmad_status st = DRMAD_OK;

    if (list->count > x->likely) {
        TRY(gpu_send(x->state));
        TRY(x->state->d->copy(x->state->g, x->ctx, COPY_DOWN, (char *)s->block + here,
                              s->block_there + here, list_bytes(list->count) - here));
    }
    expect(x, list->count);
done:
    return st;
}

drmad_status gpu_pass_block(void *pass, void *out_ptr)
{
    gpu_pass *x = pass;
    pass_seat *s = &x->seat[x->at];
    const gpu_driver *d = x->state->d;
    drmad_status st = DRMAD_OK;

    TRY(gpu_send(x->state)); /* work for the device while the host waits, and codes */
    if (goes_back(x) && s->ran) TRY(d->reach(x->state->g, x->ctx, s->program));
    if (x->under_way) {
        x->under_way = false;
        TRY(d->got(x->state->g, x->ctx));
        if (x->spec.kind != PASS_SQUARES) TRY(bring_rest(x, s));
    }
    memcpy(out_ptr, &s->block, sizeof s->block);
done:
    return st;
}
