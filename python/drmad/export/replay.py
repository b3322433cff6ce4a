"""The graph as the file has it, computed by torch: what an exported folder means. Used to check an
export against the module it came from, and for the numbers that the library is checked against."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

TYPES = {"f32": torch.float32, "f64": torch.float64, "i64": torch.int64, "bool": torch.bool}
aten = torch.ops.aten


def sized(shape: list, batch: int) -> list[int]:
    """A shape of the file for `batch` examples."""
    return [s[1] * batch if isinstance(s, list) else s for s in shape]


def replay(
    nodes: list[dict], values: dict[str, torch.Tensor], batch: int, doubles: bool = False
) -> dict[str, torch.Tensor]:
    """The value of every node from those of the inputs, dropout left out; with `doubles` in float64
    what the file has in float32."""
    types = {**TYPES, "f32": torch.float64} if doubles else TYPES
    values = dict(values)
    for n in nodes:
        ins = [_operand(x, values, batch) for x in n["in"]]
        shape, dtype = sized(n["shape"], batch), types[n["dtype"]]
        y = _compute(n["op"], ins, n["attr"], shape, dtype)
        if list(y.shape) != shape or y.dtype != dtype:
            raise AssertionError(f"{n['name']}: {list(y.shape)} {y.dtype}, not {shape} {dtype}")
        values[n["name"]] = y
        if n["op"] == "native_batch_norm" and n["attr"]["training"] and n["in"][3]:
            values.update(statistics(n, values))
    return values


def _operand(x: Any, values: dict[str, torch.Tensor], batch: int) -> Any:
    if isinstance(x, str):
        return values[x]
    return x[1] * batch if isinstance(x, list) else x


def _compute(op: str, ins: list, attr: dict, shape: list, dtype: torch.dtype) -> torch.Tensor:
    if op in _SPECIAL:
        return _SPECIAL[op](ins, attr, shape, dtype)
    attr = dict(attr)
    ins = [*ins, *(attr.pop(k) for k in ("other", "exponent") if k in attr)]
    if op == "gelu":
        return F.gelu(ins[0], **attr)
    if op in ("relu", "silu", "hardtanh", "leaky_relu", "softplus"):
        return getattr(F, op)(ins[0], *attr.values())
    return getattr(torch, op)(*ins, **attr)


def _batch_norm(ins: list, attr: dict, shape: list, dtype: torch.dtype) -> torch.Tensor:
    x, weight, bias, mean, var = ins
    if attr["training"]:
        return F.batch_norm(x, None, None, weight, bias, True, 0.0, attr["eps"])
    return F.batch_norm(x, mean, var, weight, bias, False, 0.0, attr["eps"])


def statistics(n: dict, values: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The next running mean and variance of a batch norm, by the name of the output."""
    x, m = values[n["in"][0]], n["attr"]["momentum"]
    dims = [d for d in range(x.dim()) if d != 1]
    out = {}
    for k, before, now in ((3, n["in"][3], x.mean(dims)), (4, n["in"][4], x.var(dims))):
        out[f"{n['name']}:{k}"] = (1 - m) * values[before] + m * now
    return out


def _slice(ins: list, attr: dict, shape: list, dtype: torch.dtype) -> torch.Tensor:
    return aten.slice(ins[0], attr["dim"], attr["start"], attr["end"], attr["step"])


def _nll(ins: list, attr: dict, shape: list, dtype: torch.dtype) -> torch.Tensor:
    how = ("none", "mean", "sum")[attr["reduction"]]
    return F.nll_loss(ins[0], ins[1], weight=ins[2] if len(ins) > 2 else None, reduction=how)


def _convolution(ins: list, attr: dict, shape: list, dtype: torch.dtype) -> torch.Tensor:
    more = attr.get("transposed", False), attr.get("output_padding", [0])
    return aten.convolution(
        *ins, attr["stride"], attr["padding"], attr["dilation"], *more, attr["groups"]
    )


def _pool(ins: list, attr: dict, shape: list, dtype: torch.dtype) -> torch.Tensor:
    names = ("kernel_size", "stride", "padding", "dilation")
    return F.max_pool2d(ins[0], *(attr[k] for k in names))


_SPECIAL = {
    "view": lambda i, a, s, d: i[0].reshape(s),
    "expand": lambda i, a, s, d: i[0].expand(s),
    "full": lambda i, a, s, d: torch.full(s, a["value"], dtype=d),
    "_to_copy": lambda i, a, s, d: i[0].to(d),
    "permute": lambda i, a, s, d: i[0].permute(a["dims"]),
    "slice": _slice,
    "select": lambda i, a, s, d: i[0].select(a["dim"], a["index"]),
    "cat": lambda i, a, s, d: torch.cat(i, a["dim"]),
    "constant_pad_nd": lambda i, a, s, d: F.pad(i[0], a["pad"], value=a["value"]),
    "embedding": lambda i, a, s, d: F.embedding(i[1], i[0]),
    "gather": lambda i, a, s, d: torch.gather(i[0], a["dim"], i[1]),
    "addmm": lambda i, a, s, d: torch.addmm(*i, beta=a["beta"], alpha=a["alpha"]),
    "convolution": _convolution,
    "max_pool2d_with_indices": _pool,
    "avg_pool2d": lambda i, a, s, d: aten.avg_pool2d(
        i[0], a["kernel_size"], a["stride"], a["padding"], False, a["count_include_pad"],
        a["divisor_override"],
    ),
    "_adaptive_avg_pool2d": lambda i, a, s, d: F.adaptive_avg_pool2d(i[0], a["output_size"]),
    "native_layer_norm": lambda i, a, s, d: F.layer_norm(
        i[0], a["normalized_shape"], i[1], i[2], a["eps"]
    ),
    "native_group_norm": lambda i, a, s, d: F.group_norm(i[0], a["group"], i[1], i[2], a["eps"]),
    "native_batch_norm": _batch_norm,
    "native_dropout": lambda i, a, s, d: i[0],
    "_softmax": lambda i, a, s, d: torch.softmax(i[0], a["dim"]),
    "_log_softmax": lambda i, a, s, d: torch.log_softmax(i[0], a["dim"]),
    "nll_loss_forward": _nll,
    "elu": lambda i, a, s, d: aten.elu(i[0], *a.values()),
    "clamp": lambda i, a, s, d: torch.clamp(i[0], a["min"], a["max"]),
}
