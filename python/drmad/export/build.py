"""What a folder holds, from a model, a loss and one batch."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from .. import trees
from .._abi import VERSION
from ..errors import ModelError
from ..net import Net
from .folder import write_graph, write_safetensors
from .lower import Inputs, Lowering, NotAny, _dtype
from .parity import parity
from .trace import ADVICE, Trace, trace

SCHEMA = 1
COUNTERS = "num_batches_tracked"  # torch's norms count with it, and read it without momentum only


class Graph:
    """The two graphs of a module and its loss. data: graph.json; values: the tensors of
    weights.safetensors; batch: the example's tensors by input name; notes: for people."""

    def __init__(self, net: Net, loss_fn: Callable, batch: Any, scores: bool) -> None:
        self.net, self.loss_fn, self.example = net, loss_fn, batch
        self.batch = _named(batch)
        self.size = trees.count(batch)
        self.notes: list[str] = []
        traces = [trace(net.module, loss_fn, batch, True, False),
                  trace(net.module, loss_fn, batch, False, scores)]  # fmt: skip
        try:
            self._build(traces)
        except NotAny as e:
            if not all(t.any for t in traces):
                raise ModelError(f"{e}; {ADVICE}") from e
            again = [trace(net.module, loss_fn, batch, not i, bool(i and scores), dynamic=False)
                     for i in range(2)]  # fmt: skip
            self.notes.append(f"batch: holds for {self.size} examples only ({e})")
            self._build(again)
        self.notes += sorted({t.note for t in traces if t.note})

    def _build(self, traces: list[Trace]) -> None:
        train, evaluate = traces
        self.any = train.any and evaluate.any
        if train.any != evaluate.any:
            raise NotAny("training and evaluation mode differ in what sizes they allow")
        self.inputs = Inputs()
        self.next = _mutations(train)
        self._declare()
        self.data = {
            "drmad_graph": SCHEMA,
            "producer": f"drmad {VERSION}, torch {torch.__version__.partition('+')[0]}",
            "dtype": _dtype("parameters", self.net.slots[0].value),
            "batch": {"size": self.size, "any": self.any},
            "inputs": [],
            "train": self._graph(train),
            "evaluate": self._graph(evaluate),
        }
        self._drop_unused()

    # ---- inputs ----

    def _declare(self) -> None:
        """Batch, parameters and the buffers that training changes, in the file's order."""
        add = self.inputs.entries
        for name, t in self.batch.items():
            shape = list(t.shape)
            if self.any and t.dim() and len(t) == self.size:
                shape[0] = ["batch", 1]
            label = t.dtype == torch.int64 and t.dim() == 1 and len(self.batch) > 1
            add[name] = {"name": name, "role": "label" if label else "batch",
                         "dtype": _dtype(name, t), "shape": shape}  # fmt: skip
        for slot, t in zip(self.net.slots, self.net.tensors()):
            name = f"p.{t.name}"
            add[name] = {"name": name, "role": "parameter", "full": t.name, "kind": t.role,
                         "layer": t.layer, "dtype": _dtype(t.name, slot.value),
                         "shape": list(t.shape)}  # fmt: skip
            self.inputs.values[t.name] = slot.value.detach().clone()
        for full in self.next:
            value = self._buffer(full)
            name = f"b.{full}"
            add[name] = {"name": name, "role": "buffer", "full": full,
                         "dtype": _dtype(full, value), "shape": list(value.shape)}  # fmt: skip
            self.inputs.values[full] = value

    def _buffer(self, full: str) -> torch.Tensor:
        owner, key = self.net.buffers[full]
        return owner[key].detach().clone()

    def _placeholders(self, t: Trace) -> dict[str, str]:
        """torch's placeholder -> our input. Tied weights have one, whatever name torch uses."""
        tied = {id(p): s.name for s in self.net.slots for p in [s.value]}
        modules = dict(self.net.module.named_modules(remove_duplicate=False))
        out, left = {}, list(self.batch)
        for spec in t.program.graph_signature.input_specs:
            kind, target = spec.kind.name, (spec.target or "").removeprefix("model.")
            if kind == "USER_INPUT":
                out[spec.arg.name] = left.pop(0)
            elif kind == "PARAMETER":
                path, _, key = target.rpartition(".")
                p = modules[path]._parameters[key]
                frozen = id(p) not in tied
                out[spec.arg.name] = (self.inputs.constant(p.detach().clone(), target) if frozen
                                      else f"p.{tied[id(p)]}")  # fmt: skip
            elif kind == "BUFFER" and target in self.next:
                out[spec.arg.name] = f"b.{target}"
            elif kind == "BUFFER":
                if target.endswith(COUNTERS):
                    continue
                value = t.program.constants.get(spec.target)
                value = self._buffer(target) if value is None else value
                out[spec.arg.name] = self.inputs.constant(value, target)
            elif kind == "CONSTANT_TENSOR":
                out[spec.arg.name] = self.inputs.constant(t.program.constants[spec.target])
            else:
                raise ModelError(f"torch.export: an input of kind {kind}; {ADVICE}")
        return out

    # ---- graphs ----

    def _graph(self, t: Trace) -> dict:
        low = Lowering(t, self.inputs, self._placeholders(t))
        outs = low.run()
        specs = t.program.graph_signature.output_specs
        user, buffers = [], {}
        for spec, out in zip(specs, outs):
            kind, target = spec.kind.name, (spec.target or "").removeprefix("model.")
            if kind == "BUFFER_MUTATION":
                if target in self.next:
                    buffers[target] = low.name_of(out)
            elif kind == "USER_INPUT_MUTATION":
                raise ModelError(f"loss_fn: changes its batch in place; {ADVICE}")
            else:
                user.append(out)
        graph = {"nodes": low.nodes, "loss": low.name_of(user[0]),
                 "scores": low.name_of(user[1]) if len(user) > 1 else None}  # fmt: skip
        if self.next and buffers:
            graph["buffers"] = buffers
        elif t is not None and buffers != {}:
            raise ModelError("a buffer changes in evaluation mode")
        _sweep(graph)
        return graph

    def _drop_unused(self) -> None:
        """Constants that no node uses any more are not written."""
        used = {x for g in ("train", "evaluate") for n in self.data[g]["nodes"] for x in n["in"]
                if isinstance(x, str)}  # fmt: skip
        for name, e in list(self.inputs.entries.items()):
            if e["role"] == "constant" and name not in used:
                del self.inputs.entries[name], self.inputs.values[e["full"]]
        self.data["inputs"] = list(self.inputs.entries.values())


def _named(batch: Any) -> dict[str, torch.Tensor]:
    """The batch's tensors under names: keys of mappings, places of tuples."""
    out: dict[str, torch.Tensor] = {}
    keys = list(batch) if isinstance(batch, Mapping) else None
    tensors = [t for t in trees.leaves(batch) if isinstance(t, torch.Tensor)]
    for i, t in enumerate(tensors):
        simple = keys is not None and len(keys) == len(tensors) and isinstance(keys[i], str)
        name = f"batch.{keys[i]}" if simple and keys else f"batch.{i}"
        out[name] = t
    return out


def _mutations(t: Trace) -> list[str]:
    """Buffers that a training step changes, without torch's counters."""
    out = []
    for spec in t.program.graph_signature.output_specs:
        if spec.kind.name == "BUFFER_MUTATION":
            full = spec.target.removeprefix("model.")
            if not full.endswith(COUNTERS):
                out.append(full)
    return out


def _sweep(graph: dict) -> None:
    """Keeps what the outputs need."""
    outputs = graph.get("buffers", {}).values()
    needed = {graph["loss"], graph["scores"], *(name.partition(":")[0] for name in outputs)}
    kept = []
    for n in reversed(graph["nodes"]):
        if n["name"] in needed:
            kept.append(n)
            needed.update(x for x in n["in"] if isinstance(x, str))
    graph["nodes"] = kept[::-1]


class Exported:
    """A written folder. notes: what people should know."""

    def __init__(self, path: pathlib.Path, graph: Graph) -> None:
        self.path, self.graph, self.notes = path, graph, graph.notes


def export_graph(model: nn.Module | Callable, loss_fn: Callable, batch: Any,
                 path: str | os.PathLike, *, seed: int = 1) -> Exported:  # fmt: skip
    """Writes graph.json, weights.safetensors and parity.safetensors into the folder `path`.

    model    a Module, or a factory without arguments
    loss_fn  (model, batch) -> mean loss, or one loss an example
    batch    an example, of as many examples as a step has

    ModelError for what is not imported, with its module."""
    net = Net(model, seed)
    graph = Graph(net, loss_fn, batch, _scores(net, batch))
    numbers = parity(graph)
    folder = pathlib.Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    write_safetensors(folder / "weights.safetensors", graph.inputs.values)
    write_safetensors(folder / "parity.safetensors", numbers)
    write_graph(folder / "graph.json", graph.data)
    return Exported(folder, graph)


def _scores(net: Net, batch: Any) -> bool:
    """Whether batches are (inputs, labels) and the module scores classes."""
    if not isinstance(batch, (tuple, list)) or len(batch) != 2:
        return False
    x, y = batch
    if not isinstance(y, torch.Tensor) or y.dtype != torch.int64 or y.dim() != 1:
        return False
    try:
        with torch.no_grad():
            scores = net.mode(False)(x)
    except Exception:  # it wants something else of the batch
        return False
    fits = isinstance(scores, torch.Tensor) and scores.dim() == 2 and len(scores) == len(y)
    return fits and scores.is_floating_point()
