"""Batches can be visited again: in any order, with the same shuffle, augmentation and workers."""

import random

import house
import nets
import numpy as np
import torch
from torch.utils.data import (
    BatchSampler, DataLoader, Dataset, IterableDataset, RandomSampler, Subset, TensorDataset,
)  # fmt: skip

from drmad import trees
from drmad.batches import Cache, Evaluation, Listed, Mapped, Passes, Training
from drmad.errors import ConfigError, DataError

BIG = 1 << 30


class Augmented(Dataset):
    """Items with random transforms from all three generators."""

    def __init__(self, n=20):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        noise = random.random() + np.random.rand() + float(torch.rand(()))
        return {"x": torch.tensor([float(i), noise]), "i": i}


class Private(Augmented):
    """Draws from a generator of its own: does not replay."""

    def __init__(self, n=20):
        super().__init__(n)
        self.own = np.random.default_rng()

    def __getitem__(self, i):
        return torch.tensor([float(i), self.own.random()])


class Stream(IterableDataset):
    def __init__(self, n=10, noisy=False, own=False):
        self.n, self.noisy, self.rng = n, noisy, random.Random(1) if own else random

    def __iter__(self):
        for i in range(self.n):
            yield torch.tensor([float(i), self.rng.random() if self.noisy else 0.0])


class OwnOrder:
    """A sampler with a generator of its own."""

    def __init__(self, n):
        self.n, self.own = n, np.random.default_rng()

    def __iter__(self):
        return iter(self.own.permutation(self.n).tolist())

    def __len__(self):
        return self.n


def training(data, limit=BIG):
    return Training(data, Cache(limit))


def visits(t, seed=3, epochs=2):
    n = epochs * t.source.batches
    return [t.fetch(seed, s) for s in range(n)]


def replays(t, epochs=2):
    """Backwards, and at random, the batches of the run come again; other seeds give others."""
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    run = visits(t, epochs=epochs)
    for s in reversed(range(len(run))):
        assert trees.same(run[s], t.fetch(3, s)), f"step {s} on the way back"
    for s in (5 % len(run), 0, 3 % len(run)):
        assert trees.same(run[s], t.fetch(3, s)), f"step {s} at random"
    after = torch.get_rng_state(), random.getstate(), np.random.get_state()[1]
    assert torch.equal(before[0], after[0]) and before[1] == after[1], "a generator moved"
    assert (before[2] == after[2]).all(), "numpy's generator moved"
    return run


def shuffled(workers=0, limit=BIG):
    t = training(DataLoader(Augmented(), batch_size=4, shuffle=True, num_workers=workers), limit)
    assert isinstance(t.source, Mapped) and t.examples == 20 and t.batch == 4
    try:
        run = replays(t)
        for epoch in (run[:5], run[5:]):
            assert sorted(int(i) for b in epoch for i in b["i"]) == list(range(20))
        assert not trees.same(run[0], run[5]), "epochs repeat"
        assert not trees.same(run[0], t.fetch(4, 0)), "seeds repeat"
        assert t.numbers(3, 2) == run[2]["i"].tolist()
    finally:
        t.source.close()
    return run


def workers_agree():
    """Worker processes give what this process gives; without a cache they are asked again."""
    here, there = shuffled(0), shuffled(2, limit=0)
    assert all(map(trees.same, here, there))


def plain_tensors():
    x, y = nets.images(n=21)
    for data in (TensorDataset(x, y), Subset(TensorDataset(x, y), list(range(20, 3, -1)))):
        g = torch.Generator().manual_seed(9)
        t = training(DataLoader(data, batch_size=5, shuffle=True, generator=g))
        state = g.get_state()
        assert t.source.tensors is not None and not t.source.uniform
        run = replays(t)
        assert torch.equal(state, g.get_state()), "the user's generator moved"
        numbers = t.source.numbers(3, 0, 1)
        assert torch.equal(run[1][0], torch.stack([data[i][0] for i in numbers]))
        assert type(run[0]) is list
    nets.refuses(ConfigError, ["train", "drop_last=True"],
                 lambda: t.numbers(3, t.source.batches - 1))  # fmt: skip


def orders_are_drawn_again():
    """A run over many epochs keeps the order of two."""
    x, y = nets.images(n=20)
    for data in (TensorDataset(x, y), Augmented()):
        t = training(DataLoader(data, batch_size=5, shuffle=True))
        replays(t, epochs=6)
        assert len(t.source.orders) <= 2 and len(t.source.rows) <= 2


def samplers():
    data = Augmented()
    batches = BatchSampler(RandomSampler(data, replacement=True, num_samples=12), 3, False)
    replays(training(DataLoader(data, batch_sampler=batches)))
    t = training(DataLoader(data, batch_size=4, sampler=OwnOrder(20)))
    assert "generator of its own" in t.notes[0]
    replays(t)


def whole_batches():
    """batch_size=None: an item of the dataset is a batch."""

    class Ready(Augmented):
        def __getitem__(self, i):
            return torch.randn(6, 2), torch.full((6,), i)

    t = training(DataLoader(Ready(5), batch_size=None, shuffle=True))
    assert (t.batch, t.examples, t.source.batches) == (6, 30, 5)
    run = replays(t)
    assert t.numbers(3, 1)[0] == 6 * int(run[1][1][0]) and len(t.numbers(3, 1)) == 6


def lists():
    x, y = nets.images(n=10)
    t = training([(x[:4], y[:4]), (x[4:8], y[4:8]), (x[8:], y[8:])])
    assert isinstance(t.source, Listed) and t.examples == 10 and not t.source.uniform
    assert t.numbers(0, 4) == [4, 5, 6, 7]
    replays(t)


def streams():
    t = training(DataLoader(Stream(), batch_size=3))
    assert isinstance(t.source, Passes) and t.examples == 10 and not t.notes
    replays(t)
    t = training(DataLoader(Stream(noisy=True), batch_size=3))
    assert isinstance(t.source, Passes)
    run = replays(t)
    assert not trees.same(run[0], run[4]), "epochs repeat"
    assert training(DataLoader(Stream(), batch_size=3)).source.numbered and not t.source.numbered
    t = training(DataLoader(Stream(noisy=True, own=True), batch_size=3))
    assert isinstance(t.source, Listed) and "differ" in t.notes[0], t.notes
    replays(t)
    t = training(torch.ones(2, i + 1) for i in range(3))
    assert "read once" in t.notes[0] and t.examples == 6
    replays(t)


def private_generator():
    t = training(DataLoader(Private(), batch_size=4, shuffle=True))
    assert isinstance(t.source, Listed) and "Private does not replay" in t.notes[0]
    run = replays(t)
    assert t.numbers(3, 1) == [int(i) for i in run[1][:, 0]] and t.examples == 20


def refused():
    def no(words, data, kind=DataError, limit=BIG):
        nets.refuses(kind, words, lambda: training(data, limit))

    x, y = nets.images(n=8)
    no(["train", "Private", "cache_bytes = 10", "global"], DataLoader(Private(), 4), limit=10)
    no(["train", "DataLoader", "cache_bytes = 10"], DataLoader(Stream(), 3), limit=10)
    no(["generator", "cache_bytes"], (torch.ones(2, 9) for _ in iter(int, 1)), limit=1000)
    no(["TensorDataset", "DataLoader"], TensorDataset(x, y), ConfigError)
    no(["tuple of tensors", "TensorDataset"], (x, y), ConfigError)
    no(["dict is not batches"], {"x": x}, ConfigError)
    no(["int is not batches"], 3, ConfigError)
    no(["no batches"], [])
    no(["no batch"], DataLoader(TensorDataset(x, y), batch_size=50, drop_last=True))
    no(["str", "no tensor"], ["a", "b"])


def user_errors_pass():
    class Broken(Augmented):
        def __getitem__(self, i):
            raise ZeroDivisionError("mine")

    for workers in (0, 1):
        data = DataLoader(Broken(), batch_size=4, num_workers=workers)
        nets.refuses(ZeroDivisionError, ["mine"], lambda data=data: training(data))


def cache():
    c = Cache(100)
    for i in range(4):
        c.put(i, torch.zeros(10))  # 40 bytes
    assert c.get(0) is None and c.get(3) is not None and c.bytes <= 100
    c.put(9, torch.zeros(26))
    assert c.get(9) is None, "more than the limit"


def evaluation():
    x, y = nets.images(n=10)
    for limit in (BIG, 10):
        e = Evaluation("valid", DataLoader(Augmented(10), batch_size=4, shuffle=True), Cache(limit))
        assert e.examples == 10 and (e.kept is None) == (limit == 10)
        a, b = list(e.in_order()), list(e.in_order())
        assert all(map(trees.same, a, b)) and len(a) == 3
    e = Evaluation("test", [(x[:6], y[:6]), (x[6:], y[6:])], Cache(BIG))
    assert e.examples == 10
    nets.refuses(DataError, ["valid", "no batches"], lambda: Evaluation("valid", [], Cache(BIG)))


def trees_keep_their_kind():
    import collections

    P = collections.namedtuple("P", "x y")
    p = trees.head(P(torch.ones(4, 2), {"z": torch.ones(4)}), 3)
    assert type(p) is P and p.x.shape == (3, 2) and p.y["z"].shape == (3,)


TESTS = [(f"batches/{f.__name__}", f) for f in (shuffled, workers_agree, plain_tensors,
         orders_are_drawn_again, samplers, whole_batches, lists, streams, private_generator,
         refused, user_errors_pass, cache, evaluation, trees_keep_their_kind)]  # fmt: skip

if __name__ == "__main__":
    house.main(dict(TESTS))
