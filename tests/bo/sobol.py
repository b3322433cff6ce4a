#!/usr/bin/env python3
"""Prints src/bo/directions.def ("directions") or tests/bo/sobol_points.inc ("points") from SciPy:
Joe and Kuo's direction numbers as it carries them, and the points its unscrambled sequence has.
Run in an environment with `pip install scipy==1.17.1`."""

import pathlib
import sys

import numpy as np
import scipy
from scipy.stats import qmc

DIMS = 64
ROWS = (1, 2, 3, 4, 5, 6, 7, 8, 100, 1000, 65535, 1048575)

HEAD = """/* Sobol direction numbers of S. Joe and F. Y. Kuo, the first of new-joe-kuo-6.21201:
 * "Constructing Sobol sequences with better two-dimensional projections", SIAM J. Sci. Comput. 30
 * (2008), 2635-2654; https://web.maths.unsw.edu.au/~fkuo/sobol/. Taken from SciPy 1.17.1 (BSD
 * 3-Clause), which carries the same table, by tests/bo/sobol.py.
 *
 * DIRECTION(primitive polynomial, m_1, m_2, ...): bit k of the polynomial is its coefficient of
 * x^k. The first coordinate has none: all its m are 1. */"""


def directions():
    path = pathlib.Path(scipy.__file__).parent / "stats" / "_sobol_direction_numbers.npz"
    table = np.load(path)
    print(HEAD)
    print("/* clang-format off */")
    for poly, m in list(zip(table["poly"], table["vinit"]))[1:DIMS]:
        degree = int(poly).bit_length() - 1
        print(f"DIRECTION({poly}, {', '.join(str(x) for x in m[:degree])})")
    print("/* clang-format on */")


def points():
    print(f"/* Made by tests/bo/sobol.py with SciPy {scipy.__version__}: point n of the")
    print(" * unscrambled sequence in the order of Gray codes, each coordinate times 2^32. */")
    print("/* clang-format off */")
    print("static const struct {\n    uint32_t n, x[SOBOL_DIMS];\n} known[] = {")
    for n in ROWS:
        engine = qmc.Sobol(DIMS, scramble=False, bits=32)
        engine.fast_forward(n)
        cells = [str(int(x * 2**32)) + "u" for x in engine.random(1)[0]]
        print(f"    {{{n}, {{")
        for i in range(0, DIMS, 7):
            print(f"        {', '.join(cells[i : i + 7])},")
        print("    }},")
    print("};")
    print("/* clang-format on */")


if __name__ == "__main__":
    {"directions": directions, "points": points}[sys.argv[1]]()
