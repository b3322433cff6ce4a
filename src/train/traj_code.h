/* The code of grid events: which weights of a tensor crossed in a step, and which way. Inside
 * room train only.
 *
 * A crossing is (gap to the last one, direction). Gaps are cut in units of 2^k, k chosen from
 * how many crossings the tensor had in recent steps; the unit's place (bucket 0: 0, bucket b:
 * 2^(b-1) .. 2^b - 1) and "same direction as the last one / other direction" together make one
 * Huffman symbol, the rest of the gap follows as plain bits. */
#ifndef TRAJ_CODE_H
#define TRAJ_CODE_H
#include "train/traj_bits.h"
#include "train/traj_scan.h"

enum {
    CODE_BUCKETS = 9,
    CODE_SKIP = 2 * CODE_BUCKETS, /* 2^(k+8) weights without a crossing */
    CODE_AGAIN,                   /* the last weight moves by one more tau */
    CODE_FAR, /* the last weight moves by more tau: the number follows in 32 bits */
    CODE_END,
    CODE_SYMBOLS,
    CODE_BITS = 10, /* the longest code */
    CODE_K_BITS = 5,
    CODE_NONE = 31,          /* in place of k: the tensor has no grid yet */
    CODE_UNITS_MAX = 1 << 20 /* a weight that moves by more tau in a step is lost */
};

typedef struct code_word {
    uint16_t bits;
    uint8_t length;
    uint8_t rest; /* bits that follow, but for k */
} code_word;

typedef struct code_sign { /* what the next CODE_BITS bits mean */
    uint8_t length, symbol, bucket;
    uint8_t total; /* length, and what follows but for k */
} code_sign;

typedef struct code_table {
    code_word symbol[CODE_SYMBOLS];
    code_word event[2][1 << (CODE_BUCKETS - 1)]; /* by "other direction" and gap / 2^k */
    code_sign get[1 << CODE_BITS];
} code_table;

enum { CODE_WORDS = 256, CODE_WORDS_MORE = 8 };

/* Events on their way out. Code words are made first and packed afterwards, many at a time:
 * making them has no order, packing has. */
typedef struct code_writer {
    bits *out;
    const code_table *table;
    unsigned k; /* of the tensor */
    int waiting;
    bits_word word[CODE_WORDS + CODE_WORDS_MORE];
} code_writer;

/* One tensor of one step. tau > 0; count a multiple of 16 (the gap after a tensor is zero and
 * stays so). */
typedef struct code_span {
    int64_t offset, count;
    double tau;
} code_span;

void code_table_make(code_table *t);
void code_put(code_writer *c, uint64_t value, unsigned length); /* plain bits */
void code_flush(code_writer *c);                                /* packs what waits */
/* The k that suits `events` among `count`. */
unsigned code_k(double events, int64_t count);

/* One event: a weight `gap` weights behind the last one moves by so many tau, in the other
 * direction than that one or not; the end of a tensor; and an event read back, cells 0 at the
 * end. */
typedef struct code_move {
    int64_t gap;
    uint32_t cells;
    bool turned;
} code_move;

void code_event(code_writer *c, uint64_t gap, bool turned, uint32_t cells);
void code_end(code_writer *c);
code_move code_next(bits_reader *r, const code_table *t, unsigned k);

/* Moves hat to within tau/2 of w and writes the events. Gives their number, or -1 - i when
 * weight i of the span is not finite or has jumped by more than a million tau. */
int64_t code_encode_f32(code_writer *c, code_span s, traj_scan_f32_fn *scan, const float *w,
                        float *hat);
int64_t code_encode_f64(code_writer *c, code_span s, traj_scan_f64_fn *scan, const double *w,
                        double *hat);
/* Undoes on `hat` what was encoded. */
void code_undo_f32(bits_reader *r, const code_table *t, unsigned k, code_span s, float *hat);
void code_undo_f64(bits_reader *r, const code_table *t, unsigned k, code_span s, double *hat);
#endif
