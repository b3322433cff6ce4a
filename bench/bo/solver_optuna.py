"""Optuna: GPSampler, TPE, and TPE with multivariate and group, each as it comes."""

import warnings

import optuna
from problems import CHOICE, INT

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)

VERSION = f"optuna {optuna.__version__}"
SAMPLERS = {
    "optuna-gp": lambda seed: optuna.samplers.GPSampler(seed=seed),
    "optuna-tpe": lambda seed: optuna.samplers.TPESampler(seed=seed),
    "optuna-tpe-mv": lambda seed: optuna.samplers.TPESampler(
        seed=seed, multivariate=True, group=True
    ),
}


def suggest(trial, p):
    if p.type == CHOICE:
        return trial.suggest_categorical(p.name, [f"choice{i}" for i in range(p.choices)])
    if p.type == INT:
        return trial.suggest_int(p.name, int(p.low), int(p.high), log=p.log)
    return trial.suggest_float(p.name, p.low, p.high, log=p.log)


def ask(trial, problem):
    """Define-by-run: what a condition leaves out is not suggested."""
    x = [float("nan")] * len(problem.params)
    for i, p in enumerate(problem.params):
        if problem.active(i, x):
            v = suggest(trial, p)
            x[i] = int(v.removeprefix("choice")) if p.type == CHOICE else v
    return x


def solve(name, problem, seed, budget, objective):
    study = optuna.create_study(sampler=SAMPLERS[name](seed))
    for _ in range(budget):
        trial = study.ask()
        study.tell(trial, objective(ask(trial, problem)))
