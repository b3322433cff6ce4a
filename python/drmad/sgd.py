"""Reads the user's optimizer and scheduler: what the library can differentiate, the rest refused by
name."""

from __future__ import annotations

import math

import torch
from torch.optim import lr_scheduler

from .plain import schedule_factor

PLAIN = {"kind": "constant", "warmup": 0, "final": 0.0, "gamma": 0.1, "every": 500}
OPTIONS = ("lr", "momentum", "dampening", "nesterov", "weight_decay")
CLOSE = 1e-6  # of the factor; torch's own recursive schedulers round to about 1e-12


def read_optimizer(optimizer, params) -> tuple[type, dict]:
    """(class, {lr, momentum, dampening, nesterov, weight_decay}) of an optimizer, a class or a
    factory that takes `params`. ValueError naming what cannot be differentiated."""
    opt = optimizer
    if not isinstance(opt, torch.optim.Optimizer):
        if not callable(opt):
            raise TypeError(f"optimizer: {type(opt).__name__}; an optimizer, or params -> optimizer")
        opt = opt(params)
    if not isinstance(opt, torch.optim.Optimizer):
        raise TypeError(f"optimizer: the factory gave {type(opt).__name__}, no torch optimizer")
    name = type(opt).__name__
    if not isinstance(opt, torch.optim.SGD):
        raise ValueError(f"optimizer: {name} is not differentiated yet; use torch.optim.SGD")
    if type(opt).step is not torch.optim.SGD.step:
        raise ValueError(f"optimizer: {name} changes SGD's step; use torch.optim.SGD itself")
    if opt._optimizer_step_pre_hooks or opt._optimizer_step_post_hooks:
        raise ValueError("optimizer: its step hooks cannot be differentiated; take them off")
    return type(opt), _options(opt.param_groups)


def _options(groups: list[dict]) -> dict:
    first = groups[0]
    for g in groups:
        if g.get("maximize"):
            raise ValueError("optimizer: maximize=True; negate the loss in loss_fn instead")
        for key in OPTIONS:
            if g[key] != first[key]:
                raise ValueError(
                    f"optimizer: groups with {key} {float(first[key]):g} and {float(g[key]):g}; "
                    f"use one group and say drmad.{key}(per=..., match=..., start=...)"
                )
    return {k: bool(first[k]) if k == "nesterov" else float(first[k]) for k in OPTIONS}


def read_scheduler(scheduler, options: dict, steps: int) -> dict:
    """The study's schedule that gives the factors of the user's scheduler (optimizer -> scheduler,
    a dict in the study's words, or None), stepped once a training step. ValueError when there is
    none."""
    if scheduler is None:
        return dict(PLAIN)
    if isinstance(scheduler, dict):
        strange = sorted(set(scheduler) - set(PLAIN))
        if strange:
            raise ValueError(f"scheduler: no {strange[0]!r}; one of {', '.join(PLAIN)}")
        return {**PLAIN, **scheduler}
    if isinstance(scheduler, (lr_scheduler.LRScheduler, lr_scheduler.ReduceLROnPlateau)):
        raise ValueError(
            "scheduler: an instance has begun already; give a factory, "
            "scheduler=lambda opt: torch.optim.lr_scheduler.CosineAnnealingLR(opt, steps)"
        )
    name, factors = _factors(scheduler, options, steps)
    found = match(factors, steps)
    if found is None:
        raise ValueError(
            f"scheduler: {name} is none of the schedules that the library knows (constant, cosine, "
            "linear, step; before them a linear warm-up from 1/warmup); say the nearest, as "
            'scheduler={"kind": "cosine", "warmup": 100}'
        )
    return found


def _factors(scheduler, options: dict, steps: int) -> tuple[str, list[float]]:
    """What it multiplies the rate with, one number a step."""
    w = torch.nn.Parameter(torch.zeros(1))
    opt = torch.optim.SGD([w], **{**options, "lr": options["lr"] or 1.0})
    momentum = opt.param_groups[0]["momentum"]
    s = scheduler(opt)
    name = type(s).__name__
    if isinstance(s, lr_scheduler.ReduceLROnPlateau):
        raise ValueError(f"scheduler: {name} follows the loss, which cannot be differentiated")
    if not hasattr(s, "step"):
        raise TypeError(f"scheduler: the factory gave {name}, no scheduler")
    base, out = options["lr"] or 1.0, []
    for _ in range(steps):
        group = opt.param_groups[0]
        if group["momentum"] != momentum:
            raise ValueError(f"scheduler: {name} moves momentum too; tune momentum(phases=...)")
        out.append(float(group["lr"]) / base)
        opt.step()
        s.step()
    return name, out


def match(factors: list[float], steps: int) -> dict | None:
    """The study's schedule with these factors, None when there is none."""
    for warmup in _warmups(factors):
        x = factors[warmup:]
        guesses = [dict(PLAIN)]
        if len(x) > 1:
            u = (len(x) - 1) / len(x)
            c = 0.5 * (1 + math.cos(math.pi * u))
            guesses.append({**PLAIN, "kind": "cosine", "final": (x[-1] - c) / (1 - c)})
            guesses.append({**PLAIN, "kind": "linear", "final": 1 + (x[-1] - 1) / u})
            guesses += _steps(x)
        for g in guesses:
            g["warmup"] = warmup
            g["final"] = round(g["final"], 12) + 0.0
            if g["final"] >= 0 and all(
                abs(schedule_factor(g, steps, t) - f) <= CLOSE for t, f in enumerate(factors)
            ):
                return g
    return None


def _warmups(factors: list[float]) -> list[int]:
    """Lengths that a linear rise from 1/W could have."""
    w = round(1 / factors[0]) if factors[0] > 0 else 0
    return [0, w] if 1 < w <= len(factors) else [0]


def _steps(x: list[float]) -> list[dict]:
    change = next((i for i, v in enumerate(x) if abs(v - x[0]) > CLOSE), 0)
    if not change or x[0] == 0:
        return []
    return [{**PLAIN, "kind": "step", "gamma": x[change] / x[0], "every": change}]
