/* Cells of the averaged squares. The logarithm is never taken: with beta^t = m 2^e, 1 <= m < 2,
 * the cell is half of the exponent of v/m, less e.
 *
 * Record of step t: [Rice parameter, 5 bits], for each rise [gap to the last one: quotient in
 * unary, rest], [rise - 1 in unary; RISE_ESCAPE ones and 0: from no cell; and 1: the rise in 16
 * bits], and a gap that leads past the end. */
#include "train/traj_cells.h"
#include "exec/square_cells.h"
#include <math.h>
#include <string.h>

enum {
    CELL_NONE = INT16_MIN,
    NEW = PASS_NEW, /* a rise from no cell */
    PARAMETER_BITS = 5,
    RISE_ESCAPE = 7,
    RISE_BITS = 16,
    UNARY_WORD = 32 /* ones written at a time */
};

/* Where cell 0 lies at step t: at m 2^e. */
typedef struct origin {
    double m;
    int32_t e;
} origin;

static origin origin_at(const traj_spec *s, int64_t t)
{
    const double log = (double)t * log2(s->memory_of_squares), e = floor(log);

    return (origin){exp2(log - e), (int32_t)e};
}

static int32_t exponent_of(const traj_spec *s, const void *v, int64_t i, double inverse)
{
    if (s->dtype == F32) return square_exponent_f32(((const float *)v)[i] * (float)inverse);
    return square_exponent_f64(((const double *)v)[i] * inverse);
}

drmad_status cells_open(trajectory *tr, cells *c)
{
    const traj_spec *s = &tr->spec;
    const size_t total = (size_t)s->params->total;
    drmad_status st = DRMAD_OK;

    if (!(s->memory_of_squares > 0 && s->memory_of_squares < 1) ||
        -log2(s->memory_of_squares) * (double)s->steps > INT16_MAX - 2048)
        return FAIL(tr->ctx, DRMAD_E_CONFIG,
                    "trajectory grid: averaged squares with a memory of %g over %lld steps are out "
                    "of range; use trajectory: full or replay",
                    s->memory_of_squares, (long long)s->steps);
    TRY(traj_hold(tr, (size_t)s->steps + 1, sizeof *c->start, &c->start));
    if (s->on->host) {
        TRY(traj_hold(tr, total, sizeof *c->k, &c->k));
        TRY(traj_hold(tr, traj_vector_bytes(s), 1, &c->low));
    } else {
        TRY(backend_alloc(s->on, tr->ctx, total, sizeof(uint16_t), &c->k_there));
        TRY(traj_hold_vectors(tr, 1, &c->low));
    }
done:
    return st;
}

void cells_close(trajectory *tr, cells *c)
{
    const backend *on = tr->spec.on;

    bits_close(&c->log);
    mem_free(tr->ctx, c->start);
    mem_free(tr->ctx, c->k);
    if (on->host) {
        mem_free(tr->ctx, c->low);
        return;
    }
    on->pass_free(c->rise);
    on->pass_free(c->fall);
    traj_free_vectors(tr, c->k_there);
    traj_free_vectors(tr, c->low);
}

drmad_status cells_begin(trajectory *tr, cells *c)
{
    const int64_t total = tr->spec.params->total;
    const backend *on = tr->spec.on;
    drmad_status st = DRMAD_OK;

    for (int64_t i = 0; on->host && i < total; i++) c->k[i] = CELL_NONE;
    if (!on->host)
        TRY(on->copy(on, tr->ctx, COPY_WITHIN, c->k_there, NULL, (size_t)total * sizeof(uint16_t)));
    c->events = total; /* the first step has a gradient for nearly all */
    bits_begin(&c->log, tr);
    st = c->log.failed;
done:
    return st;
}

/* ---- writing ---- */

static void put(cells *c, uint64_t value, unsigned length)
{
    const bits_word word = {value, length};

    bits_put(&c->log, &word, 1);
}

static void put_ones(cells *c, int64_t n)
{
    for (; n >= UNARY_WORD; n -= UNARY_WORD) put(c, (1ull << UNARY_WORD) - 1, UNARY_WORD);
    put(c, (1ull << n) - 1, (unsigned)n + 1); /* and the zero behind them */
}

static void put_gap(cells *c, int64_t gap, unsigned rice)
{
    put_ones(c, gap >> rice);
    put(c, (uint64_t)gap & ((1ull << rice) - 1), rice);
}

/* NEW: from no cell. */
static void put_rise(cells *c, int32_t rise)
{
    if (rise == NEW) {
        put(c, (1u << RISE_ESCAPE) - 1, RISE_ESCAPE + 1);
    } else if (rise <= RISE_ESCAPE) {
        put(c, (1u << (rise - 1)) - 1, (unsigned)rise);
    } else {
        put(c, (1u << (RISE_ESCAPE + 1)) - 1, RISE_ESCAPE + 1);
        put(c, (uint64_t)rise, RISE_BITS);
    }
}

/* About log2 of the mean gap. */
static unsigned rice_for(int64_t total, int64_t events)
{
    unsigned k = 0;

    for (int64_t gap = total / (events + 1); gap > 1 && k < (1u << PARAMETER_BITS) - 1; gap /= 2)
        k++;
    return k;
}

/* A record on its way out. */
typedef struct rises {
    cells *to;
    unsigned rice;
    int64_t next; /* the first weight behind the last rise */
} rises;

static void put_event(rises *r, int64_t at, int32_t rise)
{
    put_gap(r->to, at - r->next, r->rice);
    put_rise(r->to, rise);
    r->to->events++;
    r->next = at + 1;
}

static void rises_here(const traj_spec *s, int64_t t, rises *r)
{
    const origin o = origin_at(s, t);
    const double inverse = 1 / o.m;
    cells *c = r->to;

    for (int64_t i = 0; i < s->params->total; i++) {
        const int32_t e = exponent_of(s, c->v, i, inverse);
        const int32_t k = e == INT32_MIN ? CELL_NONE : square_cell(e - o.e);
        if (k <= c->k[i]) continue;
        put_event(r, i, c->k[i] == CELL_NONE ? NEW : k - c->k[i]);
        c->k[i] = (int16_t)k;
    }
}

static drmad_status make_pass(trajectory *tr, const cells *c, pass_kind kind, void **out)
{
    const pass_spec p = {.kind = kind,
                         .type = tr->spec.dtype,
                         .from = c->v,
                         .hat = kind == PASS_FALL ? c->low : NULL,
                         .cells = c->k_there,
                         .total = tr->spec.params->total};

    return *out ? DRMAD_OK : tr->spec.on->pass_new(tr->spec.on, tr->ctx, &p, out);
}

drmad_status cells_record(trajectory *tr, cells *c, int64_t t, const void *v)
{
    const backend *on = tr->spec.on;
    const origin o = origin_at(&tr->spec, t);
    const pass_numbers n = {.m = 1 / o.m, .e = o.e};
    drmad_status st = DRMAD_OK;

    if (!on->host && c->v != v) {
        on->pass_free(c->rise);
        c->rise = NULL;
    }
    c->v = v;
    if (on->host) goto done;
    TRY(make_pass(tr, c, PASS_RISE, &c->rise));
    TRY(on->pass_run(c->rise, &n));
done:
    return st;
}

drmad_status cells_end(trajectory *tr, cells *c, int64_t t)
{
    const traj_spec *s = &tr->spec;
    rises r = {.to = c, .rice = rice_for(s->params->total, c->events)};
    const pass_list *list = NULL;
    drmad_status st = DRMAD_OK;

    c->start[t] = bits_where(&c->log);
    c->events = 0;
    put(c, r.rice, PARAMETER_BITS);
    if (s->on->host) rises_here(s, t, &r);
    else TRY(s->on->pass_block(c->rise, &list));
    for (int64_t i = 0; list && i < list->count; i++)
        put_event(&r, list->move[i].at, list->move[i].by);
    put_gap(c, s->params->total - r.next, r.rice);
    st = t < s->steps ? c->log.failed : bits_end(&c->log);
done:
    return st;
}

/* ---- reading ---- */

static int64_t get_ones(bits_reader *r, int64_t most)
{
    int64_t n = 0;

    while (n < most) {
        const uint64_t x = ~bits_peek(r);
        unsigned k = x ? (unsigned)__builtin_ctzll(x) : 64;
        if (k > UNARY_WORD) k = UNARY_WORD;
        if (k > most - n) k = (unsigned)(most - n);
        bits_skip(r, k);
        n += k;
        if (k < UNARY_WORD && n < most) {
            bits_skip(r, 1);
            return n;
        }
    }
    return n;
}

static int64_t get(bits_reader *r, unsigned length)
{
    const int64_t x = (int64_t)(bits_peek(r) & ((1ull << length) - 1));

    bits_skip(r, length);
    return x;
}

static int32_t get_rise(bits_reader *r)
{
    const int64_t ones = get_ones(r, RISE_ESCAPE);

    if (ones < RISE_ESCAPE) return (int32_t)ones + 1;
    return get(r, 1) == 0 ? NEW : (int32_t)get(r, RISE_BITS);
}

/* On a device the falls go to `list`. */
static void undo(const trajectory *tr, cells *c, int64_t t, pass_list *list)
{
    const int64_t total = tr->spec.params->total;
    bits_reader r;

    bits_read_at(&r, &c->log, c->start[t]);
    const unsigned rice = (unsigned)get(&r, PARAMETER_BITS);
    for (int64_t i = 0;; i++) {
        i += get_ones(&r, INT64_MAX) << rice;
        i += get(&r, rice);
        if (i >= total) return;
        const int32_t rise = get_rise(&r);
        if (list) list->move[list->count++] = (pass_move){(int32_t)i, rise};
        else c->k[i] = rise == NEW ? CELL_NONE : (int16_t)(c->k[i] - rise);
    }
}

static void lows(const cells *c, const origin *o, int64_t n, dtype type)
{
    float *single = c->low;
    double *twice = c->low;

    for (int64_t i = 0; i < n; i++) {
        const bool none = c->k[i] == CELL_NONE;
        const int32_t e = 2 * c->k[i] + o->e;
        if (type == F32) single[i] = none ? 0 : square_low_f32(o->m, e);
        else twice[i] = none ? 0 : square_low_f64(o->m, e);
    }
}

static drmad_status load_there(trajectory *tr, cells *c, int64_t t)
{
    const backend *on = tr->spec.on;
    const origin o = origin_at(&tr->spec, t);
    const pass_numbers n = {.m = o.m, .e = o.e};
    drmad_status st = DRMAD_OK;
    pass_list *list;

    TRY(make_pass(tr, c, PASS_FALL, &c->fall));
    TRY(on->pass_block(c->fall, &list));
    list->count = 0;
    undo(tr, c, t + 1, list);
    TRY(on->pass_run(c->fall, &n));
done:
    return st;
}

drmad_status cells_load(trajectory *tr, cells *c, int64_t t)
{
    const origin o = origin_at(&tr->spec, t);
    const int64_t n = tr->spec.params->total;

    if (!tr->spec.on->host) return load_there(tr, c, t);
    undo(tr, c, t + 1, NULL);
    lows(c, &o, n, tr->spec.dtype);
    return DRMAD_OK;
}

/* One vector, half a one for k, and 2.2 for the rises (grid.md, section 3: 1.7 to 2.5). */
size_t cells_bytes(const traj_spec *s)
{
    return (size_t)(3.7 * (double)traj_vector_bytes(s)) + ((size_t)s->steps + 1) * sizeof(uint64_t);
}
