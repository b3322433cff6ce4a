"""Single operations of torch inside a small net, three steps each: hypergradients in F64 against
torch's unrolled double backward, as in test_support.py. What the torch at hand does not
differentiate twice must be refused by name."""

from __future__ import annotations

import house
import support
import torch
import torch.nn.functional as F
from models import Case, Mlp, classify, images, rows, sequences
from nets import F64, refuses
from torch import nn
from torch.torch_version import TorchVersion

from drmad.errors import ModelError

BAR = 1e-11  # measured: 6e-15


class Between(nn.Module):
    """f between two layers."""

    def __init__(self, f, first: nn.Module, last: nn.Module):
        super().__init__()
        self.f, self.first, self.last = f, first, last

    def forward(self, x):
        return self.last(self.f(self.first(x)))


def dense(f, after: int = 8):
    return lambda: Between(f, nn.Linear(12, 8), nn.Linear(after, 4))


def image(f, after: int = 128):
    """f gets [n, 8, 4, 4]."""
    return lambda: Between(
        f, nn.Conv2d(3, 8, 3, 2, 1), nn.Sequential(nn.Flatten(), nn.Linear(after, 4))
    )


class Bidirectional(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(5, 6, 2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(12, 4)

    def forward(self, x):
        return self.head(self.rnn(x)[0].mean(1))


class Packed(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn, self.head = nn.GRU(5, 6, batch_first=True), nn.Linear(6, 4)

    def forward(self, x):
        lengths = torch.arange(len(x), 0, -1)
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True)
        return self.head(self.rnn(packed)[1][0])


class Warped(nn.Module):
    """A spatial transformer."""

    def __init__(self):
        super().__init__()
        self.where, self.head = nn.Linear(192, 6), nn.Linear(192, 4)

    def forward(self, x):
        move = 0.1 * self.where(x.flatten(1)).view(-1, 2, 3) + torch.eye(2, 3, dtype=x.dtype)
        grid = F.affine_grid(move, x.shape, align_corners=False)
        return self.head(F.grid_sample(x, grid, align_corners=False).flatten(1))


def orthogonal() -> nn.Module:
    first = nn.utils.parametrizations.orthogonal(nn.Linear(12, 8))
    return nn.Sequential(first, nn.Tanh(), nn.Linear(8, 4))


def up(mode: str):
    return image(lambda x: F.interpolate(x, scale_factor=2, mode=mode), 512)


NETS = {  # name -> (module, data)
    "prelu": (lambda: nn.Sequential(nn.Linear(12, 8), nn.PReLU(8), nn.Linear(8, 4)), rows(12)),
    "hardswish": (dense(F.hardswish), rows(12)),
    "mish": (dense(F.mish), rows(12)),
    "glu": (dense(F.glu, 4), rows(12)),
    "cumsum": (dense(lambda x: x.tanh().cumsum(1)), rows(12)),
    "cumprod": (dense(lambda x: x.tanh().cumprod(1)), rows(12)),
    "sort": (dense(lambda x: x.sort(1)[0]), rows(12)),
    "topk": (dense(lambda x: x.topk(3, 1)[0], 3), rows(12)),
    "normalize": (dense(F.normalize), rows(12)),
    "std": (dense(lambda x: x / x.std(1, keepdim=True)), rows(12)),
    "detach": (dense(lambda x: x * x.detach()), rows(12)),
    "straight_through": (dense(lambda x: x + (x.round() - x).detach()), rows(12)),
    "rms_norm": (dense(lambda x: F.rms_norm(x, (8,))), rows(12)),
    "orthogonal": (orthogonal, rows(12)),
    "bilinear": (up("bilinear"), images(3, 8)),
    "bicubic": (up("bicubic"), images(3, 8)),
    "adaptive_max_pool": (image(lambda x: F.adaptive_max_pool2d(x, 2), 32), images(3, 8)),
    "lp_pool": (image(lambda x: F.lp_pool2d(F.softplus(x), 2, 2), 32), images(3, 8)),
    "max_unpool": (
        image(lambda x: F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2)),
        images(3, 8),
    ),
    "pixel_shuffle": (image(lambda x: F.pixel_shuffle(x, 2)), images(3, 8)),
    "unfold": (image(lambda x: F.unfold(x, 3), 288), images(3, 8)),
    "instance_norm": (image(F.instance_norm), images(3, 8)),
    "local_response_norm": (image(lambda x: F.local_response_norm(x, 3)), images(3, 8)),
    "grid_sample": (Warped, images(3, 8)),
    "conv1d": (
        lambda: Between(torch.tanh, nn.Conv1d(6, 8, 3, dilation=2),
                        nn.Sequential(nn.Flatten(), nn.Linear(8, 4))),
        sequences(6, 5),
    ),
    "bidirectional": (Bidirectional, sequences(6, 5)),
    "packed": (Packed, sequences(6, 5)),
}  # fmt: skip


def on_outputs(f):
    """A loss from outputs [n, 4] and classes."""
    return lambda model, batch: f(model(batch[0]), batch[1])


def onehot(z, y):
    return F.one_hot(y, 4).to(z.dtype)


LOSSES = {
    "label_smoothing": lambda z, y: F.cross_entropy(z, y, label_smoothing=0.1),
    "nll": lambda z, y: F.nll_loss(F.log_softmax(z, 1), y),
    "kl_div": lambda z, y: F.kl_div(F.log_softmax(z, 1), onehot(z, y), reduction="batchmean"),
    "cosine_similarity": lambda z, y: (1 - F.cosine_similarity(z, onehot(z, y))).mean(),
    "smooth_l1": lambda z, y: F.smooth_l1_loss(z, onehot(z, y)),
    "logdet": lambda z, y: F.cross_entropy(z, y) + torch.logdet(z.T @ z + torch.eye(4).to(z)),
    "svdvals": lambda z, y: F.cross_entropy(z, y) + 0.1 * torch.linalg.svdvals(z).sum(),
}


def samples_twice() -> bool:
    """Whether torch itself differentiates grid_sample twice: not in 2.9, in 2.13."""
    x, grid = (torch.rand(1, n, 2, 2, dtype=F64, requires_grad=True) for n in (1, 2))
    y = F.grid_sample(x, grid.movedim(1, -1), align_corners=False)
    try:
        (g,) = torch.autograd.grad(y.square().sum(), grid, create_graph=True)
        torch.autograd.grad(g.sum(), grid)
    except RuntimeError as e:
        assert "grid_sampler_2d_backward is not implemented" in str(e), e
        assert torch.__version__ < TorchVersion("2.13"), "2.13 could"
        return False
    return True


def agrees(case: Case):
    def test():
        if case.name == "grid_sample" and not samples_twice():
            refuses(ModelError, ["operation grid_sample", "twice", "replace"],
                    lambda: support.compare(case))  # fmt: skip
            return
        worst, _ = support.compare(case)
        assert worst <= BAR, f"relative error {worst:.3g}"

    return test


if __name__ == "__main__":
    cases = [Case(n, make, data, classify, "", steps=3) for n, (make, data) in NETS.items()]
    cases += [Case(n, Mlp, rows(12), on_outputs(f), "", steps=3) for n, f in LOSSES.items()]
    house.main({f"operations/{c.name}": agrees(c) for c in cases})
