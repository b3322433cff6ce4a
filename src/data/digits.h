/* Digits of our own, for where there are no files and no network. Named `synthetic-digits`
 * wherever they are used. */
#ifndef DIGITS_H
#define DIGITS_H
#include "data/dataset.h"

/* Gives *out: `n` images u8 [n,28,28] with labels 0 to 9, drawn at random. Image i of a part is a
 * pure function of (seed, part, i), the same on every machine and for every number of threads;
 * parts share no draw. */
enum { DIGITS_TRAIN, DIGITS_TEST };
drmad_status digits_make(drmad_ctx *ctx, uint64_t seed, int part, int64_t n, dataset **out);
#endif
