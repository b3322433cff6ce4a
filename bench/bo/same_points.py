#!/usr/bin/env python3
"""Whether faster_SOLVER.py leaves a peer's suggestions as they are: runs with it and without it, in
processes of their own, must suggest the same points to the last bit.

  same_points.py SOLVER [BUDGET RUN...]      without runs: 30 points of five problems"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time

import campaign
import problems
import run

PROBLEMS = "branin", "ackley10", "mixed-ackley", "mixed-noisy", "conditional"


def points(solver: str, budget: int, wanted: str) -> None:
    """Prints what a run suggests and its processor seconds."""
    name, instance, seed = wanted.split("/")
    problem, found = problems.Problem(name, int(instance)), []
    module = importlib.import_module(run.MODULES[solver])

    def objective(x) -> float:
        found.append([float(v).hex() for v in x])
        return problem.observe(x, int(seed), len(found) - 1)

    start = time.process_time()
    module.solve(solver, problem, int(seed), budget, objective)
    print(json.dumps([found, time.process_time() - start]))


def compare(solver: str, budget: str, wanted: str) -> bool:
    results = []
    for plain in "1", "0":
        env = {**os.environ, "BO_PLAIN": plain, "PYTHONHASHSEED": "0"}
        command = [campaign.python(solver), __file__, "points", solver, budget, wanted]
        out = subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout
        results.append(json.loads(out.splitlines()[-1]))
    (want, slow), (got, fast) = results
    same = want == got and len(want) == int(budget)
    verdict = "the same" if same else "DIFFERS"
    print(f"{solver} {wanted} {verdict}, {slow:.1f} s and {fast:.1f} s", flush=True)
    return same


def main() -> int:
    if sys.argv[1] == "points":
        points(sys.argv[2], int(sys.argv[3]), sys.argv[4])
        return 0
    solver = sys.argv[1]
    budget, *wanted = sys.argv[2:] or ["30", *(f"{name}/0/0" for name in PROBLEMS)]
    return 0 if all([compare(solver, budget, w) for w in wanted]) else 1


if __name__ == "__main__":
    sys.exit(main())
