"""What a parameter may be, under Optuna's names: https://optuna.readthedocs.io, distributions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .errors import UsageError

Choice = None | bool | int | float | str


@dataclass(frozen=True)
class FloatDistribution:
    """Reals from `low` to `high`, both possible; evenly in the logarithm with `log`; with `step`
    only low, low + step, ..."""

    low: float
    high: float
    log: bool = False
    step: float | None = None


@dataclass(frozen=True)
class IntDistribution:
    """Whole numbers from `low` to `high`, both possible, each `step`-th; within 2^53."""

    low: int
    high: int
    log: bool = False
    step: int = 1


@dataclass(frozen=True, init=False)
class CategoricalDistribution:
    """One of `choices`, each None, a bool, a number or a text."""

    choices: tuple[Choice, ...]

    def __init__(self, choices: Sequence[Choice]) -> None:
        object.__setattr__(self, "choices", tuple(choices))


BaseDistribution = FloatDistribution | IntDistribution | CategoricalDistribution
_KINDS = {k.__name__: k for k in (FloatDistribution, IntDistribution, CategoricalDistribution)}


def choice_json(name: str, choice: object) -> str:
    """The JSON of one choice of parameter `name`, as Python writes it."""
    if choice is None or isinstance(choice, (bool, int, float, str)):
        return json.dumps(choice)
    raise UsageError(
        f"parameter {name}: choice {choice!r} is a {type(choice).__name__}: a choice is None, a "
        "bool, a number or a text; give its name and look the object up in a dict"
    )


def to_json(distribution: Any) -> dict[str, Any]:
    """Optuna's JSON of a distribution, of ours or one of Optuna's own, as an object."""
    ours = isinstance(distribution, (FloatDistribution, IntDistribution, CategoricalDistribution))
    attributes = asdict(distribution) if ours else dict(distribution._asdict())
    return {"name": type(distribution).__name__, "attributes": attributes}


def from_json(found: Any) -> BaseDistribution:
    """The distribution of Optuna's JSON: an object, or its text."""
    found = json.loads(found) if isinstance(found, str) else found
    return _KINDS[found["name"]](**found["attributes"])
