"""The operations that five usual models are made of, by torch's own tracing: what the library's
importer must know (forward), and what torch itself needs for a gradient and for a Hessian-vector
product (reverse over reverse). `tests/python/census.py --write` makes census.json anew for the
torch that runs; a version has its own entry."""

from __future__ import annotations

import collections
import json
import pathlib
import sys
import warnings

import nets
import torch
import torch.nn.functional as F
from torch import nn
from torch._decomp import core_aten_decompositions
from torch.func import functional_call
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.attention import SDPBackend, sdpa_kernel

GOLDEN = pathlib.Path(__file__).with_name("census.json")
BATCH = 4


class Lenet5(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv2d(1, 3, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2),
            nn.Conv2d(3, 4, 5), nn.Tanh(), nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 4),
        )  # fmt: skip


def stage(a: int, b: int, stride: int) -> list[nn.Module]:
    return [nets.Residual(a, b, stride), nets.Residual(b, b, 1)]


class Resnet18(nn.Sequential):
    """Four stages of two blocks; narrow, and a stem for small images."""

    def __init__(self):
        super().__init__(
            nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(),
            nn.MaxPool2d(3, 2, 1), *stage(4, 4, 1), *stage(4, 5, 2), *stage(5, 6, 2),
            *stage(6, 7, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(7, 4),
        )  # fmt: skip


class Vit2(nets.ViT):
    """Two blocks, a class token."""

    def __init__(self):
        super().__init__(drop=0.0)
        self.block = nn.Sequential(nets.Block(8, 2, 0.0, False), nets.Block(8, 2, 0.0, False))
        self.place = nn.Parameter(torch.randn(1, 5, 8) * 0.1)
        self.token = nn.Parameter(torch.zeros(1, 1, 8))

    def forward(self, x):
        z = self.cut(x).flatten(2).transpose(1, 2)
        z = torch.cat([self.token.expand(len(z), -1, -1), z], 1) + self.place
        return self.head(self.norm(self.block(z))[:, 0])


def next_token(model, batch):
    z = model(batch[0][:, :-1])
    return F.cross_entropy(z.flatten(0, 1), batch[0][:, 1:].flatten())


def pictures():
    return nets.images(BATCH, size=16, dtype=torch.float32)


MODELS = {
    "MLP": (lambda: nets.mlp(256), pictures, nets.mean),
    "LeNet-5": (Lenet5, pictures, nets.mean),
    "ResNet-18": (Resnet18, pictures, nets.mean),
    "ViT, 2 blocks": (Vit2, lambda: nets.images(BATCH, dtype=torch.float32), nets.mean),
    "GPT, 2 blocks": (nets.GPT, lambda: (nets.tokens(BATCH),), next_token),
}


def functions(name: str):
    """(loss, gradient, product) of a model's parameters and batch, and their arguments."""
    make, data, loss_fn = MODELS[name]
    torch.manual_seed(1)
    model, batch = make().train(), data()
    buffers = {n: b.clone() for n, b in model.named_buffers()}
    params = {n: p.detach().clone() for n, p in model.named_parameters()}

    def loss(w, *batch):
        call = lambda *x: functional_call(model, {**w, **buffers}, x)  # noqa: E731
        return loss_fn(call, batch)

    def gradient(w, *batch):
        leaves = {n: p.detach().requires_grad_() for n, p in w.items()}
        return torch.autograd.grad(loss(leaves, *batch), list(leaves.values()))

    def product(w, *batch):
        leaves = {n: p.detach().requires_grad_() for n, p in w.items()}
        at = list(leaves.values())
        g = torch.autograd.grad(loss(leaves, *batch), at, create_graph=True)
        return torch.autograd.grad(sum((x * p.detach()).sum() for x, p in zip(g, at)), at)

    return {"forward": loss, "gradient": gradient, "product": product}, (params, *batch)


def census(name: str, kinds: tuple[str, ...] = ("forward", "gradient", "product")) -> dict:
    """{kind: {operation: how many nodes}}"""
    made, arguments = functions(name)
    out = {}
    for kind in kinds:
        with sdpa_kernel([SDPBackend.MATH]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            graph = make_fx(made[kind], core_aten_decompositions())(*arguments).graph
        names = (str(n.target).removeprefix("aten.") for n in graph.nodes
                 if n.op == "call_function" and "getitem" not in str(n.target))  # fmt: skip
        out[kind] = dict(sorted(collections.Counter(names).items()))
    return out


def version() -> str:
    return ".".join(torch.__version__.split(".")[:2])


def golden() -> dict | None:
    """What is written for this torch, or None."""
    return json.loads(GOLDEN.read_text()).get(version()) if GOLDEN.exists() else None


def write() -> None:
    kept = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    kept[version()] = {name: census(name) for name in MODELS}
    GOLDEN.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit(__doc__)
    write()
