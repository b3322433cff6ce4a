/* The arithmetic of cells of averaged squares (train/traj_cells.h), for the CPU and, compiled
 * again, for a GPU, which puts its own words before a function: both must give the same bits. */
#ifndef SQUARE_CELLS_H
#define SQUARE_CELLS_H
#include <math.h>
#include <stdint.h>
#include <string.h>
#ifndef SQUARE_CELLS
#define SQUARE_CELLS static inline
#endif

/* The exponent of x > 0; INT32_MIN for zero and what is too small to be normal. */
SQUARE_CELLS int32_t square_exponent_f32(float x)
{
    uint32_t u;

    memcpy(&u, &x, sizeof u);
    return u >> 23 ? (int32_t)(u >> 23) - 127 : INT32_MIN;
}

SQUARE_CELLS int32_t square_exponent_f64(double x)
{
    uint64_t u;

    memcpy(&u, &x, sizeof u);
    return u >> 52 ? (int32_t)(u >> 52) - 1023 : INT32_MIN;
}

/* The cell of an exponent: pairs of them. */
SQUARE_CELLS int32_t square_cell(int32_t e)
{
    return (e - (e & 1)) / 2;
}

/* m 2^e, in single without the numbers that are not normal. */
SQUARE_CELLS float square_low_f32(double m, int32_t e)
{
    const uint32_t u = e + 127 < 1 ? 0 : (uint32_t)(e + 127 > 254 ? 254 : e + 127) << 23;
    float x;

    memcpy(&x, &u, sizeof x);
    return x * (float)m;
}

SQUARE_CELLS double square_low_f64(double m, int32_t e)
{
    return ldexp(m, e);
}
#endif
