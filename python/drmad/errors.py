"""What can go wrong: one exception a status of the C library, all of them `drmad.Error`.

tests/python/test_lib.py holds the list against include/drmad/status.def."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import _abi

if TYPE_CHECKING:
    from ._context import Context


class Error(Exception):
    """A call of drmad that failed. `status` is the C library's number (a drmad_status),
    `exit_status` what a command should end with."""

    status: int = _abi.E_INTERNAL

    @property
    def exit_status(self) -> int:
        return _abi.STATUSES[self.status][1]


class InternalError(Error):
    """A mistake of drmad's own."""


class UsageError(Error, ValueError):
    """A call that makes no sense: a wrong argument, a call out of order or from a callback."""

    status = _abi.E_USAGE


class ConfigError(Error, ValueError):
    """A bad study file or setting; the message names the key and what may stand there."""

    status = _abi.E_CONFIG


class OutputError(Error):
    """The output folder cannot be used."""

    status = _abi.E_OUTPUT


class DataError(Error, ValueError):
    """Bad data."""

    status = _abi.E_DATA


class ModelError(Error):
    """A bad model, or one that cannot be differentiated twice."""

    status = _abi.E_MODEL


class StorageError(Error):
    """Stored results cannot be read or written."""

    status = _abi.E_STORAGE


class DivergedError(Error, ArithmeticError):
    """No run came out finite."""

    status = _abi.E_DIVERGED


class OutOfMemoryError(Error, MemoryError):
    """Out of memory."""

    status = _abi.E_NOMEM


class InputOutputError(Error):
    """Input or output failed."""

    status = _abi.E_IO


class MissingError(Error):
    """Something that the job needs is not installed."""

    status = _abi.E_MISSING


class UnsafeError(Error):
    """Refused as unsafe."""

    status = _abi.E_UNSAFE


class TryAgainError(Error):
    """Something outside is not there now."""

    status = _abi.E_AGAIN


class LeaseError(Error):
    """The trial is no longer ours: its lease ran out, or somebody else ended or deleted it."""

    status = _abi.E_LEASE


class Interrupted(Error, KeyboardInterrupt):
    """Ended by Ctrl-C or `Context.stop`, after a clean checkpoint."""

    status = _abi.E_INTERRUPTED


class Terminated(Error):
    """Ended by SIGTERM, after a clean checkpoint."""

    status = _abi.E_TERMINATED


_BY_STATUS: dict[int, type[Error]] = {c.status: c for c in Error.__subclasses__()}


def from_status(status: int, message: str = "") -> Error:
    """The exception of `status` (not OK); without a message, the status's own text."""
    if not 0 < status < len(_abi.STATUSES):
        return InternalError(message or f"status {status}, which this package does not know")
    return _BY_STATUS[status](message or _abi.STATUSES[status][2])


def check(ctx: Context, status: int) -> None:
    """Returns when `status` is OK, else raises what `ctx` says went wrong: `Context.check`."""
    if status != _abi.OK:
        ctx.check(status)
