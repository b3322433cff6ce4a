"""Seeds and the replay of randomness: one (seed, step) always draws the same numbers, and the
caller's own generators are left as they were found."""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Iterable
from typing import Any

import torch

MASK = (1 << 64) - 1
KINDS = ("torch", "random", "numpy")
# Held while something that the process has once, and no thread for itself, is not as it was found:
# the generators, torch's level of forward mode, its switches of back ends, filters of warnings. Two
# studies in two threads would draw each other's numbers.
one_at_a_time = threading.RLock()


def mix(*parts: int) -> int:
    """One 63-bit seed out of several numbers (splitmix64 over the parts, in order)."""
    z = 0x243F6A8885A308D3
    for part in parts:
        z = (z ^ (part & MASK)) + 0x9E3779B97F4A7C15 & MASK
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK
        z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
        z ^= z >> 31
    return z >> 1


def _numpy():
    return sys.modules.get("numpy")  # not imported: nobody draws from it


def states(device: torch.device | None = None) -> dict:
    """The states of the generators that a model may draw from, by kind."""
    drawn = [torch.default_generator.get_state()]
    if device is not None and device.type == "cuda":
        drawn.append(torch.cuda.get_rng_state(device))
    s: dict[str, Any] = {"torch": drawn, "random": random.getstate()}
    if _numpy():
        s["numpy"] = _numpy().random.get_state()
    return s


def used(before: dict, after: dict) -> set[str]:
    """The kinds of generator that were drawn from between two calls of `states`."""
    kinds = set()
    if any(not torch.equal(a, b) for a, b in zip(before["torch"], after["torch"])):
        kinds.add("torch")
    if before["random"] != after["random"]:
        kinds.add("random")
    a, b = before.get("numpy"), after.get("numpy")
    if a is not None and b is not None and (a[2:] != b[2:] or (a[1] != b[1]).any()):
        kinds.add("numpy")
    return kinds


class seeded:
    """Within it, the generators of these kinds start from `seed`; after it, they are as before.
    Another thread that seeds waits meanwhile."""

    def __init__(
        self, seed: int, kinds: Iterable[str] = KINDS, device: torch.device | None = None
    ) -> None:
        self.seed, self.kinds = seed, kinds
        self.cuda = device if device is not None and device.type == "cuda" else None

    def __enter__(self) -> None:
        one_at_a_time.acquire()
        try:
            self._seed()
        except BaseException:
            one_at_a_time.release()
            raise

    def _seed(self) -> None:
        if "torch" in self.kinds:
            self.torch = torch.default_generator.get_state()
            torch.default_generator.manual_seed(self.seed)
            if self.cuda is not None:
                self.on_cuda = torch.cuda.get_rng_state(self.cuda)
                with torch.cuda.device(self.cuda):
                    torch.cuda.manual_seed(self.seed)
        if "random" in self.kinds:
            self.random = random.getstate()
            random.seed(self.seed)
        self.numpy = _numpy() if "numpy" in self.kinds else None
        if self.numpy:
            self.in_numpy = self.numpy.random.get_state()
            self.numpy.random.seed(self.seed & 0xFFFFFFFF)

    def __exit__(self, *_: object) -> None:
        try:
            self._restore()
        finally:
            one_at_a_time.release()

    def _restore(self) -> None:
        if "torch" in self.kinds:
            torch.default_generator.set_state(self.torch)
            if self.cuda is not None:
                torch.cuda.set_rng_state(self.on_cuda, self.cuda)
        if "random" in self.kinds:
            random.setstate(self.random)
        if self.numpy:
            self.numpy.random.set_state(self.in_numpy)
