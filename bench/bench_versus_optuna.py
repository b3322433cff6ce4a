"""Ask and tell of drmad's store beside Optuna's RDB storage: the same trials, parameters and
commits a trial, the same processes, the same PRAGMAs or synchronous_commit, on the same disk, in
turns.

Each figure is a run of its own on a fresh database; the medians of ROUNDS rounds count. Every
Optuna in VERSIONS takes part, and the ratio is to the fastest of them. What is printed besides:
SQLite as Optuna opens it by itself, PostgreSQL with synchronous_commit both ways.

BENCH_PREFIX: a command put before each process ("taskset -c 1"). OPTUNA_ROUNDS: rounds, 3."""

from __future__ import annotations

import json
import os
import pathlib
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
DRIVER = str(ROOT / "build" / "release" / "bench_store")
LOOP = str(ROOT / "bench" / "stores" / "optuna_loop.py")
VERSIONS = ("4.9.0", "5.0.0")
TRIALS, PARAMS, PROCESSES = 200, 3, (1, 4)
PREFIX = shlex.split(os.environ.get("BENCH_PREFIX", ""))
ROUNDS = int(os.environ.get("OPTUNA_ROUNDS", "3"))


def output(command: list[str]) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def ours(url: str, processes: int) -> float:
    """Milliseconds a trial."""
    command = [*PREFIX, DRIVER, "run", url, str(TRIALS), str(processes), str(PARAMS)]
    return 1e3 * float(output(command)) / TRIALS


def optunas(version: str, url: str, processes: int, pragmas: str) -> float:
    python = str(ROOT / f".venv-optuna-{version}" / "bin" / "python")
    command = [*PREFIX, python, LOOP, url, str(TRIALS), str(processes), str(PARAMS), pragmas]
    got = json.loads(output(command))
    if got["failed"]:
        print(f"Optuna {version}, {processes} processes: {got['failed']} trials raised")
    commits = got["commits"] / (got["trials"] - got["failed"])
    if not got["failed"] and commits != PARAMS + 2:
        sys.exit(f"Optuna {version} made {commits} commits a trial, ours {PARAMS + 2}")
    return 1e3 * got["seconds"] / got["trials"]


class Databases:
    """A new one for each run."""

    def __init__(self, folder: str, server: str):
        self.folder, self.server, self.made = folder, server, 0

    def sqlite(self) -> str:
        self.made += 1
        return f"{self.folder}/{self.made}.db"

    def postgres(self, synchronous: str) -> str:
        self.made += 1
        return output([DRIVER, "database", self.server, f"bench_{self.made}", synchronous])


def measure(bases: Databases, processes: int) -> dict[str, dict[str, list[float]]]:
    """kind -> who -> milliseconds a trial of each round."""
    kinds = ("sqlite", "sqlite, Optuna's own", "postgres", "postgres, off")
    found: dict[str, dict[str, list[float]]] = {k: {} for k in kinds}

    def note(kind: str, who: str, ms: float) -> None:
        found[kind].setdefault(who, []).append(ms)

    for _ in range(ROUNDS):
        note("sqlite", "drmad", ours("sqlite:" + bases.sqlite(), processes))
        for kind, how in (("postgres", "on"), ("postgres, off", "off")):
            note(kind, "drmad", ours(bases.postgres(how), processes))
        for v in VERSIONS:
            for kind, pragmas in (("sqlite", "ours"), ("sqlite, Optuna's own", "own")):
                note(kind, v, optunas(v, "sqlite:///" + bases.sqlite(), processes, pragmas))
            for kind, how in (("postgres", "on"), ("postgres, off", "off")):
                note(kind, v, optunas(v, bases.postgres(how), processes, "own"))
    found["sqlite, Optuna's own"]["drmad"] = found["sqlite"]["drmad"]
    return found


def ratio(row: dict[str, float]) -> float:
    return min(row[v] for v in VERSIONS) / row["drmad"]


def lines(table: dict[int, dict[str, dict[str, float]]]) -> None:
    def told(kind: str) -> str:
        return "; ".join(
            f"{p} process{'es' * (p > 1)} {ratio(rows[kind]):.1f} ({rows[kind]['drmad']:.2f} ms to "
            + ", ".join(f"{rows[kind][v]:.1f}" for v in VERSIONS)
            + ")"
            for p, rows in table.items()
        )

    names = {
        "store_vs_optuna_sqlite": ("sqlite", "WAL, synchronous NORMAL"),
        "store_vs_optuna_sqlite_own": ("sqlite, Optuna's own", "Optuna with its own PRAGMAs"),
        "store_vs_optuna_postgres": ("postgres", "synchronous_commit on"),
        "store_vs_optuna_postgres_unsynced": ("postgres, off", "synchronous_commit off"),
    }
    for name, (kind, how) in names.items():
        worst = min(ratio(rows[kind]) for rows in table.values())
        print(f"{name} ratio {worst:.2f} {PARAMS} parameters and {PARAMS + 2} commits a trial, "
              f"{how}, Optuna {', '.join(VERSIONS)}: {told(kind)}")  # fmt: skip


def main() -> int:
    for v in VERSIONS:
        subprocess.run([str(ROOT / "tools" / "optuna-env"), v], check=True)
    folder = tempfile.mkdtemp(prefix="drmad-bench-")
    place = f"/tmp/drmad-bench-postgres-{os.getpid()}"
    server = subprocess.Popen(
        [DRIVER, "serve", place], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        bases = Databases(folder, server.stdout.readline().strip())
        table = {}
        for p in PROCESSES:
            found = measure(bases, p)
            table[p] = {
                k: {w: statistics.median(ms) for w, ms in r.items()} for k, r in found.items()
            }
        lines(table)
    finally:
        server.stdin.close()
        server.wait()
        shutil.rmtree(folder)
        shutil.rmtree(place, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
