/* Cells of the averaged squares. The logarithm is never taken: with beta^t = m 2^e, 1 <= m < 2,
 * the cell is half of the exponent of v/m, less e.
 *
 * Record of step t: [Rice parameter, 5 bits], for each rise [gap to the last one: quotient in
 * unary, rest], [rise - 1 in unary; RISE_ESCAPE ones and 0: from no cell; and 1: the rise in 16
 * bits], and a gap that leads past the end. */
#include "train/traj_cells.h"
#include <math.h>
#include <string.h>

enum {
    CELL_NONE = INT16_MIN,
    PARAMETER_BITS = 5,
    RISE_ESCAPE = 7,
    RISE_BITS = 16,
    UNARY_WORD = 32 /* ones written at a time */
};

/* The cell of an exponent: pairs of them. */
static int32_t cell_of(int32_t e)
{
    return (e - (e & 1)) / 2;
}

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

/* The exponent of x > 0; INT32_MIN for zero and what is too small to be normal. */
static int32_t exponent_f32(float x)
{
    uint32_t u;

    memcpy(&u, &x, sizeof u);
    return u >> 23 ? (int32_t)(u >> 23) - 127 : INT32_MIN;
}

static int32_t exponent_f64(double x)
{
    uint64_t u;

    memcpy(&u, &x, sizeof u);
    return u >> 52 ? (int32_t)(u >> 52) - 1023 : INT32_MIN;
}

static int32_t exponent_of(const traj_spec *s, const void *v, int64_t i, double inverse)
{
    if (s->dtype == F32) return exponent_f32(((const float *)v)[i] * (float)inverse);
    return exponent_f64(((const double *)v)[i] * inverse);
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
    TRY(traj_hold(tr, total, sizeof *c->k, &c->k));
    TRY(traj_hold(tr, traj_vector_bytes(s), 1, &c->low));
done:
    return st;
}

void cells_close(trajectory *tr, cells *c)
{
    bits_close(&c->log);
    mem_free(tr->ctx, c->start);
    mem_free(tr->ctx, c->k);
    mem_free(tr->ctx, c->low);
}

drmad_status cells_begin(trajectory *tr, cells *c)
{
    for (int64_t i = 0; i < tr->spec.params->total; i++) c->k[i] = CELL_NONE;
    c->events = tr->spec.params->total; /* the first step has a gradient for nearly all */
    bits_begin(&c->log, tr);
    return c->log.failed;
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

static void put_rise(cells *c, int32_t from, int32_t to)
{
    const int32_t rise = to - from;

    if (from == CELL_NONE) {
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

drmad_status cells_record(trajectory *tr, cells *c, int64_t t, const void *v)
{
    const traj_spec *s = &tr->spec;
    const origin o = origin_at(s, t);
    const int64_t total = s->params->total;
    const unsigned rice = rice_for(total, c->events);
    const double inverse = 1 / o.m;
    int64_t next = 0;

    c->start[t] = bits_where(&c->log);
    c->events = 0;
    put(c, rice, PARAMETER_BITS);
    for (int64_t i = 0; i < total; i++) {
        const int32_t e = exponent_of(s, v, i, inverse);
        const int32_t k = e == INT32_MIN ? CELL_NONE : cell_of(e - o.e);
        if (k <= c->k[i]) continue;
        put_gap(c, i - next, rice);
        put_rise(c, c->k[i], k);
        c->k[i] = (int16_t)k;
        c->events++;
        next = i + 1;
    }
    put_gap(c, total - next, rice);
    return t < s->steps ? c->log.failed : bits_end(&c->log);
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

/* The cell before a rise to `to`. */
static int16_t get_fall(bits_reader *r, int16_t to)
{
    const int64_t ones = get_ones(r, RISE_ESCAPE);

    if (ones < RISE_ESCAPE) return (int16_t)(to - ones - 1);
    if (get(r, 1) == 0) return CELL_NONE;
    return (int16_t)(to - get(r, RISE_BITS));
}

static void undo(const trajectory *tr, cells *c, int64_t t)
{
    const int64_t total = tr->spec.params->total;
    bits_reader r;

    bits_read_at(&r, &c->log, c->start[t]);
    const unsigned rice = (unsigned)get(&r, PARAMETER_BITS);
    for (int64_t i = 0;; i++) {
        i += get_ones(&r, INT64_MAX) << rice;
        i += get(&r, rice);
        if (i >= total) return;
        c->k[i] = get_fall(&r, c->k[i]);
    }
}

static void lows_f32(const cells *c, const origin *o, int64_t n, float *low)
{
    const float m = (float)o->m;

    for (int64_t i = 0; i < n; i++) {
        const int32_t e = 2 * c->k[i] + o->e + 127;
        const uint32_t u = c->k[i] == CELL_NONE || e < 1 ? 0 : (uint32_t)(e > 254 ? 254 : e) << 23;
        float x;
        memcpy(&x, &u, sizeof x);
        low[i] = x * m;
    }
}

static void lows_f64(const cells *c, const origin *o, int64_t n, double *low)
{
    for (int64_t i = 0; i < n; i++)
        low[i] = c->k[i] == CELL_NONE ? 0 : ldexp(o->m, 2 * c->k[i] + o->e);
}

void cells_load(trajectory *tr, cells *c, int64_t t)
{
    const origin o = origin_at(&tr->spec, t);
    const int64_t n = tr->spec.params->total;

    undo(tr, c, t + 1);
    if (tr->spec.dtype == F32) lows_f32(c, &o, n, c->low);
    else lows_f64(c, &o, n, c->low);
}

/* One vector, half a one for k, and 2.2 for the rises (grid.md, section 3: 1.7 to 2.5). */
size_t cells_bytes(const traj_spec *s)
{
    return (size_t)(3.7 * (double)traj_vector_bytes(s)) + ((size_t)s->steps + 1) * sizeof(uint64_t);
}
