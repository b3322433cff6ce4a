"""The campaign of bench/bo: a run is done once, and the tables say what the rows say."""

import contextlib
import io
import json
import math
import pathlib
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(p) for p in (ROOT / "tests", ROOT / "bench" / "bo")]
import problems  # noqa: E402
import run  # noqa: E402
import table  # noqa: E402
from named import run_named  # noqa: E402


@contextlib.contextmanager
def results():
    before = run.RESULTS
    with tempfile.TemporaryDirectory() as folder:
        run.RESULTS = pathlib.Path(folder)
        yield run.RESULTS
        run.RESULTS = before


def called(function, *argv):
    """What it prints."""
    out, before = io.StringIO(), sys.argv
    sys.argv = ["", *argv]
    with contextlib.redirect_stdout(out):
        function()
    sys.argv = before
    return out.getvalue()


def made(solver, regret, names=None, seeds=range(20), budget=130):
    """Rows of a solver that finds `regret(i)` in run i of every problem's held instances."""
    return {
        (name, 1 + i, 1000 + i): {
            "solver": solver, "version": "1", "problem": name, "instance": 1 + i,
            "seed": 1000 + i, "budget": budget, "curve": [[1, 9.0], [20, regret(i)]],
            "suggest": [0.001 * (n + 1) for n in range(budget)],
        }
        for name in names or problems.names() for i in seeds
    }  # fmt: skip


def test_a_run_is_done_once():
    with results() as folder:
        wanted = ["branin/0/3", "branin/2/3"]
        assert len(called(run.main, "random", "12", *wanted).splitlines()) == 2
        text = (folder / "random.jsonl").read_text()
        assert called(run.main, "random", "12", *wanted) == ""
        assert (folder / "random.jsonl").read_text() == text
        assert len(called(run.main, "random", "13", *wanted).splitlines()) == 2


def test_a_row_says_what_happened():
    """The curve from the row is that of the points, taken again from the same sampler."""
    with results() as folder:
        called(run.main, "sobol", "30", "hartmann6-noisy/1/4")
        row = json.loads((folder / "sobol.jsonl").read_text())
    assert len(row["suggest"]) == 30 and row["cpu"] >= sum(row["suggest"])
    p, seen = problems.Problem("hartmann6-noisy", 1), []
    import solver_drmad

    def objective(x):
        seen.append((p.observe(x, 4, len(seen)), p.value(x) - p.least))
        return seen[-1][0]

    solver_drmad.solve("sobol", p, 4, 30, objective)
    for n in range(1, 31):
        want = min(seen[:n])[1]
        assert math.isclose(table.regret(row, n), want, rel_tol=1e-4), (n, want)
    assert math.isclose(row["best"], min(r for _, r in seen), rel_tol=1e-4)


def test_conditions_reach_our_samplers():
    import solver_drmad

    p, left_out = problems.Problem("conditional", 3), set()

    def objective(x):
        for i, v in enumerate(x):
            assert math.isnan(v) != p.active(i, x), (i, x)
            left_out.update([i] if math.isnan(v) else [])
        return p.value(x)

    solver_drmad.solve("random", p, 1, 60, objective)
    assert left_out == {i for i, q in enumerate(p.params) if q.parent >= 0}


def test_no_share_without_a_peer():
    found = {peer: made(peer, lambda i: 1.0) for peer in table.PEERS}
    found["gp"] = made("gp", lambda i: 0.5)
    assert "ratio 1.000 16 of 16" in called(lambda: table.share_line(found))
    found["smac"] = made("smac", lambda i: 1.0, problems.names()[1:])
    out = called(lambda: table.share_line(found))
    assert "ratio" not in out and "no share without the rows of smac on branin" in out
    found["smac"] = made("smac", lambda i: 1.0, seeds=range(19))
    assert "ratio" not in called(lambda: table.share_line(found))
    del found["gp"]
    assert "ratio" not in called(lambda: table.share_line(found))


def test_a_problem_is_won_by_the_median_and_ties_are_apart():
    found = {peer: made(peer, lambda i: 2.0 + i / 100) for peer in table.PEERS}
    found["gp"] = made("gp", lambda i: 1.0 if i < 11 else 5.0)  # quartiles 1 and 5
    s = table.standing(found, True, "100")["problems"]
    assert all(won and tied for won, tied, *_ in s.values())
    found["hebo"] = made("hebo", lambda i: 0.5)
    s = table.standing(found, True, "100")["problems"]
    assert all(not won and not tied and peer == "hebo" for won, tied, peer, *_ in s.values())
    found["hebo"] = made("hebo", lambda i: 1.5, seeds=range(8))  # only runs of both count
    s = table.standing(found, True, "100")["problems"]
    assert all(won and runs == 8 for won, _, _, _, _, runs in s.values())


def test_quantiles_and_times():
    assert table.quantile([3, 1, 2], 0.5) == 2 and table.quantile([0, 10], 0.25) == 2.5
    rows = made("gp", lambda i: 1.0, ["hartmann6"], range(1))
    assert table.suggestions(rows, 100) == [1000 * 0.001 * n for n in range(91, 101)]
    assert table.suggestions(rows, 200) == []
    assert [table.figure(v) for v in (0, 3.14e-6, 0.0123, 0.4031, 4.26, 110.4)] == [
        "0", "3.1e-6", ".012", ".403", "4.3", "110",
    ]  # fmt: skip


TESTS = [(f"bench_bo_{n[5:]}", f) for n, f in list(globals().items()) if n.startswith("test_")]

if __name__ == "__main__":
    run_named(TESTS, sys.argv[1:])
