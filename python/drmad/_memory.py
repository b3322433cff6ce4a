"""The library's memory as torch tensors, without a copy, through DLPack.

A view is described by one block of malloc's: a legacy DLManagedTensor, its shape and its stride.
The library hands out the same few vectors again and again, so the first blocks are kept and have
no deleter. Beyond CACHED of them the deleter is libc's free itself. No Python runs in either: no
GIL is needed, any thread of torch's may let go, also after the interpreter has ended. Only a view
with `keepalive` has a deleter in Python.

Structures: dlpack.h 1.1, the part that has been the same since 0.2 (capsule "dltensor")."""

from __future__ import annotations

import atexit
import ctypes
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

# PyDLL: the GIL is kept, for these calls are shorter than giving it up
_LIBC = ctypes.PyDLL(None)
_malloc = _LIBC.malloc
_malloc.argtypes, _malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
_free = _LIBC.free
_free.argtypes, _free.restype = [ctypes.c_void_p], None
_FREE = ctypes.cast(_free, ctypes.c_void_p).value
_capsule = ctypes.pythonapi.PyCapsule_New
_capsule.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
_capsule.restype = ctypes.py_object
_NAME = b"dltensor"  # the capsule points into it: it must not go away

# DLManagedTensor: data, device type and id, ndim, dtype (code, bits, lanes), shape, strides,
# byte_offset; manager_ctx, deleter. Then the shape and the stride it points to.
_BLOCK = struct.Struct("=Q ii i BBH QQQ QQ qq")
_pack = _BLOCK.pack
_SIZE = _BLOCK.size
_SHAPE, _STRIDE, _DELETER = 64, 72, 56
_CPU = 1
CACHED = 1024  # blocks, 80 bytes each
_TYPES = {"int32": (0, 32), "float32": (2, 32), "float64": (2, 64)}  # code, bits

_kinds: dict[Any, tuple[int, int]] = {}
_blocks: dict[tuple[int | None, int, Any], int] = {}
_kept: dict[int, object] = {}
_from_dlpack: Callable[[Any], Any] | None = None


def _kind(dtype: Any) -> tuple[int, int]:
    """DLPack's (code, bits) of a torch dtype; the first call imports torch."""
    global _from_dlpack
    import torch

    _from_dlpack = torch._C._from_dlpack  # torch.utils.dlpack's, without its search for the kind
    _kinds.update({getattr(torch, name): kind for name, kind in _TYPES.items()})
    if dtype not in _kinds:
        raise TypeError(f"{dtype}: the library's memory is int32, float32 or float64")
    return _kinds[dtype]


@ctypes.CFUNCTYPE(None, ctypes.c_void_p)
def _release(block: int) -> None:
    _kept.pop(block, None)
    _free(block)


_RELEASE = ctypes.cast(_release, ctypes.c_void_p).value


@atexit.register
def _at_exit() -> None:
    """What outlives the interpreter is freed without it."""
    for block in _kept:
        ctypes.c_uint64.from_address(block + _DELETER).value = _FREE or 0


def tensor(
    address: int | None, count: int, dtype: torch.dtype, keepalive: object = None
) -> torch.Tensor:
    """A view of `count` elements of `dtype` (int32, float32, float64) at `address`: shape [count],
    on the CPU, contiguous. Writing to it writes the library's memory.

    The memory must outlive the view and all that shares its storage; `keepalive` is held as long.
    Inside a callback the library's vectors are valid until the callback returns. `address` may be
    None when `count` is 0. ValueError: no memory; TypeError: another dtype."""
    if keepalive is None:
        block = _blocks.get((address, count, dtype))
        if block is not None:
            return _from_dlpack(_capsule(block, _NAME, None))  # type: ignore[misc]
    block = _block(address, count, dtype, keepalive)
    try:
        return _from_dlpack(_capsule(block, _NAME, None))  # type: ignore[misc]
    except BaseException:
        if _blocks.get((address, count, dtype)) != block:
            _release(block)  # torch took nothing
        raise


def _block(address: int | None, count: int, dtype: Any, keepalive: object) -> int:
    """A new block, filled; kept in _blocks, or to be let go of by its deleter."""
    code, bits = _kinds.get(dtype) or _kind(dtype)
    if count < 0 or not (address or count == 0):
        raise ValueError(f"{count} elements at address {address}")
    block = _malloc(_SIZE)
    if not block:
        raise MemoryError
    deleter = _FREE
    if keepalive is not None:
        _kept[block], deleter = keepalive, _RELEASE
    elif len(_blocks) < CACHED:
        _blocks[address, count, dtype], deleter = block, None
    content = _pack(
        address or 0, _CPU, 0, 1, code, bits, 1, block + _SHAPE, block + _STRIDE, 0, 0,
        deleter or 0, count, 1,
    )  # fmt: skip
    ctypes.memmove(block, content, _SIZE)
    return int(block)
