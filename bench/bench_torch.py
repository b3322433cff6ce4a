"""A training step and a reverse step of drmad against PyTorch's, on the same data, one after
the other in one run.

Step: gather 50 (128) u8 rows, scale, tanh (relu) MLP, soft-max cross-entropy, L2 per input
unit, SGD with momentum.
Reverse: gradient with create_graph, <g, u>, its gradient for weights and penalties, update of
the adjoints: what a user
of PyTorch writes by hand. Eager and torch.compile, 1 and 2 threads, set_to_none; the best of
each is what counts, and of the rounds the fastest, for both sides.
torch.compile refuses double backward, so the reverse step is eager. Where it does not work at all
(it needs g++) that is said and eager counts. Ratios above 1: drmad is faster. Two threads wait
for each other by spinning: with another job on either core they are up to 100 times slower.
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
LIMIT_S = 1.5  # of one timing


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
    """The median of as many steps as fit, at least 5."""
    run(0)
    times = []
    for t in range(steps):
        start = time.perf_counter()
        run(t)
        times.append(time.perf_counter() - start)
        if t >= 4 and sum(times) > LIMIT_S:
            break
    return statistics.median(times)


class Peer:
    """One net at one number of threads; compiled once, for all rounds."""

    def __init__(self, name, threads):
        torch.set_num_threads(threads)
        self.threads, self.net = threads, Net(**NETS[name])
        self.compiled = torch.compile(self.net.loss)
        try:
            for t in range(3):
                self.net.step(t, self.compiled)
        except Exception as e:  # what torch raises here differs by cause and version
            line = str(e).strip().splitlines()[0]
            print(f"{name}, {threads} threads: torch.compile does not work: {line}", flush=True)
            self.compiled = None

    def times(self):
        torch.set_num_threads(self.threads)
        net, n = self.net, self.threads
        found = {f"eager{n}": timed(lambda t: net.step(t, net.loss), net.steps)}
        if self.compiled:
            found[f"compiled{n}"] = timed(lambda t: net.step(t, self.compiled), net.steps)
        wcot = [torch.zeros_like(p) for p in net.w]
        bcot = [torch.zeros_like(p) for p in net.w]
        found[f"reverse{n}"] = timed(lambda t: net.reverse(t, wcot, bcot), net.steps)
        return found


def torch_times(peers):
    found = {}
    for peer in peers:
        found.update(peer.times())
    return found


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
        peers = [Peer(name, threads) for threads in (1, 2)]
        rounds = [(our_times(name), torch_times(peers)) for _ in range(ROUNDS)]
        ours = {k: min(r[0][k] for r in rounds) for k in rounds[0][0]}
        them = {k: min(r[1][k] for r in rounds) for k in rounds[0][1]}
        rows[name] = ours, them
        print(
            f"{name}: drmad step {1e6 * ours['step']:.0f} us, reverse"
            f" {1e6 * ours['reverse']:.0f} us; torch "
            + ", ".join(f"{k} {1e6 * v:.0f}" for k, v in them.items()),
            flush=True,
        )

    def ratio(label, name, ours, *kinds):
        o, t = rows[name]
        best = min((k for k in t if k[:-1] in kinds), key=t.get)
        print(f"{label} ratio {t[best] / o[ours]:.2f} torch {torch.__version__}, {best}")

    ratio("step_large_vs_best_peer", "large", "step", "eager", "compiled")
    ratio("step_small_vs_compiled", "small", "step", "eager", "compiled")
    ratio("reverse_large_vs_torch", "large", "reverse", "reverse")
    ratio("reverse_small_vs_torch", "small", "reverse", "reverse")
    ratio("step_small_vs_torch", "small", "step", "eager")


if __name__ == "__main__":
    sys.exit(main())
