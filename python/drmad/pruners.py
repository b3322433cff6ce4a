"""Which pruner a study uses, under Optuna's names: options only, the pruners are the library's. A
pruner ends trials by what they report (`Trial.report`), where the objective asks
(`Trial.should_prune`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .errors import UsageError

Resource = int | Literal["auto"]


@dataclass(frozen=True)
class BasePruner:
    def settings(self) -> list[str]:
        """Lines of a study file."""
        raise NotImplementedError


@dataclass(frozen=True)
class NopPruner(BasePruner):
    """Prunes nothing."""

    def settings(self) -> list[str]:
        return ["search.pruner.kind=none"]


@dataclass(frozen=True)
class MedianPruner(BasePruner):
    """Ends a trial that is worse than the median of the finished ones at its step.

    n_startup_trials: finished trials before any is pruned; n_warmup_steps: steps before;
    interval_steps: steps between decisions."""

    n_startup_trials: int = 5
    n_warmup_steps: int = 0
    interval_steps: int = 1

    def settings(self) -> list[str]:
        return [
            "search.pruner.kind=median",
            f"search.pruner.startup={self.n_startup_trials}",
            f"search.pruner.warmup={self.n_warmup_steps}",
            f"search.pruner.interval={self.interval_steps}",
        ]


@dataclass(frozen=True)
class SuccessiveHalvingPruner(BasePruner):
    """ASHA: at steps min_resource x reduction_factor^k one of `reduction_factor` goes on.

    min_resource: the first such step; "auto": a hundredth of the longest finished trial's."""

    min_resource: Resource = "auto"
    reduction_factor: int = 4

    def settings(self) -> list[str]:
        return [
            "search.pruner.kind=asha",
            f"search.pruner.min_resource={self.min_resource}",
            f"search.pruner.reduction={self.reduction_factor}",
        ]


@dataclass(frozen=True)
class HyperbandPruner(BasePruner):
    """Several ASHAs that begin at different steps, trials spread over them.

    max_resource: steps of a whole trial; "auto": of the longest finished one."""

    min_resource: Resource = 1
    max_resource: Resource = "auto"
    reduction_factor: int = 3

    def settings(self) -> list[str]:
        return [
            "search.pruner.kind=hyperband",
            f"search.pruner.min_resource={self.min_resource}",
            f"search.pruner.max_resource={self.max_resource}",
            f"search.pruner.reduction={self.reduction_factor}",
        ]


def settings(pruner: BasePruner | None) -> list[str]:
    """Of a caller's argument; None is what the study has, or none."""
    if pruner is None:
        return []
    if not isinstance(pruner, BasePruner):
        raise UsageError(f"pruner {pruner!r}: expected one of drmad.pruners")
    return pruner.settings()
