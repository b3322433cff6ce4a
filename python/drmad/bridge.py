"""Between the C library and an oracle, who computes values and derivatives with torch.

The library calls back through ctypes. What goes wrong in there must not unwind through C: every
exception is kept (Context.guard), the library is told a status, and when its call has returned the
very same exception is raised again, with its own traceback. Vectors that the library hands out are
looked at in place: a tensor over its memory, kept by address, so that a step makes none.

An oracle has
    name, dtype (torch.float32 or float64), tensors [(full name, shape, role, layer)],
    sizes (training, validation, test examples), batch (examples a step)
    lay_out(offsets, size)                         where each tensor lies in the flat vectors
    start(seed, w), gradient(seed, step, w, weights, g) -> loss,
    product(seed, step, w, u, weights, forward, g, hu, rows),
    aside()                                        a context for products alone (way 2)
    evaluate(part, examples, w, u, dw) -> (loss, error, slope), examples(seed, step, out)
with the meanings of include/drmad/model.h; vectors are one-dimensional tensors or None. Where its
`device` is not the CPU the vectors live there too (device.py), and no step copies one.
"""

from __future__ import annotations

import ctypes
import functools
import math
import threading
from contextlib import nullcontext
from typing import Any

import torch

from . import _abi
from ._context import Context
from ._memory import tensor
from .device import Device, callbacks
from .errors import ConfigError, UsageError

FORWARD, ALONE = 1, 2  # ways of a product: drmad/model.h
VIEWS = 1024  # vectors looked at in place before the list of them is begun anew

_inside = threading.local()


def refuse_inside(what: str) -> None:
    """A study called out of a callback of another one would find the library busy."""
    if getattr(_inside, "depth", 0):
        raise UsageError(
            f"{what}: called inside loss_fn, a module or a loader of a study that is running; "
            "call it when that study has returned"
        )


class Bridge:
    """One oracle as a drmad_model, with at most one study over it. close() frees both; the context
    must live longer. factors: of the base rate at each step, None for 1. vectors: "library" (in
    host memory), "torch" (on the oracle's device), None: the first on a CPU, else the second."""

    def __init__(
        self, context: Context, oracle, progress=None, factors=None, vectors: str | None = None
    ):
        self.lib, self.context = context.lib, context
        self.oracle, self.progress, self.factors = oracle, progress, factors
        self._views: dict[tuple, torch.Tensor] = {}
        self._model, self._study = ctypes.c_void_p(), ctypes.c_void_p()
        self._events: Any = None  # kept as long as the study may call it
        place = getattr(oracle, "device", torch.device("cpu"))
        if vectors not in (None, "torch") and (vectors != "library" or place.type != "cpu"):
            raise ConfigError(f"vectors: {vectors!r}; 'torch', or on a CPU 'library'")
        self.device = None
        if vectors == "torch" or (vectors is None and place.type != "cpu"):
            self.device = Device(place, getattr(oracle, "forget", None))
        try:
            self._make_model()
        except BaseException:
            self.close()
            raise

    # ---- the model ----

    def _make_model(self) -> None:
        o, lib = self.oracle, self.lib
        doubles = int(o.dtype == torch.float64)
        self.context.check(
            lib.drmad_model_new(
                self.context.handle, o.name.encode(), doubles, ctypes.byref(self._model)
            )
        )
        for name, shape, role, layer in o.tensors:
            dims = (ctypes.c_int64 * len(shape))(*shape)
            self.context.check(
                lib.drmad_model_add(
                    self._model, name.encode(), dims, len(shape), role.encode(), layer
                )
            )
        self.size = lib.drmad_model_size(self._model)
        offsets = [lib.drmad_model_offset(self._model, i) for i in range(len(o.tensors))]
        o.lay_out(offsets, self.size)
        train, valid, test = o.sizes
        self.context.check(
            lib.drmad_model_set_data(self._model, o.name.encode(), train, valid, test, o.batch)
        )
        self._functions = (
            _abi.drmad_start_fn(self._guard(self._start)),
            _abi.drmad_gradient_fn(self._guard(self._gradient)),
            _abi.drmad_product_fn(self._guard(self._product)),
            _abi.drmad_evaluate_fn(self._guard(self._evaluate)),
            _abi.drmad_batch_fn(self._guard(self._examples)),
        )
        self.context.check(lib.drmad_model_set_functions(self._model, *self._functions, None))
        if self.device:
            self._memory, self._programs = callbacks(self.device, self._guard)
            self.context.check(lib.drmad_model_set_memory(self._model, *self._memory, None))
            self.context.check(lib.drmad_model_set_programs(self._model, *self._programs, None))
        self._set_schedule()

    def _set_schedule(self) -> None:
        if self.factors is not None:
            table = (ctypes.c_double * len(self.factors))(*self.factors)
            self.context.check(self.lib.drmad_model_set_schedule(self._model, table, len(table)))

    def study(self, overrides: list[str]) -> ctypes.c_void_p:
        """Makes the one study of this model, from "key=value" lines."""
        lines = (ctypes.c_char_p * len(overrides))(*(s.encode() for s in overrides))
        self.context.check(
            self.lib.drmad_model_study(
                self._model, lines, len(overrides), ctypes.byref(self._study)
            )
        )
        self._events = _abi.drmad_event_fn(self._event)
        self.lib.drmad_study_set_events(self._study, self._events, None)
        return self._study

    def close(self) -> None:
        if self._study:
            self.lib.drmad_study_free(self._study)
            self._study = ctypes.c_void_p()
        if self._model:
            self.lib.drmad_model_free(self._model)
            self._model = ctypes.c_void_p()
        self._views.clear()

    # ---- calls ----

    def call(self, name: str, *more) -> None:
        """drmad_study_NAME(study, ...). Raises what a callback raised, Interrupted after the first
        Ctrl-C, else the library's own error. Autograd is on inside, whatever is around."""
        refuse_inside(f"drmad.{name}")
        function = getattr(self.lib, f"drmad_study_{name}")
        with self.context.interruptible(), torch.inference_mode(False), torch.enable_grad():
            status = function(self._study, *more)
        self.context.check(status)

    def result_json(self) -> str:
        return self.lib.drmad_study_result_json(self._study).decode()

    def result_text(self) -> str:
        return self.lib.drmad_study_result_text(self._study).decode()

    def value(self, kind: str, tensor_number: int, step: int, count: int):
        """(`count` doubles of a kind at a step, whether they were tuned)."""
        out, tuned = torch.empty(count, dtype=torch.float64), ctypes.c_int()
        at = ctypes.cast(out.data_ptr(), ctypes.POINTER(ctypes.c_double))
        self.context.check(
            self.lib.drmad_study_value(
                self._study, kind.encode(), tensor_number, step, at, count, ctypes.byref(tuned)
            )
        )
        return out, bool(tuned.value)

    # ---- callbacks ----

    def _guard(self, function):
        """`function` as C may call it, and the mark that a callback is under way."""
        guarded = self.context.guard(function)

        @functools.wraps(function)
        def call(user, *arguments) -> int:
            _inside.depth = getattr(_inside, "depth", 0) + 1
            try:
                return guarded(*arguments)
            finally:
                _inside.depth -= 1

        return call

    def _view(self, address, count: int | None = None, dtype=None) -> torch.Tensor | None:
        """The library's memory at `address`, or None for NULL."""
        if not address:
            return None
        key = (address, count, dtype)
        view = self._views.get(key)
        if view is None:
            if len(self._views) >= VIEWS:
                self._views.clear()
            view = tensor(address, count or self.size, dtype or self.oracle.dtype)
            self._views[key] = view
        return view

    def _vector(self, address) -> torch.Tensor | None:
        if not self.device:
            return self._view(address)
        return self.device.view(address, (self.size,), self.oracle.dtype) if address else None

    def _weights(self, address) -> torch.Tensor | None:
        """Of the examples of a batch: the library's, where they are used."""
        weights = self._view(address, self.oracle.batch)
        return weights if weights is None or not self.device else weights.to(self.device.device)

    def _start(self, seed, w) -> None:
        self.oracle.start(seed, self._vector(w))

    def _gradient(self, seed, step, w, weights, g, loss) -> None:
        loss[0] = self.oracle.gradient(
            seed, step, self._vector(w), self._weights(weights), self._vector(g)
        )
        if self.progress:
            self.progress.tick("step", step)

    def _product(self, seed, step, w, u, weights, way, g, hu, rows) -> None:
        with self.oracle.aside() if way == ALONE else nullcontext():
            self.oracle.product(
                seed,
                step,
                self._vector(w),
                self._vector(u),
                self._weights(weights),
                way == FORWARD,
                self._vector(g),
                self._vector(hu),
                self._view(rows, self.oracle.batch),
            )
        if self.progress and way != ALONE:
            self.progress.tick("audit" if way == FORWARD else "back", step)

    def _evaluate(self, part, examples, w, u, dw, loss, error, slope) -> None:
        f, wrong, along = self.oracle.evaluate(
            part, examples, self._vector(w), self._vector(u), self._vector(dw)
        )
        loss[0] = f
        if error:
            error[0] = math.nan if wrong is None else wrong
        if slope and u:
            slope[0] = along

    def _examples(self, seed, step, out) -> None:
        address = ctypes.cast(out, ctypes.c_void_p).value
        self.oracle.examples(seed, step, self._view(address, self.oracle.batch, torch.int32))

    def _event(self, user, stage, done, total, line) -> None:
        if self.progress:
            try:
                self.progress.event(stage.decode(), done, total, line.decode())
            except Exception:  # a closed terminal must not end a run
                self.progress = None
