/* ln EI without cancellation.
 *
 *   u > -1:   ln h as it stands
 *   else      h = phi(u) q,  q = 1 - x M(x),  x = -u,  M = (1 - Phi(x)) / phi(x)  (Mills' ratio)
 *             M = 1 / (x + c),  c = 1 / (x + 2 / (x + 3 / (x + ...)))   (Laplace's fraction)
 *             so q = c / (x + c): nothing is subtracted
 *             for x < 4, where the fraction is slow, M from erfc; q >= .05 there
 *   d ln EI / dm = -(Phi / h) / s,  d ln EI / ds = (phi / h) / s
 *             with phi / h = 1 / q,  Phi / h = M / q in the tail
 *
 * Checked: tests/bo/test_logei.c, against 60 digits. */
#include "bo/logei.h"
#include <math.h>
#include <stddef.h>

enum { FRACTION = 60 };
static const double ln_root_2pi = 0.91893853320467274178;

/* M and q of x >= 1. */
static double mills(double x, double *q)
{
    if (x < 4) {
        double m = sqrt(M_PI / 2) * exp(0.5 * x * x) * erfc(x * M_SQRT1_2);

        *q = 1 - x * m;
        return m;
    }
    const int terms = (int)fmin(4 + 224 / x, FRACTION); /* enough for all digits */
    double c = 0;

    for (int k = terms; k >= 1; k--) c = k / (x + c);
    *q = c / (x + c);
    return 1 / (x + c);
}

double logei(double best, double m, double s, double *dm, double *ds)
{
    const double u = (best - m) / s;
    double ln_h, big, small; /* Phi / h, phi / h */

    if (u > -1) {
        const double phi = exp(-0.5 * u * u - ln_root_2pi), cumulative = 0.5 * erfc(-u * M_SQRT1_2);
        const double h = phi + u * cumulative;

        ln_h = log(h), big = cumulative / h, small = phi / h;
    } else {
        double q;
        const double ratio = mills(-u, &q);

        ln_h = -0.5 * u * u - ln_root_2pi + log(q);
        big = ratio / q, small = 1 / q;
    }
    if (dm) *dm = -big / s, *ds = small / s;
    return ln_h + log(s);
}
