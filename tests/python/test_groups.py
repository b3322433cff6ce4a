"""Groups and schedulers in a study's words: what starts where, what is refused by name."""

import torch
from house import main, raises
from torch.optim import SGD
from torch.optim import lr_scheduler as ls

import drmad
from drmad.errors import ConfigError
from drmad.groups import settle
from drmad.net import Tensor
from drmad.optimizer import read_factors, read_optimizer

T = 40
NET = [Tensor("a.weight", (3, 2), "weight", 0), Tensor("a.bias", (3,), "bias", 0),
       Tensor("b.weight", (4, 3), "weight", 1), Tensor("b.bias", (4,), "bias", 1)]  # fmt: skip


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = torch.nn.Linear(2, 3), torch.nn.Linear(3, 4)


def read(*groups, **common):
    """Groups of (which parameters, settings)."""
    return read_optimizer(lambda p: SGD([{"params": [p[i] for i in at], **g} for at, g in groups],
                                        **{"lr": 0.1, **common}), Net)  # fmt: skip


def layers(**second):
    return read(((0, 1), {}), ((2, 3), second), momentum=0.9)


def starts(declared):
    return [(h.match, h.start) for h in declared]


def one_group_is_left_alone():
    hyper = [drmad.lr(per="layer"), drmad.momentum()]
    options, declared = settle(read(((0, 1, 2, 3), {}), momentum=0.9), hyper, NET)
    assert declared == hyper and options == {
        "lr": 0.1, "momentum": 0.9, "dampening": 0.0, "weight_decay": 0.0, "nesterov": False
    }  # fmt: skip


def groups_start_from_their_own():
    options, declared = settle(layers(lr=0.5), [drmad.lr(per="layer")], NET)
    assert options["lr"] == 0.1 and starts(declared) == [("a.*", None), ("b.*", 0.5)]
    _, declared = settle(layers(momentum=0.5), [drmad.momentum()], NET)
    assert starts(declared) == [("a.*", 0.9), ("b.*", None)]
    kinds = read(((0, 2), {}), ((1, 3), {"lr": 0.2}))
    assert starts(settle(kinds, [drmad.lr()], NET)[1]) == [("*.weight", None), ("*.bias", 0.2)]
    mixed = read(((0, 3), {}), ((1, 2), {"lr": 0.2}))
    assert starts(settle(mixed, [drmad.lr()], NET)[1])[1] == ("a.bias,b.weight", 0.2)
    said = [drmad.lr(start=0.3)]
    assert settle(mixed, said, NET)[1] == said, "a start that is said holds for all"


def multipliers_take_the_group_s_share():
    _, (a, b) = settle(layers(lr=0.5), [drmad.lr(high=4.0)], NET, scheduled=True)
    assert a == drmad.lr(high=4.0, match="a.*")
    assert (b.match, b.start, b.low, b.high) == ("b.*", 5.0, 5e-3, 20.0)
    zero = layers(weight_decay=0.1)
    raises(ConfigError, "a multiplier of 0", lambda: settle(
        zero, [drmad.weight_decay(multiplier=True, match="*")], NET))  # fmt: skip


def constants_that_differ_are_refused_with_the_way_out():
    e = raises(ConfigError, "groups with lr 0.1 (a.weight) and 0.5 (b.weight)",
               lambda: settle(layers(lr=0.5), [drmad.momentum()], NET))  # fmt: skip
    assert "hyper=[drmad.lr(per='layer')]" in str(e), e
    raises(ConfigError, "dampening", lambda: settle(layers(dampening=0.5), [drmad.lr()], NET))
    raises(ConfigError, "drmad.weight_decay(", lambda: settle(
        read(((0, 2), {}), ((1,), {"weight_decay": 0.1}), ((3,), {})), [drmad.weight_decay()],
        NET))  # fmt: skip


def decay_of_weights_alone():
    """The usual two groups: weights are reached, biases keep their 0."""
    r = read(((0, 2), {"weight_decay": 5e-4}), ((1, 3), {}))
    options, declared = settle(r, [drmad.weight_decay(per="layer")], NET)
    assert options["weight_decay"] == 0 and starts(declared) == [(None, 5e-4)]


def factors_of_any_scheduler():
    one = read(((0, 1, 2, 3), {}), momentum=0.9)
    assert read_factors(None, one, T) is None
    for make in (
        lambda o: ls.LambdaLR(o, lambda t: 0.95**t),
        lambda o: ls.CosineAnnealingWarmRestarts(o, 10),
        lambda o: ls.CyclicLR(o, 0.01, 0.2, 7, cycle_momentum=False),
        lambda o: ls.SequentialLR(o, [ls.LinearLR(o, 0.1, total_iters=5),
                                      ls.CosineAnnealingLR(o, 35)], [5]),
        lambda o: ls.ChainedScheduler([ls.ConstantLR(o, 0.5, 9), ls.ExponentialLR(o, 0.9)]),
    ):  # fmt: skip
        opt = SGD(Net().parameters(), lr=0.1, momentum=0.9)
        factors, sched = read_factors(make, one, T), make(opt)
        for f in factors:
            assert abs(0.1 * f - opt.param_groups[0]["lr"]) < 1e-12
            opt.step()
            sched.step()


def schedulers_refused():
    one, two = read(((0, 1, 2, 3), {}), momentum=0.9), layers(lr=0.5)
    for words, make, r in (
        ("ReduceLROnPlateau follows the losses", ls.ReduceLROnPlateau, one),
        ("OneCycleLR moves momentum", lambda o: ls.OneCycleLR(o, 0.1, T), one),
        ("has begun already", ls.StepLR(SGD(Net().parameters(), lr=0.1), 3), one),
        ("dict is no factory", {"kind": "cosine"}, one),
        ("a rate of -0.1 at step 0", lambda o: ls.LambdaLR(o, lambda t: -1.0), one),
        ("a rate of nan", lambda o: ls.LambdaLR(o, lambda t: float("nan")), one),
        ("group 1 to", lambda o: ls.LambdaLR(o, [lambda t: 1.0, lambda t: 0.5**t]), two),
        ("no eta_min", lambda o: ls.CosineAnnealingLR(o, T, eta_min=0.05), two),
    ):
        raises(ConfigError, words, lambda m=make, r=r: read_factors(m, r, T))
    assert len(read_factors(lambda o: ls.CosineAnnealingLR(o, T), two, T)) == T


if __name__ == "__main__":
    main({f.__name__: f for f in (
        one_group_is_left_alone, groups_start_from_their_own, multipliers_take_the_group_s_share,
        constants_that_differ_are_refused_with_the_way_out, decay_of_weights_alone,
        factors_of_any_scheduler, schedulers_refused)})  # fmt: skip
