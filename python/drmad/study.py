"""A study under Optuna's names: asking, telling, optimising, looking. The library suggests, prunes
and keeps; here is what Python adds: threads, exceptions, records."""

from __future__ import annotations

import copy
import ctypes
import enum
import gc
import json
import logging
import os
import shutil
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from ._context import Context
from ._store import Reader
from .distributions import BaseDistribution
from .errors import Error, MissingError, UsageError
from .loop import Loop
from .trial import FrozenTrial, Trial, TrialState, frozen, thawed

if TYPE_CHECKING:
    import pandas  # type: ignore[import-untyped]

_LOGGER = logging.getLogger("drmad")
SHARED_LEASE, OWN_LEASE = 60.0, 86400.0  # seconds; nobody else waits for a store of our own
BEATS = 3  # a lease, as the library's workers do

T = TypeVar("T")
Objective = Callable[[Trial], float | Sequence[float]]
Callback = Callable[["Study", FrozenTrial], None]


class StudyDirection(enum.Enum):
    MINIMIZE = 1
    MAXIMIZE = 2


class Study:
    """Made by `create_study` and `load_study`. Any thread may use it, no process after a fork.

    Trials that were asked for and not told are held for as long as the study lives: their leases
    are renewed, so that no other worker takes them. When it goes (or `close` is called, or the
    process ends) the next worker that asks fails them once their lease is over."""

    def __init__(
        self,
        url: str,
        name: str,
        directions: list[str],
        settings: list[str],
        folder: str | None = None,
        kept: bool = False,
    ) -> None:
        self.study_name = name
        self._lock = threading.RLock()
        self._context = Context()
        self._lib = self._context.lib
        self.directions = [StudyDirection[d.upper()] for d in directions]
        self._open: dict[int, Trial] = {}
        self._finished: list[FrozenTrial] = []  # the first trials of all, as far as none runs
        self._stopped = False
        self._in_loop = threading.Lock()
        self._lease = OWN_LEASE if folder else SHARED_LEASE
        self._beating: threading.Thread | None = None
        self._parts = _Parts(self._lock, self._context, Reader(url, self._context), folder)
        self._close = weakref.finalize(self, self._parts.close)
        self._parts.study = self._study = self._load(url, settings, kept)

    def _load(self, url: str, settings: list[str], kept: bool) -> ctypes.c_void_p:
        study, target = ctypes.c_void_p(), f"{url}#{self.study_name}"
        settings = [*settings, f"worker.lease={self._lease:g}"]
        if not kept:
            settings.append(f"store={json.dumps(target, ensure_ascii=False)}")
        lines = (ctypes.c_char_p * len(settings))(*(s.encode() for s in settings))
        handle, n, out = self._context.handle, len(settings), ctypes.byref(study)
        if kept:
            status = self._lib.drmad_study_open(handle, target.encode(), 0, lines, n, out)
        else:
            status = self._lib.drmad_study_load(handle, None, lines, n, out)
        self._context.check(status)
        return study

    def close(self) -> None:
        """Frees it; a study without a storage is then gone."""
        with self._lock:
            for trial in self._open.values():
                trial._handle = None
            self._close()

    def __repr__(self) -> str:
        return f"<drmad study {self.study_name}>"

    def _call(self, name: str, *arguments: Any) -> None:
        """drmad_study_NAME(...)."""
        with self._lock:
            if not self._close.alive:
                raise UsageError(f"study {self.study_name} is closed")
            self._context.check(getattr(self._lib, f"drmad_study_{name}")(self._study, *arguments))

    # ---- looking ----

    @property
    def direction(self) -> StudyDirection:
        return self._single(self.directions)

    def _single(self, of_each: Sequence[T]) -> T:
        if len(self.directions) > 1:
            raise UsageError(
                f"study {self.study_name} has {len(self.directions)} objectives: see directions, "
                "best_trials and values"
            )
        return of_each[0]

    @property
    def trials(self) -> list[FrozenTrial]:
        """All, in the order of their numbers."""
        return self.get_trials()

    def get_trials(
        self, deepcopy: bool = True, states: Iterable[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Those in one of `states`, or all, in the order of their numbers. Without `deepcopy` the
        records are the study's own: look, do not change."""
        wanted = None if states is None else set(states)
        with self._lock:
            known = self._finished
            last = known[-1]._trial_id if known else -1
            setting = (ctypes.c_char_p * 1)(f"after={last}".encode())
            found = self._parts.store.call("trials", self.study_name.encode(), setting, 1)
            every = known + [frozen(t) for t in found["trials"]]
            unfinished = (i for i, t in enumerate(every) if not t.state.is_finished())
            self._finished = every[: next(unfinished, len(every))]
        chosen = [t for t in every if wanted is None or t.state in wanted]
        return copy.deepcopy(chosen) if deepcopy else chosen

    def _trial(self, number: int) -> FrozenTrial:
        return self.get_trials(deepcopy=False)[number]

    @property
    def best_trials(self) -> list[FrozenTrial]:
        """The best trial, in a list, none before one is complete; with several objectives all that
        no other one beats in each of them."""
        with self._lock:
            found = self._parts.store.call("best", self.study_name.encode())
        return [frozen(t) for t in found["best"]]

    @property
    def best_trial(self) -> FrozenTrial:
        """The complete trial with the best value, the earliest of equals."""
        best = self.best_trials
        if not best:
            raise UsageError(f"study {self.study_name}: no trial is complete yet")
        return self._single(best)

    @property
    def best_params(self) -> dict[str, Any]:
        return self.best_trial.params

    @property
    def best_value(self) -> float:
        value = self.best_trial.value
        assert value is not None  # it is complete
        return value

    def _attrs(self, kind: str) -> dict[str, Any]:
        with self._lock:
            return self._parts.store.call("show", self.study_name.encode())["study"][kind]

    @property
    def user_attrs(self) -> dict[str, Any]:
        return self._attrs("user_attrs")

    @property
    def system_attrs(self) -> dict[str, Any]:
        return self._attrs("system_attrs")

    def set_user_attr(self, key: str, value: Any) -> None:
        """Keeps `value`, anything that JSON can hold, with the study."""
        self._call("set_attr", key.encode(), json.dumps(value).encode())

    def trials_dataframe(
        self,
        attrs: Sequence[str] = (
            "number", "value", "datetime_start", "datetime_complete", "duration", "params",
            "user_attrs", "system_attrs", "state",
        ),
    ) -> pandas.DataFrame:  # fmt: skip
        """A row a trial; of `params` and attributes a column each, `params_lr`. Needs pandas."""
        try:
            import pandas
        except ImportError as e:
            raise MissingError(
                "trials_dataframe needs pandas: pip install pandas; without it, `drmad study "
                "export` writes a study as CSV"
            ) from e
        return pandas.DataFrame([_row(t, attrs) for t in self.get_trials(deepcopy=False)])

    def report(self, path: str | os.PathLike) -> None:
        """One HTML page that needs nothing else (docs/REPORT.md): history, importances, slices,
        learning curves, trials."""
        setting = (ctypes.c_char_p * 1)(b"file=" + os.fsencode(path))
        with self._lock:
            self._parts.store.call("report", self.study_name.encode(), setting, 1)

    # ---- asking and telling ----

    def _next(self) -> Trial | None:
        """None: the study has its trials (a study file's `search.trials`)."""
        with self._lock:
            out = ctypes.c_void_p()
            self._call("ask", ctypes.byref(out))
            if not out.value:
                return None
            trial = Trial(self, out.value)
            self._open[trial.number] = trial
            self._parts.trials.add(out.value)
            if not self._beating:
                arguments = weakref.ref(self), self._parts.quit, self._lease / BEATS
                self._beating = threading.Thread(target=_beat, args=arguments, daemon=True)
                self._beating.start()
        return trial

    def ask(self, fixed_distributions: Mapping[str, BaseDistribution] | None = None) -> Trial:
        """The next trial: the oldest queued one, else a new one. Parameters of
        `fixed_distributions` are suggested at once."""
        trial = self._next()
        if trial is None:
            raise UsageError(f"study {self.study_name} has all its trials")
        for name, distribution in (fixed_distributions or {}).items():
            trial.suggest(name, distribution)
        return trial

    def tell(
        self,
        trial: Trial | int,
        values: float | Sequence[float] | None = None,
        state: TrialState | None = None,
        skip_if_finished: bool = False,
    ) -> FrozenTrial:
        """Ends a trial that this study was asked for, named by itself or its number: COMPLETE with
        its value; without one, or with NaN, FAIL; PRUNED or FAIL by `state`."""
        number = trial if isinstance(trial, int) else trial.number
        open_one = self._open.get(number)
        if open_one is None:
            if skip_if_finished and self._trial(number).state.is_finished():
                return self._trial(number)
            raise UsageError(f"trial {number} was not asked for here, or has been told")
        if state in (TrialState.RUNNING, TrialState.WAITING):
            raise UsageError(f"state {state}: COMPLETE, PRUNED or FAIL can be told")
        if state in (TrialState.PRUNED, TrialState.FAIL):
            self._end(open_one, state)
        else:
            self._complete(open_one, values)
        return self._trial(number)

    def _complete(self, trial: Trial, values: Any) -> None:
        listed = values if isinstance(values, (list, tuple)) else [values]
        want = len(self.directions)
        try:
            numbers = [float(v) for v in listed]
        except (TypeError, ValueError):
            numbers = []
        if len(numbers) != want:
            what = "a number" if want == 1 else f"{want} numbers"
            self._fail(trial, f"the objective gave {values!r}, not {what}")
            return
        self._end(trial, TrialState.COMPLETE, numbers)

    def _fail(self, trial: Trial, why: str) -> None:
        _LOGGER.warning("trial %d failed: %s", trial.number, why)
        try:
            trial.set_user_attr("fail_reason", why)
            self._end(trial, TrialState.FAIL)
        except Error as e:  # the lease is lost, or the store: what made it fail is of more interest
            _LOGGER.warning("trial %d: that could not be kept: %s", trial.number, e)
            self._forget(trial)

    def _end(self, trial: Trial, state: TrialState, values: Sequence[float] = ()) -> None:
        trial._end(state, values)
        self._forget(trial)

    def _forget(self, trial: Trial) -> None:
        with self._lock:
            trial._free()
            self._open.pop(trial.number, None)

    def enqueue_trial(
        self,
        params: dict[str, Any],
        user_attrs: dict[str, Any] | None = None,
        skip_if_exists: bool = False,
    ) -> None:
        """Queues a point; parameters that it lacks are suggested when it runs."""
        if skip_if_exists and any(
            params in (t.params, t.system_attrs.get("fixed_params"))
            for t in self.get_trials(deepcopy=False)
        ):
            return
        waiting = FrozenTrial(
            state=TrialState.WAITING, params=params, user_attrs=dict(user_attrs or {})
        )
        self.add_trial(waiting)

    def add_trial(self, trial: FrozenTrial) -> None:
        """Adds a trial that ran elsewhere, of `drmad.trial.create_trial`, another study or
        Optuna's."""
        self._call("add", thawed(trial).encode(), ctypes.byref(ctypes.c_int64()))

    def add_trials(self, trials: Iterable[FrozenTrial]) -> None:
        for trial in trials:
            self.add_trial(trial)

    # ---- the loop ----

    def stop(self) -> None:
        """Ends `optimize` after the trials under way; for objectives and callbacks."""
        if not self._in_loop.locked():
            raise RuntimeError("Study.stop: called outside of an objective or a callback")
        self._stopped = True

    def optimize(
        self,
        func: Objective,
        n_trials: int | None = None,
        timeout: float | None = None,
        n_jobs: int = 1,
        catch: type[Exception] | Iterable[type[Exception]] = (),
        callbacks: Iterable[Callback] | None = None,
        gc_after_trial: bool = False,
        show_progress_bar: bool = False,
    ) -> None:
        """Runs `func` on trials, one after another or in `n_jobs` threads (-1: one a core), until
        there are `n_trials` more, `timeout` seconds are over (no trial is begun then), `stop` is
        called, or the study has all its trials.

        An exception fails its trial and comes out as it is, unless it is one of `catch`;
        `drmad.TrialPruned` prunes. Ctrl-C gives the trial back to the queue, for the next
        `optimize` to begin anew. Callbacks get the study and the trial as it ended."""
        if not self._in_loop.acquire(blocking=False):
            raise RuntimeError("Study.optimize: called inside of an objective or a callback")
        self._stopped = False
        caught = (catch,) if isinstance(catch, type) else tuple(catch)
        after = [*(callbacks or ()), *([_collect] if gc_after_trial else [])]
        loop = Loop(self, func, caught, after, n_trials, timeout, show_progress_bar)
        try:
            loop.run((os.cpu_count() or 1) if n_jobs == -1 else n_jobs)
        finally:
            loop.close()
            self._in_loop.release()


def _beat(study: weakref.ref[Study], quit: threading.Event, pause: float) -> None:
    """Renews the leases of a study's open trials until it is gone."""
    while not quit.wait(pause) and _beat_once(study()):
        pass


def _beat_once(study: Study | None) -> bool:
    """In a frame of its own, which holds neither study nor trial while the thread waits."""
    for trial in [*study._open.values()] if study else []:
        trial._beat()
    return study is not None


class _Parts:
    """What of a study must be freed, and in which order."""

    def __init__(
        self, lock: threading.RLock, context: Context, store: Reader, folder: str | None
    ) -> None:
        self.lock, self.context, self.store, self.folder = lock, context, store, folder
        self.study = ctypes.c_void_p()
        self.trials: set[int] = set()  # handles
        self.quit = threading.Event()

    def close(self) -> None:
        self.quit.set()
        with self.lock:
            lib = self.context.lib
            for trial in self.trials:
                lib.drmad_trial_free(trial)
            self.trials.clear()
            lib.drmad_study_free(self.study)
            self.store.close()
            self.context.close()
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)


def _collect(study: Study, trial: FrozenTrial) -> None:
    gc.collect()


def _row(trial: FrozenTrial, attrs: Sequence[str]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for attr in attrs:
        value = getattr(trial, attr)
        if isinstance(value, dict):
            row.update({f"{attr}_{k}": v for k, v in value.items()})
        else:
            row[attr] = value.name if isinstance(value, TrialState) else value
    return row
