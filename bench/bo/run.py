#!/usr/bin/env python3
"""Runs one solver on problems and keeps a row a run in bench/results/bo/SOLVER.jsonl.

  run.py SOLVER BUDGET RUN...         RUN: PROBLEM/INSTANCE/SEED
  BUDGET: evaluations, or "full": 100, and 10 d + 20 where that is more

A run that has a row is not done again, so what was cut off goes on where it was; of a solver of
ours only when that row is of the version at hand. A row says

  curve    [[n, regret], ...]: of the best observed so far, without noise, where it changes
  best     the least regret of all points evaluated (that of the curve but for noise)
  suggest  processor seconds of each suggestion, what was told before it included
  cpu      processor seconds of the whole run
  failed   where a peer gave up: why; what it had found until then counts
  faster   by faster_SOLVER.py: the peer's own points, not its own time (BO_PLAIN=1: without it)
"""

from __future__ import annotations

import datetime
import importlib
import json
import math
import os
import pathlib
import platform
import sys
import time

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"  # before numpy and torch are loaded
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import problems  # noqa: E402

ROOT = problems.ROOT
PLAIN = os.environ.get("BO_PLAIN") == "1"
RESULTS = pathlib.Path(os.environ.get("BO_RESULTS", ROOT / "bench" / "results" / "bo"))
MODULES = {
    "optuna-gp": "solver_optuna", "optuna-tpe": "solver_optuna", "optuna-tpe-mv": "solver_optuna",
    "botorch": "solver_botorch", "hebo": "solver_hebo", "smac": "solver_smac",
    "bayesopt": "solver_bayesopt", "gp": "solver_drmad", "tpe": "solver_drmad",
    "cmaes": "solver_drmad", "sobol": "solver_drmad", "random": "solver_drmad",
}  # fmt: skip


class Ended(Exception):
    """More evaluations than the budget."""


class Objective:
    """What a solver calls: the problem, with a clock that runs between the calls."""

    def __init__(self, problem: problems.Problem, seed: int, budget: int) -> None:
        self.problem, self.seed, self.budget = problem, seed, budget
        self.suggest: list[float] = []
        self.curve: list[list[float]] = []
        self.observed, self.best = math.inf, math.inf
        self.since = time.process_time()

    def __call__(self, x) -> float:
        took = time.process_time() - self.since
        n = len(self.suggest)
        if n == self.budget:
            raise Ended
        self.suggest.append(took)
        observed = self.problem.observe(x, self.seed, n)
        regret = max(self.problem.value(x) - self.problem.least, 0.0)
        self.best = min(self.best, regret)
        if observed < self.observed:
            self.observed = observed
            self.curve.append([n + 1, short(regret, 5)])
        self.since = time.process_time()
        return observed


def short(v: float, digits: int) -> float:
    return float(f"{v:.{digits}g}")


def full_budget(problem: problems.Problem) -> int:
    return max(100, 10 * len(problem.params) + 20)


def machine() -> str:
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def key(row: dict) -> tuple:
    return row["problem"], row["instance"], row["seed"], row["budget"]


def rows(solver: str) -> list[dict]:
    path = RESULTS / f"{solver}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def one(module, solver: str, problem: problems.Problem, seed: int, budget: int) -> dict:
    start = time.process_time()
    objective = Objective(problem, seed, budget)
    failed = ""
    try:
        module.solve(solver, problem, seed, budget, objective)
    except Ended:
        pass
    except Exception as e:  # a peer's own failure: what it had found until then counts
        failed = f"{type(e).__name__}: {e}"
    if not failed and len(objective.suggest) != budget:
        failed = f"ended after {len(objective.suggest)} of {budget} evaluations"
    if failed and (not objective.suggest or MODULES[solver] == "solver_drmad"):
        raise RuntimeError(f"{solver} {problem.name}: {failed}")
    row = {
        "solver": solver, "version": module.VERSION, "problem": problem.name,
        "instance": problem.instance, "seed": seed, "budget": budget, "curve": objective.curve,
        "best": short(objective.best, 5), "suggest": [short(t, 3) for t in objective.suggest],
        "cpu": short(time.process_time() - start, 4), "machine": machine(),
        "date": datetime.date.today().isoformat(),
    }  # fmt: skip
    faster = {"faster": True} if getattr(module, "FASTER", False) else {}
    return {**row, **faster, **({"failed": failed} if failed else {})}


def main() -> int:
    solver, budget = sys.argv[1], sys.argv[2]
    module = importlib.import_module(MODULES[solver])
    ours = MODULES[solver] == "solver_drmad"
    done = {key(r) for r in rows(solver) if not ours or r["version"] == module.VERSION}
    RESULTS.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[3:]:
        name, instance, seed = name.split("/")
        problem = problems.Problem(name, int(instance))
        n = full_budget(problem) if budget == "full" else int(budget)
        if (problem.name, problem.instance, int(seed), n) in done:
            continue
        row = one(module, solver, problem, int(seed), n)
        with open(RESULTS / f"{solver}.jsonl", "a") as f:
            f.write(json.dumps(row, separators=(",", ":")) + "\n")
        print(f"{solver} {name}/{instance}/{seed} {row['curve'][-1][1]:.3g} {row['cpu']:.1f} s",
              flush=True)  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
