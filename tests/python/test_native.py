"""The callback route against the library's own engine: the same MLP, start weights and batches give
the same hypergradients of every kind. In F64 what is left is rounding (measured: 1e-12)."""

import ctypes
import json
import pathlib
import struct
import tempfile

import numpy
import torch
from house import main
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import drmad
from drmad._context import Context
from drmad.hyper import override
from drmad.result import read_safetensors

TRAIN, VALID, INPUTS, BATCH, STEPS = 120, 60, 7, 20, 40
TOLERANCE = 1e-10
HYPER = [drmad.lr(per="layer", phases=4), drmad.momentum(per="tensor"),
         drmad.weight_decay(per="unit-out", start=1e-2), drmad.l2(per="weight", start=1e-3),
         drmad.l1(per="unit-in", start=1e-4), drmad.init_scale(per="layer"),
         drmad.example_weight()]  # fmt: skip


class MLP(nn.Module):
    """Named as the library names its own."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(INPUTS, 9), nn.Linear(9, 8), nn.Linear(8, 4)])

    def forward(self, x):
        for layer in self.layers[:-1]:
            x = torch.tanh(layer(x))
        return self.layers[-1](x)


def loss_fn(model, batch):
    x, y = batch
    return nn.functional.cross_entropy(model(x), y, reduction="none")


def write_weights(path, model):
    head, body = {}, b""
    for name, p in model.named_parameters():
        raw = struct.pack(f"<{p.numel()}d", *p.flatten().tolist())
        head[name] = {"dtype": "F64", "shape": list(p.shape),
                      "data_offsets": [len(body), len(body) + len(raw)]}  # fmt: skip
        body += raw
    text = json.dumps(head).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def native(folder, lines) -> dict:
    """The hypergradients of the library's own run."""
    with Context() as context:
        study, raw = ctypes.c_void_p(), [line.encode() for line in lines]
        context.check(context.lib.drmad_study_load(
            context.handle, None, (ctypes.c_char_p * len(raw))(*raw), len(raw),
            ctypes.byref(study)))  # fmt: skip
        try:
            context.check(context.lib.drmad_study_why(study))
        finally:
            context.lib.drmad_study_free(study)
    return read_safetensors(folder / "hypergradients.safetensors")


def same(nesterov, scheduler, words):
    def test():
        draw = torch.Generator().manual_seed(3)
        x = torch.randn(TRAIN + VALID, INPUTS, generator=draw)
        y = (x[:, :4] + 0.5 * torch.randn(TRAIN + VALID, 4, generator=draw)).argmax(1)
        torch.manual_seed(1)
        model = MLP().double()
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            numpy.save(folder / "x.npy", x.numpy())
            numpy.save(folder / "y.npy", y.numpy())
            write_weights(folder / "w.safetensors", model)
            own = native(folder / "native", [
                "dtype=f64", "data.kind=npy", f"data.dir={folder}", "data.images=x.npy",
                "data.labels=y.npy", f"data.train={TRAIN}", f"data.valid={VALID}", "data.test=0",
                "data.split=sequential", "data.scale=1", "model.layers=[auto, 9, 8, auto]",
                f"model.weights={folder}/w.safetensors", f"train.steps={STEPS}",
                f"train.batch={BATCH}", "train.order=sequential", "optimizer.lr=0.2",
                "optimizer.momentum=0.8", f"optimizer.nesterov={str(nesterov).lower()}", *words,
                override(HYPER, scheduler is not None), f"output.dir={folder}/native"])  # fmt: skip
            x = x.double()
            drmad.why(model, loss_fn, steps=STEPS, hyper=HYPER, scheduler=scheduler,
                      train=DataLoader(TensorDataset(x[:TRAIN], y[:TRAIN]), BATCH),
                      valid=DataLoader(TensorDataset(x[TRAIN:], y[TRAIN:]), 25),
                      optimizer=torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.8,
                                                nesterov=nesterov),
                      out=folder / "torch", progress=False)  # fmt: skip
            ours = read_safetensors(folder / "torch" / "hypergradients.safetensors")
        assert set(ours) == set(own) and len(own) > 15, (sorted(ours), sorted(own))
        for slice_name, g in own.items():
            off = float((ours[slice_name] - g).norm() / g.norm())
            assert float(g.norm()) > 1e-9 and off <= TOLERANCE, f"{slice_name} is {off:.2g} off"

    return test


def cosine(opt):
    return torch.optim.lr_scheduler.CosineAnnealingLR(opt, STEPS)


TESTS = {
    "plain": same(False, None, []),
    "nesterov_under_a_cosine": same(True, cosine, ["optimizer.schedule=cosine"]),
}

if __name__ == "__main__":
    main(TESTS)
