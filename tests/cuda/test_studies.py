"""Whole studies with `device: cuda` on the host driver (libdrmad_cuda_host.so in the place of
libdrmad_cuda.so) beside the same ones on the CPU; what the library for GPUs says of a machine that
has none; memory that ends. test_studies.py BUILD [PART]."""

import json
import os
import pathlib
import re
import resource
import sqlite3
import subprocess
import sys
import tarfile
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from named import need, run_named

BUILD = pathlib.Path(sys.argv[1]).resolve()
DRMAD = BUILD / "drmad"
HOST, REAL = BUILD / "libdrmad_cuda_host.so", BUILD / "libdrmad_cuda.so"
TINY = ROOT / "tests" / "cli" / "tiny.yaml"
F64, F32 = 1e-10, 1e-4  # sums in another order; over two meta-steps 4e-15 and 1e-6 were seen
LENET = (
    "model.net=[{kind: conv, out: 4, kernel: 5}, {kind: relu}, {kind: max_pool, kernel: 2}, "
    "{kind: flatten}, {kind: linear, out: 10}]"
)


def call(library, *words, limit=None, **host):
    """(exit status, stdout, stderr) of the command with that library for `device: cuda`; `host`:
    what tests/cuda/host_library.c looks for, `memory` as DRMAD_HOST_MEMORY."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("DRMAD_")}
    env |= {f"DRMAD_HOST_{k.upper()}": str(v) for k, v in host.items()}

    def limited():
        if limit:
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    p = subprocess.run(
        [DRMAD, *words], env={**env, "DRMAD_CUDA_LIBRARY": str(library)}, capture_output=True,
        text=True, preexec_fn=limited,
    )  # fmt: skip
    return p.returncode, p.stdout, p.stderr


def study(verb, device, *words):
    """The last event of a study: its result."""
    with tempfile.TemporaryDirectory() as folder:
        status, out, err = call(
            HOST, verb, str(TINY), f"device={device}", f"output.dir={folder}/run", "--json", *words
        )
        need(status == 0, f"{verb} {device}: exit status {status}: {err}")
        return json.loads(out.strip().splitlines()[-1])


def numbers(x):
    """All numbers in a result but times and memory, in order."""
    if isinstance(x, dict):
        skip = ("seconds", "bytes", "memory", "versions", "cost", "host", "date")
        return [n for k in sorted(x) if not any(s in k for s in skip) for n in numbers(x[k])]
    if isinstance(x, list):
        return [n for v in x for n in numbers(v)]
    return [float(x)] if isinstance(x, (int, float)) and not isinstance(x, bool) else []


def near(a, b, tol, what):
    need(len(a) == len(b) and len(a) > 5, f"{len(a)} and {len(b)} numbers")
    worst = max(abs(x - y) / max(1e-3, abs(x)) for x, y in zip(a, b))
    need(worst <= tol, f"{what}: differs by {worst:.3g} of a number, {tol} allowed")


def same(verb, tol, *words):
    a, b = (numbers(study(verb, device, *words)) for device in ("cpu", "cuda"))
    near(a, b, tol, f"{verb} {words}")
    return a


def one_symbol_leaves_each_library():
    for library in (REAL, HOST):
        out = subprocess.run(
            ["nm", "-D", "--defined-only", library], capture_output=True, text=True, check=True
        ).stdout.split()
        need(out[2::3] == ["drmad_cuda_driver"], f"{library.name}: {out[2::3]}")


def a_machine_without_a_gpu_is_told_what_it_lacks():
    status, out, err = call(REAL, "version", "--json")
    told = json.loads(out)["cuda"]
    if not told.startswith("none"):
        return  # it has one
    need("no NVIDIA driver" in told or "no GPU is visible" in told, told)
    status, _, err = call(REAL, "train", str(TINY), "device=cuda")
    need(status == 6 and "or take device: cpu" in err and err.count("\n") == 1, f"{status}: {err}")


def a_library_of_another_build_is_refused():
    status, _, err = call(BUILD / "libdrmad_cuda_other.so", "train", str(TINY), "device=cuda")
    need(status == 6 and "of another build than this drmad (interface " in err, err)


def the_host_driver_is_named():
    status, out, _ = call(HOST, "version")
    need(status == 0 and "cuda      host (" in out, out)
    status, _, err = call(HOST, "train", str(TINY), "device=cuda:3")
    need(status != 0 and "device 3" in err, err)


def training_and_tuning_are_the_cpus_in_double():
    same("train", F64, "dtype=f64")
    same("tune", F64, "dtype=f64", "trajectory.kind=full")


def tuning_is_the_cpus_in_single():
    same("tune", F32, "trajectory.kind=full", "outer.steps=2")


def replay_and_grid_run_too():
    same("tune", F64, "dtype=f64", "trajectory.kind=replay", "outer.steps=1")
    same("tune", F64, "trajectory.kind=grid", "outer.steps=1", "dtype=f64")


def a_convolutional_net_is_the_cpus():
    more = (LENET, "train.steps=4", "train.batch=4", "data.train=40", "outer.steps=1")
    same("tune", F64, "dtype=f64", "data.valid=20", "data.test=20", "optimizer.kind=adam", *more)


def activations_wait_in_bf16_as_on_the_cpu():
    """Of values on either side of a bf16's border each device may keep another neighbour."""
    net = LENET.replace("relu", "tanh")  # a mask is exact in bf16
    more = (net, "hyper=[]", "train.steps=12", "train.batch=20", "optimizer.lr=0.01")
    half = same("train", 1e-6, *more, "train.activations=bf16")
    need(half != numbers(study("train", "cpu", *more)), "bf16 changes nothing")


def pictures_from_a_feed_travel_ahead():
    """A batch of them is 276 KB, so it goes up beside the step before; and the same bits whatever
    is kept of the run."""
    data = pathlib.Path(os.environ.get("DRMAD_DATA", ROOT.parent / "shared" / "data"))
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(data / "cifar10-imagefolder.tar") as tar:
            few = [m for m in tar.getmembers() if re.search(r"/000[0-9]\.jpg$", m.name)]
            tar.extractall(folder, members=few, filter="data")
        words = (
            "data.kind=folder", f"data.dir={folder}/c10", "data.size=96", "data.train=60",
            "data.valid=40", "data.test=rest", "data.crop=random-resized", "data.scale=0.004",
            "train.batch=10", "train.steps=12", "dtype=f64", "outer.steps=1",
        )  # fmt: skip
        here, full, replay = (
            numbers(study("tune", device, *words, f"trajectory.kind={kind}"))
            for device, kind in (("cpu", "full"), ("cuda", "full"), ("cuda", "replay"))
        )
        near(here, full, F64, "pictures")
        need(full == replay, "full and replay differ")


def sensitivities_and_the_self_test_run():
    need(len(study("why", "cuda")["sensitivities"]) > 0, "no sensitivities")
    need(study("check", "cuda", "dtype=f64")["wrong"] == 0, "wrong slices")


def words_for_products_warn_and_round():
    words = ("trajectory.kind=full", "outer.steps=1", "model.layers=[auto, 220, auto]",
             "train.batch=100", "train.steps=3")  # fmt: skip
    exact, rounded = (
        numbers(study("tune", "cuda", *words, f"products={p}")) for p in ("f32", "tf32")
    )
    worst = max(abs(x - y) / max(1e-3, abs(x)) for x, y in zip(exact, rounded))
    need(len(exact) == len(rounded) and 0 < worst < 0.05, f"tf32 differs by {worst:.3g}")
    for word, said in (("f32", ""), ("tf32", "to 10 bits"), ("bf16", "to 7 bits")):
        with tempfile.TemporaryDirectory() as folder:
            status, _, err = call(HOST, "train", str(TINY), "device=cuda", f"products={word}",
                                  f"output.dir={folder}/run")  # fmt: skip
        warned = f"products: {word} rounds the operands of large products {said}" in err
        need(status == 0 and warned == bool(said), f"{word}: {status}: {err}")
    status, _, err = call(HOST, "train", str(TINY), "products=bf16")
    need(status == 2 and "are for device: cuda, but device is cpu" in err, f"{status}: {err}")


def a_result_names_the_gpu():
    need(study("train", "cuda")["versions"]["cuda"].startswith("host (sm_90"), "not named")
    need("cuda" not in study("train", "cpu")["versions"], "a GPU without one")


def f27_memory_that_ends_is_told():
    """The host driver's device memory is address space, so a cap on that is a cap on it."""
    words = ("train", str(TINY), "device=cuda", "model.layers=[auto, 40000, 4000, auto]")
    status, _, err = call(HOST, *words, limit=1 << 30)
    need(status == 6 and "memory" in err, f"exit status {status}: {err}")


SLOW = ("trajectory.kind=full", "outer.steps=6", "outer.trust=false", "train.steps=30",
        "output.checkpoint_minutes=0")  # fmt: skip


def tune_into(folder, device, *words):
    """Exit status and what was said of a study of six meta-steps in `folder`."""
    more = ("--resume",) if "--resume" in words else ()
    words = tuple(w for w in words if w != "--resume")
    status, _, err = call(
        HOST, "tune", str(TINY), f"device={device}", f"output.dir={folder}", "-q",
        *SLOW, *words, *more,
    )  # fmt: skip
    return status, err


def a_run_that_was_cut_goes_on_to_the_same_bits():
    with tempfile.TemporaryDirectory() as root:
        whole, cut = pathlib.Path(root, "whole"), pathlib.Path(root, "cut")
        need(tune_into(whole, "cuda")[0] == 0, "the whole run")
        env = {**os.environ, "DRMAD_CUDA_LIBRARY": str(HOST)}
        words = ("device=cuda", f"output.dir={cut}", *SLOW)
        p = subprocess.Popen(
            [DRMAD, "tune", str(TINY), *words, "--json"],
            env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        while "meta-step" not in (line := p.stdout.readline()) and line:
            pass
        p.terminate()
        p.communicate()
        need((cut / "checkpoint.safetensors").exists(), "it was over before it was cut")
        status, err = tune_into(cut, "cpu", "--resume")
        need(status == 2 and "another device" in err, f"on the CPU: {status}: {err}")
        status, err = tune_into(cut, "cuda", "--resume")
        need(status == 0, f"exit status {status}: {err}")
        for name in ("weights.safetensors", "hyperparameters.safetensors"):
            need((whole / name).read_bytes() == (cut / name).read_bytes(), f"other {name}")


SEARCH = ("hyper=[]", "search={trials: 4, sampler: random}",
          "parameters=[{name: optimizer.lr, low: 0.01, high: 1, log: true}]")  # fmt: skip
WIDE = "model.layers=[auto, 100, auto]"


def search(*words, **host):
    """A search of training runs: exit status, what was said, and of each trial state, value and
    why it failed."""
    with tempfile.TemporaryDirectory() as folder:
        status, _, err = call(
            HOST, "tune", str(TINY), f"output.dir={folder}/run", f"store=sqlite:{folder}/s.db",
            "device=cuda", *SEARCH, *words, **host,
        )  # fmt: skip
        need((pathlib.Path(folder) / "s.db").exists(), err)
        rows = sqlite3.connect(f"{folder}/s.db").execute(
            "select number, state, value, value_json from trials"
            " left join trial_values using (trial_id) left join trial_user_attributes a"
            " on a.trial_id = trials.trial_id and a.key = 'fail_reason' order by number"
        )
        return status, err, list(rows)


def searched(*words, **host):
    status, err, rows = search(*words, **host)
    need(status == 0, f"{words} {host}: exit status {status}: {err}")
    return err, rows


def least_memory(*words):
    """Bytes that a training run needs on the GPU, to a sixteenth."""
    low, high = 0, 1 << 24
    while high - low > high // 16:
        middle = (low + high) // 2
        with tempfile.TemporaryDirectory() as folder:
            status, _, err = call(
                HOST, "train", str(TINY), "device=cuda", "hyper=[]", "train.steps=2",
                f"output.dir={folder}/run", *words, memory=middle,
            )  # fmt: skip
        need(status in (0, 6), err)  # alone and too little: 6
        low, high = (low, middle) if status == 0 else (middle, high)
    return high


def trials_side_by_side_are_those_one_after_another():
    rows = [searched(f"worker.jobs={n}")[1] for n in (1, 3)]
    need(rows[0] == rows[1] and len(rows[0]) == 4, f"{rows}")


def as_many_run_at_once_as_the_gpu_has_memory_for():
    def jobs(device, **host):
        words = ("threads=1", "-v", "search.trials=1", f"device={device}")
        return int(re.search(r"(\d+) trials side by side", searched(*words, **host)[0])[1])

    need(jobs("cuda") == jobs("cpu"), "with memory for all: not one a core")
    need(jobs("cuda", memory=int(1.3 * least_memory())) == 1, "with memory for one")


def f27_a_trial_that_is_short_of_memory_beside_others_runs_again():
    """A third and a half are too little, all of it is enough."""
    want = searched("worker.jobs=1")[1]
    err, rows = searched("worker.jobs=3", memory=int(1.3 * least_memory()))
    need(rows == want, f"{rows}, expected {want}: {err}")
    need("of each of 3 trials side by side are in use: set worker.jobs lower" in err, err)
    need("from here on 2 side by side on the GPU instead of 3" in err, err)
    need("from here on 1 side by side on the GPU instead of 2" in err, err)


def f27_a_trial_that_is_short_of_memory_alone_fails_and_the_study_goes_on():
    memory = (least_memory(WIDE) + least_memory(WIDE, "train.batch=200")) // 2
    err, rows = searched(
        "parameters=[{name: train.batch, choices: [10, 200]}]", WIDE, "worker.jobs=2",
        "search={trials: 2, sampler: random, enqueue: [train.batch=200, train.batch=10,"
        " train.batch=10]}", memory=int(1.1 * memory),
    )  # fmt: skip
    need(rows[0][1] == "FAIL" and "more are wanted" in rows[0][3], f"{rows}: {err}")
    need([r[1] for r in rows[1:]] == ["COMPLETE"] * 2, f"{rows}")


def f27_a_gpu_that_is_lost_ends_the_worker_and_no_trial():
    status, err, rows = search("worker.jobs=3", lost=8)
    need(status == 6 and "lost" in err, f"exit status {status}: {err}")
    need(rows and not any(r[1] in ("FAIL", "RUNNING") for r in rows), f"{rows}")


def auto_keeps_of_a_run_what_the_gpu_has_memory_for():
    """And what is tuned is the same: full and replay are exact."""
    kinds, tuned, memory = [], [], 1 << 24
    while "grid" not in kinds and memory > 1 << 20:
        with tempfile.TemporaryDirectory() as folder:
            words = ("tune", str(TINY), f"output.dir={folder}/run", "--json", "device=cuda",
                     "outer.steps=1", "model.layers=[auto, 20, auto]")  # fmt: skip
            out = call(HOST, *words, "--dry-run", memory=memory)[1]
            kind = json.loads(out.strip().splitlines()[-1])["trajectory"]
            if kind not in kinds and kind != "grid":
                status, out, err = call(HOST, *words, memory=memory)
                need(status == 0, f"{kind} in {memory} bytes: {err}")
                tuned.append(numbers(json.loads(out.strip().splitlines()[-1])))
            kinds += [kind] if kind not in kinds else []
        memory = memory * 7 // 8
    need(kinds == ["full", "replay", "grid"], f"{kinds}")
    need(tuned[0] == tuned[1], "full and replay differ")


TESTS = [(f.__name__, f) for f in (
    one_symbol_leaves_each_library, a_machine_without_a_gpu_is_told_what_it_lacks,
    a_library_of_another_build_is_refused, the_host_driver_is_named,
    training_and_tuning_are_the_cpus_in_double, tuning_is_the_cpus_in_single,
    replay_and_grid_run_too, a_convolutional_net_is_the_cpus,
    activations_wait_in_bf16_as_on_the_cpu, pictures_from_a_feed_travel_ahead,
    sensitivities_and_the_self_test_run, words_for_products_warn_and_round,
    a_result_names_the_gpu,
    a_run_that_was_cut_goes_on_to_the_same_bits,
    f27_memory_that_ends_is_told, trials_side_by_side_are_those_one_after_another,
    as_many_run_at_once_as_the_gpu_has_memory_for,
    f27_a_trial_that_is_short_of_memory_beside_others_runs_again,
    f27_a_trial_that_is_short_of_memory_alone_fails_and_the_study_goes_on,
    f27_a_gpu_that_is_lost_ends_the_worker_and_no_trial,
    auto_keeps_of_a_run_what_the_gpu_has_memory_for,
)]  # fmt: skip

if __name__ == "__main__":
    run_named(TESTS, sys.argv[2:])
