"""The files of an exported graph: text and numbers, never code."""

from __future__ import annotations

import ctypes
import json
import os
import pathlib
import struct

import torch

# Whole numbers go as 32 bits and truth values as bytes: what the library reads.
TYPES = {torch.float64: "F64", torch.float32: "F32", torch.int32: "I32", torch.uint8: "U8"}
STORED = {torch.int64: torch.int32, torch.bool: torch.uint8}


def narrow(name: str, x: torch.Tensor) -> torch.Tensor:
    """As it is stored. ValueError for whole numbers beyond 32 bits and for other types."""
    if x.dtype == torch.int64 and x.numel():
        low, high = int(x.min()), int(x.max())
        if low < -(1 << 31) or high >= 1 << 31:
            raise ValueError(f"{name}: {low} to {high}; whole numbers must fit into 32 bits")
    x = x.to(STORED.get(x.dtype, x.dtype))
    if x.dtype not in TYPES:
        raise ValueError(f"{name}: {x.dtype}; a file holds {', '.join(TYPES.values())}")
    return x.detach().cpu().contiguous()


def write_safetensors(path: str | os.PathLike, tensors: dict[str, torch.Tensor]) -> None:
    """Whole or not at all; equal content gives equal bytes, in the reference writer's order."""
    kept = {name: narrow(name, x) for name, x in tensors.items()}
    order = sorted(kept, key=lambda n: (-kept[n].element_size(), n))
    head, end = {}, 0
    for name in order:
        x = kept[name]
        size = x.numel() * x.element_size()
        head[name] = {"dtype": TYPES[x.dtype], "shape": list(x.shape),
                      "data_offsets": [end, end + size]}  # fmt: skip
        end += size
    text = json.dumps(head, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with _whole(path) as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for name in order:
            x = kept[name]
            f.write(ctypes.string_at(x.data_ptr(), x.numel() * x.element_size()))


def write_graph(path: str | os.PathLike, graph: dict) -> None:
    """One input or node a line, so that people can read and compare it."""
    with _whole(path) as f:
        f.write(_lines(graph, 0).encode() + b"\n")


def _lines(x, depth: int) -> str:
    if isinstance(x, dict) and depth < 2:
        pad = " " * (depth + 1)
        inner = [f"{pad}{json.dumps(k)}: {_lines(v, depth + 1)}" for k, v in x.items()]
        return "{\n" + ",\n".join(inner) + "\n" + " " * depth + "}"
    if isinstance(x, list) and x and isinstance(x[0], dict):
        inner = ["  " + json.dumps(v, allow_nan=False) for v in x]
        return "[\n" + ",\n".join(inner) + "]"
    return json.dumps(x, allow_nan=False)


class _whole:
    """A file that is there when it is complete."""

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = pathlib.Path(path)
        self.part = self.path.with_name(self.path.name + ".part")

    def __enter__(self):
        self.file = open(self.part, "wb")
        return self.file

    def __exit__(self, kind, *_: object) -> None:
        with self.file:
            self.file.flush()
            os.fsync(self.file.fileno())
        if kind is None:
            self.part.replace(self.path)
        else:
            self.part.unlink()
