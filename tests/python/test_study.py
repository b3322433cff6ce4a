"""Studies under Optuna's names: making and finding them, asking and telling, the loop with its
threads, exceptions and interruptions, what is kept."""

import contextlib
import datetime
import gc
import io
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from unittest import mock

from house import ROOT, main, raises

import drmad
from drmad import distributions, pruners, samplers
from drmad.errors import MissingError, UsageError

_folder = tempfile.TemporaryDirectory(prefix="drmad-study-")
SCRATCH = pathlib.Path(_folder.name)
SOBOL = samplers.SobolSampler(seed=3)


def square(trial):
    return (trial.suggest_float("x", -5, 10) - 1) ** 2


def store(name: str) -> str:
    return f"sqlite:{SCRATCH}/{name}.db"


def study(**more):
    return drmad.create_study(**{"sampler": SOBOL, **more})


# ---- making and finding ----


def a_study_without_storage_leaves_nothing_behind():
    s = study()
    folder = pathlib.Path(s._parts.folder)
    s.optimize(square, n_trials=3)
    assert folder.is_dir() and len(s.trials) == 3
    del s
    assert not folder.exists()
    s = study()
    trial, folder = s.ask(), pathlib.Path(s._parts.folder)
    s.close()
    assert not folder.exists()
    for call in (lambda: s.trials, s.ask, lambda: s.set_user_attr("a", 1)):
        raises(UsageError, "closed", call)
    raises(UsageError, "has ended", lambda: trial.report(1, 1))


def a_study_is_found_again_under_any_name():
    for name in ("plain", "with blank, comma: colon", "a#b [c] {d}", 'quote " and \' ', "größer"):
        s = study(storage=store("names"), study_name=name, direction="maximize")
        s.optimize(square, n_trials=2)
        again = drmad.load_study(study_name=name, storage=f"sqlite:///{SCRATCH}/names.db")
        assert [t.params for t in again.trials] == [t.params for t in s.trials], name
        assert again.direction is drmad.StudyDirection.MAXIMIZE
        assert again.best_value == max(t.value for t in s.trials)
    every = {"study_name": None, "storage": store("names")}
    raises(UsageError, "5 studies", lambda: drmad.load_study(**every))


def a_place_with_odd_characters_is_one():
    folder = SCRATCH / "run 1, 50% [a]: b"
    folder.mkdir()
    s = study(storage=f"sqlite:{folder}/a.db", study_name="s")
    s.optimize(square, n_trials=1)
    assert (folder / "a.db").exists() and len(s.trials) == 1


def a_study_that_exists_is_made_once():
    s = study(storage=store("once"), study_name="s")
    s.optimize(square, n_trials=3)
    for kind in (drmad.DuplicatedStudyError, ValueError):
        raises(kind, "already", lambda: study(storage=store("once"), study_name="s"))
    again = drmad.create_study(storage=store("once"), study_name="s", load_if_exists=True)
    again.optimize(square, n_trials=3)
    alone = study()
    alone.optimize(square, n_trials=6)  # the sampler is kept with the study
    assert [t.params for t in again.trials] == [t.params for t in alone.trials]


def studies_are_listed_and_deleted():
    place = store("list")
    for name in ("a", "b"):
        study(storage=place, study_name=name).optimize(square, n_trials=2)
    study(storage=place, study_name="c").set_user_attr("k", {"deep": [1, None]})
    summaries = drmad.get_all_study_summaries(place)
    assert [(s.study_name, s.n_trials) for s in summaries] == [("a", 2), ("b", 2), ("c", 0)]
    assert summaries[0].best_trial.value >= 0 and summaries[2].best_trial is None
    assert summaries[2].user_attrs == {"k": {"deep": [1, None]}}
    drmad.delete_study(study_name="b", storage=place)
    assert drmad.get_all_study_names(place) == ["a", "c"]
    raises(UsageError, "b", lambda: drmad.delete_study(study_name="b", storage=place))
    raises(UsageError, "no study b", lambda: drmad.load_study(study_name="b", storage=place))


def wrong_arguments_are_refused_by_name():
    both = {"direction": "minimize", "directions": ["minimize"]}
    raises(UsageError, "one of them", lambda: drmad.create_study(**both))
    raises(UsageError, "sideways", lambda: drmad.create_study(direction="sideways"))
    raises(UsageError, "one of drmad.samplers", lambda: drmad.create_study(sampler="gp"))
    raises(UsageError, "one of drmad.pruners", lambda: drmad.create_study(pruner="median"))
    raises(UsageError, "study_name=", lambda: drmad.create_study(storage="sqlite:a.db#b"))
    raises(UsageError, "expected sqlite:FILE", lambda: drmad.create_study(storage="mysql://h/d"))
    s = study()
    raises(UsageError, "no trial is complete", lambda: s.best_trial)
    raises(RuntimeError, "outside", s.stop)
    t = s.ask()
    raises(UsageError, "2^53", lambda: t.suggest_int("n", 0, 1 << 60))
    raises(UsageError, "is a tuple", lambda: t.suggest_categorical("c", [(1, 2), (3, 4)]))
    raises(ValueError, "low", lambda: t.suggest_float("f", 2, 1))
    raises(ValueError, "log", lambda: t.suggest_float("f", 0, 1, log=True))
    assert t.params == {}


# ---- asking and telling ----


def values_are_of_their_kinds_and_stay():
    s = study()
    kinds = set()
    choices = ["a", None, 3, True, 0.5]
    for _ in range(40):
        t = s.ask()
        x = t.suggest_float("x", 1e-4, 1.0, log=True)
        g = t.suggest_float("grid", 0, 1, step=0.25)
        n = t.suggest_int("n", 1, 9, step=2)
        k = t.suggest_int("k", 1, 1000, log=True)
        c = t.suggest_categorical("c", choices)
        assert 1e-4 <= x <= 1 and g in (0, 0.25, 0.5, 0.75, 1) and n in (1, 3, 5, 7, 9)
        assert type(n) is int and type(k) is int and 1 <= k <= 1000
        assert any(c is known for known in choices)
        assert t.suggest_float("x", 1e-4, 1.0, log=True) == x
        assert t.params == {"x": x, "grid": g, "n": n, "k": k, "c": c}
        kinds.add(repr(c))
        kept = s.tell(t, x)
        assert kept.params == t.params and kept.distributions == t.distributions
    assert len(kinds) == 5 and len({t.value for t in s.trials}) == 40


def a_seed_gives_the_same_trials_again():
    def points(seed):
        s = drmad.create_study(sampler=samplers.RandomSampler(seed=seed))
        s.optimize(square, n_trials=5)
        return [t.params for t in s.trials]

    assert points(1) == points(1) != points(2)
    assert points(None) != points(None)


def a_trial_says_what_it_does():
    s = study()
    before = datetime.datetime.now() - datetime.timedelta(seconds=1)
    t = s.ask()
    assert before <= t.datetime_start <= datetime.datetime.now() and t.number == 0
    for step, value in ((0, 1.5), (1, float("inf")), (2, float("nan")), (1, 2.5)):
        t.report(value, step)
    t.set_user_attr("note", {"a": [1, "b"]})
    assert t.user_attrs == {"note": {"a": [1, "b"]}} and not t.should_prune()
    kept = s.tell(t, 1.0)
    assert kept.intermediate_values[1] == 2.5 and kept.last_step == 2
    assert kept.intermediate_values[2] != kept.intermediate_values[2]
    assert kept.user_attrs == t.user_attrs and kept.duration >= datetime.timedelta(0)
    assert kept.value == 1.0 and kept.values == [1.0] and kept.state.is_finished()
    raises(UsageError, "has ended", lambda: t.report(1, 3))
    raises(UsageError, "has been told", lambda: s.tell(t, 1.0))
    assert s.tell(t, 2.0, skip_if_finished=True).value == 1.0
    raises(TypeError, "JSON", lambda: s.ask().set_user_attr("f", square))


def what_can_be_told():
    s = study()
    states = drmad.TrialState
    for values, state, want in (
        (1, None, states.COMPLETE),
        ([2.0], None, states.COMPLETE),
        (float("inf"), None, states.COMPLETE),
        (float("nan"), None, states.FAIL),
        (None, None, states.FAIL),
        ("x", None, states.FAIL),
        ([1, 2], None, states.FAIL),
        (None, states.PRUNED, states.PRUNED),
        (None, states.FAIL, states.FAIL),
    ):
        assert s.tell(s.ask().number, values, state).state is want, (values, state)
    raises(UsageError, "RUNNING", lambda: s.tell(s.ask(), state=states.RUNNING))
    assert [t.number for t in s.get_trials(states=[states.PRUNED])] == [7]
    assert s.best_trial.number == 0 and s.best_trials == [s.best_trial]


def several_objectives_are_kept():
    place = store("several")
    s = study(storage=place, study_name="s", directions=["minimize", "maximize"])
    s.optimize(lambda t: (square(t), t.params["x"]), n_trials=20)
    s.tell(s.ask(), 1.0)
    for again in (s, drmad.load_study(study_name="s", storage=place)):
        assert [d.name for d in again.directions] == ["MINIMIZE", "MAXIMIZE"]
        assert again.trials[-1].state is drmad.TrialState.FAIL
        raises(UsageError, "2 objectives", lambda: again.best_trial)
        raises(UsageError, "2 objectives", lambda: again.direction)
        front = again.best_trials
        assert 1 < len(front) < 20
        for t in front:
            assert not any(u.values[0] < t.values[0] and u.values[1] > t.values[1] for u in front)
    gp = drmad.create_study(directions=["minimize"] * 2, sampler=samplers.GPSampler())
    raises(ValueError, "gp works on one objective", gp.ask)


def queued_points_come_first():
    s = study()
    s.enqueue_trial({"x": 2.5})
    s.enqueue_trial({"x": 2.5}, skip_if_exists=True)
    s.enqueue_trial({"x": 3.5}, user_attrs={"who": "me"})
    assert [t.state.name for t in s.trials] == ["WAITING"] * 2
    s.optimize(square, n_trials=3)
    assert [t.params["x"] for t in s.trials[:2]] == [2.5, 3.5] and len(s.trials) == 3
    assert s.trials[1].user_attrs == {"who": "me"}


def trials_go_from_study_to_study():
    a, b = study(), study()
    a.optimize(lambda t: square(t) + t.suggest_categorical("c", [0, 0.5]), n_trials=3)
    b.add_trials(a.trials)
    made = drmad.create_trial(
        state=drmad.TrialState.PRUNED,
        params={"x": 1.0},
        distributions={"x": distributions.FloatDistribution(-5, 10)},
        intermediate_values={1: 0.5},
    )
    b.add_trial(made)
    for old, new in zip([*a.trials, made], b.trials, strict=True):
        for field in ("state", "values", "params", "distributions", "intermediate_values",
                      "datetime_complete"):  # fmt: skip
            assert getattr(old, field) == getattr(new, field), field
    assert square(b.best_trial) + b.best_params["c"] == b.best_value
    lacking = drmad.create_trial(value=1.0, params={"z": 1.0})
    raises(UsageError, "distribution", lambda: b.add_trial(lacking))


def distributions_can_be_asked_for_at_once():
    s = study()
    space = {
        "x": distributions.FloatDistribution(0, 1, step=0.5),
        "n": distributions.IntDistribution(1, 8, log=True),
        "c": distributions.CategoricalDistribution(["a", "b"]),
    }
    t = s.ask(space)
    assert t.params.keys() == space.keys() and t.distributions == space


# ---- the loop ----


def the_loop_ends_where_it_is_told_to():
    s = study()
    s.optimize(square, n_trials=4)
    begun = time.monotonic()
    s.optimize(lambda t: time.sleep(0.02) or square(t), timeout=0.2)
    assert 0.2 <= time.monotonic() - begun < 2 and len(s.trials) > 5
    before = len(s.trials)
    seen = []

    def stops(inner, trial):
        seen.append(trial.number)
        if len(seen) == 3:
            inner.stop()

    s.optimize(square, callbacks=[stops], n_jobs=1)
    assert seen == [before, before + 1, before + 2]
    raises(RuntimeError, "inside", lambda: s.optimize(lambda t: s.optimize(square, n_trials=1)))


def an_exception_comes_out_as_it_is():
    s = study()

    class Odd(Exception):
        pass

    def fails(trial):
        if trial.number == 2:
            raise Odd("no luck")
        return square(trial)

    e = raises(Odd, "no luck", lambda: s.optimize(fails, n_trials=5))
    frames, at = [], e.__traceback__
    while at:
        frames.append(at.tb_frame.f_code.co_name)
        at = at.tb_next
    assert frames[-1] == "fails"
    assert [t.state.name for t in s.trials] == ["COMPLETE", "COMPLETE", "FAIL"]
    assert "Odd: no luck" in s.trials[2].user_attrs["fail_reason"]
    s = study()
    s.optimize(fails, n_trials=5, catch=Odd)
    s.optimize(fails, n_trials=1, catch=[KeyError])
    assert [t.state.name for t in s.trials].count("COMPLETE") == 5


def pruning_is_no_failure():
    s = study()

    def stops(trial):
        trial.report(1.0, 1)
        raise drmad.TrialPruned

    s.optimize(stops, n_trials=2)
    assert [t.state.name for t in s.trials] == ["PRUNED"] * 2


def a_pruner_prunes():
    s = study(pruner=pruners.MedianPruner(n_startup_trials=3, n_warmup_steps=1))

    def rising(trial):
        x = trial.suggest_float("x", 0, 1)
        for step in range(5):
            trial.report(x, step)
            if trial.should_prune():
                raise drmad.TrialPruned
        return x

    s.optimize(rising, n_trials=20)
    pruned = s.get_trials(states=[drmad.TrialState.PRUNED])
    assert 4 <= len(pruned) <= 16, len(pruned)
    assert all(t.last_step == 1 and t.number >= 3 for t in pruned)
    assert s.best_value < min(t.params["x"] for t in pruned)


def jobs_share_the_trials():
    s = study()
    threads, together = set(), []

    def slow(trial):
        threads.add(threading.get_ident())
        together.append(1)
        time.sleep(0.03)
        assert len(together) <= 4
        together.pop()
        return square(trial)

    begun = time.monotonic()
    s.optimize(slow, n_trials=20, n_jobs=4)
    assert time.monotonic() - begun < 0.03 * 20, "nothing ran side by side"
    assert len(threads) == 4 and [t.number for t in s.trials] == list(range(20))
    assert len({t.params["x"] for t in s.trials}) == 20

    def fails(trial):
        raise KeyError("one of them")

    raises(KeyError, "one of them", lambda: s.optimize(fails, n_trials=50, n_jobs=4))
    assert 21 <= len(s.trials) <= 24


def the_bar_says_how_far_it_is():
    out = io.StringIO()
    with contextlib.redirect_stderr(out):
        study().optimize(square, n_trials=3, show_progress_bar=True)
    text = out.getvalue()
    assert re.search(r"1 of 3 trials, best \S+ \|#+\.+\|.*left", text), text
    assert text.endswith("\r") and "3 of 3 trials" in text


INTERRUPTED = """
import sys, time
sys.path.insert(0, {python!r})
import drmad
s = drmad.create_study(storage={storage!r}, study_name="s",
                       sampler=drmad.samplers.SobolSampler(seed=3))
def slow(trial):
    x = trial.suggest_float("x", 0, 1)
    if trial.number == 2:
        print("ready", flush=True)
        time.sleep(60)
    return x
try:
    s.optimize(slow, n_trials=5)
except KeyboardInterrupt:
    print([t.state.name for t in s.trials])
"""


def ctrl_c_gives_the_trial_back():
    place = store("interrupted")
    code = INTERRUPTED.format(python=str(ROOT / "python"), storage=place)
    p = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert p.stdout.readline() == "ready\n"
    p.send_signal(signal.SIGINT)
    out, _ = p.communicate(timeout=30)
    assert p.returncode == 0 and out == "['COMPLETE', 'COMPLETE', 'WAITING']\n", out
    s = drmad.load_study(study_name="s", storage=place)
    x = json.loads(s.trials[2].system_attrs.get("fixed_params", "{}") or "{}")
    before = s.trials[2].params or x
    s.optimize(lambda t: t.suggest_float("x", 0, 1), n_trials=1)
    assert [t.state.name for t in s.trials] == ["COMPLETE"] * 3
    assert s.trials[2].params == before


def a_trial_under_way_keeps_its_lease():
    place = store("lease")
    s = study(storage=place, study_name="s")
    s._lease = 0.3  # beats follow it; what the library holds is 60 s
    trial = s.ask()
    beats, beat = [], trial._beat
    trial._beat = lambda: beats.append(1) or beat()
    time.sleep(0.5)
    assert len(beats) >= 2
    thread = s._beating
    s.tell(trial, 1.0)
    del s, trial, beat
    gc.collect()
    thread.join(2)
    assert not thread.is_alive()


# ---- what is shown ----


def a_table_has_a_row_a_trial():
    """A stand-in for pandas takes the rows; without one the error says what to do."""
    s = study()
    s.optimize(lambda t: square(t) + t.suggest_int("n", 1, 2), n_trials=3)
    with mock.patch.dict(sys.modules, {"pandas": None}):
        raises(MissingError, "pip install pandas", s.trials_dataframe)
    with mock.patch.dict(sys.modules, {"pandas": mock.Mock(DataFrame=list)}):
        rows = s.trials_dataframe()
        assert s.trials_dataframe(attrs=("state", "params"))[0].keys() == {
            "state", "params_x", "params_n"
        }  # fmt: skip
    assert [r["number"] for r in rows] == [0, 1, 2] and rows[0]["state"] == "COMPLETE"
    for row, trial in zip(rows, s.trials, strict=True):
        assert row["value"] == trial.value and row["params_x"] == trial.params["x"]
        assert row["duration"] == trial.duration


def samplers_for_optuna_need_optuna():
    with mock.patch.dict(sys.modules, {"optuna": None}):
        raises(MissingError, "pip install optuna", lambda: drmad.optuna)


def a_report_is_a_page():
    s = study(study_name="<b>odd")
    page = SCRATCH / "study.html"
    raises(drmad.Error, "none", lambda: s.report(SCRATCH / "none" / "a.html"))
    s.optimize(lambda t: square(t) + t.suggest_int("n", 1, 4), n_trials=20)
    s.report(page)
    text = page.read_text()
    assert text.startswith("<!doctype html>") or text.startswith("<!DOCTYPE html>"), text[:40]
    assert "<svg" in text and "<b>odd" not in text and "odd" in text
    assert not re.search(r"(src|href)\s*=\s*.https?:", text)


def records_handed_out_are_ones_own():
    s = study()
    s.optimize(square, n_trials=2)
    s.trials[0].params["x"] = 99
    assert s.trials[0].params["x"] != 99
    assert s.get_trials(deepcopy=False)[0] is s.get_trials(deepcopy=False)[0]


def nothing_of_torch_is_needed():
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'python')!r})\n"
        "import drmad\n"
        "s = drmad.create_study(sampler=drmad.samplers.RandomSampler())\n"
        "s.optimize(lambda t: t.suggest_float('x', 0, 1), n_trials=2)\n"
        "print(len(s.trials), 'torch' in sys.modules)"
    )
    p = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert p.stdout == "2 False\n", p.stdout + p.stderr


TESTS = [
    v for v in list(globals().values())
    if callable(v) and getattr(v, "__module__", "") == "__main__"
    and v.__code__.co_argcount == 0 and v not in (study,)
] if __name__ == "__main__" else []  # fmt: skip

if __name__ == "__main__":
    os.chdir(SCRATCH)
    main({f.__name__: f for f in TESTS})
