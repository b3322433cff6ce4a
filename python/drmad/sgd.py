"""From the user's optimizer and scheduler, as optimizer.py reads them, to the words of a study: one
set of constants, one of the library's schedules."""

from __future__ import annotations

import math

import torch

from .errors import ConfigError
from .optimizer import NUMBERS, read_schedule
from .plain import schedule_factor

PLAIN = {"kind": "constant", "warmup": 0, "final": 0.0, "gamma": 0.1, "every": 500}
CLOSE = 1e-6  # of the factor; torch's own recursive schedulers round to about 1e-12


def constants(read: dict) -> dict:
    """{lr, momentum, dampening, weight_decay, nesterov} of read_optimizer's answer. ConfigError
    where groups differ: a study has one of each."""
    first = read["groups"][0]
    for g in read["groups"]:
        for key in NUMBERS:
            if g[key] != first[key]:
                raise ConfigError(
                    f"optimizer: groups with {key} {first[key]:g} and {g[key]:g}; use one group "
                    f"and say drmad.{key}(match=..., start=...) for the others"
                )
    return {**{k: first[k] for k in NUMBERS}, "nesterov": read["nesterov"]}


def schedule(scheduler, read: dict, steps: int) -> dict:
    """The study's schedule with the factors of the user's scheduler (optimizer -> scheduler, a dict
    in the study's words, or None). ConfigError when the library has none with these factors."""
    if scheduler is None:
        return dict(PLAIN)
    if isinstance(scheduler, dict):
        strange = sorted(set(scheduler) - set(PLAIN))
        if strange:
            raise ConfigError(f"scheduler: no {strange[0]!r}; one of {', '.join(PLAIN)}")
        return {**PLAIN, **scheduler}
    names = []

    def named(opt: torch.optim.Optimizer):
        made = scheduler(opt)
        names.append(type(made).__name__)
        return made

    found = match(read_schedule(scheduler if not callable(scheduler) else named, read, steps)[0],
                  steps)  # fmt: skip
    if found is None:
        raise ConfigError(
            f"scheduler: {names[0]} is none of the schedules that the library knows (constant, "
            "cosine, linear, step; before them a linear warm-up from 1/warmup); say the nearest, "
            'as scheduler={"kind": "cosine", "warmup": 100}'
        )
    return found


def match(factors: list[float], steps: int) -> dict | None:
    """The study's schedule with these factors, None when there is none."""
    for warmup in _warmups(factors):
        for g in _guesses(factors[warmup:]):
            g["warmup"] = warmup
            g["final"] = round(g["final"], 12) + 0.0
            if g["final"] >= 0 and all(
                abs(schedule_factor(g, steps, t) - f) <= CLOSE for t, f in enumerate(factors)
            ):
                return g
    return None


def _warmups(factors: list[float]) -> list[int]:
    """Lengths that a linear rise from 1/W could have."""
    w = round(1 / factors[0]) if factors[0] > 0 else 0
    return [0, w] if 1 < w <= len(factors) else [0]


def _guesses(x: list[float]) -> list[dict]:
    """What each kind must be to end as x does."""
    out = [dict(PLAIN)]
    if len(x) < 2:
        return out
    u = (len(x) - 1) / len(x)
    c = 0.5 * (1 + math.cos(math.pi * u))
    out.append({**PLAIN, "kind": "cosine", "final": (x[-1] - c) / (1 - c)})
    out.append({**PLAIN, "kind": "linear", "final": 1 + (x[-1] - 1) / u})
    change = next((i for i, v in enumerate(x) if abs(v - x[0]) > CLOSE), 0)
    if change and x[0] != 0:
        out.append({**PLAIN, "kind": "step", "gamma": x[change] / x[0], "every": change})
    return out
