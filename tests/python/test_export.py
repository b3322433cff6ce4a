"""Export of modules to graph.json: what it computes is what the module computes, at other batch
sizes too; what is not imported is refused by name and place; the files are plain data."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import census
import house
import nets
import torch
from graph_folders import MODELS
from safetensors.torch import load_file
from torch import nn

from drmad.errors import ModelError
from drmad.export import export_graph
from drmad.export.folder import write_safetensors
from drmad.export.replay import replay

F64 = torch.float64
LONG = os.environ.get("DRMAD_LONG") == "1"


def exported(model, loss, batch):
    """(graph, weights) of a folder, as files."""
    with tempfile.TemporaryDirectory() as out:
        export_graph(model, loss, batch, out)
        graph = json.loads((pathlib.Path(out) / "graph.json").read_text())
        return graph, load_file(pathlib.Path(out) / "weights.safetensors")


def values_of(graph: dict, weights: dict, batch) -> dict:
    """What the inputs are for another batch."""
    wide = {torch.int32: torch.int64, torch.uint8: torch.bool}
    tensors = iter(batch)
    return {e["name"]: weights[e["full"]].to(wide.get(weights[e["full"]].dtype, F64))
            if "full" in e else next(tensors) for e in graph["inputs"]}  # fmt: skip


def same_at_another_size(name: str):
    """The graph in training and in evaluation mode, 5 examples where it was made of 8."""

    def test():
        make, data, loss = MODELS[name]
        model = nets.seeded_model(make)
        graph, weights = exported(model, loss, data(F64))
        assert graph["batch"] == {"size": 8, "any": True}
        batch = tuple(t[1:6] for t in data(F64))
        for mode in ("train", "evaluate"):
            model.train(mode == "train")
            if mode == "train" and any(isinstance(m, nn.Dropout) and m.p for m in model.modules()):
                continue  # its masks are drawn
            nodes = graph[mode]["nodes"]
            got = replay(nodes, values_of(graph, weights, batch), 5)[graph[mode]["loss"]]
            with torch.no_grad():  # evaluation after the step: running statistics are the buffers'
                before = {n: b.clone() for n, b in model.named_buffers()}
                want = loss(model, batch).mean()
                model.load_state_dict(before, strict=False)
            nets.close(got, want, 1e-12, f"{name} {mode}")

    return test


def names_and_roles():
    """Tied weights once, frozen ones as constants, labels found, parity by full name."""
    model = nets.seeded_model(nets.GPT)
    model.norm.weight.requires_grad_(False)
    with tempfile.TemporaryDirectory() as out:
        export_graph(model, nets.next_token, (nets.tokens(8),), out)
        graph = json.loads((pathlib.Path(out) / "graph.json").read_text())
        parity = load_file(pathlib.Path(out) / "parity.safetensors")
    roles = {e.get("full", e["name"]): e["role"] for e in graph["inputs"]}
    assert roles["tokens.weight"] == "parameter" and "head.weight" not in roles
    assert roles["norm.weight"] == "constant" and roles["batch.0"] == "batch"
    assert parity["gradient/tokens.weight"].shape == (11, 8) and "product/norm.bias" in parity
    assert parity["nodes"].shape == (len(graph["train"]["nodes"]), 2)
    graph, _ = exported(nets.mlp().double(), nets.mean, nets.images(8))
    assert [e["role"] for e in graph["inputs"][:2]] == ["batch", "label"]
    scores = {n["name"]: n["shape"] for n in graph["evaluate"]["nodes"]}
    assert scores[graph["evaluate"]["scores"]] == [["batch", 1], 4]


def a_size_that_is_fixed():
    """A module that writes its batch size down is exported for it alone, and says so."""

    class Fixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Linear(4, 3)

        def forward(self, x):
            return self.body(x).view(6, 3)

    with tempfile.TemporaryDirectory() as out:
        batch = (torch.randn(6, 4), torch.randint(3, (6,)))
        made = export_graph(Fixed(), nets.mean, batch, out)
    assert not made.data["batch"]["any"] and made.data["inputs"][0]["shape"] == [6, 4]
    assert len(made.notes) == 1 and "6 examples only" in made.notes[0], made.notes


def the_writer_is_the_formats():
    """The safetensors package reads our files; what does not fit is refused."""
    tensors = {"a": torch.randn(3, 2), "b": torch.randn((), dtype=F64), "é": torch.arange(5),
               "m": torch.tensor([True, False]), "none": torch.zeros(0, 3)}  # fmt: skip
    with tempfile.TemporaryDirectory() as out:
        path = pathlib.Path(out) / "x.safetensors"
        write_safetensors(path, tensors)
        read, header = load_file(path), int.from_bytes(path.read_bytes()[:8], "little")
        assert header % 8 == 0 and os.listdir(out) == ["x.safetensors"]
        for n, x in tensors.items():
            assert read[n].shape == x.shape and torch.equal(read[n].to(x.dtype), x), n
        house.raises(ValueError, "32 bits",
                     lambda: write_safetensors(path, {"n": torch.tensor([1 << 40])}))  # fmt: skip


# ---- refusals ----


class Of(nn.Module):
    """A linear layer called `body` in training and evaluation, and f(its output)."""

    def __init__(self, f, width=4):
        super().__init__()
        self.f = f
        self.inner = nn.Sequential(nn.Linear(4, width))

    def forward(self, x):
        return self.f(self.inner(x))


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, g):
        return 2 * g


class TwiceNormed(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(4)

    def forward(self, x):
        return self.norm(self.norm(x))


class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(4, 4)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, x):
        self.steps += 1
        return self.body(x)


def without_gradient(x):
    with torch.no_grad():
        y = x * 2
    return x + y


REFUSED = {
    "an unknown operation": (Of(lambda x: torch.cumsum(x, 1)), ["cumsum"]),
    "data-dependent control flow": (Of(lambda x: x if x.sum() > 0 else -x), ["torch.export"]),
    "half precision": (Of(lambda x: x.half().float()), ["float16", "half precision"]),
    "other random numbers": (Of(lambda x: x + torch.randn_like(x)), ["randn_like", "dropout"]),
    "a stopped gradient": (Of(lambda x: x * x.detach()), ["detach", "gradient"]),
    "no_grad inside": (Of(without_gradient), ["gradient", "no_grad"]),
    "a backward of its own": (Of(Doubled.apply), ["gradient", "off by"]),
    "a norm called twice": (nn.Sequential(nn.Linear(4, 4), TwiceNormed()), ["'1.norm'", "twice"]),
    "a counter": (Counting(), ["buffer steps", "counter"]),
}


def refused(name: str):
    def test():
        model, words = REFUSED[name]
        batch = (torch.randn(6, 4), torch.randint(4, (6,)))
        words = [*words, *([] if "half" in name else ['engine="callback"'])]
        nets.refuses(ModelError, words, lambda: exported(model, nets.mean, batch))

    return test


def the_place_is_named():
    """A refusal says which module has it."""
    model = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.ReLU(), Of(torch.sin)))
    batch = (torch.randn(6, 4), torch.randint(4, (6,)))
    nets.refuses(ModelError, ["module '1.1'", "sin "], lambda: exported(model, nets.mean, batch))


# ---- command line ----

SCRIPT = """
import torch
from torch import nn
def make():
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
def loss(model, batch):
    return nn.functional.cross_entropy(model(batch["x"]), batch["y"])
def for_export():
    return make, loss, {"x": torch.randn(6, 4), "y": torch.randint(3, (6,))}
def bad():
    return make(), lambda m, b: torch.cumsum(m(b["x"]), 1).mean(), {"x": torch.randn(6, 4)}
def wrong():
    return make
"""


def the_command():
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "mine.py").write_text(SCRIPT)
        env = {**os.environ, "PYTHONPATH": str(house.ROOT / "python")}

        def run(what: str):
            return subprocess.run([sys.executable, "-m", "drmad.export", what, "out"], cwd=folder,
                                  env=env, capture_output=True, text=True)  # fmt: skip

        done = run("mine:for_export")
        assert done.returncode == 0 and done.stdout.startswith("out: "), done.stderr
        graph = json.loads((pathlib.Path(folder) / "out" / "graph.json").read_text())
        assert [e["name"] for e in graph["inputs"][:2]] == ["batch.x", "batch.y"]
        again = (pathlib.Path(folder) / "out" / "weights.safetensors").read_bytes()
        run("mine:for_export")
        assert again == (pathlib.Path(folder) / "out" / "weights.safetensors").read_bytes()
        for what, status, words in (("mine:bad", 3, "cumsum"), ("mine:wrong", 2, "must return"),
                                    ("mine:none", 1, "no function"), ("none:f", 1, "no module"),
                                    ("mine", 1, "MODULE:FUNCTION")):  # fmt: skip
            got = run(what)
            assert got.returncode == status and words in got.stderr, (what, got)


# ---- census ----


def the_census():
    """The operations of five models, as census.json has them for this torch."""
    want = census.golden()
    if want is None:
        print(f"     no entry for torch {census.version()}; tests/python/census.py --write")
        return
    for name, kinds in want.items():
        asked = tuple(k for k in kinds if LONG or k != "product" or name in ("MLP", "LeNet-5"))
        got = census.census(name, asked)
        wrong = {k: set(got[k].items()) ^ set(kinds[k].items()) for k in asked}
        wrong = {k: v for k, v in wrong.items() if v}
        assert not wrong, f"{name}: {wrong}; tests/python/census.py --write if it is right"


TESTS = {
    **{f"{n} is the module at another size": same_at_another_size(n)
       for n in (MODELS if LONG else ("mlp-rows", "resnet", "gpt"))},
    "names and roles": names_and_roles,
    "a size that is fixed": a_size_that_is_fixed,
    "the writer is the format's": the_writer_is_the_formats,
    **{f"refused: {n}": refused(n) for n in REFUSED},
    "the place is named": the_place_is_named,
    "the command": the_command,
    "the census": the_census,
}

if __name__ == "__main__":
    house.main(TESTS)
