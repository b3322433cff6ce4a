/* The problems of bench/bo: what a tuner is asked to minimise, with the least value known.
 *
 * A problem has instances. Instance 0 is the published function. Of instance k >= 1 the place of
 * the optimum is drawn anew, within the box, and the function is turned about it; categorical
 * choices are renamed. Its least value stays the same, exactly. An instance is a function of its
 * name and k alone.
 *
 * A point has one double a parameter: the number itself, the index of a choice, NaN where a
 * condition leaves the parameter out (such values are not read).
 *
 * Also a shared library, from which Python loads the very same functions (problems.py).
 * Ownership: problem_open gives, problem_close takes. Threads: read-only once open. */
#ifndef PROBLEMS_H
#define PROBLEMS_H
#include <stdint.h>

#define PROBLEM_API __attribute__((visibility("default")))

enum { PROBLEM_FLOAT, PROBLEM_INT, PROBLEM_CHOICE };

typedef struct problem_param {
    const char *name;
    int32_t type, log;
    double low, high; /* inclusive */
    int32_t choices;
    int32_t parent, parent_choice; /* there only when that one has this choice; parent -1: always */
} problem_param;

typedef struct problem problem;

PROBLEM_API const char *problem_name(int32_t i); /* NULL past the last */
/* NULL: no such problem, or no memory. */
PROBLEM_API problem *problem_open(const char *name, int32_t instance);
PROBLEM_API void problem_close(problem *p); /* NULL is fine */

PROBLEM_API int32_t problem_params(const problem *p, const problem_param **out);
PROBLEM_API double problem_value(const problem *p, const double *x);
/* The value with the problem's noise, normal and keyed by (seed, number); without noise the value
 * itself. */
PROBLEM_API double problem_observe(const problem *p, const double *x, uint64_t seed,
                                   int64_t number);
PROBLEM_API double problem_noise(const problem *p);             /* its sd */
PROBLEM_API double problem_least(const problem *p);             /* the least value */
PROBLEM_API void problem_solution(const problem *p, double *x); /* where it is taken, to ~1e-6 */
#endif
