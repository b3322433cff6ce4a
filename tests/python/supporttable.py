"""Writes and reads docs/SUPPORT.md; tools/support-table calls it."""

from __future__ import annotations

import argparse
import pathlib

import house
import support
import torch
from models import WORKS, Case
from refused import REFUSED

PAGE = house.ROOT / "docs" / "SUPPORT.md"

HEAD = """# Which models work

Made by `tools/support-table` from `tests/python/models.py` and `tests/python/refused.py`; do not
edit. `tests/python/test_support.py` fails when a line is no longer true. Measured with {versions}
on {machine}, one thread.

**Works** means: through `drmad.tune`'s own path (Python package, C library, trajectory `full`),
the hypergradient of a run with learning rates per layer and phase, momentum per layer and weight
decay per output unit agrees in float64 with torch's double backward through the whole unrolled
run. *Error* is the largest relative difference over the three kinds (SGD with momentum .9, T =
{short} steps, 20 for MLP, LeNet, ResNet and GPT).

**Derivatives**: how the product with the second derivative is taken at each step back. *Forward
over reverse* differentiates the gradient in forward mode; *double backward* differentiates it in
reverse mode. A probe of one batch tries both and picks one.

**Cost** is the time of one hypergradient (training run, evaluation and walk back, with everything
that Python and C add) in plain PyTorch training runs of the same T = {steps} steps: float32,
{batch} examples a batch, median of {repeats} pairs. These models are so small that calls weigh
more than arithmetic. Tuning takes one hypergradient a meta-step.
"""

POLICY = """
## Policies

* **BatchNorm** trains on batch statistics. The objective uses the running statistics, and they
  are differentiated: a hyperparameter also acts through them. `bn="frozen"` takes them as
  constants. Any other buffer that a step changes counts as far as autograd sees the update; one
  that it cannot see, or that the training loss reads, is refused.
* **Dropout** and whatever else draws from torch's, `random`'s or `numpy.random`'s global
  generators is drawn again from (seed, step) on the way back, so that the masks are the same.
  Counters in integer buffers are set again too.
* **Attention** runs on torch's math back end: the fused ones have no second derivative.
  **Recurrent layers** run without cuDNN and oneDNN, for the same reason.
* **grid_sample** has a second derivative in PyTorch 2.13 and none in 2.5 and 2.9, where the probe
  refuses it by name. All else in these tables is the same under 2.5.1, 2.9.1 and 2.13.0.
* **Parameters without a gradient at a step** (a layer left out at random) take a zero one: their
  momentum and decay go on, as after `zero_grad(set_to_none=False)`. torch's default leaves such
  parameters alone for that step.
* **Frozen parameters** (`requires_grad=False`) stay as they are and take no hyperparameter.
  **Tied weights** are one tensor.
* **engine="native"** ([native.md](python/native.md)) takes most of the working models above. It
  refuses by name: stochastic depth (Python's random), annealed (a
  counter in a buffer), BatchNorm1d with momentum=None, and bn="frozen" with running statistics.
  Tabular regression is refused by the check of derivatives: on PyTorch 2.13 the second derivative
  of torch's fused weight_norm is not that of the operations it stands for.
* The user's module is never changed; drmad works on a copy.
"""


def machine() -> str:
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "an unknown machine"


def committed(text: str) -> dict[str, str]:
    """Name -> "works" or "refused" as the page says."""
    cells = [[c.strip() for c in line.split("|")[1:-1]] for line in text.splitlines()
             if line.startswith("|")]  # fmt: skip
    return {c[0]: c[1] for c in cells if len(c) > 1 and c[1] in ("works", "refused")}


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def working_line(case: Case, timed: bool) -> str:
    """A line of the upper table; what does not work says why."""
    count = sum(p.numel() for p in case.module(torch.float32).parameters() if p.requires_grad)
    try:
        worst, answer = support.compare(case)
    except Exception as e:
        return f"| {case.name} | refused | {_cell(str(e))} | {count} | | | |"
    verdict = "works" if worst <= 1e-11 else "wrong"
    how = answer.how.replace("reverse over reverse", "double backward")
    price = f"{support.cost(case):.1f}" if timed else ""
    what = _cell(case.what)
    return f"| {case.name} | {verdict} | {what} | {count} | {how} | {worst:.0e} | {price} |"


def refused_line(case) -> str:
    try:
        said = support.refusal(case)
    except AssertionError as e:
        said = str(e)
    verdict = "works" if said is None else "refused"
    return f"| {case.name} | {verdict} | {_cell(case.what)} | {_cell(said or '')} |"


def make(timed: bool) -> str:
    head = HEAD.format(
        versions=f"PyTorch {torch.__version__}", machine=machine(), short=WORKS[1].steps,
        steps=support.TIMED_STEPS, batch=support.TIMED_BATCH, repeats=support.REPEATS,
    )  # fmt: skip
    lines = [head, "| model | | what it has | weights | derivatives | error | cost |",
             "|---|---|---|---|---|---|---|"]  # fmt: skip
    for case in WORKS:
        lines.append(working_line(case, timed))
        print(lines[-1], flush=True)
    lines += ["", "## Refused", "",
              "Before any work, by a probe of one batch, with what is wrong and what to do.", "",
              "| model | | what it has | what drmad says |", "|---|---|---|---|"]  # fmt: skip
    for case in REFUSED:
        lines.append(refused_line(case))
        print(lines[-1], flush=True)
    return "\n".join(lines) + "\n" + POLICY


def main() -> int:
    ap = argparse.ArgumentParser(prog="tools/support-table", description=__doc__)
    ap.add_argument(
        "--check", action="store_true", help="write nothing; fail where works/refused is other"
    )
    args = ap.parse_args()
    torch.set_num_threads(1)
    text = make(timed=not args.check)
    if not args.check:
        PAGE.write_text(text)
        return 0
    said, now = committed(PAGE.read_text()), committed(text)
    wrong = sorted(n for n in {*said, *now} if said.get(n) != now.get(n))
    for n in wrong:
        print(f"{PAGE}: {n}: says {said.get(n)}, is {now.get(n)}; run tools/support-table")
    return 1 if wrong else 0
