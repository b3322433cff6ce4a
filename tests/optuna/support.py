"""What the tests with real Optuna share: both sides as programs, fresh stores, a PostgreSQL server,
a runner that prints PASS and FAIL lines. Needs only the standard library."""

import atexit
import itertools
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from named import Wrong, need, run_named  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
HERE = ROOT / "tests" / "optuna"
BUILD = ROOT / os.environ.get("DRMAD_BUILD", "build/release")
LONG = os.environ.get("DRMAD_LONG") == "1"
LIMIT_S = 120
OLD, BEFORE, NEWEST = "3.2.0", "4.9.0", "5.0.0"
BACKENDS = ("sqlite", "postgres", "journal")

_folder = tempfile.TemporaryDirectory(prefix="drmad-optuna-")
SCRATCH = pathlib.Path(_folder.name)
SCRATCH.chmod(0o755)  # the server runs as another user
_numbers = itertools.count()
_server, _peers = {}, {}


def count(reduced, full):
    return full if LONG else reduced


# ---- the two sides ----


def python(version):
    return str(ROOT / f".venv-optuna-{version}" / "bin" / "python")


def environment(**more):
    """Without settings of the user's; local time is far from UTC, so that one is not the other."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("DRMAD_", "PG", "OPTUNA"))}
    return dict(env, TZ="Asia/Tokyo", XDG_DATA_HOME=str(SCRATCH), OMP_NUM_THREADS="1", **more)


def argv(side, url, verb, study, n=1):
    """side: "drmad", or a version of Optuna."""
    program = [str(BUILD / "optuna_drive")] if side == "drmad" else [python(side), HERE / "peer.py"]
    return [*program, url, verb, study, str(n)]


def run(command, status=0, cwd=None, **more):
    p = subprocess.run(
        command, env=environment(**more), cwd=cwd, capture_output=True, text=True, timeout=LIMIT_S
    )
    words, said = " ".join(str(c) for c in command), p.stdout[-500:] + p.stderr[-3000:]
    need(p.returncode == status, f"{words}: status {p.returncode}\n{said}")
    return p


class Peer:
    """One Python with Optuna in it that stays: importing it takes longer than most calls."""

    def __init__(self, version):
        self.process = subprocess.Popen(
            [python(version), HERE / "peer.py"],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        atexit.register(self.process.kill)

    def call(self, *words):
        self.process.stdin.write(json.dumps(words) + "\n")
        self.process.stdin.flush()
        lines = []
        for line in self.process.stdout:
            value = json.loads(line)
            if value == "done":
                return lines
            if isinstance(value, dict) and "error" in value:
                raise Wrong(f"{words}:\n{value['error']}")
            lines.append(value)
        raise Wrong(f"{words}: Optuna's process has ended")


def do(side, url, verb, study="study", n=1):
    """Runs one verb; gives its lines."""
    if side == "drmad":
        return [json.loads(s) for s in run(argv(side, url, verb, study, n)).stdout.splitlines()]
    if side not in _peers:
        _peers[side] = Peer(side)
    return _peers[side].call(url, verb, study, n)


def start(side, url, verb, study="study", n=1, **more):
    return subprocess.Popen(
        argv(side, url, verb, study, n),
        env=environment(**more),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


# ---- stores ----


def server_url():
    if not _server:
        folder = str(SCRATCH / "server")
        atexit.register(lambda: drive("stop-server", folder))
        _server["url"] = drive("start-server", folder).stdout.strip()
    return _server["url"]


def drive(verb, place):
    return run([str(BUILD / "optuna_drive"), place, verb, "-"])


def sql(url, *statements):
    """Runs statements by the driver that Optuna uses; gives the rows of the last."""
    code = (
        "import sys, json, sqlalchemy as sa\n"
        "e = sa.create_engine(sys.argv[1], isolation_level='AUTOCOMMIT')\n"
        "with e.connect() as c:\n"
        "    for s in sys.argv[2:]:\n"
        "        r = c.exec_driver_sql(s)\n"
        "    print(json.dumps([[str(x) for x in row] for row in r] if r.returns_rows else []))\n"
    )
    if url.startswith("sqlite:"):
        url = "sqlite:///" + url.removeprefix("sqlite:")
    return json.loads(run([python(NEWEST), "-c", code, url, *statements]).stdout)


def fresh(backend):
    """The URL of a store that does not exist yet."""
    number = next(_numbers)
    if backend != "postgres":
        return f"{backend}:{SCRATCH}/runs-{number}.{'log' if backend == 'journal' else 'db'}"
    url = server_url()
    sql(url, f"CREATE DATABASE test_{number}")
    base, _, query = url.partition("?")
    return base.rpartition("/")[0] + f"/test_{number}" + (f"?{query}" if query else "")


# ---- tests ----


def same(got, want, what):
    """Equal, NaN equal to NaN."""

    def plain(x):
        if isinstance(x, float):
            return "NaN" if math.isnan(x) else x
        if isinstance(x, dict):
            return {k: plain(v) for k, v in x.items()}
        return [plain(v) for v in x] if isinstance(x, list) else x

    need(plain(got) == plain(want), f"{what}:\n  {got}\n  expected\n  {want}")


def main(tests):
    """Runs [(name, function)]; words on the command line select."""
    run_named(tests, sys.argv[1:])


def each(function, *lists):
    """One test for each combination of the arguments, named after them."""
    return each_of(function, itertools.product(*lists))


def each_of(function, rows):
    return [
        ("_".join([function.__name__, *(a.replace(".", "") for a in args)]),
         lambda args=args: function(*args))
        for args in rows
    ]


def pairs(backends=BACKENDS, versions=(BEFORE, NEWEST)):
    """Backends and versions for what differs little between them: all with full counts, else each
    version with one backend and each backend with one version."""
    rows = itertools.product(backends, versions)
    return [(b, v) for b, v in rows if LONG or b == backends[0] or v == NEWEST]
