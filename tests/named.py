"""What test scripts share: a failed expectation, and a runner that prints PASS and FAIL lines.
Needs only the standard library."""

import sys
import traceback


class Wrong(Exception):
    """An expectation that does not hold; its text says all."""


def need(condition, text):
    if not condition:
        raise Wrong(text)


def run_named(tests, words=()):
    """Runs [(name, function)]; one that raises has failed. `words` select by name. Ends the
    script."""
    failed = 0
    for name, test in tests:
        if words and not any(word in name for word in words):
            continue
        try:
            test()
            print(f"PASS {name}", flush=True)
        except Exception as e:
            failed += 1
            for line in (str(e) if isinstance(e, Wrong) else traceback.format_exc()).splitlines():
                print(f"  {line}")
            print(f"FAIL {name}", flush=True)
    sys.exit(1 if failed else 0)
