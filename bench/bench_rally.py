"""Rally against one long tuning: MNIST, 784-50-50-10, 20,000 training steps either way.

  rally_accuracy_points   test error after tuning the whole run at once, less that after a rally
                          (examples/mnist-rally.yaml), in points; means over retrained runs from
                          scratch, then over studies. Both get the rally's work, in multiply-adds.
                          Beside it the errors without any tuning, |dF/dw|'s growth on the way back,
                          and the audits: what the hypergradient said over what is exact, 1 is right

bench_rally.py [STUDIES]: 3 unless said otherwise, of which each has its own split, initial weights
and batches. Needs MNIST in DRMAD_DATA or ../shared/data."""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
DRMAD = os.environ.get("DRMAD", str(ROOT / "build/release/drmad"))
STEPS = 20000


def tune(seed, *settings):
    with tempfile.TemporaryDirectory() as folder:
        study = str(ROOT / "examples" / "mnist-rally.yaml")
        command = [DRMAD, "tune", study, f"output.dir={folder}/run", f"seed={seed}", "threads=1"]
        env = dict(os.environ)
        env.setdefault("DRMAD_DATA", str(ROOT.parent / "shared/data"))
        subprocess.run(
            [*command, *settings],
            check=True,
            env=env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        return json.loads((pathlib.Path(folder) / "run" / "result.json").read_text())


def error(result, which):
    return 100 * result[which]["mean"]["test_error"]


def audits(path):
    said = [(m["audit"]["hypergradient"], m["audit"]["exact"]) for m in path if "audit" in m]
    return [a / b for a, b in said]


def worst(ratios):
    return max(ratios, key=lambda x: abs(x - 1), default=float("nan"))


def main():
    studies = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    gains = []
    for seed in range(1, studies + 1):
        rally = tune(seed)
        spent = sum(leg["runs"] for leg in rally["rally"])
        # the run that it is judged by at the end is the rally's too
        whole = tune(
            seed,
            "rally=[]",
            f"train.steps={STEPS}",
            "outer.steps=1000",
            f"budget.runs={spent - 1}",
        )
        gains.append(error(whole, "tuned") - error(rally, "tuned"))
        print(f"study {seed}: test error % tuned, untuned; growth; worst audit")
        for leg in rally["rally"]:
            print(
                f"  stage {leg['stage']}: {leg['meta_steps']} meta-steps, growth "
                f"{leg['largest_growth']:.3g}, audit {worst(leg['audits']):.3g}"
            )
        print(
            f"  rally: {error(rally, 'tuned'):.2f}, {error(rally, 'start'):.2f}; "
            f"{spent:.1f} runs, {rally['spent']['seconds']:.0f} s with retraining"
        )
        print(
            f"  whole: {error(whole, 'tuned'):.2f}, {error(whole, 'start'):.2f}; growth "
            f"{whole['largest_growth']:.3g}, audit {worst(audits(whole['path'])):.3g}; "
            f"{whole['meta_steps']} meta-steps, {whole['spent_runs']:.1f} runs, "
            f"{whole['seconds']:.0f} s with retraining",
            flush=True,
        )
    spread = statistics.stdev(gains) if len(gains) > 1 else float("nan")
    print(
        f"rally_accuracy_points ratio {statistics.mean(gains):.2f} points of test error less than "
        f"by tuning all {STEPS} steps at once, same work; sd over {studies} studies {spread:.2f}"
    )


if __name__ == "__main__":
    main()
