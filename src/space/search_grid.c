/* Where a grid ends. Optuna takes low, high and step as the decimals they print as, since 0.3 is
 * not three times 0.1 in binary; so do we, exactly, in 128 bits. */
#include "base/number.h"
#include "space/search_inside.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__extension__ typedef __int128 wide;

enum { WIDE_DIGITS = 28 }; /* what Python's decimals compute with */

typedef struct decimal {
    wide digits;
    int exponent;
} decimal;

static decimal decimal_of(double x)
{
    char buf[NUMBER_SIZE];
    decimal d = {0, 0};
    int point = 0;
    const char *p = number_print(x, buf);
    bool negative = *p == '-';

    for (p += negative; *p && *p != 'e'; p++) {
        if (*p == '.') {
            point = 1;
            continue;
        }
        d.digits = d.digits * 10 + (*p - '0');
        d.exponent -= point;
    }
    if (*p == 'e') d.exponent += atoi(p + 1);
    while (d.digits != 0 && d.digits % 10 == 0) d.digits /= 10, d.exponent++;
    if (d.digits == 0) d.exponent = 0;
    if (negative) d.digits = -d.digits;
    return d;
}

/* To the exponent e, which is no greater. */
static bool align(decimal *d, int e)
{
    wide limit = 1;

    for (int i = 0; i < WIDE_DIGITS; i++) limit *= 10;
    for (; d->digits != 0 && d->exponent > e; d->exponent--) {
        d->digits *= 10;
        if (d->digits > limit || d->digits < -limit) return false;
    }
    d->exponent = e;
    return true;
}

static double to_double(decimal d)
{
    char buf[64], *p = buf + 48;
    bool negative = d.digits < 0;
    double x = 0;

    snprintf(p, 16, "e%d", d.exponent);
    if (negative) d.digits = -d.digits;
    do {
        *--p = (char)('0' + (int)(d.digits % 10));
        d.digits /= 10;
    } while (d.digits != 0);
    if (negative) *--p = '-';
    number_read(p, &x);
    return x;
}

bool search_grid_last(double low, double high, double step, double *last, double *count)
{
    decimal a = decimal_of(low), b = decimal_of(high), s = decimal_of(step);
    int e = s.exponent;

    *last = high, *count = 0;
    if (a.digits != 0 && a.exponent < e) e = a.exponent;
    if (b.digits != 0 && b.exponent < e) e = b.exponent;
    if (!align(&a, e) || !align(&b, e) || !align(&s, e)) return false;
    wide k = (b.digits - a.digits) / s.digits, rest = (b.digits - a.digits) % s.digits;

    *count = (double)k + 1;
    if (rest != 0) *last = to_double((decimal){k * s.digits + a.digits, e});
    return true;
}
