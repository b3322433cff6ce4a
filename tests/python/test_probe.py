"""What cannot be tuned is refused before any work, by module, operation and remedy."""

import warnings

import house
import nets
import torch
import torch.nn as nn
import torch.nn.functional as F
from nets import F64, refuses

from drmad.errors import ConfigError, ModelError
from drmad.oracle import Oracle


class Twice(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 2 * g * x


class Fine(torch.autograd.Function):
    """A custom function with a second derivative but no forward mode."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 2 * g * x


class Wrong(Fine):
    """Its forward mode is not the derivative."""

    @staticmethod
    def jvp(ctx, t):
        return 7 * t


class Apply(nn.Module):
    def __init__(self, f):
        super().__init__()
        self.f = f

    def forward(self, x):
        return self.f(x)


def net(f, dtype=F64):
    """64 -> 5 -> f -> 4, with f as module "2"."""
    torch.manual_seed(0)
    made = nn.Sequential(nn.Flatten(), nn.Linear(64, 5), Apply(f), nn.Linear(5, 4))
    return made.to(dtype)


def oracle(model, loss_fn=nets.mean, n=16, dtype=F64, **more):
    x, y = nets.images(n=n, dtype=dtype)
    data = nets.loader(x, y)
    return Oracle(model, loss_fn, data, data, **more)


def no(kind, words, *args, **more):
    return refuses(kind, words, lambda: oracle(*args, **more))


def losses_of_wrong_shape():
    def whole(m, b):
        return m(b[0])

    no(ModelError, ["loss_fn", "(8, 4)", "batch of 8", "(8,)"], net(torch.tanh), whole)
    no(ModelError, ["float", ".item()"], net(torch.tanh), lambda m, b: nets.mean(m, b).item())
    no(ModelError, ["int64"], net(torch.tanh), lambda m, b: m(b[0]).argmax())


def losses_without_gradient():
    words = ["loss_fn", "does not depend", "no_grad"]
    no(ModelError, words, net(torch.tanh), lambda m, b: nets.mean(m, b).detach())
    no(ModelError, words, net(torch.tanh), lambda m, b: b[0].sum())


def not_finite():
    words = ["not finite", "module '2'", "operation log"]
    no(ModelError, words, net(lambda x: torch.log(-1 - x * x)))
    model = net(torch.tanh)
    with torch.no_grad():
        model[3].weight[0, 0] = float("inf")
    no(ModelError, ["not finite", "module '3'", "linear"], model)


def nothing_to_train():
    model = net(torch.tanh)
    for p in model.parameters():
        p.requires_grad_(False)
    no(ModelError, ["Sequential", "requires_grad=True"], model)


def wrong_places():
    with torch.device("meta"):
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 4))
    no(ModelError, ["1.weight", "meta"], model)
    mixed = net(torch.tanh)
    mixed[3].float()
    no(ModelError, ["3.weight", "float32", "1.weight", "float64"], mixed)
    no(ModelError, ["not initialised", "weight"], nn.Sequential(nn.Flatten(), nn.LazyLinear(4)))
    e = no(RuntimeError, [], net(torch.tanh), dtype=torch.float32)
    assert "module '1', operation linear" in e.__notes__[0] and "batch on cpu" in e.__notes__[0]


def half_precision():
    no(ModelError, ["1.weight", "bfloat16", ".float()"], net(torch.tanh, torch.bfloat16))

    def cast(m, b):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return F.cross_entropy(m(b[0]).float(), b[1])

    no(ModelError, ["module '1'", "linear", "bfloat16", "autocast"],
       net(torch.tanh, torch.float32), cast, dtype=torch.float32)  # fmt: skip


def in_place_on_parameters():
    class Clamped(nn.Linear):
        def forward(self, x):
            with torch.no_grad():
                self.weight.clamp_(-0.01, 0.01)
            return super().forward(x)

    class ByData(nn.Linear):
        def forward(self, x):
            self.weight.data.mul_(0.5)
            return super().forward(x)

    for kind in (Clamped, ByData):
        model = nn.Sequential(nn.Flatten(), kind(64, 4)).double()
        before = model[1].weight.detach().clone()
        no(ModelError, ["1.weight", "in place", "parametrize"], model)
        assert torch.equal(before, model[1].weight), "the user's module changed"

    class Plain(nn.Linear):
        def forward(self, x):
            self.weight.mul_(0.5)
            return super().forward(x)

    no(RuntimeError, ["inplace"], nn.Sequential(nn.Flatten(), Plain(64, 4)).double())


def not_twice():
    words = ["module '2'", "Twice", "twice", "once_differentiable"]
    for way in ("auto", "reverse", "forward"):
        no(ModelError, words[:1] if way == "forward" else words, net(Twice.apply), product=way)


def torch_operations():
    """What torch itself has no second derivative for; in a module, or in loss_fn."""
    centres = torch.randn(6, 5, dtype=F64)
    words = ["module '2'", "operation cdist", "twice", "replace"]
    torch.manual_seed(0)
    far = nn.Sequential(nn.Flatten(), nn.Linear(64, 5), Apply(lambda x: torch.cdist(x, centres)),
                        nn.Linear(6, 4)).double()  # fmt: skip
    no(ModelError, words, far)

    def margin(m, b):
        return F.multi_margin_loss(m(b[0]), b[1])

    no(ModelError, ["operation multi_margin_loss", "twice"], net(torch.tanh), margin)
    graph = torch.compile(lambda x: x * torch.sin(x), backend="aot_eager")
    no(ModelError, ["module '2'", "twice", "eager"], net(graph))


def hidden_dependence():
    """A backward that reads its input behind autograd's back: told, not refused."""

    class Hidden(Fine):
        @staticmethod
        def backward(ctx, g):
            return 2 * g * ctx.saved_tensors[0].detach()

    for dtype in (torch.float32, F64):
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            o = oracle(net(Hidden.apply, dtype), dtype=dtype)
        assert any("off the differences" in str(w.message) for w in seen), (dtype, o.notes)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for f in (torch.tanh, torch.relu):
                oracle(net(f, dtype), dtype=dtype)
            oracle(nets.seeded_model(nets.lenet, dtype=dtype), dtype=dtype)


def only_reverse():
    o = oracle(net(Fine.apply))
    assert o.how == "reverse over reverse"
    no(ModelError, ["module '2'", "twice"], net(Fine.apply), product="forward")
    o = oracle(net(Wrong.apply))
    assert o.how == "reverse over reverse" and any("another product" in n for n in o.notes)


def convolutions_go_forward():
    assert oracle(nets.seeded_model(nets.lenet)).how == "forward over reverse"
    assert oracle(nets.seeded_model(nets.resnet)).how == "reverse over reverse"  # batch norm
    assert oracle(net(torch.tanh)).how == "reverse over reverse"


def compiled():
    no(ModelError, ["torch.compile", "_orig_mod"], torch.compile(net(torch.tanh)))
    inner = net(torch.tanh)
    inner[2].compile()
    no(ModelError, ["module '2'", "torch.compile"], inner)
    no(ModelError, ["TorchScript"], torch.jit.trace(net(torch.tanh), nets.images(2)[0]))
    no(ModelError, ["DataParallel", ".module"], nn.DataParallel(net(torch.tanh)))


def private_noise():
    own = torch.Generator().manual_seed(0)
    f = lambda x: x + torch.rand(x.shape, generator=own, dtype=x.dtype)  # noqa: E731
    no(ModelError, ["same weights, batch and seed", "global generators"], net(f))


def state_in_the_loss():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("scale", torch.ones(()))

        def forward(self, x):
            y = x / self.scale
            if self.training:
                self.scale = 0.9 * self.scale + 0.1 * x.detach().abs().mean()
            return y

    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 4), Scaled()).double()
    no(ModelError, ["buffer 2.scale", "training loss reads it"], model)
    u = nn.utils.parametrizations.spectral_norm(nn.Linear(64, 4))
    model = nn.Sequential(nn.Flatten(), u).double()
    no(ModelError, ["buffer 1.parametrizations.weight.0._", "reads it"], model)


def state_out_of_sight():
    class Seen(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("seen", torch.zeros(4))

        def forward(self, x):
            if self.training:
                with torch.no_grad():
                    self.seen.lerp_(x.mean(0), 0.1)
                return x
            return x - self.seen

    make = lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 4), Seen()).double()  # noqa: E731
    no(ModelError, ["buffer 2.seen", "no_grad", "bn='frozen'"], make())
    o = oracle(make(), bn="frozen")
    assert any("constants" in n for n in o.notes)


def idle_parameters():
    class Idle(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.unused = nn.Linear(64, 4), nn.Linear(3, 3)

        def forward(self, x):
            return self.a(x.flatten(1))

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        o = oracle(Idle().double())
    assert any("unused.weight" in str(w.message) for w in seen)
    w, g, hu = (torch.ones(o.size, dtype=F64) for _ in range(3))
    o.start(0, w)
    o.gradient(0, 0, w, None, g)
    o.product(0, 0, w, w.clone(), None, False, None, hu, None)
    assert not o.split(g)[2].any() and not o.split(hu)[3].any()
    assert o.split(g)[0].any()


def user_errors():
    class Mine(Exception):
        pass

    def f(x):
        raise Mine("inside")

    e = no(Mine, ["inside"], net(f))
    last = e.__traceback__
    while last.tb_next:
        last = last.tb_next
    assert last.tb_frame.f_code.co_name == "f", "the traceback does not end in user code"
    assert "module '2'" in e.__notes__[0], e.__notes__


def example_weights():
    class Weights:
        kind = "example_weight"

    more = {"hyper": [Weights()]}
    no(ConfigError, ["one loss per example", "reduction='none'"], net(torch.tanh), **more)
    no(ConfigError, ["drop_last=True"], net(torch.tanh), nets.rows, n=17, **more)
    oracle(net(torch.tanh), nets.rows, hyper=[Weights()])


def words():
    no(ConfigError, ["bn", "'off'", "frozen"], net(torch.tanh), bn="off")
    no(ConfigError, ["product", "'fast'"], net(torch.tanh), product="fast")
    no(ConfigError, ["neither a Module nor"], 3)
    no(ConfigError, ["factory gave int"], lambda: 3)


def linear_models():
    """No second derivative at all: the product is zero, not an error."""
    for way in ("forward", "reverse"):
        o = oracle(nn.Sequential(nn.Flatten(), nn.Linear(64, 4)).double(),
                   lambda m, b: m(b[0]).mean(1), product=way)  # fmt: skip
        w, g, hu = (torch.ones(o.size, dtype=F64) for _ in range(3))
        rows = torch.zeros(8, dtype=F64)
        o.start(0, w)
        u = w.clone()
        o.product(0, 0, w, u, None, False, g, hu, rows)
        assert not hu.any() and g.any()
        nets.close(rows.sum(), g @ u, 1e-12)


def module_untouched():
    """Hooks, gradients, mode and buffers of the user's module are as before."""
    model = nets.seeded_model(nets.resnet).eval()
    grad = model[0].weight.grad = torch.ones_like(model[0].weight)
    kept = {k: v.clone() for k, v in model.state_dict().items()}
    o = oracle(model)
    w = torch.zeros(o.size, dtype=F64)
    o.start(0, w)
    o.gradient(0, 0, w, None, torch.zeros_like(w))
    o.evaluate(1, 0, w, None, torch.zeros_like(w))
    assert model[0].weight.grad is grad and not model.training
    assert all(torch.equal(v, kept[k]) for k, v in model.state_dict().items())
    assert all(isinstance(p, nn.Parameter) for p in model.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


TESTS = [(f"probe/{f.__name__}", f) for f in (
    losses_of_wrong_shape, losses_without_gradient, not_finite, nothing_to_train, wrong_places,
    half_precision, in_place_on_parameters, not_twice, torch_operations, hidden_dependence,
    only_reverse,
    convolutions_go_forward, compiled, private_noise, state_in_the_loss, state_out_of_sight,
    idle_parameters, user_errors, example_weights, words, linear_models, module_untouched,
)]  # fmt: skip

if __name__ == "__main__":
    house.main(dict(TESTS))
