"""Vectors on a device that the library cannot touch, as include/drmad/device.h has it: its memory
are torch tensors, its programs run as torch operations. The library keeps the loop.

A value of one element that lies in host memory (a rate) stays a tensor without dimensions there:
torch takes such a one as an argument of a kernel, whatever the device, without a copy."""

from __future__ import annotations

import bisect
import ctypes
import math
import struct
from collections.abc import Callable
from typing import Any

import torch

from . import _memory
from .errors import ModelError

VIEWS = 1 << 14  # views kept before they are begun anew
TYPES = {"f32": torch.float32, "f64": torch.float64}
WITHIN, UP, DOWN = 0, 1, 2


class Device:
    """Memory and programs on `device`. copies: how many of each way there were. forget: called when
    memory is given back, for who keeps views of it."""

    def __init__(self, device: torch.device, forget: Callable[[], Any] | None = None) -> None:
        self.device, self._forget = torch.device(device), forget
        self.copies = {WITHIN: 0, UP: 0, DOWN: 0}
        self._bases: list[int] = []  # sorted
        self._blocks: dict[int, torch.Tensor] = {}
        self._views: dict[tuple, torch.Tensor] = {}
        self._programs: dict[int, Program] = {}
        self._number = 0

    # ---- memory ----

    def alloc(self, size: int) -> int:
        """The address of so many bytes, zeroed."""
        block = torch.zeros(-(-size // 8), dtype=torch.float64, device=self.device)
        base = block.data_ptr()
        self._views.clear()  # of what was there before, on the host
        bisect.insort(self._bases, base)
        self._blocks[base] = block
        return base

    def free(self, base: int) -> None:
        del self._blocks[base]
        self._bases.remove(base)
        self._views.clear()
        if self._forget:
            self._forget()

    def view(
        self, address: int | None, shape: tuple[int, ...], dtype: torch.dtype
    ) -> torch.Tensor:
        """The tensor at `address`; without dimensions where that is host memory."""
        key = (address, shape, dtype)
        view = self._views.get(key)
        if view is None:
            if len(self._views) >= VIEWS:
                self._views.clear()
            view = self._views[key] = self._look(address, shape, dtype)
        return view

    def _look(
        self, address: int | None, shape: tuple[int, ...], dtype: torch.dtype
    ) -> torch.Tensor:
        if not address:
            raise ValueError("a program reads what has no memory")
        count, at = math.prod(shape), bisect.bisect_right(self._bases, address) - 1
        if at >= 0:
            base = self._bases[at]
            typed = self._blocks[base].view(dtype)
            first = (address - base) // typed.element_size()
            if first < len(typed):
                return typed.narrow(0, first, count).view(shape)
        if count != 1:
            raise ValueError(f"{count} elements at {address:#x}, which is not the device's")
        return _memory.tensor(address, 1, dtype).view(())

    def copy(self, to: int, source: int | None, size: int, way: int) -> None:
        self.copies[way] += source is not None
        words = (size // 4,)  # any type will do: bits are moved
        if way == DOWN:
            _memory.tensor(to, words[0], torch.int32).copy_(self.view(source, words, torch.int32))
            return
        there = self.view(to, words, torch.int32)
        if source is None:
            there.zero_()
        elif way == UP:
            there.copy_(_memory.tensor(source, words[0], torch.int32))
        else:
            there.copy_(self.view(source, words, torch.int32))

    # ---- programs ----

    def compile(self, text: str) -> int:
        self._number += 1
        self._programs[self._number] = Program(text, self.device)
        return self._number

    def release(self, number: int) -> None:
        del self._programs[number]

    def run(self, number: int, leaf, out) -> None:
        """leaf, out: what can be indexed for addresses."""
        p = self._programs[number]
        leaves = [self.view(leaf[n], shape, dtype) for n, shape, dtype in p.leaves]
        outs = [self.view(out[i], shape, dtype) for i, (shape, dtype) in enumerate(p.outputs)]
        with torch.no_grad():
            p.run(leaves, outs)


class _Node:
    """One line of a program."""

    def __init__(self, line: str) -> None:
        words = line.split()
        self.op = words[1]
        if words[2] not in TYPES or not (
            self.op in MAKE or self.op in TOGETHER or self.op == "leaf"
        ):
            raise ModelError(f"device: operation {self.op} of this type is not done by torch here")
        self.dtype = TYPES[words[2]]
        self.shape, self.operands = _numbers(words[3]), _numbers(words[4])
        self.attributes = dict(w.partition("=")[::2] for w in words[5:])
        self.level, self.last, self.view = 0, 0, False

    def number(self, name: str) -> int:
        return int(self.attributes[name])

    @property
    def factor(self) -> float:
        return struct.unpack(">d", bytes.fromhex(self.attributes["f"]))[0]


def _numbers(word: str) -> tuple[int, ...]:
    return () if word == "-" else tuple(int(x) for x in word.split(","))


class Program:
    """A program read. Equal operations of one level (those of all tensors, mostly) are one call.

    leaves: [(number, shape, dtype)] as `run` wants them; outputs: [(shape, dtype)]."""

    def __init__(self, text: str, device: torch.device) -> None:
        self.device = device
        lines = text.splitlines()
        numbers = [int(line.split()[0]) for line in lines if not line.startswith("out ")]
        at = {number: i for i, number in enumerate(numbers)}
        nodes = [_Node(line) for line in lines[: len(numbers)]]
        for i, n in enumerate(nodes):
            n.operands = tuple(at[o] for o in n.operands)
            n.level = 1 + max((nodes[o].level for o in n.operands), default=-1)
            n.view = n.op in VIEWING and (not n.operands or nodes[n.operands[0]].view)
        self.ends = [at[int(line.split()[1])] for line in lines[len(numbers) :]]
        self.outputs = [(nodes[e].shape, nodes[e].dtype) for e in self.ends]
        # an output that only looks at a leaf must not see another output being written there
        self.cloned = [nodes[e].view for e in self.ends]
        leaves = [i for i, n in enumerate(nodes) if n.op == "leaf"]
        self.leaves = [(nodes[i].number("leaf"), nodes[i].shape, nodes[i].dtype) for i in leaves]
        self._leaf_at = leaves
        self._size = len(nodes)
        self._calls = self._plan(nodes)

    def _plan(self, nodes: list[_Node]) -> list[tuple]:
        """[(function of a list of operand tuples, where, operands, what is not needed after)]."""
        groups: dict[tuple, list[int]] = {}
        for i, n in enumerate(nodes):
            if n.op == "leaf":
                continue
            kind = (n.op, n.attributes.get("f")) if n.op in TOGETHER else (n.op, i)
            groups.setdefault((n.level, *kind), []).append(i)
        order = sorted(groups, key=lambda k: k[0])
        keep, last = set(self.ends), {}
        for call, key in enumerate(order):
            for i in groups[key]:
                last.update(dict.fromkeys(nodes[i].operands, call))
        dead: list[list[int]] = [[] for _ in order]
        for i, call in last.items():
            if i not in keep:
                dead[call].append(i)
        calls = []
        for key, gone in zip(order, dead):
            members = [nodes[i] for i in groups[key]]
            calls.append((self._function(members, nodes), groups[key],
                          [n.operands for n in members], gone))  # fmt: skip
        return calls

    def _function(self, members: list[_Node], nodes: list[_Node]):
        """columns of operands -> the list of results."""
        n = members[0]
        if n.op in TOGETHER:
            return TOGETHER[n.op](n)
        make = MAKE[n.op](n)
        whole = [] if n.op in POINTWISE else [nodes[o].shape for o in n.operands]

        def one(*columns):
            xs = [c[0] for c in columns]
            for k, shape in enumerate(whole):  # a number of the host's is looked at as a tensor
                if xs[k].dim() != len(shape):
                    xs[k] = xs[k].to(self.device).expand(shape)
            return [make(*xs)]

        return one

    def run(self, leaves: list[torch.Tensor], outs: list[torch.Tensor]) -> None:
        values: list[Any] = [None] * self._size
        for i, x in zip(self._leaf_at, leaves):
            values[i] = x
        for function, where, operands, gone in self._calls:
            columns = [[values[o] for o in column] for column in zip(*operands)]
            for i, x in zip(where, function(*columns)):
                values[i] = x
            for i in gone:
                values[i] = None
        ends = [values[e].clone() if c else values[e] for e, c in zip(self.ends, self.cloned)]
        if all(x.shape == o.shape for x, o in zip(ends, outs)):
            torch._foreach_copy_(outs, ends)
            return
        for x, o in zip(ends, outs):
            o.copy_(x)


def _transposed(n: _Node):
    ta, tb = "ta" in n.attributes, "tb" in n.attributes
    return lambda a, b: (a.mT if ta else a) @ (b.mT if tb else b)


def _sum(n: _Node):
    axes = _numbers(n.attributes["axes"]) if "axes" in n.attributes else ()
    return (lambda x: x.sum(axes, keepdim=True)) if axes else (lambda x: x)


def _bcast(n: _Node):
    return lambda x: x if x.dim() == 0 else x.expand(n.shape)


def _slice(n: _Node):
    axis, first = n.number("axis"), n.number("from")
    return lambda x: x.narrow(axis, first, n.shape[axis])


def _pad(n: _Node):
    axis, first = n.number("axis"), n.number("from")

    def pad(x):
        y = x.new_zeros(n.shape)
        y.narrow(axis, first, x.shape[axis]).copy_(x)
        return y

    return pad


def _plain(function):
    return lambda n: function


# Done for all tensors at once. A node -> a function of columns of operands.
TOGETHER: dict[str, Callable] = {
    "add": _plain(torch._foreach_add),
    "sub": _plain(torch._foreach_sub),
    "mul": _plain(torch._foreach_mul),
    "scale": lambda n: lambda xs: torch._foreach_mul(xs, n.factor),
    "recip": _plain(torch._foreach_reciprocal),
}
# Done one by one. A node -> a function of its operands.
MAKE: dict[str, Callable] = {
    "fill": lambda n: lambda: torch.tensor(n.factor, dtype=n.dtype),
    "exp": _plain(torch.exp),
    "log": _plain(torch.log),
    "sqrt": _plain(torch.sqrt),
    "tanh": _plain(torch.tanh),
    "sigmoid": _plain(torch.sigmoid),
    "softplus": _plain(lambda x: torch.logaddexp(x, torch.zeros_like(x))),
    "erf": _plain(torch.erf),
    "sign": _plain(torch.sign),
    "step": lambda n: lambda x: (x > 0).to(n.dtype),
    "cast": lambda n: lambda x: x.to(n.dtype),
    "bcast": _bcast,
    "reshape": lambda n: lambda x: x.reshape(n.shape),
    "permute": lambda n: lambda x: x.permute(_numbers(n.attributes["perm"])),
    "slice": _slice,
    "pad": _pad,
    "sum": _sum,
    "matmul": _transposed,
    "logsumexp": _plain(lambda x: torch.logsumexp(x, -1, keepdim=True)),
    "rowmax": _plain(lambda x: x.amax(-1, keepdim=True)),
}
# Operations to which a number of the host's is as good as a tensor full of it.
POINTWISE = {"exp", "log", "sqrt", "tanh", "sigmoid", "softplus", "erf", "sign", "step", "cast",
             "bcast", "fill"}  # fmt: skip
# Operations whose result may be the memory of their operand, or a leaf's.
VIEWING = {"leaf", "bcast", "reshape", "permute", "slice", "cast", "sum"}


def callbacks(device: Device, guard) -> tuple[tuple, tuple]:
    """The functions of drmad_model_set_memory and of drmad_model_set_programs. guard: a function
    that may raise -> one that C may call."""
    from . import _abi

    def alloc(size, out) -> None:
        out[0] = device.alloc(size)

    def compile_text(text, number) -> None:
        number[0] = device.compile(text.decode())

    memory = (
        _abi.drmad_device_alloc_fn(guard(alloc)),
        _abi.drmad_device_free_fn(lambda user, address: device.free(address)),
        _abi.drmad_device_copy_fn(guard(device.copy)),
    )
    programs = (
        _abi.drmad_device_compile_fn(guard(compile_text)),
        _abi.drmad_device_run_fn(guard(device.run)),
        _abi.drmad_device_release_fn(lambda user, number: device.release(number)),
    )
    return memory, programs
