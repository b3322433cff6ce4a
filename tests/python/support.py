"""What test_support.py and tools/support-table share: a case through drmad's own path (oracle,
bridge, C library), what a refusal says, what a hypergradient costs."""

from __future__ import annotations

import pathlib
import statistics
import tempfile
import time
import warnings
from dataclasses import dataclass, replace

import torch
import house  # noqa: F401  puts python/ on the path
from models import Case
from unrolled import Run

import drmad.hyper as hyper
from drmad.result import read_safetensors
from drmad.seeds import mix
from drmad.tuning import Job

F64 = torch.float64
NOISE = 5  # drmad.oracle.NOISE, what a step's seed is mixed with: written here once more
BATCHES, BATCH = 5, 6
START = {"weight_decay": 0.01, "momentum": 0.9}


@dataclass
class Answer:
    """The hypergradients of a run by slice, the way of the second derivatives, the notes."""

    slices: dict[str, torch.Tensor]
    objective: float
    how: str
    notes: list[str]
    seeds: list[int]  # the run's seed as the oracle saw it, at each of the first steps
    tensors: list


def job_of(case: Case, model, train: list, valid: list, out: str) -> Job:
    return Job(
        model, case.loss, train=train, valid=valid, test=None,
        optimizer=lambda p: torch.optim.SGD(p, lr=case.lr, momentum=START["momentum"]),
        steps=case.steps,
        hyper=[hyper.lr(per="layer", phases=2), hyper.momentum(per="layer"),
               hyper.weight_decay(per="unit-out", start=START["weight_decay"])],
        trajectory="full", progress=False, out=out, **case.options,
    )  # fmt: skip


def by_drmad(case: Case, model, train: list, valid: list) -> Answer:
    """drmad.why's own path: one run, one walk back, audits."""
    with tempfile.TemporaryDirectory() as out, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        job = job_of(case, model, train, valid, out)
        seeds, times = _watch(job.oracle)
        with job.bridge() as bridge:
            bridge.call("why")
        path = pathlib.Path(out) / "hypergradients.safetensors"
        slices = {k: v.double() for k, v in read_safetensors(path).items()}
        objective = times["objective"]
    job.oracle.close()
    o = job.oracle
    return Answer(slices, objective, o.how, o.notes, seeds, o.tensors)


def _watch(oracle, once: bool = False) -> tuple[list[int], dict]:
    """Notes of the first run: its seed at each step, its objective, when it began and when the walk
    back was over, where the study ends if it is for `once`."""
    seeds: list[int] = []
    times: dict[str, float] = {}
    start, gradient = oracle.start, oracle.gradient
    product, evaluate = oracle.product, oracle.evaluate

    def first_start(seed, w):
        times.setdefault("start", time.perf_counter())
        start(seed, w)

    def noted_gradient(seed, step, *rest):
        if step == len(seeds):
            seeds.append(seed)
        return gradient(seed, step, *rest)

    def noted_product(seed, step, *rest):
        product(seed, step, *rest)
        if step == 0 and not rest[3]:
            times.setdefault("back", time.perf_counter())
            if once:
                raise Enough

    def noted_evaluate(part, examples, w, u, dw):
        got = evaluate(part, examples, w, u, dw)
        if dw is not None:
            times.setdefault("objective", got[0])
        return got

    oracle.start, oracle.gradient = first_start, noted_gradient
    oracle.product, oracle.evaluate = noted_product, noted_evaluate
    return seeds, times


def reaches(names_and_layers: list):
    """reach(slice, tensor): from the words in a slice's name. A layer is called by the path of its
    module, or by its number where the tensor belongs to no submodule."""

    def reach(slice_name: str, name: str) -> bool:
        kind, _, who = slice_name.partition("/")
        if kind == "weight_decay":
            return who == name
        layer = next(t.layer for t in names_and_layers if t.name == name)
        mine = [t.name for t in names_and_layers if t.layer == layer]
        if who.startswith("layer") and who == f"layer{layer}":
            return True
        return all(n.startswith(f"{who}.") for n in mine)

    return reach


def by_torch(case: Case, model, train: list, valid: list, answer: Answer):
    """The same slices at the same values, by the unrolled double backward."""
    start = {"lr": case.lr, **START}
    h = {k: torch.full(v.shape, start[k.partition("/")[0]], dtype=F64)
         for k, v in answer.slices.items()}  # fmt: skip
    seed_of = (lambda t: mix(answer.seeds[t], t, NOISE)) if case.drawn else None
    if case.twin is not None:
        twin = case.twin().to(F64)
        twin.load_state_dict(model.state_dict())
        model = twin
    run = Run(model, case.loss, frozen=case.options.get("bn") == "frozen", seed_of=seed_of)
    return run.hypergradients(h, reaches(answer.tensors), train, valid, case.steps)


def compare(case: Case, model=None) -> tuple[float, Answer]:
    """(the largest relative error over the kinds of hyperparameter, what drmad answered)."""
    model = case.module(F64) if model is None else model
    train, valid = case.batches(BATCHES, BATCH, F64, 2), case.batches(2, BATCH, F64, 3)
    answer = by_drmad(case, model, train, valid)
    value, want = by_torch(case, model, train, valid, answer)
    worst = abs(value - answer.objective) / abs(value)
    for kind in ("lr", "momentum", "weight_decay"):
        names = [k for k in want if k.startswith(kind)]
        a = torch.cat([answer.slices[k].flatten() for k in names])
        b = torch.cat([want[k].flatten() for k in names])
        assert float(b.norm()) > 1e-12, f"{kind}: nothing to compare"
        worst = max(worst, float((a - b).norm() / b.norm()))
    return worst, answer


class Enough(Exception):
    """Ends a study once its walk back is timed."""


def refusal(case) -> str | None:
    """What drmad.tune says to a model before any work, or None if it begins; AssertionError when
    it says so in other words than the case's."""
    train, valid = (case.batches(n, BATCH, torch.float32, 2 + n) for n in (2, 1))
    with tempfile.TemporaryDirectory() as out, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            job_of(case, case.module(torch.float32), train, valid, out)
        except Exception as e:
            text = str(e)
            missing = [w for w in case.words if w not in text]
            assert not missing, f"no {missing} in: {text}"
            kinds = [k.__name__ for k in type(e).__mro__]
            assert case.error in kinds, f"{type(e).__name__} instead of {case.error}: {text}"
            notes = getattr(e, "__notes__", [])
            return f"{type(e).__name__}: " + "; ".join([text, *notes])
    return None


# ---- cost ----

TIMED_STEPS, TIMED_BATCH, REPEATS = 20, 32, 5


def plain_seconds(case: Case, model, train: list) -> float:
    """One training run with torch.optim.SGD, as users write it."""
    model.train()
    params = [p for p in model.parameters() if p.requires_grad]
    opt = torch.optim.SGD(params, lr=1e-3, momentum=START["momentum"])
    begin = time.perf_counter()
    for t in range(TIMED_STEPS):
        opt.zero_grad()
        case.loss(model, train[t % len(train)]).backward()
        opt.step()
    return time.perf_counter() - begin


def cost(case: Case) -> float:
    """A hypergradient (a training run and the walk back, the C library's part included) in plain
    training runs: the median of REPEATS pairs."""
    f32 = torch.float32
    train, valid = case.batches(5, TIMED_BATCH, f32, 2), case.batches(1, TIMED_BATCH, f32, 3)
    ratios = []
    plain_seconds(case, case.module(f32), train)
    for _ in range(REPEATS):
        plain = plain_seconds(case, case.module(f32), train)
        ratios.append(_walk_seconds(case, train, valid) / plain)
    return statistics.median(ratios)


def _walk_seconds(case: Case, train: list, valid: list) -> float:
    case = replace(case, lr=1e-3, steps=TIMED_STEPS)
    with tempfile.TemporaryDirectory() as out, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        job = job_of(case, case.module(torch.float32), train, valid, out)
        _, times = _watch(job.oracle, once=True)
        try:
            with job.bridge() as bridge:
                bridge.call("why")
        except Enough:
            pass
    return times["back"] - times["start"]
