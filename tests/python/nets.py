"""Small models and data that the tests of the oracle share, and how they compare."""

import math

import house  # noqa: F401  (finds the package, takes one thread)
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

F64 = torch.float64


def close(a, b, bar, what="", least=1e-8):
    """Relative distance of two tensors, and that there is something to compare."""
    size = float(b.detach().double().norm())
    off = float((a.detach().double() - b.detach().double()).norm())
    assert size > least, f"{what}: nothing to compare, norm {size:.3g}"
    assert off <= bar * size, f"{what}: off by {off / size:.3g} of {size:.3g}, bar {bar}"


def refuses(kind, words, f):
    """f() raises `kind`, and its message has all `words`."""
    try:
        f()
    except kind as e:
        missing = [w for w in words if w not in str(e)]
        assert not missing, f"no {missing} in: {e}"
        return e
    raise AssertionError(f"not refused: {words}")


def images(n=24, size=8, channels=1, classes=4, seed=0, dtype=F64):
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(n, channels, size, size, generator=draw, dtype=F64).to(dtype)
    return x, torch.randint(classes, (n,), generator=draw)


def tokens(n=16, length=6, vocabulary=11, seed=0):
    return torch.randint(vocabulary, (n, length), generator=torch.Generator().manual_seed(seed))


def loader(*tensors, batch=8, **more):
    return DataLoader(TensorDataset(*tensors), batch_size=batch, **more)


def rows(model, batch):
    """One cross-entropy per example."""
    return F.cross_entropy(model(batch[0]), batch[1], reduction="none")


def mean(model, batch):
    return F.cross_entropy(model(batch[0]), batch[1])


def next_token(model, batch):
    """One loss per sequence."""
    t = batch["tokens"] if isinstance(batch, dict) else batch[0]
    z = model(t[:, :-1])
    return F.cross_entropy(z.transpose(1, 2), t[:, 1:], reduction="none").mean(1)


def mlp(inputs=64, hidden=12, classes=4):
    return nn.Sequential(
        nn.Flatten(), nn.Linear(inputs, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.ReLU(),
        nn.Linear(hidden, classes),
    )  # fmt: skip


def lenet(classes=4, size=8):
    side = (size // 2 - 2) // 2
    return nn.Sequential(
        nn.Conv2d(1, 4, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3), nn.ReLU(),
        nn.AvgPool2d(2), nn.Flatten(), nn.Linear(6 * side * side, 10), nn.Tanh(),
        nn.Linear(10, classes),
    )  # fmt: skip


class Residual(nn.Module):
    def __init__(self, a, b, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(a, b, 3, stride, 1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(b), nn.BatchNorm2d(b)
        self.conv2 = nn.Conv2d(b, b, 3, 1, 1, bias=False)
        self.short = nn.Identity() if a == b else nn.Conv2d(a, b, 1, stride, bias=False)

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.short(x))


def resnet(classes=4):
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(),
        Residual(4, 4, 1), Residual(4, 6, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(6, classes),
    )  # fmt: skip


class Block(nn.Module):
    def __init__(self, d, heads, drop, causal):
        super().__init__()
        self.heads, self.causal = heads, causal
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.qkv, self.out = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.mlp = nn.Sequential(nn.Linear(d, 2 * d), nn.GELU(), nn.Linear(2 * d, d))
        self.drop = nn.Dropout(drop)

    def forward(self, x):
        b, t, d = x.shape
        q, k, v = (
            z.view(b, t, self.heads, -1).transpose(1, 2)
            for z in self.qkv(self.norm1(x)).chunk(3, -1)
        )
        y = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        x = x + self.drop(self.out(y.transpose(1, 2).reshape(b, t, d)))
        return x + self.drop(self.mlp(self.norm2(x)))


class GPT(nn.Module):
    def __init__(self, vocabulary=11, d=8, blocks=2, length=6, tied=True):
        super().__init__()
        self.tokens, self.places = nn.Embedding(vocabulary, d), nn.Embedding(length, d)
        self.blocks = nn.ModuleList(Block(d, 2, 0.0, True) for _ in range(blocks))
        self.norm, self.head = nn.LayerNorm(d), nn.Linear(d, vocabulary, bias=False)
        if tied:
            self.head.weight = self.tokens.weight

    def forward(self, t):
        x = self.tokens(t) + self.places.weight[: t.shape[1]]
        for b in self.blocks:
            x = b(x)
        return self.head(self.norm(x))


class ViT(nn.Module):
    def __init__(self, patch=4, size=8, d=8, classes=4, drop=0.2):
        super().__init__()
        self.cut = nn.Conv2d(1, d, patch, patch)
        self.place = nn.Parameter(torch.randn(1, (size // patch) ** 2, d) / math.sqrt(d))
        self.block, self.norm = Block(d, 2, drop, False), nn.LayerNorm(d)
        self.head = nn.Linear(d, classes)

    def forward(self, x):
        z = self.cut(x).flatten(2).transpose(1, 2) + self.place
        return self.head(self.norm(self.block(z)).mean(1))


class Recurrent(nn.Module):
    def __init__(self, kind=nn.LSTM, vocabulary=11, d=6):
        super().__init__()
        self.tokens, self.rnn = nn.Embedding(vocabulary, d), kind(d, d, batch_first=True)
        self.head = nn.Linear(d, vocabulary)

    def forward(self, t):
        return self.head(self.rnn(self.tokens(t))[0])


def seeded_model(make, seed=3, dtype=F64):
    torch.manual_seed(seed)
    return make().to(dtype)


def vector(oracle, seed=None):
    if seed is None:
        return torch.zeros(oracle.size, dtype=oracle.dtype)
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(oracle.size, generator=draw, dtype=F64).to(oracle.dtype)
