"""Data as arrays, a row an example, for engine="native": the library reads them without Python.

Everything must be the same in every epoch but the order: what a loader draws anew (augmentation)
stays with engine="callback"."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from . import trees
from .batches import Evaluation, Listed, Mapped, Passes, Training
from .errors import ConfigError, DataError
from .seeds import mix

ADVICE = 'engine="callback" takes it as it is'
SEEDS = 3  # under which a batch must be the same


def tensors_of(batch: Any) -> list[torch.Tensor]:
    return [t for t in trees.leaves(batch) if isinstance(t, torch.Tensor)]


class Rows:
    """All examples of one part: tensors [examples, ...], one for each tensor of a batch."""

    def __init__(self, part: Training | Evaluation, like: Any, limit: int) -> None:
        """like: a batch of training, whose structure and types all batches have."""
        self.name, self.like, self.limit = part.name, like, limit
        self.examples = part.examples
        if isinstance(part, Training):
            self._check_training(part)
            self.tensors = self._numbered(part.source)
            self._check_visit(part)
        else:
            self.tensors = self._joined(part.in_order())

    def _refuse(self, what: str) -> DataError:
        return DataError(f"{self.name}: {what}; {ADVICE}")

    # ---- training ----

    def _check_training(self, part: Training) -> None:
        source = part.source
        if not part.uniform:
            raise ConfigError(
                f"{self.name}: the last batch of an epoch is smaller than {part.batch}; "
                f"DataLoader(..., drop_last=True) leaves it out, or {ADVICE}"
            )
        if isinstance(source, Passes) and not source.numbered:
            raise self._refuse("an iterable that is shuffled by itself")
        if isinstance(source, Mapped) and source.tensors is None:
            for index in {0, source.batches - 1}:
                chosen = source.order(0, 0)[index]
                draws = [source.items[0, mix(seed), chosen][1] for seed in range(SEEDS)]
                if not all(trees.same(draws[0], d) for d in draws[1:]):
                    raise self._refuse(
                        f"{type(source.data).__name__} draws examples anew in every epoch "
                        "(augmentation)"
                    )

    def _numbered(self, source: Listed | Passes | Mapped) -> list[torch.Tensor]:
        """Row i is the example that batches know as number i."""
        if isinstance(source, Mapped) and not source.single:
            return self._joined(source.in_order())
        batches = [source.fetch(0, 0, i) for i in range(source.batches)]
        joined = self._joined(batches)
        at = torch.tensor([k for i in range(source.batches) for k in source.numbers(0, 0, i)])
        out = [t.new_zeros(self.examples, *t.shape[1:]) for t in joined]
        for whole, t in zip(out, joined):
            whole[at] = t
        return out

    def _check_visit(self, part: Training) -> None:
        """A batch of a later epoch is rows of ours: nothing in a loader goes beyond gathering."""
        step = part.source.batches
        batch, at = part.fetch(0, step), torch.tensor(part.numbers(0, step))
        if not all(torch.equal(t, whole[at]) for t, whole in zip(tensors_of(batch), self.tensors)):
            raise self._refuse("a batch is more than its examples side by side (collate_fn)")

    # ---- any part ----

    def _joined(self, batches: Iterable[Any]) -> list[torch.Tensor]:
        kept: list[list[torch.Tensor]] = []
        size = 0
        for batch in batches:
            self._check_batch(batch)
            kept.append(tensors_of(batch))
            size += trees.nbytes(batch)
            if size > self.limit:
                raise self._refuse(f"its examples exceed {self.limit} bytes")
        return [torch.cat(same).contiguous() for same in zip(*kept)]

    def _check_batch(self, batch: Any) -> None:
        n = trees.count(batch)
        mine, first = list(trees.leaves(batch)), list(trees.leaves(self.like))
        if len(mine) != len(first):
            raise self._refuse(f"batches of {len(first)} and of {len(mine)} parts")
        for i, (a, b) in enumerate(zip(mine, first)):
            if not isinstance(a, torch.Tensor) or not isinstance(b, torch.Tensor):
                if isinstance(a, torch.Tensor) or isinstance(b, torch.Tensor) or a != b:
                    raise self._refuse(f"part {i} of a batch is {b!r}, and {a!r} in another")
            elif a.dim() == 0 or len(a) != n:
                raise self._refuse(f"part {i} of a batch, {tuple(a.shape)}, has no row an example")
            elif a.shape[1:] != b.shape[1:] or a.dtype != b.dtype:
                raise self._refuse(
                    f"part {i} of a batch is {b.dtype} {tuple(b.shape[1:])} an example, and "
                    f"{a.dtype} {tuple(a.shape[1:])} in another batch"
                )
