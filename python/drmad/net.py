"""A module of our own, made or copied from the user's: its tensors, and where to put others in
their place. The user's module is never touched."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn

from .errors import ConfigError, ModelError
from .seeds import mix, seeded

START = 4  # what a seed is drawn for


class Tensor(NamedTuple):
    """One trainable tensor as the library knows it."""

    name: str
    shape: tuple[int, ...]
    role: str  # "weight", "bias" or "norm"
    layer: int


class Slot(NamedTuple):
    """A trainable parameter and the places that hold it (several where weights are tied)."""

    name: str
    value: nn.Parameter
    places: list[tuple[dict, str]]


class Net:
    """`model`: a factory without arguments (new start weights per seed) or a Module (fixed ones).

    module: what loss_fn is called with; slots: its trainable parameters, each once."""

    def __init__(self, model: nn.Module | Callable[[], nn.Module], seed: int, device=None):
        self.factory = None if isinstance(model, nn.Module) else model
        if not callable(model):
            raise ConfigError(
                f"model: {type(model).__name__} is neither a Module nor a function that makes one"
            )
        self.device = torch.device(device) if device is not None else None
        if isinstance(model, nn.Module):
            _refuse_wrapped(model)
            self._adopt(copy.deepcopy(model))  # parameters come without their .grad
            self.fixed = [p.detach().clone() for _, p, _ in self.slots]
        else:
            self._adopt(self._made(model, seed))
        self.name = type(self.module).__name__
        self.training: bool | None = None

    def _made(self, factory: Callable[[], nn.Module], seed: int) -> nn.Module:
        with seeded(mix(seed, START), device=self.device):
            module = factory()
        if not isinstance(module, nn.Module):
            raise ConfigError(f"model: the factory gave {type(module).__name__}, not a Module")
        _refuse_wrapped(module)
        return module

    def _adopt(self, module: nn.Module) -> None:
        self.module = module if self.device is None else module.to(self.device)
        self.slots = _slots(module)
        self.buffers = {  # by full name, each once
            name: (owner._buffers, key)
            for prefix, owner in module.named_modules()
            for key, b in owner._buffers.items()
            if b is not None and (name := f"{prefix}.{key}" if prefix else key)
        }

    def restart(self, seed: int) -> list[torch.Tensor]:
        """The start weights of a run, and the module as it was before any step."""
        if self.factory is None:
            return self.fixed
        before = [(s.name, s.value.shape) for s in self.slots]
        self._adopt(self._made(self.factory, seed))
        if before != [(s.name, s.value.shape) for s in self.slots]:
            raise ModelError("model: the factory gave other parameters than the first time")
        self.training = None
        return [p.detach() for _, p, _ in self.slots]

    def put(self, values: list[torch.Tensor]) -> None:
        """Lets the module compute with `values` in the place of its parameters."""
        for slot, value in zip(self.slots, values):
            for owner, key in slot.places:
                owner[key] = value

    def mode(self, training: bool) -> nn.Module:
        """The module in training or evaluation mode."""
        if self.training is not training:
            self.training = training
            self.module.train(training)
        return self.module

    def tensors(self) -> list[Tensor]:
        """Layers are numbered by the module that owns the tensor, in the order of registration."""
        owners: dict[str, int] = {}
        out = []
        modules = dict(self.module.named_modules())
        for name, p, _ in self.slots:
            path = name.rpartition(".")[0]
            while "parametrizations" in path.split("."):  # the layer is the parametrized module
                path = path.rpartition(".")[0]
            layer = owners.setdefault(path, len(owners))
            out.append(Tensor(name, tuple(p.shape), _role(name, p, modules[path]), layer))
        return out


def _refuse_wrapped(module: nn.Module) -> None:
    for path, m in module.named_modules():
        kind, at = type(m).__name__, f"module {path!r}" if path else "model"
        if isinstance(m, torch.jit.ScriptModule):
            raise ModelError(f"{at}: TorchScript ({kind}) cannot be differentiated twice; "
                             "give the module it was made from")
        if hasattr(m, "_orig_mod") or getattr(m, "_compiled_call_impl", None) is not None:
            raise ModelError(f"{at}: torch.compile has no second derivative; give the eager module "
                             "(compiled._orig_mod)")
        if isinstance(m, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            raise ModelError(f"{at}: {kind} spreads its batch; give the module inside (.module)")


def _slots(module: nn.Module) -> list[Slot]:
    slots: dict[int, Slot] = {}
    for prefix, owner in module.named_modules():
        for key, p in owner._parameters.items():
            if p is None or not p.requires_grad:
                continue
            name = f"{prefix}.{key}" if prefix else key
            if isinstance(p, nn.parameter.UninitializedParameter):
                raise ModelError(f"{name}: not initialised yet; run one batch through the module")
            slots.setdefault(id(p), Slot(name, p, [])).places.append((owner._parameters, key))
    return list(slots.values())


def _role(name: str, p: torch.Tensor, owner: nn.Module) -> str:
    """Norms by their class, biases by their name; other vectors (gains, scales) count as norms."""
    if "norm" in type(owner).__name__.lower():
        return "norm"
    if "bias" in name.rpartition(".")[2].lower():
        return "bias"
    return "norm" if p.dim() < 2 else "weight"
