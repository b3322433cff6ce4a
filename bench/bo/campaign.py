#!/usr/bin/env python3
"""The runs of bench/bo in the order of their use, one process at a time; what has a row is passed
over, so that the campaign goes on where it was stopped.

  campaign.py [peers|ours|held-ours]

  dev   instance 0, seeds 0..19: what one may look at while developing
  held  instance 1 + i with seed 1000 + i, i = 0..19: what the share of problems won is counted on,
        and seeds 1000.. of Hartmann-6. Ours (held-ours) only of a version that is done.

Peers come in rounds, what counts for the share of problems won before what one may look at, cheap
peers first; of the dear ones every problem with a few seeds before any with more."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import run

HERE = pathlib.Path(__file__).resolve().parent
SEEDS, HELD_SEED = 20, 1000
DEV, HELD = "dev", "held"
OURS = ("gp", "tpe", "cmaes", "sobol", "random")
# (peer, set, seeds up to which); each once more with more seeds further down
ROUNDS = [
    ("optuna-tpe", HELD, 20), ("bayesopt", HELD, 20), ("optuna-tpe-mv", HELD, 20),
    ("optuna-gp", HELD, 20), ("botorch", HELD, 20), ("smac", HELD, 3), ("hebo", HELD, 1),
    ("smac", HELD, 20), ("hebo", HELD, 3), ("hebo", HELD, 10), ("hebo", HELD, 20),
    ("optuna-tpe", DEV, 20), ("bayesopt", DEV, 20), ("optuna-tpe-mv", DEV, 20),
    ("optuna-gp", DEV, 20), ("botorch", DEV, 20), ("smac", DEV, 20), ("hebo", DEV, 20),
]  # fmt: skip


def runs(kind: str, upto: int) -> list[str]:
    pairs = [(0, i) if kind == DEV else (1 + i, HELD_SEED + i) for i in range(upto)]
    return [f"{p}/{k}/{seed}" for k, seed in pairs for p in run.problems.names()]


def python(solver: str) -> str:
    name = "hebo" if solver == "hebo" else "main"
    return str(run.ROOT / f".venv-bo-{name}" / "bin" / "python")


def work(solver: str, budget: str, wanted: list[str], results=run.RESULTS) -> bool:
    """Whether all went well; a solver that fails does not keep the others from running."""
    command = [python(solver), str(HERE / "run.py"), solver, budget, *wanted]
    print(f"== {solver} {budget}: {len(wanted)} runs", flush=True)
    env = {**os.environ, "BO_RESULTS": str(results), "PYTHONHASHSEED": "0"}  # SMAC has sets
    return subprocess.run(command, cwd=run.ROOT, env=env).returncode == 0


def main() -> int:
    what = sys.argv[1] if len(sys.argv) > 1 else "peers"
    if what == "peers":
        plan = [(solver, "full", runs(kind, upto)) for solver, kind, upto in ROUNDS]
        plan.insert(3, ("optuna-gp", "220", ["hartmann6/0/0", "hartmann6/0/1"]))
    else:
        build = ["ninja", "--quiet", "-C", "build/release", "bo_tuner"]
        subprocess.run(build, cwd=run.ROOT, check=True)
        kind = HELD if what == "held-ours" else DEV
        plan = [(solver, "full", runs(kind, SEEDS)) for solver in OURS]
        if kind == HELD:
            success = [f"hartmann6/0/{HELD_SEED + i}" for i in range(2 * SEEDS)]
            plan += [("gp", "100", success)]
        else:
            plan += [(s, "1020", ["hartmann6/0/0", "hartmann6/0/1"]) for s in ("gp", "tpe")]
    failed = [f"{s} {budget}" for s, budget, wanted in plan if not work(s, budget, wanted)]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
