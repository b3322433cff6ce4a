"""result.optimizer/scheduler against a naive loop with a rate, a momentum and a decay for every
weight, for every granularity: 200 steps, 1e-5 relative in F32 (200 steps of rounding; measured:
below 2e-6) and 1e-12 in F64. The snippet, executed, must do the same as the package."""

import json
import math
import pathlib
import re
import tempfile

import torch
from house import main, raises
from torch import nn

from drmad import plain
from drmad.hyper import TENSOR_PERS, use_shape
from drmad.result import SCHEMA, Result, encode, load_result, read_safetensors

STEPS, PHASES = 200, 5
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}


class Net(nn.Module):
    """A convolution, a norm and a linear layer: every role and rank."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 3, 3), nn.LayerNorm(48)
        self.out = nn.Linear(48, 4)

    def forward(self, x):
        return self.out(self.norm(torch.tanh(self.conv(x)).flatten(1)))


def fresh(dtype):
    torch.manual_seed(3)
    return Net().to(dtype)


def batch(t, dtype):
    draw = torch.Generator().manual_seed(100 + t)
    x = torch.randn(8, 1, 6, 6, generator=draw, dtype=torch.float64).to(dtype)
    return x, torch.randint(4, (8,), generator=draw)


def make(per, kinds, seed=1, nesterov=False, dampening=0.0, momentum=0.9, schedule=None):
    """A result with random values of `kinds` per `per`, in phases."""
    draw = torch.Generator().manual_seed(seed)
    spans = {
        "lr": (0.01, 0.1),
        "momentum": (0.5, 0.95),
        "weight_decay": (1e-3, 0.02),
        "l2": (1e-3, 0.02),
        "l1": (1e-4, 1e-3),
        "init_scale": (0.5, 1.5),
    }
    tensors, tied = {}, {}
    for i, (name, p) in enumerate(fresh(torch.float32).named_parameters()):
        role = "bias" if p.dim() == 1 else "weight"
        role = "norm" if name.startswith("norm") else role
        tensors[name] = {"shape": list(p.shape), "role": role, "layer": i // 2}
        for kind in kinds:
            if kind in ("weight_decay", "l2", "l1") and role != "weight":
                continue
            rows = 1 if kind == "init_scale" else PHASES
            low, high = spans[kind]
            x = torch.rand(rows, *use_shape(per, p.shape), generator=draw, dtype=torch.float64)
            group = {"global": 0, "layer": i // 2}.get(per, i)
            x = tied.setdefault((kind, group), low * (high / low) ** x).reshape(x.shape)
            tensors[name][kind] = {**encode(x), "scheduled": kind == "lr" and schedule is not None}
    return Result(
        {
            "drmad_result": SCHEMA,
            "name": "test",
            "steps": STEPS,
            "optimizer": {
                "class": "torch.optim.SGD",
                "lr": 0.05,
                "momentum": momentum,
                "dampening": dampening,
                "nesterov": nesterov,
                "weight_decay": 1e-3,
            },
            "schedule": schedule,
            "tensors": tensors,
            "run": {"best_objective": 0.5, "path": []},
        }
    )


def naive(result, dtype):
    """Every number of every weight spread out, and the formula as it stands."""
    model, o = fresh(dtype), result.data["optimizer"]
    w = {n: p.detach().clone() for n, p in model.named_parameters()}
    for n in w:
        if "init_scale" in result.values:
            w[n] = w[n] * result.at("init_scale", n, 0).to(dtype)
    tuned_momentum = "momentum" in result.values
    b = {}
    for t in range(STEPS):
        leaves = {n: v.clone().requires_grad_() for n, v in w.items()}
        x, y = batch(t, dtype)
        loss = nn.functional.cross_entropy(torch.func.functional_call(model, leaves, (x,)), y)
        grads = torch.autograd.grad(loss, list(leaves.values()))
        for (n, v), g in zip(w.items(), grads):
            h = {k: result.at(k, n, t).to(dtype) for k in ("lr", "momentum", "weight_decay")}
            p = g + h["weight_decay"] * v
            p = p + result.at("l2", n, t).to(dtype) * v
            p = p + result.at("l1", n, t).to(dtype) * v.sign()
            c = 1 - (o["dampening"] if tuned_momentum or o["momentum"] else 0)
            b[n] = p if t == 0 else h["momentum"] * b[n] + c * p
            s = p + h["momentum"] * b[n] if o["nesterov"] else b[n]
            w[n] = v - h["lr"] * s
    return w


def train(model, opt, sched, dtype):
    for t in range(STEPS):
        x, y = batch(t, dtype)
        opt.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        opt.step()
        sched.step()
    return {n: p.detach() for n, p in model.named_parameters()}


def by_package(result, dtype):
    model = result.scale_start_(fresh(dtype))
    opt = result.optimizer(model)
    return train(model, opt, result.scheduler(opt), dtype)


def by_snippet(result, dtype):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "r.json"
        result.to_json(path)
        text = result.snippet(path)
        assert "drmad" not in [w for line in text.splitlines() for w in line.split() if
                               line.startswith(("import", "from"))], "the snippet imports drmad"
        room = {}
        exec(compile(text, "snippet", "exec"), room)
        model = room["scale_start_"](room["DATA"], fresh(dtype))
        opt = room["build_optimizer"](room["DATA"], model)
        return train(model, opt, room["Schedule"](opt), dtype)


def close(a, b, tolerance, what):
    for n in a:
        off = float((a[n] - b[n]).norm() / b[n].norm())
        assert off <= tolerance, f"{what}: {n} is {off:.2g} off"


KINDS = ("lr", "momentum", "weight_decay")
ALL = KINDS + ("l2", "l1", "init_scale")
COSINE = [
    (t + 1) / 20 if t < 20 else 0.5 + 0.5 * math.cos(math.pi * (t - 20) / (STEPS - 20))
    for t in range(STEPS)
]


def same(per, types=(torch.float64,), **more):
    def test():
        for dtype in types:
            r = make(per, **more)
            want, got = naive(r, dtype), by_package(r, dtype)
            close(got, want, TOLERANCE[dtype], f"{per} {dtype}")
        close(by_snippet(r, dtype), got, 0, f"snippet {per} {dtype}")

    return test


def groups_are_few_and_named():
    model = fresh(torch.float32)
    opt = make("global", KINDS).optimizer(model)
    assert len(opt.param_groups) == 2, "weights with a decay, and the rest"
    assert opt.param_groups[0]["names"] == ["conv.weight", "out.weight"]
    assert type(opt) is torch.optim.SGD
    assert not make("global", KINDS).optimizer(model).drmad_plan.fine, "no hook for plain numbers"


def one_kind_per_unit_leaves_the_rest_in_groups():
    opt = make("unit-out", ("weight_decay",)).optimizer(fresh(torch.float32))
    assert all(g["lr"] == 0.05 and g["momentum"] == 0.9 for g in opt.param_groups)
    assert {g["weight_decay"] for g in opt.param_groups} == {0.0, 1e-3}


def gradients_are_left_as_they_were():
    model = fresh(torch.float32)
    opt = make("unit-in", ALL).optimizer(model)
    x, y = batch(0, torch.float32)
    nn.functional.cross_entropy(model(x), y).backward()
    before = [p.grad.clone() for p in model.parameters()]
    opt.step()
    assert all(torch.equal(p.grad, g) for p, g in zip(model.parameters(), before))


def state_goes_on():
    """Saved and loaded in the middle: the same bits."""
    r = make("unit-out", KINDS, nesterov=True)
    whole = by_package(r, torch.float64)
    model = fresh(torch.float64)
    opt = r.optimizer(model)
    sched = r.scheduler(opt)
    for t in range(STEPS):
        if t == STEPS // 2:
            saved = json.loads(json.dumps(sched.state_dict()))
            state, weights = opt.state_dict(), model.state_dict()
            model = fresh(torch.float64)
            model.load_state_dict(weights)
            opt = r.optimizer(model)
            sched = r.scheduler(opt)
            opt.load_state_dict(state)
            sched.load_state_dict(saved)
        x, y = batch(t, torch.float64)
        opt.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        opt.step()
        sched.step()
    assert all(torch.equal(whole[n], p) for n, p in model.named_parameters())


def refusals_name_the_thing():
    model = fresh(torch.float32)
    fine = make("unit-out", KINDS)
    raises(ValueError, "conv.weight: lr has 3 values", lambda: fine.param_groups(model))
    raises(ValueError, "changes in time", lambda: make("layer", KINDS).param_groups(model))
    raises(ValueError, "l1", lambda: make("layer", ("l1",)).param_groups(model))
    opt = fine.optimizer(model)
    raises(ValueError, "closure", lambda: opt.step(lambda: 0.0))
    other = nn.Linear(3, 3)
    raises(ValueError, "weight: the result knows no such", lambda: fine.optimizer(other))
    model.out = nn.Linear(48, 5)
    raises(ValueError, "out.weight: has shape", lambda: fine.optimizer(model))
    raises(ValueError, "no plan", lambda: fine.scheduler(torch.optim.SGD(model.parameters(), lr=1)))


def groups_hold_what_they_can():
    model = fresh(torch.float32)
    for t in make("layer", ("lr",)).data["tensors"].values():
        t["lr"] = encode(plain.decode(t["lr"])[:1])
    r = make("layer", ("lr",))
    for t in r.data["tensors"].values():
        t["lr"] = encode(plain.decode(t["lr"])[:1])
    groups = r.param_groups(model)
    r.data["schedule"], flat = [0.5] * STEPS, [g["lr"] for g in groups]
    for t in r.data["tensors"].values():
        t["lr"]["scheduled"] = True
    assert [g["lr"] for g in r.param_groups(model)] == [0.5 * x for x in flat], "it does not move"
    r.data["schedule"] = COSINE
    raises(ValueError, "lr changes in time", lambda: r.param_groups(model))
    assert sum(len(g["params"]) for g in groups) == 6
    torch.optim.SGD(groups, lr=0.1)


def wrapped_models_fit():
    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.module = fresh(torch.float32)

    make("layer", KINDS).optimizer(Wrapped())


def files_come_back():
    r = make("weight", ALL)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "r.json"
        r.to_json(path)
        again = load_result(path)
        for kind in ALL:
            for n, v in r.values[kind].items():
                assert torch.equal(again.values[kind][n], v)
        page = pathlib.Path(folder) / "r.html"
        r.data["name"] = "<script>alert(1)</script>"
        r.report(page)
        text = page.read_text()
        assert "<svg" in text and "<script>alert" not in text
        outside = re.search(r"(src|href)\s*=\s*.https?:", text)
        assert not outside, "the page asks for outside parts"


def bad_files_are_refused():
    with tempfile.TemporaryDirectory() as folder:
        f = pathlib.Path(folder) / "x.safetensors"
        for raw in (b"", b"\xff" * 8, (2).to_bytes(8, "little") + b"{}"[:1]):
            f.write_bytes(raw)
            raises(ValueError, "x.safetensors", lambda: read_safetensors(f))
        head = json.dumps({"a": {"dtype": "F64", "shape": [2], "data_offsets": [0, 99]}}).encode()
        f.write_bytes(len(head).to_bytes(8, "little") + head + b"\0" * 16)
        raises(ValueError, "a lies at", lambda: read_safetensors(f))
        (pathlib.Path(folder) / "r.json").write_text("{}")
        raises(ValueError, "schema", lambda: load_result(pathlib.Path(folder) / "r.json"))


TESTS = {f"per_{p.replace('-', '_')}": same(p, TOLERANCE, kinds=ALL) for p in TENSOR_PERS}
TESTS |= {
    "nesterov_per_unit": same("unit-out", kinds=ALL, nesterov=True),
    "nesterov_per_layer": same("layer", kinds=ALL, nesterov=True),
    "dampening": same("unit-in", kinds=ALL, dampening=0.3),
    "no_momentum_per_unit": same("unit-in", kinds=("lr", "weight_decay"), momentum=0.0),
    "cosine_times_per_unit": same("unit-out", kinds=ALL, schedule=COSINE),
    "cosine_times_per_layer": same("layer", kinds=KINDS, schedule=COSINE),
    "rates_per_weight_alone": same("weight", kinds=("lr",)),
    "momentum_per_unit_alone": same("unit-out", kinds=("momentum",)),
}
for f in (
    groups_are_few_and_named,
    one_kind_per_unit_leaves_the_rest_in_groups,
    gradients_are_left_as_they_were,
    state_goes_on,
    refusals_name_the_thing,
    groups_hold_what_they_can,
    wrapped_models_fit,
    files_come_back,
    bad_files_are_refused,
):
    TESTS[f.__name__] = f

if __name__ == "__main__":
    main(TESTS)
