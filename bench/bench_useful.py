"""Does it help? The experiments of the examples, whole, by the command that users run.

  hips_schedule_loss          Maclaurin et al.'s schedules, training loss after 50 meta-steps;
                              theirs: 0.139
  hips_schedule_from_bo_loss  the same from the learning rate 2.43 that Bayesian optimisation
                              gave them; theirs: 0.110
  joint_vs_random_points      lr and L2 together against random search over one value each, same
                              ranges, equal wall
                              clock, winner on validation, test error of five retrained runs;
                              points, mean over seeds
  clean_auc                   wrong labels found by example weights; the loss of a model trained
                              on clean ones: beside it
  table                       DrMAD's setting by every trajectory: test error, seconds, bytes held

bench_useful.py [PART...]: only those. Needs MNIST in DRMAD_DATA or ../shared/data."""

import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
DRMAD = os.environ.get("DRMAD", str(ROOT / "build/release/drmad"))
SEEDS = 5
T_95 = 2.776  # Student's t, 4 degrees of freedom, two-sided 95 %


def tune(example, *settings):
    """The result and the events of one tuning run."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            DRMAD,
            "tune",
            str(ROOT / "examples" / f"{example}.yaml"),
            f"output.dir={folder}/run",
            "threads=1",
            *settings,
        ]
        env = dict(os.environ)
        env.setdefault("DRMAD_DATA", str(ROOT.parent / "shared/data"))
        subprocess.run(
            command, check=True, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        run = pathlib.Path(folder) / "run"
        events = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
        return json.loads((run / "result.json").read_text()), events


def path_of(result):
    return [step["objective"] for step in result["path"] if step["objective"] is not None]


def schedules():
    result, _ = tune("mnist-schedules", "retrain.seeds=1")
    path = path_of(result)
    print(
        f"schedules: {path[0]:.4f} -> {result['best_objective']:.4f} in {len(path)} meta-steps"
    )
    return (
        "hips_schedule_loss",
        result["best_objective"],
        "training loss; HIPS/hypergrad kept 0.139",
    )


def schedules_from_bo():
    result, _ = tune(
        "mnist-schedules", "retrain.seeds=1", "optimizer.lr=2.43", "hyper.2.start=0.1"
    )
    path = path_of(result)
    print(
        f"schedules from lr 2.43: {path[0]:.4f} -> {result['best_objective']:.4f}, last"
        f" {path[-1]:.4f}"
    )
    return (
        "hips_schedule_from_bo_loss",
        result["best_objective"],
        f"training loss; HIPS 0.110; last {path[-1]:.4f}",
    )


def seconds_of(events, name):
    return [e["seconds"] for e in events if e["event"] == name]


def joint():
    """Random search gets as many runs as fit into the seconds that tuning took; the test set is
    no part of its time."""
    gains = []
    for seed in range(1, SEEDS + 1):
        common = (f"seed={seed}", "retrain.seeds=5")
        tuned, events = tune("mnist-lr-l2", *common)
        spent = seconds_of(events, "meta-step")[-1]
        probe = (
            "outer.steps=0",
            "baselines.random=20",
            f"seed={seed}",
            "retrain.seeds=1",
            "data.test=1",
        )
        marks = seconds_of(tune("mnist-lr-l2", *probe)[1], "random")
        runs = max(20, math.ceil(spent / ((marks[-1] - marks[0]) / (len(marks) - 1))))
        found, _ = tune("mnist-lr-l2", "outer.steps=0", f"baselines.random={runs}", *common)
        ours, theirs = (
            100 * r["mean"]["test_error"] for r in (tuned["tuned"], found["random_search"])
        )
        gains.append(theirs - ours)
        print(
            f"joint, seed {seed}: {ours:.2f} % in {spent:.1f} s; random search, {runs} runs:"
            f" {theirs:.2f} %",
            flush=True,
        )
    mean, half = statistics.mean(gains), T_95 * statistics.stdev(gains) / math.sqrt(SEEDS)
    return (
        "joint_vs_random_points",
        mean,
        f"points of test error, 95 % interval [{mean - half:.2f}, {mean + half:.2f}]",
    )


def clean():
    result, _ = tune("mnist-clean")
    c = result["cleaning"]
    error = result["tuned"]["mean"]["test_error"]
    print(
        f"cleaning: AUC {c['auc_by_weight']:.4f}, by clean loss {c['auc_by_clean_loss']:.4f};"
        f" test error {100 * error:.2f} %, trained on clean alone"
        f" {100 * c['clean_only_test_error']:.2f} %"
    )
    return (
        "clean_auc",
        c["auc_by_weight"],
        f"by the loss of a clean model {c['auc_by_clean_loss']:.4f}",
    )


def table():
    kinds = {
        "line, T/10 + sign": ("trajectory.kind=line", "trajectory.coverage=tenth"),
        "line, full": ("trajectory.kind=line",),
        "grid": ("trajectory.kind=grid",),
        "replay": ("trajectory.kind=replay",),
        "full": ("trajectory.kind=full",),
    }
    print(
        f"{'trajectory':20} {'test error %':>12} {'objective':>10} {'s / meta-step':>14}"
        f" {'MiB held':>9}"
    )
    grid = None
    for name, settings in kinds.items():
        result, events = tune("mnist-paper", "outer.max_growth=1e300", *settings)
        marks = seconds_of(events, "meta-step")
        held = max(e.get("trajectory_bytes", 0) for e in events)
        error = 100 * result["tuned"]["mean"]["test_error"]
        grid = error if name == "grid" else grid
        print(
            f"{name:20} {error:12.2f} {result['tuned']['mean']['objective_loss']:10.4f} "
            f"{marks[-1] / len(marks):14.2f} {held / 2**20:9.2f}",
            flush=True,
        )
    return "paper_grid_test_error", grid, "percent, grid, DrMAD's setting"


PARTS = {
    "schedules": schedules,
    "schedules_from_bo": schedules_from_bo,
    "table": table,
    "clean": clean,
    "joint": joint,
}


def main():
    wanted = sys.argv[1:] or list(PARTS)
    for name, value, text in [PARTS[part]() for part in wanted]:
        print(f"{name} ratio {value:.4f} {text}")


if __name__ == "__main__":
    main()
