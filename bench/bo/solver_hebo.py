"""HEBO with its defaults, one suggestion at a time. It knows no conditions."""

import random
import warnings

import numpy
import pandas
import torch
from problems import CHOICE, INT
from run import PLAIN

warnings.filterwarnings("ignore")
torch.set_num_threads(1)

from hebo.design_space.design_space import DesignSpace  # noqa: E402
from hebo.optimizers.hebo import HEBO  # noqa: E402

VERSION = "HEBO 0.3.6"
FASTER = not PLAIN
if FASTER:
    import faster_hebo

    faster_hebo.apply()


def declare(p):
    if p.type == CHOICE:
        choices = [f"choice{i}" for i in range(p.choices)]
        return {"name": p.name, "type": "cat", "categories": choices}
    kind = {(False, False): "num", (False, True): "pow", (True, False): "int",
            (True, True): "pow_int"}[p.type == INT, p.log]  # fmt: skip
    return {"name": p.name, "type": kind, "lb": p.low, "ub": p.high}


def solve(_name, problem, seed, budget, objective):
    random.seed(seed), numpy.random.seed(seed), torch.manual_seed(seed)
    space = DesignSpace().parse([declare(p) for p in problem.params])
    tuner = HEBO(space, scramble_seed=seed)
    for _ in range(budget):
        row: pandas.DataFrame = tuner.suggest(n_suggestions=1)
        x = []
        for p in problem.params:
            v = row[p.name].iloc[0]
            x.append(int(v.removeprefix("choice")) if p.type == CHOICE else float(v))
        tuner.observe(row, numpy.array([[objective(x)]]))
