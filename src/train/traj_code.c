/* Encoder and decoder of grid events: about 7 bits an event where 3 % of the weights cross, 10
 * where 0.6 % do. */
#include "train/traj_code.h"
#include <math.h>

enum { UNITS_MAX = 1 << 20, AGAIN_MAX = 4, K_MAX = CODE_NONE - 1 };

/* Lengths of a Huffman code for bucket 0 same, 0 other, 1 same, ...; skip, again, far, end.
 * Fitted with bench/grid_study.py --fit on the MNIST tanh MLP at learning rates .05, .1 and .3;
 * off by .1 bit an event where directions are independent. Their Kraft sum is 1, so that every
 * bit pattern is a code. */
static const uint8_t lengths[CODE_SYMBOLS] = {3, 4, 4, 5, 4, 4,  3,  4,  3, 4,  4,
                                              4, 5, 5, 7, 7, 10, 10, 10, 8, 10, 7};

static uint16_t mirrored(unsigned v, unsigned n)
{
    unsigned out = 0;

    for (unsigned i = 0; i < n; i++) out |= (v >> i & 1) << (n - 1 - i);
    return (uint16_t)out;
}

/* Canonical: codes of one length are consecutive, shorter ones first. Mirrored, because the
 * lowest bit goes first. */
void code_table_make(code_table *t)
{
    unsigned next = 0;

    for (unsigned n = 1; n <= CODE_BITS; n++, next <<= 1) {
        for (unsigned s = 0; s < CODE_SYMBOLS; s++) {
            if (lengths[s] != n) continue;
            code_word w = {mirrored(next++, n), (uint8_t)n, (uint8_t)s};
            t->put[s] = w;
            for (unsigned i = w.bits; i < 1u << CODE_BITS; i += 1u << n) t->get[i] = w;
        }
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

static inline void put_symbol(code_writer *c, unsigned s)
{
    bits_put(c->out, c->table->put[s].bits, c->table->put[s].length);
}

static void put_skips(code_writer *c, uint64_t *gap)
{
    uint64_t skip = 1ull << (c->k + CODE_BUCKETS - 1);

    for (; *gap >= skip; *gap -= skip) put_symbol(c, CODE_SKIP);
}

static inline void put_event(code_writer *c, int64_t i, unsigned down)
{
    uint64_t gap = (uint64_t)(i - c->last - 1);

    if (gap >> c->k >> (CODE_BUCKETS - 1)) put_skips(c, &gap);
    uint64_t unit = gap >> c->k;
    unsigned bucket = unit ? 64 - (unsigned)__builtin_clzll(unit) : 0;
    unsigned rest = c->k + bucket - (bucket > 0);
    code_word e = c->table->put[2 * bucket + (down ^ c->down)];
    bits_put(c->out, e.bits | (gap & ((1ull << rest) - 1)) << e.length, e.length + rest);
    c->last = i;
    c->down = down;
}

static void put_units(code_writer *c, uint32_t more)
{
    if (more <= AGAIN_MAX) {
        for (uint32_t j = 0; j < more; j++) put_symbol(c, CODE_AGAIN);
    } else {
        put_symbol(c, CODE_FAR);
        bits_put(c->out, more, 32);
    }
}

#define REAL float
#define NAME(x) x##_f32
typedef traj_scan_f32_fn traj_scan_fn_f32;
#include "train/traj_code_real.inc"
#undef REAL
#undef NAME
#define REAL double
#define NAME(x) x##_f64
typedef traj_scan_f64_fn traj_scan_fn_f64;
#include "train/traj_code_real.inc"
