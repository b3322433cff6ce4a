"""Finds and loads libdrmad: the wheel's own, else $DRMAD_LIBRARY, else that of the checkout around
this folder (build/release). Nothing is loaded before `lib()` is called, and torch never."""

from __future__ import annotations

import ctypes
import functools
import os
import pathlib

from . import _abi, errors

_HERE = pathlib.Path(__file__).resolve().parent


def find() -> pathlib.Path:
    """The library's path. MissingError says where it was looked for and what to do."""
    inside = _HERE / "_native" / "libdrmad.so"
    if inside.exists():
        return inside
    named = os.environ.get("DRMAD_LIBRARY")
    if named:
        if not pathlib.Path(named).exists():
            raise errors.MissingError(f"DRMAD_LIBRARY={named}: there is no such file")
        return pathlib.Path(named)
    root = _HERE.parents[1]
    built = root / "build" / "release" / "libdrmad.so"
    if built.exists():
        return built
    if (root / "CMakeLists.txt").exists():
        raise errors.MissingError(f"{built} is missing: run `make release` in {root}")
    raise errors.MissingError(
        f"{inside} is missing: install the wheel (tools/build-wheel), or set DRMAD_LIBRARY to the "
        "path of a libdrmad.so"
    )


def load(path: pathlib.Path, missing: list[str] | None = None) -> ctypes.CDLL:
    """Loads and declares the library at `path`. MissingError: it cannot be loaded, is of another
    version, or lacks a function (unless `missing` takes the names)."""
    try:
        found = ctypes.CDLL(str(path))
        found.drmad_version.restype = ctypes.c_char_p
        version = found.drmad_version().decode()
    except (OSError, AttributeError) as e:
        raise errors.MissingError(f"{path} cannot be used as libdrmad: {e}") from e
    if version != _abi.VERSION:
        raise errors.MissingError(
            f"{path} is drmad {version}, this Python package is {_abi.VERSION}: install the wheel "
            "of one version, or unset DRMAD_LIBRARY, or run `make release`"
        )
    try:
        return _abi.declare(found, missing)
    except AttributeError as e:
        raise errors.MissingError(f"{path} is older than this package ({e}): rebuild it") from e


@functools.cache
def lib() -> ctypes.CDLL:
    """The library, loaded once."""
    return load(find())
