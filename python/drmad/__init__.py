"""Tunes the hyperparameters of a torch module by hypergradients (learning rates per layer and
phase, decay per unit, a weight for each training example) and searches over whole runs.

    result = drmad.tune(make_model, loss_fn, train=..., valid=..., optimizer=..., steps=2000,
                        hyper=[drmad.lr(per="layer", phases=5)], budget=drmad.runs(60))

    study = drmad.create_study(storage="sqlite:runs.db", study_name="mnist")
    study.optimize(lambda trial: train(trial.suggest_float("lr", 1e-4, 1, log=True)), n_trials=50)

`import drmad` loads neither torch nor the C library; the first use of a name does."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from ._abi import VERSION as __version__

if TYPE_CHECKING:
    from . import distributions, optuna, pruners, samplers, trial
    from ._context import Context
    from .examples import digits
    from .errors import (
        ConfigError,
        DataError,
        DivergedError,
        Error,
        InputOutputError,
        InternalError,
        Interrupted,
        LeaseError,
        MissingError,
        ModelError,
        OutOfMemoryError,
        OutputError,
        StorageError,
        Terminated,
        TryAgainError,
        UnsafeError,
        UsageError,
    )
    from .hyper import Hyper, example_weight, init_scale, l1, l2, lr, momentum, weight_decay
    from .native import tune_file
    from .result import Result, Runs, load_result
    from .studies import (
        DuplicatedStudyError,
        StudySummary,
        create_study,
        delete_study,
        get_all_study_names,
        get_all_study_summaries,
        load_study,
    )
    from .study import Study, StudyDirection
    from .trial import FrozenTrial, Trial, TrialPruned, TrialState, create_trial
    from .tuning import (
        Budget,
        Check,
        Estimate,
        Why,
        check,
        estimate,
        minutes,
        runs,
        tune,
        why,
    )

_FROM = {
    "_context": ("Context",),
    "examples": ("digits",),
    "errors": (
        "ConfigError",
        "DataError",
        "DivergedError",
        "Error",
        "InputOutputError",
        "InternalError",
        "Interrupted",
        "LeaseError",
        "MissingError",
        "ModelError",
        "OutOfMemoryError",
        "OutputError",
        "StorageError",
        "Terminated",
        "TryAgainError",
        "UnsafeError",
        "UsageError",
    ),
    "hyper": (
        "Hyper",
        "example_weight",
        "init_scale",
        "l1",
        "l2",
        "lr",
        "momentum",
        "weight_decay",
    ),
    "native": ("tune_file",),
    "result": ("Result", "Runs", "load_result"),
    "studies": (
        "DuplicatedStudyError",
        "StudySummary",
        "create_study",
        "delete_study",
        "get_all_study_names",
        "get_all_study_summaries",
        "load_study",
    ),
    "study": ("Study", "StudyDirection"),
    "trial": ("FrozenTrial", "Trial", "TrialPruned", "TrialState", "create_trial"),
    "tuning": (
        "Budget",
        "Check",
        "Estimate",
        "Why",
        "check",
        "estimate",
        "minutes",
        "runs",
        "tune",
        "why",
    ),
}
_MODULES = ("distributions", "optuna", "pruners", "samplers", "trial")
_WHERE = {name: module for module, names in _FROM.items() for name in names}
__all__ = sorted([*_WHERE, *_MODULES, "__version__"])


def __getattr__(name: str):
    if name in _MODULES:
        return importlib.import_module(f".{name}", __name__)
    if name not in _WHERE:
        raise AttributeError(f"module 'drmad' has no attribute {name!r}")
    module = importlib.import_module(f".{_WHERE[name]}", __name__)
    for each in _FROM[_WHERE[name]]:
        globals()[each] = getattr(module, each)
    return globals()[name]


def __dir__() -> list[str]:
    return __all__
