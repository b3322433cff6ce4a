"""Bayesian optimisation beside its peers.

  bo_problems_won_share         problems on which our median final regret is at or below every
                                peer's, from the rows that `make bench-bo` kept in bench/results/bo;
                                without a peer's rows there is no share
  bo_hartmann6_success_share    seeds with a regret below .05 after 100 evaluations
  bo_suggest_ms_n*              processor time of a suggestion on Hartmann-6
  bo_suggest_vs_optuna_gp_n200  Optuna's GPSampler over ours, in turns on this machine
  tpe_suggest_ms_n1000

All but the first run anew. Needs tools/bo-env for GPSampler."""

import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "bench" / "bo"))
import campaign  # noqa: E402
import run  # noqa: E402
import table  # noqa: E402

SUCCESS_SEEDS = 40


def main() -> int:
    if subprocess.run(["tools/bo-env"], cwd=ROOT).returncode != 0:
        print("some peers are missing: the kept rows count", file=sys.stderr)
    table.share_line(table.load())
    seeds = [f"hartmann6/0/{campaign.HELD_SEED + i}" for i in range(SUCCESS_SEEDS)]
    plan = [
        ("gp", "100", seeds), ("gp", "1000", ["hartmann6/0/0"]), ("gp", "200", ["hartmann6/0/1"]),
        ("optuna-gp", "200", ["hartmann6/0/1"]), ("tpe", "1000", ["hartmann6/0/0"]),
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        run.RESULTS = pathlib.Path(folder)
        failed = [s for s, budget, wanted in plan if not campaign.work(s, budget, wanted, folder)]
        table.lines(table.load())
    if failed:
        print(f"failed: {' '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
