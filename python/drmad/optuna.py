"""drmad's samplers for studies of Optuna (4.x and 5.x): a user of Optuna switches by one line.

    study = optuna.create_study(sampler=drmad.optuna.GPSampler(seed=1))

Suggestions are the C library's (include/drmad/sampler.h); here trials of Optuna become
observations. Parameters that all complete trials have in common, with the same distribution, are
suggested together. One that is new, or that some trials lack, is suggested when the objective asks
for it, given what the trial has already. Trials that run elsewhere count as running, those that
failed as failed; pruned ones have their last report as value.

A suggestion follows from the seed, the trial's number and what was finished by then; a process that
goes on with another's study fits its model from scratch, and so differs a little."""

from __future__ import annotations

import ctypes
import json
import secrets
import threading
import weakref
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ._context import Context
from .distributions import to_json
from .errors import MissingError, UsageError

try:
    import optuna  # type: ignore[import-not-found]
    from optuna.distributions import CategoricalDistribution  # type: ignore[import-not-found]
    from optuna.samplers import BaseSampler  # type: ignore[import-not-found]
    from optuna.trial import TrialState  # type: ignore[import-not-found]
except ImportError as e:
    raise MissingError("drmad.optuna needs Optuna: pip install optuna") from e

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study  # type: ignore[import-not-found]
    from optuna.trial import FrozenTrial, Trial

NAN = float("nan")
SHARED = "drmad:params"  # system attribute: a running trial's point, for other processes
SHARED_MAX = 2045  # bytes that a database of Optuna's takes
GRADIENT = "drmad:gradient"  # user attribute


def set_gradient(trial: Trial, gradient: Mapping[str, float]) -> None:
    """Keeps d objective / d parameter at this trial's point with it, by name, for some numbers or
    all: by the parameter as it is, not its logarithm. `GPSampler(gradients=True)` learns from
    it."""
    trial.set_user_attr(GRADIENT, {name: float(x) for name, x in gradient.items()})


class _History:
    """What the library knows of a study's trials, in the space of some of its parameters."""

    def __init__(self, context: Context, settings: Sequence[str]) -> None:
        self.context, self.lib = context, context.lib
        self.space: dict[str, BaseDistribution] = {}  # in the order of the library's
        self.finished: set[int] = set()
        self.handle = ctypes.c_void_p()
        lines = (ctypes.c_char_p * len(settings))(*(s.encode() for s in settings))
        self._check(
            self.lib.drmad_sampler_new(
                context.handle, lines, len(settings), ctypes.byref(self.handle)
            )
        )
        weakref.finalize(self, _free, context, self.handle)

    def _check(self, status: int) -> None:
        self.context.check(status)

    def add(self, space: dict[str, BaseDistribution]) -> None:
        """Declares what is not declared so yet. Rows of trials that ended before are made anew,
        for they have values of it."""
        for name, distribution in space.items():
            if self.space.get(name) == distribution:
                continue
            if name not in self.space:
                self.finished.clear()
            self._check(
                self.lib.drmad_sampler_add_param(
                    self.handle, name.encode(), _json(distribution),
                    ctypes.byref(ctypes.c_int()),
                )
            )  # fmt: skip
            self.space[name] = distribution

    def point(self, params: dict[str, Any]) -> ctypes.Array:
        """Values as the library has them, NaN for what `params` lacks."""
        x = (ctypes.c_double * max(1, len(self.space)))()
        for i, (name, distribution) in enumerate(self.space.items()):
            there = name in params
            x[i] = distribution.to_internal_repr(params[name]) if there else NAN
        return x

    def slopes(self, gradient: dict[str, float]) -> ctypes.Array:
        """One a parameter, NaN for what `gradient` lacks."""
        found = [float(gradient.get(name, NAN)) for name in self.space]
        return (ctypes.c_double * max(1, len(found)))(*found)

    def observe(self, trials: Sequence[FrozenTrial], number: int) -> None:
        """Takes in what is new in a study's trials; `number`: of the one that is to be suggested
        for."""
        for t in trials:
            if t.number in self.finished or t.number == number or t.state not in STATES:
                continue
            params = t.params
            if t.state.is_finished():
                self.finished.add(t.number)
            else:
                params = {**_shared(t, self.space), **params}
            if not params.keys() & self.space.keys():
                if t.state.is_finished():
                    self.lib.drmad_sampler_forget(self.handle, t.number)
                continue
            step = t.last_step if t.last_step is not None else 0
            value = t.value
            if t.state is TrialState.PRUNED:
                value = t.intermediate_values.get(step, NAN)
            self._check(
                self.lib.drmad_sampler_observe(
                    self.handle, t.number, STATES[t.state], self.point(params),
                    NAN if value is None else value, step,
                )
            )  # fmt: skip
            if GRADIENT in t.user_attrs:
                self._check(
                    self.lib.drmad_sampler_gradient(
                        self.handle, t.number, self.slopes(t.user_attrs[GRADIENT])
                    )
                )

    def suggest(self, number: int, given: dict[str, Any]) -> dict[str, Any]:
        """A whole point, with the values of `given` where it has any."""
        x = self.point(given)
        self._check(self.lib.drmad_sampler_suggest(self.handle, number, x))
        return {n: d.to_external_repr(x[i]) for i, (n, d) in enumerate(self.space.items())}


def _free(context: Context, handle: ctypes.c_void_p) -> None:
    context.lib.drmad_sampler_free(handle)


STATES = {
    TrialState.COMPLETE: b"COMPLETE",
    TrialState.PRUNED: b"PRUNED",
    TrialState.FAIL: b"FAIL",
    TrialState.RUNNING: b"RUNNING",
}


def _json(distribution: BaseDistribution) -> bytes:
    """For the library a choice is its place in the list: any object may stand there."""
    found = to_json(distribution)
    if isinstance(distribution, CategoricalDistribution):
        found["attributes"] = {"choices": [str(i) for i in range(len(distribution.choices))]}
    return json.dumps(found).encode()


def _shared(trial: FrozenTrial, space: dict[str, BaseDistribution]) -> dict[str, Any]:
    """What another process's sampler has suggested for a trial, used or not yet."""
    found = json.loads(trial.system_attrs.get(SHARED, "{}"))
    return {n: space[n].to_external_repr(x) for n, x in found.items() if n in space}


class _Known:
    """Of one study, or of one of Hyperband's brackets of it."""

    def __init__(self) -> None:
        self.common = optuna.search_space.IntersectionSearchSpace()
        self.together: _History | None = None  # over the parameters in common
        self.alone: _History | None = None  # over whatever was asked for by itself
        self.plan: dict[str, Any] = {}  # of the trial `planned`
        self.planned = -1


class _Sampler(BaseSampler):
    """`seed`: None draws one. `n_startup_trials`: trials at points of a Sobol sequence before the
    model is asked; None: the sampler's own choice."""

    _word = ""

    def __init__(self, *, seed: int | None = None, n_startup_trials: int | None = None) -> None:
        self._seed = secrets.randbelow(1 << 53) if seed is None else seed
        self._startup = n_startup_trials or 0
        self._gradients = False
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._context: Context | None = None
        self._studies: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()  # by storage

    def __getstate__(self) -> dict[str, Any]:
        return {k: self.__dict__[k] for k in ("_seed", "_startup", "_gradients")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()

    def _known(self, study: Study) -> _Known:
        if len(study.directions) != 1:
            raise UsageError(
                f"drmad.optuna.{type(self).__name__} works on one objective, and the study has "
                f"{len(study.directions)}: take optuna.samplers.TPESampler or NSGAIISampler"
            )
        key = study._study_id, getattr(study, "_bracket_id", None)
        return self._studies.setdefault(study._storage, {}).setdefault(key, _Known())

    def _new_history(self, study: Study) -> _History:
        self._context = self._context or Context(threads=1)
        settings = (f"sampler={self._word}", f"direction={study.direction.name.lower()}",
                    f"seed={self._seed}", f"startup={self._startup}",
                    f"gradients={str(self._gradients).lower()}")  # fmt: skip
        return _History(self._context, settings)

    def reseed_rng(self) -> None:
        """Nothing to do: each trial has its own random numbers, by its number."""

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """The parameters that all complete trials have, those with one possible value left out."""
        with self._lock:
            found = self._known(study).common.calculate(study)
        return {name: d for name, d in found.items() if not d.single()}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        if not search_space:
            return {}
        with self._lock:
            known = self._known(study)
            history = known.together
            if history is None or history.space != search_space:
                history = known.together = self._new_history(study)
                history.add(search_space)
            history.observe(study.get_trials(deepcopy=False), trial.number)
            found = history.suggest(trial.number, {})
        internal = {n: search_space[n].to_internal_repr(x) for n, x in found.items()}
        text = json.dumps(internal)
        if len(text) <= SHARED_MAX:
            study._storage.set_trial_system_attr(trial._trial_id, SHARED, text)
        return found

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        with self._lock:
            known = self._known(study)
            history = known.alone = known.alone or self._new_history(study)
            given = dict(trial.params)
            planned = known.planned == trial.number and all(
                n in known.plan and known.plan[n] == x for n, x in given.items()
            )
            if planned and history.space.get(param_name) == param_distribution:
                return known.plan[param_name]
            history.add({**trial.distributions, param_name: param_distribution})
            history.observe(study.get_trials(deepcopy=False), trial.number)
            known.plan = history.suggest(trial.number, given)
            known.planned = trial.number
            return known.plan[param_name]


class GPSampler(_Sampler):
    """A Gaussian process and its expected improvement. `gradients`: it learns from those that
    `set_gradient` kept with trials."""

    _word = "gp"

    def __init__(
        self,
        *,
        seed: int | None = None,
        n_startup_trials: int | None = None,
        gradients: bool = False,
    ) -> None:
        super().__init__(seed=seed, n_startup_trials=n_startup_trials)
        self._gradients = gradients


class TPESampler(_Sampler):
    """Tree-structured Parzen estimators, multivariate."""

    _word = "tpe"


class CmaEsSampler(_Sampler):
    """CMA-ES."""

    _word = "cmaes"
