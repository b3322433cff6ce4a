"""Finding the library, and what a context does between C and Python."""

import ctypes
import logging
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import traceback

from house import ROOT, main, raises

from drmad import _abi, _lib, errors
from drmad._context import Context


def python(code: str, **environment: str) -> subprocess.CompletedProcess:
    env = dict(os.environ, PYTHONPATH=str(ROOT / "python"), **environment)
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)


def a_library_that_is_not_there_is_named():
    code = "from drmad import _lib; _lib.lib()"
    p = python(code, DRMAD_LIBRARY="/no/such/libdrmad.so")
    assert "MissingError: DRMAD_LIBRARY=/no/such/libdrmad.so" in p.stderr, p.stderr
    raises(errors.MissingError, "cannot be used", lambda: _lib.load(pathlib.Path("/etc/passwd")))


def a_package_without_a_library_says_what_to_do():
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["cp", "-r", ROOT / "python/drmad", folder], check=True)
        env = {k: v for k, v in os.environ.items() if k != "DRMAD_LIBRARY"}
        p = subprocess.run(
            [sys.executable, "-c", "from drmad import _lib; _lib.lib()"],
            cwd=folder,
            env=dict(env, PYTHONPATH=folder),
            capture_output=True,
            text=True,
        )
    assert "install the wheel" in p.stderr and "DRMAD_LIBRARY" in p.stderr, p.stderr


def another_version_is_refused():
    before = _abi.VERSION
    try:
        _abi.VERSION = "9.9.9"
        words = "this Python package is 9.9.9"
        e = raises(errors.MissingError, words, lambda: _lib.load(_lib.find()))
        assert before in str(e)
    finally:
        _abi.VERSION = before


def importing_drmad_imports_no_torch_and_no_library():
    p = python(
        "import sys, drmad, drmad._lib, drmad._context, drmad._memory\n"
        "print('torch' in sys.modules, 'libdrmad' in open('/proc/self/maps').read())"
    )
    assert p.stdout.split() == ["False", "False"], p.stdout + p.stderr


def a_message_of_the_library_arrives():
    with Context() as ctx:
        out = ctypes.c_void_p()
        e = raises(
            errors.ConfigError,
            "no-such.yaml",
            lambda: ctx.check(
                ctx.lib.drmad_study_load(ctx.handle, b"no-such.yaml", None, 0, ctypes.byref(out))
            ),
        )
        assert e.exit_status == 2 and not out


def threads_are_set_and_checked():
    with Context(threads=3) as ctx:
        assert ctx.threads == 3
    raises(errors.UsageError, "257", lambda: Context(threads=257))


def the_log_goes_to_logging():
    seen = []
    handler = logging.Handler()
    handler.emit = lambda record: seen.append((record.levelname, record.getMessage()))
    logger = logging.getLogger("drmad")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        from drmad._context import _LOG_HOOK

        for level, line in enumerate((b"a %s", b"b", b"c", b"\xff")):
            _LOG_HOOK(None, level, line)
    finally:
        logger.removeHandler(handler)
    assert seen == [("ERROR", "a %s"), ("WARNING", "b"), ("INFO", "c"), ("DEBUG", "\ufffd")], seen


def an_exception_in_a_callback_keeps_its_traceback():
    def where_it_happens():
        raise KeyError("mine")

    with Context() as ctx:
        hook = _abi.drmad_batch_fn(ctx.guard(lambda *_: where_it_happens()))
        status = hook(None, 0, 0, None)
        assert status == _abi.E_MODEL
        e = raises(KeyError, "mine", lambda: ctx.check(status))
        assert "where_it_happens" in "".join(traceback.format_exception(e))
        raises(errors.ModelError, "bad model", lambda: ctx.check(status))  # given away once

        def usage(*_):
            raise errors.UsageError("again")

        status = ctx.guard(usage)()
        assert status == _abi.E_USAGE
        ctx.check(_abi.OK)  # the library went on: nothing is left to raise
        assert ctx.guard(lambda: None)() == _abi.OK and ctx.guard(lambda: 5)() == 5


def ctrl_c_stops_once_and_then_interrupts():
    with Context() as ctx:
        before = signal.getsignal(signal.SIGINT)
        with ctx.interruptible():
            os.kill(os.getpid(), signal.SIGINT)
            try:
                os.kill(os.getpid(), signal.SIGINT)
            except KeyboardInterrupt:
                pass
            else:
                raise AssertionError("the second Ctrl-C did nothing")
        assert signal.getsignal(signal.SIGINT) is before


def a_context_is_freed_once():
    ctx = Context()
    ctx.close()
    ctx.close()
    ctx.stop()
    assert ctx.handle is None
    for _ in range(1000):
        Context()


if __name__ == "__main__":
    main(
        {
            f.__name__: f
            for f in (
                a_library_that_is_not_there_is_named,
                a_package_without_a_library_says_what_to_do,
                another_version_is_refused,
                importing_drmad_imports_no_torch_and_no_library,
                a_message_of_the_library_arrives,
                threads_are_set_and_checked,
                the_log_goes_to_logging,
                an_exception_in_a_callback_keeps_its_traceback,
                ctrl_c_stops_once_and_then_interrupts,
                a_context_is_freed_once,
            )
        }
    )
