"""drmad.tune from end to end on the real library: tuned values train the same weights in plain
PyTorch as in the library, cut runs go on, errors and refusals come as promised."""

import json
import os
import pathlib
import signal
import tempfile
import traceback

import torch
from house import ROOT, main, raises
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import drmad
from drmad import tuning
from drmad.hyper import TENSOR_PERS
from drmad.result import read_safetensors

STEPS = 200


def data(dtype=torch.float32, wrong=0, n=160):
    """Three loaders of a 3-class problem; the labels of the first `wrong` examples are wrong."""
    draw = torch.Generator().manual_seed(5)
    x = torch.randn(n + 120, 6, generator=draw, dtype=torch.float64)
    y = (x @ torch.randn(6, 3, generator=draw, dtype=torch.float64)).argmax(1)
    y[:wrong] = (y[:wrong] + 1) % 3
    parts = [TensorDataset(x[a:b].to(dtype), y[a:b]) for a, b in
             ((0, n), (n, n + 60), (n + 60, n + 120))]  # fmt: skip
    train = DataLoader(parts[0], 20, shuffle=True, drop_last=True)
    return {"train": train, "valid": DataLoader(parts[1], 30), "test": DataLoader(parts[2], 30)}


def make_model(dtype=torch.float32):
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.LayerNorm(8), nn.Linear(8, 3)).to(dtype)


def loss_fn(model, batch):
    x, y = batch
    return nn.functional.cross_entropy(model(x), y, reduction="none")


def sgd(params, **more):
    return torch.optim.SGD(params, **{"lr": 0.1, "momentum": 0.9, **more})


def tune(folder, model=make_model, loss=loss_fn, **more):
    arguments = {**data(), "optimizer": sgd, "steps": 40, "hyper": [drmad.lr(per="layer")],
                 "meta_steps": 2, "seeds": 1, "out": folder, "progress": False}  # fmt: skip
    return drmad.tune(model, loss, **{**arguments, **more})


def in_folder(test):
    def run():
        with tempfile.TemporaryDirectory() as folder:
            test(pathlib.Path(folder))

    run.__name__ = test.__name__
    return run


def knobs(per):
    kinds = (drmad.lr, drmad.momentum, drmad.weight_decay, drmad.l2, drmad.l1)
    return [k(per=per, phases=4) for k in kinds] + [drmad.init_scale(per=per)]


def retrained_alike(folder, hyper, dtype=torch.float32, tolerance=1e-5, **more):
    """The library's own retrained weights against result.optimizer/scheduler in plain PyTorch, from
    the same start and the same batches."""
    jobs, begun = [], []
    make = tuning.Job.__init__

    def spy(self, *a, **k):
        make(self, *a, **k)
        jobs.append(self)
        start = self.oracle.start
        self.oracle.start = lambda seed, w: (begun.append(seed), start(seed, w))[1]

    tuning.Job.__init__ = spy
    try:
        r = tune(folder, lambda: make_model(dtype), steps=STEPS, hyper=hyper, outer_lr=0.3,
                 **{**data(dtype), "seeds": 1, **more})  # fmt: skip
    finally:
        tuning.Job.__init__ = make
    oracle, seed = jobs[0].oracle, begun[-2]  # the last but one: retrain tuned, retrain start
    w = torch.zeros(oracle.size, dtype=dtype)
    oracle.start(seed, w)
    model = make_model(dtype)
    with torch.no_grad():
        for (name, p), v in zip(model.named_parameters(), oracle.split(w)):
            p.copy_(v)
    r.scale_start_(model)
    opt = r.optimizer(model)
    sched, weights = r.scheduler(opt), r.example_weights()
    for t in range(STEPS):
        opt.zero_grad()
        losses = loss_fn(model, oracle.fetch(seed, t))
        if weights is not None:
            v = r.example_weights(t)[torch.tensor(oracle.train.numbers(seed, t))].to(dtype)
            losses = losses * v
        losses.mean().backward()
        opt.step()
        sched.step()
    want = read_safetensors(folder / "weights.safetensors")
    have = {n: p.detach() for n, p in model.named_parameters()}
    off = sum(float((have[n] - want[n]).square().sum()) for n in want) ** 0.5
    off /= sum(float(want[n].square().sum()) for n in want) ** 0.5
    assert off <= tolerance, f"the weights are {off:.2g} off"
    return r


def alike(per):
    @in_folder
    def test(folder):
        """In F64 only rounding is left (measured: 1e-13); in F32 200 steps multiply it about
        100-fold (measured: 7e-6)."""
        retrained_alike(folder / "a", knobs(per), torch.float64, 1e-12)
        retrained_alike(folder / "b", knobs(per))

    return test


@in_folder
def alike_nesterov_per_unit(folder):
    retrained_alike(folder, knobs("unit-in"),
                    optimizer=lambda p: sgd(p, nesterov=True, weight_decay=1e-3))  # fmt: skip


def adaptive(cls, kinds, **options):
    """Rates per unit, decays per layer, and one beta and eps a tensor. Where a gradient is small
    the step is all but its sign, so rounding grows faster than under SGD (measured: 1e-10)."""

    @in_folder
    def test(folder):
        hyper = [drmad.lr(per="unit-out", phases=4), drmad.weight_decay(per="layer"),
                 drmad.l2(per="unit-in"), drmad.l1(), drmad.init_scale()]  # fmt: skip
        hyper += [drmad.Hyper(k, per="tensor", phases=p) for k, p in kinds.items()]
        r = retrained_alike(folder, hyper, torch.float64, 1e-8, optimizer=lambda p: cls(
            p, lr=0.01, weight_decay=0.01, eps=1e-3, **options))  # fmt: skip
        assert type(r.optimizer(make_model(torch.float64))) is cls

    test.__name__ = f"alike_under_{cls.__name__.lower()}"
    return test


ADAPTIVE = (
    adaptive(torch.optim.Adam, {"beta1": 2, "beta2": 1, "eps": 2}),
    adaptive(torch.optim.AdamW, {"beta1": 2, "beta2": 1, "eps": 2}),
    adaptive(torch.optim.NAdam, {"beta1": 1, "beta2": 1}, decoupled_weight_decay=True),
    adaptive(torch.optim.RMSprop, {"beta2": 1, "momentum": 2}, momentum=0.5, centered=True),
)


def warm_up_and_cosine(opt):
    """From 1/20 in 20 steps, then down to 0: t/W and a half wave."""
    up = torch.optim.lr_scheduler.LambdaLR(opt, lambda t: (t + 1) / 20)
    down = torch.optim.lr_scheduler.CosineAnnealingLR(opt, STEPS - 20)
    return torch.optim.lr_scheduler.SequentialLR(opt, [up, down], [20])


def one_cycle(opt):
    return torch.optim.lr_scheduler.OneCycleLR(opt, 0.15, STEPS, cycle_momentum=False)


@in_folder
def alike_under_a_scheduler(folder):
    """Tuned multipliers on the user's own scheduler."""
    r = retrained_alike(folder, knobs("unit-out"), scheduler=warm_up_and_cosine)
    assert len(r.data["schedule"]) == STEPS
    assert all(t["lr"]["scheduled"] for t in r.data["tensors"].values())
    assert 0.03 < float(r.values["lr"]["0.weight"].mean()) < 0.3, "rates, not factors"


@in_folder
def rates_that_are_not_tuned_are_the_scheduler_s(folder):
    r = retrained_alike(folder, [drmad.weight_decay()], scheduler=one_cycle)
    theirs = sgd([nn.Parameter(torch.zeros(1))])
    ours = r.optimizer(make_model())
    pairs = (theirs, one_cycle(theirs)), (ours, r.scheduler(ours))
    for _ in range(STEPS):
        a, b = (opt.param_groups[0]["lr"] for opt, _ in pairs)
        assert abs(a - b) <= 1e-12
        for opt, sched in pairs:
            opt.step()
            sched.step()


def of_two_groups(params):
    """The last layer five times faster, norms and biases without decay."""
    body, head = [p for p in params[:-2]], params[-2:]
    still = [p for p in body if p.dim() == 1] + [head[1]]
    return sgd([{"params": [p for p in body if p.dim() > 1], "weight_decay": 1e-3},
                {"params": still}, {"params": head[:1], "lr": 0.5, "weight_decay": 0.01}],
               lr=0.1)  # fmt: skip


@in_folder
def alike_with_groups(folder):
    """Groups start from their own rates and decays; what no declaration reaches keeps the group's
    constant."""
    for more in ({}, {"scheduler": warm_up_and_cosine}):
        r = retrained_alike(folder, [drmad.lr(per="layer"), drmad.weight_decay()], torch.float64,
                            1e-12, optimizer=of_two_groups, **more)  # fmt: skip
        lr = {n: float(v) for n, v in r.values["lr"].items()}
        assert 0.25 < lr["3.weight"] < 1 and 0.05 < lr["0.weight"] < 0.2, lr
        assert lr["0.weight"] == lr["0.bias"] and lr["3.bias"] < 0.2, lr
        decay = {n: float(v) for n, v in r.values["weight_decay"].items()}
        assert set(decay) == {"0.weight", "3.weight"} and decay["3.weight"] > decay["0.weight"]


@in_folder
def alike_with_example_weights(folder):
    retrained_alike(folder, [drmad.example_weight(phases=2), drmad.lr(per="layer")])


@in_folder
def fresh_seeds_agree(folder):
    """Five runs by the library and five in plain PyTorch, from other start weights and in other
    orders: the mean test losses lie within two standard errors of their difference."""
    hyper = [drmad.lr(per="layer", phases=2), drmad.weight_decay(per="unit-out")]
    r = tune(folder, hyper=hyper, steps=STEPS, seeds=5, meta_steps=4, outer_lr=0.2)
    parts, own = data(), []
    (test,) = DataLoader(parts["test"].dataset, 60)
    for seed in range(5):
        torch.manual_seed(1000 + seed)
        model = make_model()
        opt = r.optimizer(model)
        sched, t = r.scheduler(opt), 0
        while t < STEPS:
            for batch in parts["train"]:
                opt.zero_grad()
                loss_fn(model, batch).mean().backward()
                opt.step()
                sched.step()
                t += 1
        with torch.no_grad():
            own.append(float(loss_fn(model, test).mean()))
    assert t == STEPS
    a, b = torch.tensor(own).double(), torch.tensor(r.tuned.test_loss).double()
    error = float((a.var() / 5 + b.var() / 5).sqrt())
    off = abs(float(a.mean() - b.mean()))
    assert off <= 2 * error, f"{off:.3g} apart, standard error {error:.3g}"
    assert error < 0.2 * float(a.mean()), "so wide that it says nothing"


@in_folder
def results_are_whole(folder):
    r = tune(folder, hyper=[drmad.lr(per="layer", phases=3), drmad.example_weight()], baselines=2,
             seeds=2)  # fmt: skip
    assert r.status == "done" and r.objective > 0
    b = tune(folder / "b", hyper=[drmad.lr(per="layer", phases=3), drmad.example_weight()],
             baselines=2, seeds=2)  # fmt: skip
    assert b.random_search == r.random_search and b.tuned == r.tuned, "the same bits"
    for runs in (r.tuned, r.start, r.random_search):
        assert runs.finite == 2 and 0 <= runs.mean_error <= 1, runs
    assert r.values["lr"]["0.weight"].shape == (3, 1, 1)
    assert r.values["example_weight"].shape == (1, 160)
    assert len(r.harmful(50)) == 50
    again = drmad.load_result(folder)
    assert repr(again) == repr(r)
    r.report(folder / "report.html")
    assert "<svg" in (folder / "report.html").read_text()
    assert any("audit" in line for line in r.health)


@in_folder
def errors_of_user_code_stay_themselves(folder):
    calls = [0]

    class Mine(Exception):
        pass

    def loss(model, batch):
        calls[0] += 1
        if calls[0] == 100:
            raise Mine("at the hundredth call")
        return loss_fn(model, batch)

    e = raises(Mine, "hundredth", lambda: tune(folder, loss=loss))
    assert traceback.extract_tb(e.__traceback__)[-1].name == "loss"
    tune(folder)  # and the library still works


@in_folder
def cut_runs_go_on_to_the_same_bits(folder):
    whole = tune(folder / "a", meta_steps=3)
    calls = [0]

    def loss(model, batch):
        calls[0] += 1
        if calls[0] == 250:
            os.kill(os.getpid(), signal.SIGINT)
        return loss_fn(model, batch)

    e = raises(drmad.Interrupted, "resume=True", lambda: tune(folder / "b", loss=loss,
                                                              meta_steps=3))  # fmt: skip
    assert isinstance(e, KeyboardInterrupt)
    again = tune(folder / "b", meta_steps=3, resume=True)
    assert again.objective == whole.objective
    a, b = (read_safetensors(folder / x / "weights.safetensors") for x in "ab")
    assert all(torch.equal(a[n], b[n]) for n in a)


@in_folder
def re_entrance_is_refused(folder):
    calls = [0]

    def loss(model, batch):
        calls[0] += 1
        if calls[0] == 60:
            tune(folder / "inner")
        return loss_fn(model, batch)

    raises(drmad.UsageError, "called inside loss_fn", lambda: tune(folder, loss=loss))


@in_folder
def a_run_that_is_never_finite_says_so(folder):
    raises(drmad.DivergedError, "no finite run", lambda: tune(
        folder, optimizer=lambda p: sgd(p, lr=1e9), hyper=[drmad.momentum()]))  # fmt: skip


@in_folder
def refusals_name_the_thing(folder):
    def refused(kind, words, **more):
        raises(kind, words, lambda: tune(folder, **more))

    refused(ValueError, "clip_grad_norm: refused: clipping", clip_grad_norm=1.0)
    refused(ValueError, "accumulate: refused: one step takes one batch", accumulate=4)
    refused(ValueError, "amp: refused: second derivatives", amp=True)
    refused(ValueError, "epochs: refused: say steps", epochs=3)
    refused(ValueError, "optimizer__lr: is said by optimizer", optimizer__lr=0.1)
    refused(TypeError, "unexpected argument 'lerning_rate'", lerning_rate=1)
    refused(ValueError, "Adagrad is not differentiated", optimizer=torch.optim.Adagrad)
    refused(ValueError, "nothing is tuned", hyper=[])
    refused(TypeError, "is no declaration", hyper=["lr"])
    refused(ValueError, "outer.tust", outer__tust=False)
    refused(ValueError, "steps: 0", steps=0)
    refused(TypeError, "budget: 60", budget=60)
    refused(ValueError, "no parameter", hyper=[drmad.lr(match="conv*")])
    with torch.autocast("cpu"):
        refused(ValueError, "autocast: refused")

    def half(model, batch):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return loss_fn(model, batch)

    raises(drmad.ModelError, "autocast", lambda: tune(folder, loss=half))


@in_folder
def modules_are_never_changed(folder):
    model = make_model()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    r = tune(folder, model=model)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert any("seeds vary batches only" in h for h in r.health)


@in_folder
def why_finds_wrong_labels(folder):
    """24 of 160 labels are wrong; of the 24 most harmful examples at least half must be those (a
    random choice has 3.6)."""
    w = drmad.why(make_model, loss_fn, **data(wrong=24), optimizer=sgd, steps=100, out=folder,
                  progress=False)  # fmt: skip
    assert sum(i < 24 for i, _ in w.harmful[:24]) >= 12, w.harmful
    assert len(w.harmful) <= 50 and w.sensitivities[0]["audit_dF_dlog"] is not None
    assert "knob" in str(w)


@in_folder
def why_without_single_losses(folder):
    w = drmad.why(make_model, lambda m, b: loss_fn(m, b).mean(), **data(), optimizer=sgd, steps=20,
                  out=folder, progress=False)  # fmt: skip
    assert w.harmful == [] and len(w.sensitivities) > 10


@in_folder
def check_proves_derivatives(folder):
    c = drmad.check(lambda: make_model(torch.float64), loss_fn, **data(torch.float64),
                    optimizer=sgd, steps=100, hyper=[*knobs("layer")[:2], drmad.example_weight()],
                    out=folder, progress=False)  # fmt: skip
    assert c.wrong == 0 and c.worst < 1e-8, c


@in_folder
def estimates_cost_nothing(folder):
    e = drmad.estimate(make_model, loss_fn, **data(), optimizer=sgd, steps=100, out=folder / "x",
                       hyper=[drmad.lr], budget=drmad.runs(20), progress=False)  # fmt: skip
    assert 20 < e.runs < 40 and e.hours > 0 and e.peak_bytes > 0 and e.trajectory == "full"
    assert not (folder / "x").exists()


@in_folder
def budgets_end_tuning(folder):
    r = tune(folder, meta_steps=None, budget=drmad.runs(9))
    assert r.run["spent_runs"] <= 9 and r.run["meta_steps"] >= 1
    assert r.run["stopped_because"] == "budget.runs is spent"


@in_folder
def study_files_are_tuned_too(folder):
    study = folder / "s.yaml"
    study.write_text(
        "name: s\ndata: {kind: synthetic-digits, train: 200, valid: 100, test: 100}\n"
        "train: {steps: 30, batch: 20}\nhyper: [{kind: lr, per: layer}]\nouter: {steps: 2}\n"
        "model: {layers: [auto, 8, auto]}\n"
    )
    r = drmad.tune_file(study, f"output.dir={folder / 'run'}", progress=False)
    assert r.tuned.finite == 3 and r.values["lr"]["layers.0"].shape == (1, 1)
    raises(ValueError, "study file", lambda: r.optimizer(make_model()))
    r.report(folder / "r.html")
    raises(drmad.ConfigError, "hyper.0.kind", lambda: drmad.tune_file(study, "hyper=[{kind: x}]"))


def jsons_stay_small():
    with tempfile.TemporaryDirectory() as folder:
        tune(pathlib.Path(folder), hyper=[drmad.weight_decay(per="unit-out")])
        raw = (pathlib.Path(folder) / "python.json").read_text()
        assert len(raw) < 20000 and json.loads(raw)["drmad_result"] == 1


TESTS = {f"alike_per_{p.replace('-', '_')}": alike(p) for p in TENSOR_PERS}
for f in (
    alike_nesterov_per_unit,
    *ADAPTIVE,
    alike_under_a_scheduler,
    rates_that_are_not_tuned_are_the_scheduler_s,
    alike_with_groups,
    alike_with_example_weights,
    fresh_seeds_agree,
    results_are_whole,
    errors_of_user_code_stay_themselves,
    cut_runs_go_on_to_the_same_bits,
    re_entrance_is_refused,
    a_run_that_is_never_finite_says_so,
    refusals_name_the_thing,
    modules_are_never_changed,
    why_finds_wrong_labels,
    why_without_single_losses,
    check_proves_derivatives,
    estimates_cost_nothing,
    budgets_end_tuning,
    study_files_are_tuned_too,
    jsons_stay_small,
):
    TESTS[f.__name__] = f

if __name__ == "__main__":
    os.environ.setdefault("DRMAD_DATA", str(ROOT.parent / "shared" / "data"))
    main(TESTS)
