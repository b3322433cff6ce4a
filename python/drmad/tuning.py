"""Tuning a torch module: what users call."""

from __future__ import annotations

import json
import math
import numbers as kinds_of_numbers
import pathlib
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from . import hyper as hyper_module
from ._context import Context
from .bridge import Bridge, refuse_inside
from .engine import Native, check_engine
from .errors import ConfigError, Interrupted
from .groups import settle
from .hyper import KINDS, Hyper
from .optimizer import read_factors, read_optimizer
from .oracle import Oracle
from .progress import Progress, Silence, wanted
from .result import SCHEMA, Result, encode, native_result

RUNS_A_META_STEP = 2.0  # never less (docs/DESIGN 2: 2.17 and more), so that a budget ends the loop
MOST_META_STEPS = 10_000

# Parts of a training loop that users look for here, and what to do instead.
REFUSED = {
    "clip_norm": "clipping by norm is not differentiated yet; a lower start for lr, or l2, tames "
    "the same runs",
    "accumulate": "one step takes one batch; a loader with a k times larger batch_size gives the "
    "same gradient (batch norm then sees the larger batch)",
    "autocast": "second derivatives need float32 or float64 throughout; take autocast out of "
    "loss_fn",
    "ema": "averaged weights are not differentiated; evaluate the last weights",
    "epochs": "say steps=epochs * len(train)",
    "closure": "only optimizers without a closure are differentiated",
}
ALIASES = {
    "clip_grad_norm": "clip_norm",
    "clip_grad_norm_": "clip_norm",
    "max_grad_norm": "clip_norm",
    "max_norm": "clip_norm",
    "grad_clip": "clip_norm",
    "clip_grad_value": "clip_norm",
    "clip_value": "clip_norm",
    "gradient_clip_val": "clip_norm",
    "accumulation_steps": "accumulate",
    "accumulate_grad_batches": "accumulate",
    "gradient_accumulation_steps": "accumulate",
    "amp": "autocast",
    "fp16": "autocast",
    "bf16": "autocast",
    "precision": "autocast",
    "scaler": "autocast",
    "grad_scaler": "autocast",
    "swa": "ema",
    "max_epochs": "epochs",
}
# Keys of a study that an argument says.
BY_ARGUMENT = {
    "seed": "seed",
    "dtype": "the module's own dtype",
    "hyper": "hyper",
    "data": "train, valid and test",
    "model": "make_model",
    "optimizer": "optimizer and scheduler",
    "train.steps": "steps",
    "train.batch": "the loader's batch_size",
    "train.order": "the loader's order",
    "train.loss": "loss_fn",
    "train.label_smoothing": "loss_fn",
    "train.gce_q": "loss_fn",
    "train.label_flip": "loss_fn",
    "distill": "loss_fn",
    "outer.steps": "meta_steps",
    "outer.lr": "outer_lr",
    "trajectory.kind": "trajectory",
    "trajectory.memory": "memory",
    "budget": "budget",
    "retrain.seeds": "seeds",
    "baselines.random": "baselines",
    "output.dir": "out",
}


@dataclass(frozen=True)
class Budget:
    """When tuning ends at the latest: training-run equivalents or minutes."""

    runs: float | None = None
    minutes: float | None = None


def runs(n: float) -> Budget:
    """A budget of n training-run equivalents; a meta-step takes about 2.7."""
    if not n > 0:
        raise ValueError(f"runs({n}): a number above 0")
    return Budget(runs=float(n))


def minutes(n: float) -> Budget:
    """A budget of n minutes; retraining comes on top."""
    if not n > 0:
        raise ValueError(f"minutes({n}): a number above 0")
    return Budget(minutes=float(n))


# ---- settings ----


def _settings(settings: dict) -> list[str]:
    """More keys of a study ("outer.trust" or outer__trust) as overrides."""
    lines = []
    for name, value in settings.items():
        if name in REFUSED or name in ALIASES:
            what = ALIASES.get(name, name)
            raise ConfigError(f"{name}: refused: {REFUSED[what]}")
        key = name.replace("__", ".")
        for given, by in BY_ARGUMENT.items():
            if key == given or key.startswith(given + "."):
                raise ConfigError(f"{name}: is said by {by}")
        if "." not in key and key not in ("name", "threads", "device"):
            raise TypeError(
                f"unexpected argument {name!r}; keys of docs/STUDY.md are said as "
                "outer__trust=False"
            )
        lines.append(f"{key}={_text(value)}")
    return lines


def _text(x) -> str:
    if isinstance(x, bool) or x is None:
        return {True: "true", False: "false", None: "none"}[x]
    if isinstance(x, (list, tuple)):
        return "[" + ", ".join(_text(v) for v in x) + "]"
    return repr(x) if isinstance(x, float) else str(x)


def _declarations(hyper) -> list[Hyper]:
    made = [hyper] if isinstance(hyper, Hyper) else list(hyper)
    for i, h in enumerate(made):
        if callable(h) and getattr(h, "__module__", "") == hyper_module.__name__:
            made[i] = h()
        elif not isinstance(h, Hyper):
            raise TypeError(f"hyper: {h!r} is no declaration like drmad.lr(per='layer')")
    if not made:
        raise ConfigError("hyper: nothing is tuned; [drmad.lr(per='layer', phases=5)] is a start")
    return made


def _limits(budget: Budget | None, meta_steps: int | None) -> tuple[list[str], int | None]:
    """Overrides, and how many meta-steps there can be (None: the library's default)."""
    b, lines = budget or Budget(), []
    if not isinstance(b, Budget):
        raise TypeError(f"budget: {b!r}; drmad.runs(60) or drmad.minutes(30)")
    if b.runs is not None:
        lines.append(f"budget.runs={b.runs!r}")
        most = max(1, math.ceil(b.runs / RUNS_A_META_STEP))
        meta_steps = most if meta_steps is None else meta_steps
    if b.minutes is not None:
        lines.append(f"budget.minutes={b.minutes!r}")
        meta_steps = MOST_META_STEPS if meta_steps is None else meta_steps
    if meta_steps is not None:
        lines.append(f"outer.steps={int(meta_steps)}")
    return lines, meta_steps


def _wrong(model: torch.nn.Module, batch) -> torch.Tensor:
    """0 or 1 an example: whether the largest of the model's scores is not the label's."""
    x, y = batch
    return (model(x).argmax(1) != y).to(torch.float32)


def _usual_metric(oracle: Oracle):
    """_wrong where batches are (inputs, labels) and the module scores classes, else None."""
    batch = next(iter(oracle.parts[1].in_order()))
    if not isinstance(batch, (tuple, list)) or len(batch) != 2:
        return None
    y = batch[1]
    if not isinstance(y, torch.Tensor) or y.dtype != torch.int64 or y.dim() != 1:
        return None
    try:
        with torch.no_grad():
            scores = oracle.net.mode(False)(batch[0].to(oracle.device))
    except Exception:  # it wants something else of the batch: loss_fn knows, we do not
        return None
    fits = isinstance(scores, torch.Tensor) and scores.dim() == 2 and len(scores) == len(y)
    return _wrong if fits and scores.is_floating_point() else None


class Job:
    """A study over a user's module, from the arguments that tune, why, check and estimate share."""

    def __init__(self, make_model, loss_fn, *, train, valid, test, optimizer, steps, hyper,
                 budget=None, scheduler=None, metric=None, meta_steps=None, outer_lr=None,
                 trajectory="auto", memory="2GiB", seed=1, seeds=3, baselines=0, out=None,
                 progress=True, bn="differentiated", engine="callback", vectors=None,
                 **settings):  # fmt: skip
        if any(torch.is_autocast_enabled(device) for device in ("cpu", "cuda")):
            raise ConfigError(f"autocast: refused: {REFUSED['autocast']}")
        more = _settings(settings)
        if not isinstance(steps, kinds_of_numbers.Integral) or steps < 1:
            raise ConfigError(f"steps: {steps!r}; a whole number from 1")
        self.hyper, self.steps, self.seed = _declarations(hyper), int(steps), int(seed)
        limits, self.meta_steps = _limits(budget, meta_steps)
        self.oracle = Oracle(make_model, loss_fn, train, valid, test, metric=metric,
                             seed=self.seed, bn=bn, hyper=self.hyper)  # fmt: skip
        check_engine(engine, self.oracle, metric=metric, bn=bn, vectors=vectors,
                     device=settings.get("device", "cpu"))  # fmt: skip
        self.engine, self.make_model = engine, make_model
        if metric is None:
            self.oracle.metric = _usual_metric(self.oracle)
        read = read_optimizer(optimizer, make_model)
        self.factors = read_factors(scheduler, read, self.steps)
        self.scheduled = scheduler is not None
        self.cls, tensors = getattr(torch.optim, read["class"]), self.oracle.tensors
        self.options, declared = settle(read, self.hyper, tensors, self.scheduled)
        self.name = settings.get("name") or self.oracle.name
        self.out = pathlib.Path(out) if out is not None else pathlib.Path("runs") / self.name
        self.budget, self.want_progress, self.vectors = budget or Budget(), progress, vectors
        self.overrides = [
            f"name={self.name}",
            f"seed={self.seed}",
            f"dtype={'f64' if self.oracle.dtype == torch.float64 else 'f32'}",
            f"train.steps={self.steps}",
            *(f"optimizer.{k}={_text(v)}" for k, v in self.options.items()),
            hyper_module.override(declared, self.scheduled),
            f"trajectory.kind={trajectory}",
            f"trajectory.memory={memory}",
            f"retrain.seeds={int(seeds)}",
            f"baselines.random={int(baselines)}",
            f"output.dir={json.dumps(str(self.out))}",
            *([f"outer.lr={float(outer_lr)!r}"] if outer_lr is not None else []),
            *limits,
            *(line for line in more if not line.startswith("name=")),
        ]

    @contextmanager
    def bridge(self):
        """The study, open; closed at the end."""
        progress = self._progress()
        try:
            with Context() as context:
                bridge = self._bridge(context, progress)
                try:
                    bridge.study(self.overrides)
                    yield bridge
                finally:
                    bridge.close()
        finally:
            self.oracle.close()
            progress.close()

    def _bridge(self, context: Context, progress) -> Bridge:
        if self.engine == "native":
            return Native(context, self.oracle, self.make_model, progress, self.factors)
        return Bridge(context, self.oracle, progress, self.factors, self.vectors)

    def _progress(self):
        if not self.want_progress or not wanted():
            return Silence()
        return Progress(self.steps, self.budget.runs, self.budget.minutes, self.meta_steps)

    # ---- results ----

    def result(self, bridge: Bridge) -> Result:
        notes = list(getattr(self.oracle, "notes", []))
        data = {
            "drmad_result": SCHEMA,
            "name": self.name,
            "seed": self.seed,
            "steps": self.steps,
            "optimizer": {"class": f"torch.optim.{self.cls.__name__}", **self.options},
            "schedule": self.factors,
            "tensors": {},
            "run": json.loads(bridge.result_json()),
            "notes": notes,
        }
        for number, (name, shape, role, layer) in enumerate(self.oracle.tensors):
            entry = {"shape": list(shape), "role": role, "layer": layer}
            for h in self.hyper:
                if h.reaches(name, role):
                    entry[h.kind] = self._track(bridge, h, number, tuple(shape))
            data["tensors"][name] = entry
        for h in self.hyper:
            if h.kind == "example_weight":
                data["example_weight"] = self._examples(bridge, h)
        return Result(data, self.cls)

    def _track(self, bridge: Bridge, h: Hyper, number: int, shape: tuple) -> dict:
        """All values of one declaration for one tensor, [rows, *shape in use]."""
        count = math.prod(shape)
        used = hyper_module.use_shape(h.per, shape)
        scheduled = h.kind == "lr" and h.multiplies(self.scheduled)
        rows, n = [], h.rows(self.steps)
        for k in range(n):
            step, factor = self._row_start(k, n, scheduled)
            v, _ = bridge.value(h.kind, number, step, count)
            v = v.reshape(shape)
            for d, size in enumerate(used):
                v = v.narrow(d, 0, size)
            rows.append(v.clone() / factor)
        return {**encode(torch.stack(rows)), "scheduled": scheduled}

    def _row_start(self, k: int, n: int, scheduled: bool) -> tuple[int, float]:
        """A step of phase k of n at which the schedule is not zero, and its factor there."""
        first, end = k * self.steps // n, (k + 1) * self.steps // n
        factors = self.factors or [1.0] * self.steps
        t = next((t for t in range(first, end) if factors[t] != 0), first) if scheduled else first
        return t, (factors[t] or 1.0) if scheduled else 1.0

    def _examples(self, bridge: Bridge, h: Hyper) -> dict:
        n, count = h.rows(self.steps), self.oracle.sizes[0] if h.per == "example" else 1
        rows = [
            bridge.value(h.kind, -1, k * self.steps // n, count)[0] for k in range(n)
        ]
        return encode(torch.stack(rows))


# ---- what users call ----


def tune(make_model, loss_fn, *, train, valid, test=None, optimizer, steps, hyper, budget=None,
         scheduler=None, metric=None, meta_steps=None, outer_lr=None, trajectory="auto",
         memory="2GiB", seed=1, seeds=3, baselines=0, out=None, resume=False, progress=True,
         bn="differentiated", engine="callback", **settings) -> Result:  # fmt: skip
    """Tunes what `hyper` declares by hypergradients, then retrains from scratch and compares.

    make_model   () -> nn.Module with fresh weights, or a Module, whose weights every run then
                 starts from; it is never changed
    loss_fn      (model, batch) -> mean loss of the batch, or one loss an example ([B])
    train, valid, test
                 loaders or data sets; only the final report looks at test
    optimizer    params -> torch.optim.SGD, RMSprop, Adam, AdamW or NAdam, or one: gives the class
                 and the start values
    steps        training steps of one run
    hyper        declarations: [drmad.lr(per="layer", phases=5), drmad.weight_decay()]
    budget       drmad.runs(60) or drmad.minutes(30); None: 20 meta-steps
    scheduler    optimizer -> torch scheduler that moves lr alone, stepped each step; declarations
                 of lr then multiply it
    metric       (model, batch) -> share of wrong answers, or 0/1 an example; None: of class scores
                 where batches are (inputs, labels) and model(inputs) gives [B, classes]
    meta_steps   updates of the hyperparameters at most; None: what the budget allows
    outer_lr     their step on the transformed scale; None: 0.05
    trajectory, memory
                 what is kept of a run to walk it back: "auto", "full", "replay", "grid", "line", in
                 at most `memory`
    seed, seeds  of everything random; how many runs are retrained
    baselines    runs of random search to compare with
    out          folder of the run; None: runs/NAME
    resume       go on from the checkpoint in `out`
    progress     draw a line on stderr where somebody watches
    bn           "differentiated" or "frozen" running statistics
    engine       "callback": torch computes losses and derivatives; "native": the module is exported
                 and runs inside the library (docs/python/native.md), with device="cuda" on a GPU
    settings     any other key of docs/STUDY.md, as outer__trust=False; or vectors="torch": flat
                 vectors are torch's also on a CPU, as they are on every other device

    Raises ValueError, TypeError or drmad.Error naming what is wrong; what loss_fn raises comes out
    as it is; drmad.Interrupted after Ctrl-C, when a checkpoint is written."""
    refuse_inside("drmad.tune")
    arguments = {k: v for k, v in locals().items() if k not in ("settings", "resume")}
    job = Job(**arguments, **settings)
    with job.bridge() as bridge:
        try:
            bridge.call("tune", int(bool(resume)))
        except Interrupted as e:
            raise Interrupted(
                f"{_reason(e)}; go on with drmad.tune(..., out={str(job.out)!r}, resume=True)"
            ) from None
        result = job.result(bridge)
    result.to_json(job.out / "python.json")
    return result


def _reason(e: Interrupted) -> str:
    return str(e).removesuffix("; go on with --resume")


@dataclass(frozen=True)
class Why:
    """What acts on the objective, from one run and one walk back.

    sensitivities  rows with slice, kind, phase, dF_dlog (dF/dlog h), gain_10_percent, strongest
                   first; the first three with audit_dF_dlog, the same by forward mode
    harmful        [(number of a training example, dF/dlog weight)]: those whose smaller weight
                   lowers the objective most; [] when loss_fn gives no loss an example
    text           the table as the command prints it"""

    sensitivities: list[dict]
    harmful: list[tuple[int, float]]
    text: str
    run: dict

    def __str__(self) -> str:
        return self.text


def why(make_model, loss_fn, *, train, valid, optimizer, steps, hyper=None, harmful=50, out=None,
        **more) -> Why:  # fmt: skip
    """How strongly each hyperparameter acts, and which training examples harm, without any search.
    Arguments as in tune; hyper None: rates and decays per layer, momentum, and the examples where
    loss_fn returns one loss an example."""
    refuse_inside("drmad.why")
    arguments = {"train": train, "valid": valid, "test": more.pop("test", None),
                 "optimizer": optimizer, "steps": steps, "out": out}  # fmt: skip
    hyper = _declarations(hyper) if hyper is not None else None
    job = Job(make_model, loss_fn, hyper=hyper or _usual(), **arguments, **more)
    if hyper is None and getattr(job.oracle, "per_example", False):
        job = Job(make_model, loss_fn, hyper=[*_usual(), hyper_module.example_weight()],
                  **arguments, **more)  # fmt: skip
    with job.bridge() as bridge:
        bridge.call("why")
        run, text = json.loads(bridge.result_json()), bridge.result_text()
    return Why(run["sensitivities"], _harmful(job, harmful), text, run)


def _usual() -> list[Hyper]:
    return [
        hyper_module.lr(per="layer", phases=5),
        hyper_module.weight_decay(per="layer"),
        hyper_module.momentum(per="layer"),
    ]


def _harmful(job: Job, count: int) -> list[tuple[int, float]]:
    """From dF/dv: a positive one says that F falls when the example's weight does."""
    from .result import read_safetensors

    mine = [h for h in job.hyper if h.kind == "example_weight" and h.per == "example"]
    if not mine:
        return []
    g = read_safetensors(job.out / "hypergradients.safetensors")["example_weight"].sum(0)
    g = g * (mine[0].start if mine[0].start is not None else 1.0)
    order = torch.argsort(g, descending=True, stable=True)[:count]
    return [(int(i), float(g[i])) for i in order if g[i] > 0]


@dataclass(frozen=True)
class Estimate:
    """What tuning would cost: training-run equivalents, hours, bytes at the peak."""

    runs: float
    hours: float
    peak_bytes: int
    trajectory: str
    text: str

    def __str__(self) -> str:
        return self.text


def estimate(make_model, loss_fn, **arguments) -> Estimate:
    """What tune with the same arguments would cost; a few steps are timed, nothing is trained."""
    refuse_inside("drmad.estimate")
    job = _job(make_model, loss_fn, arguments)
    with job.bridge() as bridge:
        bridge.call("dry_run")
        r, text = json.loads(bridge.result_json()), bridge.result_text()
    return Estimate(r["runs"], r["hours"], r["peak_bytes"], r["trajectory"], text)


@dataclass(frozen=True)
class Check:
    """The derivatives of a study against forward mode, along one direction a slice."""

    slices: int
    wrong: int
    worst: float
    text: str

    def __str__(self) -> str:
        return self.text


def check(make_model, loss_fn, **arguments) -> Check:
    """Proves the derivatives on 20 steps of the same training. Raises drmad.Error when one is
    wrong. Sharpest with a module in float64."""
    refuse_inside("drmad.check")
    job = _job(make_model, loss_fn, arguments)
    with job.bridge() as bridge:
        bridge.call("check")
        r, text = json.loads(bridge.result_json()), bridge.result_text()
    return Check(r["slices"], r["wrong"], r["worst_relative_error"], text)


def _job(make_model, loss_fn, arguments: dict) -> Job:
    arguments = {"test": None, **arguments}
    arguments.pop("resume", None)
    return Job(make_model, loss_fn, **arguments)
