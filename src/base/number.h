/* Numbers as text, the same whatever the locale. */
#ifndef NUMBER_H
#define NUMBER_H
#include <stdbool.h>

enum { NUMBER_SIZE = 48 };
/* The shortest decimal that reads back as x, written as Python's repr writes it: 0.1, 1.0, 1e-05,
 * 1e+16, inf, -inf, nan. Files and distributions are then byte for byte Optuna's. */
char *number_print(double x, char buf[NUMBER_SIZE]);
/* strtod as in the C locale. */
double number_strtod(const char *text, char **end);
/* A whole text as a double; inf and nan too. False when it is anything else. */
bool number_read(const char *text, double *out);
#endif
