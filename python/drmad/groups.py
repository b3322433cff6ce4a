"""From the user's parameter groups to a study, which has one constant a kind: where groups differ
in something that is tuned, each group's values start from its own."""

from __future__ import annotations

import os.path
from dataclasses import replace
from fnmatch import fnmatchcase

from .errors import ConfigError
from .hyper import WEIGHTS_ONLY, Hyper

TUNED = ("lr", "momentum", "weight_decay", "beta1", "beta2", "eps")


def settle(
    read: dict, hyper: list[Hyper], tensors: list, scheduled: bool = False
) -> tuple[dict, list[Hyper]]:
    """The study's constants (lr, momentum, ..., nesterov; betas, ..., kind) and its declarations,
    of read_optimizer's answer, the user's declarations and the oracle's tensors. A declaration that
    reaches groups with different values becomes one for each value; a value is then never shared
    across them. ConfigError where groups differ in what no declaration reaches."""
    options = {k: v for k, v in read["groups"][0].items() if k != "names"}
    for kind in tuple(options):
        values = {n: g[kind] for g in read["groups"] for n in g["names"]}
        if len(set(values.values())) < 2:
            continue
        mine = [h for h in hyper if h.kind == kind]
        options[kind] = _constant(kind, values, mine, tensors)
        at = [i for i, h in enumerate(hyper) if h.kind == kind]
        for i in reversed(at):
            hyper = hyper[:i] + _split(hyper[i], values, options[kind], tensors, scheduled) + \
                hyper[i + 1 :]  # fmt: skip
    return {**options, **read["fixed"]}, hyper


def _constant(kind: str, values: dict, mine: list[Hyper], tensors: list) -> float:
    """The one value of the parameters that no declaration reaches."""
    left = [t.name for t in tensors if not any(h.reaches(t.name, t.role) for h in mine)]
    have = sorted({values[n] for n in left})
    if len(have) < 2:
        return have[0] if have else min(values.values())
    where = [next(n for n in left if values[n] == v) for v in (have[0], have[-1])]
    more = ", match='*'" if kind in WEIGHTS_ONLY else ""
    way = (
        f"tune it, hyper=[drmad.{kind}(per='layer'{more})], and each group starts from its own"
        if kind in TUNED
        else "use one for all"
    )
    raise ConfigError(
        f"optimizer: groups with {kind} {have[0]:g} ({where[0]}) and {have[-1]:g} ({where[1]}); "
        f"a constant is the same for all: {way}"
    )


def _split(
    h: Hyper, values: dict, constant: float, tensors: list, scheduled: bool
) -> list[Hyper]:
    """h itself, or one of it for each value that it starts from."""
    factor = h.multiplies(scheduled)
    names = [t.name for t in tensors if h.reaches(t.name, t.role)]
    if h.start is not None and not factor:  # said, so the groups' own do not matter
        return [h]
    out = []
    for v in dict.fromkeys(values[n] for n in names):
        group = [n for n in names if values[n] == v]
        whole = len(group) == len(names)
        match = h.match if whole else _pattern(group, [t.name for t in tensors])
        out.append(replace(h, match=match, **_start(h, v, constant, factor)))
    return out


def _start(h: Hyper, value: float, constant: float, factor: bool) -> dict:
    """start, low and high of the values whose group has `value`. A multiplier multiplies the
    study's constant, so the group's share of it moves into all three."""
    if not factor:
        return {"start": value} if value != constant else {}
    if value == constant:
        return {}
    if not constant or not value:
        raise ConfigError(
            f"optimizer: groups with {h.kind} {constant:g} and {value:g}, and a multiplier of 0 "
            "stays 0; start from values above 0"
        )
    share = value / constant
    of = {"start": 1.0, "low": 1e-3, "high": 1e3}  # the library's own for multipliers
    return {k: share * (getattr(h, k) if getattr(h, k) is not None else v) for k, v in of.items()}


def _pattern(names: list[str], all_names: list[str]) -> str:
    """Globs for exactly these names: one prefix or suffix where that will do, else the list."""
    start = os.path.commonprefix(names)
    start = start[: start.rfind(".") + 1]
    end = os.path.commonprefix([n[::-1] for n in names])[::-1]
    end = end[end.find(".") :] if "." in end else ""
    for head, tail in ((start, ""), ("", end), (start, end)):
        glob = f"{_plain(head)}*{_plain(tail)}"
        if len(names) > 1 and [n for n in all_names if fnmatchcase(n, glob)] == names:
            return glob
    return ",".join(map(_plain, names))


def _plain(name: str) -> str:
    """`name` without a meaning as a glob."""
    return "".join(f"[{c}]" if c in "*?[" else "?" if c == "," else c for c in name)
