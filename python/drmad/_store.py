"""A store as the library reads it (include/drmad/store.h)."""

from __future__ import annotations

import contextlib
import ctypes
import json
from collections.abc import Iterator
from typing import Any

from ._context import Context
from .errors import UsageError


class Reader:
    """One store, for reading and looking after; to be closed before its context."""

    def __init__(self, storage: str, context: Context, create: bool = False) -> None:
        if "#" in storage:
            raise UsageError(f"storage {storage}: a # begins the name of a study: say study_name=")
        self.context, self.lib = context, context.lib
        self.handle = ctypes.c_void_p()
        settings = [b"create=true"] if create else []
        list_of = (ctypes.c_char_p * len(settings))(*settings)
        self.context.check(
            self.lib.drmad_store_open(
                self.context.handle, storage.encode(), list_of, len(settings),
                ctypes.byref(self.handle),
            )
        )  # fmt: skip

    def call(self, name: str, *arguments: Any) -> dict[str, Any]:
        """drmad_store_NAME(...), and its result."""
        if not self.handle:
            raise UsageError("the study is closed")
        self.context.check(getattr(self.lib, f"drmad_store_{name}")(self.handle, *arguments))
        return json.loads(self.lib.drmad_store_result_json(self.handle).decode() or "{}")

    def studies(self) -> list[dict[str, Any]]:
        return self.call("list")["studies"]

    def study(self, name: str) -> dict[str, Any] | None:
        return next((s for s in self.studies() if s["name"] == name), None)

    def close(self) -> None:
        handle, self.handle = self.handle, ctypes.c_void_p()
        self.lib.drmad_store_close(handle)


@contextlib.contextmanager
def opened(storage: str, create: bool = False) -> Iterator[Reader]:
    with Context() as context:
        reader = Reader(storage, context, create)
        try:
            yield reader
        finally:
            reader.close()
