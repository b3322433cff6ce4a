/* Numbers as text: tries 15, 16, 17 digits (fewer too for subnormals) until one reads back, then
 * places the point as Python's float.__repr__ does (exponent form below 1e-4 and from 1e16 on). */
#include "base/number.h"
#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static locale_t c_locale(void)
{
    return newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

/* d.ddde+XX with the fewest digits; the caller has set the C locale. */
static void shortest(double x, char *buf, size_t size)
{
    for (int digits = x < DBL_MIN ? 1 : 15; digits <= 17; digits++) {
        snprintf(buf, size, "%.*e", digits - 1, x);
        if (strtod(buf, NULL) == x) return;
    }
}

/* Takes "d.ddde+XX" apart: its digits without trailing zeros, and the exponent of the first. */
static int take_apart(const char *from, char *digits)
{
    int n = 0;
    const char *e = strchr(from, 'e');

    for (const char *p = from; p < e; p++)
        if (*p >= '0' && *p <= '9') digits[n++] = *p;
    while (n > 1 && digits[n - 1] == '0') n--;
    digits[n] = 0;
    return atoi(e + 1);
}

static void put_exponent(char *out, const char *digits, int exponent)
{
    const char *rest = digits + 1;

    snprintf(out, NUMBER_SIZE - 1, "%c%s%se%+03d", digits[0], *rest ? "." : "", rest, exponent);
}

static void put_plain(char *out, const char *digits, int exponent)
{
    int n = (int)strlen(digits);

    if (exponent < 0) { /* 0.000ddd */
        snprintf(out, NUMBER_SIZE - 1, "0.%.*s%s", -exponent - 1, "0000", digits);
    } else if (exponent >= n - 1) { /* ddd000.0 */
        snprintf(out, NUMBER_SIZE - 1, "%s%.*s.0", digits, exponent - n + 1, "0000000000000000");
    } else {
        snprintf(out, NUMBER_SIZE - 1, "%.*s.%s", exponent + 1, digits, digits + exponent + 1);
    }
}

char *number_print(double x, char buf[NUMBER_SIZE])
{
    char raw[NUMBER_SIZE], digits[20];
    char *out = buf;

    if (isnan(x)) return strcpy(buf, "nan");
    if (signbit(x)) *out++ = '-';
    if (isinf(x)) {
        strcpy(out, "inf");
        return buf;
    }
    locale_t c = c_locale(), old = uselocale(c);
    shortest(fabs(x), raw, sizeof raw);
    const int exponent = take_apart(raw, digits);
    if (exponent < -4 || exponent >= 16) put_exponent(out, digits, exponent);
    else put_plain(out, digits, exponent);
    uselocale(old);
    if (c) freelocale(c);
    return buf;
}

double number_strtod(const char *text, char **end)
{
    locale_t c = c_locale(), old = uselocale(c);
    const double x = strtod(text, end);

    uselocale(old);
    if (c) freelocale(c);
    return x;
}

bool number_read(const char *text, double *out)
{
    char *end;

    *out = number_strtod(text, &end);
    return end != text && *end == 0 && text[strcspn(text, "xXpP \t\n\v\f\r")] == 0;
}
