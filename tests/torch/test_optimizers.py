"""RMSprop, Adam, AdamW and NAdam, gradient clipping and schedules against torch.optim: ten steps in
F64 from the same weights on the same batches, 1e-10; and in F32 single steps, restarted from each
of 100 states of torch's own run, 1e-4 of what the step moves."""

import struct
import subprocess
import sys

import numpy as np
import torch

from bridge import DRMAD, Problem, drmad, report

STEPS, BATCH, STATES = 10, 20, 100
SGD, RMSPROP, ADAM, NADAM = range(4)

# name, the study's optimizer section, torch's class, what it is given, clipping
SETTINGS = [
    ("rmsprop", {"kind": "rmsprop", "lr": 0.01}, torch.optim.RMSprop, {"lr": 0.01}),
    (
        "rmsprop_centered",
        {"kind": "rmsprop", "lr": 0.01, "beta2": 0.9, "momentum": 0.8, "centered": True,
         "eps": 1e-6, "weight_decay": 0.02},
        torch.optim.RMSprop,
        {"lr": 0.01, "alpha": 0.9, "momentum": 0.8, "centered": True, "eps": 1e-6,
         "weight_decay": 0.02},
    ),
    ("adam", {"kind": "adam"}, torch.optim.Adam, {}),
    (
        "adam_decay",
        {"kind": "adam", "lr": 0.02, "beta1": 0.7, "beta2": 0.9, "eps": 1e-4,
         "weight_decay": 0.05},
        torch.optim.Adam,
        {"lr": 0.02, "betas": (0.7, 0.9), "eps": 1e-4, "weight_decay": 0.05},
    ),
    ("adamw", {"kind": "adamw"}, torch.optim.AdamW, {}),
    (
        "adamw_decay",
        {"kind": "adamw", "lr": 0.02, "beta2": 0.99, "weight_decay": 0.3},
        torch.optim.AdamW,
        {"lr": 0.02, "betas": (0.9, 0.99), "weight_decay": 0.3},
    ),
    ("nadam", {"kind": "nadam"}, torch.optim.NAdam, {}),
    (
        "nadam_decoupled",
        {"kind": "nadam", "lr": 0.02, "momentum_decay": 0.1, "weight_decay": 0.3,
         "decoupled": True},
        torch.optim.NAdam,
        {"lr": 0.02, "momentum_decay": 0.1, "weight_decay": 0.3,
         "decoupled_weight_decay": True},
    ),
]  # fmt: skip

CLIPS = [
    ("norm", 0.05, torch.nn.utils.clip_grad_norm_),
    ("norm", 50.0, torch.nn.utils.clip_grad_norm_),
    ("value", 0.01, torch.nn.utils.clip_grad_value_),
]

# The study's part and torch's scheduler, over STEPS steps at rate 0.02.
SCHEDULES = [
    (
        "multi_step",
        {"schedule": "multi-step", "milestones": [2, 5, 5, 9], "gamma": 0.4},
        lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [2, 5, 5, 9], 0.4),
    ),
    (
        "polynomial",
        {"schedule": "polynomial", "power": 1.7},
        lambda o: torch.optim.lr_scheduler.PolynomialLR(o, STEPS, 1.7),
    ),
    (
        "one_cycle",
        {"schedule": "one-cycle", "rise": 0.3, "initial": 0.04, "final": 4e-6},
        lambda o: torch.optim.lr_scheduler.OneCycleLR(
            o, 0.02, total_steps=STEPS, cycle_momentum=False
        ),
    ),
    (
        "restarts",
        {"schedule": "restarts", "every": 2, "stretch": 2, "final": 0.1},
        lambda o: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(o, 2, 2, eta_min=0.002),
    ),
]


def by_torch(problem, optimizer, options, clip=None, scheduler=None):
    torch.set_default_dtype(torch.float64)  # NAdam keeps a product of its own in the default type
    w = {k: v.clone().requires_grad_() for k, v in problem.w.items()}
    o = optimizer(w.values(), **options)
    s = scheduler(o) if scheduler else None
    for t in range(STEPS):
        rows = problem.batch(t, BATCH)
        o.zero_grad()
        z = problem.outputs(w, problem.x[rows])
        torch.nn.functional.cross_entropy(z, problem.y[rows]).backward()
        if clip:
            clip[2](w.values(), clip[1])
        o.step()
        if s and t + 1 < STEPS:
            s.step()
    torch.set_default_dtype(torch.float32)
    return {k: v.detach() for k, v in w.items()}


def check_run(name, section, optimizer, options, clip=None, scheduler=None):
    problem = Problem([10, 16, 12, 4], train=200, valid=40)
    study = {
        "train": {"steps": STEPS, "batch": BATCH, "order": "sequential"},
        "optimizer": {**section, **({"clip": clip[0], "clip_at": clip[1]} if clip else {})},
    }
    name = f"torch_optimizers/{name}"
    try:
        got = drmad("train", problem, study, "weights.safetensors")
    except RuntimeError as e:
        return report(name, [e])
    errors = []
    for k, v in by_torch(problem, optimizer, options, clip, scheduler).items():
        off = (got[k] - v).abs().max().item()
        moved = (v - problem.w[k]).abs().max().item()
        if not off <= 1e-10 or moved < 1e-4:
            errors.append(f"{k}: off by {off:.3g} after {STEPS} steps that moved it {moved:.3g}")
    return report(name, errors)


# ---- single steps from torch's states ----

BUFFERS = {
    RMSPROP: ("square_avg", "grad_avg", "momentum_buffer"),
    ADAM: ("exp_avg", "exp_avg_sq"),
    NADAM: ("exp_avg", "exp_avg_sq"),
}


def snapshot(o, w, names):
    """[vectors][elements]: w and the buffers; zeros before the first step."""
    state = o.state.get(w, {})
    zero = torch.zeros_like(w)
    return [w.detach().clone()] + [state.get(n, zero).clone() for n in names]


def torch_states(optimizer, options, clip):
    """States before, gradients and states after each of STATES steps in F32, on a noisy bowl whose
    curvatures span six decades; a fifth of the weights has no gradient before step 30."""
    draw = torch.Generator().manual_seed(5)
    n = 50
    w = torch.randn(n, generator=draw).requires_grad_()
    curve = 10 ** torch.linspace(-4, 2, n)
    o = optimizer([w], **options)
    kind = {torch.optim.RMSprop: RMSPROP, torch.optim.NAdam: NADAM}.get(optimizer, ADAM)
    group = o.param_groups[0]
    names = [
        b
        for b in BUFFERS[kind]
        if (b != "grad_avg" or group["centered"]) and (b != "momentum_buffer" or group["momentum"])
    ]
    out = []
    for t in range(STATES):
        g = curve * (w.detach() + torch.randn(n, generator=draw))
        g[::5] *= t >= 30
        w.grad = g.clone()
        before = snapshot(o, w, names)
        if clip:
            clip[2]([w], clip[1])
        o.step()
        out.append((before, g, snapshot(o, w, names)))
    return kind, group, out


def our_steps(kind, group, clip, states):
    vectors, n = len(states[0][0]), states[0][1].numel()
    decoupled = group.get("decoupled_weight_decay", False)
    betas = group.get("betas", (0.0, group.get("alpha", 0.0)))
    how = {"norm": 1, "value": 2}[clip[0]] if clip else 0
    numbers = [kind, decoupled, group.get("centered", False), False]
    numbers += [bool(group.get("momentum", 0)), how, len(states), n, vectors, STATES]
    head = struct.pack("=10i", *map(int, numbers))
    head += struct.pack(
        "=8d",
        group["lr"],
        group.get("momentum", 0),
        group["weight_decay"],
        *betas,
        group["eps"],
        group.get("momentum_decay", 0),
        clip[1] if clip else 0,
    )
    body = b"".join(
        struct.pack("=q", t) + torch.cat([*before, g]).numpy().tobytes()
        for t, (before, g, _) in enumerate(states)
    )
    p = subprocess.run(
        [DRMAD.parent / "optim_step"], input=head + body, capture_output=True, check=False
    )
    if p.returncode != 0:
        raise RuntimeError(p.stderr.decode())
    return np.frombuffer(p.stdout, np.float32).reshape(len(states), vectors, n)


def check_steps(name, optimizer, options, clip=None):
    kind, group, states = torch_states(optimizer, options, clip)
    name = f"torch_optimizers/steps_{name}"
    try:
        got = our_steps(kind, group, clip, states)
    except RuntimeError as e:
        return report(name, [e])
    errors = []
    for t, (before, _, after) in enumerate(states):
        for k, (a, b) in enumerate(zip(before, after)):
            ours = torch.from_numpy(got[t, k].copy())
            off = (ours - b).norm().item()
            moved = (b - a).norm().item()
            if not off <= 1e-4 * moved and len(errors) < 5:
                errors.append(f"step {t}, vector {k}: off by {off:.3g}, moved {moved:.3g}")
    return report(name, errors)


def main():
    failed = 0
    for s in SETTINGS:
        failed += check_run(*s)
        failed += check_steps(s[0], s[2], s[3])
    adamw = ({"kind": "adamw", "lr": 0.02}, torch.optim.AdamW, {"lr": 0.02})
    for c in CLIPS:
        failed += check_run(f"clip_{c[0]}_{c[1]:g}", *adamw, clip=c)
        failed += check_steps(f"clip_{c[0]}_{c[1]:g}", *adamw[1:], clip=c)
    for name, section, scheduler in SCHEDULES:
        failed += check_run(name, {**adamw[0], **section}, *adamw[1:], scheduler=scheduler)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
