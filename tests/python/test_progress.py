"""The progress line: drawn where somebody watches, moved by events and steps, gone at the end."""

import io
import json
import sys
import types
from unittest import mock

from house import main

from drmad import progress
from drmad.progress import Progress, span, wanted


class Terminal(io.StringIO):
    def isatty(self):
        return True


def it_is_drawn_for_people_only():
    assert wanted(Terminal()) and not wanted(io.StringIO())


def it_is_drawn_in_a_notebook():
    class ZMQInteractiveShell:
        pass

    modules = {"ipykernel.zmqshell": types.SimpleNamespace(ZMQInteractiveShell=ZMQInteractiveShell),
               "IPython": types.SimpleNamespace(get_ipython=ZMQInteractiveShell)}  # fmt: skip
    with mock.patch.dict(sys.modules, modules):
        assert wanted(io.StringIO())
        modules["IPython"].get_ipython = lambda: None  # a script that imports ipykernel
        assert not wanted(io.StringIO())


def events_move_it():
    out = Terminal()
    p = Progress(100, runs=10.0, stream=out)
    p.event("tuning", 1, 5, json.dumps({"event": "meta-step", "step": 1, "spent_runs": 2.5,
                                        "objective": 0.5, "best": 0.4}))  # fmt: skip
    line = out.getvalue().split("\r")[-1]
    assert line.startswith("tuning |######....") and "objective 0.5, best 0.4" in line, line
    assert "left" in line and p.part == 0.25
    p.event("tuning", 2, 5, json.dumps({"event": "meta-step", "step": 2, "spent_runs": 11.0,
                                        "objective": None, "best": None}))  # fmt: skip
    assert p.part == 1.0
    p.close()
    assert out.getvalue().endswith("\r")
    p.close()


def ticks_are_few():
    out, progress.PAUSE = Terminal(), 0.2
    p = Progress(100000, stream=out)
    for t in range(100000):
        p.tick("step", t)
    assert out.getvalue().count("\r") < 20
    assert "step 1/100000" in out.getvalue()


def spans_are_short():
    assert [span(x) for x in (5, 600, 36000)] == ["5 s", "10 min", "10.0 h"]


if __name__ == "__main__":
    main({f.__name__: f for f in (it_is_drawn_for_people_only, it_is_drawn_in_a_notebook,
                                  events_move_it, ticks_are_few, spans_are_short)})  # fmt: skip
