"""From torch's graph to ours: names, shapes, roles; constants folded, no-ops dropped.

A node names its operands, which come before it. What an operation's arguments are called and which
of them are operands is table.py's business."""

from __future__ import annotations

import json
import math
import operator
from dataclasses import dataclass, field
from typing import Any

import torch

from ..errors import ModelError
from . import table
from .fx import Ignored, arguments, base, module_of
from .trace import ADVICE, Trace

HALF = (torch.float16, torch.bfloat16)
WHOLE = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
NAMES = {torch.float32: "f32", torch.float64: "f64", torch.int64: "i64", torch.bool: "bool"}
MASKED = -1e30  # stands for -inf: e to it is 0 in every type, and 0 times it is no NaN


@dataclass
class Inputs:
    """What both graphs start from. real: the one type of real numbers, the parameters'; entries:
    the file's inputs by name; values: tensors of weights.safetensors by full name; constants:
    values by name."""

    real: torch.dtype
    entries: dict[str, dict] = field(default_factory=dict)
    values: dict[str, torch.Tensor] = field(default_factory=dict)
    constants: dict[str, torch.Tensor] = field(default_factory=dict)

    def kind(self, what: str, dtype: torch.dtype) -> torch.dtype:
        """What stands for a type of torch's: the one real type, int64 or bool."""
        if dtype in HALF:
            raise ModelError(f"{what}: {dtype}; half precision loses the digits of a "
                             "hypergradient, compute in float32")  # fmt: skip
        if dtype in (torch.float32, torch.float64):
            return self.real
        if dtype in WHOLE:
            return torch.int64
        if dtype != torch.bool:
            raise ModelError(f"{what}: {dtype} is not imported; {ADVICE}")
        return dtype

    def dtype(self, what: str, dtype: torch.dtype) -> str:
        """The file's word for it."""
        return NAMES[self.kind(what, dtype)]

    def declare(self, name: str, role: str, x: torch.Tensor, full: str | None = None) -> dict:
        """A new input; with `full`, its value goes into the weights."""
        what = full or name
        e = {"name": name, "role": role, "dtype": self.dtype(what, x.dtype),
             "shape": list(x.shape)}  # fmt: skip
        if full is not None:
            e["full"] = full
            self.values[full] = x.detach().to(self.kind(what, x.dtype)).clone()
        self.entries[name] = e
        return e

    def constant(self, value: torch.Tensor, full: str | None = None) -> str:
        """The name of a constant of this value; one for all that are equal."""
        for name, x in self.constants.items():
            if x.dtype == value.dtype and x.shape == value.shape and torch.equal(x, value):
                return name
        full = full or f"constant.{len(self.constants)}"
        name = f"c.{full}"
        self.constants[name] = value
        self.declare(name, "constant", value, full)
        return name


class NotAny(Exception):
    """A size that is no multiple of the batch: the graph holds for one batch size only."""


class Lowering:
    """One graph. placeholders: torch's name -> ours; values: of those that are constants."""

    def __init__(self, trace: Trace, inputs: Inputs, placeholders: dict[str, str]) -> None:
        self.trace, self.inputs = trace, inputs
        self.nodes: list[dict] = []
        self.names: dict[Any, str] = {}  # fx node -> the name that stands for it
        self.fixed: dict[Any, torch.Tensor] = {}  # fx node -> its value, where that is known
        self.seen: dict[str, str] = {}
        self.shapes = {n: e["shape"] for n, e in inputs.entries.items()}
        self.placeholders = placeholders
        self.dropped: set[Any] = set()  # counters, and what is computed from them alone
        self.norms: dict[Any, str] = {}  # fx node of a batch norm -> ours
        self.ignored = Ignored(trace.program.graph)
        self.module = ""

    def run(self) -> list[Any]:
        """Goes through the graph; gives the fx nodes of its outputs."""
        for n in self.trace.program.graph.nodes:
            if n.op == "placeholder":
                name = self.placeholders.get(n.name)
                if name in self.inputs.constants:
                    self.fixed[n] = self.inputs.constants[name]
                elif name is not None:
                    self.names[n] = name
                else:
                    self.dropped.add(n)
            elif n.op == "call_function":
                self.module = module_of(n)
                self._call(n)
            elif n.op == "output":
                return list(n.args[0])
            else:
                raise self._refuse(f"{n.op} {n.target}")
        raise self._refuse("a graph without outputs")

    # ---- what an fx node is ----

    def _refuse(self, what: str, why: str = "is not imported") -> ModelError:
        at = f"module {self.module!r}: " if self.module else ""
        return ModelError(f"{at}{what} {why}; {ADVICE}")

    def size(self, x: Any) -> Any:
        """A number of the file: k, or ["batch", k]."""
        if not isinstance(x, torch.SymInt):
            return int(x)
        expr = x.node.expr
        symbols = list(expr.free_symbols)
        if not symbols:
            return int(expr)
        if len(symbols) == 1:
            k = expr.coeff(symbols[0])
            if k.is_Integer and expr - k * symbols[0] == 0:
                return ["batch", int(k)]
        raise NotAny(f"module {self.module!r}: the size {expr}")

    def dtype(self, what: str, n: Any) -> str:
        at = f"module {self.module!r}: {what}" if self.module else what
        return self.inputs.dtype(at, n.meta["val"].dtype)

    def shape(self, n: Any) -> list:
        return [self.size(s) for s in n.meta["val"].shape]

    def _call(self, n: Any) -> None:
        val = n.meta.get("val")
        if isinstance(val, (torch.SymInt, int)):
            return  # a size: its users read it off their own shapes
        if self.dropped.intersection(n.all_input_nodes):
            self.dropped.add(n)
            return
        if n.target is operator.getitem:
            self._output(n, *n.args)
            return
        name = base(n)
        if isinstance(val, (tuple, list)):
            if not name or name not in MANY:
                raise self._refuse(name or str(n.target))
            return  # its outputs come one by one
        if val is None and name.startswith(("_assert", "sym_constrain")):
            return  # checked while it was traced
        if not isinstance(val, torch.Tensor):
            raise self._refuse(str(n.target), f"gives {type(val).__name__}, which is not imported")
        if self._folds(n, name) or self.ignored.takes(n, name):
            return
        self._one(n, name)

    def _folds(self, n: Any, name: str) -> bool:
        """Whether all that goes in is known: then it is computed now."""
        used = n.all_input_nodes
        if name in table.RANDOM or any(u not in self.fixed for u in used):
            return False
        if any(isinstance(s, torch.SymInt) for s in n.meta["val"].shape):
            return False
        args = torch.fx.node.map_arg((n.args, n.kwargs), lambda u: self.fixed[u])
        with torch.no_grad():
            self.fixed[n] = n.target(*args[0], **args[1])
        return True

    def _one(self, n: Any, name: str) -> None:
        a = arguments(n)
        if name in table.ALIASES:
            self._same(n, a["self"])
        elif name == "where" and self._ignores(n, a):
            self._same(n, a["other"])
        elif name == "div" and a["other"] in self.ignored.counts:
            self._mean(n, a["self"], a["other"])
        elif name in table.RESHAPES:
            self._emit(n, "view", [a["self"]], {})
        elif name in table.FILLS:
            value = table.VALUE_OF_FILL.get(name, a.get("fill_value", a.get("s")))
            self._emit(n, "full", [], {"value": _finite(value)})
        elif name == "_to_copy":
            self._cast_to(n, a["self"])
        elif name in table.ELEMENTWISE:
            self._elementwise(n, name, a)
        elif name == "_safe_softmax":
            self._safe_softmax(n, a)
        elif name == "linalg_vector_norm":
            self._norm(n, a)
        elif name == "detach":
            raise self._refuse("detach", "stops the gradient, which is not imported")
        elif name in table.OTHERS:
            self._other(n, name, a)
        elif name in table.RANDOM:
            raise self._refuse(name, "draws random numbers: only dropout is imported")
        else:
            raise self._refuse(name or str(n.target))

    def _same(self, n: Any, of: Any) -> None:
        if of in self.fixed:
            self.fixed[n] = self.fixed[of]
        else:
            self.names[n] = self.names[of]

    def _cast_to(self, n: Any, of: Any) -> None:
        if self.dtype("cast", of) == self.dtype("cast", n):
            self._same(n, of)
        else:
            self._emit(n, "_to_copy", [of], {})

    def _elementwise(self, n: Any, name: str, a: dict) -> None:
        self._only(name, a)
        count = table.ELEMENTWISE[name]
        operands, alpha = list(a.values())[:count], a.get("alpha", 1)
        kind = n.meta["val"].dtype
        if name in table.COMPARISONS or name.startswith("logical"):
            kind = _common(operands)
        typed = operands[1:] if name == "where" else operands
        typed = [self._typed(n, i, x, kind) for i, x in enumerate(typed)]
        if name == "where":
            tensors = [self._tensor(x, kind) for x in typed]
            self._emit(n, name, [operands[0], *tensors], {})
        elif count == 2 and name not in ("maximum", "minimum"):
            self._binary(n, name, typed, alpha)
        else:
            self._emit(n, name, [self._tensor(x, kind) for x in typed], {})

    def _binary(self, n: Any, name: str, operands: list, alpha: Any) -> None:
        """A number stands in "other", and the operand before it is the tensor."""
        a, b = (self._ready(x, name) for x in operands)
        attr = {} if alpha == 1 else {"alpha": _finite(alpha)}
        if not isinstance(a, str) and name == "div":
            name, a, b = "mul", self._emit_at(f"{n.name}.r", n, "reciprocal", [b], {}), a
        elif not isinstance(a, str):
            if name not in table.MIRRORED or attr:
                raise self._refuse(f"{name} of a number and a tensor")
            name, a, b = table.MIRRORED[name], b, a
        if isinstance(b, str):
            if name == "pow":
                raise self._refuse("pow with an exponent that is computed")
            self._emit(n, name, [Ready(a), Ready(b)], attr)
        else:
            self._emit(n, name, [Ready(a)], {"exponent" if name == "pow" else "other": b, **attr})

    def _emit_at(self, name: str, n: Any, op: str, ins: list, attr: dict) -> str:
        """One more node of the shape and type of `n`."""
        return self._add(name, op, ins, attr, self.shape(n), self.dtype(op, n))

    def _tensor(self, x: Any, kind: torch.dtype) -> Any:
        """A number as a constant of rank 0."""
        x = self._ready(x, "where")
        if isinstance(x, str):
            return Ready(x)
        if isinstance(x, list):
            raise NotAny(f"module {self.module!r}: the batch size as a number")
        return Ready(self.inputs.constant(torch.tensor(x, dtype=kind)))

    def _typed(self, n: Any, i: int, x: Any, kind: torch.dtype) -> Any:
        """An operand in the type that is computed in: a cast of its own where it has another."""
        if not isinstance(x, torch.fx.Node) or isinstance(x.meta["val"], (torch.SymInt, int)):
            return x
        if x in self.fixed:
            return Ready(self._constant(self.fixed[x].to(kind)))
        if self.dtype("cast", x) == self.inputs.dtype("cast", kind):
            return x
        name = f"{n.name}.cast{i}"
        return Ready(self._add(name, "_to_copy", [self.names[x]], {}, self.shape(x),
                               self.inputs.dtype("cast", kind)))

    def _norm(self, n: Any, a: dict) -> None:
        """The root of a sum of squares."""
        if a["ord"] != 2 or a["dtype"] is not None:
            raise self._refuse(f"linalg_vector_norm(ord={a['ord']}, dtype={a['dtype']})")
        x, of = self._ready(a["self"], "norm"), a["self"]
        square = self._add(f"{n.name}.square", "mul", [x, x], {}, self.shape(of),
                           self.dtype("norm", of))  # fmt: skip
        attr = self._tidy("sum", n, [of], {"dim": a["dim"], "keepdim": a["keepdim"]})
        total = self._emit_at(f"{n.name}.sum", n, "sum", [square], attr)
        self._emit(n, "sqrt", [Ready(total)], {})

    def _safe_softmax(self, n: Any, a: dict) -> None:
        """A softmax that gives 0 where a whole row is -inf: the same where no row is."""
        if not self._has_no_empty_row(a["self"]):
            raise self._refuse("scaled_dot_product_attention", "with a mask that is computed")
        self._emit(n, "_softmax", [a["self"]], {"dim": a["dim"] % len(n.meta["val"].shape)})

    def _has_no_empty_row(self, x: Any) -> bool:
        """Scores, or scores plus a mask that is known and leaves something in every row."""
        if not isinstance(x, torch.fx.Node) or base(x) != "add":
            return True
        masks = [self.fixed[o] for o in x.args[:2] if o in self.fixed]
        return len(masks) == 1 and bool((masks[0] > -math.inf).any(-1).all())

    def _other(self, n: Any, name: str, a: dict) -> None:
        tensors, attributes = table.OTHERS[name]
        ins = list(a[tensors[0]]) if name == "cat" else [a[t] for t in tensors]
        self._only(name, a)
        attr = self._tidy(name, n, ins, {k: a[k] for k in attributes if k in a})
        if name == "sum":
            ins = [self._typed(n, 0, ins[0], n.meta["val"].dtype)]
        if name == "slice" and self.shape(n) == self.shape(ins[0]):
            self._same(n, ins[0])
        elif name == "gather":
            self._gather(n, ins[0], ins[1], attr["dim"])
        else:
            self._emit(n, name, ins[:2] if ins[2:] == [None] and name.startswith("nll") else ins,
                       attr)

    def _ignores(self, n: Any, a: dict) -> bool:
        of = a["other"]
        return a["condition"] in self.ignored.never and of.meta["val"].shape == n.meta["val"].shape

    def _mean(self, n: Any, total: Any, count: Any) -> None:
        """A sum over the examples that count, which are all."""
        x, counted = total.args[0], self.ignored.counts[count]
        if base(total) != "sum" or self.shape(total) or self.shape(x) != self.shape(counted):
            raise self._refuse("div by the number of examples that are not ignored")
        self._emit(n, "mean", [x], {"dim": list(range(len(self.shape(x)))), "keepdim": False})

    def _by_label(self, n: Any, of: Any, index: Any) -> None:
        """of [k] at each index: rows that are all the same, and one element of each."""
        k, shape = self.shape(of)[0], self.shape(index)
        rows, dtype = _product(shape), self.dtype("gather", of)
        x = self._add(f"{n.name}.r", "view", [self._ready(of, "gather")], {}, [1, k], dtype)
        x = self._add(f"{n.name}.x", "expand", [x], {}, [rows, k], dtype)
        i = self._add(f"{n.name}.i", "view", [self._ready(index, "gather")], {}, [rows, 1], "i64")
        got = self._add(f"{n.name}.got", "gather", [x, i], {"dim": 1}, [rows, 1], dtype)
        self._emit(n, "view", [Ready(got)], {})

    def _gather(self, n: Any, of: Any, index: Any, dim: int) -> None:
        """One element of each row: of a matrix, as the library has it."""
        shape = self.shape(of)
        if len(shape) == 1:
            self._by_label(n, of, index)
            return
        if dim != len(shape) - 1 or self.shape(index) != [*shape[:-1], 1]:
            raise self._refuse("gather", "of other than one element of each last row")
        if len(shape) == 2:
            self._emit(n, "gather", [of, index], {"dim": 1})
            return
        rows, dtype = _product(shape[:-1]), self.dtype("gather", of)
        x = self._add(f"{n.name}.x", "view", [self._ready(of, "gather")], {},
                      [rows, shape[-1]], dtype)  # fmt: skip
        i = self._add(f"{n.name}.i", "view", [self._ready(index, "gather")], {}, [rows, 1], "i64")
        got = self._add(f"{n.name}.got", "gather", [x, i], {"dim": 1}, [rows, 1], dtype)
        self._emit(n, "view", [Ready(got)], {})

    def _nll2d(self, n: Any, a: dict) -> None:
        """Classes in dimension 1, then pixels: the same over rows of classes."""
        self._only("nll_loss_forward", a)
        shape, dtype = self.shape(a["self"]), self.dtype("nll_loss", a["self"])
        pixels = [shape[0], *shape[2:]]
        rows = _product(pixels)
        x, y = self._ready(a["self"], "nll_loss"), self._ready(a["target"], "nll_loss")
        x = self._add(f"{n.name}.p", "permute", [x], {"dims": [0, 2, 3, 1]},
                      [*pixels, shape[1]], dtype)  # fmt: skip
        x = self._add(f"{n.name}.x", "view", [x], {}, [rows, shape[1]], dtype)
        y = self._add(f"{n.name}.y", "view", [y], {}, [rows], "i64")
        attr = {"reduction": a["reduction"]}
        weight = [] if a["weight"] is None else [self._ready(a["weight"], "nll_loss")]
        if a["reduction"] != 0:
            self._emit(n, "nll_loss_forward", [Ready(o) for o in (x, y, *weight)], attr)
            return
        got = self._add(f"{n.name}.l", "nll_loss_forward", [x, y, *weight], attr, [rows], dtype)
        self._emit(n, "view", [Ready(got)], {})

    def _only(self, name: str, a: dict) -> None:
        for key, values in table.ONLY.get(name, {}).items():
            if key in a and a[key] not in values:
                what = "..." if isinstance(a[key], torch.fx.Node) else repr(a[key])
                raise self._refuse(f"{name}({key}={what})")
        if name.startswith("nll_loss") and a["ignore_index"] >= 0:
            raise self._refuse(f"{name}(ignore_index={a['ignore_index']})")
        if a.get("dtype") is not None and name in ("sum", "mean"):
            if a["dtype"] != a["self"].meta["val"].dtype:
                raise self._refuse(f"{name}(dtype={a['dtype']})")

    def _tidy(self, name: str, n: Any, ins: list, attr: dict) -> dict:
        """Dimensions from 0, all of them said; sizes as the file has them."""
        first = ins[0].meta["val"]
        rank = first.dim()
        if name in ("mean", "sum", "var", "amax", "logsumexp"):
            dims = attr.get("dim")
            dims = list(range(rank)) if dims is None or dims == [] else list(dims)
            attr["dim"] = sorted(d % rank for d in dims)
            attr["keepdim"] = bool(attr.get("keepdim", False))
            if name == "var":
                correction = attr.get("correction")
                attr["correction"] = 1 if correction is None else _finite(correction)
        elif "dim" in attr:
            attr["dim"] = attr["dim"] % rank
        if "dims" in attr:
            attr["dims"] = [d % rank for d in attr["dims"]]
        if name == "slice":
            size, length = first.shape[attr["dim"]], n.meta["val"].shape[attr["dim"]]
            attr["start"] = self._begin(attr.get("start"), size)
            attr["end"] = length if isinstance(length, torch.SymInt) else (
                attr["start"] + (int(length) - 1) * attr["step"] + 1)  # fmt: skip
        if name == "convolution" and not attr["transposed"]:
            del attr["transposed"], attr["output_padding"]
        if name == "select":
            attr["index"] = self._begin(attr["index"], first.shape[attr["dim"]])
        if name == "max_pool2d_with_indices" or name == "avg_pool2d":
            attr["stride"] = attr["stride"] or attr["kernel_size"]
        return {k: self._plain(v) for k, v in attr.items()}

    def _begin(self, start: Any, size: Any) -> int:
        start = 0 if start is None else start
        if isinstance(start, torch.fx.Node):
            start = start.meta["val"]
        if isinstance(start, torch.SymInt) or (isinstance(size, torch.SymInt) and start < 0):
            raise NotAny(f"module {self.module!r}: a slice that depends on the batch size")
        return start + int(size) if start < 0 else int(start)

    def _plain(self, x: Any) -> Any:
        if isinstance(x, (list, tuple)):
            return [self._plain(v) for v in x]
        if isinstance(x, torch.fx.Node):
            x = x.meta["val"]
        if isinstance(x, torch.SymInt):
            return self.size(x)
        return _finite(x) if isinstance(x, float) else x

    # ---- one output of several ----

    def _output(self, n: Any, of: Any, index: int) -> None:
        name, a = base(of), arguments(of)
        if name in ("split", "split_with_sizes", "split_copy", "split_with_sizes_copy"):
            self._piece(n, of, a, index)
        elif name in ("unbind", "unbind_copy"):
            dim = a["dim"] % a["self"].meta["val"].dim()
            self._emit(n, "select", [a["self"]], {"dim": dim, "index": index})
        elif name in BATCH_NORMS:
            self._batch_norm(n, name, a, index)
        elif name == "var_mean":
            self._other(n, ("var", "mean")[index], a)
        elif name == "nll_loss2d_forward" and index == 0:
            self._nll2d(n, a)
        elif index == 0:
            if name == "native_dropout" and not a["train"]:
                self._same(n, a["input"])
            else:
                self._other(n, name, a)
        else:
            raise self._refuse(f"output {index} of {name}")

    def _piece(self, n: Any, of: Any, a: dict, index: int) -> None:
        dim = a["dim"] % a["self"].meta["val"].dim()
        sizes = [v.shape[dim] for v in of.meta["val"]]
        if any(isinstance(s, torch.SymInt) for s in sizes):
            raise NotAny(f"module {self.module!r}: a split of the batch")
        start = sum(sizes[:index])
        attr = {"dim": dim, "start": start, "end": start + sizes[index], "step": 1}
        self._emit(n, "slice", [a["self"]], attr)

    def _batch_norm(self, n: Any, name: str, a: dict, index: int) -> None:
        """The next statistics are further outputs of the node that norms."""
        training = BATCH_NORMS[name] if BATCH_NORMS[name] is not None else bool(a["training"])
        if index == 0:
            self._once(a.get("running_mean"))
            ins = [a["input"], a["weight"], a["bias"], a.get("running_mean"), a.get("running_var")]
            attr = {"training": training, "momentum": a["momentum"], "eps": a["eps"]}
            self._emit(n, "native_batch_norm", ins, attr)
            self.norms[n.args[0]] = self.names[n]
        elif training and index in (3, 4) and n.args[0] in self.norms:
            self.names[n] = f"{self.norms[n.args[0]]}:{index}"
        else:
            raise self._refuse(f"output {index} of {name}")

    def _once(self, statistics: Any) -> None:
        if statistics is not None and ":" in self.names.get(statistics, ""):
            raise self._refuse("a batch norm that is called twice in a step")

    # ---- nodes ----

    def name_of(self, n: Any) -> str:
        """The name of an output."""
        if n in self.names:
            return self.names[n]
        if n in self.dropped:
            raise ModelError(f"the loss or a buffer reads a counter of steps (batch norm with "
                             f"momentum=None does), which is not imported; {ADVICE}")  # fmt: skip
        raise ModelError(f"the output {n} depends on nothing that is trained; {ADVICE}")

    def mean_of(self, name: str) -> str:
        """The loss: of one number an example, their mean."""
        if len(self.shapes[name]) == 0:
            return name
        self.module = ""
        kind = self.inputs.dtype("loss", self.inputs.real)
        return self._add("loss.mean", "mean", [name], {"dim": [0], "keepdim": False}, [], kind)

    def _constant(self, value: torch.Tensor) -> Any:
        """A number where it is one, else the name of a constant."""
        if value.is_floating_point():
            value = torch.where(value == -math.inf, torch.full_like(value, MASKED), value)
        if value.dim() == 0:
            return _finite(value.item())
        return self.inputs.constant(value)

    def _ready(self, x: Any, op: str) -> Any:
        """An operand as the file has it: a name, a number, or null."""
        if isinstance(x, Ready):
            return x.value
        if isinstance(x, torch.fx.Node):
            if x in self.names:
                return self.names[x]
            if x in self.fixed:
                return self._constant(self.fixed[x])
            val = x.meta["val"]
            if isinstance(val, (torch.SymInt, int)):
                return self.size(val)
            raise self._refuse(f"{op} of {x.name}")
        return _finite(x) if isinstance(x, (int, float, bool)) else x

    def _emit(self, n: Any, op: str, ins: list, attr: dict) -> None:
        ready = [self._ready(x, op) for x in ins]
        self.names[n] = self._add(n.name, op, ready, attr, self.shape(n), self.dtype(op, n))

    def _add(self, name: str, op: str, ins: list, attr: dict, shape: list, dtype: str) -> str:
        """A new node, or the one that computes the same."""
        if op == "view" and self.shapes.get(ins[0]) == shape:
            return ins[0]
        key = json.dumps([op, ins, attr, shape, dtype])
        if op != "native_dropout" and key in self.seen:
            return self.seen[key]
        self.nodes.append({"name": name, "op": op, "in": ins, "attr": attr, "shape": shape,
                           "dtype": dtype, "module": self.module})  # fmt: skip
        self.seen[key] = name
        self.shapes[name] = shape
        return name


@dataclass(frozen=True)
class Ready:
    """An operand that is written already."""

    value: Any


MANY = ("split", "split_with_sizes", "split_copy", "split_with_sizes_copy", "unbind", "unbind_copy",
        "var_mean", "native_layer_norm", "native_group_norm", "max_pool2d_with_indices",
        "native_dropout", "nll_loss_forward", "nll_loss2d_forward", "native_batch_norm",
        "_native_batch_norm_legit_functional", "_native_batch_norm_legit",
        "_native_batch_norm_legit_no_training")  # fmt: skip
BATCH_NORMS = {
    "native_batch_norm": None,
    "_native_batch_norm_legit": None,
    "_native_batch_norm_legit_functional": None,
    "_native_batch_norm_legit_no_training": False,
}


def _finite(x: Any) -> Any:
    """A number that JSON has."""
    if isinstance(x, bool) or not isinstance(x, float) or math.isfinite(x):
        return x
    if x == -math.inf:
        return MASKED
    raise ModelError(f"the number {x} in a graph is not imported; {ADVICE}")


def _product(shape: list) -> Any:
    """The number of elements of a shape of the file."""
    numbers = math.prod(s[1] if isinstance(s, list) else s for s in shape)
    return ["batch", numbers] if any(isinstance(s, list) for s in shape) else numbers


def _common(operands: list) -> torch.dtype:
    """The type that operands are compared in."""
    values = [x.meta["val"] if isinstance(x, torch.fx.Node) else x for x in operands]
    if len(values) == 1:
        return values[0].dtype
    return torch.result_type(*values)
