"""What the tests of the Python package share: a runner that prints PASS and FAIL lines."""

import pathlib
import signal
import sys
import traceback

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "python"))

import torch  # noqa: E402

torch.set_num_threads(1)


def main(tests: dict) -> None:
    """Runs name -> function; one that raises has failed. Words on the command line select."""
    failed = 0
    signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs ignore it
    for name, test in tests.items():
        if len(sys.argv) > 1 and not any(word in name for word in sys.argv[1:]):
            continue
        try:
            test()
            print(f"PASS {name}", flush=True)
        except BaseException as e:
            failed += 1
            print(f"FAIL {name}: {type(e).__name__}: {e}", flush=True)
            traceback.print_exc()
    sys.exit(1 if failed else 0)


def raises(kind, words: str, call):
    """call() must raise `kind` with `words` in its message; gives the exception."""
    try:
        call()
    except kind as e:
        assert words in str(e), f"message {str(e)!r} has no {words!r}"
        return e
    raise AssertionError(f"{kind.__name__} was not raised")
