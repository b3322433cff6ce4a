"""Optuna's own storage tests on stores that we made: each check is a test of ours by its name."""

import re
import subprocess
import sys

from support import BACKENDS, HERE, LIMIT_S, LONG
from support import argv, do, environment, fresh, pairs, python, run

LEAST = 50  # checks that Optuna 4.9 and 5.0 ship; fewer were not run
LINE = re.compile(r"^\S+::test_(\S+) (PASSED|FAILED|ERROR)")


def used_store(backend):
    """One in which a study of ours has been, with all that hangs on it, and is no more. (A journal
    must be new: Optuna's checks count ids from its first line.)"""
    url = fresh(backend)
    if backend == "journal":
        run(argv("drmad", url, "open", "-"))
        return url
    do("drmad", url, "create")
    do("drmad", url, "add", n=2)
    do("drmad", url, "ends")
    do("drmad", url, "delete")
    return url


def suite(backend, version):
    p = subprocess.run(
        [python(version), "-m", "pytest", "-v", "-p", "no:cacheprovider"]
        + [HERE / "storage_suite.py"],
        env=environment(SUITE_URL=used_store(backend), PYTHONDONTWRITEBYTECODE="1"),
        capture_output=True,
        text=True,
        timeout=5 * LIMIT_S,
    )
    results = [m.groups() for m in map(LINE.match, p.stdout.splitlines()) if m]
    failed = [name for name, result in results if result != "PASSED"]
    tail = f"{backend}_{version.replace('.', '')}"
    for name, result in results:
        print(f"{'PASS' if result == 'PASSED' else 'FAIL'} optuna_{name}_{tail}")
    if p.returncode or len(results) < LEAST or failed:
        for line in (p.stdout + p.stderr).splitlines()[-60:]:
            print(f"  {line}")
        print(f"FAIL optuna_suite_{tail}", flush=True)
        return False
    print(f"PASS optuna_suite_{tail}", flush=True)
    return True


match = sys.argv[1] if len(sys.argv) > 1 else ""
where = BACKENDS if LONG else BACKENDS[:2]  # (of a journal all that is tested is Optuna's)
runs = [
    suite(b, v)
    for b, v in pairs(where)
    if match in f"optuna_suite_{b}_{v.replace('.', '')}"
]
sys.exit(0 if all(runs) else 1)
