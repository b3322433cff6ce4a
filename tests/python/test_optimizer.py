"""Optimizers and schedulers are read as torch runs them, or refused by name."""

import math

import house
import nets
import torch
import torch.nn as nn
from nets import refuses
from torch.optim import SGD, Adagrad, Adam, AdamW, NAdam, RMSprop
from torch.optim import lr_scheduler as ls

from drmad.errors import ConfigError
from drmad.optimizer import read_optimizer, read_schedule


def no(words, optimizer, model=None):
    refuses(ConfigError, words, lambda: read_optimizer(optimizer, model or nets.mlp()))


def groups():
    model = nets.mlp()
    opt = SGD([{"params": model[1].parameters(), "lr": 0.5, "weight_decay": 1e-3},
               {"params": [*model[3].parameters(), *model[5].parameters()]}],
              lr=torch.tensor(0.1), momentum=0.9, dampening=0.2)  # fmt: skip
    got = read_optimizer(opt, model)
    assert got["class"] == "SGD" and got["fixed"] == {"nesterov": False}
    a, b = got["groups"]
    assert a["names"] == ["1.weight", "1.bias"] and a["weight_decay"] == 1e-3 and a["lr"] == 0.5
    assert b["names"][-1] == "5.bias" and abs(b["lr"] - 0.1) < 1e-7 and b["dampening"] == 0.2


def factories():
    for model in (nets.mlp(), nets.mlp):
        got = read_optimizer(lambda p: SGD(p, lr=0.1, momentum=0.9, nesterov=True), model)
        assert got["fixed"]["nesterov"] and len(got["groups"][0]["names"]) == 6
        split = lambda model: SGD([{"params": [p], "lr": 0.1 * p.dim()}  # noqa: E731
                                   for p in model.parameters()], lr=1)  # fmt: skip
        got = read_optimizer(split, model)
        assert [g["names"] for g in got["groups"]][1] == ["1.bias"]
    read_optimizer(lambda p: SGD(p, lr=0.1, foreach=True), nets.mlp)
    read_optimizer(lambda p: SGD(p, lr=0.1, fused=True), nets.mlp)
    tied = nets.GPT()
    names = read_optimizer(lambda p: SGD(p, lr=1), tied)["groups"][0]["names"]
    assert "tokens.weight" in names and "head.weight" not in names


def others():
    read = lambda make: read_optimizer(make, nets.mlp)  # noqa: E731
    got = read(lambda p: Adam(p, lr=0.01, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1))
    names = {"names": got["groups"][0]["names"]}
    want = {"lr": 0.01, "beta1": 0.8, "beta2": 0.95, "eps": 1e-6, "weight_decay": 0.1}
    assert got["class"] == "Adam" and got["fixed"] == {"kind": "adam"}
    assert got["groups"] == [{**names, **want}]
    assert read(lambda p: AdamW(p))["fixed"] == {"kind": "adamw"}
    assert read(lambda p: Adam(p, decoupled_weight_decay=True))["fixed"] == {"kind": "adamw"}
    got = read(lambda p: RMSprop(p, alpha=0.9, momentum=0.5, centered=True))
    assert got["fixed"] == {"kind": "rmsprop", "centered": True}
    assert got["groups"][0]["beta2"] == 0.9 and got["groups"][0]["momentum"] == 0.5
    got = read(lambda p: NAdam(p, momentum_decay=0.1, decoupled_weight_decay=True))
    assert got["fixed"] == {"kind": "nadam", "decoupled": True}
    assert got["groups"][0]["momentum_decay"] == 0.1
    factors = read_schedule(lambda o: ls.StepLR(o, 2, 0.5), read(lambda p: AdamW(p)), 4)
    assert factors == [[1.0, 1.0, 0.5, 0.5]]


def refused():
    no(["Adagrad is not differentiated", "AdamW, Adam, RMSprop are"], lambda p: Adagrad(p))
    no(["amsgrad"], lambda p: Adam(p, amsgrad=True))

    class MyAdam(AdamW):
        pass

    no(["MyAdam changes AdamW"], lambda p: MyAdam(p))
    no(["centered differs"], lambda p: RMSprop([{"params": p[:2], "centered": True},
                                                {"params": p[2:]}]))  # fmt: skip

    class Mine(SGD):
        pass

    no(["Mine changes SGD"], lambda p: Mine(p, lr=1))
    no(["maximize", "loss_fn"], lambda p: SGD(p, lr=1, maximize=True))
    no(["int"], 3)
    no(["factory gave list"], lambda p: list(p))
    no(["none of the model's", "(7,)"], lambda p: SGD([nn.Parameter(torch.ones(7))], lr=1))
    no(["1.weight", "no group", "requires_grad_(False)"], lambda p: SGD(p[1:], lr=1))
    refuses(ConfigError, ["model is a factory", "lambda p"],
            lambda: read_optimizer(SGD(nets.mlp().parameters(), lr=1), nets.mlp))  # fmt: skip
    model = nets.mlp()
    opt = SGD(model.parameters(), lr=1, momentum=0.9)
    model(torch.ones(2, 64)).sum().backward()
    opt.step()
    no(["taken steps", "fresh"], opt, model)
    no(["nesterov differs"], lambda p: SGD([{"params": p[:2], "nesterov": True},
                                            {"params": p[2:]}], lr=1, momentum=0.9))  # fmt: skip


def warm_up(t):
    return min(1.0, (t + 1) / 5)


SCHEDULERS = {
    "lambda": lambda o: ls.LambdaLR(o, warm_up),
    "cosine": lambda o: ls.CosineAnnealingLR(o, 20),
    "sequential": lambda o: ls.SequentialLR(
        o, [ls.LinearLR(o, 0.1, total_iters=5), ls.CosineAnnealingLR(o, 15)], [5]
    ),
    "onecycle": lambda o: ls.OneCycleLR(o, 1.0, total_steps=30, cycle_momentum=False),
    "step": lambda o: ls.StepLR(o, 6, 0.3),
}


def schedules():
    """The factors times the base are the rates that torch uses, for each group."""
    for name, make in SCHEDULERS.items():
        model = nets.mlp()
        params = list(model.parameters())
        opt = SGD([{"params": params[:2], "lr": 0.4}, {"params": params[2:]}], lr=0.1)
        read = read_optimizer(opt, model)
        factors = read_schedule(make, read, 20)
        sched = make(opt)
        for t in range(20):
            for i, g in enumerate(opt.param_groups):
                rate = factors[i][t] * read["groups"][i]["lr"]
                assert math.isclose(rate, g["lr"], rel_tol=1e-12, abs_tol=1e-15), (name, t)
            opt.step()
            sched.step()


def schedules_refused():
    read = read_optimizer(lambda p: SGD(p, lr=0.1, momentum=0.9), nets.mlp)
    opt = SGD(nets.mlp().parameters(), lr=0.1)
    for words, f in (
        (["ReduceLROnPlateau"], ls.ReduceLROnPlateau),
        (["StepLR", "factory"], ls.StepLR(opt, 3)),
        (["OneCycleLR moves momentum"], lambda o: ls.OneCycleLR(o, 1.0, total_steps=30)),
        (["int", "no LRScheduler"], lambda o: 3),
    ):
        refuses(ConfigError, words, lambda f=f: read_schedule(f, read, 20))


TESTS = [(f"optimizer/{f.__name__}", f) for f in (groups, factories, others, refused, schedules,
         schedules_refused)]  # fmt: skip

if __name__ == "__main__":
    house.main(dict(TESTS))
