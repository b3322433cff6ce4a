"""The oracle's derivatives against torch's own: single calls for several architectures, and a whole
run with momentum, batch norm and dropout walked back, against its unrolled graph."""

import house
import nets
import torch
import torch.nn as nn
import torch.nn.functional as F
from nets import F64, close, vector

from drmad.oracle import NOISE, Oracle
from drmad.seeds import mix, seeded

EXACT = 1e-10  # two exact ways to one number in double, sums of up to 1e4 terms


def image_data():
    x, y = nets.images()
    return nets.loader(x, y, shuffle=True, drop_last=True), nets.loader(x, y)


def token_data():
    t = nets.tokens()
    batches = [{"tokens": t[i : i + 8]} for i in (0, 8)]
    return batches, batches


MODELS = {
    "mlp": (nets.mlp, nets.rows, image_data),
    "lenet": (nets.lenet, nets.rows, image_data),
    "resnet": (nets.resnet, nets.rows, image_data),
    "gpt": (nets.GPT, nets.next_token, token_data),
    "vit": (nets.ViT, nets.rows, image_data),
    "lstm": (nets.Recurrent, nets.next_token, token_data),
    "gru": (lambda: nets.Recurrent(nn.GRU), nets.next_token, token_data),
}


def reference(oracle, model, loss_fn, step, w, weights):
    """Row losses as a function of one flat vector, by functional_call on the user's own module."""
    batch = oracle.train.fetch(5, step)

    def losses(v):
        values = dict(zip([t.name for t in oracle.tensors],
                          (p.view(t.shape) for p, t in zip(v.split(sizes), oracle.tensors))))
        kept = {n: b.clone() for n, b in model.named_buffers()}
        with (seeded(mix(5, step, NOISE)),
              torch.nn.attention.sdpa_kernel([torch.nn.attention.SDPBackend.MATH]),
              torch.backends.mkldnn.flags(enabled=False)):  # fmt: skip
            return loss_fn(lambda x: torch.func.functional_call(model, (values, kept), (x,)), batch)

    sizes = [torch.Size(t.shape).numel() for t in oracle.tensors]
    v = w.clone().requires_grad_()
    return v, losses


def derivatives(name, way):
    make, loss_fn, data = MODELS[name]
    model = nets.seeded_model(make).train()
    kept = {k: v.clone() for k, v in model.state_dict().items()}
    oracle = Oracle(model, loss_fn, *data(), product=way)
    assert oracle.forward is (way == "forward") and oracle.per_example
    w, g, hu, g2 = (vector(oracle) for _ in range(4))
    oracle.start(5, w)
    u, b = vector(oracle, 1), oracle.batch
    out, v = torch.zeros(b, dtype=F64), torch.rand(b, dtype=F64) + 0.5
    for step, weights in ((0, None), (1, v)):
        got = oracle.gradient(5, step, w, weights, g)
        oracle.product(5, step, w, u, weights, False, g2, hu, out)
        x, f = reference(oracle, model, loss_fn, step, w, weights)
        losses = f(x)
        total = (losses * (1 if weights is None else weights)).mean()
        (want,) = torch.autograd.grad(total, x, create_graph=True)
        (second,) = torch.autograd.grad(want, x, u)
        jacobian = torch.stack([torch.autograd.grad(r, x, retain_graph=True)[0] for r in f(x)])
        assert abs(got - losses.mean().item()) < 1e-12
        close(g, want, EXACT, "gradient")
        close(g2, want, EXACT, "gradient of the product")
        close(hu, second, EXACT, "product")
        close(out, jacobian @ u / b, EXACT, "rows")
    for k, value in model.state_dict().items():
        assert torch.equal(value, kept[k]), f"the user's {k} changed"
    assert model.training and all(p.grad is None for p in model.parameters())


class Net(nn.Module):
    """Batch norm (also with a cumulative mean), instance norm with statistics, dropout."""

    def __init__(self, drop=0.2):
        super().__init__()
        self.a, self.b = nn.Conv2d(1, 3, 3, padding=1), nn.Linear(3 * 16, 6)
        self.norm1, self.norm2 = nn.BatchNorm2d(3), nn.BatchNorm1d(6, momentum=None)
        self.norm0 = nn.InstanceNorm2d(1, affine=True, track_running_stats=True)
        self.drop, self.out = nn.Dropout(drop), nn.Linear(6, 4)

    def forward(self, x):
        x = torch.tanh(self.norm1(self.a(self.norm0(x))))
        x = self.drop(F.avg_pool2d(x, 2).flatten(1))
        return self.out(torch.tanh(self.norm2(self.b(x))))


class Average(nn.Module):
    """State that is no norm: a running mean that the evaluation subtracts, not linear in itself."""

    def __init__(self):
        super().__init__()
        self.a, self.out = nn.Linear(64, 5), nn.Linear(5, 4)
        self.register_buffer("seen", torch.full((5,), 0.1))

    def forward(self, x):
        x = torch.tanh(self.a(x.flatten(1)))
        if self.training:
            self.seen = 0.8 * torch.sin(self.seen) + 0.2 * x.mean(0)
            return self.out(x)
        return self.out(x - self.seen)


LR, MU, T = 0.3, 0.8, 8


def unrolled(oracle, model, w0, lr, mu, h):
    """F(w_T, r_T) of the whole run as one graph in (w0, lr, mu, h): h scales the examples' losses.
    The running statistics are written out here a second time, from the layers' inputs."""
    names, sizes = [t.name for t in oracle.tensors], [p.numel() for p in model.parameters()]
    state = {n: b.clone() for n, b in model.named_buffers()}
    now = {}

    def note(path, m, args):
        if not m.training:
            return
        x, n = args[0], int(now["count"])
        f = 1 / (n + 1) if m.momentum is None else m.momentum
        if isinstance(m, nn.InstanceNorm2d):
            mean, var = x.mean((2, 3)).mean(0), x.var((2, 3)).mean(0)
        else:
            dims = [d for d in range(x.dim()) if d != 1]
            mean, var = x.mean(dims), x.var(dims)
        state[f"{path}.running_mean"] = (1 - f) * state[f"{path}.running_mean"] + f * mean
        state[f"{path}.running_var"] = (1 - f) * state[f"{path}.running_var"] + f * var

    for path, m in model.named_modules():
        if hasattr(m, "running_mean"):
            m.register_forward_pre_hook(lambda m, a, path=path: note(path, m, a))

    def call(w, x, buffers):
        parts = (p.view(t.shape) for p, t in zip(w.split(sizes), oracle.tensors))
        return torch.func.functional_call(model, (dict(zip(names, parts)), buffers), (x,))

    w, b = w0, torch.zeros_like(w0)
    for t in range(T):
        now["count"] = t
        x, y = oracle.train.fetch(5, t)
        scratch = {k: v.detach().clone() for k, v in state.items()}
        if "seen" in state:
            scratch["seen"] = state["seen"]
        model.train()
        with seeded(mix(5, t, NOISE)):
            losses = F.cross_entropy(call(w, x, scratch), y, reduction="none")
        if "seen" in state:
            z = torch.tanh(F.linear(x.flatten(1), *(p.view(s.shape) for p, s in
                           zip(w.split(sizes)[:2], oracle.tensors))))  # fmt: skip
            state["seen"] = 0.8 * torch.sin(state["seen"]) + 0.2 * z.mean(0)
        (g,) = torch.autograd.grad((losses * h).mean(), w, create_graph=True)
        b = g if t == 0 else mu * b + g
        w = w - lr * b
    model.eval()
    total = 0.0
    for x, y in oracle.parts[1].in_order():
        total = total + F.cross_entropy(evaluate(model, call, w, x, state), y, reduction="sum")
    return total / oracle.sizes[1], w


def evaluate(model, call, w, x, state):
    """An evaluation that is differentiable in the running statistics."""
    norms = [(p, m) for p, m in model.named_modules() if hasattr(m, "running_mean")]
    try:
        for p, m in norms:
            m.forward = lambda x, p=p, m=m: normalized(x, m, state, p)
        return call(w, x, state)
    finally:
        for _, m in norms:
            del m.forward


def normalized(x, m, state, p):
    s = (1, -1) + (1,) * (x.dim() - 2)
    mean, var = state[f"{p}.running_mean"].view(s), state[f"{p}.running_var"].view(s)
    y = (x - mean) / torch.sqrt(var + m.eps)
    return y * m.weight.view(s) + m.bias.view(s)


def walked(oracle, w0, v):
    """F and its derivatives by the recursion of DESIGN section 2 over the oracle's calls alone."""
    path, w, b, g, loss = [], w0.clone(), vector(oracle), vector(oracle), 0.0
    for t in range(T):
        oracle.gradient(5, t, w, v, g)
        before = b
        b = g.clone() if t == 0 else MU * b + g
        path.append((w.clone(), before, b))
        w = w - LR * b
    wt, hu = vector(oracle), vector(oracle)
    loss, _, _ = oracle.evaluate(1, 0, w, None, wt)
    bt, lr, mu, h = vector(oracle), 0.0, 0.0, torch.zeros_like(v)
    rows = torch.zeros_like(v)
    for t in reversed(range(T)):
        w, before, after = path[t]
        lr -= float(wt @ after)
        bt = bt - LR * wt
        mu += float(bt @ before) if t else 0.0
        oracle.product(5, t, w, bt, v, False, None, hu, rows)
        wt, h = wt + hu, h + rows
        bt = MU * bt if t else bt
    return loss, lr, mu, wt, h


def slope(oracle, w0, v, dw, dlr, dmu):
    """dF along (dw, dlr, dmu) by one run with tangents."""
    w, b, g, hu = w0.clone(), vector(oracle), vector(oracle), vector(oracle)
    wd, bd = dw.clone(), vector(oracle)
    oracle.start(5, w0.clone())
    for t in range(T):
        oracle.product(5, t, w, wd, v, True, g, hu, None)
        oracle.gradient(5, t, w, v, vector(oracle))  # a second visit moves nothing
        bd = hu.clone() if t == 0 else MU * bd + dmu * b + hu
        b = g.clone() if t == 0 else MU * b + g
        wd = wd - dlr * b - LR * bd
        w = w - LR * b
    loss, _, along = oracle.evaluate(1, 0, w, wd, None)
    return loss, along


def whole_run(make, way):
    oracle = Oracle(nets.seeded_model(make), nets.rows, *image_data(), product=way)
    model = nets.seeded_model(make)
    w0, v = vector(oracle), torch.linspace(0.5, 1.5, oracle.batch, dtype=F64)
    oracle.start(5, w0)
    loss, lr, mu, wt, h = walked(oracle, w0, v)
    leaves = [w0.clone(), torch.tensor(LR, dtype=F64), torch.tensor(MU, dtype=F64), v.clone()]
    leaves = [x.requires_grad_() for x in leaves]
    f, _ = unrolled(oracle, model, *leaves)
    want = torch.autograd.grad(f, leaves)
    assert abs(loss - float(f)) < 1e-10 * abs(loss), (loss, float(f))
    close(wt, want[0], 1e-8, "w_0")
    close(torch.tensor(lr, dtype=F64), want[1], 1e-8, "lr")
    close(torch.tensor(mu, dtype=F64), want[2], 1e-8, "momentum")
    close(h, want[3], 1e-8, "example weights")
    dw = vector(oracle, 2)
    again, along = slope(oracle, w0, v, dw, 0.7, -0.4)
    expected = want[0] @ dw + 0.7 * want[1] - 0.4 * want[2]
    assert abs(again - loss) < 1e-10
    close(torch.tensor(along, dtype=F64), expected, 1e-8, "slope of the forward run")


def frozen_differs():
    """The state's share is real: without it the derivative is another one."""
    oracle = Oracle(nets.seeded_model(Net), nets.rows, *image_data(), bn="frozen")
    full = Oracle(nets.seeded_model(Net), nets.rows, *image_data())
    w0, v = vector(oracle), torch.ones(oracle.batch, dtype=F64)
    oracle.start(5, w0)
    full.start(5, w0)
    a, b = walked(oracle, w0, v)[3], walked(full, w0, v)[3]
    assert float((a - b).norm()) > 1e-3 * float(b.norm())
    assert any("constants" in n for n in oracle.notes), oracle.notes


def fresh_starts():
    """A factory gives new start weights per seed, the same ones for the same seed."""
    oracle = Oracle(lambda: nets.mlp().double(), nets.mean, *image_data())
    a, b, c = (vector(oracle) for _ in range(3))
    before = torch.get_rng_state()
    oracle.start(1, a), oracle.start(2, b), oracle.start(1, c)
    assert torch.equal(before, torch.get_rng_state()), "the caller's generator moved"
    assert torch.equal(a, c) and not torch.equal(a, b)
    assert not any("fixed" in n or "given module" in n for n in oracle.notes)


def tied_and_frozen():
    model = nets.seeded_model(nets.GPT)
    model.places.weight.requires_grad_(False)
    oracle = Oracle(model, nets.next_token, *token_data())
    names = [t.name for t in oracle.tensors]
    assert "tokens.weight" in names and "head.weight" not in names and "places.weight" not in names
    roles = {t.name: (t.role, t.layer) for t in oracle.tensors}
    assert roles["tokens.weight"] == ("weight", 0)
    assert roles["blocks.0.norm1.bias"] == ("norm", 1), roles
    assert roles["blocks.0.qkv.bias"][0] == "bias"


def layout_with_gaps():
    oracle = Oracle(nets.seeded_model(nets.lenet), nets.mean, *image_data())
    tight = vector(oracle)
    oracle.start(0, tight)
    dense, hu = vector(oracle), vector(oracle)
    oracle.gradient(0, 0, tight, None, dense)
    oracle.product(0, 0, tight, dense.clone(), None, False, None, hu, None)
    offsets, end = [], 3
    for t in oracle.tensors:
        offsets.append(end)
        end += -(-torch.Size(t.shape).numel() // 16) * 16
    oracle.lay_out(offsets, end + 5)
    w, g, h = (torch.zeros(end + 5, dtype=F64) for _ in range(3))
    oracle.start(0, w)
    oracle.gradient(0, 0, w, None, g)
    oracle.product(0, 0, w, g.clone(), None, False, None, h, None)
    spots = torch.cat([torch.arange(a, a + torch.Size(t.shape).numel())
                       for a, t in zip(offsets, oracle.tensors)])  # fmt: skip
    for a, b in ((w, tight), (g, dense), (h, hu)):
        assert torch.equal(a[spots], b)
        gaps = a.clone()
        gaps[spots] = 0
        assert not gaps.any(), "something between the tensors"


def evaluation():
    x, y = nets.images(n=23)
    model = nets.seeded_model(Net).eval()
    wrong = lambda m, b: (m(b[0]).argmax(1) != b[1]).double()  # noqa: E731
    for loss_fn in (nets.mean, nets.rows):
        oracle = Oracle(model, loss_fn, nets.loader(x, y, drop_last=True), nets.loader(x, y),
                        metric=wrong)  # fmt: skip
        w, dw = vector(oracle), vector(oracle)
        oracle.start(0, w)
        for n in (0, 5, 11):
            z = model(x[: n or None])
            want = F.cross_entropy(z, y[: n or None])
            grads = torch.autograd.grad(want, list(model.parameters()))
            for part in (0, 1):
                loss, error, _ = oracle.evaluate(part, n, w, None, dw)
                assert abs(loss - float(want)) < 1e-12, (part, n)
                assert abs(error - float((z.argmax(1) != y[: n or None]).double().mean())) < 1e-12
                close(dw, torch.cat([g.flatten() for g in grads]), EXACT, "dF/dw")
                assert abs(loss - oracle.evaluate(part, n, w, None, None)[0]) < 1e-12


def state_of_a_run():
    """Running statistics after a run are those of plain torch; other visits leave them alone."""
    model = nets.seeded_model(lambda: Net(0.0))
    oracle = Oracle(model, nets.rows, *image_data())
    w, g = vector(oracle), vector(oracle)
    for _ in range(2):
        oracle.start(5, w)
        for t in range(3):
            oracle.gradient(5, t, w, None, g)
        oracle.gradient(5, 1, w, None, g)
        oracle.product(5, 2, w, g, None, False, None, vector(oracle), None)
    for t in range(3):
        model.train()(oracle.train.fetch(5, t)[0])
    mine, theirs = dict(oracle.net.module.named_buffers()), dict(model.named_buffers())
    for n, b in theirs.items():
        assert torch.equal(mine[n], b), n


def noise_outside_torch():
    import random

    import numpy as np

    def noisy(model, batch):
        z = model(batch[0] * random.uniform(0.5, 1.5)) * float(np.random.rand())
        return F.cross_entropy(z, batch[1])

    oracle = Oracle(nets.seeded_model(nets.mlp), noisy, *image_data())
    assert oracle.noise == {"random", "numpy"}, oracle.noise
    w, g = vector(oracle), vector(oracle)
    oracle.start(0, w)
    a = [oracle.gradient(1, t, w, None, g) for t in (0, 3, 0)]
    assert a[0] == a[2] != a[1]
    assert oracle.evaluate(1, 0, w, None, None) [0] == oracle.evaluate(1, 0, w, None, None)[0]


def structures():
    """Batches as dict, dataclass, single tensor and nested lists."""
    import dataclasses

    @dataclasses.dataclass
    class Pair:
        x: torch.Tensor
        y: torch.Tensor

    x, y = nets.images(n=8)
    forms = {
        "dict": ({"x": x, "y": y}, lambda m, b: F.cross_entropy(m(b["x"]), b["y"])),
        "dataclass": (Pair(x, y), lambda m, b: F.cross_entropy(m(b.x), b.y)),
        "tensor": (x, lambda m, b: m(b).square().mean()),
        "nested": ([[x], (y,)], lambda m, b: F.cross_entropy(m(b[0][0]), b[1][0])),
    }
    for name, (batch, loss_fn) in forms.items():
        oracle = Oracle(nets.seeded_model(nets.mlp), loss_fn, [batch], [batch, batch])
        w, g = vector(oracle), vector(oracle)
        oracle.start(0, w)
        assert oracle.sizes == (8, 16, 0), name
        assert oracle.gradient(0, 0, w, None, g) > 0
        oracle.evaluate(1, 11, w, None, g)


TESTS = [(f"oracle/{n}_{way}", lambda n=n, way=way: derivatives(n, way))
         for n in MODELS for way in ("forward", "reverse")]  # fmt: skip
TESTS += [(f"oracle/run_{n}_{way}", lambda make=make, way=way: whole_run(make, way))
          for n, make in (("norms", Net), ("average", Average)) for way in ("forward", "reverse")]
TESTS += [(f"oracle/{f.__name__}", f) for f in (frozen_differs, fresh_starts, tied_and_frozen,
          layout_with_gaps, evaluation, state_of_a_run, noise_outside_torch,
          structures)]  # fmt: skip

if __name__ == "__main__":
    house.main(dict(TESTS))
