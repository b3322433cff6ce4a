"""Every preset against the same net of torch's own modules (nets.py), in F64 from the same weights:
one step of plain SGD at rate 1 shows forward pass, gradient and running statistics; the
hypergradient of a scale on every single start weight, (I - H) dF/dw, shows a Hessian-vector product
element by element, and the way of the running statistics into it. Tolerance 1e-9 of the largest
element."""

import sys

import torch
from torch.nn import functional as F

import nets
from bridge import drmad, report

TRAIN, VALID = 6, 5  # examples; one step takes all of TRAIN
RATE = 0.05
TOLERANCE = 1e-9


class Case:
    """A preset, its twin and random rows; what bridge.drmad reads besides."""

    def __init__(self, name, model, twin, size=8, channels=3, classes=4):
        draw = torch.Generator().manual_seed(3)
        self.name, self.model, self.twin = name, model, twin.double()
        self.train, self.valid, self.dtype = TRAIN, VALID, torch.float64
        count = TRAIN + 2 * VALID
        self.x = torch.randn(count, size, size, channels, generator=draw, dtype=torch.float64)
        self.y = torch.arange(count) % classes
        self.w = nets.parameters(twin)

    def inputs(self, rows):
        return self.x[rows].permute(0, 3, 1, 2)

    def targets(self, rows):
        return self.y[rows]

    def loss(self, w, rows, training):
        self.twin.train(training)
        z = torch.func.functional_call(self.twin, w, (self.inputs(rows),), tie_weights=True)
        return F.cross_entropy(z, self.targets(rows))

    def statistics(self):
        """The next running statistics of the last forward pass."""
        return {
            f"{name}.{k}": v
            for name, m in self.twin.named_modules()
            if isinstance(m, nets.BatchNorm)
            for k, v in m.next.items()
        }

    def step(self, w):
        """One step of SGD as part of the graph."""
        moved = {k: v for k, v in w.items() if "running_" not in k}
        loss = self.loss(w, slice(0, TRAIN), True)
        grads = torch.autograd.grad(loss, list(moved.values()), create_graph=True)
        after = {k: v - RATE * g for (k, v), g in zip(moved.items(), grads)}
        return {**after, **self.statistics()}


class TokenCase(Case):
    """Rows of token ids; each position predicts the next."""

    def __init__(self, name, model, twin, length, vocabulary):
        super().__init__(name, model, twin)
        draw = torch.Generator().manual_seed(3)
        count = TRAIN + 2 * VALID
        self.x = torch.randint(vocabulary, (count, length + 1), generator=draw).int()
        self.x[0, 0] = vocabulary - 1

    def inputs(self, rows):
        return self.x[rows, :-1].long()

    def targets(self, rows):
        return self.x[rows, 1:].long()


def cases():
    def resnet(*a, **k):
        return nets.ResNet(3, 4, *a, **k)

    cifar, imagenet = {"stem": "cifar"}, {"stem": "imagenet"}
    two, deep, deeper = (1, 1, 1), (2, 2, 2, 2), (3, 4, 6, 3)
    yield Case(
        "lenet5", {"preset": "lenet5", "width": 6}, nets.LeNet5(1, 16, 4, 6), size=16, channels=1
    )
    yield Case("resnet8", {"preset": "resnet8", "width": 4}, resnet(4, two))
    yield Case("resnet20", {"preset": "resnet20", "width": 2}, resnet(2, (3, 3, 3)))
    yield Case("resnet18", {"preset": "resnet18", "width": 2, **cifar}, resnet(2, deep))
    yield Case(
        "resnet18_imagenet",
        {"preset": "resnet18", "width": 2, **imagenet},
        resnet(2, deep, imagenet_stem=True),
        size=40,
    )
    yield Case("resnet34", {"preset": "resnet34", "width": 2, **cifar}, resnet(2, deeper))
    yield Case(
        "resnet50", {"preset": "resnet50", "width": 2, **cifar}, resnet(2, deeper, bottleneck=True)
    )
    yield Case("wrn_16_1", {"preset": "wrn-16-1", "width": 4}, nets.WideResNet(3, 4, 4))
    yield Case(
        "vit_tiny",
        {"preset": "vit-tiny", "width": 12, "depth": 2, "heads": 3, "patch": 4},
        nets.ViT(3, 8, 4, 4, 12, 2, 3),
    )
    yield TokenCase(
        "gpt_nano",
        {"preset": "gpt-nano", "width": 12, "depth": 2, "heads": 3},
        nets.GPT(11, 7, 12, 2, 3),
        length=7,
        vocabulary=11,
    )


def study(hyper):
    return {
        "train": {"steps": 1, "batch": TRAIN, "order": "sequential"},
        "optimizer": {"lr": RATE, "momentum": 0.0},
        "trajectory": {"kind": "full"},
        "retrain": {"seeds": 0},
        "hyper": hyper,
    }


def differences(got, want):
    for name, v in want.items():
        if name not in got:
            yield f"{name} is missing"
            continue
        off = (got[name].reshape(v.shape) - v).abs().max().item()
        largest = v.abs().max().item()
        if not off <= TOLERANCE * max(largest, 1e-3):
            yield f"{name}: off by {off:.3g}, largest {largest:.3g}"


def check_step(case):
    w = {k: v.clone().requires_grad_() for k, v in case.w.items()}
    want = {k: v.detach() for k, v in case.step(w).items()}
    got = drmad("train", case, study([]), "weights.safetensors")
    if set(got) != set(want):
        return [f"names in one only: {sorted(set(got) ^ set(want))}"]
    change = lambda v: {k: x - case.w[k] for k, x in v.items()}
    return list(differences(change(got), change(want)))


def check_product(case):
    scale = {
        k: torch.ones_like(v, requires_grad=True) for k, v in case.w.items() if "running_" not in k
    }
    w = {k: v * scale[k] if k in scale else v for k, v in case.w.items()}
    f = case.loss(case.step(w), slice(TRAIN, TRAIN + VALID), False)
    grads = torch.autograd.grad(f, list(scale.values()))
    want = {f"init_scale/{k}": g for k, g in zip(scale, grads)}
    hyper = [{"kind": "init_scale", "per": "weight", "match": "*", "start": 1}]
    got = drmad("why", case, study(hyper), "hypergradients.safetensors")
    if set(got) != set(want):
        return [f"slices in one only: {sorted(set(got) ^ set(want))}"]
    return list(differences(got, want))


def main():
    failed = 0
    for case in cases():
        for what, check in (("step", check_step), ("product", check_product)):
            try:
                errors = check(case)
            except RuntimeError as e:
                errors = [e]
            failed += report(f"torch_nets/{case.name}_{what}", errors)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
