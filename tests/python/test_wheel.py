"""The wheel that tools/build-wheel left in build/dist: its name, what lies in it, and that it works
in an environment with nothing else, and beside torch in either order of import."""

import functools
import os
import pathlib
import re
import shutil
import subprocess
import sys
import zipfile

from house import ROOT, main

from drmad._abi import VERSION

BARE = ROOT / "build" / "bare-venv"


def wheel() -> pathlib.Path:
    found = list((ROOT / "build" / "dist").glob("*.whl"))
    assert len(found) == 1, f"{found}: run tools/build-wheel"
    return found[0]


@functools.cache
def installed() -> pathlib.Path:
    """site-packages of a new environment that holds the wheel alone."""
    site = BARE / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
    shutil.rmtree(BARE, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", BARE], check=True)
    pip = [sys.executable, "-m", "pip", "--python", BARE / "bin" / "python", "install", "-q"]
    subprocess.run([*pip, "--no-index", wheel()], check=True)
    return site


def run(python, code, **environment) -> str:
    """What `code` prints, run with no compiler in reach and not from the checkout."""
    env = {"PATH": "/nowhere", "HOME": "/nowhere", **environment}
    p = subprocess.run([python, "-c", code], cwd="/", env=env, capture_output=True, text=True)
    assert p.returncode == 0, p.stdout + p.stderr
    return p.stdout.strip()


def the_tag_is_manylinux_2_28():
    assert wheel().name == f"drmad-{VERSION}-py3-none-manylinux_2_28_x86_64.whl", wheel().name


def libraries_lie_inside_and_none_that_is_not_needed():
    names = zipfile.ZipFile(wheel()).namelist()
    libs = sorted(re.sub(r"-[0-9a-f]{8}", "", pathlib.Path(n).name.split(".so")[0])
                  for n in names if ".so" in n)  # fmt: skip
    want = ["libdrmad", "libdrmad_jpeg", "libdrmad_nlopt", "libjansson", "libscipy_openblas"]
    want.append("libyaml-0")
    assert libs == want, libs
    assert wheel().stat().st_size < 12 << 20, f"{wheel().stat().st_size} bytes"


def python_files_are_those_of_the_checkout():
    z = zipfile.ZipFile(wheel())
    there = {n for n in z.namelist() if n.startswith("drmad/") and n.endswith(".py")}
    here = {f"drmad/{p.relative_to(ROOT / 'python/drmad')}"
            for p in (ROOT / "python/drmad").rglob("*.py")}  # fmt: skip
    assert there == here, there ^ here
    for name in there:
        assert z.read(name) == (ROOT / "python" / name).read_bytes(), f"{name} differs"


def it_works_in_a_bare_environment():
    site = installed()
    code = (
        "import drmad, drmad._lib, drmad._context as c\n"
        "x = c.Context(threads=2)\n"
        "print(x.threads, drmad._lib.find(), x.lib.drmad_version().decode())"
    )
    want = f"2 {site}/drmad/_native/libdrmad.so {VERSION}"
    assert run(BARE / "bin" / "python", code) == want


def algebra_and_minimiser_come_along():
    """src/linalg finds both beside libdrmad; here they are asked for something themselves."""
    native = installed() / "drmad" / "_native"
    code = (
        "import ctypes as c\n"
        f"blas = c.CDLL('{native}/libscipy_openblas.so')\n"
        "a, n, info = (c.c_double * 4)(4, 0, 2, 5), c.c_int(2), c.c_int()\n"
        "blas.scipy_dpotrf_(b'U', c.byref(n), a, c.byref(n), c.byref(info), c.c_size_t(1))\n"
        f"nlopt = c.CDLL('{native}/libdrmad_nlopt.so')\n"
        "print(info.value, list(a), nlopt.nlopt_algorithm_from_string(b'LD_LBFGS') >= 0)"
    )
    assert run(BARE / "bin" / "python", code) == "0 [2.0, 0.0, 1.0, 2.0] True"
    assert "Redistribution" in (native / "LICENSE-OpenBLAS").read_text()
    assert "Lesser" in (native / "LICENSE-NLopt").read_text()


STUDY = """
import math
def branin(t):
    x, y = t.suggest_float("x", -5, 10), t.suggest_float("y", 0, 15)
    a = y - 5.1 / (4 * math.pi**2) * x * x + 5 / math.pi * x - 6
    return a * a + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10
study.optimize(branin, n_trials=40)
print(len(study.trials), study.best_value < 0.41)
"""


def a_search_with_the_gaussian_process_runs_in_it():
    installed()
    head = "import drmad\nstudy = drmad.create_study(sampler=drmad.samplers.GPSampler(seed=1))\n"
    got = run(BARE / "bin" / "python", head + STUDY, TMPDIR=str(ROOT / "build"))
    assert got == "40 True", got


def a_study_of_optuna_takes_its_sampler():
    version = "5.0.0"
    subprocess.run([ROOT / "tools" / "optuna-env", version], check=True)
    head = (
        "import drmad, drmad._lib, optuna\n"
        "optuna.logging.set_verbosity(optuna.logging.CRITICAL)\n"
        "study = optuna.create_study(sampler=drmad.optuna.GPSampler(seed=1))\n"
    )
    python = ROOT / f".venv-optuna-{version}" / "bin" / "python"
    tail = "print(drmad._lib.find())\n"
    got = run(python, head + STUDY + tail, PYTHONPATH=str(installed()))
    assert got.split("\n") == ["40 True", f"{installed()}/drmad/_native/libdrmad.so"], got


def the_command_comes_along():
    installed()
    command = [BARE / "bin" / "drmad"]
    p = subprocess.run([*command, "version"], capture_output=True, text=True, env={})
    assert p.returncode == 0 and p.stdout.split()[:2] == ["drmad", VERSION], p.stdout + p.stderr
    command += ["data", "get", "mnist", "/nowhere"]
    p = subprocess.run(command, capture_output=True, text=True)
    assert p.returncode == 6 and "does not download" in p.stderr, p.stderr


def a_gpu_library_from_the_same_sources_serves_it():
    """The wheel brings none (docs/CUDA.md); here it is the one without a GPU."""
    library = ROOT / "build" / "release" / "libdrmad_cuda_host.so"
    assert library.exists(), "build cuda_tests"
    installed()
    env = {"DRMAD_CUDA_LIBRARY": str(library), "PATH": "/nowhere"}
    out = ROOT / "build" / "wheel-cuda"
    words = ["train", ROOT / "tests" / "cli" / "tiny.yaml", "device=cuda", f"output.dir={out}"]
    p = subprocess.run(
        [BARE / "bin" / "drmad", *words, "--json"], capture_output=True, text=True, env=env
    )
    assert p.returncode == 0 and '"cuda":"host (sm_90' in p.stdout, p.stdout + p.stderr


def a_study_runs_in_it():
    """The whole way through C. Bits are those of the library as built here: the old exp, log and
    pow make no difference."""
    installed()
    study = ROOT / "tests" / "cli" / "tiny.yaml"
    results = []
    for command in (BARE / "bin" / "drmad", ROOT / "build" / "release" / "drmad"):
        folder = ROOT / "build" / "bare-run"
        shutil.rmtree(folder, ignore_errors=True)
        command = [command, "tune", study, "-o", folder, "-q"]
        p = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert p.returncode == 0, p.stdout + p.stderr
        results.append([p.read_bytes() for p in sorted(folder.glob("*.safetensors"))])
        assert len(results[-1]) == 2
    assert results[0] == results[1], "the wheel's numbers are not the library's"


def torch_before_and_after_with_one_openmp():
    site = installed()
    code = (
        "IMPORT\n"
        "c = drmad._context.Context()\n"
        "t = torch.ones(64, 64) @ torch.ones(64, 64)\n"
        "paths = {line.split()[-1] for line in open('/proc/self/maps') if '/' in line}\n"
        "print('\\n'.join(sorted(paths)))"
    )
    for order in ("import torch, drmad._context", "import drmad._context, torch",
                  "import drmad._context; drmad._context.Context(); import torch"):  # fmt: skip
        env = {"PYTHONPATH": str(site)}
        paths = run(sys.executable, code.replace("IMPORT", order), **env).splitlines()
        omp = [p for p in paths if re.search(r"/lib(gomp|omp|iomp5)[-.]", p)]
        assert len(omp) == 1 and "/torch/" in omp[0].replace("torch.libs", "torch"), omp
        assert f"{site}/drmad/_native/libdrmad.so" in paths
        yaml = [p for p in paths if "libyaml" in p]
        assert len(yaml) == 1 and yaml[0].startswith(f"{site}/drmad.libs/"), yaml


if __name__ == "__main__":
    os.chdir(ROOT)
    main(
        {
            f.__name__: f
            for f in (
                the_tag_is_manylinux_2_28,
                libraries_lie_inside_and_none_that_is_not_needed,
                python_files_are_those_of_the_checkout,
                it_works_in_a_bare_environment,
                algebra_and_minimiser_come_along,
                a_search_with_the_gaussian_process_runs_in_it,
                a_study_of_optuna_takes_its_sampler,
                the_command_comes_along,
                a_gpu_library_from_the_same_sources_serves_it,
                a_study_runs_in_it,
                torch_before_and_after_with_one_openmp,
            )
        }
    )
