"""Studies of the library's own models, from a study file: docs/STUDY.md."""

from __future__ import annotations

import ctypes
import os
import pathlib
import re
import threading
from contextlib import ExitStack

from . import _abi
from ._context import Context
from .errors import InternalError, Interrupted
from .progress import Progress, Silence, wanted
from .result import Result, native_result


def tune_file(
    path: str | os.PathLike, *overrides: str, resume: bool = False, progress: bool = True
) -> Result:
    """`drmad tune PATH KEY=VALUE ...`, in this process. Gives the result; the files lie in the
    study's run folder. Raises drmad.Error; drmad.Interrupted after Ctrl-C, with a checkpoint."""
    watching = progress and wanted()
    line = Progress(0) if watching else Silence()
    with ExitStack() as stack:
        stack.callback(line.close)
        context = stack.enter_context(Context())
        lib, study = context.lib, ctypes.c_void_p()
        lines = (ctypes.c_char_p * len(overrides))(*(s.encode() for s in overrides))
        context.check(
            lib.drmad_study_load(
                context.handle, os.fsencode(path), lines, len(overrides), ctypes.byref(study)
            )
        )
        stack.callback(lib.drmad_study_free, study)
        events = _abi.drmad_event_fn(
            lambda _, stage, done, total, text: line.event(
                stage.decode(), done, total, text.decode()
            )
        )
        lib.drmad_study_set_events(study, events, None)
        try:
            with context.interruptible():
                context.check(aside(lambda: lib.drmad_study_tune(study, int(resume))))
        except Interrupted as e:
            reason = str(e).removesuffix("; go on with --resume")
            raise Interrupted(f"{reason}; go on with tune_file(..., resume=True)") from None
        text = lib.drmad_study_result_text(study).decode()
    return native_result(_folder(text))


def aside(call) -> int:
    """Runs a long call of C on a thread of its own: Python sees Ctrl-C between bytecodes only, and
    a study of the library's own calls back once a meta-step."""
    if threading.current_thread() is not threading.main_thread():
        return call()
    out: list[int] = []
    thread = threading.Thread(target=lambda: out.append(call()), name="drmad")
    thread.start()
    try:
        while thread.is_alive():
            thread.join(0.1)
    except KeyboardInterrupt:
        thread.join()  # asked to stop already: it ends after the training step under way
        raise
    return out[0]


def _folder(text: str) -> pathlib.Path:
    """Where the study's files are, from the text for people; the study file may say it too."""
    found = re.search(r"^written to (.+)$|^(.+) holds the result: ", text, re.MULTILINE)
    if not found:
        raise InternalError("the result's text does not say where its files are")
    return pathlib.Path(found[1] or found[2])
