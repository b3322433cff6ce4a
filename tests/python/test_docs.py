"""Every page of docs/python holds one script, and it runs: below a minute on one quiet core."""

import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

from house import ROOT, main

DATA = ROOT.parent / "shared" / "data"


def notebook(page: pathlib.Path) -> str:
    """The code of a notebook; where there is no matplotlib, with plots that do nothing."""
    cells = json.loads(page.read_text())["cells"]
    text = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")
    if importlib.util.find_spec("matplotlib"):
        return "import matplotlib\nmatplotlib.use('Agg')\n" + text
    fake = "from unittest.mock import MagicMock\nplt = MagicMock()\n"
    fake += "plt.subplots.return_value = (plt, [plt] * 8)\n"
    return fake + text.replace("import matplotlib.pyplot as plt\n", "")


def script(page: pathlib.Path):
    def test():
        blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
        blocks = [notebook(page)] if page.suffix == ".ipynb" else blocks
        assert len(blocks) == 1, f"{len(blocks)} scripts"
        env = {**os.environ, "PYTHONPATH": str(ROOT / "python"), "OMP_NUM_THREADS": "1"}
        if DATA.exists():
            env.setdefault("DRMAD_DATA", str(DATA))
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "page.py"
            path.write_text(blocks[0])
            begun = time.monotonic()
            done = subprocess.run([sys.executable, path], cwd=folder, env=env, text=True,
                                  capture_output=True, timeout=600)  # fmt: skip
            took = time.monotonic() - begun
        assert done.returncode == 0, done.stdout + done.stderr
        if os.environ.get("DRMAD_SHOW"):
            print(done.stdout, f"{took:.0f} s", done.stderr)

    return test


def readme_example_is_twelve_lines():
    """The one of the front page is that of docs/python, which runs above."""
    here, there = ((ROOT / p / "README.md").read_text() for p in ("docs/python", "."))
    block = re.search(r"^```python\n(.*?)^```", here, re.MULTILINE | re.DOTALL)[0]
    assert len(block.splitlines()) <= 14, len(block.splitlines())
    assert block in there, "README.md has another example"


TESTS = {p.stem.lower(): script(p) for p in sorted((ROOT / "docs" / "python").glob("*.md"))}
TESTS["tour"] = script(ROOT / "docs" / "python" / "tour.ipynb")
TESTS["readme_example_is_twelve_lines"] = readme_example_is_twelve_lines

if __name__ == "__main__":
    main(TESTS)
