"""drmad.optuna in studies of Optuna's, as users write them. Prints PASS and FAIL lines; run by the
Python that has Optuna."""

import math
import os
import pathlib
import pickle
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings

import drmad
import drmad.optuna as ours
import optuna

optuna.logging.set_verbosity(optuna.logging.CRITICAL)
warnings.simplefilter("ignore")
KINDS = (ours.GPSampler, ours.TPESampler, ours.CmaEsSampler)
COMPLETE = optuna.trial.TrialState.COMPLETE


def branin(trial, sign=1.0):
    x, y = trial.suggest_float("x", -5, 10), trial.suggest_float("y", 0, 15)
    a = y - 5.1 / (4 * math.pi**2) * x * x + 5 / math.pi * x - 6
    return sign * (a * a + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10)


def study(sampler, **more):
    return optuna.create_study(sampler=sampler, **more)


def points(sampler, n=12, objective=branin, **more):
    s = study(sampler, **more)
    s.optimize(objective, n_trials=n)
    return [t.params for t in s.trials]


def median_best(sampler_of, n, seeds=5):
    best = []
    for seed in range(seeds):
        s = study(sampler_of(seed))
        s.optimize(branin, n_trials=n)
        best.append(s.best_value - 0.397887)
    return sorted(best)[seeds // 2]


def each_kind_beats_random_on_branin():
    for kind, n, factor in ((KINDS[0], 40, 30), (KINDS[1], 80, 3), (KINDS[2], 80, 3)):
        random = median_best(lambda k: optuna.samplers.RandomSampler(seed=k), n)
        best = median_best(lambda k, kind=kind: kind(seed=k), n)
        assert best * factor < random, f"{kind.__name__}: {best} against {random}"


def a_seed_gives_the_same_points_in_any_process():
    for kind in KINDS:
        here = points(kind(seed=7))
        assert here == points(kind(seed=7)) != points(kind(seed=8)), kind
        code = (
            "import sys, json; sys.path[:0] = json.loads(sys.argv[1])\n"
            "import sampler_checks as c\n"
            f"print(c.points(c.ours.{kind.__name__}(seed=7)))"
        )
        argv = [sys.executable, "-c", code, str(sys.path).replace("'", '"')]
        there = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
        assert there.strip() == str(here), kind
    assert points(ours.GPSampler()) != points(ours.GPSampler())


def maximising_is_minimising_the_negative():
    for kind in KINDS:
        low = points(kind(seed=1), 14)
        high = points(kind(seed=1), 14, lambda t: branin(t, -1.0), direction="maximize")
        assert low == high, kind


def mixed_spaces_are_searched():
    def objective(trial):
        lr = trial.suggest_float("lr", 1e-5, 1.0, log=True)
        units = trial.suggest_int("units", 16, 256, step=16)
        depth = trial.suggest_int("depth", 1, 64, log=True)
        drop = trial.suggest_float("drop", 0, 0.5, step=0.125)
        act = trial.suggest_categorical("act", ["relu", None, 3, True])
        assert units % 16 == 0 and (drop * 8).is_integer() and type(depth) is int
        bad = {"relu": 0.0, None: 1.0, 3: 1.0, True: 2.0}[act]
        return (math.log10(lr) + 2) ** 2 + abs(units - 96) / 96 + math.log(depth) ** 2 + drop + bad

    s = study(ours.GPSampler(seed=2))
    s.optimize(objective, n_trials=40)
    assert s.best_params["act"] == "relu" and s.best_value < 1, s.best_trial
    for kind in KINDS[1:]:
        assert len(points(kind(seed=2), 20, objective)) == 20


def conditional_spaces_are_searched():
    def objective(trial):
        if trial.suggest_categorical("kind", ["sgd", "adam"]) == "sgd":
            return 1 + (trial.suggest_float("momentum", 0, 1) - 0.9) ** 2
        beta = trial.suggest_float("beta", 0, 1)
        return (beta - 0.3) ** 2 + (trial.suggest_float("eps", 1e-9, 1e-3, log=True) > 1e-6)

    s = study(ours.GPSampler(seed=3))
    s.optimize(objective, n_trials=35)
    assert s.best_params["kind"] == "adam" and s.best_value < 0.01, s.best_trial
    adam = [t.params["beta"] for t in s.trials[-10:] if "beta" in t.params]
    assert len(adam) >= 5, "the better branch is not preferred"
    for kind in KINDS[1:]:
        assert len(points(kind(seed=3), 20, objective)) == 20


def fixed_parameters_stay_fixed():
    for kind in KINDS:
        sampler = optuna.samplers.PartialFixedSampler({"y": 2.0}, kind(seed=4))
        found = points(sampler, 12)
        assert all(p["y"] == 2.0 for p in found) and len({p["x"] for p in found}) > 8, found


def pruners_work_beside_it():
    def objective(trial):
        x = trial.suggest_float("x", 0, 1)
        for step in range(1, 10):
            trial.report((x - 0.2) ** 2 + 1 / step, step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return (x - 0.2) ** 2

    for pruner in (
        optuna.pruners.MedianPruner(n_startup_trials=3, n_warmup_steps=2),
        optuna.pruners.HyperbandPruner(min_resource=1, max_resource=9),
    ):
        s = study(ours.GPSampler(seed=5), pruner=pruner)
        s.optimize(objective, n_trials=30)
        pruned = s.get_trials(states=[optuna.trial.TrialState.PRUNED])
        assert len(s.trials) == 30 and pruned
        assert abs(s.best_params["x"] - 0.2) < 0.05, s.best_params


def jobs_side_by_side_look_at_different_points():
    for kind in KINDS:
        s = study(kind(seed=6))
        wall = threading.Barrier(4, timeout=20)

        def objective(trial, wall=wall):
            value = branin(trial)
            if trial.number < 24:
                wall.wait()  # four of them run at once, always
            return value

        s.optimize(objective, n_trials=24, n_jobs=4)
        assert [t.state for t in s.trials] == [COMPLETE] * 24
        x = [(t.params["x"], t.params["y"]) for t in s.trials]
        assert len(set(x)) == 24, f"{kind.__name__} asked twice for a point"


def running_trials_count():
    """Asked for and not told: the next suggestions go elsewhere, of another sampler on the same
    storage too, which knows them by what they share."""
    with tempfile.TemporaryDirectory() as folder:

        def another():
            backend = optuna.storages.journal.JournalFileBackend(f"{folder}/runs.log")
            storage = optuna.storages.JournalStorage(backend)
            sampler = ours.GPSampler(seed=1)
            return study(sampler, storage=storage, study_name="s", load_if_exists=True)

        first, second, third = another(), another(), another()
        first.optimize(branin, n_trials=14)
        space = first.trials[0].distributions
        asked = [s.ask(space).params for s in (first, second, third, first)]
        for i, p in enumerate(asked):
            for q in asked[:i]:
                d = math.hypot((p["x"] - q["x"]) / 15, (p["y"] - q["y"]) / 15)
                assert d > 1e-3, f"{p} and {q} run at once"


def queued_points_are_learnt_from():
    s = study(ours.GPSampler(seed=1, n_startup_trials=3))
    for x in (-3.0, 3.14, 9.4):
        s.enqueue_trial({"x": x, "y": 2.275})
    s.optimize(branin, n_trials=12)
    assert [t.params["x"] for t in s.trials[:3]] == [-3.0, 3.14, 9.4]
    assert s.best_value < 0.5


def failures_do_not_stop_it():
    def objective(trial):
        value = branin(trial)
        if trial.params["x"] < 0:
            raise FloatingPointError("diverged")
        return math.nan if trial.params["y"] > 12 else value

    for kind in KINDS:
        s = study(kind(seed=2))
        s.optimize(objective, n_trials=25, catch=FloatingPointError)
        good = s.get_trials(states=[COMPLETE])
        assert len(s.trials) == 25 and 0 < len(good) < 25
        assert s.best_value < 20


def several_objectives_are_refused_by_name():
    s = study(ours.GPSampler(), directions=["minimize", "maximize"])
    try:
        s.optimize(lambda t: (t.suggest_float("x", 0, 1), 1.0), n_trials=1)
    except ValueError as e:
        assert "one objective" in str(e) and "NSGAIISampler" in str(e), e
        assert isinstance(e, drmad.UsageError)
        return
    raise AssertionError("two objectives were taken")


def one_sampler_serves_several_studies():
    sampler = ours.GPSampler(seed=9)
    alone = points(ours.GPSampler(seed=9))
    assert points(sampler) == alone
    assert points(sampler) == alone
    other = points(sampler, objective=lambda t: t.suggest_float("other", 0, 1))
    assert [*other[0]] == ["other"]


def a_sampler_can_be_pickled():
    sampler = ours.GPSampler(seed=11)
    before = points(sampler)
    assert points(pickle.loads(pickle.dumps(sampler))) == before
    assert str(sampler) == "GPSampler"


def gradients_are_learnt_from():
    def bowl(trial):
        x, y = trial.suggest_float("x", -5, 10), trial.suggest_float("y", 0, 15)
        ours.set_gradient(trial, {"x": 2 * (x - 3), "y": 4 * (y - 11)})
        return (x - 3) ** 2 + 2 * (y - 11) ** 2

    def best(sampler):
        s = study(sampler)
        s.optimize(bowl, n_trials=9)
        return s.best_value

    kinds = [{"gradients": g, "n_startup_trials": 3} for g in (False, True)]
    plain, with_them = (sorted(best(ours.GPSampler(seed=k, **g)) for k in range(5)) for g in kinds)
    assert with_them[2] < 0.5 * plain[2], f"{with_them} against {plain}"
    sampler = ours.GPSampler(seed=1, **kinds[1])
    assert best(pickle.loads(pickle.dumps(sampler))) == best(sampler)


def a_choice_may_be_any_object():
    sizes = [(64, 64), (256,), math.nan]
    for kind in KINDS:
        s = study(kind(seed=1))
        s.optimize(lambda t: float(sizes.index(t.suggest_categorical("s", sizes))), n_trials=15)
        assert s.best_params["s"] == (64, 64)


def a_suggestion_takes_little_time():
    """Far from a benchmark: whoever breaks the bookkeeping makes it ten times as slow."""
    s = study(ours.TPESampler(seed=1))
    s.optimize(branin, n_trials=300)
    took = (s.trials[-1].datetime_start - s.trials[-21].datetime_start).total_seconds() / 20
    assert took < 0.05, f"{1000 * took:.1f} ms a trial at 300"


def main():
    tests = [
        f for f in list(globals().values())
        if getattr(f, "__module__", "") == "__main__" and not f.__code__.co_argcount and f != main
    ]  # fmt: skip
    tag = "_" + optuna.__version__.replace(".", "")
    failed = 0
    for test in tests:
        if not all(word in test.__name__ + tag for word in sys.argv[1:]):
            continue
        begun = time.monotonic()
        try:
            test()
            print(f"PASS {test.__name__}{tag}", flush=True)
        except Exception:
            failed += 1
            print("".join("  " + s for s in traceback.format_exc().splitlines(True)))
            print(f"FAIL {test.__name__}{tag}", flush=True)
        if os.environ.get("DRMAD_SHOW"):
            print(f"  {time.monotonic() - begun:.1f} s")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).parent))
    main()
