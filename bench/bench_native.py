"""One meta-step (training run, evaluation and its gradient, walk back) with engine="native", with
engine="callback", and by hand with torch.func, one after the other in one run.

By hand: SGD with momentum, rates and decays per layer, all weights kept, torch.func.grad for each
step and one second-order product for each step back, forward over reverse or reverse over reverse,
whichever is faster; norms without running statistics, which is less than drmad does. The callback
engine must be about as fast as that, else the first ratio means nothing. One thread, float32,
medians of the rounds. Ratios above 1: the first is faster."""

from __future__ import annotations

import json
import pathlib
import statistics
import sys
import tempfile
import time
import warnings

import torch
from torch import nn
from torch.func import functional_call, grad, jvp, vjp
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "python"))

import drmad  # noqa: E402
from drmad.tuning import Job  # noqa: E402

ROUNDS = 3
LR, MOMENTUM, DECAY = 0.02, 0.9, 1e-3


def mlp() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 50), nn.Tanh(), nn.Linear(50, 50), nn.Tanh(),
                         nn.Linear(50, 50), nn.Tanh(), nn.Linear(50, 10))  # fmt: skip


def lenet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84),
        nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip


class Block(nn.Module):
    def __init__(self, a: int, b: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(a, b, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(b, b, 3, 1, 1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(b), nn.BatchNorm2d(b)
        same = a == b and stride == 1
        self.short = nn.Identity() if same else nn.Sequential(
            nn.Conv2d(a, b, 1, stride, bias=False), nn.BatchNorm2d(b))  # fmt: skip

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.short(x))


def resnet18(width: int = 16) -> nn.Module:
    """The CIFAR form, a quarter as wide."""
    w = [width, width, 2 * width, 4 * width, 8 * width]
    blocks: list[nn.Module] = []
    for s in range(4):
        blocks += [Block(w[s], w[s + 1], 1 if s == 0 else 2), Block(w[s + 1], w[s + 1], 1)]
    return nn.Sequential(nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
                         *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(8 * width, 10))  # fmt: skip


# name: factory, shape of an example, batch, steps, validation examples
NETS = {
    "mlp": (mlp, (1, 28, 28), 50, 100, 500),
    "lenet": (lenet, (1, 28, 28), 64, 20, 256),
    "resnet18": (resnet18, (3, 32, 32), 32, 4, 64),
}


def loss_fn(model, batch):
    return F.cross_entropy(model(batch[0]), batch[1])


def data(shape: tuple, count: int, seed: int) -> TensorDataset:
    draw = torch.Generator().manual_seed(seed)
    return TensorDataset(torch.randn(count, *shape, generator=draw),
                         torch.randint(10, (count,), generator=draw))  # fmt: skip


class ByHand:
    """The loop that a user of torch.func writes."""

    def __init__(self, name: str) -> None:
        make, shape, batch, self.steps, valid = NETS[name]
        torch.manual_seed(1)
        self.model = make()
        for m in self.model.modules():
            if isinstance(m, nn.BatchNorm2d):
                m.track_running_stats, m.num_batches_tracked = False, None
                m.running_mean = m.running_var = None
        self.start = {n: p.detach().clone() for n, p in self.model.named_parameters()}
        train = DataLoader(data(shape, 8 * batch, 1), batch, shuffle=True)
        self.batches, self.valid = list(train), list(DataLoader(data(shape, valid, 2), valid))
        self.gradient = grad(self.loss)
        self.ways = {"forward over reverse": self.forward, "reverse over reverse": self.reverse}

    def loss(self, w, batch):
        return F.cross_entropy(functional_call(self.model, w, batch[0]), batch[1])

    def forward(self, w, u, batch):
        return jvp(lambda p: self.gradient(p, batch), (w,), (u,))[1]

    def reverse(self, w, u, batch):
        return vjp(lambda p: self.gradient(p, batch), w)[1](u)[0]

    def meta_step(self, product) -> None:
        w, v, kept = self.start, {n: torch.zeros_like(p) for n, p in self.start.items()}, []
        for t in range(self.steps):
            g = self.gradient(w, self.batches[t % len(self.batches)])
            v = {n: MOMENTUM * v[n] + g[n] + DECAY * w[n] for n in w}
            kept.append((w, v))
            w = {n: w[n] - LR * v[n] for n in w}
        wbar = self.gradient(w, self.valid[0])
        vbar = {n: torch.zeros_like(p) for n, p in w.items()}
        rates, decays = dict.fromkeys(w, 0.0), dict.fromkeys(w, 0.0)
        for t in reversed(range(self.steps)):
            w, v = kept[t]
            vbar = {n: vbar[n] - LR * wbar[n] for n in w}
            for n in w:
                rates[n] -= torch.vdot(wbar[n].flatten(), v[n].flatten())
                decays[n] += torch.vdot(vbar[n].flatten(), w[n].flatten())
            h = product(w, vbar, self.batches[t % len(self.batches)])
            wbar = {n: wbar[n] + h[n] + DECAY * vbar[n] for n in w}
            vbar = {n: MOMENTUM * vbar[n] for n in w}

    def seconds(self) -> list[float]:
        """By the faster way, found in the first round."""
        ways = list(self.ways.values())
        first = [self.timed(way) for way in ways]
        best = ways[first.index(min(first))]
        return [self.timed(best) for _ in range(ROUNDS)]

    def timed(self, product) -> float:
        begun = time.perf_counter()
        self.meta_step(product)
        return time.perf_counter() - begun


class Clock:
    """When each meta-step ended."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def tick(self, what: str, step: int) -> None:
        pass

    def event(self, stage: str, done: float, total: float, line: str) -> None:
        if line and json.loads(line).get("event") == "meta-step":
            self.times.append(time.perf_counter())

    def close(self) -> None:
        pass


def by_drmad(name: str, engine: str) -> list[float]:
    """The same through drmad.tune's own path: seconds of each meta-step but the first."""
    make, shape, batch, steps, valid = NETS[name]
    clock = Clock()
    with tempfile.TemporaryDirectory() as out:
        job = Job(
            make, loss_fn, train=DataLoader(data(shape, 8 * batch, 1), batch, shuffle=True),
            valid=DataLoader(data(shape, valid, 2), valid), test=None, steps=steps, out=out,
            optimizer=lambda p: torch.optim.SGD(p, lr=LR, momentum=MOMENTUM),
            hyper=[drmad.lr(per="layer"), drmad.weight_decay(per="layer", start=DECAY)],
            meta_steps=1 + ROUNDS, seeds=0, trajectory="full", threads=1, engine=engine,
            outer__audit_every="never", outer__trust=False,
        )  # fmt: skip
        job._progress = lambda: clock  # type: ignore[method-assign]
        with job.bridge() as bridge:
            bridge.call("tune", 0)
    return [b - a for a, b in zip(clock.times, clock.times[1:])]


def main(names: list[str]) -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    lines = []
    for name in names or NETS:
        sides = {"native": by_drmad(name, "native"), "callback": by_drmad(name, "callback"),
                 "hand": ByHand(name).seconds()}  # fmt: skip
        at = {k: statistics.median(times) for k, times in sides.items()}
        print(f"{name}: a meta-step of {NETS[name][3]} steps: "
              + ", ".join(f"{k} {1e3 * v:.1f} ms" for k, v in at.items()), flush=True)  # fmt: skip
        lines += [f"native_vs_callback_{name} ratio {at['callback'] / at['native']:.2f} "
                  f"torch {torch.__version__}",
                  f"callback_vs_hand_{name} ratio {at['hand'] / at['callback']:.2f} "
                  "a loop of torch.func's"]  # fmt: skip
    print("\n".join(lines))


if __name__ == "__main__":
    main(sys.argv[1:])
