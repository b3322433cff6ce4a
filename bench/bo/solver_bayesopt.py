"""BayesOpt by its Python module, with its defaults and the kernel's parameters learnt every tenth
evaluation; ints and choices as equal parts of the unit cube. It knows no conditions.

The module is not on PyPI: it must be importable in .venv-bo-main, or lie where BAYESOPT_PATH says.
"""

import os
import sys

import numpy
from problems import from_cube

sys.path.append(os.environ.get("BAYESOPT_PATH", ""))
import bayesopt  # noqa: E402

VERSION = "bayesopt 0.9"


def solve(_name, problem, seed, budget, objective):
    d = len(problem.params)

    def at(u):
        return objective([from_cube(p, v) for p, v in zip(problem.params, u)])

    settings = {
        "n_iterations": budget - 10, "n_init_samples": 10, "n_iter_relearn": 10,
        "random_seed": seed + 1, "verbose_level": 0,
    }  # fmt: skip
    try:
        bayesopt.optimize(at, d, numpy.zeros(d), numpy.ones(d), settings)
    except RuntimeError:  # it asks once more than it was told to, which ends the run
        if len(objective.suggest) < budget:
            raise
