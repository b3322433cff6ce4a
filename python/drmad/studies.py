"""Making, finding and deleting studies, under Optuna's names."""

from __future__ import annotations

import ctypes
import shutil
import tempfile
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from . import pruners as _pruners
from . import samplers as _samplers
from ._store import Reader, opened
from .errors import UsageError
from .study import Study, StudyDirection
from .trial import FrozenTrial, frozen


class DuplicatedStudyError(UsageError):
    """A study of that name is there already."""


def create_study(
    *,
    storage: str | None = None,
    sampler: _samplers.BaseSampler | None = None,
    pruner: _pruners.BasePruner | None = None,
    study_name: str | None = None,
    direction: str | StudyDirection | None = None,
    directions: Sequence[str | StudyDirection] | None = None,
    load_if_exists: bool = False,
) -> Study:
    """A new study, or with `load_if_exists` that of the name.

    `storage`: "sqlite:runs.db" (or "sqlite:///runs.db"), "postgresql://host/database",
    "journal:runs.log"; None: a SQLite file in a temporary folder, removed with the study.
    `direction`: "minimize" (default) or "maximize"; `directions`: one an objective, where there are
    several (for samplers without a model: random and Sobol). `sampler`: one of `drmad.samplers`, by
    default the library's choice. `pruner`: one of `drmad.pruners`, by default none."""
    name = study_name or f"no-name-{uuid.uuid4()}"
    ways = _directions(direction, directions)
    folder = None if storage else tempfile.mkdtemp(prefix="drmad-")
    url = storage or f"sqlite:{folder}/study.db"
    try:
        with opened(url, create=True) as store:
            there = store.study(name)
            if there and not load_if_exists:
                raise DuplicatedStudyError(
                    f"study {name} is in {storage} already: load_if_exists=True goes on with it"
                )
            if not there:
                made = ctypes.byref(ctypes.c_int())
                store.call("create", name.encode(), ",".join(ways).encode(), made)
        if there:
            return _found(url, there, sampler, pruner)
        return Study(url, name, ways, _new_settings(ways, sampler, pruner), folder)
    except BaseException:
        if folder:
            shutil.rmtree(folder, ignore_errors=True)
        raise


def load_study(
    *,
    study_name: str | None,
    storage: str,
    sampler: _samplers.BaseSampler | None = None,
    pruner: _pruners.BasePruner | None = None,
) -> Study:
    """The study of that name; None: the only one there. One that drmad made keeps its sampler and
    pruner unless others are given."""
    with opened(storage) as store:
        found = [s for s in store.studies() if study_name in (None, s["name"])]
    if len(found) != 1:
        what = f"no study {study_name}" if study_name else f"{len(found)} studies, not one"
        raise UsageError(f"{storage} has {what}")
    return _found(storage, found[0], sampler, pruner)


def delete_study(*, study_name: str, storage: str) -> None:
    """With its trials."""
    with opened(storage) as store:
        store.call("delete", study_name.encode())


@dataclass
class StudySummary:
    """A study without its trials; `best_trial` is None before one is complete, and with several
    objectives."""

    study_name: str
    directions: list[StudyDirection]
    best_trial: FrozenTrial | None
    user_attrs: dict[str, Any]
    system_attrs: dict[str, Any]
    n_trials: int


def get_all_study_summaries(
    storage: str, include_best_trial: bool = True
) -> list[StudySummary]:
    """Of all studies in a store."""
    with opened(storage) as store:
        return [_summary(store, s, include_best_trial) for s in store.studies()]


def get_all_study_names(storage: str) -> list[str]:
    with opened(storage) as store:
        return [s["name"] for s in store.studies()]


def _summary(store: Reader, s: dict[str, Any], with_best: bool) -> StudySummary:
    single = len(s["directions"]) == 1
    best = store.call("best", s["name"].encode())["best"] if with_best and single else []
    return StudySummary(
        study_name=s["name"],
        directions=[StudyDirection[d.upper()] for d in s["directions"]],
        best_trial=frozen(best[0]) if best else None,
        user_attrs=s["user_attrs"],
        system_attrs=s["system_attrs"],
        n_trials=s["trials"]["total"],
    )


def _directions(
    direction: str | StudyDirection | None,
    directions: Sequence[str | StudyDirection] | None,
) -> list[str]:
    if direction is not None and directions is not None:
        raise UsageError("direction and directions: give one of them")
    ways = directions if directions is not None else [direction or "minimize"]
    words = [w.name.lower() if isinstance(w, StudyDirection) else w for w in ways]
    for word in words:
        if word not in ("minimize", "maximize"):
            raise UsageError(f"direction {word!r}: expected minimize or maximize")
    if not words:
        raise UsageError("directions: one at least")
    return words


def _found(
    url: str,
    s: dict[str, Any],
    sampler: _samplers.BaseSampler | None,
    pruner: _pruners.BasePruner | None,
) -> Study:
    kept = "drmad:study" in s["system_attrs"]  # by drmad: with its sampler and pruner
    settings = [*_samplers.settings(sampler), *_pruners.settings(pruner)]
    if not kept:
        settings = _new_settings(s["directions"], sampler, pruner)
    return Study(url, s["name"], s["directions"], settings, kept=kept)


def _new_settings(
    ways: list[str],
    sampler: _samplers.BaseSampler | None,
    pruner: _pruners.BasePruner | None,
) -> list[str]:
    chosen = _samplers.settings(sampler or _samplers.BaseSampler())
    direction = [f"search.direction={ways[0]}"] if len(ways) == 1 else []
    return [*direction, "search.trials=none", *chosen, *_pruners.settings(pruner)]
