"""A training step and a reverse step of drmad against PyTorch's, on the same data, one after
the other in one run.

Step: gather 50 (128) u8 rows, scale, tanh (relu) MLP, soft-max cross-entropy, L2 per input
unit, SGD with momentum.
Reverse: gradient with create_graph, <g, u>, its gradient for weights and penalties, update of
the adjoints: what a user
of PyTorch writes by hand. Eager and torch.compile, 1 and 2 threads, set_to_none; the best of
each is what counts.
torch.compile refuses double backward, so the reverse step is eager. Ratios above 1: drmad is
faster.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

import torch

ROOT = pathlib.Path(__file__).resolve().parent.parent
NETS = {
    "small": dict(
        sizes=[784, 50, 50, 50, 10], act=torch.tanh, batch=50, lr=0.05, l2=1e-3, steps=300
    ),
    "large": dict(
        sizes=[784, 800, 800, 10], act=torch.relu, batch=128, lr=0.02, l2=1e-4, steps=40
    ),
}
ROUNDS = 3


class Net:
    def __init__(self, sizes, act, batch, lr, l2, steps):
        gen = torch.Generator().manual_seed(1)
        self.act, self.batch, self.lr, self.steps = act, batch, lr, steps
        self.x = torch.randint(0, 256, (15000, 784), dtype=torch.uint8, generator=gen)
        self.y = torch.randint(0, 10, (15000,), generator=gen)
        self.w = []
        for i, o in zip(sizes[:-1], sizes[1:]):
            self.w += [torch.randn(o, i, generator=gen) * i**-0.5, torch.zeros(o)]
        self.w = [p.requires_grad_() for p in self.w]
        self.lam = [torch.full((i,), l2, requires_grad=True) for i in sizes[:-1]]
        self.opt = torch.optim.SGD(self.w, lr=lr, momentum=0.9)
        self.index = torch.randint(0, 15000, (steps, batch), generator=gen)

    def loss(self, w, lam, index):
        a = self.x[index].float() * (1 / 255)
        for k in range(0, len(w), 2):
            a = torch.nn.functional.linear(a, w[k], w[k + 1])
            if k + 2 < len(w):
                a = self.act(a)
        loss = torch.nn.functional.cross_entropy(a, self.y[index])
        for k, l in enumerate(lam):
            loss = loss + 0.5 * (l * (w[2 * k] * w[2 * k])).sum()
        return loss

    def step(self, t, loss):
        self.opt.zero_grad(set_to_none=True)
        loss(self.w, self.lam, self.index[t]).backward()
        self.opt.step()

    def reverse(self, t, wcot, bcot):
        for c, b in zip(wcot, bcot):
            b.add_(c, alpha=-self.lr)
        value = self.loss(self.w, self.lam, self.index[t])
        grad = torch.autograd.grad(value, self.w, create_graph=True)
        dot = sum((g * b).sum() for g, b in zip(grad, bcot))
        out = torch.autograd.grad(dot, self.w + self.lam)
        for c, h in zip(wcot, out):
            c.add_(h)
        for b in bcot:
            b.mul_(0.9)
        return out[len(self.w) :]


def timed(run, steps):
    run(0)
    times = []
    for t in range(steps):
        start = time.perf_counter()
        run(t)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def torch_times(name):
    best = {}
    for threads in (1, 2):
        torch.set_num_threads(threads)
        net = Net(**NETS[name])
        best[f"eager{threads}"] = timed(lambda t: net.step(t, net.loss), net.steps)
        compiled = torch.compile(net.loss)
        for t in range(3):
            net.step(t, compiled)
        best[f"compiled{threads}"] = timed(lambda t: net.step(t, compiled), net.steps)
        wcot = [torch.zeros_like(p) for p in net.w]
        bcot = [torch.zeros_like(p) for p in net.w]
        best[f"reverse{threads}"] = timed(lambda t: net.reverse(t, wcot, bcot), net.steps)
    return best


def our_times(name):
    out = subprocess.run(
        [os.environ.get("BENCH_TRAIN", str(ROOT / "build/release/bench_train")), "times", name],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
    ).stdout
    return json.loads(out)


def main():
    rows = {}
    for name in NETS:
        rounds = [(our_times(name), torch_times(name)) for _ in range(ROUNDS)]
        ours = {k: statistics.median(r[0][k] for r in rounds) for k in rounds[0][0]}
        them = {k: statistics.median(r[1][k] for r in rounds) for k in rounds[0][1]}
        rows[name] = ours, them
        print(
            f"{name}: drmad step {1e6 * ours['step']:.0f} us, reverse"
            f" {1e6 * ours['reverse']:.0f} us; torch "
            + ", ".join(f"{k} {1e6 * v:.0f}" for k, v in them.items()),
            flush=True,
        )

    def ratio(label, name, ours, *keys):
        o, t = rows[name]
        print(
            f"{label} ratio {min(t[k] for k in keys) / o[ours]:.2f} torch {torch.__version__}:"
            f" {', '.join(keys)}"
        )

    ratio(
        "step_large_vs_best_peer", "large", "step", "eager1", "eager2", "compiled1", "compiled2"
    )
    ratio(
        "step_small_vs_compiled", "small", "step", "eager1", "eager2", "compiled1", "compiled2"
    )
    ratio("reverse_large_vs_torch", "large", "reverse", "reverse1", "reverse2")
    ratio("reverse_small_vs_torch", "small", "reverse", "reverse1", "reverse2")
    ratio("step_small_vs_torch", "small", "step", "eager1", "eager2")


if __name__ == "__main__":
    sys.exit(main())
