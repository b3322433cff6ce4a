#!/usr/bin/env python3
"""Prints how many evaluations pycma needs on the functions of tests/bo/test_cmaes.c, median of 21
seeds. Run in an environment with `pip install cma==4.5.0 numpy`."""

import statistics

import cma
import numpy

N, TARGET = 8, 1e-9


def sphere(z):
    return float(z @ z)


def ellipsoid(z):
    """Turned by a reflection that mixes all axes; condition 1e4."""
    w = numpy.ones(N)
    y = z - 2 * w * (w @ z) / N
    return float(sum(10 ** (4 * i / (N - 1)) * y[i] ** 2 for i in range(N)))


def evaluations(f, seed):
    es = cma.CMAEvolutionStrategy(N * [0.2], 0.3, {"seed": seed + 1, "verbose": -9})
    while es.best.f is None or es.best.f > TARGET:
        xs = es.ask()
        es.tell(xs, [f(numpy.array(x) - 0.45) for x in xs])
    return es.best.evals


for f in (sphere, ellipsoid):
    print(f.__name__, statistics.median(evaluations(f, s) for s in range(21)), cma.__version__)
