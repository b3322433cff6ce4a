"""The user's optimizer and scheduler: what is read, what is refused by name."""

import math

import torch
from house import main, raises
from torch.optim import lr_scheduler as ls

from drmad.plain import schedule_factor
from drmad.sgd import read_optimizer, read_scheduler

SGD = torch.optim.SGD
O = {"lr": 0.1, "momentum": 0.9, "dampening": 0.0, "nesterov": False, "weight_decay": 1e-4}
T = 200


def params():
    return [torch.nn.Parameter(torch.zeros(2)), torch.nn.Parameter(torch.zeros(3))]


def optimizers_are_read():
    made = SGD(params(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    for o in (made, lambda p: SGD(p, lr=0.1, momentum=0.9, weight_decay=1e-4)):
        assert read_optimizer(o, params()) == (SGD, O)
    assert read_optimizer(SGD, params())[1]["momentum"] == 0


def other_optimizers_are_refused():
    raises(ValueError, "AdamW is not differentiated", lambda: read_optimizer(
        lambda p: torch.optim.AdamW(p), params()))
    raises(ValueError, "maximize=True", lambda: read_optimizer(
        lambda p: SGD(p, lr=0.1, maximize=True), params()))
    raises(ValueError, "groups with lr 0.1 and 0.2", lambda: read_optimizer(
        lambda p: SGD([{"params": p[:1]}, {"params": p[1:], "lr": 0.2}], lr=0.1), params()))
    raises(TypeError, "the factory gave int", lambda: read_optimizer(lambda p: 3, params()))
    raises(TypeError, "optimizer: str", lambda: read_optimizer("sgd", params()))

    class Mine(SGD):
        def step(self, closure=None):
            return None

    raises(ValueError, "Mine changes SGD's step", lambda: read_optimizer(
        lambda p: Mine(p, lr=0.1), params()))
    hooked = SGD(params(), lr=0.1)
    hooked.register_step_post_hook(lambda *a: None)
    raises(ValueError, "hooks", lambda: read_optimizer(hooked, params()))


def warm_up(t):
    return (t + 1) / 20 if t < 20 else 0.5 * (1 + math.cos(math.pi * (t - 20) / (T - 20)))


def factors_of(make):
    opt = SGD(params(), lr=0.1)
    s, out = make(opt), []
    for _ in range(T):
        out.append(opt.param_groups[0]["lr"] / 0.1)
        opt.step()
        s.step()
    return out


def schedulers_are_recognised():
    for make, kind in (
        (lambda o: ls.CosineAnnealingLR(o, T), "cosine"),
        (lambda o: ls.CosineAnnealingLR(o, T, eta_min=0.01), "cosine"),
        (lambda o: ls.LinearLR(o, 1.0, 0.05, T), "linear"),
        (lambda o: ls.StepLR(o, 70, 0.3), "step"),
        (lambda o: ls.LambdaLR(o, warm_up), "cosine"),
        (lambda o: ls.LambdaLR(o, lambda t: 1.0), "constant"),
    ):
        s = read_scheduler(make, O, T)
        assert s["kind"] == kind, (s, kind)
        want = factors_of(make)
        assert all(abs(schedule_factor(s, T, t) - f) < 1e-6 for t, f in enumerate(want))
    s = read_scheduler(lambda o: ls.LambdaLR(o, warm_up), O, T)
    assert s["warmup"] == 20
    assert read_scheduler({"kind": "cosine", "warmup": 9}, O, T)["warmup"] == 9
    assert read_scheduler(None, O, T)["kind"] == "constant"


def other_schedulers_are_refused():
    raises(ValueError, "ReduceLROnPlateau follows the loss", lambda: read_scheduler(
        lambda o: ls.ReduceLROnPlateau(o), O, T))
    raises(ValueError, "OneCycleLR moves momentum", lambda: read_scheduler(
        lambda o: ls.OneCycleLR(o, 0.1, T), O, T))
    raises(ValueError, "CosineAnnealingWarmRestarts is none of the", lambda: read_scheduler(
        lambda o: ls.CosineAnnealingWarmRestarts(o, 50), O, T))
    raises(ValueError, "an instance has begun", lambda: read_scheduler(
        ls.StepLR(SGD(params(), lr=0.1), 3), O, T))
    raises(ValueError, "no 'final_lr'", lambda: read_scheduler({"final_lr": 1}, O, T))


if __name__ == "__main__":
    main({f.__name__: f for f in (optimizers_are_read, other_optimizers_are_refused,
                                  schedulers_are_recognised, other_schedulers_are_refused)})
