"""Estimators over a caller's model: implicit against the exact walk of a run that has converged."""

import tempfile

import torch
from house import main, raises

import drmad
from drmad.errors import ConfigError

F64 = torch.float64


def data(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 4, generator=g, dtype=F64)
    return x, (x @ torch.tensor([1.0, -2.0, 0.5, 0.0], dtype=F64) > 0).long()


def loss(model, batch):
    return torch.nn.functional.cross_entropy(model(batch[0]), batch[1])


def make_linear():
    torch.manual_seed(1)
    return torch.nn.Linear(4, 2).double()


def make_normed():
    """Batch norm leaves running statistics behind, which count as constants."""
    torch.manual_seed(1)
    return torch.nn.Sequential(
        torch.nn.BatchNorm1d(4, affine=False), torch.nn.Linear(4, 2)
    ).double()


def slopes(make, hyper, **more):
    with tempfile.TemporaryDirectory() as out:
        found = drmad.why(
            make, loss, train=[data(20, 0)], valid=[data(30, 1)], steps=600, hyper=hyper,
            optimizer=lambda p: torch.optim.SGD(p, lr=0.5, momentum=0.5), out=out,
            progress=False, trajectory=more.pop("trajectory", "auto"), **more,
        )  # fmt: skip
    return {(r["slice"], r["phase"]): r["dF_dlog"] for r in found.sensitivities}, found


def same(make, hyper, **more):
    exact, _ = slopes(make, hyper)
    got, found = slopes(make, hyper, estimator__tolerance=1e-10, **more)
    assert exact.keys() == got.keys() and len(exact) > 1
    for key, value in exact.items():
        assert abs(got[key] - value) <= 1e-6 * max(map(abs, exact.values())), (key, got, exact)
    return found


def implicit_is_the_walk_of_a_converged_run():
    hyper = [drmad.l2(per="unit-in", start=0.05, match="*"), drmad.weight_decay(start=0.02)]
    found = same(make_linear, hyper, estimator__kind="implicit")
    assert found.run["estimator"] == "implicit" and found.run["residual"] < 1e-9
    assert found.run["trajectory"] == "none"


def running_statistics_do_not_move_between_products():
    hyper = [drmad.l2(per="unit-in", start=0.05, match="*"), drmad.weight_decay(start=0.02)]
    same(make_normed, hyper, estimator__kind="implicit")


def what_it_cannot_see_is_refused():
    raises(ConfigError, "implicit cannot see it",
           lambda: slopes(make_linear, [drmad.lr()], estimator__kind="implicit"))  # fmt: skip


def the_other_estimators_run():
    hyper = [drmad.l2(start=0.05), drmad.lr(per="layer")]
    whole, _ = slopes(make_linear, hyper)
    for kind in ("truncated", "one-step"):
        got, found = slopes(make_linear, hyper, estimator__kind=kind)
        assert found.run["estimator"] == kind and got != whole
    got, _ = slopes(make_linear, hyper, estimator__kind="truncated", estimator__last=600)
    assert got == whole


main({
    "implicit_is_the_walk_of_a_converged_run": implicit_is_the_walk_of_a_converged_run,
    "running_statistics_do_not_move_between_products":
        running_statistics_do_not_move_between_products,
    "what_it_cannot_see_is_refused": what_it_cannot_see_is_refused,
    "the_other_estimators_run": the_other_estimators_run,
})  # fmt: skip
