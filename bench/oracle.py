"""What one call of the Python oracle costs, beside the same by a hand-written torch.func loop and
by a plain backward pass: microseconds, least of `rounds` interleaved rounds, one thread, batch 50.

    python bench/oracle.py [mlp lenet ...]"""

import pathlib
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.func import functional_call, grad, grad_and_value, jvp
from torch.nn.attention import SDPBackend, sdpa_kernel

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "python"), str(ROOT / "tests" / "python")]

import nets  # noqa: E402

from drmad.oracle import Oracle  # noqa: E402


def mlp():
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 50), nn.Tanh(), nn.Linear(50, 50), nn.Tanh(),
        nn.Linear(50, 50), nn.Tanh(), nn.Linear(50, 10),
    )  # fmt: skip


def lenet():
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84),
        nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip


def normed():
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Linear(128, 10)
    )


MODELS = {
    "mlp": mlp,
    "lenet": lenet,
    "normed": normed,
    "resnet": lambda: nets.resnet(10),
    "vit": lambda: nets.ViT(7, 28, 64, 10, 0.0),
}


def least(calls, rounds=30, seconds=0.02):
    best = {}
    for name, f in calls.items():
        f(0), f(1)
        start = time.perf_counter()
        f(2)
        best[name] = [max(1, int(seconds / (time.perf_counter() - start))), 1e9]
    for _ in range(rounds):
        for name, f in calls.items():
            start = time.perf_counter()
            for i in range(best[name][0]):
                f(i)
            best[name][1] = min(best[name][1], (time.perf_counter() - start) / best[name][0])
    return {name: t * 1e6 for name, (_, t) in best.items()}


def by_hand(module, x, y):
    """A gradient and a Hessian-vector product as one writes them with torch.func."""
    values = {k: p.detach().clone() for k, p in module.named_parameters()}
    along = {k: torch.randn_like(p) for k, p in values.items()}
    buffers = dict(module.named_buffers())
    order = torch.randperm(len(x))

    def loss(values, i):
        at = order[i * 50 % len(x) :][:50]
        return F.cross_entropy(functional_call(module, (values, buffers), (x[at],)), y[at])

    def product(i):
        with sdpa_kernel([SDPBackend.MATH]):
            return jvp(lambda v: grad(loss)(v, i), (values,), (along,))

    def backward(i):
        at = order[i * 50 % len(x) :][:50]
        module.zero_grad()
        F.cross_entropy(module(x[at]), y[at]).backward()

    return backward, lambda i: grad_and_value(loss)(values, i), product


def oracle_calls(make, data, way):
    o = Oracle(make(), nets.mean, data, data, product=way)
    r = Oracle(make(), nets.rows, data, data, product=way)
    w, g, hu = (torch.zeros(o.size) for _ in range(3))
    u, v, rows = torch.randn_like(w), torch.ones(50), torch.zeros(50)
    o.start(0, w), r.start(0, w)
    return o.how, {
        "oracle.gradient": lambda i: o.gradient(0, i, w, None, g),
        "oracle.product": lambda i: o.product(0, i, w, u, None, False, None, hu, None),
        "oracle.product, rows": lambda i: r.product(0, i, w, u, v, False, g, hu, rows),
    }


def main(names):
    torch.set_num_threads(1)
    x, y = nets.images(1000, 28, classes=10, dtype=torch.float32)
    data = nets.loader(x, y, batch=50, shuffle=True)
    for name in names or MODELS:
        make = MODELS[name]
        how, calls = oracle_calls(make, data, "auto")
        module = make().train()
        backward, gradient, product = by_hand(module, x, y)
        calls["backward"] = backward
        if not any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in module.modules()):
            # functorch refuses running statistics, which are changed in place
            calls |= {"torch.func gradient": gradient, "torch.func product": product}
        for way in ("forward", "reverse"):
            calls[f"product {way}"] = oracle_calls(make, data, way)[1]["oracle.product"]
        times = least(calls)
        print(f"{name} ({how})")
        for call, t in times.items():
            print(f"  {call:22} {t:10.0f} us")


if __name__ == "__main__":
    main(sys.argv[1:])
