"""Whole studies with `device: cuda` on the host driver (libdrmad_cuda_host.so in the place of
libdrmad_cuda.so) beside the same ones on the CPU; what the library for GPUs says of a machine that
has none; memory that ends. test_studies.py BUILD [PART]."""

import json
import os
import pathlib
import resource
import subprocess
import sys
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


def call(library, *words, limit=None):
    """(exit status, stdout, stderr) of the command with that library for `device: cuda`."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("DRMAD_")}

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


def same(verb, tol, *words):
    a, b = (numbers(study(verb, device, *words)) for device in ("cpu", "cuda"))
    need(len(a) == len(b) and len(a) > 5, f"{len(a)} and {len(b)} numbers")
    worst = max(abs(x - y) / max(1e-3, abs(x)) for x, y in zip(a, b))
    need(worst <= tol, f"{verb} {words}: differs by {worst:.3g} of a number, {tol} allowed")


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


TESTS = [(f.__name__, f) for f in (
    one_symbol_leaves_each_library, a_machine_without_a_gpu_is_told_what_it_lacks,
    a_library_of_another_build_is_refused, the_host_driver_is_named,
    training_and_tuning_are_the_cpus_in_double, tuning_is_the_cpus_in_single,
    replay_and_grid_run_too, a_convolutional_net_is_the_cpus,
    sensitivities_and_the_self_test_run, words_for_products_warn_and_round,
    a_result_names_the_gpu,
    a_run_that_was_cut_goes_on_to_the_same_bits,
    f27_memory_that_ends_is_told,
)]  # fmt: skip

if __name__ == "__main__":
    run_named(TESTS, sys.argv[2:])
