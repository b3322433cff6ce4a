"""Hypergradients without drmad: SGD written with plain tensor operations, all T steps in one graph,
and torch's own double backward through it. The reference of test_support.py.

    p = g + decay w      b' = p at the first step, mu b + p later      w' = w - lr b'

Slices are called as drmad calls them; each is a tensor [phases, elements]."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel


class Norm(nn.Module):
    """A batch norm whose running statistics stay on the graph, or are cut off it (`frozen`)."""

    def __init__(self, of: nn.Module, frozen: bool):
        super().__init__()
        self.weight, self.bias, self.eps, self.rate = of.weight, of.bias, of.eps, of.momentum
        self.frozen, self.stats = frozen, [of.running_mean.clone(), of.running_var.clone()]
        self.steps = 0

    def forward(self, x):
        mean, var = self.stats
        dims, shape = [0, *range(2, x.dim())], [-1] + [1] * (x.dim() - 2)
        if self.training:
            mean = x.mean(dims)
            var = ((x - mean.view(shape)) ** 2).mean(dims)
            n = x.numel() // x.shape[1]
            seen = [mean, var * n / (n - 1)]
            if self.frozen:
                seen = [s.detach() for s in seen]
            self.steps += 1
            rate = 1 / self.steps if self.rate is None else self.rate
            self.stats = [(1 - rate) * r + rate * s for r, s in zip(self.stats, seen)]
        y = (x - mean.view(shape)) / torch.sqrt(var + self.eps).view(shape)
        return y if self.weight is None else y * self.weight.view(shape) + self.bias.view(shape)


def _own_norms(module: nn.Module, frozen: bool) -> None:
    for name, child in module.named_children():
        if isinstance(child, (nn.BatchNorm1d, nn.BatchNorm2d)):
            setattr(module, name, Norm(child, frozen))
        else:
            _own_norms(child, frozen)


class Loss(nn.Module):
    """loss_fn as a module, so that functional_call can put weights in."""

    def __init__(self, model: nn.Module, loss: Callable[[nn.Module, Any], torch.Tensor]):
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, batch):
        return self.loss(self.model, batch)


class Run:
    """One training run of `model` from its weights. `seed_of(t)`: what torch's and Python's
    generators start from at step t, for models that draw random numbers."""

    def __init__(self, model, loss, frozen=False, seed_of: Callable[[int], int] | None = None):
        self.whole = Loss(copy.deepcopy(model), loss)
        _own_norms(self.whole.model, frozen)
        self.seed_of = seed_of
        self.start = {n: p for n, p in self.whole.model.named_parameters() if p.requires_grad}

    def value(self, w: dict, batch: Any) -> torch.Tensor:
        return functional_call(self.whole, {f"model.{n}": v for n, v in w.items()}, (batch,))

    @contextmanager
    def drawing(self, t: int):
        with torch.random.fork_rng(devices=[]), sdpa_kernel([SDPBackend.MATH]):
            if self.seed_of is not None:
                torch.manual_seed(self.seed_of(t))
                random.seed(self.seed_of(t))
            yield

    def hypergradients(self, h: dict, reach: Callable, batches: list, valid: list, steps: int):
        """dF/dh for each slice of `h`; reach(slice, tensor name): whether it acts on it."""
        h = {k: v.clone().requires_grad_() for k, v in h.items()}
        w = {n: p.detach().clone().requires_grad_() for n, p in self.start.items()}
        knobs = {n: {k.partition("/")[0]: h[k] for k in h if reach(k, n)} for n in w}
        buffers: dict[str, torch.Tensor] = {}
        self.whole.train()
        for t in range(steps):
            with self.drawing(t):
                loss = self.value(w, batches[t % len(batches)])
                g = torch.autograd.grad(
                    loss, list(w.values()), create_graph=True, materialize_grads=True
                )
            for (n, x), grad in zip(list(w.items()), g):
                at = {kind: _at(v, t, steps, x) for kind, v in knobs[n].items()}
                p = grad + at.get("weight_decay", 0.0) * x
                buffers[n] = at["momentum"] * buffers[n] + p if t else p
                w[n] = x - at["lr"] * buffers[n]
        self.whole.eval()
        sizes = [len(next(iter(b.values())) if isinstance(b, dict) else b[0])
                 if not isinstance(b, torch.Tensor) else len(b) for b in valid]  # fmt: skip
        with self.drawing(0):
            f = sum(n * self.value(w, b) for n, b in zip(sizes, valid)) / sum(sizes)
        return float(f.detach()), dict(zip(h, torch.autograd.grad(f, list(h.values()))))


def _at(v: torch.Tensor, t: int, steps: int, like: torch.Tensor) -> torch.Tensor:
    """What holds at step t: one number, or one per output unit."""
    row = v[((t + 1) * len(v) - 1) // steps]
    return row.view(-1, *[1] * (like.dim() - 1)) if len(row) > 1 else row.view(())
