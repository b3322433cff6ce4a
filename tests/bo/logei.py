#!/usr/bin/env python3
"""Prints tests/bo/logei_values.inc: ln EI and its slopes far into the tail, in 300 digits.
Run in an environment with `pip install mpmath==1.3.0`."""

import mpmath as mp

mp.mp.dps = 300
US = "5 1 0 -0.5 -0.999 -1.001 -2 -3.999 -4.001 -5 -8 -29 -31 -100 -1e4 -1e8 -1e100"


def tail(u):
    """By Laplace's continued fraction: phi and Phi themselves underflow any number of digits."""
    c = mp.mpf(0)
    for k in range(200, 0, -1):
        c = k / (-u + c)
    q = c / (c - u)
    return -u * u / 2 - mp.log(2 * mp.pi) / 2 + mp.log(q), 1 / (c - u) / q, 1 / q


def plain(u):
    phi, cdf = mp.npdf(u), mp.erfc(-u / mp.sqrt(2)) / 2
    h = phi + u * cdf
    return mp.log(h), cdf / h, phi / h


print("/* u, ln h(u), Phi / h, phi / h: logei.py */")
for text in US.split():
    u = mp.mpf(float(text))
    row = [text if "." in text or "e" in text else text + ".0"]
    row += [mp.nstr(v, 20) for v in (tail(u) if u < -1000 else plain(u))]
    print("{" + ", ".join(row) + "},")
