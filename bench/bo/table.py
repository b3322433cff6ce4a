#!/usr/bin/env python3
"""What the rows of bench/results/bo say: medians and quartiles, the problems that our GP wins, the
share of successes on Hartmann-6, what a suggestion takes.

A regret is of the best observed point, after 100 evaluations or after 10 d + 20, without noise.
Of our samplers the rows of the version that ran last count.

A problem is won when the median of our GP is at or below every peer's, on runs that both made of
instances and seeds that were not looked at while developing (campaign.py: held). Where the
quartiles of ours and of the best peer overlap it is a tie, counted by the medians and listed apart.
Without campaign.SEEDS runs of every peer on every problem no share is printed."""

from __future__ import annotations

import math
import statistics
import sys

import campaign
import problems
import run

PEERS = ("optuna-gp", "optuna-tpe", "optuna-tpe-mv", "botorch", "hebo", "smac", "bayesopt")
WINDOW = 10  # suggestions up to the n-th that count as those at n
SUCCESS = 0.05


def quantile(values, q):
    """Linear between order statistics."""
    v = sorted(values)
    at = q * (len(v) - 1)
    i = math.floor(at)
    return v[i] + (at - i) * (v[min(i + 1, len(v) - 1)] - v[i])


def figure(v: float) -> str:
    """Two digits, three from .1 to 1: 3.1e-6, .012, .403, 4.3, 110."""
    if v == 0:
        return "0"
    if v < 1e-3:
        mantissa, exponent = f"{v:.1e}".split("e")
        return f"{mantissa.removesuffix('.0')}e{int(exponent)}"
    text = f"{v:.0f}" if v >= 100 else f"{v:.3g}" if 0.1 <= v < 1 else f"{v:.2g}"
    return text.removeprefix("0") if v < 1 else text


def load() -> dict[str, dict[tuple, dict]]:
    """Rows by solver, then by (problem, instance, seed); of two budgets the larger counts."""
    found: dict[str, dict[tuple, dict]] = {}
    for solver in (*campaign.OURS, *PEERS):
        rows = run.rows(solver)
        if rows and solver in campaign.OURS:
            rows = [r for r in rows if r["version"] == rows[-1]["version"]]
        for r in sorted(rows, key=lambda r: r["budget"]):
            found.setdefault(solver, {})[r["problem"], r["instance"], r["seed"]] = r
    return found


def regret(row: dict, n: int) -> float:
    return [r for at, r in row["curve"] if at <= n][-1]


def evaluations(name: str, budget: str) -> int:
    return 100 if budget == "100" else 10 * len(problems.Problem(name).params) + 20


def finals(rows: dict[tuple, dict], name: str, held: bool, n: int) -> dict[tuple, float]:
    """Regret after n evaluations by (instance, seed)."""
    return {
        (k, s): regret(r, n) for (p, k, s), r in rows.items()
        if p == name and (k > 0) == held and (held or s < campaign.SEEDS)
    }  # fmt: skip


def quartiles(values) -> str:
    values = list(values)
    low, mid, high = (figure(quantile(values, q)) for q in (0.25, 0.5, 0.75))
    return f"{mid} ({low}-{high}; {len(values)})"


def regrets(found, held: bool, budget: str) -> None:
    solvers = [s for s in (*campaign.OURS, *PEERS) if s in found]
    print("| problem | " + " | ".join(solvers) + " |\n" + "|---" * (len(solvers) + 1) + "|")
    for name in problems.names():
        n, cells = evaluations(name, budget), []
        for s in solvers:
            values = finals(found[s], name, held, n).values()
            cells.append(quartiles(values) if values else "-")
        print(f"| {name} ({n}) | " + " | ".join(cells) + " |")


def overlap(a, b) -> bool:
    return quantile(a, 0.25) <= quantile(b, 0.75) and quantile(b, 0.25) <= quantile(a, 0.75)


def duels(found, name: str, held: bool, n: int) -> dict[str, tuple[list, list]]:
    """By peer: regrets of ours and of the peer on the runs that both made."""
    ours, out = finals(found.get("gp", {}), name, held, n), {}
    for peer in PEERS:
        theirs = finals(found.get(peer, {}), name, held, n)
        common = sorted(ours.keys() & theirs.keys())
        if common:
            out[peer] = [ours[k] for k in common], [theirs[k] for k in common]
    return out


def worst_duel(pairs: dict[str, tuple[list, list]]):
    """The peer that beats ours by most, or is beaten by least: (peer, ours, theirs)."""

    def ratio(peer):
        ours, theirs = (statistics.median(v) for v in pairs[peer])
        return math.log((ours + 1e-12) / (theirs + 1e-12))

    peer = max(pairs, key=ratio)
    return peer, *pairs[peer]


def standing(found, held: bool, budget: str) -> dict:
    """{problem: (won, tied, peer, median, theirs, least number of runs)}, and what is missing."""
    out, missing = {}, []
    for name in problems.names():
        pairs = duels(found, name, held, evaluations(name, budget))
        missing += [f"{peer} on {name}" for peer in PEERS
                    if len(pairs.get(peer, ([],))[0]) < campaign.SEEDS]  # fmt: skip
        if pairs:
            peer, ours, theirs = worst_duel(pairs)
            mine, best = statistics.median(ours), statistics.median(theirs)
            runs = min(len(a) for a, _ in pairs.values())
            out[name] = (mine <= best, overlap(ours, theirs), peer, mine, best, runs)
    return {"problems": out, "missing": missing}


def print_standing(found, held: bool, budget: str) -> None:
    print("| problem | best peer | ours | theirs | | runs |\n|---|---|---|---|---|---|")
    rows = standing(found, held, budget)["problems"]
    for name, (won, tied, peer, mine, best, runs) in rows.items():
        verdict = ("won" if won else "lost") + (", a tie" if tied else "")
        print(f"| {name} | {peer} | {figure(mine)} | {figure(best)} | {verdict} | {runs} |")


def suggestions(rows: dict[tuple, dict], n: int) -> list[float]:
    """Milliseconds of the suggestions just up to the n-th, of the runs on Hartmann-6 by a
    solver's own code."""
    found = []
    for (name, _, _), r in rows.items():
        if name == "hartmann6" and len(r["suggest"]) >= n and not r.get("faster"):
            found += [1000 * t for t in r["suggest"][n - WINDOW : n]]
    return found


def print_times(found) -> None:
    at = (50, 100, 200, 500, 1000)
    print("| ms, median (95 %) | " + " | ".join(f"n = {n}" for n in at) + " |\n|---|" + "---|" * 5)
    for solver, rows in found.items():
        cells = []
        for n in at:
            t = suggestions(rows, n)
            both = (statistics.median(t), quantile(t, 0.95)) if t else ()
            cells.append("{} ({})".format(*map(figure, both)) if t else "-")
        print(f"| {solver} | " + " | ".join(cells) + " |")


def successes(found, solver: str) -> list[bool]:
    rows = found.get(solver, {})
    return [regret(r, 100) < SUCCESS for (p, k, s), r in rows.items()
            if p == "hartmann6" and k == 0 and s >= 1000]  # fmt: skip


def share_line(found) -> None:
    for budget in ("100", "10d+20"):
        s = standing(found, True, budget)
        name = "bo_problems_won_share" + ("" if budget == "100" else "_10d20")
        if s["missing"]:
            some = ", ".join(s["missing"][:4])
            print(f"{name}: no share without the rows of {some} ({len(s['missing'])} in all), "
                  f"{campaign.SEEDS} runs of each")  # fmt: skip
            continue
        rows = s["problems"].values()
        won = sum(r[0] for r in rows)
        ties = [p for p, r in s["problems"].items() if r[1]]
        runs, said = min(r[5] for r in rows), ", ".join(ties) or "none"
        print(f"{name} ratio {won / len(rows):.3f} {won} of {len(rows)} problems, at least "
              f"{runs} runs each; ties: {said}")  # fmt: skip


def success_line(rows: dict[tuple, dict]) -> None:
    """Of the published function, on seeds that were not looked at while developing."""
    good = [regret(r, 100) < SUCCESS for (p, k, s), r in rows.items()
            if p == "hartmann6" and k == 0 and s >= campaign.HELD_SEED]  # fmt: skip
    if good:
        print(f"bo_hartmann6_success_share ratio {sum(good) / len(good):.3f} of {len(good)} held "
              f"seeds below {SUCCESS} after 100 evaluations")  # fmt: skip


def time_line(name: str, rows: dict[tuple, dict], n: int) -> None:
    t = suggestions(rows, n)
    if t:
        high = quantile(t, 0.95)
        print(f"{name}_n{n} ratio {statistics.median(t):.3g} median, {high:.3g} at 95 %")


def lines(found) -> None:
    gp = found.get("gp", {})
    success_line(gp)
    for n in (100, 200, 1000):
        time_line("bo_suggest_ms", gp, n)
    ours, theirs = suggestions(gp, 200), suggestions(found.get("optuna-gp", {}), 200)
    if ours and theirs:
        a, b = statistics.median(ours), statistics.median(theirs)
        print(f"bo_suggest_vs_optuna_gp_n200 ratio {b / a:.1f} {a:.3g} ms, GPSampler {b:.3g} ms")
    time_line("tpe_suggest_ms", found.get("tpe", {}), 1000)


def main() -> int:
    found = load()
    for held, title in ((False, "Published functions, seeds 0-19"), (True, "Held-out instances")):
        for budget in ("100", "10d+20"):
            print(f"\n### {title}, {budget} evaluations: median regret (quartiles; runs)\n")
            regrets(found, held, budget)
            print("\nOurs (gp) and the peer that does best against it, on the runs of both\n")
            print_standing(found, held, budget)
    print("\n### Processor time of a suggestion, d = 6\n")
    print_times(found)
    print()
    share_line(found)
    lines(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
