"""Samplers of ours, each as it comes, through libbo_tuner.so."""

import ctypes
import os
import subprocess

from problems import CHOICE, INT, ROOT


def git(*command):
    return subprocess.run(
        ["git", *command], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()


# What a suggestion follows from. The version is the last commit that changed any of it, but for
# those that no suggestion can tell.
SOURCES = ("src/bo", "src/linalg", "src/space/search*")
# LAPACK's place, its lock; turns with derivatives; a look-up
ALIKE = {"21946c5", "2f34f05", "3cfb097", "2bbba1d"}
VERSION = "drmad " + next(
    c for c in git("log", "-9", "--format=%h", "--", *SOURCES).split() if c not in ALIKE
)
if git("status", "--porcelain", "--", *SOURCES):
    VERSION += "-dirty"

LIBRARY = ROOT / os.environ.get("DRMAD_BUILD", "build/release") / "libbo_tuner.so"
newest = max((ROOT / p).stat().st_mtime for p in git("ls-files", "--", *SOURCES).split())
if newest > LIBRARY.stat().st_mtime:
    raise RuntimeError(f"{LIBRARY} is older than its sources: ninja -C {LIBRARY.parent} bo_tuner")
_LIB = ctypes.CDLL(str(LIBRARY))
_LIB.tuner_open.restype = ctypes.c_void_p
_LIB.tuner_open.argtypes = [ctypes.c_char_p, ctypes.c_uint64, ctypes.c_char_p]
_LIB.tuner_close.argtypes = [ctypes.c_void_p]
_LIB.tuner_error.restype = ctypes.c_char_p
_LIB.tuner_error.argtypes = [ctypes.c_void_p]
_LIB.tuner_ask.argtypes = [ctypes.c_void_p, ctypes.POINTER(ctypes.c_double)]
_LIB.tuner_tell.argtypes = [ctypes.c_void_p, ctypes.c_double]


def declare(p, params):
    if p.type == CHOICE:
        choices = ", ".join(f"choice{i}" for i in range(p.choices))
        text = f"name: {p.name}, choices: [{choices}]"
    elif p.type == INT:
        text = f"name: {p.name}, type: int, low: {int(p.low)}, high: {int(p.high)}"
    else:
        text = f"name: {p.name}, low: {p.low!r}, high: {p.high!r}"
    text += ", log: true" if p.log else ""
    if p.parent >= 0:
        text += f", when: {params[p.parent].name} == choice{p.parent_choice}"
    return f"  - {{{text}}}\n"


def solve(name, problem, seed, budget, objective):
    study = "parameters:\n" + "".join(declare(p, problem.params) for p in problem.params)
    tuner = _LIB.tuner_open(name.encode(), seed, study.encode())
    x = (ctypes.c_double * len(problem.params))()
    try:
        error = _LIB.tuner_error(tuner)
        for _ in range(budget):
            if error or not _LIB.tuner_ask(tuner, x):
                raise RuntimeError((error or _LIB.tuner_error(tuner)).decode())
            _LIB.tuner_tell(tuner, objective(list(x)))
    finally:
        _LIB.tuner_close(tuner)
