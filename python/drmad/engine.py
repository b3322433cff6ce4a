"""engine="native": a torch module inside the library. The module is exported (drmad.export), the
data go over as arrays, and from then on no step runs Python; only the start weights of a run and
the order of its examples are asked for, so that runs are those of engine="callback"."""

from __future__ import annotations

import ctypes
import tempfile
from typing import Any

import torch

from . import _abi
from .bridge import Bridge, refuse_inside
from .errors import ConfigError
from .export import export_graph
from .native import aside
from .oracle import Oracle
from .rows import Rows, tensors_of

ADVICE = 'engine="callback" takes it as it is'
EPOCHS = 2  # whose order is kept: a run crosses from one into the next, forwards or backwards
ENGINES = ("callback", "native")


def check_engine(
    engine: str, oracle: Oracle, *, metric: Any, bn: str, vectors: Any, device: Any = "cpu"
) -> None:
    """ConfigError for what an engine does not take."""
    if engine not in ENGINES:
        raise ConfigError(f"engine: {engine!r}; 'callback' or 'native'")
    if engine == "callback":
        if device != "cpu":
            raise ConfigError(
                f"device: {device!r}: is for engine='native'; with 'callback' the model computes "
                "where its parameters are"
            )
        return
    if metric is not None:
        raise ConfigError(f"metric: the library counts wrong answers by class scores; {ADVICE}")
    if bn == "frozen" and oracle.state.names:
        raise ConfigError(f"bn: 'frozen' statistics are not imported; {ADVICE}")
    if vectors is not None:
        raise ConfigError(f"vectors: {vectors!r}: the library holds them; {ADVICE}")
    if oracle.device.type != "cpu":
        raise ConfigError(
            f"model: on {oracle.device}; make it on the CPU and say device='cuda', or {ADVICE}"
        )


class Native(Bridge):
    """A Bridge whose model is the exported module. The oracle serves for data, start weights and
    names; its derivatives are not called."""

    def __init__(self, context, oracle, make_model, progress=None, factors=None) -> None:
        self.make_model = make_model
        self._folder = tempfile.TemporaryDirectory(prefix="drmad-")
        self._orders: dict[tuple[int, int], torch.Tensor] = {}
        super().__init__(context, oracle, progress, factors)

    def close(self) -> None:
        super().close()
        self._folder.cleanup()

    # ---- the model ----

    def _make_model(self) -> None:
        o, lib = self.oracle, self.lib
        example = o.fetch(0, 0)
        exported = export_graph(self.make_model, o.loss_fn, example, self._folder.name)
        o.notes += exported.notes
        self.buffers = list(exported.buffers)
        self.context.check(
            lib.drmad_model_import(
                self.context.handle, self._folder.name.encode(), ctypes.byref(self._model)
            )
        )
        train, valid, test = o.sizes
        self.context.check(
            lib.drmad_model_set_data(self._model, o.name.encode(), train, valid, test, o.batch)
        )
        self._bind(example, exported.inputs)
        self._lay_out()
        self._sources = (
            _abi.drmad_start_fn(self._guard(self._start)),
            _abi.drmad_batch_fn(self._guard(self._examples)),
        )
        self.context.check(lib.drmad_model_set_sources(self._model, *self._sources, None))
        self._set_schedule()

    def _bind(self, example: Any, names: list[str]) -> None:
        """Every part's rows; the library keeps a copy."""
        o = self.oracle
        types = [t.dtype for t in tensors_of(example)]
        for number, part in enumerate(o.parts):
            rows = Rows(part, example, o.cache_bytes)
            for name, t, dtype in zip(names, rows.tensors, types):
                t = t.to(o.dtype if dtype.is_floating_point else torch.int64).contiguous()
                self.context.check(
                    self.lib.drmad_model_bind(
                        self._model, number, name.encode(), t.data_ptr(), len(t)
                    )
                )

    def _find(self, name: str) -> int:
        return self.lib.drmad_model_find(self._model, name.encode())

    def _offset(self, name: str) -> int:
        return self.lib.drmad_model_offset(self._model, self._find(name))

    def _lay_out(self) -> None:
        """Parameters where the library has them; buffers lie among them."""
        self.size = self.lib.drmad_model_size(self._model)
        self.oracle.lay_out([self._offset(t.name) for t in self.oracle.tensors], self.size)

    # ---- callbacks ----

    def _start(self, seed, w) -> None:
        o, whole = self.oracle, self._view(w)
        assert whole is not None
        o.start(seed, whole)
        for name in self.buffers:
            value, at = o.state[name].detach(), self._offset(name)
            whole[at : at + value.numel()].copy_(value.reshape(-1))

    def _examples(self, seed, step, out) -> None:
        """One copy a step: the order of an epoch is drawn once."""
        source = self.oracle.train.source
        epoch, index = divmod(step, source.batches)
        rows = self._orders.get((seed, epoch))
        if rows is None:
            numbers = [source.numbers(seed, epoch, i) for i in range(source.batches)]
            rows = torch.tensor(numbers, dtype=torch.int32)
            if len(self._orders) >= EPOCHS:
                self._orders.pop(next(iter(self._orders)))
            self._orders[seed, epoch] = rows
        width = 4 * rows.shape[1]
        ctypes.memmove(out, rows.data_ptr() + index * width, width)

    # ---- calls ----

    def call(self, name: str, *more) -> None:
        refuse_inside(f"drmad.{name}")
        function = getattr(self.lib, f"drmad_study_{name}")
        with self.context.interruptible():
            status = aside(lambda: function(self._study, *more))
        self.context.check(status)

    def value(self, kind: str, tensor_number: int, step: int, count: int):
        if tensor_number >= 0:
            tensor_number = self._find(self.oracle.tensors[tensor_number].name)
        return super().value(kind, tensor_number, step, count)
