/* The Sobol sequence as it is before scrambling: for sobol.c and its tests. */
#ifndef SOBOL_H
#define SOBOL_H
#include <stdint.h>

/* Coordinate `dim` of point `index`, times 2^32; points in the order of their binary index, the
 * first is 0. dim < SOBOL_DIMS. */
uint32_t sobol_digits(uint32_t index, int32_t dim);
#endif
