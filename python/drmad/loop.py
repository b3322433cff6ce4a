"""The loop of `Study.optimize`: its threads, its limits, what becomes of an objective's end."""

from __future__ import annotations

import contextlib
import math
import sys
import time
import traceback
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TYPE_CHECKING

from .errors import Error
from .progress import Progress
from .trial import Trial, TrialPruned, TrialState

if TYPE_CHECKING:
    from .study import Callback, Objective, Study


class Loop:
    """One call of optimize."""

    def __init__(
        self,
        study: Study,
        func: Objective,
        catch: tuple[type[Exception], ...],
        callbacks: Sequence[Callback],
        n_trials: int | None,
        timeout: float | None,
        bar: bool,
    ) -> None:
        self.study, self.func, self.catch, self.callbacks = study, func, catch, callbacks
        self.n_trials = n_trials
        self.end = math.inf if timeout is None else time.monotonic() + timeout
        self.begun = self.done = 0
        self.bar = Progress(0) if bar else None

    def close(self) -> None:
        if self.bar:
            self.bar.close()

    def run(self, jobs: int) -> None:
        if jobs == 1:
            self._work()
            return
        with ThreadPoolExecutor(jobs) as pool:
            workers = [pool.submit(self._work) for _ in range(jobs)]
            try:
                for worker in as_completed(workers):
                    worker.result()
            finally:  # others end the trials that they have
                self.study._stopped = True

    def _claim(self) -> bool:
        with self.study._lock:
            if self.study._stopped or time.monotonic() >= self.end:
                return False
            if self.n_trials is not None and self.begun >= self.n_trials:
                return False
            self.begun += 1
            return True

    def _work(self) -> None:
        while self._claim():
            trial = self.study._next()
            if trial is None:
                return
            try:
                self._run(trial)
            except BaseException:
                self.study._stopped = True
                raise
            if self.callbacks:
                record = self.study._trial(trial.number)
                for callback in self.callbacks:
                    callback(self.study, record)
            self._show()

    def _run(self, trial: Trial) -> None:
        study = self.study
        try:
            study._complete(trial, self.func(trial))
        except Exception as e:
            if _prunes(e):
                study._end(trial, TrialState.PRUNED)
                return
            study._fail(trial, "".join(traceback.format_exception_only(e)).strip())
            if not isinstance(e, self.catch):
                raise
        except BaseException:
            with contextlib.suppress(Error):
                trial._release()
            study._forget(trial)
            raise

    def _show(self) -> None:
        with self.study._lock:
            self.done += 1
            if self.bar:
                best = self.study.best_trials
                text = f"{self.done} of {self.n_trials or '?'} trials"
                text += f", best {best[0].value:.4g}" if len(best) == 1 else ""
                self.bar.event(text, self.done, self.n_trials or 0, "")


def _prunes(e: Exception) -> bool:
    """TrialPruned, ours or, from callbacks written for it, Optuna's."""
    optuna = sys.modules.get("optuna")
    theirs = getattr(optuna, "TrialPruned", TrialPruned)
    return isinstance(e, (TrialPruned, theirs))
