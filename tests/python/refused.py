"""The models of docs/SUPPORT.md that drmad must refuse, each with words that the refusal must have:
what is wrong, where, and what to do instead."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from models import Case, Mlp, Recommender, classify, clicks, images, rows, sequences, visits
from torch import nn
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint


@dataclass(frozen=True)
class Refused(Case):
    """`words`: each must occur in the refusal. `error`: its class in drmad's list."""

    words: tuple[str, ...] = ()
    error: str = "ModelError"


# ---- operations without a second derivative ----


class Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.clamp(min=0) ** 2

    @staticmethod
    @once_differentiable
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 2 * x.clamp(min=0) * g


class Squared(nn.Module):
    """A user's own activation, backward written with once_differentiable."""

    def forward(self, x):
        return Once.apply(x)


class Ctc(nn.Module):
    """Classes over time, aligned by nn.CTCLoss in the loss function."""

    def __init__(self):
        super().__init__()
        self.cell = nn.Linear(5, 6)

    def forward(self, x):
        return self.cell(x).log_softmax(-1).transpose(0, 1)


def ctc(model: nn.Module, batch) -> torch.Tensor:
    x, y = batch
    n, length = x.shape[:2]
    targets = torch.stack([y + 1, (y + 1) % 4 + 1], 1)
    whole, two = torch.full((n,), length), torch.full((n,), 2)
    return F.ctc_loss(model(x), targets, whole, two)


class Distances(nn.Module):
    """Prototypes: logits are minus the distances to them."""

    def __init__(self):
        super().__init__()
        self.embed, self.prototypes = nn.Linear(12, 6), nn.Parameter(torch.randn(4, 6))

    def forward(self, x):
        return -torch.cdist(self.embed(x), self.prototypes)


class Compiled(nn.Module):
    """A function under torch.compile inside an eager module."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(12, 8), nn.Linear(8, 4)
        self.act = torch.compile(_gate, backend="aot_eager")

    def forward(self, x):
        return self.b(self.act(self.a(x)))


def _gate(x):
    return torch.sigmoid(x) * x


class Bag(nn.EmbeddingBag):
    def __init__(self, items: int, width: int, sparse: bool = False):
        super().__init__(items, width, mode="mean", sparse=sparse)


class Sparse(nn.Module):
    def __init__(self, items: int, width: int):
        super().__init__()
        self.embed = nn.Embedding(items, width, sparse=True)

    def forward(self, history):
        return self.embed(history).mean(1)


class Reentrant(Mlp):
    """Checkpointing of the old kind."""

    def forward(self, x):
        first = nn.Sequential(self.layers[0], nn.Tanh(), self.layers[1], nn.Tanh())
        return self.layers[2](checkpoint(first, x.requires_grad_(), use_reentrant=True))


# ---- precision ----


class Half(Mlp):
    """Casts to bfloat16 on the way."""

    def forward(self, x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return super().forward(x).float()


class BFloat(Mlp):
    """Parameters in bfloat16, whatever is asked for."""

    def to(self, *args, **kwargs):
        return super().to(torch.bfloat16)


def bfloat(model: nn.Module, batch) -> torch.Tensor:
    x, y = batch
    return F.cross_entropy(model(x.bfloat16()).float(), y)


class Complex(nn.Module):
    def __init__(self):
        super().__init__()
        self.filter = nn.Parameter(torch.randn(7, dtype=torch.complex64))
        self.head = nn.Linear(12, 4)

    def to(self, *args, **kwargs):
        return self

    def forward(self, x):
        return self.head(torch.fft.irfft(torch.fft.rfft(x.float()) * self.filter))


# ---- state ----


class RunningScale(nn.Module):
    """Divides by a running mean of |x| that each batch moves, in training too."""

    def __init__(self):
        super().__init__()
        self.layer, self.head = nn.Linear(12, 8), nn.Linear(8, 4)
        self.register_buffer("scale", torch.ones(()))

    def forward(self, x):
        x = self.layer(x)
        if self.training:
            self.scale = 0.9 * self.scale + 0.1 * x.detach().abs().mean()
        return self.head(x / self.scale)


class HiddenState(nn.Module):
    """Centres by a running mean in evaluation, moved under no_grad."""

    def __init__(self):
        super().__init__()
        self.layer, self.head = nn.Linear(12, 8), nn.Linear(8, 4)
        self.register_buffer("mean", torch.zeros(8))

    def forward(self, x):
        x = self.layer(x)
        if not self.training:
            return self.head(x - self.mean)
        with torch.no_grad():
            self.mean.mul_(0.9).add_(x.mean(0), alpha=0.1)
        return self.head(x - x.mean(0))


def spectral() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        first = nn.utils.spectral_norm(nn.Linear(12, 8))
    return nn.Sequential(first, nn.Tanh(), nn.Linear(8, 4))


class MovesWeights(Mlp):
    """Clamps its own weights in the forward pass."""

    def forward(self, x):
        with torch.no_grad():
            self.layers[0].weight.clamp_(-0.1, 0.1)
        return super().forward(x)


class OwnNoise(Mlp):
    """Adds noise from a generator of its own, which no seed of ours reaches."""

    draw = torch.Generator()

    def forward(self, x):
        return super().forward(x + 0.1 * torch.randn(x.shape, generator=self.draw, dtype=x.dtype))


class CountsCalls(Mlp):
    """Sharper with every call, by a number in Python."""

    calls = 0

    def forward(self, x):
        self.calls += 1
        return super().forward(x) * (1 + 0.1 * self.calls)


# ---- losses ----


def without_graph(model: nn.Module, batch) -> torch.Tensor:
    with torch.no_grad():
        return classify(model, batch)


def as_number(model: nn.Module, batch) -> float:
    return classify(model, batch).item()


def hits(model: nn.Module, batch) -> torch.Tensor:
    x, y = batch
    return (model(x).argmax(1) == y).double().mean()


def a_number_a_class(model: nn.Module, batch) -> torch.Tensor:
    x, y = batch
    return F.cross_entropy(model(x), y, reduction="none").view(-1, 2).mean(0)


def log_of_zero(model: nn.Module, batch) -> torch.Tensor:
    x, _ = batch
    return torch.log(torch.relu(model(x)) * 0).mean()


def frozen() -> nn.Module:
    return Mlp().requires_grad_(False)


def lazy() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nn.Sequential(nn.LazyLinear(8), nn.Tanh(), nn.LazyLinear(4))


def scripted() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.script(nn.Sequential(nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 4)))


def _own(activation) -> nn.Module:
    return nn.Sequential(nn.Linear(12, 8), activation(), nn.Linear(8, 4))


REFUSED = [
    Refused("own autograd.Function", lambda: _own(Squared), rows(12), classify,
            "its backward is once_differentiable", words=("'1'", "twice", "once_differentiable")),
    Refused("CTC loss", Ctc, sequences(6, 5), ctc, "F.ctc_loss",
            words=("ctc_loss", "twice")),
    Refused("cdist", Distances, rows(12), classify, "torch.cdist", words=("cdist", "twice")),
    Refused("EmbeddingBag", lambda: Recommender(Bag), visits, clicks,
            "nn.EmbeddingBag; nn.Embedding(...)(x).mean(1) works",
            words=("embedding_bag", "twice", "'bag'")),
    Refused("sparse embedding", lambda: Recommender(Sparse), visits, clicks,
            "nn.Embedding(sparse=True); sparse=False works", words=("embed", "sparse")),
    Refused("torch.compile, module", lambda: torch.compile(Mlp()), rows(12), classify,
            "the eager module works", words=("torch.compile", "_orig_mod")),
    Refused("torch.compile, function", Compiled, rows(12), classify,
            "a compiled function in an eager module", words=("compile", "eager")),
    Refused("checkpoint, reentrant", Reentrant, rows(12), classify,
            "use_reentrant=False works", words=("checkpoint", "use_reentrant")),
    Refused("TorchScript", scripted, rows(12), classify, "torch.jit.script",
            words=("TorchScript",)),
    Refused("DataParallel", lambda: nn.DataParallel(Mlp()), rows(12), classify,
            "the module inside works", words=("DataParallel", ".module")),
    Refused("bfloat16", BFloat, rows(12), bfloat, "parameters in half precision",
            words=("layers.0.weight", "bfloat16", ".float()")),
    Refused("autocast", Half, rows(12), classify, "autocast inside the module",
            words=("bfloat16", "autocast")),
    Refused("complex parameters", Complex, rows(12), classify, "a filter in the Fourier domain",
            words=("filter", "complex64")),
    Refused("running scale", RunningScale, rows(12), classify,
            "a buffer that a step changes and the training loss reads", words=("buffer scale",)),
    Refused("spectral_norm", spectral, rows(12), classify,
            "its power iteration is such a buffer", words=("buffer 0.weight_u",)),
    Refused("state under no_grad", HiddenState, rows(12), classify,
            "moved where autograd does not look; bn=\"frozen\" takes it as constant",
            words=("buffer mean", "no_grad", "frozen")),
    Refused("weights changed in place", MovesWeights, rows(12), classify,
            "the forward pass clamps a weight", words=("layers.0.weight", "in place")),
    Refused("noise of its own generator", OwnNoise, rows(12), classify,
            "cannot be drawn again on the way back", words=("same weights", "generators")),
    Refused("counts its calls", CountsCalls, rows(12), classify,
            "a number in Python; in a buffer it works", words=("same weights",)),
    Refused("loss under no_grad", Mlp, rows(12), without_graph, "no graph",
            words=("no_grad",)),
    Refused("loss.item()", Mlp, rows(12), as_number, "a float instead of a tensor",
            words=("float", ".item()")),
    Refused("accuracy as the loss", Mlp, rows(12), hits, "argmax has no derivative",
            words=("does not depend on the parameters",)),
    Refused("a loss of another shape", Mlp, rows(12), a_number_a_class,
            "neither one number nor one an example", words=("shape (2,)",)),
    Refused("loss not finite", Mlp, rows(12), log_of_zero, "log 0 on the first batch",
            words=("not finite", "log")),
    Refused("nothing to train", frozen, rows(12), classify, "all parameters frozen",
            words=("requires_grad",)),
    Refused("lazy module", lazy, rows(12), classify, "not initialised yet",
            words=("0.weight", "not initialised")),
    Refused("batch of another width", Mlp, images(1, 3), classify,
            "the user's own error passes, with a note of the module and operation",
            words=("mat1 and mat2",), error="RuntimeError"),
]  # fmt: skip
