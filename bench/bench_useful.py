"""Does it help? The experiments of the examples, whole, by the command that users run.

  hips_schedule_loss          Maclaurin et al.'s schedules, training loss within 50 meta-steps, on
                              their data and by their protocol; theirs: 0.139
  hips_schedule_from_bo_loss  the same from the setting that Bayesian optimisation gave them;
                              theirs: 0.110
  hips_own_bo_loss            the same from what our own search finds: a pipeline over rate,
                              momentum and scale, one value each, 100 trials of five training
                              runs, then schedules from the best
  hips_own_bo_retrained_loss  the same with 200 meta-steps; the loss of ten new runs
  joint_vs_random_points      lr and L2 together against random search over one value each, same
                              ranges, equal wall
                              clock, winner on validation, test error of five retrained runs;
                              points, mean over seeds
  cifar_joint_vs_random_points  rates by layer and phase, decay by layer and the strengths of five
                              augmentations, of a small ResNet on pictures of CIFAR-10 at 16 x 16
                              (examples/cifar-joint.yaml), against random search over one value a
                              declaration, same ranges, equal processor time, winner on
                              validation, test error of three retrained runs; two studies
                              side by side
  clean_auc                   wrong labels found by example weights; the loss of a model trained
                              on clean ones: beside it
  table                       DrMAD's setting by every trajectory: test error, seconds, bytes held;
                              before it, the best of 20 random tied settings at the same T

bench_useful.py [PART...]: only those. Needs MNIST and cifar10-imagefolder.tar in DRMAD_DATA or
../shared/data, and numpy (tools/python-env). What each line should reach: bench/goals.json."""

import concurrent.futures
import gzip
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import tarfile
import tempfile

import numpy

ROOT = pathlib.Path(__file__).resolve().parent.parent
DRMAD = os.environ.get("DRMAD", str(ROOT / "build/release/drmad"))
SEEDS = 10
T_95 = {3: 4.303, 5: 2.776, 6: 2.571, 10: 2.262}  # Student's t for so many, two-sided 95 %
CIFAR_SEEDS = range(101, 107)  # 1 served while developing
HIPS_SEEDS = 6


def data_dir():
    return pathlib.Path(os.environ.get("DRMAD_DATA", str(ROOT.parent / "shared/data")))


def tune_timed(example, *settings):
    """The result, the events and the processor seconds of one tuning run."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            DRMAD,
            "tune",
            str(ROOT / "examples" / f"{example}.yaml"),
            f"output.dir={folder}/run",
            "threads=1",
            *settings,
        ]
        env = dict(os.environ, DRMAD_DATA=str(data_dir()))
        child = subprocess.Popen(
            command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise subprocess.CalledProcessError(child.returncode, command)
        run = pathlib.Path(folder) / "run"
        events = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
        result = json.loads((run / "result.json").read_text())
        return result, events, used.ru_utime + used.ru_stime


def tune(example, *settings):
    return tune_timed(example, *settings)[:2]


def path_of(result):
    return [step["objective"] for step in result["path"] if step["objective"] is not None]


def hips_data(folder):
    """The data of HIPS/hypergrad: the first 10,000 images of MNIST, less the mean image of all
    60,000. Raw images have twice the norm, and the rate 2.43 is then beyond what is stable."""
    source = data_dir() / "mnist"
    images = gzip.decompress((source / "train-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((source / "train-labels-idx1-ubyte.gz").read_bytes())
    x = numpy.frombuffer(images, numpy.uint8, offset=16).reshape(60000, 784) / 255.0
    y = numpy.frombuffer(labels, numpy.uint8, offset=8)
    numpy.save(f"{folder}/x.npy", (x - x.mean(0))[:21000].astype(numpy.float32))
    numpy.save(f"{folder}/y.npy", y[:21000])
    return (
        "data.kind=npy",
        f"data.dir={folder}",
        "data.images=x.npy",
        "data.labels=y.npy",
        "data.scale=1",
        "data.split=sequential",
        "train.order=replacement",
        "outer.fresh_seed=true",
    )


def hips(name, goal, *settings):
    """Their protocol: every meta-step has new initial weights and batches, and the smallest loss
    seen is what counts. Beside it: the last one, and five runs from new seeds at the end."""
    best, last, fresh = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        data = hips_data(folder)
        for seed in range(1, HIPS_SEEDS + 1):
            result, _ = tune(
                "mnist-schedules", *data, *settings, f"seed={seed}", "retrain.seeds=5"
            )
            path = path_of(result)
            best.append(result["best_objective"])
            last.append(path[-1])
            fresh.append(result["tuned"]["mean"]["objective_loss"])
            print(
                f"{name}, seed {seed}: {path[0]:.4f} -> {best[-1]:.4f}, last {last[-1]:.4f},"
                f" retrained {fresh[-1]:.4f}",
                flush=True,
            )
    return (
        name,
        statistics.mean(best),
        f"training loss, mean of {HIPS_SEEDS} seeds; theirs {goal}; last"
        f" {statistics.mean(last):.4f}, retrained {statistics.mean(fresh):.4f}",
    )


def schedules():
    return hips("hips_schedule_loss", "0.139, last 0.141", "outer.lr=0.06")


def schedules_from_bo():
    """Their optimum of 100 runs of Bayesian optimisation: log rate .887, logit of the momentum
    .403, log scale -1.63; Adam's rate .04 is theirs too."""
    return hips(
        "hips_schedule_from_bo_loss",
        "0.110, last 0.156",
        "optimizer.lr=2.42784",
        "optimizer.momentum=0.59941",
        "hyper.2.start=0.19593",
        "outer.lr=0.04",
    )


def own_bo(name, steps):
    """Rate, momentum and scale by our own search, 100 trials as theirs, each the mean of five
    training runs: over one the search finds what suits that run. Then so many meta-steps on the
    schedules from the best trial. Of each seed: the first loss, the smallest, that of ten runs from
    new seeds with what was found at the end."""
    every = "per: tensor, phases: every-step"
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        data = hips_data(folder)
        for seed in range(1, HIPS_SEEDS + 1):
            result, _ = tune(
                "mnist-schedules",
                *data,
                f"store=sqlite:{folder}/{seed}.db",
                "parameters=[{name: optimizer.lr, low: 0.05, high: 20, log: true},"
                "{name: optimizer.momentum, low: 0.01, high: 0.99},"
                "{name: model.init_scale, low: 0.01, high: 1, log: true}]",
                f"hyper=[{{kind: lr, {every}, low: 1e-5, high: 100}}, {{kind: momentum, {every}}},"
                "{kind: init_scale, per: tensor, low: 1e-5, high: 10}]",
                "search.sampler=gp",
                "search.trials=100",
                "objective.seeds=5",
                "worker.jobs=1",
                "stages=[search, {run: refine, top: 1}, {run: retrain, seeds: 10}]",
                "outer.lr=0.04",
                f"outer.steps={steps}",
                f"seed={seed}",
            )
            search, refine, retrain = result["stages"]
            start = refine["starts"][0]
            fresh = retrain["candidates"][0]["mean"]["objective_loss"]
            rows.append((start["start"], start["objective"], fresh))
            print(
                f"{name}, seed {seed}: {search['top'][0]['params']}, {start['start']:.4f} ->"
                f" {start['objective']:.4f}, retrained {fresh:.4f}",
                flush=True,
            )
    return [statistics.mean(column) for column in zip(*rows)]


def schedules_from_own_bo():
    """By the same protocol as above: 50 meta-steps, the smallest loss."""
    first, best, fresh = own_bo("hips_own_bo_loss", 50)
    return (
        "hips_own_bo_loss",
        best,
        f"training loss, mean of {HIPS_SEEDS} seeds; start {first:.4f}, retrained {fresh:.4f};"
        " theirs 0.110 from their own search",
    )


def schedules_at_length():
    """Four times as many meta-steps, and no choice among noisy figures: what counts is the loss of
    new runs."""
    name = "hips_own_bo_retrained_loss"
    first, best, fresh = own_bo(name, 200)
    return (
        name,
        fresh,
        f"training loss of ten runs from new seeds after 200 meta-steps, mean of {HIPS_SEEDS}"
        f" seeds; start {first:.4f}, smallest {best:.4f}; theirs 0.110, the smallest of 50 runs",
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
    return ("joint_vs_random_points", *points(gains))


def points(gains):
    mean = statistics.mean(gains)
    half = T_95[len(gains)] * statistics.stdev(gains) / math.sqrt(len(gains))
    return mean, f"points of test error, 95 % interval [{mean - half:.2f}, {mean + half:.2f}]"


def one_folder(folder):
    """The pictures of both parts of the tar, a folder a class, to be split anew by each seed."""
    with tarfile.open(data_dir() / "cifar10-imagefolder.tar") as tar:
        for member in tar:
            if member.isfile():
                _, part, label, name = member.name.split("/")
                (folder / label).mkdir(exist_ok=True)
                (folder / label / f"{part}-{name}").write_bytes(tar.extractfile(member).read())


def cifar_seed(folder, seed):
    """Test errors: tuned, of random search, of the start. What retraining takes is no part of the
    time that random search gets; a retrained run is taken for a run of the search, which it is a
    little dearer than, so that random search gets rather more."""
    common = (f"data.dir={folder}", f"seed={seed}")
    only = (*common, "outer.steps=0")
    probe = [
        tune_timed("cifar-joint", *only, f"baselines.random={n}", "retrain.seeds=0")[2]
        for n in (1, 6)
    ]
    run = (probe[1] - probe[0]) / 5
    tuned, _, seconds = tune_timed("cifar-joint", *common)
    spent = seconds - tuned["retrain_runs"] * run
    runs = math.ceil(spent / run)
    found, _, took = tune_timed("cifar-joint", *only, f"baselines.random={runs}")
    errors = [
        100 * r["mean"]["test_error"]
        for r in (tuned["tuned"], found["random_search"], tuned["start"])
    ]
    audits = [m["audit"] for m in tuned["path"] if "audit" in m]
    ratios = [round(a["hypergradient"] / a["exact"], 2) for a in audits]
    took -= found["retrain_runs"] * run
    print(
        f"cifar, seed {seed}: {errors[0]:.2f} %, random search, {runs} runs: {errors[1]:.2f} %,"
        f" start: {errors[2]:.2f} %; processor seconds {spent:.0f} and {took:.0f}; growth"
        f" {tuned['largest_growth']:.3g}, audits {ratios}; validation loss of the best"
        f" {tuned['tuned']['mean']['objective_loss']:.3f},"
        f" {found['random_search']['mean']['objective_loss']:.3f}",
        flush=True,
    )
    return errors


def cifar():
    with tempfile.TemporaryDirectory() as folder:
        one_folder(pathlib.Path(folder))
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            errors = list(pool.map(lambda seed: cifar_seed(folder, seed), CIFAR_SEEDS))
    mean, text = points([theirs - ours for ours, theirs, _ in errors])
    start = statistics.mean(e[2] - e[0] for e in errors)
    return (
        "cifar_joint_vs_random_points",
        mean,
        f"{text}, {len(errors)} seeds; against the start {start:.2f}",
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
    """Every row ends with three runs from scratch. `before` spends 20 runs on one value for all;
    a row of 20 meta-steps spends about 60, the line with T/10 steps 25."""
    kinds = {
        "before": ("outer.steps=0", "baselines.random=20"),
        "line, T/10 + sign": ("trajectory.kind=line", "trajectory.coverage=tenth"),
        "line, full": ("trajectory.kind=line",),
        "grid": ("trajectory.kind=grid",),
        "replay": ("trajectory.kind=replay",),
        "full": ("trajectory.kind=full",),
    }
    print(
        f"{'trajectory':20} {'test error %':>12} {'objective':>10} {'s / step':>14}"
        f" {'MiB held':>9}"
    )
    errors = {}
    for name, settings in kinds.items():
        result, events = tune("mnist-paper", "outer.max_growth=1e300", *settings)
        before = name == "before"
        marks = seconds_of(events, "random" if before else "meta-step")
        held = max([e.get("trajectory_bytes", 0) for e in events if not before], default=0)
        mean = result["random_search" if before else "tuned"]["mean"]
        errors[name] = 100 * mean["test_error"]
        print(
            f"{name:20} {errors[name]:12.2f} {mean['objective_loss']:10.4f} "
            f"{marks[-1] / len(marks):14.2f} {held / 2**20:9.2f}",
            flush=True,
        )
    return (
        "paper_grid_test_error",
        errors["grid"],
        f"percent, grid, DrMAD's setting; line T/10 {errors['line, T/10 + sign']:.2f}, best of"
        f" 20 random tied settings {errors['before']:.2f}",
    )


PARTS = {
    "schedules": schedules,
    "schedules_from_bo": schedules_from_bo,
    "schedules_from_own_bo": schedules_from_own_bo,
    "schedules_at_length": schedules_at_length,
    "table": table,
    "clean": clean,
    "joint": joint,
    "cifar": cifar,
}


def main():
    wanted = sys.argv[1:] or list(PARTS)
    for part in wanted:
        name, value, text = PARTS[part]()
        print(f"{name} ratio {value:.4f} {text}", flush=True)


if __name__ == "__main__":
    main()
