"""What the peers share: data, nets, and the contract of their scripts.

    peer_NAME.py NET T ROUNDS [VARIANT]    one line of JSON on stdout:
        peer, variant, net, steps
        seconds          of each hypergradient (one training run, one way back), ROUNDS of them;
                         processor time, of one thread: what else runs takes turns, and is not in it
        growth           bytes by which the resident memory rose above what lay there before
        hypergradient    dF/d(decay), where the script can give one
        note             what the peer can and cannot express

The task is the same for all: a net on MNIST, T steps of SGD with momentum on batches of 50 in an
order that is the same in every epoch, a weight decay for each output unit (row) of each weight
tensor, added to the gradient; F is the mean loss on 2000 validation examples after the last step.
Each script runs in a process of its own, on one thread."""

from __future__ import annotations

import ctypes
import gc
import gzip
import json
import os
import pathlib
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

ROOT = pathlib.Path(__file__).resolve().parents[2]
TRAIN, VALID, BATCH = 5000, 2000, 50
LR, MOMENTUM, DECAY = 0.05, 0.9, 1e-3
SEED = 1
NETS = ("mlp", "lenet")


def mnist_folder() -> pathlib.Path:
    """Where MNIST lies: DRMAD_DATA or its mnist folder, else beside the repository."""
    places = [ROOT.parent / "shared" / "data" / "mnist"]
    if os.environ.get("DRMAD_DATA"):
        given = pathlib.Path(os.environ["DRMAD_DATA"])
        places = [given / "mnist", given, *places]
    for p in places:
        if (p / "train-images-idx3-ubyte.gz").exists():
            return p
    sys.exit("peers: no MNIST; DRMAD_DATA names its folder (drmad data get mnist)")


def _idx(path: pathlib.Path) -> torch.Tensor:
    raw = gzip.open(path, "rb").read()
    shape = [int.from_bytes(raw[4 + 4 * i : 8 + 4 * i], "big") for i in range(raw[3])]
    return torch.frombuffer(bytearray(raw[4 + 4 * len(shape) :]), dtype=torch.uint8).view(shape)


def make_mlp() -> nn.Module:
    """784-50-50-50-10, tanh."""
    sizes = [784, 50, 50, 50, 10]
    layers: list[nn.Module] = [nn.Flatten()]
    for i, o in zip(sizes[:-1], sizes[1:]):
        layers += [nn.Linear(i, o), nn.Tanh()]
    return nn.Sequential(*layers[:-1])


def make_lenet() -> nn.Module:
    """LeNet-5 as in 1998, with full connections and a soft-max at the end."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2),
        nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(),
        nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10),
    )  # fmt: skip


def mlp_scores(w: list[torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """What make_mlp() computes, as a function of its parameters: no module in the way."""
    a = x.flatten(1)
    for k in range(0, 6, 2):
        a = torch.tanh(F.linear(a, w[k], w[k + 1]))
    return F.linear(a, w[6], w[7])


def lenet_scores(w: list[torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """What make_lenet() computes, as a function of its parameters."""
    a = F.avg_pool2d(torch.tanh(F.conv2d(x, w[0], w[1], padding=2)), 2)
    a = F.avg_pool2d(torch.tanh(F.conv2d(a, w[2], w[3])), 2).flatten(1)
    a = torch.tanh(F.linear(a, w[4], w[5]))
    return F.linear(torch.tanh(F.linear(a, w[6], w[7])), w[8], w[9])


@dataclass
class Task:
    """One net with its data. start: w_0. index: [T, 50], the examples of each batch."""

    net: str
    steps: int
    make: Callable[[], nn.Module]
    scores: Callable[[list[torch.Tensor], torch.Tensor], torch.Tensor]
    start: list[torch.Tensor]
    x: torch.Tensor
    y: torch.Tensor
    valid: tuple[torch.Tensor, torch.Tensor]
    index: torch.Tensor

    def batch(self, t: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.x.index_select(0, self.index[t]), self.y.index_select(0, self.index[t])

    def loss(self, w: list[torch.Tensor], x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(self.scores(w, x), y)

    def module(self) -> nn.Module:
        """A fresh module with the start weights."""
        torch.manual_seed(SEED)
        return self.make()

    def decays(self, grad: bool = False) -> list[torch.Tensor | None]:
        """For each tensor its decay as [rows, 1, ...], or None for a bias."""
        return [
            torch.full((len(w),) + (1,) * (w.dim() - 1), DECAY).requires_grad_(grad)
            if w.dim() > 1
            else None
            for w in self.start
        ]


def make_task(net: str, steps: int) -> Task:
    """The task `net` ("mlp" or "lenet") over `steps` steps."""
    x, y = (_idx(mnist_folder() / f"train-{f}-ubyte.gz")
            for f in ("images-idx3", "labels-idx1"))  # fmt: skip
    gen = torch.Generator().manual_seed(SEED)
    chosen = torch.randperm(len(x), generator=gen)[: TRAIN + VALID]
    x, y = x[chosen].float().div(255).unsqueeze(1), y[chosen].long()
    order = torch.randperm(TRAIN, generator=gen).view(-1, BATCH)
    index = order[torch.arange(steps) % len(order)]
    make, scores = (make_mlp, mlp_scores) if net == "mlp" else (make_lenet, lenet_scores)
    torch.manual_seed(SEED)
    start = [p.detach().clone() for p in make().parameters()]
    return Task(net, steps, make, scores, start, x[:TRAIN], y[:TRAIN], (x[TRAIN:], y[TRAIN:]),
                index)  # fmt: skip


def resident() -> int:
    """Bytes of this process in memory now."""
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def forget_peak() -> int:
    """Starts the count of peak() anew, without what loading the data took, what the warm-up left in
    reference cycles and what the allocator holds back; gives resident()."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    pathlib.Path("/proc/self/clear_refs").write_text("5")
    return resident()


def peak() -> int:
    """The most that it was since forget_peak()."""
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(x.split()[1]) * 1024 for x in lines if x.startswith("VmHWM"))


def pin() -> None:
    """One thread on one core."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    torch.set_num_threads(1)


def said() -> tuple[str, int, int, str]:
    """What the command line asks for: net, steps, rounds, variant."""
    if len(sys.argv) < 4 or sys.argv[1] not in NETS:
        sys.exit(f"usage: {sys.argv[0]} {'|'.join(NETS)} T ROUNDS [VARIANT]")
    return sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), (sys.argv[4:] or [""])[0]


def tell(peer: str, seconds: list[float], growth: int, h: torch.Tensor, note: str) -> None:
    """The line of the contract."""
    net, steps, _, variant = said()
    print(json.dumps({"peer": peer, "variant": variant, "net": net, "steps": steps,
                      "seconds": seconds, "growth": growth, "note": note,
                      "hypergradient": h.double().tolist()}))  # fmt: skip


def run(peer: str, hypergradient: Callable[[Task], torch.Tensor], note: str) -> None:
    """A script whose hypergradient is a function of the task alone. Warmed up on three steps."""
    pin()
    net, steps, rounds, _ = said()
    hypergradient(make_task(net, 3))
    task = make_task(net, steps)
    before, seconds = forget_peak(), []
    for _ in range(rounds):
        start = time.process_time()
        h = hypergradient(task)
        seconds.append(time.process_time() - start)
    tell(peer, seconds, peak() - before, h, note)


def joined(parts: list[torch.Tensor | None]) -> torch.Tensor:
    """The hypergradient as one vector."""
    return torch.cat([p.detach().flatten() for p in parts if p is not None])
