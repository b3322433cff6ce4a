"""Batches of any structure: tuples, lists, mappings, dataclasses and single tensors."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch


def leaves(tree: Any) -> Iterator[Any]:
    """What hangs in the structure, in order."""
    if isinstance(tree, Mapping):
        for v in tree.values():
            yield from leaves(v)
    elif isinstance(tree, (tuple, list)):
        for v in tree:
            yield from leaves(v)
    elif dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        for f in dataclasses.fields(tree):
            yield from leaves(getattr(tree, f.name))
    else:
        yield tree


def change(f: Callable[[torch.Tensor], Any], tree: Any) -> Any:
    """The same structure with f(tensor) in the place of each tensor."""
    if isinstance(tree, torch.Tensor):
        return f(tree)
    if isinstance(tree, Mapping):
        new = {k: change(f, v) for k, v in tree.items()}
        kind: Any = type(tree)  # of mappings that can be made from one
        return new if kind is dict else kind(new)
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*(change(f, v) for v in tree))
    if isinstance(tree, (tuple, list)):
        return type(tree)([change(f, v) for v in tree])
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        fields = (f.name for f in dataclasses.fields(tree) if f.init)
        return dataclasses.replace(tree, **{n: change(f, getattr(tree, n)) for n in fields})
    return tree


def count(tree: Any) -> int:
    """The examples of a batch: the first dimension of its first tensor that has one, else 0."""
    for leaf in leaves(tree):
        if isinstance(leaf, torch.Tensor) and leaf.dim() > 0:
            return leaf.shape[0]
    return 0


def head(tree: Any, n: int) -> Any:
    """The first n examples of a batch."""
    whole = count(tree)
    return change(lambda t: t[:n] if t.dim() and t.shape[0] == whole else t, tree)


def nbytes(tree: Any) -> int:
    """Bytes of the tensors (other leaves are not counted)."""
    return sum(t.numel() * t.element_size() for t in leaves(tree) if isinstance(t, torch.Tensor))


def to(tree: Any, device: torch.device) -> Any:
    """The batch with its tensors on `device`."""
    return change(lambda t: t.to(device, non_blocking=True), tree)


def same(a: Any, b: Any) -> bool:
    """Whether two batches hold the same values (NaN equals NaN)."""
    x, y = list(leaves(a)), list(leaves(b))
    return len(x) == len(y) and all(map(_same_leaf, x, y))


def _same_leaf(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return a.shape == b.shape and a.dtype == b.dtype and bool(
            torch.equal(a, b) or torch.allclose(a, b, rtol=0, atol=0, equal_nan=True)
        )
    try:
        return bool(a == b)
    except (ValueError, TypeError, RuntimeError):  # arrays and the like: compare as tensors
        return _same_leaf(torch.as_tensor(a), torch.as_tensor(b))
