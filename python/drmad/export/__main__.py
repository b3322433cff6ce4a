"""python -m drmad.export module:function out/

function() gives (model or factory, loss_fn, batch): what drmad.tune takes, and one batch of as many
examples as a step has. The folder out/ then holds the graph (docs/GRAPH.md)."""

from __future__ import annotations

import argparse
import importlib
import os
import sys

from ..errors import Error
from .build import export_graph


def _function(text: str):
    """What MODULE:FUNCTION names; modules of the working folder count."""
    name, colon, attribute = text.partition(":")
    if not colon or not attribute:
        raise SystemExit(f"drmad.export: {text!r}: say MODULE:FUNCTION, such as train:for_export")
    sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as e:
        if e.name not in (name, name.partition(".")[0]):
            raise
        raise SystemExit(f"drmad.export: there is no module {name!r} here") from None
    function = getattr(module, attribute, None)
    if not callable(function):
        raise SystemExit(f"drmad.export: {name} has no function {attribute!r}")
    return function


def _asked(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m drmad.export", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("what", metavar="MODULE:FUNCTION")
    parser.add_argument("out", metavar="OUT", help="the folder that is written")
    parser.add_argument("--seed", type=int, default=1, help="of a factory's start weights [1]")
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    asked = _asked(argv)
    given = _function(asked.what)()
    if not isinstance(given, tuple) or len(given) != 3:
        print(f"drmad.export: {asked.what} must return (model, loss_fn, batch)", file=sys.stderr)
        return 2
    try:
        made = export_graph(*given, asked.out, seed=asked.seed)
    except Error as e:
        print(f"drmad.export: {e}", file=sys.stderr)
        return e.exit_status
    for note in made.notes:
        print(f"drmad.export: {note}", file=sys.stderr)
    nodes = [len(made.data[g]["nodes"]) for g in ("train", "evaluate")]
    print(f"{made.path}: {nodes[0]} nodes in training, {nodes[1]} in evaluation")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
