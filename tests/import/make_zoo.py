#!/usr/bin/env python3
"""make_zoo.py OUT: writes a folder of the format of docs/GRAPH.md for each family of operations,
into OUT/FAMILY. Every node is computed by torch.ops.aten, loss, gradient and Hessian-vector product
by torch's autograd, in float64; drmad.export has no part in it.

    .venv/bin/python tests/import/make_zoo.py tests/import/zoo"""

import json
import pathlib
import struct
import sys

import torch

aten = torch.ops.aten
B = 4
TYPES = {torch.float64: "F64", torch.int32: "I32", torch.uint8: "U8"}


def write(path, tensors):
    """One safetensors file."""
    head, data = {}, b""
    for name, t in sorted(tensors.items()):
        t = t.detach()
        t = t.to({torch.int64: torch.int32, torch.bool: torch.uint8}.get(t.dtype, t.dtype))
        raw = t.contiguous().numpy().tobytes()
        head[name] = {
            "dtype": TYPES[t.dtype],
            "shape": list(t.shape),
            "data_offsets": [len(data), len(data) + len(raw)],
        }
        data += raw
    text = json.dumps(head, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def round_up(t):
    """Numbers that text keeps: fewer digits make smaller files."""
    return (t * 4096).round() / 4096


class Zoo:
    """A graph under construction: values by name, nodes in order."""

    def __init__(self, seed):
        torch.manual_seed(seed)
        self.value, self.inputs, self.nodes, self.terms = {}, [], [], []
        self.weights, self.batch, self.next = {}, {}, {}

    def put(self, name, role, t, **more):
        kind = {torch.int64: "i64", torch.bool: "bool"}.get(t.dtype, "f64")
        shape = list(t.shape)
        if role in ("batch", "label"):
            shape[0] = ["batch", 1]
            self.batch[name] = t
        else:
            more["full"] = name
            self.weights[name] = t
        if role == "parameter":
            t = t.clone().requires_grad_()
            more.setdefault("kind", "weight")
            more.setdefault("layer", len(self.inputs))
        self.inputs.append({"name": name, "role": role, "dtype": kind, "shape": shape, **more})
        self.value[name] = t
        return name

    def rows(self, *shape):
        return self.put(
            f"x{len(self.inputs)}", "batch", round_up(torch.randn(B, *shape, dtype=torch.float64))
        )

    def weight(self, *shape, low=None, **more):
        t = torch.randn(*shape, dtype=torch.float64)
        t = round_up(t if low is None else low + t.abs())
        return self.put(f"w{len(self.inputs)}", "parameter", t, **more)

    def constant(self, t):
        return self.put(f"c{len(self.inputs)}", "constant", t)

    def node(self, op, ins, fn, batch=None, at=0, **attr):
        """The node `op` on names `ins`, computed by fn(*values); `batch`: its dimensions that grow
        with the batch, {dimension: times}."""
        got = fn(*(None if i is None else self.value[i] for i in ins))
        t = got[at] if isinstance(got, tuple) else got
        name = f"n{len(self.nodes)}"
        shape = [
            ["batch", (batch or {})[i]] if i in (batch or {}) else n for i, n in enumerate(t.shape)
        ]
        for i, n in enumerate(shape):
            if isinstance(n, list):
                assert t.shape[i] == n[1] * B, (op, t.shape, batch)
        kind = {torch.int64: "i64", torch.bool: "bool"}.get(t.dtype, "f64")
        self.nodes.append(
            {
                "name": name,
                "op": op,
                "in": list(ins),
                "attr": attr,
                "shape": shape,
                "dtype": kind,
                "module": f"m.{op}",
            }
        )
        self.value[name] = t
        if isinstance(got, tuple):
            for i, side in enumerate(got):
                self.value[f"{name}:{i}"] = side
        return name

    def term(self, name):
        """Adds mean(c (value^2 + value)) to the loss, c constants that do not know the batch."""
        batch, t = self._batch(name), self.value[name]
        shape = [1 if i in batch else n for i, n in enumerate(t.shape)]
        c = self.constant(round_up(torch.randn(shape, dtype=torch.float64)))
        a = self.node("mul", [name, name], aten.mul, batch)
        b = self.node("add", [a, name], aten.add, batch)
        d = self.node("mul", [b, c], aten.mul, batch)
        self.terms.append(self.node("mean", [d], aten.mean))

    def _batch(self, name):
        for n in self.nodes + self.inputs:
            if n["name"] == name:
                return {i: d[1] for i, d in enumerate(n["shape"]) if isinstance(d, list)}
        raise KeyError(name)

    def finish(self, folder):
        loss = self.terms[0]
        for t in self.terms[1:]:
            loss = self.node("add", [loss, t], aten.add)
        params = {i["full"]: self.value[i["name"]] for i in self.inputs if i["role"] == "parameter"}
        u = {n: torch.randn_like(p) for n, p in params.items()}
        grads = torch.autograd.grad(
            self.value[loss], list(params.values()), create_graph=True, allow_unused=True
        )
        grads = [torch.zeros_like(p) if g is None else g for g, p in zip(grads, params.values())]
        along = sum((g * u[n]).sum() for g, n in zip(grads, params))
        hvp = torch.autograd.grad(along, list(params.values()), allow_unused=True)
        parity = {"loss": self.value[loss], "evaluate_loss": self.value[loss]}
        for (n, p), g, h in zip(params.items(), grads, hvp):
            parity[f"gradient/{n}"], parity[f"direction/{n}"] = g, u[n]
            parity[f"product/{n}"] = torch.zeros_like(p) if h is None else h
        for n, t in self.next.items():
            parity[f"next/{n}"] = self.value[t]
        for n, t in self.batch.items():
            parity[f"input/{n}"] = t
        stats = [self.value[n["name"]].detach().double() for n in self.nodes]
        parity["nodes"] = torch.tensor(
            [[t.mean(), t.square().mean().sqrt()] for t in stats], dtype=torch.float64
        )
        part = {"nodes": self.nodes, "loss": loss, "scores": None}
        data = {
            "drmad_graph": 1,
            "producer": f"make_zoo.py, torch {torch.__version__}",
            "dtype": "f64",
            "batch": {"size": B, "any": True},
            "inputs": self.inputs,
            "train": {**part, "buffers": self.next},
            "evaluate": part,
        }
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "graph.json").write_text(json.dumps(data, separators=(",", ":")) + "\n")
        write(folder / "weights.safetensors", self.weights)
        write(folder / "parity.safetensors", parity)


def pointwise(z):
    x, w, v = z.rows(3), z.weight(3), z.weight(3, low=0.5)
    rows = {0: 1}
    a = z.node("mul", [x, w], aten.mul, rows)
    p = z.node("add", [z.node("abs", [a], aten.abs, rows), v], aten.add, rows)  # above 0
    for op, fn in {
        "neg": aten.neg,
        "exp": aten.exp,
        "abs": aten.abs,
        "erf": aten.erf,
        "tanh": aten.tanh,
        "sigmoid": aten.sigmoid,
        "relu": aten.relu,
        "silu": aten.silu,
        "sign": aten.sign,
    }.items():
        z.term(z.node(op, [a], fn, rows))
    for op, fn in {
        "log": aten.log,
        "log1p": aten.log1p,
        "sqrt": aten.sqrt,
        "rsqrt": aten.rsqrt,
        "reciprocal": aten.reciprocal,
    }.items():
        z.term(z.node(op, [p], fn, rows))
    for how in ("none", "tanh"):
        z.term(z.node("gelu", [a], lambda t: aten.gelu(t, approximate=how), rows, approximate=how))
    z.term(z.node("softplus", [a], lambda t: aten.softplus(t, 2, 20), rows, beta=2, threshold=20))
    z.term(z.node("elu", [a], lambda t: aten.elu(t, 0.7, 1.1, 1), rows, alpha=0.7, scale=1.1))
    z.term(z.node("leaky_relu", [a], lambda t: aten.leaky_relu(t, 0.2), rows, negative_slope=0.2))
    z.term(
        z.node(
            "hardtanh", [a], lambda t: aten.hardtanh(t, -0.4, 0.6), rows, min_val=-0.4, max_val=0.6
        )
    )
    z.term(z.node("clamp", [a], lambda t: aten.clamp(t, -0.3, None), rows, min=-0.3, max=None))
    z.term(z.node("clamp", [a], lambda t: aten.clamp(t, None, 0.3), rows, max=0.3))
    for e in (2, 3, 0.5, -1, 1.5, -0.5, 2.3, 0):
        z.term(z.node("pow", [p], lambda t: aten.pow(t, e), rows, exponent=e))
    for op, fn in {"add": aten.add, "sub": aten.sub}.items():
        z.term(z.node(op, [a, v], lambda s, t: fn(s, t, alpha=0.5), rows, alpha=0.5))
        z.term(z.node(op, [a], lambda t: fn(t, 1.5), rows, other=1.5))
    z.term(z.node("rsub", [a], lambda t: aten.rsub(t, 2.0), rows, other=2.0))
    z.term(z.node("mul", [a], lambda t: aten.mul(t, -0.7), rows, other=-0.7))
    z.term(z.node("div", [a], lambda t: aten.div(t, 3.0), rows, other=3.0))
    z.term(z.node("div", [a, v], aten.div, rows))
    z.term(z.node("maximum", [a, v], aten.maximum, rows))
    z.term(z.node("minimum", [a, v], aten.minimum, rows))
    z.term(z.node("full", [], lambda: aten.full([2], 0.25, dtype=torch.float64), value=0.25))


def choices(z):
    x, w = z.rows(3, 2), z.weight(3, 1)
    y = z.put("y", "label", torch.tensor([2, 0, 1, 2]))
    tokens = z.put("t", "batch", torch.tensor([[0, 3, 1], [2, 2, 0], [1, 3, 3], [0, 0, 1]]))
    rows = {0: 1}
    a = z.node("mul", [x, w], aten.mul, rows)
    b = z.node("add", [x, w], aten.add, rows)
    masks = [
        z.node(op, [a, b], fn, rows)
        for op, fn in {"lt": aten.lt, "le": aten.le, "gt": aten.gt, "ge": aten.ge}.items()
    ]
    masks.append(z.node("eq", [tokens], lambda t: aten.eq(t, 3), rows, other=3))
    masks.append(z.node("ne", [tokens], lambda t: aten.ne(t, 0), rows, other=0))
    masks[4] = z.node("view", [masks[4]], lambda t: t.view(B, 3, 1), rows)
    masks[5] = z.node("view", [masks[5]], lambda t: t.view(B, 3, 1), rows)
    n = z.node("logical_not", [masks[0]], aten.logical_not, rows)
    masks.append(z.node("logical_and", [n, masks[4]], aten.logical_and, rows))
    masks.append(z.node("logical_or", [masks[1], masks[5]], aten.logical_or, rows))
    hidden = z.node(
        "full", [], lambda: aten.full([], float("-inf"), dtype=torch.float64), value="-inf"
    )
    for m in masks:
        z.term(z.node("where", [m, a, b], aten.where, rows))
    h = z.node("where", [masks[4], hidden, b], aten.where, rows)
    z.term(z.node("_softmax", [h], lambda t: aten._softmax(t, 1, False), rows, dim=1))
    table = z.weight(4, 5)
    e = z.node("embedding", [table, tokens], aten.embedding, rows)
    z.term(e)
    flat = z.node("view", [a], lambda t: t.view(B, 6), rows)
    p = z.node("_log_softmax", [flat], lambda t: aten._log_softmax(t, 1, False), rows, dim=1)
    z.term(p)
    for how in (1, 2):
        z.terms.append(
            z.node(
                "nll_loss_forward",
                [p, y],
                lambda q, t: aten.nll_loss_forward(q, t, None, how, -100),
                reduction=how,
            )
        )
    z.term(
        z.node(
            "nll_loss_forward",
            [p, y],
            lambda q, t: aten.nll_loss_forward(q, t, None, 0, -100),
            rows,
            reduction=0,
        )
    )
    i = z.node("unsqueeze", [y], lambda t: t.unsqueeze(1), rows)
    z.term(z.node("gather", [flat, i], lambda t, k: aten.gather(t, 1, k), rows, dim=1))
    k = z.weight(6, low=0.5)
    z.term(z.node("nll_loss_forward", [p, y, k], lambda q, t, v: nll_of(q, t, 0, v), rows,
                  reduction=0))  # fmt: skip
    z.terms.append(z.node("nll_loss_forward", [p, y, k], lambda q, t, v: nll_of(q, t, 2, v),
                          reduction=2))  # fmt: skip
    c = z.node("_to_copy", [masks[0]], lambda t: t.double(), rows)
    z.term(z.node("mul", [c, a], aten.mul, rows))
    z.term(z.node("_to_copy", [tokens], lambda t: t.double(), rows))


def products(z):
    rows = {0: 1}
    x, w, bias = z.rows(6), z.weight(5, 6), z.weight(5, kind="bias")
    t = z.node("permute", [w], lambda v: v.permute(1, 0), dims=[1, 0])
    z.term(z.node("mm", [x, t], aten.mm, rows))
    z.term(
        z.node(
            "addmm",
            [bias, x, t],
            lambda c, a, b: aten.addmm(c, a, b, beta=0.5, alpha=2),
            rows,
            beta=0.5,
            alpha=2,
        )
    )
    q, k = z.rows(3, 4), z.rows(3, 4)
    s = z.weight(4)
    q = z.node("mul", [q, s], aten.mul, rows)
    kt = z.node("permute", [k], lambda v: v.permute(0, 2, 1), rows, dims=[0, 2, 1])
    a = z.node("bmm", [q, kt], aten.bmm, rows)
    z.term(a)
    z.term(z.node("_softmax", [a], lambda v: aten._softmax(v, 2, False), rows, dim=-1))
    z.term(z.node("_softmax", [a], lambda v: aten._softmax(v, 1, False), rows, dim=1))
    one = z.weight(4, 2)
    each = z.node("expand", [one], lambda v: v.expand(B, 4, 2), rows)
    each = z.node("view", [each], lambda v: v.reshape(B, 4, 2), rows)
    z.term(z.node("bmm", [q, each], aten.bmm, rows))
    z.term(
        z.node(
            "baddbmm", [a, q, kt], lambda c, m, n: aten.baddbmm(c, m, n, alpha=0.3), rows, alpha=0.3
        )
    )
    z.term(
        z.node(
            "logsumexp", [a], lambda v: aten.logsumexp(v, [2], True), rows, dim=[2], keepdim=True
        )
    )
    z.term(z.node("logsumexp", [a], lambda v: aten.logsumexp(v, [1]), rows, dim=[1]))
    z.term(z.node("amax", [a], lambda v: aten.amax(v, [-1]), rows, dim=[-1]))
    for keep in (True, False):
        z.term(z.node("sum", [a], lambda v: aten.sum(v, [1], keep), rows, dim=[1], keepdim=keep))
        z.term(
            z.node(
                "mean", [a], lambda v: aten.mean(v, [1, 2], keep), rows, dim=[1, 2], keepdim=keep
            )
        )
        z.term(
            z.node(
                "var",
                [a],
                lambda v: aten.var(v, [2], correction=1, keepdim=keep),
                rows,
                dim=[2],
                correction=1,
                keepdim=keep,
            )
        )
    wide = z.node("expand", [z.weight(1, 2)], lambda v: v.expand(3, 2))
    z.term(z.node("sum", [wide], lambda v: aten.sum(v, [0]), dim=[0]))
    z.terms.append(z.node("sum", [a], lambda v: aten.sum(v, []), dim=[]))


def image_rows(z):
    """Images with channels that a weight reaches."""
    rows = {0: 1}
    x, w = z.rows(3, 7, 6), z.weight(3, 1, 1)
    return z.node("mul", [x, w], aten.mul, rows)


def convolved(z, x, w, b, stride, padding, dilation, groups, up=None):
    """`up`: the output padding of a transposed one."""

    def fn(i, v, c):
        more = up is not None, up or [0] * len(stride)
        return aten.convolution(i, v, c, stride, padding, dilation, *more, groups)

    attr = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    if up is not None:
        attr.update(transposed=True, output_padding=up)
    return z.node("convolution", [x, w, b], fn, {0: 1}, **attr)


def convolutions(z):
    x, w, b = z.rows(4, 7, 6), z.weight(6, 2, 3, 3), z.weight(6, kind="bias")
    y = convolved(z, x, w, b, [2, 1], [1, 2], [1, 1], 2)
    z.term(y)
    z.term(convolved(z, y, z.weight(3, 6, 1, 1), None, [1, 1], [0, 0], [1, 1], 1))
    z.term(convolved(z, x, w, None, [1, 1], [0, 0], [2, 1], 2))
    z.term(convolved(z, z.rows(2, 9), z.weight(3, 2, 4), None, [2], [1], [1], 1))
    b = z.weight(4, kind="bias")
    z.term(convolved(z, x, z.weight(4, 2, 3, 2), b, [2, 3], [1, 0], [1, 2], 2, [1, 0]))
    z.term(convolved(z, z.rows(3, 5), z.weight(3, 2, 3), None, [2], [1], [1], 1, [1]))


def pooled(z, op, x, fn, **attr):
    z.term(z.node(op, [x], fn, {0: 1}, **attr))


def pools(z):
    x = image_rows(z)
    k, s, p = [2, 2], [1, 2], [1, 1]
    window = {"kernel_size": k, "stride": s, "padding": p}
    pooled(z, "max_pool2d_with_indices", x,
           lambda i: aten.max_pool2d_with_indices(i, k, s, p), **window)  # fmt: skip
    pooled(z, "avg_pool2d", x, lambda i: aten.avg_pool2d(i, k, s, p), **window)
    pooled(z, "avg_pool2d", x, lambda i: aten.avg_pool2d(i, k, s, p, False, False),
           count_include_pad=False, **window)  # fmt: skip
    pooled(z, "avg_pool2d", x, lambda i: aten.avg_pool2d(i, k, s, p, False, True, 3),
           divisor_override=3, **window)  # fmt: skip
    pooled(z, "_adaptive_avg_pool2d", x, lambda i: aten._adaptive_avg_pool2d(i, [7, 2]),
           output_size=[7, 2])  # fmt: skip
    pooled(z, "mean", x, lambda i: aten.mean(i, [-1, -2], True), dim=[-1, -2], keepdim=True)
    pooled(z, "var", x, lambda i: aten.var(i, [1], correction=0), dim=[1], correction=0)
    f = z.node("view", [x], lambda i: i.reshape(B, 126), {0: 1})
    z.term(z.node("mm", [f, z.weight(126, 2)], aten.mm, {0: 1}))


def batch_norms(z):
    rows, x = {0: 1}, image_rows(z)
    g, h = z.weight(3, kind="norm"), z.weight(3, kind="norm")
    mean = z.put("bn.running_mean", "buffer", round_up(torch.randn(3, dtype=torch.float64)))
    var = z.put("bn.running_var", "buffer", round_up(torch.rand(3, dtype=torch.float64) + 0.5))

    def by_batch(i, p, q, r, s):
        return aten._native_batch_norm_legit_functional(i, p, q, r, s, True, 0.2, 1e-4)

    def fixed(i, p, q, r, s):
        return aten.native_batch_norm(i, p, q, r, s, False, 0.1, 1e-5)

    attr = {"training": True, "momentum": 0.2, "eps": 1e-4}
    n = z.node("native_batch_norm", [x, g, h, mean, var], by_batch, rows, **attr)
    z.next = {"bn.running_mean": f"{n}:3", "bn.running_var": f"{n}:4"}
    z.term(n)
    r = z.constant(torch.tensor([0.1, -0.2, 0.3], dtype=torch.float64))
    s = z.constant(torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64))
    attr = {"training": False, "momentum": 0.1, "eps": 1e-5}
    z.term(z.node("native_batch_norm", [x, g, None, r, s], fixed, rows, **attr))


def norms(z):
    rows, x = {0: 1}, image_rows(z)
    t = z.node("view", [x], lambda i: i.reshape(B, 3, 42), rows)
    t = z.node("permute", [t], lambda i: i.permute(0, 2, 1), rows, dims=[0, 2, 1])
    g, h = z.weight(3, kind="norm"), z.weight(3, kind="norm")

    def layer(over):
        def fn(i, p, q):
            return aten.native_layer_norm(i, over, p, q, 1e-5)

        return fn

    def group(i, p, q):
        return aten.native_group_norm(i, p, q, B, 6, 21, 3, 1e-5)

    z.term(z.node("native_layer_norm", [t, g, h], layer([3]), rows, normalized_shape=[3], eps=1e-5))
    z.term(z.node("native_layer_norm", [t, None, None], layer([42, 3]), rows,
                  normalized_shape=[42, 3], eps=1e-5))  # fmt: skip
    z.term(z.node("native_dropout", [x], lambda i: i.clone(), rows, p=0.3))  # off in a comparison
    six = z.node("view", [x], lambda i: i.reshape(B, 6, 7, 3), rows)
    g, h = z.weight(6, kind="norm"), z.weight(6, kind="norm")
    z.term(z.node("native_group_norm", [six, g, h], group, rows, group=3, eps=1e-5))


def moves(z):
    rows = {0: 1}
    x, w = z.rows(3, 4), z.weight(3, 4)
    a = z.node("mul", [x, w], aten.mul, rows)
    p = z.node("permute", [a], lambda t: t.permute(2, 0, 1), {1: 1}, dims=[2, 0, 1])
    z.term(z.node("permute", [p], lambda t: t.permute(1, 2, 0), rows, dims=[1, 2, 0]))
    s = z.node("slice", [a], lambda t: aten.slice(t, 2, 1, 3), rows, dim=2, start=1, end=3)
    z.term(s)
    z.term(z.node("select", [a], lambda t: aten.select(t, 1, -1), rows, dim=1, index=-1))
    c = z.node("cat", [a, s], lambda t, u: aten.cat([t, u], 2), rows, dim=-1)
    z.term(c)
    q = z.node("permute", [a], lambda t: t.permute(0, 2, 1), rows, dims=[0, 2, 1])
    r = z.node("permute", [s], lambda t: t.permute(0, 2, 1), rows, dims=[0, 2, 1])
    z.term(z.node("cat", [q, r, q], lambda t, u, v: aten.cat([t, u, v], 1), rows, dim=1))
    z.term(
        z.node(
            "constant_pad_nd",
            [q],
            lambda t: aten.constant_pad_nd(t, [1, 2, 0, 1], 0.5),
            rows,
            pad=[1, 2, 0, 1],
            value=0.5,
        )
    )
    z.term(
        z.node(
            "constant_pad_nd", [a], lambda t: aten.constant_pad_nd(t, [0, 1], 0.0), rows, pad=[0, 1]
        )
    )
    for op in ("view", "_unsafe_view"):
        z.term(z.node(op, [q], lambda t: t.reshape(B * 4, 3), {0: 4}))
        z.term(z.node(op, [q], lambda t: t.reshape(B, 2, 6), rows))
        z.term(z.node(op, [q], lambda t: t.reshape(B, 2, 2, 3, 1), rows))
    u = z.node("unsqueeze", [q], lambda t: t.unsqueeze(2), rows)
    z.term(z.node("squeeze", [u], lambda t: t.squeeze(2), rows))
    z.term(z.node("clone", [u], lambda t: t.clone(), rows))
    z.term(z.node("alias", [q], lambda t: t.clone(), rows))
    e = z.node("expand", [u], lambda t: t.expand(B, 4, 2, 3), rows)
    z.term(e)
    z.term(z.node("view", [e], lambda t: t.reshape(B, 24), rows))
    z.term(z.node("slice", [e], lambda t: aten.slice(t, 2, 0, 1), rows, dim=2, start=0, end=1))
    v = z.node("unsqueeze", [w], lambda t: t.unsqueeze(0))
    v = z.node("expand", [v], lambda t: t.expand(B, 3, 4), rows)
    z.term(z.node("add", [v, a], aten.add, rows))
    z.term(z.node("mul", [p, p], aten.mul, {1: 1}))


def losses(z):
    """Row losses through views that merge and turn, numbers around means, regularisers."""
    rows = {0: 1}
    x, w = z.rows(3, 2), z.weight(3, 2)
    y = z.put("y", "label", torch.tensor([[2, 0, 1], [4, 3, 0], [1, 1, 2], [0, 4, 3]]))
    a = z.node("mul", [x, w], aten.mul, rows)
    p = z.node("permute", [a], lambda t: t.permute(1, 0, 2), {1: 1}, dims=[1, 0, 2])
    v = z.node("view", [p], lambda t: t.reshape(3 * B, 2), {0: 3})
    m = z.node("mm", [v, z.weight(2, 5)], aten.mm, {0: 3})
    q = z.node("_log_softmax", [m], lambda t: aten._log_softmax(t, 1, False), {0: 3}, dim=1)
    k = z.node("permute", [y], lambda t: t.permute(1, 0), {1: 1}, dims=[1, 0])
    k = z.node("view", [k], lambda t: t.reshape(3 * B), {0: 3})
    nll = z.node("nll_loss_forward", [q, k], lambda c, t: nll_of(c, t, 1), reduction=1)
    back = z.node("view", [m], lambda t: t.reshape(3, B, 5), {1: 1})
    squares = z.node("mul", [back, back], aten.mul, {1: 1})
    part = z.node("sum", [squares], aten.sum)
    part = z.node("div", [part], lambda t: aten.div(t, 7.0), other=7.0)
    decay = z.node("sum", [z.node("mul", [w, w], aten.mul)], aten.sum)
    decay = z.node("mul", [decay], lambda t: aten.mul(t, 0.1), other=0.1)
    z.terms.append(z.node("sub", [nll, part], lambda s, t: aten.sub(s, t, alpha=0.5), alpha=0.5))
    z.terms.append(z.node("neg", [z.node("mean", [a], aten.mean)], aten.neg))
    z.terms.append(z.node("mul", [z.node("mean", [squares], aten.mean), decay], aten.mul))
    z.terms.append(z.node("view", [decay], lambda t: t.clone()))


def nll_of(p, y, how, weight=None):
    """Differentiable in the weights too, which aten.nll_loss_forward is not."""
    if weight is None:
        return aten.nll_loss_forward(p, y, None, how, -100)
    each = aten.nll_loss_forward(p, y, None, 0, -100)[0] * weight[y]
    return (each, each.sum() / weight[y].sum(), each.sum())[how]


def class_weights(z):
    """A mean over what the classes of the batch weigh, which is none over its examples."""
    x, w = z.rows(5), z.weight(5, 3)
    y = z.put("y", "label", torch.tensor([2, 0, 1, 2]))
    m = z.node("mm", [x, w], aten.mm, {0: 1})
    p = z.node("_log_softmax", [m], lambda t: aten._log_softmax(t, 1, False), {0: 1}, dim=1)
    k = z.weight(3, low=0.5)
    z.terms.append(z.node("nll_loss_forward", [p, y, k], lambda q, t, v: nll_of(q, t, 1, v),
                          reduction=1))  # fmt: skip


FAMILIES = (losses, pointwise, choices, products, convolutions, pools, batch_norms, norms, moves,
            class_weights)  # fmt: skip

if __name__ == "__main__":
    for i, family in enumerate(FAMILIES):
        zoo = Zoo(i)
        family(zoo)
        zoo.finish(pathlib.Path(sys.argv[1]) / family.__name__)
