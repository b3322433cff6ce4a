"""Hypergradients against torch's own double backward through the whole unrolled run: F64 and tanh
to 1e-11 (measured: 1e-13), F32 and relu to a cosine of .9999. `drmad why` makes ours."""

import sys

import torch

import nets
from bridge import Knobs, Problem, drmad, report, train

STEPS, BATCH = 20, 10
SIZES = [6, 7, 5, 3]
TENSORS = [f"layers.{i}.{part}" for i in range(3) for part in ("weight", "bias")]
WEIGHTS = TENSORS[::2]

# A declaration of the study, and the slices of h that it makes: name -> (phases, elements).
DECLARATIONS = {
    "lr": (
        {"kind": "lr", "per": "tensor", "phases": 4, "start": 0.2},
        {f"lr/{n}": (4, 1) for n in TENSORS},
    ),
    "weight_decay": (
        {"kind": "weight_decay", "per": "layer", "match": "*", "start": 0.03},
        {f"weight_decay/layers.{i}": (1, 1) for i in range(3)},
    ),
    "l2": (
        {"kind": "l2", "per": "unit-in", "start": 0.02},
        {f"l2/{n}": (1, SIZES[i]) for i, n in enumerate(WEIGHTS)},
    ),
    "momentum": (
        {"kind": "momentum", "per": "global", "phases": 2, "start": 0.8},
        {"momentum": (2, 1)},
    ),
    "label_smoothing": (
        {"kind": "label_smoothing", "per": "global", "start": 0.15},
        {"label_smoothing": (1, 1)},
    ),
    "init_scale": (
        {"kind": "init_scale", "per": "tensor", "start": 1.2},
        {f"init_scale/{n}": (1, 1) for n in TENSORS},
    ),
    "example_weight": (
        {"kind": "example_weight", "per": "example", "start": 0.9},
        {"example_weight": (1, 60)},
    ),
}
ADAPTIVE = {
    "beta1": (
        {"kind": "beta1", "per": "tensor", "start": 0.8},
        {f"beta1/{n}": (1, 1) for n in TENSORS},
    ),
    "beta2": (
        {"kind": "beta2", "per": "global", "phases": 2, "start": 0.9},
        {"beta2": (2, 1)},
    ),
    "eps": (
        {"kind": "eps", "per": "layer", "start": 1e-3},
        {f"eps/layers.{i}": (1, 1) for i in range(3)},
    ),
}
ALL = list(DECLARATIONS)
WITHOUT_BUFFER = [k for k in ALL if k != "momentum"]
DECLARATIONS |= ADAPTIVE
WITH_BETAS = WITHOUT_BUFFER + list(ADAPTIVE)
WITH_ALPHA = WITHOUT_BUFFER + ["beta2", "eps"]

# name, the optimiser beyond rate, kinds
SETTINGS = [
    ("plain", {"momentum": 0.0}, WITHOUT_BUFFER),
    ("momentum", {"momentum": 0.8}, ALL),
    ("dampening", {"momentum": 0.8, "dampening": 0.3}, ALL),
    ("nesterov", {"momentum": 0.8, "nesterov": True}, ALL),
    ("decoupled", {"momentum": 0.8, "decoupled": True}, ALL),
    ("decoupled_nesterov", {"momentum": 0.8, "decoupled": True, "nesterov": True}, ALL),
    ("maclaurin", {"momentum": 0.8, "form": "maclaurin"}, ALL),
    ("rmsprop", {"kind": "rmsprop"}, WITH_ALPHA),
    ("adam", {"kind": "adam"}, WITH_BETAS),
    ("adam_eps_inside", {"kind": "adam", "eps_inside": True}, WITH_BETAS),
    ("adamw", {"kind": "adamw"}, WITH_BETAS),
    ("nadam", {"kind": "nadam"}, WITH_BETAS),
]


def by_drmad(problem, optimizer, kinds):
    study = {
        "train": {"steps": STEPS, "batch": BATCH, "order": "sequential"},
        "optimizer": {"lr": 0.2, **optimizer},
        "trajectory": {"kind": "full"},
        "hyper": [DECLARATIONS[k][0] for k in kinds],
    }
    return drmad("why", problem, study, "hypergradients.safetensors")


def by_torch(problem, optimizer, kinds):
    """dF/dh by torch, slice by slice; everything in the problem's dtype."""
    h = {}
    for k in kinds:
        start, slices = DECLARATIONS[k][0]["start"], DECLARATIONS[k][1]
        for name, shape in slices.items():
            h[name] = torch.full(shape, start, dtype=problem.x.dtype, requires_grad=True)
    o = {"lr": 0.2, **optimizer}
    w = train(problem, Knobs(h, STEPS), o, STEPS, BATCH)
    grads = torch.autograd.grad(problem.objective(w), list(h.values()))
    return dict(zip(h, grads))


def differences(got, want):
    """What is wrong with ours: slices that are missing, zero or off."""
    if set(got) != set(want):
        yield f"slices {sorted(set(got) ^ set(want))} are in one only"
        return
    for name, g in want.items():
        largest = g.abs().max().item()
        off = (got[name].reshape(g.shape) - g).abs().max().item()
        if not off <= 1e-11 * largest or largest == 0:
            yield f"{name}: off by {off:.3g}, largest {largest:.3g}"


def check_f64(name, optimizer, kinds):
    problem = Problem(SIZES, train=60, valid=30)
    try:
        got = by_drmad(problem, optimizer, kinds)
    except RuntimeError as e:
        return report(f"torch_hypergradients/{name}", [e])
    return report(
        f"torch_hypergradients/{name}", list(differences(got, by_torch(problem, optimizer, kinds)))
    )


class LeNet:
    """LeNet-5, small, on random images of 16 x 16; what bridge.train and bridge.drmad read."""

    def __init__(self):
        draw = torch.Generator().manual_seed(4)
        self.twin = nets.LeNet5(1, 16, 4, 6).double()
        self.model = {"preset": "lenet5", "width": 6}
        self.train, self.valid, self.dtype = 60, 30, torch.float64
        count = self.train + 2 * self.valid
        self.x = torch.randn(count, 16, 16, 1, generator=draw, dtype=torch.float64)
        self.y = torch.arange(count) % 4
        self.w = nets.parameters(self.twin)

    batch, objective = Problem.batch, Problem.objective

    def outputs(self, w, x):
        return torch.func.functional_call(self.twin, w, (x.permute(0, 3, 1, 2),))


def check_lenet(name, optimizer):
    problem = LeNet()
    declarations = {
        "lr": {"kind": "lr", "per": "tensor", "phases": 4, "start": optimizer["lr"]},
        "weight_decay": {"kind": "weight_decay", "per": "tensor", "match": "*", "start": 0.03},
    }
    slices = {f"lr/{k}": ("lr", 4) for k in problem.w}
    slices |= {f"weight_decay/{k}": ("weight_decay", 1) for k in problem.w}
    h = {
        k: torch.full((n, 1), declarations[d]["start"], dtype=torch.float64, requires_grad=True)
        for k, (d, n) in slices.items()
    }
    study = {
        "train": {"steps": STEPS, "batch": BATCH, "order": "sequential"},
        "optimizer": optimizer,
        "trajectory": {"kind": "full"},
        "hyper": list(declarations.values()),
    }
    name = f"torch_hypergradients/lenet_{name}"
    try:
        got = drmad("why", problem, study, "hypergradients.safetensors")
    except RuntimeError as e:
        return report(name, [e])
    w = train(problem, Knobs(h, STEPS), optimizer, STEPS, BATCH)
    want = dict(zip(h, torch.autograd.grad(problem.objective(w), list(h.values()))))
    return report(name, list(differences(got, want)))


def check_f32_relu():
    """Kind by kind: the kinks meet the same signs, single precision moves the rest a little."""
    name = "torch_hypergradients/relu_f32"
    problem = Problem(SIZES, train=60, valid=30, dtype=torch.float32, activation="relu", seed=2)
    optimizer = {"momentum": 0.8}
    try:
        got = by_drmad(problem, optimizer, ALL)
    except RuntimeError as e:
        return report(name, [e])
    want = by_torch(problem, optimizer, ALL)
    errors = []
    for kind in ALL:
        a, b = [
            torch.cat([v.double().flatten() for k, v in sorted(g.items()) if k.startswith(kind)])
            for g in (got, want)
        ]
        cosine = (a @ b / (a.norm() * b.norm())).item()
        if not cosine >= 0.9999:
            errors.append(f"{kind}: cosine {cosine:.6f}, norms {a.norm():.6g} and {b.norm():.6g}")
        if not 0.999 <= (a.norm() / b.norm()).item() <= 1.001:
            errors.append(f"{kind}: norms {a.norm():.6g} and {b.norm():.6g}")
    return report(name, errors)


def main():
    failed = sum(check_f64(*s) for s in SETTINGS)
    failed += check_f32_relu()
    failed += check_lenet("sgd", {"lr": 0.05, "momentum": 0.9})
    failed += check_lenet("adamw", {"kind": "adamw", "lr": 0.002, "eps_inside": True})
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
