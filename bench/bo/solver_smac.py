"""SMAC3: the black-box facade (Gaussian process); with conditions, which that does not take, the
facade for hyperparameters (random forest). Each as it comes, one seed of the objective."""

import importlib.metadata
import logging
import math
import pathlib
import shutil
import tempfile

import smac
from ConfigSpace import Categorical, ConfigurationSpace, EqualsCondition, Float, Integer
from problems import CHOICE, INT
from run import PLAIN

VERSION = f"smac {importlib.metadata.version('smac')}"
FASTER = not PLAIN
if FASTER:
    import faster_smac

    faster_smac.apply()


def declare(p):
    if p.type == CHOICE:
        return Categorical(p.name, [f"choice{i}" for i in range(p.choices)])
    if p.type == INT:
        return Integer(p.name, (int(p.low), int(p.high)), log=p.log)
    return Float(p.name, (p.low, p.high), log=p.log)


def space_of(problem, seed):
    space = ConfigurationSpace(seed=seed)
    params = [declare(p) for p in problem.params]
    space.add(params)
    for p, q in zip(problem.params, params):
        if p.parent >= 0:
            space.add(EqualsCondition(q, params[p.parent], f"choice{p.parent_choice}"))
    return space


def point(problem, config):
    x = [math.nan] * len(problem.params)
    for i, p in enumerate(problem.params):
        v = config.get(p.name)
        if v is not None:
            x[i] = int(v.removeprefix("choice")) if p.type == CHOICE else float(v)
    return x


def solve(_name, problem, seed, budget, objective):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="smac"))
    conditions = any(p.parent >= 0 for p in problem.params)
    facade = smac.HyperparameterOptimizationFacade if conditions else smac.BlackBoxFacade
    scenario = smac.Scenario(
        space_of(problem, seed), output_directory=folder, deterministic=True, n_trials=budget,
        seed=seed,
    )  # fmt: skip

    def target(config, seed=0):
        return objective(point(problem, config))

    try:
        facade(scenario, target, logging_level=logging.ERROR, overwrite=True).optimize()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
