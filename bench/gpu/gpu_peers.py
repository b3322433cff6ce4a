"""Seconds of a training step and a reverse step of gpu_lab.c's nets in PyTorch, for
tools/gpu-check: gpu_peers.py NET DEVICE [STEPS] prints one JSON object; NET ceilings: what the
device can do.

Step: gather u8 rows or images on the device, scale, the net, soft-max cross-entropy, L2, SGD with
momentum. torch: eager; captured once as a CUDA graph and replayed; the loss compiled. gpu_jax.py
is JAX's. Reverse: gradient with create_graph, <g, u>, its gradient for weights and penalties,
update of the adjoints: what a user of PyTorch writes by hand; eager, as torch.compile refuses
double backward. F32 without TF32, deterministic algorithms where torch has them, channels_last for
pictures. Medians over windows of steps between two events of the stream; on a CPU, by the clock."""

import json
import os
import pathlib
import statistics
import sys
import time

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # torch's deterministic products
import torch
from torch import nn

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from bench_nets_peers import Block

NETS = {  # batch, side of a picture or 0, channels, steps of a window
    "small": (50, 0, 1, 50),
    "large": (128, 0, 1, 50),
    "lenet": (64, 28, 1, 20),
    "resnet20": (64, 32, 3, 10),
    "resnet18": (32, 224, 3, 4),
}
LR, L2, WINDOWS = 0.01, 1e-4, 7


def resnet(stem, width, blocks, stages):
    layers, out = list(stem), width
    for stage in range(stages):
        for block in range(blocks):
            now = width << stage
            layers.append(Block(out, now, 2 if stage > 0 and block == 0 else 1))
            out = now
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(out, 10))


def stem(out, kernel, stride):
    conv = nn.Conv2d(3, out, kernel, stride, kernel // 2, bias=False)
    return [conv, nn.BatchNorm2d(out), nn.ReLU()]


def make(name):
    if name == "small":
        sizes, act = [784, 50, 50, 50, 10], nn.Tanh
    elif name == "large":
        sizes, act = [784, 800, 800, 10], nn.ReLU
    elif name == "lenet":
        return nn.Sequential(
            nn.Conv2d(1, 32, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 5), nn.ReLU(),
            nn.MaxPool2d(2), nn.Flatten(), nn.Linear(1024, 128), nn.ReLU(), nn.Linear(128, 10),
        )  # fmt: skip
    elif name == "resnet20":
        return resnet(stem(16, 3, 1), 16, 3, 3)
    else:
        return resnet([*stem(64, 7, 2), nn.MaxPool2d(3, 2, 1)], 64, 2, 4)
    layers = []
    for i, o in zip(sizes[:-1], sizes[1:]):
        layers += [nn.Linear(i, o), act()]
    return nn.Sequential(*layers[:-1])


class Net:
    def __init__(self, name, device):
        self.batch, self.side, channels, self.steps = NETS[name]
        torch.manual_seed(1)
        self.model = make(name).to(device)
        count, shape = 160 if self.side == 224 else 2048, (784,)
        if self.side:
            self.model = self.model.to(memory_format=torch.channels_last)
            shape = (self.side, self.side, channels)
        self.x = torch.randint(0, 256, (count, *shape), dtype=torch.uint8, device=device)
        self.y = torch.randint(0, 10, (count,), device=device)
        self.w = list(self.model.parameters())
        self.decayed = [p for p in self.w if p.ndim > 1]
        one = torch.full((), L2, device=device)
        self.lam = [one.clone().requires_grad_() for _ in self.decayed]
        self.opt = torch.optim.SGD(self.w, lr=LR, momentum=0.9)
        self.index = torch.randint(0, count, (self.batch,), device=device)

    def loss(self):
        x = self.x[self.index].float() * (1 / 255)
        if self.side:
            x = x.permute(0, 3, 1, 2)
        loss = nn.functional.cross_entropy(self.model(x), self.y[self.index])
        for w, lam in zip(self.decayed, self.lam):
            loss = loss + 0.5 * lam * (w * w).sum()
        return loss

    def step(self, loss):
        self.opt.zero_grad(set_to_none=True)
        loss().backward(inputs=self.w)
        self.opt.step()

    def start_reverse(self):
        self.wcot = [torch.zeros_like(p) for p in self.w]
        self.bcot = [torch.zeros_like(p) for p in self.w]

    def reverse(self):
        for c, b in zip(self.wcot, self.bcot):
            b.add_(c, alpha=-LR)
        grad = torch.autograd.grad(self.loss(), self.w, create_graph=True)
        dot = sum((g * b).sum() for g, b in zip(grad, self.bcot))
        out = torch.autograd.grad(dot, self.w + self.lam, allow_unused=True)
        for c, h in zip(self.wcot, out):
            if h is not None:  # the last bias
                c.add_(h)
        for b in self.bcot:
            b.mul_(0.9)


def window(run, steps, cuda):
    """Seconds of one of `steps` calls."""
    if not cuda:
        start = time.perf_counter()
        for _ in range(steps):
            run()
        return (time.perf_counter() - start) / steps
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    first.record()
    for _ in range(steps):
        run()
    last.record()
    last.synchronize()
    return 1e-3 * first.elapsed_time(last) / steps


def timed(run, steps, cuda):
    window(run, max(3, steps // 4), cuda)
    return statistics.median(window(run, steps, cuda) for _ in range(WINDOWS))


def graphed(net):
    """One step as a CUDA graph, as torch's documentation captures whole training steps."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(4):
            net.step(net.loss)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    net.opt.zero_grad(set_to_none=True)
    with torch.cuda.graph(graph):
        net.loss().backward(inputs=net.w)
        net.opt.step()
    return graph.replay


def attempt(found, name, make_run, steps, cuda):
    """A peer that does not run here is said to, with its reason."""
    try:
        found[name] = timed(make_run(), steps, cuda)
    except Exception as e:  # what torch raises here differs by cause and version
        lines = str(e).strip().splitlines() or [type(e).__name__]
        found.setdefault("failed", {})[name] = lines[0][:200]


def torch_times(name, device, steps):
    cuda = device != "cpu"
    net, found = Net(name, device), {}
    steps = steps or net.steps
    found["eager"] = timed(lambda: net.step(net.loss), steps, cuda)
    compiled = torch.compile(net.loss, dynamic=False)
    attempt(found, "compiled", lambda: lambda: net.step(compiled), steps, cuda)
    net.start_reverse()
    found["reverse"] = timed(net.reverse, steps, cuda)
    if cuda:
        attempt(found, "graphed", lambda: graphed(Net(name, device)), steps, cuda)
    return found


def ceilings(device):
    """Measured: F32 products without TF32, in FLOP/s; copies on the device, in bytes/s."""
    cuda, n = device != "cpu", 8192 if device != "cpu" else 512
    a, b = (torch.randn(n, n, device=device) for _ in range(2))
    flops = 2 * n**3 / timed(lambda: a @ b, 5, cuda)
    to = torch.empty_like(a)
    return {"flops": flops, "copy": 2 * 4 * n * n / timed(lambda: to.copy_(a), 20, cuda)}


def main():
    name, device = sys.argv[1:3]
    steps = int(sys.argv[3]) if len(sys.argv) > 3 else 0
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    precision = "f32, no TF32, deterministic where torch is"
    found = {"net": name, "torch": torch.__version__, "precision": precision}
    if name == "ceilings":
        found |= ceilings(device)
    else:
        found |= torch_times(name, device, steps)
    print(json.dumps(found))


if __name__ == "__main__":
    sys.exit(main())
