"""100 steps of every setting of SGD in F64 against torch.optim.SGD, from the same weights, on the
same batches: the weights must agree to 1e-12. Decoupled decay, which torch has in AdamW only, is
written by hand in front of torch's step."""

import sys

import torch

from bridge import Problem, drmad, report

STEPS, BATCH, LR = 100, 20, 0.1

# name, the study's optimizer section, what torch.optim.SGD is given, decoupled decay
SETTINGS = [
    ("plain", {"momentum": 0}, {}, 0),
    ("plain_ignores_dampening", {"momentum": 0, "dampening": 0.5}, {"dampening": 0.5}, 0),
    ("decay", {"momentum": 0, "weight_decay": 0.02}, {"weight_decay": 0.02}, 0),
    ("momentum", {"momentum": 0.9}, {"momentum": 0.9}, 0),
    (
        "momentum_decay",
        {"momentum": 0.9, "weight_decay": 0.02},
        {"momentum": 0.9, "weight_decay": 0.02},
        0,
    ),
    (
        "dampening",
        {"momentum": 0.9, "dampening": 0.4, "weight_decay": 0.02},
        {"momentum": 0.9, "dampening": 0.4, "weight_decay": 0.02},
        0,
    ),
    (
        "nesterov",
        {"momentum": 0.9, "nesterov": True, "weight_decay": 0.02},
        {"momentum": 0.9, "nesterov": True, "weight_decay": 0.02},
        0,
    ),
    (
        "decoupled",
        {"momentum": 0.9, "weight_decay": 0.02, "decoupled": True},
        {"momentum": 0.9},
        0.02,
    ),
    (
        "decoupled_nesterov",
        {"momentum": 0.9, "weight_decay": 0.02, "decoupled": True, "nesterov": True},
        {"momentum": 0.9, "nesterov": True},
        0.02,
    ),
    (
        "decoupled_dampening",
        {"momentum": 0.9, "weight_decay": 0.02, "decoupled": True, "dampening": 0.4},
        {"momentum": 0.9, "dampening": 0.4},
        0.02,
    ),
]

# name, the study's optimizer section, torch's scheduler
SCHEDULES = [
    (
        "cosine",
        {"schedule": "cosine", "final": 0.2},
        lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, STEPS, eta_min=0.2 * LR),
    ),
    (
        "linear",
        {"schedule": "linear", "final": 0.2},
        lambda o: torch.optim.lr_scheduler.LinearLR(o, 1.0, 0.2, STEPS),
    ),
    (
        "step",
        {"schedule": "step", "gamma": 0.5, "every": 30},
        lambda o: torch.optim.lr_scheduler.StepLR(o, 30, 0.5),
    ),
    (
        "warmup",
        {"schedule": "constant", "warmup": 10},
        lambda o: torch.optim.lr_scheduler.LinearLR(o, 0.1, 1.0, 9),
    ),
]


def by_torch(problem, options, decoupled, scheduler=None):
    w = {k: v.clone().requires_grad_() for k, v in problem.w.items()}
    o = torch.optim.SGD(w.values(), lr=LR, **options)
    s = scheduler(o) if scheduler else None
    for t in range(STEPS):
        rows = problem.batch(t, BATCH)
        o.zero_grad()
        z = problem.outputs(w, problem.x[rows])
        torch.nn.functional.cross_entropy(z, problem.y[rows], label_smoothing=0.1).backward()
        with torch.no_grad():
            for v in w.values():
                v.mul_(1 - o.param_groups[0]["lr"] * decoupled)
        o.step()
        if s:
            s.step()
    return w


def check(name, optimizer, options, decoupled, scheduler=None):
    problem = Problem([10, 16, 12, 4], train=200, valid=40)
    study = {
        "train": {"steps": STEPS, "batch": BATCH, "order": "sequential", "label_smoothing": 0.1},
        "optimizer": {"lr": LR, **optimizer},
    }
    try:
        got = drmad("train", problem, study, "weights.safetensors")
    except RuntimeError as e:
        return report(f"torch_sgd/{name}", [e])
    want = by_torch(problem, options, decoupled, scheduler)
    errors = []
    for k, v in want.items():
        off = (got[k] - v.detach()).abs().max().item()
        moved = (v.detach() - problem.w[k]).abs().max().item()
        if not off <= 1e-12 or moved < 1e-3:
            errors.append(f"{k}: off by {off:.3g} after {STEPS} steps that moved it {moved:.3g}")
    return report(f"torch_sgd/{name}", errors)


def main():
    failed = sum(check(*s) for s in SETTINGS)
    for name, section, scheduler in SCHEDULES:
        failed += check(name, {"momentum": 0.9, **section}, {"momentum": 0.9}, 0, scheduler)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
