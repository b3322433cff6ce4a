"""drmad from PyTorch on a device, for tools/gpu-check: gpu_python.py [DEVICE] prints one JSON
object a way: its hypergradients beside those of the library's own loop over torch on the CPU.

callback  a module on DEVICE, whose vectors torch keeps and moves; the CPU where none is named
native    the same module exported, computed by the CUDA backend (DRMAD_CUDA_LIBRARY)"""

import json
import pathlib
import sys
import tempfile

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent.parent / "python"))
import drmad
from drmad.result import read_safetensors


def loaders():
    draw = torch.Generator().manual_seed(5)
    x = torch.randn(140, 1, 8, 8, generator=draw)
    y = (x.flatten(1) @ torch.randn(64, 5, generator=draw)).argmax(1)
    train = TensorDataset(x[:100], y[:100])
    return {"train": DataLoader(train, 20, shuffle=True, drop_last=True),
            "valid": DataLoader(TensorDataset(x[100:], y[100:]), 40)}  # fmt: skip


def model(device="cpu"):
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(),
                        nn.Linear(36, 5))  # fmt: skip
    return net.to(device)


def loss(net, batch):
    x, y = batch
    return nn.functional.cross_entropy(net(x), y, reduction="none")


def sgd(params):
    return torch.optim.SGD(params, lr=0.1, momentum=0.9)


def hypergradients(folder, make=model, **more):
    """One vector of all slices."""
    hyper = [drmad.lr(per="layer"), drmad.l2(per="tensor", start=1e-3)]
    more |= {"optimizer": sgd, "steps": 12, "hyper": hyper, "seeds": 1, "progress": False}
    drmad.why(make, loss, **loaders(), out=folder, **more)
    found = read_safetensors(pathlib.Path(folder) / "hypergradients.safetensors")
    return torch.cat([found[k].flatten().double() for k in sorted(found)])


def compare(way, got, want):
    cosine = float(nn.functional.cosine_similarity(got, want, dim=0))
    norm = float(got.norm() / want.norm())
    print(json.dumps({"way": way, "cosine": cosine, "norm": norm}), flush=True)


def main():
    device = sys.argv[1] if len(sys.argv) > 1 else "cpu"
    with tempfile.TemporaryDirectory() as top:
        want = hypergradients(f"{top}/cpu")
        on = {"vectors": "torch"} if device == "cpu" else {}
        got = hypergradients(f"{top}/callback", lambda: model(device), **on)
        compare("callback", got, want)
        got = hypergradients(f"{top}/native", engine="native", device="cuda")
        compare("native", got, want)


if __name__ == "__main__":
    main()
