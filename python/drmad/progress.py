"""A progress line on stderr, in a terminal or a notebook; nothing elsewhere."""

from __future__ import annotations

import json
import sys
import time

WIDTH = 24
PAUSE = 0.2  # seconds between two drawings


def wanted(stream=None) -> bool:
    """Whether somebody watches: a terminal, or a notebook's kernel."""
    stream = stream or sys.stderr
    if getattr(stream, "isatty", lambda: False)():
        return True
    kernel = sys.modules.get("ipykernel.zmqshell")
    shell = sys.modules.get("IPython")
    return bool(kernel and shell and isinstance(shell.get_ipython(), kernel.ZMQInteractiveShell))


def span(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


class Progress:
    """Takes the library's events and a tick for each step of training or walking back.

    steps, runs, minutes, meta_steps: the length of a run and the limits of tuning; the part done is
    that of whichever limit is nearest. Units: training runs, minutes."""

    def __init__(self, steps: int, runs=None, minutes=None, meta_steps=None, stream=None):
        self.steps, self.runs, self.minutes, self.meta_steps = steps, runs, minutes, meta_steps
        self.stream = stream or sys.stderr
        self.begun, self.drawn, self.width = time.monotonic(), 0.0, 0
        self.stage, self.part, self.text, self.inner = "starting", 0.0, "", ""

    def tick(self, what: str, step: int) -> None:
        """`what` is "step" on the way forward, "back" on the way back."""
        now = time.monotonic()
        if now - self.drawn >= PAUSE:
            self.inner = f" {what} {step + 1}/{self.steps}"
            self._draw(now)

    def event(self, stage: str, done: float, total: float, line: str) -> None:
        e = json.loads(line) if line else {}
        self.stage, self.inner = stage, ""
        self.part = done / total if total else 0.0
        if e.get("event") == "meta-step":
            self._meta(e)
        self._draw(time.monotonic())

    def _meta(self, e: dict) -> None:
        parts = [e["spent_runs"] / self.runs] if self.runs else []
        if self.minutes:
            parts.append((time.monotonic() - self.begun) / 60 / self.minutes)
        if self.meta_steps:
            parts.append(e["step"] / self.meta_steps)
        self.part = min(1.0, max(parts, default=self.part))
        value, best = e.get("objective"), e.get("best")
        self.text = f" {e['spent_runs']:.1f} runs"
        if value is not None and best is not None:
            self.text += f", objective {value:.4g}, best {best:.4g}"

    def _draw(self, now: float) -> None:
        full = round(WIDTH * min(1.0, max(0.0, self.part)))
        line = f"{self.stage} |{'#' * full}{'.' * (WIDTH - full)}|{self.text}{self.inner}"
        gone = now - self.begun
        if 0.01 < self.part < 1:
            line += f", {span(gone * (1 - self.part) / self.part)} left"
        self.stream.write("\r" + line + " " * max(0, self.width - len(line)))
        self.stream.flush()
        self.drawn, self.width = now, len(line)

    def close(self) -> None:
        if self.width:
            self.stream.write("\r" + " " * self.width + "\r")
            self.stream.flush()
            self.width = 0


class Silence:
    """The same without a word."""

    def tick(self, what: str, step: int) -> None:
        pass

    def event(self, stage: str, done: float, total: float, line: str) -> None:
        pass

    def close(self) -> None:
        pass
