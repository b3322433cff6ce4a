"""drmad's callback route, by the Python package of the working tree: a plain module and a plain
DataLoader, as users give them. Timed are whole meta-steps of drmad.tune, from the start of a
training run to the start of the next one, with all that lies between.

VARIANT  full, grid   the trajectory

Besides the contract: `inside`, the seconds of each hypergradient spent in the five callbacks'
oracle, and `derivatives`, those spent in loss_fn and torch.autograd alone, of
`strict` seconds in a second measurement (it slows what it counts)."""

import json
import os
import pathlib
import sys
import tempfile
import time

import torch
import torch.autograd.forward_ad as forward_ad
from common import BATCH, DECAY, LR, MOMENTUM, ROOT, TRAIN, Task, forget_peak
from common import make_task, peak, pin, said
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

sys.path.insert(0, str(ROOT / "python"))
os.environ.setdefault("DRMAD_LIBRARY", str(ROOT / "build" / "release" / "libdrmad.so"))

from drmad.hyper import weight_decay  # noqa: E402
from drmad.result import read_safetensors  # noqa: E402
from drmad.tuning import Job  # noqa: E402

CALLBACKS = ("start", "gradient", "product", "evaluate", "examples")
PYTORCH = [(torch.autograd, "grad"), (forward_ad, "make_dual"), (forward_ad, "unpack_dual")]


class Clock:
    """Counts the time of a job's callbacks from outside; nothing in drmad is changed."""

    def __init__(self, job: Job, strict: bool = False) -> None:
        self.inside = self.derivatives = 0.0
        self.marks: list[tuple[float, float, float]] = []
        for name in CALLBACKS:
            setattr(job.oracle, name, self._timed(name, getattr(job.oracle, name)))
        self.kept = [(m, n, getattr(m, n)) for m, n in PYTORCH]
        if strict:
            job.oracle.loss_fn = self._counted(job.oracle.loss_fn)
            for module, name, function in self.kept:
                setattr(module, name, self._counted(function))

    def close(self) -> None:
        for module, name, function in self.kept:
            setattr(module, name, function)

    def _timed(self, name: str, function):
        def call(*args):
            begin = time.process_time()
            if name == "start":
                self.marks.append((begin, self.inside, self.derivatives))
            try:
                return function(*args)
            finally:
                self.inside += time.process_time() - begin

        return call

    def _counted(self, function):
        def call(*args, **named):
            begin = time.process_time()
            try:
                return function(*args, **named)
            finally:
                self.derivatives += time.process_time() - begin

        return call

    def spans(self, column: int, rounds: int) -> list[float]:
        """Per meta-step, the first one left out; column 0 total, 1 inside, 2 derivatives."""
        values = [m[column] for m in self.marks[1 : rounds + 2]]
        return [b - a for a, b in zip(values[:-1], values[1:])]


def make_job(task: Task, out: str, trajectory: str, meta_steps: int) -> Job:
    """The task in drmad's words; the order of an epoch is a batch_sampler's."""
    order = task.index[: TRAIN // BATCH].tolist()
    train = DataLoader(TensorDataset(task.x, task.y), batch_sampler=order)
    return Job(
        task.module(),
        lambda model, batch: cross_entropy(model(batch[0]), batch[1]),
        train=train,
        valid=DataLoader(TensorDataset(*task.valid), batch_size=len(task.valid[0])),
        test=None,
        optimizer=lambda p: torch.optim.SGD(p, lr=LR, momentum=MOMENTUM),
        steps=task.steps,
        hyper=[weight_decay(per="unit-out", start=DECAY)],
        trajectory=trajectory,
        meta_steps=meta_steps,
        seeds=1,
        out=out,
        progress=False,
        outer__audit_every="never",
        threads=1,
    )


def vector(task: Task, trajectory: str) -> torch.Tensor:
    """dF/d(decay) at the start, as drmad.why writes it."""
    with tempfile.TemporaryDirectory() as out:
        job = make_job(task, out, trajectory, 1)
        with job.bridge() as bridge:
            bridge.call("why")
        kept = read_safetensors(pathlib.Path(out) / "hypergradients.safetensors")
        names = [f"weight_decay/{n}" for n, *_ in job.oracle.tensors]  # the file's are sorted
        return torch.cat([kept[n].double().flatten() for n in names if n in kept])


def timed(task: Task, trajectory: str, rounds: int, strict: bool = False) -> Clock:
    """`rounds` meta-steps after one to warm up."""
    with tempfile.TemporaryDirectory() as out:
        job = make_job(task, out, trajectory, rounds + 1)
        clock = Clock(job, strict)
        try:
            with job.bridge() as bridge:
                bridge.call("tune", 0)
        finally:
            clock.close()
        return clock


def main() -> None:
    pin()
    net, steps, rounds, variant = said()
    trajectory = variant or "full"
    vector(make_task(net, 3), trajectory)
    task = make_task(net, steps)
    before = forget_peak()
    clock = timed(task, trajectory, rounds)
    growth = peak() - before
    strict = timed(task, trajectory, 2, strict=True) if steps <= 200 else None
    h = vector(task, trajectory) if steps <= 200 else torch.zeros(0)
    print(json.dumps({
        "peer": "drmad", "variant": variant, "net": net, "steps": steps,
        "seconds": clock.spans(0, rounds), "inside": clock.spans(1, rounds),
        "strict": strict.spans(0, 2) if strict else [],
        "derivatives": strict.spans(2, 2) if strict else [],
        "growth": growth, "hypergradient": h.tolist(),
        "note": f"batches of {BATCH}; any of lr, momentum, decay, l1, l2, init, example weights",
    }))  # fmt: skip


if __name__ == "__main__":
    main()
