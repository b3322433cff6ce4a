"""Hypergradients of 20 steps of LeNet-5 in F64, with SGD and with AdamW, against torch's own double
backward through the unrolled run: rates per tensor in four phases, decay per layer, L2 per input
channel. ReLU and max pooling meet the same kinks on both sides: 1e-9 of the largest element."""

import sys

import torch
from torch.nn import functional as F

import nets
from bridge import drmad, report

STEPS, BATCH, TRAIN, VALID, PHASES = 20, 5, 20, 10, 4
RATE, DECAY, L2, MOMENTUM = {"sgd": 0.05, "adamw": 0.004}, 0.03, 0.02, 0.8
BETA1, BETA2, EPS = 0.9, 0.99, 1e-4  # eps inside the root: smooth where a gradient is 0
TOLERANCE = 1e-9


class Problem:
    """Images of 16 x 16 from a seed; what bridge.drmad reads."""

    def __init__(self):
        draw = torch.Generator().manual_seed(5)
        count = TRAIN + 2 * VALID
        self.model = {"preset": "lenet5", "width": 6}
        self.twin = nets.LeNet5(1, 16, 4, 6).double()
        self.train, self.valid, self.dtype = TRAIN, VALID, torch.float64
        self.x = torch.randn(count, 16, 16, 1, generator=draw, dtype=torch.float64)
        self.y = torch.arange(count) % 4
        self.w = nets.parameters(self.twin)

    def loss(self, w, rows):
        z = torch.func.functional_call(self.twin, w, (self.x[rows].permute(0, 3, 1, 2),))
        return F.cross_entropy(z, self.y[rows])


def knobs(problem, kind):
    """Slices by name, [phases, elements], as drmad writes them."""
    h = {}
    for name, w in problem.w.items():
        h[f"lr/{name}"] = torch.full((PHASES, 1), RATE[kind], dtype=torch.float64)
        h[f"weight_decay/{name.rpartition('.')[0]}"] = torch.full(
            (1, 1), DECAY, dtype=torch.float64
        )
        if w.dim() > 1:
            h[f"l2/{name}"] = torch.full((1, w.shape[1]), L2, dtype=torch.float64)
    return {k: v.requires_grad_() for k, v in h.items()}


def gradients(problem, w, h, t):
    first = t * BATCH % TRAIN
    loss = problem.loss(w, slice(first, first + BATCH))
    for name, v in w.items():
        if v.dim() > 1:
            l2 = h[f"l2/{name}"].reshape([1, -1] + [1] * (v.dim() - 2))
            loss = loss + (l2 * v * v).sum() / 2
    return dict(zip(w, torch.autograd.grad(loss, list(w.values()), create_graph=True)))


def train(problem, h, kind):
    w = {k: v.clone().requires_grad_() for k, v in problem.w.items()}
    m, v = {k: 0 for k in w}, {k: 0 for k in w}
    for t in range(STEPS):
        g = gradients(problem, w, h, t)
        for k in w:
            lr = h[f"lr/{k}"][t * PHASES // STEPS]
            decay = h[f"weight_decay/{k.rpartition('.')[0]}"][0]
            if kind == "sgd":
                p = g[k] + decay * w[k]
                m[k] = p if t == 0 else MOMENTUM * m[k] + p
                w[k] = w[k] - lr * m[k]
                continue
            m[k] = BETA1 * m[k] + (1 - BETA1) * g[k]
            v[k] = BETA2 * v[k] + (1 - BETA2) * g[k] * g[k]
            root = torch.sqrt(v[k] / (1 - BETA2 ** (t + 1)) + EPS)
            w[k] = w[k] * (1 - lr * decay) - lr * m[k] / (1 - BETA1 ** (t + 1)) / root
    return w


def study(kind):
    optimizer = {"kind": kind, "lr": RATE[kind], "momentum": MOMENTUM}
    if kind == "adamw":
        optimizer = {
            "kind": kind,
            "lr": RATE[kind],
            "beta1": BETA1,
            "beta2": BETA2,
            "eps": EPS,
            "eps_inside": True,
        }
    return {
        "train": {"steps": STEPS, "batch": BATCH, "order": "sequential"},
        "optimizer": optimizer,
        "trajectory": {"kind": "full"},
        "retrain": {"seeds": 0},
        "hyper": [
            {"kind": "lr", "per": "tensor", "phases": PHASES, "start": RATE[kind]},
            {"kind": "weight_decay", "per": "layer", "match": "*", "start": DECAY},
            {"kind": "l2", "per": "unit-in", "start": L2},
        ],
    }


def check(kind):
    problem = Problem()
    h = knobs(problem, kind)
    f = problem.loss(train(problem, h, kind), slice(TRAIN, TRAIN + VALID))
    want = dict(zip(h, torch.autograd.grad(f, list(h.values()))))
    got = drmad("why", problem, study(kind), "hypergradients.safetensors")
    if set(got) != set(want):
        return [f"slices in one only: {sorted(set(got) ^ set(want))}"]
    errors = []
    for name, g in want.items():
        off = (got[name].reshape(g.shape) - g).abs().max().item()
        largest = g.abs().max().item()
        if not off <= TOLERANCE * largest or largest == 0:
            errors.append(f"{name}: off by {off:.3g}, largest {largest:.3g}")
    return errors


def main():
    failed = 0
    for kind in ("sgd", "adamw"):
        try:
            errors = check(kind)
        except RuntimeError as e:
            errors = [e]
        failed += report(f"torch_lenet/{kind}", errors)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
