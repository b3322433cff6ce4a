"""What is asked of nodes of torch's graph before they are lowered."""

from __future__ import annotations

from typing import Any

import torch

from . import table


class Ignored:
    """What cross_entropy asks of labels that are to be ignored (ignore_index, -100 by default): the
    library refuses labels below zero, so that there are none. never: fx nodes that are false
    everywhere; counts: how many examples are not ignored -> a node with an element for each."""

    def __init__(self, graph: Any) -> None:
        losses = ("nll_loss_forward", "nll_loss2d_forward")
        self.labels = {n.args[1] for n in graph.nodes if base(n) in losses}
        self.never: set[Any] = set()
        self.always: set[Any] = set()
        self.counts: dict[Any, Any] = {}

    def takes(self, n: Any, name: str) -> bool:
        """Whether the node is one of them, which needs no node of ours."""
        of = n.args[0] if n.args else None
        if name == "eq" and of in self.labels and isinstance(n.args[1], int) and n.args[1] < 0:
            self.never.add(n)
        elif name in table.RESHAPES and of in self.never:
            self.never.add(n)
        elif name in ("bitwise_not", "logical_not") and of in self.never:
            self.always.add(n)
        elif name == "sum" and of in self.always and n.meta["val"].dim() == 0:
            self.counts[n] = of
        else:
            return False
        return True


def base(n: Any) -> str:
    """The operation's name without overload; "" for what is no ATen operation."""
    t = n.target
    if isinstance(t, torch._ops.OpOverload) and t.namespace in ("aten", "prims"):
        return t._schema.name.partition("::")[2]
    return ""


def arguments(n: Any) -> dict[str, Any]:
    """By the schema's names, defaults filled in."""
    out, left = {}, dict(n.kwargs)
    for i, a in enumerate(n.target._schema.arguments):
        if i < len(n.args):
            out[a.name] = n.args[i]
        elif a.name in left:
            out[a.name] = left[a.name]
        else:
            out[a.name] = a.default_value
    return out


def module_of(n: Any) -> str:
    """The path of the module that a node is of, without ours around it."""
    stack = n.meta.get("nn_module_stack") or {}
    path = list(stack.values())[-1][0] if stack else ""
    path = path if isinstance(path, str) else ""
    if path.startswith("_empty_nn_module_stack"):
        return ""
    return "" if path == "model" else path.removeprefix("model.")
