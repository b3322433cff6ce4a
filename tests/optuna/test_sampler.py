"""drmad's samplers in studies of Optuna's: our own checks, and those that Optuna's wheel ships."""

import re
import subprocess
import sys

from support import BEFORE, HERE, LIMIT_S, LONG, NEWEST, ROOT
from support import environment, python

LEAST = 100  # checks of one kind of sampler that Optuna 4.9 and 5.0 ship
LINE = re.compile(r"^\S+::Test(\w+)::test_(\S+) (PASSED|FAILED|ERROR)")


def run(version, *argv):
    paths = f"{ROOT / 'python'}:{HERE}"
    env = environment(PYTHONPATH=paths, PYTHONDONTWRITEBYTECODE="1", DRMAD_LIBRARY="")
    return subprocess.run(
        [python(version), *argv], env=env, capture_output=True, text=True, timeout=5 * LIMIT_S
    )


def checks(version):
    p = run(version, HERE / "sampler_checks.py", *sys.argv[1:])
    print(p.stdout, end="")
    if p.returncode and "FAIL " not in p.stdout:
        print("  " + p.stderr[-2000:].replace("\n", "\n  "))
        print(f"FAIL checks_{version.replace('.', '')}")
    return p.returncode == 0


def suite(kind, version):
    name = f"optuna_suite_{kind}_{version.replace('.', '')}"
    if not all(word in name for word in sys.argv[1:]):
        return True
    p = run(version, "-m", "pytest", "-v", "-p", "no:cacheprovider", HERE / "sampler_suite.py",
            "-k", f"Test{kind}")  # fmt: skip
    results = [m.groups() for m in map(LINE.match, p.stdout.splitlines()) if m]
    fine = sum(result == "PASSED" for _, _, result in results)
    good = p.returncode == 0 and fine == len(results) >= LEAST
    if not good:
        print("\n".join("  " + s for s in (p.stdout + p.stderr).splitlines()[-60:]))
    print(f"{'PASS' if good else 'FAIL'} {name}", flush=True)
    return good


kinds = ("GP", "TPE", "CmaEs")
pairs = [(k, v) for v in (BEFORE, NEWEST) for k in kinds if LONG or (v == NEWEST and k == "GP")]
fine = [checks(v) for v in (BEFORE, NEWEST)] + [suite(k, v) for k, v in pairs]
sys.exit(0 if all(fine) else 1)
