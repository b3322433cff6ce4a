"""Hypergradients of drmad's callback route beside its peers, on the same task (bench/peers): how
many a second, how much memory, how near to exact.

Each figure comes from a process of its own on one thread, in processor time; the peers take turns
in each round, the medians of all rounds count. The reference of the cosines is autograd through
the whole run in double precision. A peer that does not install or run ends this with status 1 and
a line that names it.

BENCH_PREFIX: a command put before each process ("taskset -c 1"). PEERS_ROUNDS: rounds, 3."""

from __future__ import annotations

import json
import math
import os
import pathlib
import shlex
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PYTHON = str(ROOT / ".venv-peers" / "bin" / "python")
PEERS = [
    "exact", "torchfunc tensors", "torchfunc flat", "torchfunc reverse", "higher", "torchopt",
    "hippotrainer steps", "hippotrainer default", "drmad full", "drmad grid",
]  # fmt: skip
HAND = ("torchfunc tensors", "torchfunc flat", "torchfunc reverse")
LONG = [p for p in PEERS if p not in ("torchfunc tensors", "torchfunc flat", "hippotrainer steps")]
NETS, SHORT_T, LONG_T = ("mlp", "lenet"), 200, 2000
SHARE = 0.4  # of the memory that is free: what a run over LONG_T may be expected to take
failures: list[str] = []


def run(peer: str, net: str, steps: int, rounds: int) -> dict | None:
    """What a peer's script prints, or None: then `failures` says why."""
    name, _, variant = peer.partition(" ")
    script = str(ROOT / "bench" / "peers" / f"peer_{name}.py")
    command = [*shlex.split(os.environ.get("BENCH_PREFIX", "")), PYTHON, script, net, str(steps)]
    p = subprocess.run([*command, str(rounds), variant], capture_output=True, text=True)
    if p.returncode == 0:
        return json.loads(p.stdout.strip().splitlines()[-1])
    last = (p.stderr.strip().splitlines() or [f"status {p.returncode}"])[-1]
    failures.append(f"{peer} does not run ({net}, T = {steps}): {last}")
    return None


def cosine(a: list[float], b: list[float]) -> float:
    """nan where there is nothing to compare."""
    top = sum(x * y for x, y in zip(a, b))
    return top / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b)) if len(a) == len(b) else 0


def merged(runs: list[dict]) -> dict:
    """The rounds of one peer as one row."""
    row = dict(runs[0])
    for key in ("seconds", "inside", "strict", "derivatives"):
        row[key] = [s for r in runs for s in r.get(key, [])]
    row["time"] = statistics.median(row["seconds"])
    row["growth"] = statistics.median(r["growth"] for r in runs)
    return row


def short_rows(net: str, rounds: int) -> dict[str, dict]:
    """Every peer at T = SHORT_T, in turns."""
    got: dict[str, list[dict]] = {p: [] for p in PEERS}
    for _ in range(rounds):
        for peer in PEERS:
            r = run(peer, net, SHORT_T, 1 if net == "lenet" and "hippo" in peer else 3)
            got[peer] += [r] if r else []
    exact = run("exact double", net, SHORT_T, 1)
    rows = {p: merged(runs) for p, runs in got.items() if runs}
    for row in rows.values():
        row["cosine"] = cosine(row["hypergradient"], exact["hypergradient"]) if exact else math.nan
    return rows


def free_memory() -> int:
    lines = pathlib.Path("/proc/meminfo").read_text().splitlines()
    return next(int(x.split()[1]) * 1024 for x in lines if x.startswith("MemAvailable"))


def long_growth(net: str, rows: dict[str, dict]) -> None:
    """Memory at T = LONG_T: measured, or where that would not fit, what it needs at least."""
    for peer in LONG:
        if peer not in rows:
            continue
        expected = rows[peer]["growth"] * LONG_T / SHORT_T
        if peer != "drmad grid" and expected > SHARE * free_memory():
            rows[peer]["long"], rows[peer]["refused"] = expected, True
            continue
        r = run(peer, net, LONG_T, 1)
        if r:
            rows[peer]["long"] = r["growth"]


def table(net: str, rows: dict[str, dict]) -> None:
    print(f"\n{net}: batch 50, SGD with momentum, decay per output unit, T = {SHORT_T}")
    print(f"{'':22}{'a second':>9}{'MiB':>8}{f'MiB, {LONG_T}':>12}{'cosine':>10}  ")
    for peer in PEERS:
        if peer not in rows:
            print(f"{peer:22}FAILED")
            continue
        r = rows[peer]
        long = "-" if "long" not in r else f"{'~' * r.get('refused', 0)}{r['long'] / 2**20:.0f}"
        print(f"{peer:22}{1 / r['time']:9.2f}{r['growth'] / 2**20:8.0f}{long:>12}"
              f"{r['cosine']:10.5f}  {r['note']}", flush=True)  # fmt: skip


def line(name: str, values: dict[str, float], worst, text: str) -> None:
    """One benchmark line: the worse of the nets, both in the text."""
    if values:
        each = ", ".join(f"{n} {v:.2f}" for n, v in values.items())
        print(f"{name} ratio {worst(values.values()):.2f} {each}; {text}")


def speeds(all_rows: dict[str, dict], name: str, peers: tuple[str, ...], text: str) -> None:
    """Ours (full trajectory) over the fastest of `peers`."""
    values = {}
    for net, rows in all_rows.items():
        times = [rows[p]["time"] for p in peers if p in rows]
        if times and "drmad full" in rows:
            values[net] = min(times) / rows["drmad full"]["time"]
    line(name, values, min, text)


def share(row: dict, total: str, part: str) -> float:
    return statistics.median((t - p) / p for t, p in zip(row[total], row[part]))


def lines(all_rows: dict[str, dict]) -> None:
    ours = {n: r["drmad full"] for n, r in all_rows.items() if "drmad full" in r}
    strict = ", ".join(f"{n} {share(r, 'strict', 'derivatives'):.2f}" for n, r in ours.items())
    line("callback_overhead_share", {n: share(r, "seconds", "inside") for n, r in ours.items()},
         max, "outside the callbacks over inside; with batches, copies and the release of graphs, "
         f"all but loss_fn and autograd: {strict}")  # fmt: skip
    speeds(all_rows, "callback_vs_torchfunc", HAND, "drmad full over the fastest loop by hand")
    speeds(all_rows, "callback_vs_hippotrainer", ("hippotrainer steps",),
           f"its DrMAD with T = {SHORT_T} steps back (which is no hypergradient)")  # fmt: skip
    for peer in ("higher", "torchopt"):
        speeds(all_rows, f"callback_vs_{peer}", (peer,), "unrolled, everything kept")
    grid = {n: r["drmad grid"] for n, r in all_rows.items() if "long" in r.get("drmad grid", {})}
    line("callback_memory_T2000_over_T200", {n: r["long"] / r["growth"] for n, r in grid.items()},
         max, "drmad grid, growth of the resident memory")  # fmt: skip


def main() -> int:
    for command in (["tools/peers-env"], ["ninja", "-C", "build/release", "libdrmad.so"]):
        p = subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL)
        if p.returncode != 0:
            print(f"peers: {' '.join(command)} failed", file=sys.stderr)
            return 1
    rounds, all_rows = int(os.environ.get("PEERS_ROUNDS", "3")), {}
    for net in sys.argv[1:] or NETS:
        all_rows[net] = short_rows(net, rounds)
        long_growth(net, all_rows[net])
        table(net, all_rows[net])
    lines(all_rows)
    for f in failures:
        print(f"peers: {f}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
