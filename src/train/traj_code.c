/* Encoder and decoder of grid events: about 7 bits an event where 3 % of the weights cross, 10
 * where 0.6 % do. */
#include "train/traj_code.h"
#include <math.h>

enum { UNITS_MAX = CODE_UNITS_MAX, AGAIN_MAX = 4, K_MAX = CODE_NONE - 1 };

/* Lengths of a Huffman code for bucket 0 same, 0 other, 1 same, ...; skip, again, far, end.
 * Fitted with bench/grid_study.py --fit on the MNIST tanh MLP at learning rates .05, .1 and .3;
 * off by .1 bit an event where directions are independent. Their Kraft sum is 1, so that every
 * bit pattern is a code. */
static const uint8_t lengths[CODE_SYMBOLS] = {3, 4, 4, 5, 4, 4,  3,  4,  3, 4,  4,
                                              4, 5, 5, 8, 8, 10, 10, 10, 8, 10, 6};

static unsigned mirrored(unsigned v, unsigned n)
{
    unsigned out = 0;

    for (unsigned i = 0; i < n; i++) out |= (v >> i & 1) << (n - 1 - i);
    return out;
}

static unsigned rest_of(unsigned bucket) /* bits that follow a gap's symbol, but for k */
{
    return bucket > 0 ? bucket - 1 : 0;
}

static void add_code(code_table *t, unsigned s, unsigned code, unsigned n)
{
    unsigned bucket = s < CODE_SKIP ? s / 2 : 0, mirror = mirrored(code, n);

    t->symbol[s] = (code_word){(uint16_t)mirror, (uint8_t)n, (uint8_t)rest_of(bucket)};
    for (unsigned i = mirror; i < 1u << CODE_BITS; i += 1u << n)
        t->get[i] =
            (code_sign){(uint8_t)n, (uint8_t)s, (uint8_t)bucket, (uint8_t)(n + rest_of(bucket))};
}

/* Canonical: codes of one length are consecutive, shorter ones first. Mirrored, because the lowest
 * bit goes first. */
void code_table_make(code_table *t)
{
    unsigned next = 0;

    for (unsigned n = 1; n <= CODE_BITS; n++, next <<= 1)
        for (unsigned s = 0; s < CODE_SYMBOLS; s++)
            if (lengths[s] == n) add_code(t, s, next++, n);
    for (unsigned unit = 0, bucket = 0; unit < 1u << (CODE_BUCKETS - 1); unit++) {
        if (unit >> bucket) bucket++;
        t->event[0][unit] = t->symbol[2 * bucket];
        t->event[1][unit] = t->symbol[2 * bucket + 1];
    }
}

/* The mean gap is then 8 to 16 units. */
unsigned code_k(double events, int64_t count)
{
    double unit = (double)count / (8 * (events < .25 ? .25 : events));
    unsigned k = 0;

    for (; unit >= 2 && k < K_MAX; unit /= 2) k++;
    return k;
}

void code_flush(code_writer *c)
{
    bits_put(c->out, c->word, c->waiting);
    c->waiting = 0;
}

void code_put(code_writer *c, uint64_t value, unsigned length)
{
    c->word[c->waiting++] = (bits_word){value, length};
    if (c->waiting >= CODE_WORDS) code_flush(c);
}

static inline bits_word symbol(const code_writer *c, unsigned s)
{
    return (bits_word){c->table->symbol[s].bits, c->table->symbol[s].length};
}

/* The rare parts of an event. They take and give the place for the next word. */
static bits_word *skips(code_writer *c, bits_word *o, uint64_t n)
{
    for (; n > 0; n--) {
        *o++ = symbol(c, CODE_SKIP);
        if (o < c->word + CODE_WORDS) continue;
        c->waiting = CODE_WORDS;
        code_flush(c);
        o = c->word;
    }
    return o;
}

static bits_word *units_more(const code_writer *c, bits_word *o, uint32_t more)
{
    if (more > AGAIN_MAX) {
        *o++ = symbol(c, CODE_FAR);
        *o++ = (bits_word){more, 32};
        return o;
    }
    for (; more > 0; more--) *o++ = symbol(c, CODE_AGAIN);
    return o;
}

/* A crossing `gap` weights after the last one, less than a skip, in the same direction or not. */
static inline bits_word event(const code_table *t, unsigned k, uint64_t gap, unsigned turned)
{
    code_word e = t->event[turned][gap >> k];
    unsigned rest = k + e.rest;

    return (bits_word){e.bits | (gap & ((1ull << rest) - 1)) << e.length, e.length + rest};
}

void code_event(code_writer *c, uint64_t gap, bool turned, uint32_t cells)
{
    const uint64_t far = gap >> c->k >> (CODE_BUCKETS - 1);
    bits_word *o = c->word + c->waiting;

    if (far) o = skips(c, o, far);
    *o++ = event(c->table, c->k, gap - (far << c->k << (CODE_BUCKETS - 1)), turned);
    if (cells > 1) o = units_more(c, o, cells - 1);
    c->waiting = (int)(o - c->word);
    if (c->waiting >= CODE_WORDS) code_flush(c);
}

void code_end(code_writer *c)
{
    const bits_word end = symbol(c, CODE_END);

    code_put(c, end.value, (unsigned)end.length);
}

static code_sign sign_of(const bits_reader *r, const code_table *t)
{
    return t->get[bits_peek(r) & ((1 << CODE_BITS) - 1)];
}

code_move code_next(bits_reader *r, const code_table *t, unsigned k)
{
    code_move m = {.cells = 1};
    code_sign e;

    for (e = sign_of(r, t); e.symbol == CODE_SKIP; e = sign_of(r, t)) {
        bits_skip(r, e.length);
        m.gap += 1ll << (k + CODE_BUCKETS - 1);
    }
    if (e.symbol == CODE_END) {
        bits_skip(r, e.length);
        return (code_move){0};
    }
    const unsigned rest = e.total + k - e.length;
    m.gap += (int64_t)(bits_peek(r) >> e.length & ((1ull << rest) - 1));
    m.gap += (int64_t)(e.bucket > 0) << rest;
    m.turned = e.symbol & 1;
    bits_skip(r, e.total + k);
    for (e = sign_of(r, t); e.symbol == CODE_AGAIN; e = sign_of(r, t), m.cells++)
        bits_skip(r, e.length);
    if (e.symbol != CODE_FAR) return m;
    bits_skip(r, e.length);
    m.cells += (uint32_t)bits_peek(r);
    bits_skip(r, 32);
    return m;
}

#define REAL float
#define ABS fabsf
#define NAME(x) x##_f32
typedef traj_scan_f32_fn traj_scan_fn_f32;
#include "train/traj_code_real.inc"
#undef REAL
#undef ABS
#undef NAME
#define REAL double
#define ABS fabs
#define NAME(x) x##_f64
typedef traj_scan_f64_fn traj_scan_fn_f64;
#include "train/traj_code_real.inc"
