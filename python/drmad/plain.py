"""Trains with a tuned result in plain PyTorch: the optimizer and its schedule from the JSON that
drmad wrote. Imports torch and the standard library only; `result.snippet()` hands this file out, so
that a training script needs no drmad.

    p = g + l2 w + l1 sign w + weight_decay w       g = p.grad
    b' = momentum b + (1 - dampening) p             the first buffer is p itself
    w' = w - lr s            s = b', or p + momentum b' under Nesterov

torch.optim.SGD does this with one number a group. A value per unit or per weight enters by hooks
around its step: decays that are not one number, and l1, are added to the gradient before the step
and taken off after it; a momentum that is not one number scales the buffer before the step, which
then runs with momentum 1; where the rate (or Nesterov's momentum) is not one number, the group's lr
is 0 and the hook makes the last line itself, from the optimizer's own buffer.

Under RMSprop, Adam, AdamW and NAdam betas and eps are one number a group. Their step is linear in
lr, so where the rate or a decoupled decay is not one number, the class steps at rate 1 without that
decay, and the hook makes w' = (1 - lr decay) w - lr s of the step s that it took.
"""

from __future__ import annotations

import base64
import json

import torch
from torch.optim.lr_scheduler import LRScheduler

WEIGHTS_ONLY = ("l2", "l1")  # constants of these reach weights, no biases and norms


def decode(track: dict) -> torch.Tensor:
    """The values [rows in time, *shape in use] of one kind for one parameter, in double."""
    if "base64" in track:
        raw = bytearray(base64.b64decode(track["base64"]))
        return torch.frombuffer(raw, dtype=torch.float64).reshape(track["shape"])
    return torch.tensor(track["values"], dtype=torch.float64).reshape(track["shape"])


class Knob:
    """One hyperparameter of one parameter over time."""

    def __init__(self, data: dict, values: torch.Tensor, scheduled: bool):
        self.values, self.scheduled = values, scheduled
        self.steps = data["steps"]
        self.factors = data["schedule"] if scheduled else None  # one a step; None: all 1
        self.scalar = values[0].numel() == 1
        self.row, self.cached = -1, torch.empty(0)

    def key(self) -> tuple:
        return (tuple(self.values.flatten().tolist()), self.scheduled)

    def at(self, t: int, like: torch.Tensor | None = None):
        """A number, or a tensor that spreads over `like`; after the last step it stays."""
        t = min(max(t, 0), self.steps - 1)
        row = ((t + 1) * len(self.values) - 1) // self.steps
        factor = 1.0 if self.factors is None else self.factors[t]
        if self.scalar or like is None:
            return factor * float(self.values[row])
        if self.row != row or self.cached.device != like.device:
            self.row, self.cached = row, self.values[row].to(like.device, like.dtype)
        return self.cached if factor == 1.0 else self.cached * factor


def knob(data: dict, name: str, kind: str) -> Knob | None:
    """The tuned values of `kind` for the parameter `name`, else the run's constant, else None."""
    tensor = data["tensors"][name]
    if kind in tensor:
        track = tensor[kind]
        return Knob(data, decode(track), track.get("scheduled", False))
    value = data["optimizer"].get(kind, 0.0)
    if kind in WEIGHTS_ONLY and (not value or tensor["role"] != "weight"):
        return None
    return Knob(data, torch.tensor([[value]], dtype=torch.float64), kind == "lr")


def set_for(data: dict, name: str, kind: str) -> Knob:
    """What every parameter has: its rate, its momentum."""
    found = knob(data, name, kind)
    assert found is not None
    return found


def add(a, b):
    return b if a is None else a if b is None else a + b


class Part:
    """One parameter: its knobs, and what of them its group cannot hold."""

    def __init__(self, data: dict, name: str, param: torch.nn.Parameter):
        o, self.name, self.param = data["optimizer"], name, param
        self.lr, self.momentum = set_for(data, name, "lr"), set_for(data, name, "momentum")
        decays = [knob(data, name, "weight_decay"), knob(data, name, "l2")]
        self.decays, self.l1 = [k for k in decays if k], knob(data, name, "l1")
        self.nesterov = o["nesterov"]
        self.saved: torch.Tensor | None = None  # the gradient, while its place is taken
        tuned = any("momentum" in t for t in data["tensors"].values())
        # The library keeps a buffer, and dampens, as soon as any momentum is tuned; torch does not
        # where the momentum is 0.
        dampened = tuned and o["dampening"] != 0 and "momentum" not in data["tensors"][name]
        self.fine_momentum = not self.momentum.scalar or (dampened and o["momentum"] == 0)
        self.by_hand = not self.lr.scalar or (self.fine_momentum and self.nesterov)
        self.fine_decay = (
            self.by_hand or self.l1 is not None or not all(k.scalar for k in self.decays)
        )
        self.fine = self.fine_momentum or self.fine_decay

    def knobs(self) -> dict:
        return {"lr": self.lr, "momentum": self.momentum, "l1": self.l1,
                "weight_decay": self.decays}  # fmt: skip

    def key(self) -> tuple:
        """Parameters with equal keys share a group at every step."""
        return (
            None if self.by_hand else self.lr.key(),
            None if self.fine_momentum else self.momentum.key(),
            None if self.fine_decay else tuple(k.key() for k in self.decays),
        )

    def group(self, t: int) -> dict:
        """What torch's own step uses at step t."""
        return {
            "lr": 0.0 if self.by_hand else self.lr.at(t),
            "momentum": 1.0 if self.fine_momentum else self.momentum.at(t),
            "weight_decay": 0.0 if self.fine_decay else sum(k.at(t) for k in self.decays),
        }

    @torch.no_grad()
    def before(self, g: torch.Tensor, state: dict, t: int) -> None:
        w, buffer = self.param, state.get("momentum_buffer")
        if g.is_sparse:
            raise ValueError(f"{self.name}: sparse gradients cannot take values per unit")
        if self.fine_decay:
            self.saved, decay = g, None
            for k in self.decays:
                decay = add(decay, k.at(t, w))
            g = g if decay is None else g + decay * w
            w.grad = g if self.l1 is None else g + self.l1.at(t, w) * w.sign()
        if self.fine_momentum and buffer is not None:
            buffer.mul_(self.momentum.at(t, w))

    @torch.no_grad()
    def after(self, g: torch.Tensor, state: dict, t: int) -> None:
        w, buffer = self.param, state.get("momentum_buffer")
        if self.by_hand:
            s = g if buffer is None else buffer
            if buffer is not None and self.nesterov:
                s = g + self.momentum.at(t, w) * buffer
            w.sub_(self.lr.at(t, w) * s)
        if self.fine_decay:
            w.grad, self.saved = self.saved, None


GROUP_NUMBERS = {
    "rmsprop": ("beta2", "eps", "momentum"),
    "adam": ("beta1", "beta2", "eps"),
    "adamw": ("beta1", "beta2", "eps"),
    "nadam": ("beta1", "beta2", "eps"),
}


class AdaptivePart:
    """The same under RMSprop, Adam, AdamW or NAdam."""

    def __init__(self, data: dict, name: str, param: torch.nn.Parameter):
        o, self.name, self.param = data["optimizer"], name, param
        self.decoupled = o["kind"] == "adamw" or o.get("decoupled", False)
        self.numbers = {k: set_for(data, name, k) for k in GROUP_NUMBERS[o["kind"]]}
        for kind, k in self.numbers.items():
            if not k.scalar:
                raise ValueError(f"{name}: {kind} per unit; torch has one number a group")
        decay, l2 = set_for(data, name, "weight_decay"), knob(data, name, "l2")
        self.lr, self.decay, self.l1 = set_for(data, name, "lr"), decay, knob(data, name, "l1")
        self.coupled = [k for k in (None if self.decoupled else decay, l2) if k]
        self.by_hand = not self.lr.scalar or (self.decoupled and not decay.scalar)
        self.fine_decay = (
            self.l1 is not None
            or (self.decoupled and bool(self.coupled))
            or not all(k.scalar for k in self.coupled)
        )
        self.fine = self.by_hand or self.fine_decay
        self.saved: torch.Tensor | None = None  # the gradient, while its place is taken
        self.start: torch.Tensor | None = None  # the weights before the step

    def knobs(self) -> dict:
        return {"lr": self.lr, "l1": self.l1, "weight_decay": [self.decay, *self.coupled],
                **self.numbers}  # fmt: skip

    def key(self) -> tuple:
        return (
            None if self.by_hand else (self.lr.key(), self.decay.key()),
            None if self.fine_decay else tuple(k.key() for k in self.coupled),
            tuple(k.key() for k in self.numbers.values()),
        )

    def group(self, t: int) -> dict:
        now = {k: v.at(t) for k, v in self.numbers.items()}
        if "beta1" in now:
            now["betas"] = (now.pop("beta1"), now.pop("beta2"))
        else:
            now["alpha"] = now.pop("beta2")
        inside = 0.0 if self.fine_decay else sum(k.at(t) for k in self.coupled)
        outside = self.decay.at(t) if self.decoupled and not self.by_hand else 0.0
        rate = 1.0 if self.by_hand else self.lr.at(t)
        return {**now, "lr": rate, "weight_decay": outside if self.decoupled else inside}

    @torch.no_grad()
    def before(self, g: torch.Tensor, state: dict, t: int) -> None:
        w = self.param
        if g.is_sparse:
            raise ValueError(f"{self.name}: sparse gradients cannot take values per unit")
        if self.fine_decay:
            self.saved = g
            for k in self.coupled:
                g = g + k.at(t, w) * w
            w.grad = g if self.l1 is None else g + self.l1.at(t, w) * w.sign()
        if self.by_hand:
            self.start = w.clone()

    @torch.no_grad()
    def after(self, g: torch.Tensor, state: dict, t: int) -> None:
        w, start = self.param, self.start
        if start is not None:
            lr = self.lr.at(t, w)
            kept = start * (1 - lr * self.decay.at(t, w)) if self.decoupled else start
            w.copy_(kept - lr * (start - w))
            self.start = None
        if self.fine_decay:
            w.grad, self.saved = self.saved, None


def parts_of(data: dict, model: torch.nn.Module) -> list:
    kind = Part if data["optimizer"].get("kind", "sgd") == "sgd" else AdaptivePart
    return [kind(data, n, p) for n, p in named(data, model).items()]


def constants(o: dict) -> dict:
    """What all groups share, in torch's words."""
    kind = o.get("kind", "sgd")
    if kind == "sgd":
        return {"dampening": o["dampening"], "nesterov": o["nesterov"]}
    if kind == "rmsprop":
        return {"centered": o["centered"]}
    if kind == "nadam":
        return {"momentum_decay": o["momentum_decay"], "decoupled_weight_decay": o["decoupled"]}
    return {}


class Plan:
    """All parameters of one optimizer and the step that comes next."""

    def __init__(self, parts: list):
        groups: dict[tuple, list] = {}
        for p in parts:
            groups.setdefault(p.key(), []).append(p)
        self.groups, self.fine, self.t = list(groups.values()), [p for p in parts if p.fine], 0

    def param_groups(self) -> list[dict]:
        out = []
        for parts in self.groups:
            names = [p.name for p in parts]
            name = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
            params = [p.param for p in parts]
            out.append({"params": params, "name": name, "names": names, **parts[0].group(0)})
        return out

    def move(self, opt: torch.optim.Optimizer, t: int) -> None:
        self.t = t
        for group, parts in zip(opt.param_groups, self.groups):
            group.update(parts[0].group(t))

    def before(self, opt, args, kwargs) -> None:
        if any(a is not None for a in args[1:]) or kwargs.get("closure") is not None:
            raise ValueError(
                "step(closure): values per unit are added to gradients that are there "
                "already; call the closure yourself, then step()"
            )
        for p in self.fine:
            if (g := p.param.grad) is not None:
                p.before(g, opt.state[p.param], self.t)

    def after(self, opt, args, kwargs) -> None:
        for p in self.fine:
            if (g := p.param.grad) is not None:
                p.after(g, opt.state[p.param], self.t)


class Schedule(LRScheduler):
    """Drives lr, momentum and weight decay of every group, and the values per unit, at each step:
    call step() after each optimizer step, as with torch's own."""

    def __init__(self, optimizer: torch.optim.Optimizer, last_epoch: int = -1):
        if not hasattr(optimizer, "drmad_plan"):
            raise ValueError("this optimizer was not built from a result: it has no plan")
        self.plan = optimizer.drmad_plan
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float | torch.Tensor]:
        self.plan.move(self.optimizer, self.last_epoch)
        return [g["lr"] for g in self.optimizer.param_groups]

    def state_dict(self) -> dict:
        return {"last_epoch": self.last_epoch}

    def load_state_dict(self, state: dict) -> None:
        self.last_epoch = state["last_epoch"]
        self._last_lr = self.get_lr()


def named(data: dict, model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """The model's parameters by the names of the result. Raises ValueError for the first that is
    missing, strange or of another shape; frozen parameters may be strange."""
    params = dict(model.named_parameters())
    for prefix in ("module.", "_orig_mod."):  # DistributedDataParallel, torch.compile
        if params and all(n.startswith(prefix) for n in params):
            params = {n.removeprefix(prefix): p for n, p in params.items()}
    for name, p in params.items():
        if name not in data["tensors"] and p.requires_grad:
            raise ValueError(f"{name}: the result knows no such parameter")
    for name, tensor in data["tensors"].items():
        if name not in params:
            raise ValueError(f"{name}: the model has no such parameter")
        if list(params[name].shape) != list(tensor["shape"]):
            have = tuple(params[name].shape)
            raise ValueError(f"{name}: has shape {have}, the result {tuple(tensor['shape'])}")
    return {name: params[name] for name in data["tensors"]}


def build_optimizer(
    data: dict, model: torch.nn.Module, cls=None, **more
) -> torch.optim.Optimizer:
    """The tuned run's optimizer over `model`, set to step 0; `more`: foreach, fused, ..."""
    cls = cls or getattr(torch.optim, data["optimizer"]["class"].rpartition(".")[2])
    plan = Plan(parts_of(data, model))
    o = data["optimizer"]
    if o.get("kind", "sgd") == "sgd":
        # The constructor refuses Nesterov without momentum: the defaults are the run's constants.
        more["momentum"] = o["momentum"] or (1.0 if any(p.nesterov for p in plan.fine) else 0.0)
    opt = cls(plan.param_groups(), lr=o["lr"], **constants(o), **more)
    opt.drmad_plan = plan
    if plan.fine:
        opt.register_step_pre_hook(plan.before)
        opt.register_step_post_hook(plan.after)
    return opt


@torch.no_grad()
def scale_start_(data: dict, model: torch.nn.Module) -> torch.nn.Module:
    """Multiplies the model's initial weights by the tuned `init_scale`; once, before training."""
    for name, p in named(data, model).items():
        if "init_scale" in data["tensors"][name]:
            p.mul_(decode(data["tensors"][name]["init_scale"])[0].to(p.device, p.dtype))
    return model


def load(path: str) -> dict:
    with open(path, encoding="utf-8") as f:
        return json.load(f)
