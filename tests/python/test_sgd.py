"""The user's optimizer and scheduler in a study's words: what is found, what is refused by name."""

import math

import torch
from house import main, raises
from torch.optim import lr_scheduler as ls

from drmad.errors import ConfigError
from drmad.optimizer import read_optimizer
from drmad.plain import schedule_factor
from drmad.sgd import constants, schedule

T = 200
SGD = torch.optim.SGD


def params():
    return [torch.nn.Parameter(torch.zeros(2)), torch.nn.Parameter(torch.zeros(3))]


def read(make):
    return read_optimizer(make, lambda: torch.nn.Linear(2, 3))


READ = read(lambda p: SGD(p, lr=0.1, momentum=0.9, weight_decay=1e-4))


def constants_are_found():
    assert constants(READ) == {
        "lr": 0.1, "momentum": 0.9, "dampening": 0.0, "weight_decay": 1e-4, "nesterov": False
    }  # fmt: skip
    two = read(lambda p: SGD([{"params": p[:1]}, {"params": p[1:], "lr": 0.2}], lr=0.1))
    raises(ConfigError, "groups with lr 0.1 and 0.2", lambda: constants(two))


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


def schedules_are_recognised():
    for make, kind in (
        (lambda o: ls.CosineAnnealingLR(o, T), "cosine"),
        (lambda o: ls.CosineAnnealingLR(o, T, eta_min=0.01), "cosine"),
        (lambda o: ls.LinearLR(o, 1.0, 0.05, T), "linear"),
        (lambda o: ls.StepLR(o, 70, 0.3), "step"),
        (lambda o: ls.ExponentialLR(o, 0.99), "step"),
        (lambda o: ls.LambdaLR(o, warm_up), "cosine"),
        (lambda o: ls.LambdaLR(o, lambda t: 1.0), "constant"),
    ):
        s = schedule(make, READ, T)
        assert s["kind"] == kind, (s, kind)
        want = factors_of(make)
        assert all(abs(schedule_factor(s, T, t) - f) < 1e-6 for t, f in enumerate(want))
    assert schedule(lambda o: ls.LambdaLR(o, warm_up), READ, T)["warmup"] == 20
    assert schedule({"kind": "cosine", "warmup": 9}, READ, T)["warmup"] == 9
    assert schedule(None, READ, T)["kind"] == "constant"


def other_schedules_are_refused():
    for words, make in (
        ("ReduceLROnPlateau follows the losses", ls.ReduceLROnPlateau),
        ("OneCycleLR moves momentum", lambda o: ls.OneCycleLR(o, 0.1, T)),
        ("CosineAnnealingWarmRestarts is none", lambda o: ls.CosineAnnealingWarmRestarts(o, 50)),
        ("has begun already", ls.StepLR(SGD(params(), lr=0.1), 3)),
        ("no 'final_lr'", {"final_lr": 1}),
    ):
        raises(ConfigError, words, lambda m=make: schedule(m, READ, T))


if __name__ == "__main__":
    main({f.__name__: f for f in (constants_are_found, schedules_are_recognised,
                                  other_schedules_are_refused)})  # fmt: skip
