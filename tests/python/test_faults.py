"""What users do wrong in the middle of a run, and what is unusual but right: each is an exception
with its own words or a result, never a crash; and the library works afterwards (F47)."""

import multiprocessing
import pathlib
import tempfile
import warnings
from concurrent.futures import ThreadPoolExecutor

import torch
from house import main, raises
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import drmad

LATER = 60  # calls of loss_fn; the probe has made some, a run of 30 steps is under way


def data(batch=10, **more):
    draw = torch.Generator().manual_seed(5)
    x = torch.randn(120, 6, generator=draw)
    y = x[:, :3].argmax(1)
    return {"train": DataLoader(TensorDataset(x[:60], y[:60]), batch, drop_last=True, **more),
            "valid": DataLoader(TensorDataset(x[60:], y[60:]), 30)}  # fmt: skip


def make_model():
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))


def loss_fn(model, batch):
    x, y = batch
    return nn.functional.cross_entropy(model(x), y, reduction="none")


def tune(model=make_model, loss=loss_fn, **more):
    with tempfile.TemporaryDirectory() as folder:
        arguments = {**data(), "optimizer": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
                     "steps": 30, "hyper": [drmad.lr(per="layer")], "meta_steps": 2, "seeds": 1,
                     "out": pathlib.Path(folder) / "run", "progress": False}  # fmt: skip
        return drmad.tune(model, loss, **{**arguments, **more})


def later(change):
    """loss_fn, and change(losses) from call LATER on."""
    calls = [0]

    def loss(model, batch):
        calls[0] += 1
        losses = loss_fn(model, batch)
        return change(losses) if calls[0] >= LATER else losses

    return loss


def wrong(kind, words, change):
    def test():
        raises(kind, words, lambda: tune(loss=later(change)))
        assert tune().status == "done", "the library works afterwards"

    return test


def not_a_number():
    """A loss of NaN from some step on is a run that is not finite, and no hypergradient."""
    raises(drmad.DivergedError, "no usable", lambda: tune(loss=later(lambda x: x * float("nan"))))
    assert tune().status == "done"


def frozen_parameters():
    def make():
        model = make_model()
        model[0].weight.requires_grad_(False)
        return model

    r = tune(make)
    assert set(r.values["lr"]) == {"0.bias", "2.weight", "2.bias"}
    opt = r.optimizer(make())
    assert sum(len(g["params"]) for g in opt.param_groups) == 3


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.out = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)
        self.b.weight = self.a.weight

    def forward(self, x):
        return self.out(torch.tanh(self.b(torch.tanh(self.a(x)))))


def tied_weights():
    r = tune(Tied, hyper=[drmad.lr(per="unit-out"), drmad.weight_decay()])
    assert "a.weight" in r.values["lr"] and "b.weight" not in r.values["lr"]
    model = Tied()
    r.optimizer(model)
    assert model.a.weight is model.b.weight


def in_place_on_activations():
    kind = nn.ReLU(inplace=True)
    assert tune(lambda: nn.Sequential(nn.Linear(6, 8), kind, nn.Linear(8, 3))).status == "done"


def in_place_on_the_batch():
    """It would train on other data at the next visit: seen on the first batch."""

    def loss(model, batch):
        return loss_fn(model, [batch[0].mul_(1.5), batch[1]])

    raises(drmad.Error, "batch", lambda: tune(loss=loss))


def batches_elsewhere():
    x, y = torch.randn(20, 6, device="meta"), torch.zeros(20, dtype=torch.int64)
    try:
        tune(train=[(x, y)] * 3)
    except Exception as e:
        assert "meta" in str(e) + "".join(getattr(e, "__notes__", [])), e
    else:
        raise AssertionError("trained on nothing")


def loaders_that_fork():
    """Two worker processes, on the way forward and back; they are gone afterwards."""
    before = tune()
    r = tune(**data(num_workers=2))
    assert r.objective == before.objective, "workers change nothing"
    assert not multiprocessing.active_children()


class Breaks(Dataset):
    def __init__(self):
        self.calls = multiprocessing.Value("i", 0)

    def __len__(self):
        return 60

    def __getitem__(self, i):
        with self.calls.get_lock():
            self.calls.value += 1
        if self.calls.value > 200:
            raise KeyError("worn out")
        return torch.full((6,), float(i)) / 60, i % 3


def datasets_that_break():
    for workers in (0, 2):
        train = DataLoader(Breaks(), 10, shuffle=True, num_workers=workers, drop_last=True)
        raises(KeyError, "worn out", lambda t=train: tune(train=t, steps=300))


def factories_that_change_their_mind():
    sizes = iter([8] * 3 + [9] * 100)

    def make():
        n = next(sizes)
        return nn.Sequential(nn.Linear(6, n), nn.Tanh(), nn.Linear(n, 3))

    raises(drmad.ModelError, "other parameters", lambda: tune(make))


def callbacks_from_threads():
    """tune on a thread of its own, another study on this one."""
    with ThreadPoolExecutor(1) as pool:
        there = pool.submit(tune)
        here = tune()
        found = there.result().objective
    assert found == here.objective, f"{found} on a thread, {here.objective} here"


TESTS = {
    "shapes_that_change": wrong(drmad.ModelError, "gave (9, 1)", lambda x: x[:-1, None]),
    "numbers_that_are_none": wrong(drmad.ModelError, "'float'", lambda x: x.mean().item()),
    "losses_without_gradient": wrong(drmad.ModelError, "does not depend", lambda x: x.detach()),
    "losses_of_another_type": wrong(drmad.ModelError, "torch.bool", lambda x: x.bool()),
    "losses_in_half": wrong(drmad.ModelError, "torch.bfloat16", lambda x: x.bfloat16()),
    "losses_in_double": wrong(drmad.ModelError, "torch.float64", lambda x: x.double()),
    "losses_that_are_too_few": wrong(drmad.ModelError, "9 losses for a batch of", lambda x: x[1:]),
    "losses_that_are_too_many": wrong(drmad.ModelError, "losses for a batch of",
                                      lambda x: torch.cat([x, x])),
}
for f in (not_a_number, frozen_parameters, tied_weights, in_place_on_activations,
          in_place_on_the_batch, batches_elsewhere, loaders_that_fork, datasets_that_break,
          factories_that_change_their_mind, callbacks_from_threads):  # fmt: skip
    TESTS[f.__name__] = f

if __name__ == "__main__":
    warnings.filterwarnings("ignore", "This DataLoader will create 2 worker")
    main(TESTS)
