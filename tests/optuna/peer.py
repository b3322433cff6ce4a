"""peer.py URL VERB STUDY [N]: Optuna's side of what drive.c does on ours, run by the Python of one
of the environments of tools/optuna-env. Verbs and printed lines are drive.c's. Without arguments:
one such call a line of stdin, as a JSON list, each answered by its lines and "done" or a
traceback in a JSON object."""

import datetime
import json
import math
import os
import sys
import time
import traceback
import warnings

warnings.simplefilter("ignore")

import optuna  # noqa: E402
from optuna.distributions import distribution_to_json  # noqa: E402
from optuna.storages import JournalStorage, RDBStorage  # noqa: E402
from optuna.trial import TrialState  # noqa: E402

optuna.logging.set_verbosity(optuna.logging.ERROR)
UTC_SINCE = (5, 0)  # from then on times are kept in UTC and shown in local time


def sqlalchemy_url(url):
    return "sqlite:///" + url.removeprefix("sqlite:") if url.startswith("sqlite:") else url


def open_storage(url):
    if url.startswith("journal:"):
        try:
            from optuna.storages.journal import JournalFileBackend
        except ImportError:
            from optuna.storages import JournalFileStorage as JournalFileBackend
        return JournalStorage(JournalFileBackend(url.removeprefix("journal:")))
    beat = {}
    if "PEER_BEAT_S" in os.environ:
        from optuna.storages import RetryFailedTrialCallback

        seconds = int(os.environ["PEER_BEAT_S"])
        beat = {
            "heartbeat_interval": seconds,
            "grace_period": 2 * seconds,
            "failed_trial_callback": RetryFailedTrialCallback(max_retry=1),
        }
    engine = {"connect_args": {"timeout": 60}} if url.startswith("sqlite:") else {}
    return RDBStorage(sqlalchemy_url(url), engine_kwargs=engine, **beat)


def say(value):
    print(json.dumps(value, ensure_ascii=False), flush=True)


# ---- verbs that write: the same studies as drive.c's ----


def create(storage, name, n):
    optuna.create_study(storage=storage, study_name=name, directions=["minimize", "maximize"][:n])


def load(storage, name):
    return optuna.load_study(storage=storage, study_name=name)


def enqueue(study, n):
    for i in range(n):
        study.enqueue_trial({"x": float(i)})


def objective(trial):
    k = trial.number
    trial.suggest_float("x", 0.0, 1000.0)
    trial.suggest_float("lr", 1e-05, 0.1, log=True)
    trial.suggest_int("n", 1, 9, step=2)
    trial.suggest_categorical("choice", [None, True, 3, 0.5, "relu"])
    for step, value in ((0, k), (1, math.inf), (2, -math.inf), (3, math.nan), (10, k / 3)):
        trial.report(value, step)
    trial.set_user_attr("note", {"a": [1, None, "é"]})
    trial.storage.set_trial_system_attr(trial._trial_id, "sys", 0.1)
    return (k - 3) ** 2 + 0.1


def add(study, n):
    for _ in range(n):
        trial = study.ask()
        study.tell(trial, objective(trial))
        say(trial.number)


def ends(study, _n):
    for state, value in (
        (TrialState.COMPLETE, math.inf),
        (TrialState.COMPLETE, -math.inf),
        (TrialState.FAIL, None),
        (TrialState.PRUNED, None),
        (TrialState.FAIL, None),
    ):
        trial = study.ask()
        trial.report(0.75, 4)
        study.tell(trial, value, state=state)
    study.ask()
    enqueue(study, 1)


def wait_for_gate():
    say("ready")
    while not os.path.exists(os.environ["GATE"]):
        time.sleep(0.01)


def work(study, milliseconds):
    """Runs queued trials until none is left. One that the queue did not give is failed."""
    if "GATE" in os.environ:
        wait_for_gate()
    while study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        trial = study.ask()
        frozen = study._storage.get_trial(trial._trial_id)
        if "fixed_params" not in frozen.system_attrs:
            study.tell(trial, state=TrialState.FAIL)
            continue
        say(trial.number)
        trial.suggest_float("x", 0.0, 1000.0)
        time.sleep(milliseconds / 1000)
        study.tell(trial, float(trial.number))


def square(study, n):
    """n trials by users' own loop, of what test_workers.py has drmad's workers run."""
    study.optimize(lambda trial: (trial.suggest_float("x", 0.0, 10.0) - 3) ** 2, n_trials=n)


def queue_x(study, x):
    study.enqueue_trial({"x": float(x)})


def sleep(study, seconds):
    """One trial of users' own loop, which beats meanwhile."""

    def objective(trial):
        say(trial.number)
        time.sleep(seconds)
        return 1.0

    study.optimize(objective, n_trials=1)


def expire(study, _n):
    optuna.storages.fail_stale_trials(study)


def delete(study, _n):
    optuna.delete_study(study_name=study.study_name, storage=study._storage)


# ---- reading ----


def clock(at, in_journal):
    """Of a database that an Optuna before 5.0 shows: what is kept there, whatever zone that was."""
    if at is None:
        return None
    version = tuple(int(x) for x in optuna.__version__.split(".")[:2])
    if at.tzinfo is None and (version >= UTC_SINCE or in_journal):
        at = at.astimezone()
    if at.tzinfo is not None:
        at = at.astimezone(datetime.timezone.utc)
    return at.strftime("%Y-%m-%d %H:%M:%S.%f")


def as_line(study, trial):
    in_journal = isinstance(study._storage, JournalStorage)
    return {
        "number": trial.number,
        "state": trial.state.name,
        "start": clock(trial.datetime_start, in_journal),
        "complete": clock(trial.datetime_complete, in_journal),
        "params": {
            name: [float(d.to_internal_repr(trial.params[name])), distribution_to_json(d)]
            for name, d in trial.distributions.items()
        },
        "values": trial.values or [],
        "reports": sorted([k, v] for k, v in trial.intermediate_values.items()),
        "user_attrs": trial.user_attrs,
        "system_attrs": {
            k: v for k, v in trial.system_attrs.items() if not k.startswith("drmad:")
        },
    }


def dump(study, _n):
    for trial in study.trials:
        say(as_line(study, trial))


def best(study, _n):
    say(as_line(study, study.best_trial))


def frame(study, _n):
    """What people do with the times of trials."""
    for trial in study.trials:
        if trial.state.is_finished():
            assert datetime.timedelta(0) <= trial.duration < datetime.timedelta(hours=1), trial
    say(len(study.trials))


VERBS = (enqueue, add, ends, work, square, queue_x, sleep, expire, delete, dump, best, frame)


def call(url, verb, name, n=1):
    storage = open_storage(url)
    try:
        if verb == "create":
            create(storage, name, int(n))
        else:
            {f.__name__: f for f in VERBS}[verb](load(storage, name), int(n))
    finally:
        if hasattr(storage, "engine"):
            storage.remove_session()
            storage.engine.dispose()


def serve():
    for line in sys.stdin:
        try:
            call(*json.loads(line))
            say("done")
        except Exception:
            say({"error": traceback.format_exc()})


if __name__ == "__main__":
    call(*sys.argv[1:]) if len(sys.argv) > 1 else serve()
