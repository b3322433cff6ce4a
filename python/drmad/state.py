"""The state that a training step leaves behind: running statistics and other buffers that a forward
pass in training mode changes. A step's loss does not read them, the evaluation does:

    r_{t+1} = s(w_t, r_t; batch_t)         F = F(w_T, r_T)
    way back      w~ += (ds/dw)' r~        r~ <- (ds/dr)' r~        from r~ = dF/dr_T
    way forward   r.  = (ds/dw) w. + (ds/dr) r.

torch's batch norm updates its statistics where autograd does not look; they are computed again
here, from the layer's input. Other buffers count as far as autograd sees their update."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase
from torch.nn.modules.instancenorm import _InstanceNorm

from .net import Net

GONE = 1e-12  # of its start: a cotangent as small adds less than a rounding error to w~


class State:
    """The changed buffers of a net. `added`: what a step adds to each, by full name, found by the
    probe (used for counters). `frozen`: they are kept, but not differentiated."""

    def __init__(self, net: Net, added: dict[str, torch.Tensor], frozen: bool) -> None:
        self.net, self.frozen, self.added, changed = net, frozen, added, list(added)
        self.names = [n for n in changed if self[n].is_floating_point()]
        self.counters = [n for n in changed if n not in self.names]
        self.next = 0  # the step that the buffers are before
        self.cotangent: list[torch.Tensor] | None = None
        self.tangent: list[torch.Tensor] | None = None
        self.history: dict[int, list[torch.Tensor]] = {}
        self._first, self._size = {n: self[n].clone() for n in changed}, 0.0
        self._attach()

    def __getitem__(self, name: str) -> torch.Tensor:
        owner, key = self.net.buffers[name]
        return owner[key]

    def __setitem__(self, name: str, value: torch.Tensor) -> None:
        owner, key = self.net.buffers[name]
        owner[key] = value

    def _attach(self) -> None:
        """Finds the norms again (a factory makes new modules)."""
        self.norms = {}
        if self.frozen:
            return
        for path, m in self.net.module.named_modules():
            own = [f"{path}.{k}" if path else k for k in ("running_mean", "running_var")]
            if _is_norm(m) and own[0] in self.names and own[1] in self.names:
                self.norms[m] = own
        known = {n for own in self.norms.values() for n in own}
        self.others = [n for n in self.names if n not in known]

    @property
    def live(self) -> bool:
        """Whether there is state to differentiate."""
        return bool(self.names) and not self.frozen

    def restart(self) -> None:
        """Before step 0 of a run. A factory's new module brings its own buffers."""
        self.next, self.cotangent, self.tangent = 0, None, None
        self.history.clear()
        if self.net.factory is None:
            for n, first in self._first.items():
                self[n] = first.clone()
        else:
            self._first = {n: self[n].clone() for n in self._first}
        self._attach()

    @contextmanager
    def plain(self, step: int, moves: bool = True) -> Iterator[None]:
        """A forward pass without derivatives of the state: it moves on if `step` is the next one,
        and stays as it is on any other visit, or without `moves`."""
        if moves and step == self.next:
            if self.live and self.others:
                self.history[step] = [self[n].detach().clone() for n in self.names]
            yield
            self.next += 1
            return
        kept = self._scratch(step)
        try:
            yield
        finally:
            for n, b in kept.items():
                self[n] = b

    def _scratch(self, step: int) -> dict[str, torch.Tensor]:
        """Copies in the buffers' places, counters as they were before `step`; gives the originals.
        Counters move by the same number every step."""
        kept = {n: self[n] for n in (*self.names, *self.counters)}
        for n, b in kept.items():
            if n in self.counters and self.next:
                first = self._first[n]
                self[n] = first + (b - first) // self.next * step
            else:
                self[n] = b.detach().clone()
        return kept

    @contextmanager
    def watched(self, step: int, start: list[torch.Tensor]) -> Iterator[Callable[[], list]]:
        """A forward pass from the state `start` that autograd sees; yields a function that gives
        the state after it. What the buffers hold afterwards is what they held before."""
        kept = self._scratch(step)
        now = dict(zip(self.names, start))
        for n in self.others:  # a copy: in-place updates must not reach the leaf
            self[n] = now[n].clone()
        hooks = [
            m.register_forward_pre_hook(functools.partial(_note_statistics, now, own))
            for m, own in self.norms.items()
        ]
        try:
            yield lambda: [self[n] if n in self.others else now[n] for n in self.names]
        finally:
            for h in hooks:
                h.remove()
            for n, b in kept.items():
                self[n] = b

    @contextmanager
    def aside(self) -> Iterator[None]:
        """No pass within hands a cotangent back."""
        kept, self.cotangent = self.cotangent, None
        try:
            yield
        finally:
            self.cotangent = kept

    def before(self, step: int) -> list[torch.Tensor]:
        """The values before `step`; batch norms are linear in theirs, any value will do."""
        return self.history.get(step) or [self[n].detach() for n in self.names]

    def advance(self, step: int, after: list[torch.Tensor]) -> None:
        """The state of the run becomes `after`, if `step` is the next one."""
        if step != self.next:
            return
        if self.others:
            self.history[step] = [self[n].detach().clone() for n in self.names]
        for n, b in zip(self.names, after):
            self[n] = b.detach().clone()
        self.next += 1
        for n in self.counters:
            self[n] = self[n] + self.added[n]

    def receive(self, cotangent: list[torch.Tensor], start: bool) -> None:
        """r~ for the step before; dropped for good once it is nothing beside its start."""
        size = sum(float(c.abs().max()) for c in cotangent if c.numel())
        if start:
            self._size = size
        self.cotangent = cotangent if size > GONE * self._size else None

    @contextmanager
    def evaluating(self) -> Iterator[list[torch.Tensor]]:
        """An evaluation that is differentiated in the state: yields leaves in its place."""
        kept = {n: self[n] for n in self.names}
        ins = [b.detach().clone().requires_grad_() for b in kept.values()]
        for n, b in zip(self.names, ins):
            self[n] = b
        for m in self.norms:
            m.forward = functools.partial(_normalize, m)
        try:
            yield ins
        finally:
            for m in self.norms:
                del m.forward
            for n, b in kept.items():
                self[n] = b


def _is_norm(m: nn.Module) -> bool:
    if not isinstance(m, _NormBase) or not m.track_running_stats:
        return False
    return type(m).forward in (_BatchNorm.forward, _InstanceNorm.forward)


def _note_statistics(now: dict, own: list[str], m: _NormBase, args: tuple) -> None:
    """The running statistics after m(x): (1 - f) r + f s, s unbiased as torch has it."""
    if not m.training:
        return
    x, factor = args[0], m.momentum
    if factor is None:
        assert m.num_batches_tracked is not None
        factor = 1.0 / (int(m.num_batches_tracked) + 1)
    if isinstance(m, _InstanceNorm):
        batched = x if x.dim() == _rank(m) else x[None]
        x = batched.flatten(2)
        var, mean = torch.var_mean(x, dim=2, correction=1)
        var, mean = var.mean(0), mean.mean(0)
    else:
        dims = [0, *range(2, x.dim())]
        var, mean = torch.var_mean(x, dim=dims, correction=1)
    for name, new in zip(own, (mean, var)):
        now[name] = (1 - factor) * now[name] + factor * new


def _rank(m: nn.Module) -> int:
    return {"1": 3, "2": 4, "3": 5}.get(type(m).__name__[-2:-1], 4)


def _normalize(m: _NormBase, x: torch.Tensor) -> torch.Tensor:
    """A batch norm in evaluation mode; torch's own has no derivative in the statistics."""
    batched = x
    if isinstance(m, _InstanceNorm) and x.dim() < _rank(m):
        batched = x[None]
    shape, mean, var = [1, -1] + [1] * (batched.dim() - 2), m.running_mean, m.running_var
    assert mean is not None and var is not None  # as _is_norm has it
    scale = torch.rsqrt(var + m.eps)
    if m.weight is not None:
        scale = scale * m.weight
    y = (batched - mean.view(shape)) * scale.view(shape)
    y = y if m.bias is None else y + m.bias.view(shape)
    return y.view(x.shape)
