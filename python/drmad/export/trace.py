"""A loss as one graph of core ATen operations, by torch.export."""

from __future__ import annotations

import copy
import io
import logging
import warnings
from collections.abc import Callable
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from .. import trees
from ..errors import ModelError
from .table import WHOLE

ADVICE = 'engine="callback" takes it as it is'
MOST = 1 << 24  # examples of a batch


class Whole(nn.Module):
    """loss_fn and the model as one module of the batch's tensors."""

    def __init__(self, model: nn.Module, loss_fn: Callable, batch: Any, scores: bool) -> None:
        super().__init__()
        self.model, self.loss_fn, self.batch, self.scores = model, loss_fn, batch, scores

    def forward(self, tensors):  # one argument: torch 2.9 guards no *tensors
        left = iter(tensors)
        batch = trees.change(lambda _: next(left), self.batch)
        loss = self.loss_fn(self.model, batch)
        return (loss, self.model(batch[0])) if self.scores else (loss,)


@dataclass(frozen=True)
class Trace:
    """program: torch's ExportedProgram, decomposed; any: for every batch size, or for one."""

    program: Any
    any: bool
    note: str | None = None


def trace(model: nn.Module, loss_fn: Callable, batch: Any, training: bool, dynamic: bool = True,
          scores: bool = False) -> Trace:  # fmt: skip
    """dynamic: for any batch size, if torch can. ModelError where it cannot export it at all."""
    tensors = [t for t in trees.leaves(batch) if isinstance(t, torch.Tensor)]
    whole = Whole(copy.deepcopy(model), loss_fn, batch, scores)
    whole.train(training)
    size, why = trees.count(batch), None
    if dynamic and size > 1:
        try:
            return Trace(_export(whole, tensors, size), True)
        except Exception as e:
            why = _first_line(e)
    try:
        program = _export(whole, tensors, None)
    except Exception as e:
        raise ModelError(f"torch.export: {_first_line(e)}; {ADVICE}") from e
    note = f"batch: holds for {size} examples only ({why})" if why else None
    return Trace(program, False, note)


def _export(whole: Whole, tensors: list[torch.Tensor], size: int | None):
    dims = None
    if size is not None:
        batch = torch.export.Dim("batch", min=2, max=MOST)
        dims = ([{0: batch} if t.dim() and len(t) == size else None for t in tensors],)
    with sdpa_kernel([SDPBackend.MATH]), _quiet():
        program = torch.export.export(whole, (tensors,), dynamic_shapes=dims, strict=False)
        return program.run_decompositions(_decompositions())


def _decompositions() -> dict:
    try:
        table = torch.export.default_decompositions()
    except AttributeError:  # torch 2.5
        from torch._decomp import core_aten_decompositions

        table = core_aten_decompositions()
    for name in WHOLE:
        packet = getattr(torch.ops.aten, name, None)
        for overload in packet.overloads() if packet else ():
            table.pop(getattr(packet, overload), None)
    return table


@contextmanager
def _quiet():
    """torch.export prints the graph so far where it fails, and logs what it could not find."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _first_line(e: Exception) -> str:
    text = str(e).strip().splitlines()
    return f"{type(e).__name__}: {text[0][:200]}" if text else type(e).__name__
