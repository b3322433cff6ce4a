"""What is tuned: declarations, in the words of docs/STUDY.md.

    drmad.lr(per="layer", phases=5)         a learning rate for each layer in each fifth of a run
    drmad.weight_decay(per="unit-out")      a decay for each output neuron or channel
    drmad.example_weight(per="example")     a weight for each training example

Each becomes an entry of the study's `hyper` list. A value that is left out is the library's own
default: `start` is then what the optimizer says.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

TENSOR_PERS = ("global", "layer", "tensor", "unit-in", "unit-out", "weight")
EXAMPLE_PERS = ("example",)
TRANSFORMS = ("auto", "log", "logit", "identity")

# What each kind can have a value for, and whether it changes in time and multiplies a base.
KINDS = {
    "lr": (TENSOR_PERS, True, True),
    "momentum": (TENSOR_PERS, True, True),
    "weight_decay": (TENSOR_PERS, True, True),
    "beta1": (TENSOR_PERS, True, False),
    "beta2": (TENSOR_PERS, True, False),
    "eps": (TENSOR_PERS, True, True),
    "l2": (TENSOR_PERS, True, True),
    "l1": (TENSOR_PERS, True, True),
    "init_scale": (TENSOR_PERS, False, False),
    "example_weight": (EXAMPLE_PERS, True, False),
}
WEIGHTS_ONLY = ("weight_decay", "l2", "l1")

# Kinds of a study file that live inside the library's own loss or data; a module brings its own.
NATIVE_ONLY = {
    "label_smoothing": "your loss_fn computes the loss, so it belongs there",
    "gce_q": "your loss_fn computes the loss, so it belongs there",
    "label_flip": "your loss_fn computes the loss, so it belongs there",
    "distill_weight": "your loss_fn computes the loss, so it belongs there",
    "distill_temperature": "your loss_fn computes the loss, so it belongs there",
    "auxiliary": "your loss_fn computes the loss, so it belongs there",
    "dropout": "your module draws its own masks, so it belongs there",
    "brightness": "your loader and module see the inputs, so it belongs there",
    "contrast": "your loader and module see the inputs, so it belongs there",
    "erasing": "your loader and module see the inputs, so it belongs there",
    "noise": "your loader and module see the inputs, so it belongs there",
    "mixup": "your loader and module see the inputs, so it belongs there",
    "input_scale": "your loader and module see the inputs, so it belongs there",
    "loss_weight": "your loss_fn computes the loss; tune example_weight instead",
}


@dataclass(frozen=True)
class Hyper:
    """One declaration.

    kind        "lr", "momentum", "weight_decay", "beta1", "beta2" (RMSprop's alpha too), "eps",
                "l2", "l1", "init_scale", "example_weight"
    per         what has a value of its own: "global", "layer", "tensor", "unit-in", "unit-out",
                "weight"; for example_weight "example"
    phases      1, a number of phases of equal length, or "every-step"
    start       first value; None: what the optimizer says, 1 for a multiplier
    low, high   bounds; None: the kind's own
    multiplier  the value multiplies the scheduled (or constant) value; None: it does for lr when
                `tune` is given a scheduler
    match       globs on full parameter names ("blocks.*.weight,head.*"); None: weight tensors for
                weight_decay, l2 and l1, everything for the others
    transform   "auto", "log", "logit" or "identity": the scale on which values move
    ties        [{"per": "global", "until": 5}, ...]: coarser until that meta-step
    smooth      in phases: a value moves by the average of the hypergradients around its phase,
                weights e^(-distance/smooth); 0: by its own; None: a fifth of the steps for
                "every-step", else 0

    Raises ValueError for a word that does not exist, naming those that do.
    """

    kind: str
    per: str = "global"
    phases: int | str = 1
    start: float | None = None
    low: float | None = None
    high: float | None = None
    multiplier: bool | None = None
    match: str | None = None
    transform: str = "auto"
    ties: tuple = field(default=())
    smooth: float | None = None

    def __post_init__(self) -> None:
        if self.kind in NATIVE_ONLY:
            raise ValueError(f"{self.kind}: not for a module: {NATIVE_ONLY[self.kind]}")
        if self.kind not in KINDS:
            raise ValueError(f"{self.kind!r} cannot be tuned; one of {', '.join(KINDS)}")
        pers, in_time, has_base = KINDS[self.kind]
        if self.per not in pers:
            raise ValueError(f"{self.kind}: no value per {self.per!r}; one of {', '.join(pers)}")
        if self.transform not in TRANSFORMS:
            raise ValueError(
                f"{self.kind}: no transform {self.transform!r}; one of {', '.join(TRANSFORMS)}"
            )
        self._check_phases(in_time)
        if self.multiplier and not has_base:
            raise ValueError(f"{self.kind}: has no base value that a multiplier could multiply")
        if self.match is not None and self.kind == "example_weight":
            raise ValueError("example_weight: is not about parameters, so `match` has no meaning")
        if self.ties and self.kind == "example_weight":
            raise ValueError("example_weight: has a value an example from the start; no ties")
        object.__setattr__(self, "ties", tuple(dict(t) for t in self.ties))

    def _check_phases(self, in_time: bool) -> None:
        p = self.phases
        if p == "constant":
            object.__setattr__(self, "phases", 1)
        elif p != "every-step" and (isinstance(p, bool) or not isinstance(p, int) or p < 1):
            raise ValueError(f"{self.kind}: phases={p!r}; a whole number from 1, or 'every-step'")
        if self.phases != 1 and not in_time:
            raise ValueError(f"{self.kind}: the start of training has no phases; leave them out")

    def reaches(self, name: str, role: str) -> bool:
        """Whether the parameter `name` of role "weight", "bias" or "norm" has a value from here."""
        if self.kind == "example_weight":
            return False
        if self.match is not None:
            return any(fnmatchcase(name, glob) for glob in self.match.split(","))
        return self.kind not in WEIGHTS_ONLY or role == "weight"

    def rows(self, steps: int) -> int:
        """How many values follow each other in time over `steps` training steps."""
        return steps if self.phases == "every-step" else int(self.phases)

    def entry(self, scheduled: bool = False) -> dict:
        """The entry of a study's `hyper` list; `scheduled`: the run has a schedule."""
        e: dict[str, object] = {"kind": self.kind, "per": self.per}
        if self.phases != 1:
            e["phases"] = self.phases
        for key in ("smooth", "start", "low", "high"):
            if getattr(self, key) is not None:
                e[key] = float(getattr(self, key))
        if self.multiplies(scheduled):
            e["multiplier"] = True
        if self.match is not None:
            e["match"] = self.match
        if self.transform != "auto":
            e["transform"] = self.transform
        if self.ties:
            e["ties"] = list(self.ties)
        return e

    def multiplies(self, scheduled: bool) -> bool:
        """Whether values multiply the schedule, once it is known if there is one."""
        return bool(scheduled and self.kind == "lr" if self.multiplier is None else self.multiplier)


def override(declarations, scheduled: bool = False) -> str:
    """The one "hyper=[...]" override of a study that says all of them."""
    return "hyper=" + _flow([d.entry(scheduled) for d in declarations])


def _flow(x) -> str:
    """x in YAML's flow style: words bare, because a quoted word is text and nothing else."""
    if isinstance(x, dict):
        return "{" + ", ".join(f"{k}: {_flow(v)}" for k, v in x.items()) + "}"
    if isinstance(x, (list, tuple)):
        return "[" + ", ".join(_flow(v) for v in x) + "]"
    if isinstance(x, str) and not re.fullmatch(r"[a-z][a-z0-9_-]*", x):
        return json.dumps(x)
    return x if isinstance(x, str) else json.dumps(x)


def use_shape(per: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape in which one parameter's values are kept: those of `shape`, 1 where it shares."""
    rank = len(shape)
    if per == "weight":
        return tuple(shape)
    if per == "unit-out" and rank > 0:
        return (shape[0],) + (1,) * (rank - 1)
    if per == "unit-in" and rank > 1:
        return (1, shape[1]) + (1,) * (rank - 2)
    return (1,) * rank


def lr(per: str = "global", **more) -> Hyper:
    """Learning rates; see Hyper for the arguments."""
    return Hyper("lr", per, **more)


def momentum(per: str = "global", **more) -> Hyper:
    """Momentum of SGD and RMSprop; see Hyper for the arguments."""
    return Hyper("momentum", per, **more)


def weight_decay(per: str = "global", **more) -> Hyper:
    """Decay inside the optimizer, torch's `weight_decay`; see Hyper for the arguments."""
    return Hyper("weight_decay", per, **more)


def l2(per: str = "global", **more) -> Hyper:
    """A penalty l2/2 |w|^2 in the loss; see Hyper for the arguments."""
    return Hyper("l2", per, **more)


def l1(per: str = "global", **more) -> Hyper:
    """A penalty l1 |w| in the loss; see Hyper for the arguments."""
    return Hyper("l1", per, **more)


def init_scale(per: str = "global", **more) -> Hyper:
    """Factors of the initial weights; see Hyper for the arguments."""
    return Hyper("init_scale", per, **more)


def example_weight(per: str = "example", **more) -> Hyper:
    """Weights of training examples, 0 to 2; loss_fn must return one loss an example."""
    return Hyper("example_weight", per, **more)
