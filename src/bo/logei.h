/* The logarithm of expected improvement, exact far into the tail.
 *
 *   t ~ N(m, s^2):  EI = E max(best - t, 0) = s h(u),  u = (best - m) / s,  h = phi(u) + u Phi(u)
 *
 * Source: Ament et al., "Unexpected improvements to expected improvement for Bayesian optimization"
 *         (NeurIPS 2023), section 4.1.
 * Threads: pure. */
#ifndef LOGEI_H
#define LOGEI_H

/* ln EI. dm, ds (both or neither NULL): its derivatives by m and s. */
double logei(double best, double m, double s, double *dm, double *ds);
#endif
