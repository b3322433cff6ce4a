"""What tuning found, in PyTorch's terms."""

from __future__ import annotations

import array
import base64
import ctypes
import json
import math
import os
import pathlib
import struct
import tempfile
from dataclasses import dataclass, field

import torch

from . import plain
from ._context import Context
from .hyper import KINDS

SCHEMA = 1
PLAIN_NUMBERS = 64  # tracks longer than this are stored in base64

# 97.5 % quantiles of Student's t for 1 to 30 degrees of freedom (R, qt(.975, 1:30)).
_T = (
    [12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281]
    + [2.2010, 2.1788, 2.1604, 2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860]
    + [2.0796, 2.0739, 2.0687, 2.0639, 2.0595, 2.0555, 2.0518, 2.0484, 2.0452, 2.0423]
)


def interval(x: list[float]) -> tuple[float, float]:
    """Mean of the finite values and half width of its 95 % interval; NaN for too few values."""
    x = [v for v in x if math.isfinite(v)]
    n = len(x)
    if n == 0:
        return math.nan, math.nan
    mean = sum(x) / n
    if n == 1:
        return mean, math.nan
    sd = math.sqrt(sum((v - mean) ** 2 for v in x) / (n - 1))
    return mean, (_T[n - 2] if n <= 31 else 1.96) * sd / math.sqrt(n)


def numbers(x) -> list[float]:
    return [math.nan if v is None else float(v) for v in x]


@dataclass(frozen=True)
class Runs:
    """Retrained runs of one setting, one value a seed; NaN where there is none."""

    name: str
    test_loss: list[float] = field(default_factory=list)
    test_error: list[float] = field(default_factory=list)
    objective: list[float] = field(default_factory=list)
    finite: int = 0

    @staticmethod
    def of(run: dict, name: str) -> Runs | None:
        if not run.get(name):
            return None
        runs = run[name]["runs"]
        losses, errors, objectives = (
            numbers(r.get(k) for r in runs) for k in ("test_loss", "test_error", "objective_loss")
        )
        return Runs(name, losses, errors, objectives, sum(bool(r["finite"]) for r in runs))

    @property
    def mean_loss(self) -> float:
        return interval(self.test_loss)[0]

    @property
    def mean_error(self) -> float:
        return interval(self.test_error)[0]

    def __repr__(self) -> str:
        loss, e = interval(self.test_loss), interval(self.test_error)
        return (
            f"{self.name}: test loss {loss[0]:.4g} +- {loss[1]:.2g}, "
            f"error {100 * e[0]:.2f} +- {100 * e[1]:.2f} %, {self.finite} of "
            f"{len(self.test_loss)} runs finite"
        )


def encode(values: torch.Tensor) -> dict:
    """The inverse of plain.decode."""
    x = values.to(torch.float64).contiguous()
    if x.numel() <= PLAIN_NUMBERS:
        return {"shape": list(x.shape), "values": x.flatten().tolist()}
    raw = array.array("d", x.flatten().tolist()).tobytes()
    return {"shape": list(x.shape), "base64": base64.b64encode(raw).decode("ascii")}


class Result:
    """Tuned values, and how good they are.

    values          {kind: {parameter name: double tensor [rows in time, *shape in use]}}; the shape
                    in use is the parameter's own, 1 where values are shared, so it broadcasts.
                    values["example_weight"] is one tensor [rows, examples]
    objective       the best objective of tuning
    tuned, start, random_search
                    Runs from scratch over the same seeds, None where there were none
    health          lines that say whether the hypergradients deserve trust
    run             the library's own result object
    """

    def __init__(self, data: dict, optimizer_class: type | None = None):
        if data.get("drmad_result") != SCHEMA:
            raise ValueError(f"not a result of schema {SCHEMA}: {data.get('drmad_result')!r}")
        self.data, self.run = data, data["run"]
        self._class = optimizer_class

    # ---- what was found ----

    @property
    def values(self) -> dict:
        out: dict = {}
        for name, tensor in self.data.get("tensors", {}).items():
            for kind in KINDS:
                if kind in tensor:
                    out.setdefault(kind, {})[name] = plain.decode(tensor[kind])
        if "example_weight" in self.data:
            out["example_weight"] = plain.decode(self.data["example_weight"])
        for name, track in self.data.get("slices", {}).items():
            kind, _, of = name.partition("/")
            out.setdefault(kind, {})[of or kind] = plain.decode(track)
        return out

    def at(self, kind: str, name: str, step: int) -> torch.Tensor:
        """What the run used at `step`, schedule multiplied in: double, the parameter's shape."""
        self._need_tensors("values at a step")
        if name not in self.data["tensors"]:
            raise KeyError(f"{name}: the result knows no such parameter")
        shape = self.data["tensors"][name]["shape"]
        k = plain.knob(self.data, name, kind)
        x = 0.0 if k is None else k.at(step, torch.empty(0, dtype=torch.float64))
        return torch.as_tensor(x, dtype=torch.float64).expand(shape).clone()

    @property
    def objective(self) -> float:
        return numbers([self.run.get("best_objective")])[0]

    @property
    def status(self) -> str:
        return self.run.get("status", "done")

    @property
    def tuned(self) -> Runs | None:
        return Runs.of(self.run, "tuned")

    @property
    def start(self) -> Runs | None:
        return Runs.of(self.run, "start")

    @property
    def random_search(self) -> Runs | None:
        return Runs.of(self.run, "random_search")

    @property
    def gain(self) -> tuple[float, float]:
        """How much lower the test loss of `tuned` is than that of `start`, over the same seeds:
        mean and half width of its 95 % interval."""
        if not self.tuned or not self.start:
            return math.nan, math.nan
        pairs = zip(self.start.test_loss, self.tuned.test_loss)
        return interval([a - b for a, b in pairs if math.isfinite(a) and math.isfinite(b)])

    @property
    def health(self) -> list[str]:
        path = self.run.get("path", [])
        audits = [m["audit"] for m in path if m.get("audit")]
        off = []
        for a in audits:
            exact, said = numbers([a["exact"], a["hypergradient"]])
            off.append(abs(said - exact) / abs(exact) if exact else math.nan)
        back = sum(m["verdict"] == "taken back" for m in path)
        kind = self.run.get("trajectory", "?")
        growth = self.run.get("largest_growth")
        lines = [f"{self.status}: {self.run.get('stopped_because', '')}"]
        if growth is not None and kind != "none":
            lines.append(f"|dF/dw| grew at most {growth:.3g}-fold on the way back ({kind})")
        residual = self.run.get("largest_residual")
        if residual is not None:
            lines.append(f"implicit: the residual was at most {residual:.2g} of |dF/dw|")
        if audits:
            lines.append(f"{len(audits)} audits: the slope was {100 * max(off):.2g} % off at worst")
        lines.append(f"{back} of {len(path)} meta-steps were taken back")
        return lines + list(self.data.get("notes", []))

    # ---- in PyTorch's terms ----

    def optimizer(self, model: torch.nn.Module, **more) -> torch.optim.Optimizer:
        """The tuned run's optimizer over `model`: the class that was tuned, one group for all
        parameters whose values agree at every step, with `name` and `names`; values per unit and
        per weight by a hook (drmad/plain.py says how). At step 0 until scheduler() moves it on.
        `more` goes to the class (foreach). ValueError when the model has other parameters."""
        self._need_tensors("an optimizer")
        return plain.build_optimizer(self.data, model, self._class, **more)

    def scheduler(self, optimizer: torch.optim.Optimizer) -> plain.Schedule:
        """Drives lr, momentum and decays of an optimizer made here; step() after each step."""
        return plain.Schedule(optimizer)

    def scale_start_(self, model: torch.nn.Module) -> torch.nn.Module:
        """Multiplies fresh initial weights by the tuned `init_scale`, in place; gives the model."""
        self._need_tensors("initial scales")
        return plain.scale_start_(self.data, model)

    def param_groups(self, model: torch.nn.Module) -> list[dict]:
        """Plain groups for the class that was tuned, torch.optim.SGD(groups, lr=...). ValueError
        naming the first thing that groups cannot hold: values per unit or weight, l1, values that
        change in time."""
        self._need_tensors("groups")
        parts = plain.parts_of(self.data, model)
        for p in parts:
            self._check_group(p)
        rest = plain.constants(self.data["optimizer"])
        return [{**g, **rest} for g in plain.Plan(parts).param_groups()]

    def _check_group(self, p: plain.Part | plain.AdaptivePart) -> None:
        knobs = p.knobs()
        remedy = "use result.optimizer(model) and result.scheduler(opt)"
        if p.l1 is not None:
            raise ValueError(f"{p.name}: l1 is no setting of a parameter group; {remedy}")
        for kind, k in knobs.items():
            for x in k if isinstance(k, list) else [k]:
                if x is None:
                    continue
                if not x.scalar:
                    raise ValueError(
                        f"{p.name}: {kind} has {x.values[0].numel()} values, "
                        f"a group holds one; {remedy}"
                    )
                if len(x.values) > 1 or (x.scheduled and self._has_schedule()):
                    raise ValueError(
                        f"{p.name}: {kind} changes in time, a group does not; {remedy}"
                    )

    def _has_schedule(self) -> bool:
        return len(set(self.data["schedule"] or ())) > 1

    def example_weights(self, step: int = 0) -> torch.Tensor | None:
        """[training examples], double, at a step of training: the loss of a batch of B examples is
        (weights[numbers] * losses).sum() / B. None when they were not tuned."""
        if "example_weight" not in self.data:
            return None
        v = plain.decode(self.data["example_weight"])
        return v[((step + 1) * len(v) - 1) // self.data["steps"]]

    def harmful(self, count: int = 50) -> list[tuple[int, float]]:
        """The training examples of the smallest tuned weight: (number, weight), worst first."""
        v = plain.decode(self.data["example_weight"]).mean(0) if self._has_examples() else None
        if v is None:
            raise ValueError("tune example_weight(per='example') to weigh examples")
        order = torch.argsort(v, stable=True)[:count]
        return [(int(i), float(v[i])) for i in order]

    def _has_examples(self) -> bool:
        return "example_weight" in self.data and self.data["example_weight"]["shape"][1] > 1

    def _need_tensors(self, what: str) -> None:
        if "tensors" not in self.data:
            raise ValueError(
                f"{what}: this is the result of a study file, whose model is the "
                "library's own; its values are in result.values"
            )

    # ---- files ----

    def to_json(self, path: str | os.PathLike) -> None:
        """Everything but the weights, whole or not at all; load_result and snippet read it."""
        path = pathlib.Path(path)
        part = path.with_name(path.name + ".part")
        part.write_text(json.dumps(self.data, allow_nan=False), encoding="utf-8")
        part.replace(path)

    def snippet(self, path: str | os.PathLike = "result.json") -> str:
        """A Python text, free of drmad, that trains as the result says; reads to_json's `path`."""
        self._need_tensors("a snippet")
        text = pathlib.Path(plain.__file__).read_text(encoding="utf-8")
        return text + _USE.replace("PATH", json.dumps(os.fspath(path)))

    def report(self, path: str | os.PathLike) -> None:
        """One HTML page that needs nothing else (docs/REPORT.md): comparison, health, path, tuned
        values as heat maps and schedules."""
        with tempfile.TemporaryDirectory() as folder, Context(threads=1) as context:
            data = os.path.join(folder, "result.json")
            self.to_json(data)
            setting = (ctypes.c_char_p * 1)(b"file=" + os.fsencode(path))
            context.check(
                context.lib.drmad_run_report(context.handle, os.fsencode(data), setting, 1)
            )

    def __repr__(self) -> str:
        lines = [f"drmad result {self.data['name']}: objective {self.objective:.5g}"]
        lines += [f"  {r!r}" for r in (self.tuned, self.start, self.random_search) if r]
        return "\n".join(lines + [f"  {h}" for h in self.health])


_USE = '''

# ---- how to use it ----
#
#     model = MyModel()                    # fresh weights
#     scale_start_(DATA, model)            # does nothing when init_scale was not tuned
#     opt = build_optimizer(DATA, model)
#     sched = Schedule(opt)
#     for batch in batches:
#         loss = loss_fn(model, batch)
#         opt.zero_grad()
#         loss.backward()
#         opt.step()
#         sched.step()

DATA = load(PATH)
'''


# ---- reading ----


def read_safetensors(path: str | os.PathLike) -> dict[str, torch.Tensor]:
    """The F32 and F64 tensors of a safetensors file. ValueError when the file is not sound."""
    raw = pathlib.Path(path).read_bytes()
    if len(raw) < 8:
        raise ValueError(f"{path}: {len(raw)} bytes are no safetensors file")
    (n,) = struct.unpack("<Q", raw[:8])
    if n > min(len(raw) - 8, 100_000_000):
        raise ValueError(f"{path}: its header of {n} bytes does not fit")
    head, body, out = json.loads(raw[8 : 8 + n]), raw[8 + n :], {}
    types = {"F32": (torch.float32, 4), "F64": (torch.float64, 8)}
    for name, t in head.items():
        if name == "__metadata__":
            continue
        if t["dtype"] not in types:
            raise ValueError(f"{path}: {name} is {t['dtype']}, expected F32 or F64")
        dtype, size = types[t["dtype"]]
        a, b = t["data_offsets"]
        if not 0 <= a <= b <= len(body) or b - a != size * math.prod(t["shape"]):
            raise ValueError(f"{path}: {name} lies at {a} to {b} of {len(body)} bytes")
        x = torch.frombuffer(bytearray(body[a:b]), dtype=dtype) if b > a else torch.empty(0)
        out[name] = x.reshape(t["shape"])
    return out


def load_result(path: str | os.PathLike) -> Result:
    """A result from to_json's file, or from a run folder (of tune, or of the command)."""
    path = pathlib.Path(path)
    if not path.is_dir():
        return Result(json.loads(path.read_text(encoding="utf-8")))
    if (path / "python.json").exists():
        return Result(json.loads((path / "python.json").read_text(encoding="utf-8")))
    if not (path / "result.json").exists():
        raise FileNotFoundError(f"{path}: holds no result.json; a run that goes on has none yet")
    return native_result(path)


def native_result(folder: str | os.PathLike) -> Result:
    """The result of a study file from its run folder."""
    folder = pathlib.Path(folder)
    run = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    slices = {}
    if (folder / "hyperparameters.safetensors").exists():
        tensors = read_safetensors(folder / "hyperparameters.safetensors")
        slices = {name: encode(v) for name, v in sorted(tensors.items())}
    return Result(
        {"drmad_result": SCHEMA, "name": run.get("study", "?"), "run": run, "slices": slices}
    )
