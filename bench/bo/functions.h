/* Test functions of global optimisation, each to be minimised, on its own box.
 *
 * Source: Surjanovic and Bingham, "Virtual library of simulation experiments: test functions and
 *         datasets"; Hartmann with the constants of Dixon and Szego (1978). */
#ifndef FUNCTIONS_H
#define FUNCTIONS_H
#include <stdint.h>

typedef double function(int32_t d, const double *x);

double function_branin(int32_t d, const double *x); /* [-5, 10] x [0, 15] */
double function_hartmann3(int32_t d, const double *x);
double function_hartmann6(int32_t d, const double *x);
double function_ackley(int32_t d, const double *x);
double function_levy(int32_t d, const double *x);
double function_rosenbrock(int32_t d, const double *x);
double function_rastrigin(int32_t d, const double *x);
double function_michalewicz(int32_t d, const double *x); /* m = 10, [0, pi]^d */
#endif
