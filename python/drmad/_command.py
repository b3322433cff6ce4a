"""The command `drmad`, as the wheel installs it: hands over to the binary inside the package."""

from __future__ import annotations

import os
import pathlib
import sys


def main() -> None:
    """Becomes the C command; its arguments and exit status are those of the manual."""
    binary = pathlib.Path(__file__).parent / "_native" / "drmad"
    if not binary.exists():
        sys.exit(f"drmad: {binary} is missing: install the wheel, or run build/release/drmad")
    os.execv(binary, ["drmad", *sys.argv[1:]])
