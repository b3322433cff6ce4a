"""Handwritten digits for examples and tests: MNIST where it lies, else digits drawn from a seed.
Nothing is downloaded here; `drmad data get mnist` does that."""

from __future__ import annotations

import gzip
import os
import pathlib

import torch
from torch.utils.data import DataLoader, TensorDataset

NOISE = 3.0  # a small MLP then has about 1 % errors
FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


def folder() -> pathlib.Path | None:
    """Where MNIST is: DRMAD_DATA or its mnist folder, else where the command puts it; or None."""
    places = []
    if os.environ.get("DRMAD_DATA"):
        given = pathlib.Path(os.environ["DRMAD_DATA"])
        places += [given / "mnist", given]
    share = os.environ.get("XDG_DATA_HOME") or pathlib.Path.home() / ".local" / "share"
    places.append(pathlib.Path(share) / "drmad" / "mnist")
    for p in places:
        if _find(p, FILES["train"][0]):
            return p
    return None


def _find(where: pathlib.Path, name: str) -> pathlib.Path | None:
    for path in (where / name, where / f"{name}.gz"):
        if path.exists():
            return path
    return None


def _read(where: pathlib.Path, name: str) -> torch.Tensor:
    """One IDX file of bytes."""
    path = _find(where, name)
    if path is None:
        raise FileNotFoundError(f"{where}: no {name}")
    raw = (gzip.open if path.suffix == ".gz" else open)(path, "rb").read()
    if raw[:3] != b"\0\0\x08" or len(raw) < 4 + 4 * raw[3]:
        raise ValueError(f"{path}: no IDX file of bytes")
    shape = [int.from_bytes(raw[4 + 4 * i : 8 + 4 * i], "big") for i in range(raw[3])]
    return torch.frombuffer(bytearray(raw[4 + 4 * len(shape) :]), dtype=torch.uint8).view(shape)


def _drawn(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Ten smooth shapes, each example one of them, moved, dimmed and noisy; 28 x 28, 0 to 1."""
    shapes = torch.randn(10, 1, 7, 7, generator=torch.Generator().manual_seed(0))
    shapes = torch.nn.functional.interpolate(shapes, size=(28, 28), mode="bicubic")
    draw = torch.Generator().manual_seed(seed)
    y = torch.randint(10, (count,), generator=draw)
    x = shapes[y] * (0.5 + torch.rand(count, 1, 1, 1, generator=draw))
    x = x + NOISE * torch.randn(count, 1, 28, 28, generator=draw)
    return x.mul(0.3 / NOISE).add(0.5).clamp(0, 1), y


def digits(
    train: int = 5000, valid: int = 2000, test: int = 2000, batch: int = 50, seed: int = 1
) -> tuple[DataLoader, DataLoader, DataLoader]:
    """Loaders of training, validation and test batches ([B, 1, 28, 28] floats 0 to 1, [B] labels).
    ValueError when MNIST has fewer examples than asked for."""
    where = folder()
    if where is None:
        x, y = _drawn(train + valid, seed)
        tx, ty = _drawn(test, seed + 1)
    else:
        x, y = (_read(where, f) for f in FILES["train"])
        tx, ty = (_read(where, f) for f in FILES["test"])
        if len(x) < train + valid or len(tx) < test:
            raise ValueError(f"{where}: {len(x)} and {len(tx)} examples, more are asked for")
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
        order = order[: train + valid]
        x, y = _images(x[order]), y[order].long()
        tx, ty = _images(tx[:test]), ty[:test].long()
    return (
        DataLoader(TensorDataset(x[:train], y[:train]), batch, shuffle=True, drop_last=True),
        DataLoader(TensorDataset(x[train:], y[train:]), 500),
        DataLoader(TensorDataset(tx, ty), 500),
    )


def _images(x: torch.Tensor) -> torch.Tensor:
    return x.float().div(255).unsqueeze(1)
