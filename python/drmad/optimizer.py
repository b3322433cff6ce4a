"""Reads the user's torch optimizer and learning-rate scheduler: class, start values per group by
the parameters' full names, and the schedule as factors of the base rate, step by step."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim import lr_scheduler

from .errors import ConfigError
from .seeds import mix, one_at_a_time, seeded

READ = 8  # what a seed is drawn for
NUMBERS = ("lr", "momentum", "dampening", "weight_decay")  # of SGD

# What torch calls them, what a study does, and the numbers that a group of each has. RMSprop's
# alpha is beta2.
OTHERS = {
    torch.optim.RMSprop: ("rmsprop", ("lr", "momentum", "beta2", "eps", "weight_decay")),
    torch.optim.Adam: ("adam", ("lr", "beta1", "beta2", "eps", "weight_decay")),
    torch.optim.AdamW: ("adamw", ("lr", "beta1", "beta2", "eps", "weight_decay")),
    torch.optim.NAdam: (
        "nadam",
        ("lr", "beta1", "beta2", "eps", "weight_decay", "momentum_decay"),
    ),
}
CLASSES = (torch.optim.SGD, *reversed(OTHERS))  # AdamW before Adam, which it is one of


def numbers_of(group: dict[str, Any], kinds: tuple[str, ...]) -> dict[str, float]:
    """The numbers of a torch group, in a study's words."""
    have = dict(group)
    if "betas" in group:
        have["beta1"], have["beta2"] = group["betas"]
    if "alpha" in group:
        have["beta2"] = group["alpha"]
    return {k: float(have[k]) for k in kinds}


def read_optimizer(optimizer: Any, model: nn.Module | Callable[[], nn.Module]) -> dict[str, Any]:
    """{"class": "SGD", "fixed": {"nesterov": bool}, "groups": [{"names", "lr", "momentum",
    "dampening", "weight_decay"}]} of an instance over `model`'s parameters, or of a factory:
    params -> optimizer, or model -> optimizer where its argument is called model, module or net. A
    factory of models needs a factory of optimizers. ConfigError for what cannot be
    differentiated."""
    if isinstance(optimizer, torch.optim.Optimizer):
        if not isinstance(model, nn.Module):
            raise ConfigError(
                "optimizer: an instance knows the parameters of one module, but model is a "
                "factory; give a factory, optimizer=lambda p: torch.optim.SGD(p, lr=...)"
            )
        module, opt = model, optimizer
    elif callable(optimizer):
        with seeded(mix(READ)):  # weights are drawn, of which only names and shapes are read
            module = model if isinstance(model, nn.Module) else model()
            opt = optimizer(module if _takes_module(optimizer) else _trainable(module))
    else:
        raise ConfigError(f"optimizer: {type(optimizer).__name__}; an optimizer, or a factory")
    if not isinstance(opt, torch.optim.Optimizer):
        raise ConfigError(f"optimizer: the factory gave {type(opt).__name__}, no torch optimizer")
    _refuse(opt)
    word, kinds = OTHERS.get(type(opt), ("sgd", NUMBERS))
    groups = [_group(g, _names(module), kinds) for g in opt.param_groups]
    _all_of(module, groups)
    fixed = _fixed(word, opt.param_groups)
    return {"class": type(opt).__name__, "fixed": fixed, "groups": groups}


def _fixed(word: str, groups: list[dict[str, Any]]) -> dict[str, Any]:
    """What is no number and the same for all groups, in a study's words."""
    switches = {"sgd": ("nesterov",), "rmsprop": ("centered",)}.get(
        word, ("decoupled_weight_decay",)
    )
    fixed: dict[str, Any] = {} if word == "sgd" else {"kind": word}
    for switch in switches:
        values = {bool(g.get(switch, False)) for g in groups}
        if len(values) > 1:
            raise ConfigError(f"optimizer: {switch} differs between groups; use one for all")
        fixed[switch] = values.pop()
    decoupled = fixed.pop("decoupled_weight_decay", False)
    if word == "nadam":
        fixed["decoupled"] = decoupled
    elif decoupled:
        fixed["kind"] = "adamw"  # torch.optim.Adam with the switch is AdamW
    return fixed


def _takes_module(factory: Callable) -> bool:
    try:
        first = next(iter(inspect.signature(factory).parameters.values()), None)
    except (TypeError, ValueError):
        return False
    return first is not None and first.name in ("model", "module", "net")


def _trainable(module: nn.Module) -> list[nn.Parameter]:
    return [p for p in module.parameters() if p.requires_grad]


def _names(module: nn.Module) -> dict[int, str]:
    return {id(p): n for n, p in module.named_parameters()}


def _refuse(opt: torch.optim.Optimizer) -> None:
    name = type(opt).__name__
    if type(opt) not in CLASSES:
        for c in CLASSES:
            if isinstance(opt, c):
                what = f"{name} changes {c.__name__}; use torch.optim.{c.__name__} itself"
                raise ConfigError(f"optimizer: {what}")
        known = ", ".join(c.__name__ for c in CLASSES)
        raise ConfigError(f"optimizer: {name} is not differentiated; {known} are")
    if any(g.get("amsgrad") for g in opt.param_groups):
        raise ConfigError("optimizer: amsgrad=True is not differentiated; leave it off")
    if opt._optimizer_step_pre_hooks or opt._optimizer_step_post_hooks:
        raise ConfigError("optimizer: its step hooks cannot be differentiated; take them off")
    if any(g.get("maximize") for g in opt.param_groups):
        raise ConfigError("optimizer: maximize=True; negate the loss in loss_fn instead")
    if any(v is not None for s in opt.state.values() for v in s.values()):
        raise ConfigError(
            "optimizer: it has taken steps already, and a run begins without momentum; give a "
            "fresh one"
        )


def _group(
    group: dict[str, Any], names: dict[int, str], kinds: tuple[str, ...]
) -> dict[str, Any]:
    strange = [i for i, p in enumerate(group["params"]) if id(p) not in names]
    if strange:
        shape = tuple(group["params"][strange[0]].shape)
        raise ConfigError(f"optimizer: a parameter of shape {shape} is none of the model's")
    base = group.get("initial_lr", group["lr"])  # a scheduler has been set upon it
    values = {**numbers_of(group, kinds), "lr": float(base)}
    return {"names": [names[id(p)] for p in group["params"] if p.requires_grad], **values}


def _all_of(module: nn.Module, groups: list[dict[str, Any]]) -> None:
    held = {n for g in groups for n in g["names"]}
    left = [n for n, p in module.named_parameters() if p.requires_grad and n not in held]
    if left:
        raise ConfigError(
            f"optimizer: {', '.join(left)} in no group, but trainable; add them, or "
            "requires_grad_(False)"
        )


def read_schedule(scheduler: Callable, optimizer: dict[str, Any], steps: int) -> list[list[float]]:
    """Per group of read_optimizer's answer, the factor of its base rate at each of `steps` steps,
    by stepping `scheduler` (optimizer -> LRScheduler) over an optimizer that moves nothing."""
    if isinstance(scheduler, (lr_scheduler.LRScheduler, lr_scheduler.ReduceLROnPlateau)):
        raise ConfigError(
            f"scheduler: {type(scheduler).__name__} has begun already; give a factory, "
            "scheduler=lambda opt: torch.optim.lr_scheduler.CosineAnnealingLR(opt, steps)"
        )
    groups = optimizer["groups"]
    still = [{k: v for k, v in g.items() if k != "names"} for g in groups]
    dummy = getattr(torch.optim, optimizer["class"])(
        [{"params": [nn.Parameter(torch.zeros(1))], **in_torch(g)} for g in still]
    )
    made = scheduler(dummy)
    name = type(made).__name__
    if isinstance(made, lr_scheduler.ReduceLROnPlateau):
        raise ConfigError("scheduler: ReduceLROnPlateau follows the losses of a run; its rates are "
                          "not a function of the step, use another one")  # fmt: skip
    if not isinstance(made, lr_scheduler.LRScheduler):
        raise ConfigError(f"scheduler: the factory gave {name}, no LRScheduler")
    if any(not g["lr"] > 0 for g in groups):
        raise ConfigError("scheduler: a base rate of 0 has no factors; start from lr > 0")
    factors: list[list[float]] = [[] for _ in groups]
    with one_at_a_time, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(steps):
            for out, now, base in zip(factors, dummy.param_groups, still):
                have = numbers_of(now, tuple(base))
                moved = [k for k in base if k != "lr" and have[k] != base[k]]
                if moved:
                    raise ConfigError(f"scheduler: {name} moves {moved[0]} too; let it move the "
                                      "rate alone (cycle_momentum=False)")  # fmt: skip
                out.append(float(now["lr"]) / base["lr"])
            dummy.step()
            made.step()
    return factors


def in_torch(numbers: dict[str, float]) -> dict[str, Any]:
    """The numbers of a group in torch's words."""
    out: dict[str, Any] = {k: v for k, v in numbers.items() if k not in ("beta1", "beta2")}
    if "beta1" in numbers:
        out["betas"] = (numbers["beta1"], numbers["beta2"])
    elif "beta2" in numbers:
        out["alpha"] = numbers["beta2"]
    return out


def read_factors(scheduler: Any, optimizer: dict[str, Any], steps: int) -> list[float] | None:
    """What the one schedule of a study multiplies the base rate with at each step; None without a
    scheduler. ConfigError where there is no such number."""
    if scheduler is None:
        return None
    if not callable(scheduler) and not isinstance(scheduler, lr_scheduler.LRScheduler):
        raise ConfigError(
            f"scheduler: {type(scheduler).__name__} is no factory; "
            "scheduler=lambda opt: torch.optim.lr_scheduler.CosineAnnealingLR(opt, steps)"
        )
    first, *others = read_schedule(scheduler, optimizer, steps)
    for t, f in enumerate(first):
        if not (math.isfinite(f) and f >= 0):
            rate = f * optimizer["groups"][0]["lr"]
            raise ConfigError(f"scheduler: a rate of {rate:g} at step {t}; finite, from 0")
    for number, factors in enumerate(others, 1):
        for t, (a, b) in enumerate(zip(first, factors)):
            if not math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12):
                raise ConfigError(
                    f"scheduler: at step {t} it moves group 0 to {a:g} and group {number} to "
                    f"{b:g} times its base rate; a schedule is the same for all groups (no eta_min "
                    "where rates differ), and drmad.lr(per=..., phases=...) tells layers apart"
                )
    return first
