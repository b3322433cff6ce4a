"""A training step and a reverse step of the nets of bench_nets.c against PyTorch's and JAX's,
one after the other in one run, on one thread: processor seconds, the median of the rounds.

Step: gather 64 u8 images, scale, the net, soft-max cross-entropy, L2 per layer, SGD with momentum.
PyTorch runs in channels_last, eager and compiled, JAX jitted as a whole; the best of them counts.
Reverse: gradient with create_graph, <g, u>, its gradient for weights and penalties, update of the
adjoints: what a user of PyTorch writes by hand; torch.compile refuses double backward. Ratios
above 1: drmad is faster. A peer that does not run is an error.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

import torch
from torch import nn

ROOT = pathlib.Path(__file__).resolve().parent.parent
BATCH, LR, L2, ROUNDS, LIMIT_S = 64, 0.01, 1e-4, 3, 2.0


class Block(nn.Module):
    def __init__(self, i, o, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(i, o, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(o)
        self.conv2 = nn.Conv2d(o, o, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(o)
        self.short = None
        if stride > 1:
            self.short = nn.Sequential(nn.Conv2d(i, o, 1, stride, bias=False), nn.BatchNorm2d(o))

    def forward(self, x):
        y = torch.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return torch.relu(y + (self.short(x) if self.short else x))


def resnet20():
    layers, width = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()], 16
    for stage in range(3):
        for block in range(3):
            out = 16 << stage
            layers.append(Block(width, out, 2 if stage > 0 and block == 0 else 1))
            width = out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def lenet():
    return nn.Sequential(
        nn.Conv2d(1, 32, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 5), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(1024, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip


class Net:
    def __init__(self, name):
        size, channels = (28, 1) if name == "lenet" else (32, 3)
        torch.manual_seed(1)
        self.model = (lenet() if name == "lenet" else resnet20()).to(
            memory_format=torch.channels_last
        )
        self.x = torch.randint(0, 256, (2048, size, size, channels), dtype=torch.uint8)
        self.y = torch.randint(0, 10, (2048,))
        self.w = list(self.model.parameters())
        self.decayed = [p for p in self.w if p.ndim > 1]
        self.lam = [torch.tensor(L2, requires_grad=True) for _ in self.decayed]
        self.opt = torch.optim.SGD(self.w, lr=LR, momentum=0.9)
        self.index = torch.randint(0, 1920, (100, BATCH))

    def loss(self, index):
        x = self.x[index].float() * (1 / 255)
        loss = nn.functional.cross_entropy(self.model(x.permute(0, 3, 1, 2)), self.y[index])
        for w, lam in zip(self.decayed, self.lam):
            loss = loss + 0.5 * lam * (w * w).sum()
        return loss

    def step(self, t, loss):
        self.opt.zero_grad(set_to_none=True)
        loss(self.index[t]).backward(inputs=self.w)
        self.opt.step()

    def reverse(self, t, wcot, bcot):
        for c, b in zip(wcot, bcot):
            b.add_(c, alpha=-LR)
        grad = torch.autograd.grad(self.loss(self.index[t]), self.w, create_graph=True)
        dot = sum((g * b).sum() for g, b in zip(grad, bcot))
        out = torch.autograd.grad(dot, self.w + self.lam, allow_unused=True)
        for c, h in zip(wcot, out):
            if h is not None:  # the last bias
                c.add_(h)
        for b in bcot:
            b.mul_(0.9)


def timed(run):
    times = []
    for t in range(100):
        start = time.process_time()
        run(t)
        times.append(time.process_time() - start)
        if t > 3 and sum(times[1:]) > LIMIT_S:
            break
    return statistics.median(times[1:])


def torch_times(net, compiled):
    found = {"eager": timed(lambda t: net.step(t, net.loss))}
    if compiled:
        found["compiled"] = timed(lambda t: net.step(t, compiled))
    wcot = [torch.zeros_like(p) for p in net.w]
    bcot = [torch.zeros_like(p) for p in net.w]
    found["reverse"] = timed(lambda t: net.reverse(t, wcot, bcot))
    return found


def compile_loss(net, name):
    compiled = torch.compile(net.loss, dynamic=False)
    try:
        for t in range(2):
            net.step(t, compiled)
    except Exception as e:  # what torch raises here differs by cause and version
        print(f"{name}: torch.compile does not work: {str(e).strip().splitlines()[0]}", flush=True)
        return None
    return compiled


def other(*command):
    out = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout
    return json.loads(out)


def measure(name):
    net = Net(name)
    compiled = compile_loss(net, name)
    ours = os.environ.get("BENCH_NETS", str(ROOT / "build/release/bench_nets"))
    rounds = []
    for _ in range(ROUNDS):
        found = other(ours, "times", name)
        found |= {f"torch {k}": v for k, v in torch_times(net, compiled).items()}
        found |= other(str(ROOT / ".venv-peers/bin/python"), "bench/peers/step_jax.py", name)
        rounds.append(found)
    times = {k: statistics.median(r[k] for r in rounds) for k in rounds[0]}
    print(f"{name}: " + ", ".join(f"{k} {1e3 * v:.2f} ms" for k, v in times.items()), flush=True)
    peers = [k for k in times if k in ("torch eager", "torch compiled", "jax")]
    best = min(peers, key=times.get)
    return times[best] / times["step"], times["torch reverse"] / times["reverse"], best


def main():
    torch.set_num_threads(1)
    subprocess.run(["tools/peers-env"], cwd=ROOT, check=True)
    rows = {name: measure(name) for name in ("lenet", "resnet")}
    each = ", ".join(f"{n} {r[0]:.2f} ({r[2]})" for n, r in rows.items())
    back = ", ".join(f"{n} {r[1]:.2f}" for n, r in rows.items())
    print(f"conv_step_vs_best_peer ratio {min(r[0] for r in rows.values()):.2f} {each};"
          f" torch {torch.__version__}")  # fmt: skip
    print(f"conv_reverse_vs_torch ratio {min(r[1] for r in rows.values()):.2f} {back}")


if __name__ == "__main__":
    sys.exit(main())
