"""What a folder holds, from a model, a loss and one batch."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from .. import trees
from .._abi import VERSION
from ..errors import ModelError
from ..net import Net
from ..probe import check_parameters
from ..seeds import one_at_a_time
from .folder import write_graph, write_safetensors
from .lower import Inputs, Lowering, NotAny
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
        try:
            self._build(scores, dynamic=True)
        except NotAny as e:
            self.notes = [f"batch: holds for {self.size} examples only ({e})"]
            self._build(scores, dynamic=False)

    def _build(self, scores: bool, dynamic: bool) -> None:
        """Training first: its trace says which buffers a step changes."""
        train = trace(self.net.module, self.loss_fn, self.example, True, dynamic)
        self.any = train.any
        self.inputs = Inputs(self.net.slots[0].value.dtype)
        self.next = _mutations(train)
        self._declare()
        self.train = self._graph(train, True)
        evaluate = trace(self.net.module, self.loss_fn, self.example, False, self.any, scores)
        if evaluate.any != self.any:
            raise NotAny("evaluation mode takes one size")
        self.evaluate = self._graph(evaluate, False)
        self._find_labels()
        self._drop_unused()
        self.notes += [train.note] if train.note else []
        self.data = {
            "drmad_graph": SCHEMA,
            "producer": f"drmad {VERSION}, torch {torch.__version__.partition('+')[0]}",
            "dtype": self.inputs.dtype("parameters", self.inputs.real),
            "batch": {"size": self.size, "any": self.any},
            "inputs": list(self.inputs.entries.values()),
            "train": self.train,
            "evaluate": self.evaluate,
        }

    # ---- inputs ----

    def _declare(self) -> None:
        """Batch, parameters and the buffers that training changes, in the file's order."""
        add = self.inputs.declare
        for name, t in self.batch.items():
            shape = add(name, "batch", t)["shape"]
            if self.any and t.dim() and len(t) == self.size:
                shape[0] = ["batch", 1]
            if t.dtype == torch.bool:
                raise ModelError(f"{name}: truth values are not imported; give 0.0 and 1.0")
        for slot, known in zip(self.net.slots, self.net.tensors()):
            e = add(f"p.{known.name}", "parameter", slot.value, known.name)
            e.update(kind=known.role, layer=known.layer)
        for full in self.next:
            if not self.buffer(full).is_floating_point():
                raise ModelError(f"buffer {full}: a counter that a step changes is not imported; "
                                 f"{ADVICE}")  # fmt: skip
            add(f"b.{full}", "buffer", self.buffer(full), full)

    def buffer(self, full: str) -> torch.Tensor:
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
                value = self.buffer(target) if value is None else value
                out[spec.arg.name] = self.inputs.constant(value, target)
            elif kind == "CONSTANT_TENSOR":
                out[spec.arg.name] = self.inputs.constant(t.program.constants[spec.target])
            else:
                raise ModelError(f"torch.export: an input of kind {kind}; {ADVICE}")
        return out

    # ---- graphs ----

    def _graph(self, t: Trace, training: bool) -> dict:
        low = Lowering(t, self.inputs, self._placeholders(t))
        outs = low.run()
        graph: dict[str, Any] = {"nodes": low.nodes, "loss": None, "scores": None}
        for spec, out in zip(t.program.graph_signature.output_specs, outs):
            kind, full = spec.kind.name, (spec.target or "").removeprefix("model.")
            if kind == "USER_INPUT_MUTATION":
                raise ModelError(f"loss_fn: changes its batch in place; {ADVICE}")
            if kind == "USER_OUTPUT" and graph["loss"] is None:
                graph["loss"] = low.mean_of(low.name_of(out))
            elif kind == "USER_OUTPUT":
                graph["scores"] = low.name_of(out)
            elif not training and not full.endswith(COUNTERS):
                raise ModelError(f"buffer {full}: changes in evaluation mode; {ADVICE}")
            elif full in self.next:
                graph.setdefault("buffers", {})[full] = low.name_of(out)
        _sweep(graph)
        if training:
            _refuse_state(graph)
        return graph

    def _find_labels(self) -> None:
        """The one input of whole numbers that the loss compares with."""
        sources = set()
        for graph in (self.train, self.evaluate):
            by_name = {n["name"]: n for n in graph["nodes"]}
            for n in graph["nodes"]:
                if n["op"] in ("nll_loss_forward", "gather"):
                    sources.add(_source(n["in"][1], by_name))
        labels = [n for n in sources if self.inputs.entries.get(n, {}).get("role") == "batch"]
        if len(labels) == 1 and not self._reads(labels[0], "embedding"):
            self.inputs.entries[labels[0]]["role"] = "label"

    def _reads(self, name: str, op: str) -> bool:
        """Whether `op` takes the input, as it is or in parts."""
        nodes = self.train["nodes"]
        by_name = {n["name"]: n for n in nodes}
        return any(name in (_source(x, by_name) for x in n["in"]) for n in nodes if n["op"] == op)

    def _drop_unused(self) -> None:
        """Constants that no node uses any more are not written."""
        used = {x for g in (self.train, self.evaluate) for n in g["nodes"] for x in n["in"]}
        for name, e in list(self.inputs.entries.items()):
            if e["role"] == "constant" and name not in used:
                del self.inputs.entries[name], self.inputs.values[e["full"]]


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


MOVES = ("view", "permute", "slice", "select", "_to_copy", "expand")


def _source(name: Any, by_name: dict[str, dict]) -> Any:
    """What a tensor is a part of, or another form of."""
    while name in by_name and by_name[name]["op"] in MOVES:
        name = by_name[name]["in"][0]
    return name


def _refuse_state(graph: dict) -> None:
    """The loss of a training step must not read what steps leave behind."""
    needed = {graph["loss"]}
    for n in reversed(graph["nodes"]):
        if n["name"] in needed:
            norm = n["op"] == "native_batch_norm" and n["attr"]["training"]
            needed.update(x for x in n["in"][: 3 if norm else None] if isinstance(x, str))
    read = sorted(x for x in needed if x.startswith("b."))
    if read:
        raise ModelError(
            f"buffer {read[0][2:]}: a training step changes it and the training loss reads it; "
            "such state cannot be tuned through, keep it out of the loss or make it a constant"
        )


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


@dataclass(frozen=True)
class Exported:
    """A written folder. inputs: names of the batch's tensors, in their order; buffers: full names
    of those that training changes; data: graph.json; notes: what people should know."""

    path: pathlib.Path
    inputs: list[str]
    buffers: list[str]
    data: dict
    notes: list[str]


def export_graph(model: nn.Module | Callable, loss_fn: Callable, batch: Any,
                 path: str | os.PathLike, *, seed: int = 1) -> Exported:  # fmt: skip
    """Writes graph.json, weights.safetensors and parity.safetensors into the folder `path`.

    model    a Module, or a factory without arguments
    loss_fn  (model, batch) -> mean loss, or one loss an example
    batch    an example, of as many examples as a step has

    ModelError for what is not imported, with its module."""
    with one_at_a_time:  # torch.export and the switches around it are the process's
        net = Net(model, seed)
        check_parameters(net, net.tensors())
        graph = Graph(net, loss_fn, batch, _scores(net, batch))
        numbers = parity(graph)
    folder = pathlib.Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    write_safetensors(folder / "weights.safetensors", graph.inputs.values)
    write_safetensors(folder / "parity.safetensors", numbers)
    write_graph(folder / "graph.json", graph.data)
    return Exported(folder, list(graph.batch), graph.next, graph.data, graph.notes)


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
