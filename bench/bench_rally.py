"""Rally against one long tuning, 20,000 training steps either way: MNIST, 784-50-50-10, or
CIFAR-10 at 16 x 16, a small convolutional net which the rally begins at half its width.

  rally_accuracy_points, rally_cifar_accuracy_points
            test error after tuning the whole run at once, less that after a rally
            (examples/mnist-rally.yaml, cifar-rally.yaml), in points; means over retrained runs
            from scratch, then over studies. Both get the rally's work, in multiply-adds. Beside it
            the errors without any tuning, |dF/dw|'s growth on the way back, and the audits: what
            the hypergradient said over what is exact, 1 is right

bench_rally.py [STUDIES] [mnist|cifar] [SHARE]: 3 of mnist unless said otherwise, each of its own
split, initial weights and batches. SHARE of the steps alone is for a look. Needs MNIST or
cifar10-imagefolder.tar in DRMAD_DATA or ../shared/data, and numpy."""

import pathlib
import statistics
import subprocess
import sys
import tempfile

from bench_useful import one_folder, tune

LEGS = (2000, 6000, 12000)  # steps of the stages of both examples
NO_FINITE_RUN = 5  # exit status


def cifar_work(c1, c2):
    """Multiply-adds of a picture's forward pass through a net of these widths."""
    return 16 * 16 * 27 * c1 + 8 * 8 * 9 * c1 * c2 + 16 * c2 * 10


# whole: how the study of all steps at once differs. run: a rally's run in runs of that.
SETS = {
    "mnist": {"line": "rally_accuracy_points", "whole": (), "run": 1},
    "cifar": {
        "line": "rally_cifar_accuracy_points",
        "whole": ("model.net.0.out=12", "model.net.3.out=24"),
        "run": (0.1 * cifar_work(6, 12) + 0.3 * cifar_work(9, 18) + 0.6 * cifar_work(12, 24))
        / cifar_work(12, 24),
    },
}


def error(result, which):
    return 100 * result[which]["mean"]["test_error"]


def audits(path):
    said = [(m["audit"]["hypergradient"], m["audit"]["exact"]) for m in path if "audit" in m]
    return [a / b for a, b in said]


def worst(ratios):
    return max(ratios, key=lambda x: abs(x - 1), default=float("nan"))


def study(name, folder, seed, legs):
    """The gain of one study; both results are printed."""
    where = SETS[name]
    common = (f"seed={seed}", *([f"data.dir={folder}"] if name == "cifar" else []))
    shorter = [f"rally.{k}.steps={n}" for k, n in enumerate(legs)]
    rally, _ = tune(f"{name}-rally", *common, *shorter)
    spent = where["run"] * sum(leg["runs"] for leg in rally["rally"])
    print(f"{name}, study {seed}: test error % tuned, untuned; growth; worst audit")
    for leg in rally["rally"]:
        print(
            f"  stage {leg['stage']}: {leg['meta_steps']} meta-steps, growth "
            f"{leg['largest_growth']:.3g}, audit {worst(leg['audits']):.3g}"
        )
    print(
        f"  rally: {error(rally, 'tuned'):.2f}, {error(rally, 'start'):.2f}; "
        f"{spent:.1f} runs, {rally['spent']['seconds']:.0f} s with retraining",
        flush=True,
    )
    # the run that it is judged by at the end is the rally's too
    try:
        whole, _ = tune(
            f"{name}-rally",
            *common,
            "rally=[]",
            f"train.steps={sum(legs)}",
            "outer.steps=1000",
            f"budget.runs={spent - 1}",
            *where["whole"],
        )
    except subprocess.CalledProcessError as e:
        if e.returncode != NO_FINITE_RUN:
            raise
        print("  whole: no meta-step, no hypergradient of it is of use", flush=True)
        return float("nan")
    print(
        f"  whole: {error(whole, 'tuned'):.2f}, {error(whole, 'start'):.2f}; growth "
        f"{whole['largest_growth']:.3g}, audit {worst(audits(whole['path'])):.3g}; "
        f"{whole['meta_steps']} meta-steps, {whole['spent_runs']:.1f} runs, "
        f"{whole['seconds']:.0f} s with retraining",
        flush=True,
    )
    return error(whole, "tuned") - error(rally, "tuned")


def main():
    studies = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    name = sys.argv[2] if len(sys.argv) > 2 else "mnist"
    share = float(sys.argv[3]) if len(sys.argv) > 3 else 1
    legs = [int(share * n) for n in LEGS]
    with tempfile.TemporaryDirectory() as folder:
        if name == "cifar":
            one_folder(pathlib.Path(folder))
        gains = [study(name, folder, seed, legs) for seed in range(1, studies + 1)]
    spread = statistics.stdev(gains) if len(gains) > 1 else float("nan")
    print(
        f"{SETS[name]['line']} ratio {statistics.mean(gains):.2f} points of test error less than "
        f"by tuning all {sum(legs)} steps at once, same work; sd of {studies} studies {spread:.2f}"
    )


if __name__ == "__main__":
    main()
