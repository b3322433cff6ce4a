"""Trials under Optuna's names: one that runs (`Trial`), one that is kept (`FrozenTrial`)."""

from __future__ import annotations

import ctypes
import datetime
import enum
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from . import _abi
from .distributions import (
    BaseDistribution,
    CategoricalDistribution,
    Choice,
    FloatDistribution,
    IntDistribution,
    choice_json,
    from_json,
    to_json,
)
from .errors import UsageError

if TYPE_CHECKING:
    from .study import Study

T = TypeVar("T", bound=Choice)
WHOLE = 1 << 53  # whole numbers beyond it are not exact as doubles


class TrialPruned(Exception):
    """Raised by an objective to end its trial early: its state becomes PRUNED."""


class TrialState(enum.Enum):
    """Optuna's states and their numbers."""

    RUNNING = 0
    COMPLETE = 1
    PRUNED = 2
    FAIL = 3
    WAITING = 4

    def is_finished(self) -> bool:
        return self not in (TrialState.RUNNING, TrialState.WAITING)


def utc(text: str) -> datetime.datetime:
    """A time of the store, with its zone."""
    return datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.timezone.utc)


def local(text: str | None) -> datetime.datetime | None:
    """The same as Optuna hands it out: local, without a zone."""
    return utc(text).astimezone().replace(tzinfo=None) if text else None


def text_of(when: datetime.datetime | None) -> str | None:
    """A local time, or one with a zone, as the store keeps it: UTC."""
    if when is None:
        return None
    return when.astimezone(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M:%S.%f")


class Trial:
    """A trial under way, made by `Study.ask` or `Study.optimize`. Any thread may use it.

    A parameter gets its value at the first `suggest_...` of its name and keeps it afterwards."""

    def __init__(self, study: Study, handle: int) -> None:
        self.study = study
        self._handle: int | None = handle
        self._lib = study._context.lib
        self.number: int = self._lib.drmad_trial_number(handle)
        self._params: dict[str, Any] = {}  # with the caller's own choice objects
        self._distributions: dict[str, BaseDistribution] = {}
        self._user_attrs: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f"Trial(number={self.number}, params={self.params})"

    # ---- values ----

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """A real from `low` to `high`, both possible. `log`: evenly in the logarithm. `step`: one
        of low, low + step, ...; not with `log`."""
        out = ctypes.c_double()
        self._suggest("real", name, float(low), float(high), float(step or 0), int(log), out)
        return self._keep(name, out.value, FloatDistribution(float(low), float(high), log, step))

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        """A whole number from `low` to `high`, both possible, of each `step`-th. Within 2^53."""
        for x in (low, high, step):
            if x != int(x) or abs(x) > WHOLE:
                raise UsageError(f"parameter {name}: {x} is not a whole number within 2^53")
        out = ctypes.c_int64()
        self._suggest("int", name, int(low), int(high), int(step), int(log), out)
        return self._keep(name, out.value, IntDistribution(int(low), int(high), log, int(step)))

    def suggest_categorical(self, name: str, choices: Sequence[T]) -> T:
        """One of `choices`: None, bools, numbers, texts."""
        texts = [choice_json(name, c).encode() for c in choices]
        out = ctypes.c_int()
        self._suggest("choice", name, (ctypes.c_char_p * len(texts))(*texts), len(texts), out)
        return self._keep(name, choices[out.value], CategoricalDistribution(choices))

    def _suggest(self, kind: str, name: str, *arguments: Any) -> None:
        *values, out = arguments
        call = getattr(self._lib, f"drmad_trial_suggest_{kind}")
        self._call(call, name.encode(), *values, ctypes.byref(out))

    def _keep(self, name: str, value: Any, distribution: BaseDistribution) -> Any:
        self._params[name] = value
        self._distributions[name] = distribution
        return value

    def suggest(self, name: str, distribution: BaseDistribution) -> Any:
        """The same by a distribution."""
        d = distribution
        if isinstance(d, FloatDistribution):
            return self.suggest_float(name, d.low, d.high, step=d.step, log=d.log)
        if isinstance(d, IntDistribution):
            return self.suggest_int(name, d.low, d.high, step=d.step, log=d.log)
        return self.suggest_categorical(name, d.choices)

    @property
    def params(self) -> dict[str, Any]:
        """Values by name, those of the study's declared parameters too."""
        with self.study._lock:
            if self._handle:
                found = self._lib.drmad_trial_params_json(self._handle).decode()
                self._params = {**json.loads(found or "{}"), **self._params}
            return dict(self._params)

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """Of the parameters that were suggested here, by name."""
        return dict(self._distributions)

    # ---- what it says ----

    def report(self, value: float, step: int) -> None:
        """An intermediate value of the objective; of one step the last counts."""
        self._call(self._lib.drmad_trial_report, int(step), float(value))

    def should_prune(self) -> bool:
        """Whether the study's pruner would end the trial after what it has reported: then raise
        `drmad.TrialPruned`."""
        out = ctypes.c_int()
        self._call(self._lib.drmad_trial_should_prune, ctypes.byref(out))
        return bool(out.value)

    def set_gradient(self, gradient: Mapping[str, float]) -> None:
        """d objective / d parameter at this trial's point, by name, for some parameters or all: by
        the parameter as it is, not its logarithm. The GP sampler learns from it."""
        text = json.dumps({name: float(x) for name, x in gradient.items()})
        self._call(self._lib.drmad_trial_set_gradient, text.encode())

    def set_user_attr(self, key: str, value: Any) -> None:
        """Keeps `value`, anything that JSON can hold, with the trial."""
        text = json.dumps(value)
        self._call(self._lib.drmad_trial_set_attr, key.encode(), text.encode())
        self._user_attrs[key] = json.loads(text)

    @property
    def user_attrs(self) -> dict[str, Any]:
        return dict(self._user_attrs)

    @property
    def datetime_start(self) -> datetime.datetime | None:
        """When it began: local time, without a zone."""
        return self.study._trial(self.number).datetime_start

    # ---- its end ----

    def _call(self, function: Callable[..., int], *arguments: Any) -> None:
        with self.study._lock:
            if not self._handle:
                raise UsageError(f"trial {self.number} has ended")
            self.study._context.check(function(self._handle, *arguments))

    def _beat(self) -> None:
        """Renews the lease; a lost one is for the trial's own calls to find out."""
        with self.study._lock:
            if self._handle:
                self._lib.drmad_trial_beat(self._handle)

    def _end(self, state: TrialState, values: Sequence[float] = ()) -> None:
        numbers = (ctypes.c_double * len(values))(*values)
        self._call(self._lib.drmad_trial_tell, state.name.encode(), numbers, len(values))
        self._free()

    def _release(self) -> None:
        self._call(self._lib.drmad_trial_release)
        self._free()

    def _free(self) -> None:
        with self.study._lock:
            if self._handle:
                self._params = self.params  # for whoever asks later
                self.study._parts.trials.discard(self._handle)
                self._lib.drmad_trial_free(self._handle)
            self._handle = None


@dataclass
class FrozenTrial:
    """A trial as the store has it. Times are local, without a zone.

    It can stand in for a `Trial` in an objective: `objective(study.best_trial)`."""

    number: int = -1
    state: TrialState = TrialState.COMPLETE
    values: list[float] | None = None
    params: dict[str, Any] = field(default_factory=dict)
    distributions: dict[str, BaseDistribution] = field(default_factory=dict)
    user_attrs: dict[str, Any] = field(default_factory=dict)
    system_attrs: dict[str, Any] = field(default_factory=dict)
    intermediate_values: dict[int, float] = field(default_factory=dict)
    datetime_start: datetime.datetime | None = None
    datetime_complete: datetime.datetime | None = None
    _trial_id: int = -1

    @property
    def value(self) -> float | None:
        return self.values[0] if self.values else None

    @property
    def duration(self) -> datetime.timedelta | None:
        if self.datetime_start is None or self.datetime_complete is None:
            return None
        return self.datetime_complete - self.datetime_start

    @property
    def last_step(self) -> int | None:
        return max(self.intermediate_values, default=None)

    def _value_of(self, name: str) -> Any:
        if name not in self.params:
            raise UsageError(f"trial {self.number} has no parameter {name}")
        return self.params[name]

    def suggest_float(self, name: str, low: float, high: float, **_more: Any) -> float:
        return float(self._value_of(name))

    def suggest_int(self, name: str, low: int, high: int, **_more: Any) -> int:
        return int(self._value_of(name))

    def suggest_categorical(self, name: str, choices: Sequence[T]) -> T:
        return self._value_of(name)

    def report(self, value: float, step: int) -> None:
        """Does nothing: the trial is over."""

    def should_prune(self) -> bool:
        return False

    def set_user_attr(self, key: str, value: Any) -> None:
        """In this record alone."""
        self.user_attrs[key] = value


def create_trial(
    *,
    state: TrialState = TrialState.COMPLETE,
    value: float | None = None,
    values: Sequence[float] | None = None,
    params: dict[str, Any] | None = None,
    distributions: Mapping[str, BaseDistribution] | None = None,
    user_attrs: dict[str, Any] | None = None,
    intermediate_values: dict[int, float] | None = None,
) -> FrozenTrial:
    """A trial that ran elsewhere, for `Study.add_trial`. Each parameter has its distribution."""
    now = datetime.datetime.now()
    given = [value] if value is not None else values
    return FrozenTrial(
        state=state,
        values=[float(x) for x in given] if given is not None else None,
        params=dict(params or {}),
        distributions=dict(distributions or {}),
        user_attrs=dict(user_attrs or {}),
        intermediate_values=dict(intermediate_values or {}),
        datetime_start=None if state is TrialState.WAITING else now,
        datetime_complete=now if state.is_finished() else None,
    )


# ---- the library's JSON ----


def frozen(found: dict[str, Any]) -> FrozenTrial:
    """From the JSON of drmad_store_trials."""
    return FrozenTrial(
        number=found["number"],
        state=TrialState[found["state"]],
        values=[float(x) for x in found["values"]] or None,
        params=found["params"],
        distributions={k: from_json(d) for k, d in found["distributions"].items()},
        user_attrs=found["user_attrs"],
        system_attrs=found["system_attrs"],
        intermediate_values={int(s): float(x) for s, x in found["intermediate_values"]},
        datetime_start=local(found["start"]),
        datetime_complete=local(found["complete"]),
        _trial_id=found["id"],
    )


def thawed(trial: Any) -> str:
    """The JSON that drmad_study_add takes: of a FrozenTrial, ours or Optuna's."""
    return json.dumps(
        {
            "state": trial.state.name,
            "values": [_real(x) for x in trial.values or ()],
            "params": trial.params,
            "distributions": {k: to_json(d) for k, d in trial.distributions.items()},
            "user_attrs": trial.user_attrs,
            "intermediate_values": [[s, _real(x)] for s, x in trial.intermediate_values.items()],
            "start": text_of(trial.datetime_start),
            "complete": text_of(trial.datetime_complete),
        }
    )


def _real(x: float) -> float | str:
    """JSON has no number for infinities and NaN; their names are read as well."""
    x = float(x)
    return x if x - x == 0 else str(x)
