"""Two studies in two threads share the process's generators, torch's one level of forward mode, its
switches of back ends and the filters of warnings. Here the second thread comes in the middle of
what the first one does and goes on until that is over, as far as it is let: nothing is chance."""

import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import house
import nets
import torch
from nets import vector
from test_oracle import MODELS
from torch.optim import SGD
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, TensorDataset

from drmad.batches import Cache, Training
from drmad.optimizer import read_optimizer, read_schedule
from drmad.oracle import Oracle
from drmad.seeds import seeded

LET = 0.3  # seconds that one thread waits for another one, which may have to wait itself


class Crossing:
    """first() on this thread and second() on another one; the first calls `open` in its middle,
    where the second begins, the second `shut`, where it waits until the first has ended."""

    def __init__(self, second):
        self.second, self.there = second, None
        self.inside, self.over = threading.Event(), threading.Event()

    def open(self):
        if self.there is None:
            self.there = self.pool.submit(self.second)
            self.inside.wait(LET)

    def shut(self):
        self.inside.set()
        self.over.wait(LET)

    def run(self, first):
        with ThreadPoolExecutor(1) as self.pool:
            here = first()
            self.over.set()
            return here, self.there.result()


def factories_of_optimizers():
    """What a factory of models draws for its optimizer shifts nobody's numbers."""

    def drawn():
        with seeded(7):
            first = torch.rand(2)
            if crossing:
                crossing.open()
            return torch.cat([first, torch.rand(2)])

    def read():
        return read_optimizer(lambda p: SGD(p, lr=0.1), make)

    def make():
        model = nets.mlp()
        crossing.inside.set()
        return model

    crossing = None
    alone, before = drawn(), torch.get_rng_state()
    crossing = Crossing(read)
    here, there = crossing.run(drawn)
    assert torch.equal(here, alone), f"{here} and alone {alone}"
    assert len(there["groups"][0]["names"]) == 6
    assert torch.equal(before, torch.get_rng_state()), "the caller's generator moved"


def switches():
    sdp = torch.backends.cuda
    return (torch._C._get_mkldnn_enabled(), torch.backends.cudnn.enabled,
            sdp.flash_sdp_enabled(), sdp.mem_efficient_sdp_enabled())  # fmt: skip


def product(oracle):
    w, hu = vector(oracle), vector(oracle)
    oracle.start(5, w)
    oracle.product(5, 0, w, vector(oracle, 1), None, False, None, hu, None)
    return hu


def products(name, way):
    make, loss_fn, data = MODELS[name]
    a, b = (Oracle(nets.seeded_model(make), loss_fn, *data(), product=way) for _ in "ab")
    alone, before = product(a), switches()
    crossing = Crossing(lambda: product(b))
    a.loss_fn = lambda *args: (crossing.open(), loss_fn(*args))[1]
    b.loss_fn = lambda *args: (crossing.shut(), loss_fn(*args))[1]
    here, there = crossing.run(lambda: product(a))
    assert torch.equal(here, alone) and torch.equal(there, alone)
    assert switches() == before, f"{before} before, {switches()} after"


class Order:
    """A sampler that draws from `generator` after a call of `meet`."""

    def __init__(self, generator):
        self.generator, self.meet = generator, lambda: None

    def __len__(self):
        return 20

    def __iter__(self):
        self.meet()
        return iter(torch.randperm(20, generator=self.generator).tolist())


def generators_of_loaders():
    """Two loaders over one generator."""
    own = torch.Generator().manual_seed(3)
    orders, data = (Order(own), Order(own)), TensorDataset(torch.arange(20.0))
    a, b = (Training(DataLoader(data, 5, sampler=o), Cache(1 << 20)).source for o in orders)
    alone, before = (a._draw(1, 0), b._draw(2, 0)), own.get_state()
    crossing = Crossing(lambda: b._draw(2, 0))
    orders[0].meet, orders[1].meet = crossing.open, crossing.shut
    assert crossing.run(lambda: a._draw(1, 0)) == alone
    assert torch.equal(before, own.get_state()), "the caller's generator moved"


def filters_of_warnings():
    def read(meet):
        def factor(step):
            if step == 3:
                meet()
            return 1.0

        return read_schedule(lambda opt: LambdaLR(opt, factor), optimizer, 5)

    optimizer = read_optimizer(lambda p: SGD(p, lr=0.1), nets.mlp)
    before = list(warnings.filters)
    crossing = Crossing(lambda: read(crossing.shut))
    crossing.run(lambda: read(crossing.open))
    assert warnings.filters == before


TESTS = [(f"threads/{f.__name__}", f) for f in (factories_of_optimizers, generators_of_loaders,
         filters_of_warnings)]  # fmt: skip
TESTS += [(f"threads/products_{name}_{way}", lambda name=name, way=way: products(name, way))
          for name, way in (("mlp", "reverse"), ("lenet", "forward"), ("gpt", "reverse"),
                            ("lstm", "reverse"))]  # fmt: skip

if __name__ == "__main__":
    house.main(dict(TESTS))
