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
    CODE_NONE = 31 /* in place of k: the tensor has no grid yet */
};

typedef struct code_word {
    uint16_t bits;
    uint8_t length, symbol;
} code_word;

typedef struct code_table {
    code_word put[CODE_SYMBOLS];
    code_word get[1 << CODE_BITS]; /* by the next CODE_BITS bits */
} code_table;

/* A tensor's events as they go out. */
typedef struct code_writer {
    bits *out;
    const code_table *table;
    unsigned k;
    int64_t last;  /* the last weight that crossed; -1 before the first */
    unsigned down; /* its direction */
} code_writer;

/* One tensor of one step. tau > 0; count a multiple of 16 (the gap after a tensor is zero and
 * stays so). */
typedef struct code_span {
    int64_t offset, count;
    double tau;
} code_span;

void code_table_make(code_table *t);
/* The k that suits `events` among `count`. */
unsigned code_k(double events, int64_t count);

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
