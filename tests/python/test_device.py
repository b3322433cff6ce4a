"""Vectors that live where torch puts them (vectors="torch", the way of every device but the CPU):
the same hypergradients, values and weights as in the library's memory, no copy for every step."""

import math
import pathlib
import tempfile

import torch
from house import main, raises
from test_tune import data, in_folder, loss_fn, make_model, sgd

import drmad
from drmad.device import DOWN, UP, Device, Program
from drmad.errors import ModelError
from drmad.hyper import TENSOR_PERS
from drmad.result import read_safetensors

F64 = torch.float64


def double_model():
    return make_model(F64)


def gradients(folder, vectors, dtype=F64, **more):
    """dF/dlog h of all slices."""
    arguments = {**data(dtype), "optimizer": sgd, "steps": 24, "out": folder / vectors, "seeds": 1,
                 "progress": False}  # fmt: skip
    model = double_model if dtype == F64 else make_model
    drmad.why(model, loss_fn, **{**arguments, **more}, vectors=vectors)
    return read_safetensors(folder / vectors / "hypergradients.safetensors")


def same(folder, tolerance=1e-12, **more):
    a, b = gradients(folder, "library", **more), gradients(folder, "torch", **more)
    assert a.keys() == b.keys() and a
    for name in a:
        scale = float(a[name].abs().max()) + 1e-3
        worst = float((a[name] - b[name]).abs().max()) / scale
        assert worst <= tolerance, f"{name}: {worst} of the largest"
    return a


def every_kind(per, phases=2):
    return [
        drmad.lr(per=per, phases=phases),
        drmad.momentum(per="layer", phases=phases),
        drmad.weight_decay(per=per, start=1e-2),
        drmad.l2(per=per, start=1e-2),
        drmad.l1(per=per, start=1e-3),
        drmad.init_scale(per=per),
        drmad.example_weight(),
    ]


@in_folder
def test_every_kind_at_every_granularity(folder):
    for per in TENSOR_PERS:
        for trajectory in ("full", "replay"):
            same(folder / f"{per}-{trajectory}", hyper=every_kind(per), trajectory=trajectory)


@in_folder
def test_every_form_of_sgd(folder):
    for k, options in enumerate(({"momentum": 0.0}, {"nesterov": True}, {"dampening": 0.2})):
        hyper = [h for h in every_kind("unit-out") if options.get("momentum") is None
                 or h.kind != "momentum"]  # fmt: skip
        same(folder / str(k), hyper=hyper, optimizer=lambda p, o=options: sgd(p, **o))


@in_folder
def test_multipliers_of_a_schedule(folder):
    for per in ("global", "weight"):
        same(folder / per, hyper=[drmad.lr(per=per, phases=3), drmad.momentum(per="layer")],
             scheduler=cosine)  # fmt: skip


@in_folder
def test_float32(folder):
    # 24 steps of roundings of 6e-8, and sums in another order
    same(folder, 1e-4, dtype=torch.float32, hyper=every_kind("layer"))


@in_folder
def test_tuning_ends_at_the_same_place(folder):
    ends = []
    for vectors in ("library", "torch"):
        drmad.tune(double_model, loss_fn, **data(F64), optimizer=sgd, steps=30,
                   hyper=every_kind("layer"), meta_steps=3, seeds=1, out=folder / vectors,
                   vectors=vectors, progress=False, trajectory="replay")  # fmt: skip
        ends.append([read_safetensors(folder / vectors / f"{name}.safetensors")
                     for name in ("hyperparameters", "weights")])  # fmt: skip
    for a, b in zip(*ends):
        for name in a:
            assert torch.allclose(a[name], b[name], rtol=1e-9, atol=1e-12), name


@in_folder
def test_no_step_copies(folder):
    made = []
    kept = Device.__init__

    def watched(self, *arguments):
        kept(self, *arguments)
        made.append(self)

    Device.__init__ = watched
    try:
        for steps in (100, 400):  # a phase ends where a segment of replay does
            hyper = [drmad.lr(per="weight", phases=2), drmad.l2(per="unit-in")]
            gradients(folder / str(steps), "torch", steps=steps, trajectory="replay",
                      scheduler=cosine, hyper=hyper)  # fmt: skip
    finally:
        Device.__init__ = kept
    (up_a, down_a), (up_b, down_b) = ((d.copies[UP], d.copies[DOWN]) for d in made)
    assert up_a == up_b, (up_a, up_b)
    assert down_b <= down_a + 18, (down_a, down_b)  # |w~| is taken 34 times of 100, 51 at most
    assert all(not d._blocks and not d._programs for d in made), "something was not given back"


@in_folder
def test_programs_mix_no_devices(folder):
    """Each program once more with its tensors on "meta", which like a GPU takes nothing of the CPU
    but numbers."""
    kept, seen = Program.run, set()

    def twice(self, leaves, outs):
        kept(self, leaves, outs)
        if self in seen:
            return
        seen.add(self)
        host = [x.dim() == 0 and shape != () for x, (_, shape, _) in zip(leaves, self.leaves)]
        self.device = torch.device("meta")
        kept(self, [x if h else x.to("meta") for x, h in zip(leaves, host)],
             [x.to("meta") for x in outs])  # fmt: skip
        self.device = torch.device("cpu")
        assert any(host) or len(self.outputs) == 1

    Program.run = twice
    try:
        for k, more in enumerate(({}, {"scheduler": cosine}, {"optimizer": nesterov})):
            gradients(folder / str(k), "torch", hyper=every_kind("unit-in"), **more)
    finally:
        Program.run = kept
    assert len(seen) >= 12


def cosine(opt):
    return torch.optim.lr_scheduler.CosineAnnealingLR(opt, 50)


def nesterov(params):
    return sgd(params, nesterov=True)


@in_folder
def test_what_needs_host_memory_is_refused(folder):
    for kind in ("grid", "line"):
        raises(drmad.ConfigError, "use replay", lambda k=kind: gradients(
            folder, "torch", hyper=every_kind("layer")[:1], trajectory=k))  # fmt: skip
    raises(drmad.ConfigError, "vectors: 'here'", lambda: gradients(
        folder, "here", hyper=every_kind("layer")[:1]))  # fmt: skip


def run(text, leaves, shapes, device="cpu"):
    p = Program(text, torch.device(device))
    outs = [torch.full(s, math.nan, dtype=F64) for s in shapes]
    p.run(leaves, outs)
    return outs


def test_operations():
    x = torch.randn(3, 4, dtype=F64, generator=torch.Generator().manual_seed(1))
    two = torch.tensor(2.0, dtype=F64)  # a number of the host's, of shape [1,1]
    head = "0 leaf f64 3,4 - leaf=0\n1 leaf f64 1,1 - leaf=1\n"
    cases = [
        ("2 bcast f64 3,4 1\n3 mul f64 3,4 0,2\nout 3", 2 * x),
        ("2 bcast f64 3,4 1\n3 sum f64 1,4 2 axes=0\nout 3", torch.full((1, 4), 6.0, dtype=F64)),
        ("2 permute f64 4,3 0 perm=1,0\n3 matmul f64 3,3 2,2 ta\nout 3", x @ x.t()),
        ("2 reshape f64 3,1,4 0\n3 matmul f64 3,1,1 2,2 tb\nout 3", (x * x).sum(1).view(3, 1, 1)),
        ("2 slice f64 2,4 0 axis=0 from=1\n3 pad f64 3,4 2 axis=0 from=1\nout 3",
         torch.cat([torch.zeros(1, 4, dtype=F64), x[1:]])),
        ("2 scale f64 3,4 0 f=bfe0000000000000\n3 softplus f64 3,4 2\nout 3",
         torch.nn.functional.softplus(-x / 2)),
        ("2 fill f64 3,4 - f=3ff0000000000000\n3 sub f64 3,4 2,0\nout 3", 1 - x),
        ("2 recip f64 1,1 1\n3 reshape f64 1 2\nout 3", torch.tensor([0.5], dtype=F64)),
        ("2 logsumexp f64 3,1 0\n3 rowmax f64 3,1 0\n4 sub f64 3,1 2,3\nout 4",
         torch.logsumexp(x, 1, keepdim=True) - x.amax(1, keepdim=True)),
    ]  # fmt: skip
    for text, want in cases:
        (got,) = run(head + text, [x, two], [want.shape])
        assert torch.allclose(got, want, rtol=1e-14, atol=1e-15), text


def test_leaves_are_read_before_outputs_are_written():
    a, b = torch.tensor([1.0], dtype=F64), torch.tensor([2.0], dtype=F64)
    text = "0 leaf f64 1 - leaf=0\n1 leaf f64 1 - leaf=1\n2 reshape f64 1 1\nout 2\nout 0\n"
    Program(text, torch.device("cpu")).run([a, b], [a, b])  # exchanges them
    assert (a.item(), b.item()) == (2.0, 1.0)


def test_unknown_operations_are_refused():
    for line, name in (("0 conv f64 3 -", "conv"), ("0 leaf i32 3 - leaf=0", "leaf")):
        raises(ModelError, f"operation {name}", lambda x=line: Program(x, torch.device("cpu")))


if __name__ == "__main__":
    main({k: v for k, v in list(globals().items()) if k.startswith("test_")})
