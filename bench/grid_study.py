#!/usr/bin/env python3
"""How many bytes the grid trajectory really takes, and what its hypergradients are worth.

Trains the tanh MLP 784-50-50-50-10 on MNIST with the numpy prototype (../shared/reference), sends
the weights of every step through the C encoder and decoder (bench_grid), and walks back once along
the exact path and once along the decoded one. Prints a line for each run:

  vec    bytes held (log, index, both dense states) in float32 weight vectors
  err    largest |w_t - decoded| in units of tau, over all weights and steps
  U PL   L2 per input unit; learning rate per layer and phase: cosine with the exact hypergradient,
         ratio of the norms, and the cosine of the worst layer

grid_study.py [--seeds 0,1,2] [--rates .05,.1,.3] [--momenta .9] [--steps 1000] [--quality normal]
              [--bench build/release/bench_grid] [--fit]
--fit prints a Huffman code fitted to the events of all runs: `lengths` in src/train/traj_code.c."""

import argparse
import heapq
import json
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("MNIST_DIR", str(SHARED / "data" / "mnist"))
sys.dont_write_bytecode = True
sys.path.insert(0, str(SHARED / "reference"))

import numpy as np  # noqa: E402
import hypergrad_numpy as proto  # noqa: E402

WIDTHS = (784, 50, 50, 50, 10)
QUALITY = {"low": (0, 0.22), "normal": (1, 0.11), "high": (2, 0.033)}  # as in traj_grid.c
BUCKETS, PHASES = 9, 5


def out_by_in(net):
    """Where in the prototype's flat vector (in x out) each weight of ours (out x in) lies."""
    parts = []
    for a, b, c, i, j in net.sl:
        parts += [np.arange(a, b).reshape(i, j).T.ravel(), np.arange(b, c)]
    return np.concatenate(parts)


def tau_of(net, w0, size, steps):
    """The spacing of every weight, by the rule of traj_grid.c."""
    tau = np.empty(net.P)
    size /= max(1, steps / 1000) ** (1 / 3)
    largest = max(b - a for a, b, *_ in net.sl)
    for a, b, c, *_ in net.sl:
        rms = np.sqrt((w0[a:b].astype(float) ** 2).mean())
        tau[a:b] = size * rms * (0.75 if b - a < largest // 8 else 1)
        tau[b:c] = size * rms * 0.75
    return tau


class Decoded:
    """A path for proto.reverse, read back from bench_grid."""

    def __init__(self, args, net, states):
        order = out_by_in(net)
        with tempfile.TemporaryDirectory() as folder:
            sent, got = f"{folder}/sent", f"{folder}/got"
            with open(sent, "wb") as f:
                for w in states:
                    f.write(w[order].tobytes())
            steps, quality = str(len(states) - 1), str(QUALITY[args.quality][0])
            command = [args.bench, sent, got, steps, quality, *map(str, WIDTHS)]
            out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            back = np.fromfile(got, np.float32).reshape(len(states), net.P)
        self.stats = json.loads(out)
        self.states = np.empty_like(back)
        self.states[:, order] = back

    def at(self, t):
        return self.states[t]


def train(net, args, seed, rate, momentum):
    """States, and what proto.reverse needs besides the path."""
    data = proto.load(seed, 6000, 2000)
    rs = np.random.RandomState(seed)
    w0 = (rs.randn(net.P) * np.exp(-3)).astype(np.float32)
    rows = np.random.RandomState(seed + 1).randint(0, 6000, (args.steps, 50))
    rates = np.full((args.steps, net.L), rate)
    momenta = np.full((args.steps, net.L), momentum)
    lam = np.full(net.U, -6.0, np.float32)
    states = proto.train(net, data[0], w0, rows, rates, momenta, lam)
    end = net.grad(states[-1], *data[1])
    blocks = [(t, t + 1) for t in range(args.steps)]
    return states, lambda path: proto.reverse(
        net, data[0], end, rows, rates, momenta, lam, path, blocks
    )


def judged(got, exact, slices):
    ratio = np.linalg.norm(got) / np.linalg.norm(exact)
    worst = min(proto.cos(got[s], exact[s]) for s in slices)
    return f"{proto.cos(got, exact):.4f} {ratio:.3f} {worst:.4f}"


def histogram(net, states, tau):
    """How often each symbol of the event code comes: a copy of traj_code.c in numpy."""
    counts = np.zeros(2 * BUCKETS + 4)
    order, hat, expected = out_by_in(net), states[0].astype(float), {}
    for w in states[1:]:
        n = np.rint((w - hat) / tau)
        hat += n * tau
        n = n[order].astype(int)
        for a, b, c, *_ in net.sl:
            for lo, hi in ((a, b), (b, c)):
                at = np.flatnonzero(n[lo:hi])
                mean = expected.get(lo, (hi - lo) / 64)
                expected[lo] = (mean + len(at)) / 2
                k = max(0, int(np.log2((hi - lo) / (8 * max(mean, 0.25)))))
                gap = np.diff(at, prepend=-1) - 1
                counts[2 * BUCKETS] += (gap >> (k + BUCKETS - 1)).sum()
                unit = (gap & ((1 << (k + BUCKETS - 1)) - 1)) >> k
                bucket = np.ceil(np.log2(unit + 1)).astype(int)
                down = n[lo:hi][at] < 0
                turned = np.diff(down, prepend=False)
                np.add.at(counts, 2 * bucket + turned, 1)
                more = abs(n[lo:hi][at]) - 1
                counts[2 * BUCKETS + 1] += more[more <= 4].sum()
                counts[2 * BUCKETS + 2] += (more > 4).sum()
                counts[2 * BUCKETS + 3] += 1
    return counts / counts.sum()


def huffman(weight, longest=10):
    """Code lengths, at most `longest`; rare symbols are made less rare until they fit."""
    while True:
        heap = [(x, i, (i,)) for i, x in enumerate(weight)]
        heapq.heapify(heap)
        lengths = [0] * len(weight)
        while len(heap) > 1:
            (x, i, s), (y, _, r) = heapq.heappop(heap), heapq.heappop(heap)
            for symbol in s + r:
                lengths[symbol] += 1
            heapq.heappush(heap, (x + y, i, s + r))
        if max(lengths) <= longest:
            return lengths
        weight = weight + 1e-4 * weight.sum()


def fitted(histograms):
    """The mean of the runs, 15 % of it without preference for a direction, no symbol too rare."""
    p = np.mean(histograms, axis=0)
    even = p.copy()
    even[: 2 * BUCKETS] = p[: 2 * BUCKETS].reshape(-1, 2).mean(1).repeat(2)
    p = 0.85 * p + 0.15 * even
    p[2 * BUCKETS :] = np.maximum(p[2 * BUCKETS :], [0.001, 0.004, 0.0005, 0.01])
    return huffman(p)


def numbers(kind):
    return lambda text: [kind(x) for x in text.split(",")]


def arguments():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("--seeds", type=numbers(int), default=[0])
    p.add_argument("--rates", type=numbers(float), default=[0.05, 0.1, 0.3])
    p.add_argument("--momenta", type=numbers(float), default=[0.9])
    p.add_argument("--steps", type=int, default=1000)
    p.add_argument("--quality", choices=QUALITY, default="normal")
    p.add_argument("--bench", default=str(ROOT / "build" / "release" / "bench_grid"))
    p.add_argument("--fit", action="store_true")
    return p.parse_args()


def study(args, net, seed, rate, momentum):
    states, walk_back = train(net, args, seed, rate, momentum)
    tau = tau_of(net, states[0], QUALITY[args.quality][1], args.steps)
    if args.fit:
        return histogram(net, states, tau)
    path = Decoded(args, net, states)
    error = max(abs((w - path.at(t)) / tau).max() for t, w in enumerate(states))
    exact, got = walk_back(proto.Exact(states)), walk_back(path)
    layers = [slice(a, b) for a, b in zip(net.uo[:-1], net.uo[1:])]
    phases = [r["alp"].reshape(PHASES, -1, net.L).sum(1).T for r in (got, exact)]
    print(
        f"rate {rate} momentum {momentum} T {args.steps} seed {seed}: "
        f"vec {path.stats['vectors']:.2f} events {path.stats['events']} err {error:.4f} "
        f"U {judged(got['lam'], exact['lam'], layers)} PL {judged(*phases, range(net.L))}",
        flush=True,
    )
    return None


def main():
    args, net = arguments(), proto.Net(WIDTHS)
    runs = [(s, r, m) for r in args.rates for m in args.momenta for s in args.seeds]
    found = [study(args, net, *run) for run in runs]
    if args.fit:
        print(fitted(found))


if __name__ == "__main__":
    main()
