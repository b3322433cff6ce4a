"""The models of docs/SUPPORT.md that work: small ones of each family that people train. Each comes
with a maker of random batches and a loss; everything is seeded and runs in seconds on one core.
Those that must be refused are in refused.py; test_support.py uses both."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

CLASSES = 4


@dataclass(frozen=True)
class Case:
    """make() gives the module, data(draw, n) one batch of n examples drawn from a generator,
    loss(model, batch) their mean loss. `what`: a few words for the table. `drawn`: it draws random
    numbers while training."""

    name: str
    make: Callable[[], nn.Module]
    data: Callable[[torch.Generator, int], Any]
    loss: Callable[[nn.Module, Any], Any]
    what: str
    lr: float = 0.05
    steps: int = 8
    drawn: bool = False
    options: dict = field(default_factory=dict)  # of drmad.tune
    twin: Callable[[], nn.Module] | None = None  # for the reference, where `make` does not fit it

    def module(self, dtype: torch.dtype, seed: int = 1) -> nn.Module:
        """The module with start weights from `seed`."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.make().to(dtype)

    def batches(self, count: int, size: int, dtype: torch.dtype, seed: int) -> list[Any]:
        """`count` batches of `size` examples, floating point values in `dtype`."""
        draw = torch.Generator().manual_seed(seed)
        return [_cast(self.data(draw, size), dtype) for _ in range(count)]


def _cast(batch: Any, dtype: torch.dtype) -> Any:
    if isinstance(batch, dict):
        return {k: _cast(v, dtype) for k, v in batch.items()}
    if isinstance(batch, tuple):
        return tuple(_cast(v, dtype) for v in batch)
    return batch.to(dtype) if batch.is_floating_point() else batch


# ---- data and losses ----


def images(channels: int, side: int):
    """Batches (x [n, channels, side, side], class [n])."""

    def data(draw: torch.Generator, n: int):
        x = torch.randn(n, channels, side, side, generator=draw)
        return x, torch.randint(CLASSES, (n,), generator=draw)

    return data


def rows(width: int):
    """Batches (x [n, width], class [n])."""

    def data(draw: torch.Generator, n: int):
        return torch.randn(n, width, generator=draw), torch.randint(CLASSES, (n,), generator=draw)

    return data


def sequences(length: int, width: int):
    """Batches (x [n, length, width], class [n])."""

    def data(draw: torch.Generator, n: int):
        x = torch.randn(n, length, width, generator=draw)
        return x, torch.randint(CLASSES, (n,), generator=draw)

    return data


def classify(model: nn.Module, batch) -> torch.Tensor:
    x, y = batch
    return F.cross_entropy(model(x), y)


def reconstruct(model: nn.Module, batch) -> torch.Tensor:
    return F.mse_loss(model(batch), batch)


# ---- perceptrons ----


class Mlp(nn.Module):
    def __init__(self, sizes=(12, 16, 10, CLASSES), activation=torch.tanh):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:]))
        self.activation = activation

    def forward(self, x):
        for layer in self.layers[:-1]:
            x = self.activation(layer(x))
        return self.layers[-1](x)


def dropout_net() -> nn.Module:
    return nn.Sequential(
        nn.Linear(12, 24), nn.Tanh(), nn.Dropout(0.3), nn.Linear(24, 16), nn.Tanh(),
        nn.Dropout(0.5), nn.Linear(16, CLASSES),
    )  # fmt: skip


class StochasticDepth(nn.Module):
    """Residual layers that are left out at random, by Python's own generator."""

    def __init__(self, width=12):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(4))
        self.head = nn.Linear(width, CLASSES)

    def forward(self, x):
        for layer in self.layers:
            if not self.training or random.random() < 0.7:
                x = x + torch.tanh(layer(x))
        return self.head(x)


class Annealed(Mlp):
    """Sharper from step to step, by a counter in a buffer."""

    def __init__(self):
        super().__init__()
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def forward(self, x):
        if self.training:
            self.count += 1
        return super().forward(x) * (0.5 + 0.1 * self.count)


class Checkpointed(Mlp):
    """Its first two layers are computed again on the way back."""

    def forward(self, x):
        first = nn.Sequential(self.layers[0], nn.Tanh(), self.layers[1], nn.Tanh())
        return self.layers[2](checkpoint(first, x, use_reentrant=False))


def averaging_norms() -> nn.Module:
    """Statistics as plain averages over all steps."""
    return nn.Sequential(
        nn.Linear(12, 16, bias=False), nn.BatchNorm1d(16, momentum=None), nn.ELU(),
        nn.Linear(16, 10, bias=False), nn.BatchNorm1d(10, affine=False, momentum=None), nn.ELU(),
        nn.Linear(10, CLASSES),
    )  # fmt: skip


def autoencoder() -> nn.Module:
    return nn.Sequential(
        nn.Linear(16, 10), nn.SiLU(), nn.Linear(10, 4), nn.Sigmoid(),
        nn.Linear(4, 10), nn.SiLU(), nn.Linear(10, 16),
    )  # fmt: skip


class Mixer(nn.Module):
    """MLP-Mixer: patches, then MLPs across patches and across channels."""

    def __init__(self, side=8, patch=4, width=12, depth=2):
        super().__init__()
        tokens = (side // patch) ** 2
        self.embed = nn.Conv2d(3, width, patch, patch)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2 * depth))
        self.across = nn.ModuleList(_two_layers(tokens, 8) for _ in range(depth))
        self.along = nn.ModuleList(_two_layers(width, 24) for _ in range(depth))
        self.head = nn.Linear(width, CLASSES)

    def forward(self, x):
        x = self.embed(x).flatten(2).transpose(1, 2)
        for i, (across, along) in enumerate(zip(self.across, self.along)):
            x = x + across(self.norms[2 * i](x).transpose(1, 2)).transpose(1, 2)
            x = x + along(self.norms[2 * i + 1](x))
        return self.head(x.mean(1))


def _two_layers(width: int, inner: int) -> nn.Module:
    return nn.Sequential(nn.Linear(width, inner), nn.GELU(), nn.Linear(inner, width))


# ---- convolutions ----


class LeNet(nn.Module):
    def __init__(self, side=16):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 4, 5), nn.Conv2d(4, 6, 3)
        flat = 6 * ((((side - 4) // 2) - 2) // 2) ** 2
        self.fc1, self.fc2 = nn.Linear(flat, 16), nn.Linear(16, CLASSES)

    def forward(self, x):
        x = F.max_pool2d(torch.tanh(self.conv1(x)), 2)
        x = F.max_pool2d(torch.tanh(self.conv2(x)), 2)
        return self.fc2(torch.tanh(self.fc1(x.flatten(1))))


class Block(nn.Module):
    """A residual block; `norm(channels)` makes its norms."""

    def __init__(self, ins: int, outs: int, stride: int, norm):
        super().__init__()
        self.conv1 = nn.Conv2d(ins, outs, 3, stride, 1, bias=False)
        self.norm1 = norm(outs)
        self.conv2 = nn.Conv2d(outs, outs, 3, 1, 1, bias=False)
        self.norm2 = norm(outs)
        self.short = nn.Identity()
        if stride != 1 or ins != outs:
            self.short = nn.Sequential(nn.Conv2d(ins, outs, 1, stride, bias=False), norm(outs))

    def forward(self, x):
        y = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(self.norm2(self.conv2(y)) + self.short(x))


class ResNet(nn.Module):
    """The CIFAR form: a 3x3 stem, then stages of blocks that halve the image."""

    def __init__(self, norm=nn.BatchNorm2d, widths=(4, 8)):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, widths[0], 3, 1, 1, bias=False), norm(widths[0]), nn.ReLU()
        )
        ins = (widths[0], *widths)
        self.blocks = nn.Sequential(
            *(Block(a, b, 1 if i == 0 else 2, norm) for i, (a, b) in enumerate(zip(ins, widths)))
        )
        self.head = nn.Linear(widths[-1], CLASSES)

    def forward(self, x):
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


def group_norm(channels: int) -> nn.Module:
    return nn.GroupNorm(2, channels)


class Stage(nn.Module):
    """A dense block: each layer sees all before it."""

    def __init__(self, ins: int, growth: int, depth: int):
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.BatchNorm2d(ins + i * growth), nn.ReLU(),
                nn.Conv2d(ins + i * growth, growth, 3, 1, 1, bias=False),
            )
            for i in range(depth)
        )  # fmt: skip

    def forward(self, x):
        for layer in self.layers:
            x = torch.cat([x, layer(x)], 1)
        return x


def dense_net() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, 1, 1, bias=False), Stage(4, 4, 2), nn.BatchNorm2d(12), nn.ReLU(),
        nn.Conv2d(12, 6, 1, bias=False), nn.AvgPool2d(2), Stage(6, 4, 2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(14, CLASSES),
    )  # fmt: skip


class ConvNext(nn.Module):
    """Patches, then blocks of a depthwise convolution, LayerNorm over channels, GELU and a learned
    scale."""

    def __init__(self, width=8, depth=2):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 2, 2)
        self.depthwise = nn.ModuleList(
            nn.Conv2d(width, width, 3, 1, 1, groups=width) for _ in range(depth)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(depth))
        self.mlps = nn.ModuleList(_two_layers(width, 2 * width) for _ in range(depth))
        self.scales = nn.ParameterList(torch.full((width,), 0.5) for _ in range(depth))
        self.head = nn.Linear(width, CLASSES)

    def forward(self, x):
        x = self.stem(x)
        for conv, norm, mlp, scale in zip(self.depthwise, self.norms, self.mlps, self.scales):
            y = scale * mlp(norm(conv(x).permute(0, 2, 3, 1)))
            x = x + y.permute(0, 3, 1, 2)
        return self.head(x.mean((2, 3)))


class UNet(nn.Module):
    """Two levels, a transposed convolution up, skips by concatenation; one class a pixel."""

    def __init__(self, width=4):
        super().__init__()
        self.down = nn.Conv2d(1, width, 3, 1, 1)
        self.middle = nn.Conv2d(width, 2 * width, 3, 1, 1)
        self.up = nn.ConvTranspose2d(2 * width, width, 2, 2)
        self.join = nn.Conv2d(2 * width, width, 3, 1, 1)
        self.head = nn.Conv2d(width, 2, 1)

    def forward(self, x):
        skip = F.leaky_relu(self.down(x))
        y = F.leaky_relu(self.middle(F.max_pool2d(skip, 2)))
        y = torch.cat([skip, self.up(y)], 1)
        return self.head(F.leaky_relu(self.join(y)))


def masks(draw: torch.Generator, n: int):
    """Images with a class for each pixel."""
    x = torch.randn(n, 1, 8, 8, generator=draw)
    return x, (x[:, 0] + 0.3 * torch.randn(n, 8, 8, generator=draw) > 0).long()


def inplace_net() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, 1, 1), nn.ReLU(inplace=True), nn.Conv2d(6, 6, 3, 2, 1),
        nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(96, CLASSES),
    )  # fmt: skip


def frozen_backbone() -> nn.Module:
    net = nn.Sequential(LeNet(), nn.ReLU(), nn.Linear(CLASSES, 8), nn.Tanh(), nn.Linear(8, CLASSES))
    net[0].requires_grad_(False)
    return net


# ---- attention and recurrence ----


class Attention(nn.Module):
    def __init__(self, width: int, heads: int, causal: bool):
        super().__init__()
        self.heads, self.causal = heads, causal
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        n, length, width = x.shape
        parts = self.qkv(x).view(n, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(*parts, is_causal=self.causal)
        return self.out(y.transpose(1, 2).reshape(n, length, width))


class Gpt(nn.Module):
    """Two blocks of causal attention; the head is the token embedding again."""

    def __init__(self, tokens=11, length=8, width=12, depth=2):
        super().__init__()
        self.tokens, self.places = nn.Embedding(tokens, width), nn.Embedding(length, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2 * depth + 1))
        self.mixes = nn.ModuleList(Attention(width, 2, True) for _ in range(depth))
        self.mlps = nn.ModuleList(_two_layers(width, 2 * width) for _ in range(depth))
        self.head = nn.Linear(width, tokens, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, tokens):
        x = self.tokens(tokens) + self.places(torch.arange(tokens.shape[1]))
        for i, (mix, mlp) in enumerate(zip(self.mixes, self.mlps)):
            x = x + mix(self.norms[2 * i](x))
            x = x + mlp(self.norms[2 * i + 1](x))
        return self.head(self.norms[-1](x))


def text(draw: torch.Generator, n: int):
    """Sequences of tokens [n, 9]."""
    return torch.randint(11, (n, 9), generator=draw)


def next_token(model: nn.Module, batch) -> torch.Tensor:
    return F.cross_entropy(model(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())


class Vit(nn.Module):
    """Two blocks over patches with a class token, nn.MultiheadAttention."""

    def __init__(self, side=8, patch=4, width=12, depth=2):
        super().__init__()
        self.embed = nn.Conv2d(3, width, patch, patch)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.places = nn.Parameter(0.1 * torch.randn(1, (side // patch) ** 2 + 1, width))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2 * depth + 1))
        self.mixes = nn.ModuleList(
            nn.MultiheadAttention(width, 2, batch_first=True) for _ in range(depth)
        )
        self.mlps = nn.ModuleList(_two_layers(width, 2 * width) for _ in range(depth))
        self.head = nn.Linear(width, CLASSES)

    def forward(self, x):
        x = self.embed(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.places
        for i, (mix, mlp) in enumerate(zip(self.mixes, self.mlps)):
            y = self.norms[2 * i](x)
            x = x + mix(y, y, y, need_weights=False)[0]
            x = x + mlp(self.norms[2 * i + 1](x))
        return self.head(self.norms[-1](x)[:, 0])


class Encoder(nn.Module):
    """torch's own encoder layers, with their dropout, over sequences."""

    def __init__(self, width=8):
        super().__init__()
        self.embed, self.head = nn.Linear(5, width), nn.Linear(width, CLASSES)
        layer = nn.TransformerEncoderLayer(width, 2, 16, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)

    def forward(self, x):
        return self.head(self.encoder(self.embed(x)).mean(1))


class Recurrent(nn.Module):
    """One of torch's recurrent layers, its last output classified."""

    def __init__(self, kind):
        super().__init__()
        self.rnn, self.head = kind(5, 10, batch_first=True), nn.Linear(10, CLASSES)

    def forward(self, x):
        return self.head(self.rnn(x)[0][:, -1])


# ---- other batches ----


class Tabular(nn.Module):
    """Numbers and one category; weight norm on the first layer."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(5, 4)
        self.first = nn.utils.parametrizations.weight_norm(nn.Linear(10, 16))
        self.last = nn.Linear(16, 1)

    def forward(self, x, kind):
        x = torch.cat([x, self.embed(kind)], 1)
        return self.last(F.softplus(self.first(x)))[:, 0]


def table(draw: torch.Generator, n: int):
    x = torch.randn(n, 6, generator=draw)
    kind = torch.randint(5, (n,), generator=draw)
    return {"x": x, "kind": kind, "y": x.sum(1) + 0.1 * kind}


def regress(model: nn.Module, batch) -> torch.Tensor:
    return F.huber_loss(model(batch["x"], batch["kind"]), batch["y"])


class Recommender(nn.Module):
    """A user's bag of items, by `bag`, against one item: two towers and a dot product."""

    def __init__(self, bag, items=13, width=6):
        super().__init__()
        self.bag, self.item = bag(items, width), nn.Embedding(items, width)
        self.tower = nn.Linear(width, width)

    def forward(self, history, item):
        return (torch.tanh(self.tower(self.bag(history))) * self.item(item)).sum(1)


class MeanOf(nn.Module):
    """nn.EmbeddingBag(mode="mean") by an embedding and a mean."""

    def __init__(self, items: int, width: int):
        super().__init__()
        self.embed = nn.Embedding(items, width)

    def forward(self, history):
        return self.embed(history).mean(1)


def visits(draw: torch.Generator, n: int):
    history = torch.randint(13, (n, 5), generator=draw)
    item = torch.randint(13, (n,), generator=draw)
    return history, item, torch.randint(2, (n,), generator=draw).double()


def clicks(model: nn.Module, batch) -> torch.Tensor:
    history, item, y = batch
    return F.binary_cross_entropy_with_logits(model(history, item), y)


WORKS = [
    Case("MLP, tanh", Mlp, rows(12), classify, "3 dense layers", steps=20),
    Case("MLP, ReLU", lambda: Mlp(activation=torch.relu), rows(12), classify, "3 dense layers"),
    Case("LeNet", LeNet, images(1, 16), classify, "2 convolutions, max pooling", steps=20),
    Case("ResNet, BatchNorm", ResNet, images(3, 8), classify,
         "3x3 stem, 2 blocks; running statistics differentiated", steps=20),
    Case("ResNet, BatchNorm frozen", ResNet, images(3, 8), classify,
         "the same with bn=\"frozen\": statistics count as constants", options={"bn": "frozen"}),
    Case("ResNet, GroupNorm", lambda: ResNet(group_norm), images(3, 8), classify,
         "the same with GroupNorm"),
    Case("DenseNet", dense_net, images(3, 8), classify, "2 dense stages, BatchNorm, concatenation"),
    Case("ConvNeXt", ConvNext, images(3, 8), classify, "depthwise convolution, LayerNorm, GELU"),
    Case("U-Net", UNet, masks, classify, "transposed convolution, skips, a class a pixel"),
    Case("in-place ReLU", inplace_net, images(3, 8), classify, "nn.ReLU(inplace=True)"),
    Case("frozen backbone", frozen_backbone, images(1, 16), classify,
         "parameters with requires_grad=False stay as they are"),
    Case("ViT", Vit, images(3, 8), classify, "2 blocks, nn.MultiheadAttention"),
    Case("GPT", Gpt, text, next_token, "2 blocks, causal attention, tied head", steps=20),
    Case("Transformer encoder", Encoder, sequences(6, 5), classify,
         "nn.TransformerEncoder with dropout .1", drawn=True),
    Case("RNN", lambda: Recurrent(nn.RNN), sequences(6, 5), classify, "nn.RNN"),
    Case("GRU", lambda: Recurrent(nn.GRU), sequences(6, 5), classify, "nn.GRU"),
    Case("LSTM", lambda: Recurrent(nn.LSTM), sequences(6, 5), classify, "nn.LSTM"),
    Case("MLP-Mixer", Mixer, images(3, 8), classify, "2 blocks, transposes, LayerNorm"),
    Case("dropout", dropout_net, rows(12), classify,
         "masks drawn from (seed, step), the same on the way back", drawn=True),
    Case("stochastic depth", StochasticDepth, rows(12), classify,
         "layers left out by Python's random", drawn=True),
    Case("annealed", Annealed, rows(12), classify,
         "a counter in a buffer acts on the loss; set again on the way back"),
    Case("BatchNorm1d, momentum=None", averaging_norms, rows(12), classify,
         "statistics averaged over all steps, one norm without weights"),
    Case("checkpointed", Checkpointed, rows(12), classify,
         "torch.utils.checkpoint, use_reentrant=False", twin=Mlp),  # would take restored weights
    Case("autoencoder", autoencoder, lambda d, n: torch.randn(n, 16, generator=d), reconstruct,
         "squared error; a batch is one tensor"),
    Case("tabular regression", Tabular, table, regress,
         "a batch is a dict; weight_norm, Huber loss"),
    Case("recommender", lambda: Recommender(MeanOf), visits, clicks,
         "embeddings, a bag as a mean of them"),
]  # fmt: skip
