"""The numbers that an import is checked against: loss, gradient and one Hessian-vector product of
the example batch, and mean and root mean square of every node; in float64, dropout left out.

They come from the graph as the file has it, which is checked against the module itself first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode

from ..errors import ModelError
from ..seeds import states, used
from .replay import replay
from .trace import ADVICE

if TYPE_CHECKING:
    from .build import Graph

DIRECTION = 1  # seed of the direction of the Hessian-vector product
# Of the norm: the same operations in the same type, but not by the same kernels everywhere.
CLOSE = {torch.float32: 1e-3, torch.float64: 1e-9}


class WithoutDropout(TorchDispatchMode):
    """Below autograd, dropout's mask is its own mean: what is kept is everything, unscaled."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func._schema.name
        if name == "aten::native_dropout":
            return args[0].clone(), torch.ones_like(args[0], dtype=torch.bool)
        if name == "aten::bernoulli_":
            kept = args[1] if len(args) > 1 else (kwargs or {}).get("p", 0.5)
            return args[0].fill_(kept)
        return func(*args, **(kwargs or {}))


def parity(g: Graph) -> dict[str, torch.Tensor]:
    """The tensors of parity.safetensors. ModelError where the graph is not the module."""
    out: dict[str, torch.Tensor] = {
        f"input/{n}": t.to(g.inputs.kind(n, t.dtype)) for n, t in g.batch.items()
    }
    _compare(g, _by_graph(g, doubles=False), _by_module(g))
    mine = _by_graph(g, doubles=True)
    for what in ("loss", "evaluate_loss", "nodes"):
        out[what] = mine[what]
    for what in ("gradient", "direction", "product"):
        for slot, x in zip(g.net.slots, mine[what]):
            out[f"{what}/{slot.name}"] = x.to(slot.value.dtype)
    for full, x in mine["buffers"].items():
        out[f"next/{full}"] = x.to(g.inputs.values[full].dtype)
    return {n: x.detach() for n, x in out.items()}


def directions(g: Graph) -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(DIRECTION)
    return [torch.randn(s.value.shape, generator=draw, dtype=torch.float64) for s in g.net.slots]


def _by_graph(g: Graph, doubles: bool) -> dict[str, Any]:
    kind = _widest if doubles else lambda x: x.to(g.inputs.kind("", x.dtype))
    values = {n: kind(t) for n, t in g.batch.items()}
    for name, e in g.inputs.entries.items():
        if "full" in e:
            values[name] = kind(g.inputs.values[e["full"]]).clone()
    leaves = [values[f"p.{s.name}"].requires_grad_() for s in g.net.slots]
    train, evaluate = g.train, g.evaluate
    got = replay(train["nodes"], values, g.size, doubles)
    along = [u.to(x.dtype) for u, x in zip(directions(g), leaves)]
    out = _derivatives(got[train["loss"]].mean(), leaves, along)
    out["buffers"] = {full: got[n] for full, n in train.get("buffers", {}).items()}
    out["nodes"] = _moments(train, got)
    with torch.no_grad():
        got = replay(evaluate["nodes"], values, g.size, doubles)
    out["evaluate_loss"] = got[evaluate["loss"]].mean()
    return out


def _widest(x: torch.Tensor) -> torch.Tensor:
    if x.dtype == torch.bool:
        return x
    return x.to(torch.float64 if x.is_floating_point() else torch.int64)


def _moments(graph: dict, values: dict) -> torch.Tensor:
    """[nodes, 2]: mean and root mean square of each, in order."""
    xs = [values[n["name"]].detach().double() for n in graph["nodes"]]
    return torch.stack([torch.stack([x.mean(), x.square().mean().sqrt()]) for x in xs])


def _derivatives(loss: torch.Tensor, leaves: list, along: list) -> dict[str, Any]:
    grads = torch.autograd.grad(
        loss, leaves, create_graph=True, allow_unused=True, materialize_grads=True
    )
    slope = torch.stack([(a * b).sum() for a, b in zip(grads, along)]).sum()
    products = [torch.zeros_like(x) for x in leaves]
    if slope.requires_grad:
        got = torch.autograd.grad(slope, leaves, allow_unused=True, materialize_grads=True)
        products = list(got)
    return {"loss": loss, "gradient": list(grads), "direction": along, "product": products}


def _by_module(g: Graph) -> dict[str, Any]:
    module, leaves = g.net.module, [s.value for s in g.net.slots]
    kept = {n: g.buffer(n) for n in g.net.buffers}
    start = states()
    try:
        with WithoutDropout(), sdpa_kernel([SDPBackend.MATH]):
            module.train()
            loss = g.loss_fn(module, g.example).mean()
            along = [u.to(x.dtype) for u, x in zip(directions(g), leaves)]
            out = _derivatives(loss, leaves, along)
            out["buffers"] = {n: g.buffer(n) for n in g.next}
            _restore(g, kept)
            module.eval()
            with torch.no_grad():
                out["evaluate_loss"] = g.loss_fn(module, g.example).mean()
    finally:
        _restore(g, kept)
    drawn = used(start, states()) - {"torch"}
    if drawn:
        names = ", ".join(sorted(drawn))
        raise ModelError(f"the model draws from {names}: only dropout is imported; {ADVICE}")
    return out


def _restore(g: Graph, kept: dict[str, torch.Tensor]) -> None:
    for n, value in kept.items():
        owner, key = g.net.buffers[n]
        owner[key] = value.clone()


def _compare(g: Graph, graph: dict, module: dict) -> None:
    bar = CLOSE[g.inputs.real]
    pairs: dict[str, tuple] = {w: (graph[w], module[w]) for w in ("loss", "evaluate_loss")}
    for what in ("gradient", "product"):
        pairs[what] = tuple(_flat(r[what]) for r in (graph, module))
    for n in g.next:
        pairs[f"buffer {n}"] = (graph["buffers"][n], module["buffers"][n])
    for what, (a, b) in pairs.items():
        a, b = a.detach().double(), b.detach().double()
        off, size = float((a - b).norm()), float(b.norm())
        if not off <= bar * (size + 1e-6):
            raise ModelError(
                f"{what}: the exported graph is off by {off:.3g} of {size:.3g}; something in the "
                "model means another thing to torch.export (no_grad, .data, a backward of its own, "
                f"numbers drawn by Python); {ADVICE}"
            )


def _flat(xs: list[torch.Tensor]) -> torch.Tensor:
    return torch.cat([x.detach().double().flatten() for x in xs])
