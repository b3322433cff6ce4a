/* A growing string of bits in fixed-size chunks, written forwards, read from any place. Inside
 * room train only. Chunks are kept when a new string begins, so that a second run of the same
 * size allocates nothing. */
#ifndef TRAJ_BITS_H
#define TRAJ_BITS_H
#include "train/traj_kinds.h"

enum {
    BITS_CHUNK_WORDS = 2048
}; /* 16 KiB: what is left over in the last one is small beside a weight vector */

typedef struct bits {
    trajectory *tr; /* whose memory this is */
    uint64_t **chunk;
    size_t chunks, slots;
    size_t current;     /* the chunk being written */
    uint64_t *at, *end; /* next word, and the end of its chunk */
    uint64_t acc;       /* `fill` bits not yet written, lowest first */
    unsigned fill;
    drmad_status failed; /* the first failure; what was written since then is lost */
} bits;

/* The low `length` bits of `value`; length <= 57, the bits above are 0. */
typedef struct bits_word {
    uint64_t value;
    uint64_t length;
} bits_word;

typedef struct bits_reader {
    const bits *from;
    size_t current;
    const uint64_t *at, *end;
    uint64_t here, next; /* two words; bit `pos` of `here` is the next to be read */
    unsigned pos;
} bits_reader;

void bits_begin(bits *b, trajectory *tr); /* an empty string; keeps the chunks */
void bits_close(bits *b);
drmad_status bits_end(bits *b);     /* writes out what is in `acc`; then it can be read */
uint64_t bits_where(const bits *b); /* bits so far */
void bits_put(bits *b, const bits_word *words, int n); /* appends */
void bits_read_at(bits_reader *r, const bits *b, uint64_t bit);
void bits_read_turn(bits_reader *r);

/* The next 64 bits; those beyond the end are 0. */
static inline uint64_t bits_peek(const bits_reader *r)
{
    return r->here >> r->pos | (r->next << 1) << (63 - r->pos);
}

static inline void bits_skip(bits_reader *r, unsigned n) /* n <= 64 */
{
    r->pos += n;
    if (r->pos < 64) return;
    r->pos -= 64;
    r->here = r->next;
    if (r->at == r->end) bits_read_turn(r);
    r->next = *r->at++;
}
#endif
