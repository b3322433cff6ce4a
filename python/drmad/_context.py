"""A context of the C library: its log, its threads, its last error, and the way back for exceptions
that are raised inside callbacks."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import logging
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

from . import _abi, _lib, errors

_LOGGER = logging.getLogger("drmad")
_LEVELS = (logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG)


def _to_logging(_user: int | None, level: int, line: bytes) -> None:
    _LOGGER.log(_LEVELS[min(max(level, 0), 3)], "%s", line.decode(errors="replace"))


_LOG_HOOK = _abi.drmad_log_fn(_to_logging)  # kept here: the library calls it as long as it lives


class Context:
    """One context, used by one thread at a time; `stop` and `checkpoint` from anywhere.

    `ctx.handle` is the drmad_ctx * for calls of `ctx.lib`. The library's log goes to the logger
    "drmad". `threads`: worker threads of the library, 1 to 256; 0 = one per usable core."""

    def __init__(self, threads: int = 0, lib: ctypes.CDLL | None = None) -> None:
        self.lib = lib or _lib.lib()
        self.handle: int | None = self.lib.drmad_ctx_new(_abi.drmad_alloc_fn(), None)
        self._raised: tuple[int, BaseException] | None = None
        if not self.handle:
            raise errors.OutOfMemoryError("a context")
        self.lib.drmad_ctx_set_log(self.handle, _LOG_HOOK, None)
        if threads:
            self.check(self.lib.drmad_ctx_set_threads(self.handle, threads))

    def close(self) -> None:
        """Frees the context; whatever hangs on it must be freed before."""
        handle, self.handle = self.handle, None
        if handle:
            self.lib.drmad_ctx_free(handle)

    def __enter__(self) -> Context:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "handle", None):
            self.close()

    @property
    def threads(self) -> int:
        """Worker threads of the library."""
        return int(self.lib.drmad_ctx_threads(self.handle))

    def check(self, status: int) -> None:
        """Returns when `status` is OK. Else raises the exception that a guarded callback left, with
        its own traceback, or the `drmad.Error` of `status` with the library's message."""
        raised, self._raised = self._raised, None
        if status == _abi.OK:
            return
        if raised and raised[0] == status:
            raise raised[1]
        message = self.lib.drmad_errmsg(self.handle).decode(errors="replace")
        raise errors.from_status(status, message)

    def guard(self, function: Callable[..., int | None]) -> Callable[..., int]:
        """`function` as the body of a callback that gives a drmad_status: None means OK, and an
        exception is kept for `check` and becomes a status, for C cannot carry it."""

        @functools.wraps(function)
        def guarded(*arguments: object) -> int:
            try:
                return function(*arguments) or _abi.OK
            except BaseException as e:  # everything: it is raised again in check()
                status = _status_of(e)
                self._raised = (status, e)
                return status

        return guarded

    def stop(self, signum: int = signal.SIGINT) -> None:
        """Asks the call under way to end after a clean checkpoint (`Interrupted`, `Terminated`)."""
        if self.handle:
            self.lib.drmad_ctx_stop(self.handle, signum)

    def checkpoint(self) -> None:
        """Asks a tuning run to write a checkpoint after the meta-step under way and to go on."""
        if self.handle:
            self.lib.drmad_ctx_checkpoint(self.handle)

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """While it lasts, the first Ctrl-C is `stop`, the second one what it was before. Signals
        reach Python between bytecodes, so inside callbacks. Not the main thread, or Ctrl-C is
        ignored: does nothing."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.getsignal(signal.SIGINT)
        if before is signal.SIG_IGN:  # a shell's background job
            yield
            return

        def first(_signum: int, _frame: FrameType | None) -> None:
            signal.signal(signal.SIGINT, before or signal.default_int_handler)
            self.stop(signal.SIGINT)

        signal.signal(signal.SIGINT, first)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before or signal.default_int_handler)


def _status_of(e: BaseException) -> int:
    """The status with which a callback that raised `e` ends the call."""
    if isinstance(e, errors.Error):
        return e.status
    if isinstance(e, KeyboardInterrupt):
        return _abi.E_INTERRUPTED
    return _abi.E_NOMEM if isinstance(e, MemoryError) else _abi.E_MODEL
