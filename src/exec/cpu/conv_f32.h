/* What the F32 convolutions of one instruction set share: conv_f32_isa.c (y and dx) and
 * conv_dw_isa.c. Both go through the lines in strips, whose operand, with the border that the
 * window needs, lies in the second-level cache; all sums are tiles of the GEMM's micro-kernel over
 * a list of pieces. */
#ifndef CONV_F32_H
#define CONV_F32_H
#include "exec/cpu/conv_geometry.h"
#include "exec/cpu/conv_kernels.h"
#include "exec/cpu/gemm_f32.h"

/* The lines line .. line + lines of `images` images; images > 1: all their lines. */
typedef struct conv_strip {
    int64_t image, images, line, lines;
} conv_strip;

/* The operand of a strip: pixel (r, s) of its image i begins at
 * at + i * image + ((r - row) * pitch + s - col) * channels. */
typedef struct conv_field {
    const float *at;
    int64_t image, pitch, row, col;
} conv_field;

/* The taps of one pair of phases as pieces: `run` neighbouring floats each. Taps that lie beside
 * each other in a row of the operand are one piece. */
typedef struct conv_pieces {
    gemm_piece *piece;              /* a: from a field's pixel (number * step + low) */
    int64_t count, run, rows, cols; /* rows x cols taps */
} conv_pieces;

/* A convolution on its way: geometry, and the parts of `work`. */
typedef struct conv_job {
    const conv *c;
    conv_axis y, x;
    bool border;                   /* the window leaves the image: strips are copied */
    bool flat;                     /* a pixel for each pixel: a strip is one long line */
    bool apart;                    /* or each tap runs over what it reaches, in place */
    int64_t images_max, lines_max; /* of a strip */
    int64_t *k[2], *at[2];         /* taps */
    gemm_piece *piece, *line;      /* of the taps; of a strip's lines (DW) */
    float *field, *dy;             /* copies */
    size_t bytes;                  /* of all of it */
} conv_job;

#define conv_job_open GEMM_ISA(conv_job_open)
#define conv_next GEMM_ISA(conv_next)
#define conv_fill GEMM_ISA(conv_fill)
#define conv_tap_pieces GEMM_ISA(conv_tap_pieces)
void conv_job_open(conv_job *j, const conv *c, void *work); /* work NULL: to learn j->bytes */
conv_strip conv_next(const conv_job *j, int64_t from, int64_t to);
conv_field conv_fill(const conv_job *j, const float *in, const conv_strip *s);
conv_pieces conv_tap_pieces(const conv_job *j, int64_t row_phase, int64_t col_phase, int64_t pitch);

/* Pixels of a phase for which a tap at `at` meets the operand: reach[0] .. reach[1]. */
static inline void conv_reach(const conv_axis *x, int64_t outs, int64_t at, int64_t reach[2])
{
    const int64_t first = at < 0 ? (-at + x->step - 1) / x->step : 0;
    const int64_t end = x->ins > at ? (x->ins - at + x->step - 1) / x->step : 0;

    reach[1] = end < outs ? end : outs;
    reach[0] = first < reach[1] ? first : reach[1];
}

/* Panels of whole vectors, as even as can be. */
static inline even_cut conv_panels(int64_t channels)
{
    return cut_evenly((channels + VL - 1) / VL, TILE_VECS);
}
static inline int64_t conv_whole(int64_t channels)
{
    return (channels + VL - 1) / VL * VL;
}

/* Rows of a tile of so many vectors. */
static inline int64_t conv_rows_max(int vecs)
{
    return vecs == 1 ? TILE_ROWS_1 : vecs == 2 ? TILE_ROWS_2 : TILE_ROWS_3;
}
#endif
