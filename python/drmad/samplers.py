"""Which sampler a study uses, under Optuna's names: options only, the samplers are the library's.

`seed`: None draws one, which is kept with the study. `n_startup_trials`: trials at points of a
Sobol sequence before the model is asked; None: the sampler's own choice."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import ClassVar

from .errors import UsageError


@dataclass(frozen=True)
class BaseSampler:
    """The library's choice: `GPSampler` up to 20 parameters, `TPESampler` beyond."""

    seed: int | None = None
    word: ClassVar[str] = "auto"  # the study file's

    def settings(self) -> list[str]:
        """Lines of a study file."""
        seed = secrets.randbelow(1 << 53) if self.seed is None else self.seed
        return [f"seed={seed}", f"search.sampler={self.word}"]


@dataclass(frozen=True)
class RandomSampler(BaseSampler):
    """Independent points."""

    word: ClassVar[str] = "random"


@dataclass(frozen=True)
class SobolSampler(BaseSampler):
    """An Owen-scrambled Sobol sequence: points spread more evenly than random ones."""

    word: ClassVar[str] = "sobol"


QMCSampler = SobolSampler


@dataclass(frozen=True)
class ModelSampler(BaseSampler):
    """What samplers that learn from the trials so far have in common."""

    n_startup_trials: int | None = None

    def settings(self) -> list[str]:
        return [*super().settings(), f"search.startup={self.n_startup_trials or 'auto'}"]


@dataclass(frozen=True)
class GPSampler(ModelSampler):
    """A Gaussian process and its expected improvement. `gradients`: it learns from what trials tell
    by `Trial.set_gradient`, too."""

    gradients: bool = False
    word: ClassVar[str] = "gp"

    def settings(self) -> list[str]:
        return [*super().settings(), f"search.gradients={str(self.gradients).lower()}"]


@dataclass(frozen=True)
class TPESampler(ModelSampler):
    """Tree-structured Parzen estimators, multivariate."""

    word: ClassVar[str] = "tpe"


@dataclass(frozen=True)
class CmaEsSampler(ModelSampler):
    """CMA-ES, an evolution strategy."""

    word: ClassVar[str] = "cmaes"


def settings(sampler: BaseSampler | None) -> list[str]:
    """Of a caller's argument; None is what the study has."""
    if sampler is None:
        return []
    if not isinstance(sampler, BaseSampler):
        raise UsageError(f"sampler {sampler!r}: expected one of drmad.samplers")
    return sampler.settings()
