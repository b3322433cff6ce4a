"""Does the pipeline pay? Search, then hypergradients, beside each alone, random search and Optuna.

Every method has the same seconds on the same core for its search: random search, the search alone
(BO), hypergradients alone from the study's defaults (AD), the pipeline (BO -> AD), and Optuna's TPE
with successive halving (ASHA) over the same tied space, its trials the same trainings by
`drmad train`. Then each method's three best (AD: result and start) are trained from scratch over
five new seeds; the winner is picked by validation loss and reported by its mean test error. All
methods of a seed share data, split and seeds.

  pipeline_vs_random_points, pipeline_vs_bo_points, pipeline_vs_ad_points,
  pipeline_vs_optuna_points     points of test error that the pipeline is better by, mean over seeds

bench_pipeline.py SPLIT [--seeds N] [--methods A,B]: SPLIT is small (1,000/1,000/8,000 images) or
large (15,000/5,000/10,000). A run is one JSON line in bench/results/pipeline/SPLIT.jsonl; those
that are there are not done again. Without SPLIT: the lines of what is there. Needs MNIST in
DRMAD_DATA or ../shared/data and, for Optuna, tools/optuna-env 4.9.0. Runs on core 1 and
holds /tmp/bench.lock, so that nothing else that is timed runs beside it."""

import argparse
import fcntl
import gzip
import json
import math
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
DRMAD = os.environ.get("DRMAD", str(ROOT / "build/release/drmad"))
KEPT = ROOT / "bench/results/pipeline"
OPTUNA = ROOT / ".venv-optuna-4.9.0/bin/python"
MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None  # no method waits for a disk
METHODS = ("random", "bo", "ad", "pipeline", "optuna")
FIRST_SEED = 101  # 1 served while developing
T_95 = {4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}

# seconds: of the search. pipeline: trials before refinement.
SPLITS = {
    "small": {"counts": (1000, 1000, 8000), "steps": 300, "seconds": 45},
    "large": {"counts": (15000, 5000, 10000), "steps": 1000, "seconds": 90},
}
PARAMETERS = [
    {"name": "optimizer.lr", "low": 1e-3, "high": 0.5, "log": True},
    {"name": "optimizer.momentum", "low": 0.1, "high": 0.98},
    {"name": "train.l2", "low": 1e-6, "high": 0.1, "log": True},
    {"name": "model.init_scale", "low": 0.1, "high": 3, "log": True},
    {"name": "model.hidden", "type": "int", "low": 20, "high": 100, "log": True},
    {"name": "train.batch", "choices": [25, 50, 100]},
]
HYPER = [
    {"kind": "lr", "per": "layer", "phases": 5},
    {"kind": "l2", "per": "unit-in"},
    {"kind": "init_scale", "per": "layer"},
]
STAGES = {
    "random": [{"run": "search", "share": 1}, {"run": "retrain", "share": 0, "top": 3}],
    "ad": [{"run": "refine", "share": 1, "steps": 10**6}, {"run": "retrain", "share": 0}],
    "pipeline": [
        {"run": "search", "share": 0.35},
        {"run": "refine", "share": 0.65, "top": 2, "steps": 10**6},
        {"run": "retrain", "share": 0},
    ],
}
STAGES["bo"] = STAGES["random"]


def data(folder, counts):
    """The images that a split needs, unpacked, so that no method pays for reading more."""
    source = pathlib.Path(os.environ.get("DRMAD_DATA", str(ROOT.parent / "shared/data"))) / "mnist"
    keys = {"kind": "idx", "dir": folder, "train": counts[0], "valid": counts[1]}
    for name, key in (("train", ""), ("t10k", "test_")):
        rows = sum(counts[:2]) if name == "train" else counts[2]
        for what, size in (("images-idx3", 784), ("labels-idx1", 1)):
            raw = gzip.decompress((source / f"{name}-{what}-ubyte.gz").read_bytes())
            head = 16 if size > 1 else 8
            path = pathlib.Path(folder) / f"{name}-{what}"
            path.write_bytes(raw[:4] + rows.to_bytes(4, "big") + raw[8 : head + rows * size])
            keys[key + ("images" if size > 1 else "labels")] = path.name
    return keys | {"test": counts[2]}


def study(split, seed, folder):
    s = SPLITS[split]
    return {
        "name": f"pipeline-{split}",
        "seed": seed,
        "threads": 1,
        "data": data(folder, s["counts"]),
        "model": {"layers": [784, 50, 50, 10], "init": "kaiming"},
        "train": {"steps": s["steps"], "batch": 50, "order": "replacement"},
        "outer": {"optimizer": "adam", "lr": 0.05, "fresh_seed": True},
        "retrain": {"seeds": 5},
    }


def run(command, folder):
    env = dict(os.environ, OMP_NUM_THREADS="1")
    began = time.monotonic()
    done = subprocess.run(
        ["taskset", "-c", "1", *command], cwd=folder, env=env, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stderr[-2000:]}")
    return time.monotonic() - began


def tune(split, seed, method, folder):
    config = study(split, seed, folder) | {
        "hyper": HYPER,
        "stages": STAGES[method],
        "budget": {"minutes": SPLITS[split]["seconds"] / 60},
        "worker": {"jobs": 1},
        "store": f"sqlite:{folder}/s.db",
    }
    if method != "ad":
        config["parameters"] = PARAMETERS
        config["search"] = {"sampler": "random" if method == "random" else "gp", "trials": 10**6}
    if method == "pipeline":
        config["search"]["pruner"] = {"kind": "median"}
    path = pathlib.Path(folder) / "study.yaml"
    path.write_text(json.dumps(config))  # JSON is YAML
    seconds = run([DRMAD, "tune", str(path), "-q", "-o", f"{folder}/run"], folder)
    return json.loads((pathlib.Path(folder) / "run/result.json").read_text()), seconds


def summary(result):
    stages = {s["stage"]: s for s in result["stages"]}
    trials = stages.get("search", {}).get("trials", {})
    return {
        "winner": result["winner"]["name"],
        "test_error": result["winner"]["mean"]["test_error"],
        "objective": result["winner"]["mean"]["objective_loss"],
        "seconds": {k: s["seconds"] for k, s in stages.items()},
        "runs": {k: s["runs"] for k, s in stages.items()},
        "trials": trials.get("COMPLETE", 0) + trials.get("PRUNED", 0),
        "meta_steps": [s["meta_steps"] for s in stages.get("refine", {}).get("starts", [])],
        "candidates": {
            c["name"]: [c["mean"]["objective_loss"], c["mean"]["test_error"]]
            for c in stages["retrain"]["candidates"]
        },
    }


def optuna_points(split, seed, folder):
    """Optuna's three best, each retrained by `drmad tune` as a pipeline of one enqueued trial."""
    path = pathlib.Path(folder) / "study.yaml"
    steps = SPLITS[split]["steps"]
    path.write_text(
        json.dumps(study(split, seed, folder) | {"objective": {"report_every": -(-steps // 9)}})
    )
    order = [str(OPTUNA), str(ROOT / "bench/pipeline_optuna.py"), DRMAD, str(path), folder]
    order += [str(SPLITS[split]["seconds"]), str(seed), json.dumps(PARAMETERS)]
    seconds = run(order, folder)
    return json.loads((pathlib.Path(folder) / "optuna.json").read_text()), seconds


def optuna(split, seed, folder):
    found, seconds = optuna_points(split, seed, folder)
    points = [json.dumps(p) for p in found["best"]]
    config = study(split, seed, folder) | {
        "parameters": PARAMETERS,
        "search": {"sampler": "random", "trials": len(points), "enqueue": points},
        "stages": STAGES["random"],
        "worker": {"jobs": 1},
        "store": f"sqlite:{folder}/s.db",
    }
    path = pathlib.Path(folder) / "retrain.yaml"
    path.write_text(json.dumps(config))
    run([DRMAD, "tune", str(path), "-q", "-o", f"{folder}/run"], folder)
    line = summary(json.loads((pathlib.Path(folder) / "run/result.json").read_text()))
    line["seconds"]["search"] = found["seconds"]
    line["runs"].pop("search")
    return line | {"trials": found["trials"]}, seconds


def one(split, seed, method):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        if method == "optuna":
            line, seconds = optuna(split, seed, folder)
        else:
            result, seconds = tune(split, seed, method, folder)
            line = summary(result)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    load = max(load, os.getloadavg()[0])
    head = {"split": split, "method": method, "seed": seed, "budget": SPLITS[split]["seconds"]}
    return head | line | {"wall": seconds, "cpu": cpu, "load": load}


def kept(split):
    path = KEPT / f"{split}.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return {(r["method"], r["seed"]): r for r in map(json.loads, lines)}


def interval(gains):
    if len(gains) - 1 not in T_95:
        return math.nan
    return T_95[len(gains) - 1] * statistics.stdev(gains) / math.sqrt(len(gains))


def report(split):
    """The table, and the pipeline's gain over each on the seeds that both have."""
    rows = kept(split)
    for method in METHODS:
        mine = [r for (m, _), r in rows.items() if m == method]
        if not mine:
            continue
        error = [100 * r["test_error"] for r in mine]
        loss = statistics.mean(r["objective"] for r in mine)
        trials, share = (statistics.mean(r[k] for r in mine) for k in ("trials", "wall"))
        cpu = statistics.mean(r["cpu"] for r in mine)
        print(
            f"{split:6} {method:9} test error {statistics.mean(error):6.2f} %, objective"
            f" {loss:.4f}, {trials:.0f} trials, wall {share:.0f} s, processor {cpu:.0f} s,"
            f" {len(mine)} seeds"
        )
    for method in [m for m in METHODS if m != "pipeline"]:
        seeds = [s for (m, s) in rows if m == method and ("pipeline", s) in rows]
        gains = [
            100 * (rows[method, s]["test_error"] - rows["pipeline", s]["test_error"]) for s in seeds
        ]
        if len(gains) < 2:
            continue
        mean, half = statistics.mean(gains), interval(gains)
        suffix = "" if split == "small" else f"_{split}"
        print(
            f"pipeline_vs_{method}_points{suffix} ratio {mean:.4f} points of test error, 95 %"
            f" interval [{mean - half:.2f}, {mean + half:.2f}], {len(gains)} seeds"
        )


def campaign(split, seeds, methods):
    KEPT.mkdir(parents=True, exist_ok=True)
    for seed in range(FIRST_SEED, FIRST_SEED + seeds):
        for method in methods:
            if (method, seed) in kept(split):
                continue
            with open("/tmp/bench.lock", "w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                line = one(split, seed, method)
            with open(KEPT / f"{split}.jsonl", "a") as f:
                f.write(json.dumps(line) + "\n")
            print(
                f"{split} {method} seed {seed}: {100 * line['test_error']:.2f} % by"
                f" {line['winner']}, {line['wall']:.0f} s",
                flush=True,
            )


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("split", nargs="?", choices=SPLITS)
    p.add_argument("--seeds", type=int, default=5)
    p.add_argument("--methods", default=",".join(METHODS))
    a = p.parse_args()
    if a.split:
        campaign(a.split, a.seeds, a.methods.split(","))
    for split in [a.split] if a.split else SPLITS:
        report(split)


if __name__ == "__main__":
    main()
