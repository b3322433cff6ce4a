"""Data that can be visited again. A training batch is known by (seed, epoch, index): the walk back
meets the batches of the run, in the reverse order, with the same shuffle and augmentation.

What replays: a DataLoader over a map-style dataset (random access; drawn under seeded generators),
a sequence of batches, and iterables whose pass is the same under the same seed. What does not
replay is kept in memory if it fits, and refused by name if not."""

from __future__ import annotations

import collections
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset
from torch.utils.data import default_collate

from . import trees
from .errors import ConfigError, DataError
from .seeds import mix, seeded

ORDER, ITEMS, PASS = 1, 2, 3  # what a seed is drawn for
EPOCHS = 2  # whose order is kept: a run crosses from one into the next, forwards or backwards


class Cache:
    """Batches by key, the longest unused ones dropped above `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self.limit, self.bytes = limit, 0
        self.kept: collections.OrderedDict[Any, tuple[Any, int]] = collections.OrderedDict()

    def get(self, key: Any) -> Any | None:
        hit = self.kept.get(key)
        if hit is None:
            return None
        self.kept.move_to_end(key)
        return hit[0]

    def put(self, key: Any, batch: Any) -> None:
        size = trees.nbytes(batch)
        if size > self.limit or key in self.kept:
            return
        self.kept[key] = (batch, size)
        self.bytes += size
        while self.bytes > self.limit:
            self.bytes -= self.kept.popitem(last=False)[1][1]


class Listed:
    """Batches that lie in memory, visited in their order in every epoch."""

    numbered = True  # an example keeps its number from epoch to epoch

    def __init__(self, name: str, batches: Sequence[Any], numbers: list[list[int]] | None = None):
        self.name, self.list = name, batches
        self.notes: list[str] = []
        self.sizes = [_count(name, b) for b in batches]
        self.examples = sum(self.sizes)
        if numbers is None:
            first = [sum(self.sizes[:i]) for i in range(len(batches))]
            numbers = [list(range(a, a + n)) for a, n in zip(first, self.sizes)]
        else:
            self.examples = max(self.examples, 1 + max(map(max, numbers)))
        self._numbers = numbers
        self.batches, self.batch = len(batches), max(self.sizes)
        self.uniform = min(self.sizes) == self.batch

    def fetch(self, seed: int, epoch: int, index: int) -> Any:
        return self.list[index]

    def numbers(self, seed: int, epoch: int, index: int) -> list[int]:
        return self._numbers[index]

    def in_order(self) -> Iterator[Any]:
        return iter(self.list)

    def close(self) -> None:
        pass


class Passes:
    """An iterable that gives the same pass under the same seed: an epoch is drawn as a whole."""

    def __init__(self, name: str, data: Iterable[Any], first: list[Any], limit: int) -> None:
        self.name, self.data, self.limit = name, data, limit
        self.notes: list[str] = []
        self.epochs = {(0, 0): first}
        first_pass = Listed(name, first)
        self.examples, self.batches = first_pass.examples, first_pass.batches
        self.batch, self.uniform = first_pass.batch, first_pass.uniform
        self._numbers = first_pass._numbers

    def fetch(self, seed: int, epoch: int, index: int) -> Any:
        if (seed, epoch) not in self.epochs:
            got = one_pass(self.name, self.data, mix(seed, epoch, PASS), self.limit)
            if len(got) != self.batches:
                raise DataError(
                    f"{self.name}: epoch {epoch} has {len(got)} batches, the first had "
                    f"{self.batches}; give every epoch the same number"
                )
            self.epochs = {(seed, epoch): got}
        return self.epochs[seed, epoch][index]

    def numbers(self, seed: int, epoch: int, index: int) -> list[int]:
        return self._numbers[index]

    @property
    def numbered(self) -> bool:
        """Whether another seed gives the same pass: then a place in it is an example."""
        other = one_pass(self.name, self.data, mix(1, 0, PASS), self.limit)
        mine = list(self.in_order())
        return len(mine) == len(other) and all(map(trees.same, mine, other))

    def in_order(self) -> Iterator[Any]:
        return (self.fetch(0, 0, i) for i in range(self.batches))

    def close(self) -> None:
        pass


class Mapped:
    """A DataLoader over a map-style dataset: any batch of any epoch by itself."""

    numbered = True

    def __init__(self, name: str, loader: DataLoader, cache: Cache) -> None:
        self.name, self.loader, self.cache = name, loader, cache
        self.notes: list[str] = []
        self.data = cast(Any, loader.dataset)  # with a length, and read at random
        self.examples = len(self.data)
        self.single = loader.batch_sampler is None  # batch_size=None: an item is a batch
        self.orders: dict[tuple[int, int], list[list[int]]] = {}
        self.rows: dict[tuple[int, int], Sequence[torch.Tensor]] = {}
        self.tensors = None if self.single else _plain_tensors(loader)
        self.items = Items(self.data, loader.collate_fn, self.single)
        self.workers: Workers | None = None
        first = self._draw(0, 0)
        if not first:
            raise DataError(f"{name}: the loader gives no batch ({self.examples} examples)")
        self.fixed_order = first == self._draw(0, 0)
        if not self.fixed_order:
            self.notes.append(
                f"{name}: the sampler draws from a generator of its own; its orders are kept"
            )
        self.orders[0, 0] = first
        self.batches = len(first)
        sizes = [self._item_size()] if self.single else [len(b) for b in first]
        self.batch, self.uniform = max(sizes), min(sizes) == max(sizes)

    def _item_size(self) -> int:
        size = _count(self.name, self.fetch(0, 0, 0))
        self.examples = size * self.batches
        return size

    def _draw(self, seed: int, epoch: int) -> list[list[int]]:
        """The order of an epoch, drawn from seeded generators."""
        loader, number = self.loader, mix(seed, epoch, ORDER)
        source: Any = loader.sampler if self.single else loader.batch_sampler
        inner = getattr(source, "sampler", None)
        owners = [o for o in (loader, source, inner) if o is not None]
        with _drawing(owners, number):
            for o in owners[1:]:
                if hasattr(o, "set_epoch"):
                    o.set_epoch(epoch)
            return [[b] if self.single else list(b) for b in source]

    def order(self, seed: int, epoch: int) -> list[list[int]]:
        got = self.orders.get((seed, epoch))
        if got is None:
            got = self._draw(seed, epoch)
            if len(got) != self.batches:
                raise DataError(
                    f"{self.name}: epoch {epoch} has {len(got)} batches, the first had "
                    f"{self.batches}; give every epoch the same number"
                )
            if self.fixed_order and len(self.orders) >= EPOCHS:
                self.orders.pop(next(iter(self.orders)))
            self.orders[seed, epoch] = got
        return got

    def numbers(self, seed: int, epoch: int, index: int) -> list[int]:
        chosen = self.order(seed, epoch)[index]
        if not self.single:
            return chosen
        return list(range(chosen[0] * self.batch, (chosen[0] + 1) * self.batch))

    def fetch(self, seed: int, epoch: int, index: int) -> Any:
        if self.tensors is not None:
            return _gather(self.tensors, self._rows(seed, epoch)[index])
        key = (self.name, seed, epoch, index)
        batch = self.cache.get(key)
        if batch is None:
            batch = self._work(seed, epoch, index)
            self.cache.put(key, batch)
        return batch

    def _rows(self, seed: int, epoch: int) -> Sequence[torch.Tensor]:
        """The order of an epoch as tensors, made at once: one by one they cost as much as to gather
        a batch."""
        got = self.rows.get((seed, epoch))
        if got is None:
            order = self.order(seed, epoch)
            flat = torch.tensor([i for chosen in order for i in chosen])
            got = flat.split([len(chosen) for chosen in order])
            if len(self.rows) >= EPOCHS:
                self.rows.pop(next(iter(self.rows)))
            self.rows[seed, epoch] = got
        return got

    def _work(self, seed: int, epoch: int, index: int) -> Any:
        if self.loader.num_workers == 0:
            return self.items[self._task(seed, epoch * self.batches + index)][1]
        if self.workers is None:
            self.workers = Workers(self)
        return self.workers.fetch(seed, epoch * self.batches + index)

    def _task(self, seed: int, visit: int) -> tuple[int, int, list[int]]:
        epoch, index = divmod(visit, self.batches)
        return visit, mix(seed, epoch, index, ITEMS), self.order(seed, epoch)[index]

    def in_order(self) -> Iterator[Any]:
        """The examples as the dataset holds them, in batches as large as the loader's."""
        if self.single:
            yield from (self.fetch(0, 0, i) for i in range(self.batches))
            return
        for first in range(0, self.examples, self.batch):
            chosen = list(range(first, min(first + self.batch, self.examples)))
            if self.tensors is not None:
                yield _gather(self.tensors, torch.tensor(chosen))
            else:
                yield self.items[first, mix(first, ITEMS), chosen][1]

    def close(self) -> None:
        if self.workers is not None:
            self.workers.close()
            self.workers = None


class Items(Dataset):
    """Makes one batch from (visit, seed, example numbers); runs here or in a worker process."""

    def __init__(self, data: Any, collate: Any, single: bool) -> None:
        self.data, self.collate, self.single = data, collate, single

    def __getitem__(self, task: tuple[int, int, list[int]]) -> tuple[int, Any]:
        visit, seed, chosen = task
        with seeded(seed):
            if self.single:
                return visit, self.collate(self.data[chosen[0]])
            many = getattr(self.data, "__getitems__", None)
            items = many(chosen) if many else [self.data[i] for i in chosen]
            return visit, self.collate(items)


class Workers:
    """Worker processes that fetch ahead, in the direction in which the batches are visited."""

    def __init__(self, source: Mapped) -> None:
        loader = source.loader
        self.source = source
        self.last: tuple[int, int] | None = None  # seed and visit
        self.ahead: Iterator[Any] | None = None
        self.plan: Iterator[Any] = iter(())
        self.inner = DataLoader(
            source.items,
            batch_size=None,
            sampler=_Plan(self),
            num_workers=loader.num_workers,
            collate_fn=_as_it_is,
            pin_memory=False,
            timeout=loader.timeout,
            worker_init_fn=loader.worker_init_fn,
            multiprocessing_context=loader.multiprocessing_context,
            prefetch_factor=loader.prefetch_factor,
            persistent_workers=True,
        )

    def _visits(self, seed: int, visit: int, way: int) -> Iterator[Any]:
        while visit >= 0:
            yield self.source._task(seed, visit)
            visit += way

    def fetch(self, seed: int, visit: int) -> Any:
        back = self.last is not None and self.last[0] == seed and 0 < visit <= self.last[1]
        for _ in range(2):
            if self.ahead is not None and self.last is not None and self.last[0] == seed:
                got = next(self.ahead, None)
                if got is not None and got[0] == visit:
                    self.last = (seed, visit)
                    return got[1]
            self.plan = self._visits(seed, visit, -1 if back else 1)
            with seeded(seed):  # the loader draws a base seed for its processes
                self.ahead, self.last = iter(self.inner), (seed, visit)
        raise DataError(f"{self.source.name}: the worker processes gave no batch {visit}")

    def close(self) -> None:
        """Ends the processes."""
        held, self.ahead = getattr(self.inner, "_iterator", None), None
        if held is not None:
            held._shutdown_workers()
            self.inner._iterator = None


class _Plan:
    """The sampler of the workers' loader: whatever their owner has planned last."""

    def __init__(self, owner: Workers) -> None:
        self.owner = owner

    def __iter__(self) -> Iterator[Any]:
        return self.owner.plan


def _as_it_is(x: Any) -> Any:
    return x


def _gather(tensors: list[torch.Tensor], at: torch.Tensor) -> list[torch.Tensor]:
    return [t.index_select(0, at) for t in tensors]


def _plain_tensors(loader: DataLoader) -> list[torch.Tensor] | None:
    """The tensors behind a loader whose batches are mere rows of them, else None."""
    data, rows = loader.dataset, None
    if loader.collate_fn is not default_collate:
        return None
    if type(data) is Subset:
        part = cast(Subset, data)
        data, rows = part.dataset, torch.as_tensor(part.indices, dtype=torch.int64)
    if type(data) is not TensorDataset:
        return None
    tensors = [t.detach() for t in cast(TensorDataset, data).tensors]
    return tensors if rows is None else [t.index_select(0, rows) for t in tensors]


def _count(name: str, batch: Any) -> int:
    n = trees.count(batch)
    if not n:
        raise DataError(
            f"{name}: a batch ({type(batch).__name__}) holds no tensor with a first dimension of "
            "examples; give tuples, dicts or dataclasses of tensors"
        )
    return n


@contextmanager
def _drawing(owners: Iterable[Any], seed: int) -> Iterator[None]:
    """Within it, the owners' generators and the process's start from `seed`; after it, they are as
    before. Two threads may share an owner."""
    own = {id(g): g for o in owners if (g := getattr(o, "generator", None)) is not None}
    with seeded(seed):
        before = [(g, g.get_state()) for g in own.values()]
        try:
            for g in own.values():
                g.manual_seed(seed)
            yield
        finally:
            for g, state in before:
                g.set_state(state)


def one_pass(name: str, data: Iterable[Any], seed: int, limit: int) -> list[Any]:
    """All batches of one pass under `seed`; DataError above `limit` bytes."""
    got, size = [], 0
    with _drawing([data], seed):
        for batch in data:
            got.append(batch)
            size += trees.nbytes(batch)
            if size > limit:
                raise DataError(
                    f"{name}: {type(data).__name__} gives no batch at random access, and one "
                    f"pass over it exceeds cache_bytes = {limit}; give a DataLoader over a "
                    "map-style dataset, or raise cache_bytes"
                )
    if not got:
        raise DataError(f"{name}: {type(data).__name__} gives no batch")
    return got


def _from_iterable(name: str, data: Iterable[Any], limit: int) -> Listed | Passes:
    first = one_pass(name, data, mix(0, 0, PASS), limit)
    if iter(data) is data:
        kept = Listed(name, first)
        kept.notes.append(f"{name}: an iterator can be read once; its batches are kept")
        return kept
    second = one_pass(name, data, mix(0, 0, PASS), limit)
    if len(first) == len(second) and all(map(trees.same, first, second)):
        return Passes(name, data, first, limit)
    kept = Listed(name, first)
    kept.notes.append(
        f"{name}: two passes over {type(data).__name__} under one seed differ; "
        "its first pass is kept and used in every epoch"
    )
    return kept


def _from_loader(name: str, loader: DataLoader, cache: Cache) -> Listed | Passes | Mapped:
    if isinstance(loader.dataset, IterableDataset):
        return _from_iterable(name, loader, cache.limit)
    source = Mapped(name, loader, cache)
    if source.tensors is not None:
        return source
    task = source._task(0, 0)
    if trees.same(source.items[task][1], source.items[task][1]):
        return source
    order, kept, size = source.order(0, 0), [], 0
    for i in range(source.batches):
        kept.append(source.items[source._task(0, i)][1])
        size += trees.nbytes(kept[-1])
        if size > cache.limit:
            raise DataError(
                f"{name}: {type(loader.dataset).__name__} does not replay (two fetches of one "
                "batch under one seed differ), and one pass over it exceeds cache_bytes = "
                f"{cache.limit}; draw from torch's, random's or numpy.random's global "
                "generators, or raise cache_bytes"
            )
    fixed = Listed(name, kept, None if source.single else order)
    fixed.notes.append(
        f"{name}: {type(loader.dataset).__name__} does not replay; "
        "one pass is kept and used in every epoch"
    )
    return fixed


def source_of(name: str, data: Any, cache: Cache) -> Listed | Passes | Mapped:
    """What the batches of `data` come from. ConfigError or DataError where nothing can be."""
    if isinstance(data, DataLoader):
        return _from_loader(name, data, cache)
    if isinstance(data, (Dataset, torch.Tensor)):
        raise ConfigError(
            f"{name}: a {type(data).__name__} is not batches; wrap it: "
            "torch.utils.data.DataLoader(dataset, batch_size=...)"
        )
    if isinstance(data, tuple) and data and all(isinstance(t, torch.Tensor) for t in data):
        raise ConfigError(
            f"{name}: a tuple of tensors is not batches; wrap it: "
            "DataLoader(TensorDataset(*tensors), batch_size=...)"
        )
    if isinstance(data, (str, bytes, dict)) or not isinstance(data, Iterable):
        raise ConfigError(
            f"{name}: {type(data).__name__} is not batches; give a DataLoader or a list of them"
        )
    if isinstance(data, Sequence):
        if not len(data):
            raise DataError(f"{name}: no batches")
        return Listed(name, data)
    return _from_iterable(name, data, cache.limit)


class Training:
    """The training batches by (seed, step); step = epoch * batches + index."""

    def __init__(self, data: Any, cache: Cache, name: str = "train") -> None:
        self.source = source_of(name, data, cache)
        self.name = name

    @property
    def notes(self) -> list[str]:
        return self.source.notes

    @property
    def examples(self) -> int:
        return self.source.examples

    @property
    def batch(self) -> int:
        """Examples of the largest batch."""
        return self.source.batch

    @property
    def uniform(self) -> bool:
        """Whether all batches have the same size."""
        return self.source.uniform

    def fetch(self, seed: int, step: int) -> Any:
        return self.source.fetch(seed, *divmod(step, self.source.batches))

    def numbers(self, seed: int, step: int) -> list[int]:
        """The numbers of the batch's examples; ConfigError where batches differ in size."""
        got = self.source.numbers(seed, *divmod(step, self.source.batches))
        if len(got) != self.batch:
            raise ConfigError(
                f"{self.name}: step {step} has {len(got)} examples and other steps {self.batch}; "
                "example weights need equal batches: DataLoader(..., drop_last=True)"
            )
        return got

    def in_order(self) -> Iterator[Any]:
        return self.source.in_order()


class Evaluation:
    """A part of the data that is read from its first to its last batch, kept if it fits."""

    def __init__(self, name: str, data: Any, cache: Cache) -> None:
        self.name, self.data, self.cache = name, data, cache
        if isinstance(data, (DataLoader, Sequence)) or not isinstance(data, Iterable):
            self.notes: list[str] = []
            self.kept = self._keep(data)
        else:
            self.source = _from_iterable(name, data, cache.limit)
            self.notes, self.kept = self.source.notes, list(self.source.in_order())
        self.examples = self._examples()

    def _keep(self, data: Any) -> list[Any] | None:
        """The batches, or None where they do not fit beside the training batches."""
        if not isinstance(data, DataLoader):
            return list(source_of(self.name, data, self.cache).in_order())
        kept: list[Any] = []
        size = self.count = 0
        fits = True
        for batch in self._replayed(data):
            self.count += _count(self.name, batch)
            size += trees.nbytes(batch)
            fits = fits and size <= self.cache.limit // 2
            if fits:
                kept.append(batch)
            else:
                kept.clear()
        if not self.count:
            raise DataError(f"{self.name}: the loader gives no batch")
        return kept if fits else None

    @staticmethod
    def _replayed(loader: DataLoader) -> Iterator[Any]:
        """One pass under a fixed seed; the caller's generators are put back after each batch."""
        number = mix(PASS)
        with _drawing([loader], number):
            batches = iter(loader)
        for i in range(1 << 62):
            with _drawing([loader], mix(number, i)):
                batch = next(batches, None)
            if batch is None:
                return
            yield batch

    def _examples(self) -> int:
        if self.kept is None:
            return self.count
        return sum(_count(self.name, b) for b in self.kept)

    def in_order(self) -> Iterator[Any]:
        """The batches, always the same."""
        return iter(self.kept) if self.kept is not None else self._replayed(self.data)
