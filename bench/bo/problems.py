"""The problems of bench/bo, from the library that CMake builds of problems.c."""

from __future__ import annotations

import ctypes
import dataclasses
import math
import os
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIBRARY = ROOT / os.environ.get("DRMAD_BUILD", "build/release") / "libbo_problems.so"
FLOAT, INT, CHOICE = range(3)


class _Param(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("type", ctypes.c_int32),
        ("log", ctypes.c_int32),
        ("low", ctypes.c_double),
        ("high", ctypes.c_double),
        ("choices", ctypes.c_int32),
        ("parent", ctypes.c_int32),
        ("parent_choice", ctypes.c_int32),
    ]


@dataclasses.dataclass(frozen=True)
class Param:
    """problem_param of problems.h."""

    name: str
    type: int
    log: bool
    low: float
    high: float
    choices: int
    parent: int
    parent_choice: int


def _load() -> ctypes.CDLL:
    lib = ctypes.CDLL(str(LIBRARY))
    handle, point = ctypes.c_void_p, ctypes.POINTER(ctypes.c_double)
    lib.problem_name.restype = ctypes.c_char_p
    lib.problem_open.restype = handle
    lib.problem_open.argtypes = [ctypes.c_char_p, ctypes.c_int32]
    lib.problem_close.argtypes = [handle]
    lib.problem_params.argtypes = [handle, ctypes.POINTER(ctypes.POINTER(_Param))]
    lib.problem_params.restype = ctypes.c_int32
    lib.problem_value.argtypes = [handle, point]
    lib.problem_value.restype = ctypes.c_double
    lib.problem_observe.argtypes = [handle, point, ctypes.c_uint64, ctypes.c_int64]
    lib.problem_observe.restype = ctypes.c_double
    for name in ("problem_noise", "problem_least"):
        getattr(lib, name).argtypes = [handle]
        getattr(lib, name).restype = ctypes.c_double
    lib.problem_solution.argtypes = [handle, point]
    lib.problem_solution.restype = None
    return lib


_LIB = _load()


def names() -> list[str]:
    found = []
    while (name := _LIB.problem_name(len(found))) is not None:
        found.append(name.decode())
    return found


class Problem:
    """One instance of one problem. Points are lists of floats as problems.h has them."""

    def __init__(self, name: str, instance: int = 0) -> None:
        self._handle = _LIB.problem_open(name.encode(), instance)
        if not self._handle:
            raise ValueError(f"no problem {name} ({instance})")
        table = ctypes.POINTER(_Param)()
        n = _LIB.problem_params(self._handle, ctypes.byref(table))
        self.name, self.instance = name, instance
        self.params = [_param(table[i]) for i in range(n)]
        self.least: float = _LIB.problem_least(self._handle)
        self.noise: float = _LIB.problem_noise(self._handle)

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            _LIB.problem_close(self._handle)

    def value(self, x) -> float:
        return _LIB.problem_value(self._handle, (ctypes.c_double * len(self.params))(*x))

    def observe(self, x, seed: int, number: int) -> float:
        point = (ctypes.c_double * len(self.params))(*x)
        return _LIB.problem_observe(self._handle, point, seed, number)

    def solution(self) -> list[float]:
        point = (ctypes.c_double * len(self.params))()
        _LIB.problem_solution(self._handle, point)
        return list(point)

    def active(self, i: int, x) -> bool:
        """Whether x's conditions let parameter i be there."""
        p = self.params[i]
        return p.parent < 0 or (self.active(p.parent, x) and int(x[p.parent]) == p.parent_choice)


def _param(p: _Param) -> Param:
    return Param(
        p.name.decode(), p.type, bool(p.log), p.low, p.high, p.choices, p.parent, p.parent_choice
    )


def from_cube(p: Param, u: float) -> float:
    """The value of parameter p at u in [0, 1]: equal parts of the cube for ints and choices, equal
    ratios with log."""
    if p.type == CHOICE:
        return min(int(u * p.choices), p.choices - 1)
    low, high = (p.low - 0.5, p.high + 0.5) if p.type == INT else (p.low, p.high)
    v = low * (high / low) ** u if p.log else low + u * (high - low)
    return min(max(round(v), p.low), p.high) if p.type == INT else min(max(v, p.low), p.high)


def to_cube(p: Param, v: float) -> float:
    """The middle of what from_cube maps to v."""
    if p.type == CHOICE:
        return (v + 0.5) / p.choices
    low, high = (p.low - 0.5, p.high + 0.5) if p.type == INT else (p.low, p.high)
    return math.log(v / low) / math.log(high / low) if p.log else (v - low) / (high - low)
