"""What the tests against PyTorch share: a small problem, the study that lets drmad train on it, and
the same training written in torch so that all of it can be differentiated."""

import json
import os
import pathlib
import subprocess
import tempfile

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
DRMAD = ROOT / os.environ.get("DRMAD_BUILD", "build/release") / "drmad"

torch.set_num_threads(1)


class Problem:
    """Rows, labels and start weights from a seed. The first `train` rows are trained on, in order;
    the next `valid` ones are what F is taken on."""

    def __init__(self, sizes, train, valid, dtype=torch.float64, activation="tanh", seed=1):
        draw = torch.Generator().manual_seed(seed)
        count = train + valid + valid
        self.sizes, self.train, self.valid, self.activation = sizes, train, valid, activation
        self.dtype = dtype
        self.model = {"layers": sizes, "activation": activation}
        self.x = torch.randn(count, sizes[0], generator=draw, dtype=torch.float64).to(dtype)
        self.y = torch.randint(sizes[-1], (count,), generator=draw)
        self.y[: sizes[-1]] = torch.arange(sizes[-1])  # every class occurs
        self.w = {}
        for i, (a, b) in enumerate(zip(sizes, sizes[1:])):
            shape = {"weight": (b, a), "bias": (b,)}
            for part, s in shape.items():
                w = torch.randn(*s, generator=draw, dtype=torch.float64) * a**-0.5
                self.w[f"layers.{i}.{part}"] = w.to(dtype)

    def batch(self, t, size):
        """The rows of step t: in order, again from 0 each epoch, the last partial batch dropped."""
        first = t % (self.train // size) * size
        return slice(first, first + size)

    def outputs(self, w, x):
        act = {"tanh": torch.tanh, "relu": torch.relu}[self.activation]
        last = len(self.sizes) - 2
        for i in range(last + 1):
            x = x @ w[f"layers.{i}.weight"].T + w[f"layers.{i}.bias"]
            x = act(x) if i < last else x
        return x

    def objective(self, w):
        rows = slice(self.train, self.train + self.valid)
        return row_losses(self.outputs(w, self.x[rows]), self.y[rows], 0.0).mean()


def row_losses(z, y, smoothing):
    """Cross-entropy with targets (1 - e) onehot + e/K; e may carry a gradient."""
    hit = z.gather(1, y[:, None])[:, 0]
    return z.logsumexp(1) - (1 - smoothing) * hit - smoothing * z.mean(1)


def drmad(call, problem, study, result):
    """Runs `drmad CALL` on the study in a folder of its own; gives the tensors of file `result`."""
    with tempfile.TemporaryDirectory() as folder:
        f = pathlib.Path(folder)
        np.save(f / "x.npy", problem.x.numpy())
        np.save(f / "y.npy", problem.y.numpy())
        save_file({k: v.numpy() for k, v in problem.w.items()}, f / "start.safetensors")
        dtype = getattr(problem, "dtype", problem.x.dtype)  # rows of token ids have none
        whole = {
            "dtype": "f64" if dtype == torch.float64 else "f32",
            "data": {
                "kind": "npy",
                "images": str(f / "x.npy"),
                "labels": str(f / "y.npy"),
                "train": problem.train,
                "valid": problem.valid,
                "test": problem.valid,
                "split": "sequential",
                "scale": 1,
            },
            "model": {**problem.model, "weights": str(f / "start.safetensors")},
            "output": {"dir": str(f / "run")},
        }
        (f / "study.yaml").write_text(json.dumps({**whole, **study}))  # JSON is YAML
        p = subprocess.run(
            [DRMAD, call, f / "study.yaml"], capture_output=True, text=True, check=False
        )
        if p.returncode != 0:
            raise RuntimeError(f"drmad {call} ended with {p.returncode}: {p.stderr}")
        return {k: torch.from_numpy(v) for k, v in load_file(f / "run" / result).items()}


class Knobs:
    """Hyperparameters by slice name, [phases, elements] as drmad writes them."""

    def __init__(self, values, steps):
        self.values, self.steps = values, steps

    def at(self, kind, tensor, t, otherwise):
        """What holds for `tensor` ("": for the data) at step t; unit-in rows spread over it."""
        for name in (f"{kind}/{tensor}", f"{kind}/{tensor.rpartition('.')[0]}", kind):
            if name in self.values:
                v = self.values[name]
                return v[((t + 1) * v.shape[0] - 1) // self.steps]
        return otherwise


def train(problem, knobs, o, steps, size):
    """T steps of torch.optim's update on the graph, from the scaled start; `o` holds what no knob
    sets: kind, lr, momentum, dampening, nesterov, weight_decay, decoupled, form, eps_inside. Gives
    the last w."""
    w = {k: v * knobs.at("init_scale", k, 0, 1.0) for k, v in problem.w.items()}
    for v in w.values():
        if not v.requires_grad:
            v.requires_grad_()
    b = None
    for t in range(steps):
        rows = problem.batch(t, size)
        e = knobs.at("label_smoothing", "", t, 0.0)
        losses = row_losses(problem.outputs(w, problem.x[rows]), problem.y[rows], e)
        loss = (losses * knobs.at("example_weight", "", t, torch.ones(problem.train))[rows]).mean()
        for k, v in w.items():
            loss = loss + (knobs.at("l2", k, t, 0.0) * v * v).sum() / 2
        grads = torch.autograd.grad(loss, list(w.values()), create_graph=True)
        w, b = update(w, b, dict(zip(w, grads)), knobs, o, t)
    return w


def update(w, b, grads, knobs, o, t):
    if o.get("kind", "sgd") != "sgd":
        return adaptive(w, b, grads, knobs, o, t)
    after, buffers = {}, {}
    for k, g in grads.items():
        lr = knobs.at("lr", k, t, o["lr"])
        mu = knobs.at("momentum", k, t, o.get("momentum", 0.0))
        decay = knobs.at("weight_decay", k, t, o.get("weight_decay", 0.0))
        if o.get("form") == "maclaurin":
            buffers[k] = (0 if b is None else mu * b[k]) - (1 - mu) * (g + decay * w[k])
            after[k] = w[k] + lr * buffers[k]
            continue
        x = w[k] * (1 - lr * decay) if o.get("decoupled") else w[k]
        p = g if o.get("decoupled") else g + decay * w[k]
        buffers[k] = p if b is None else mu * b[k] + (1 - o.get("dampening", 0.0)) * p
        s = p + mu * buffers[k] if o.get("nesterov") else buffers[k]
        after[k] = x - lr * s
    return after, buffers


def adaptive(w, state, grads, knobs, o, t):
    """Adam, AdamW, NAdam and RMSprop (without momentum) as in torch.optim, on the graph. The
    state of a tensor: average gradient, average square, NAdam's product."""
    after, kept = {}, {}
    kind, psi = o["kind"], 0.004
    for k, g in grads.items():
        m, v, product = state[k] if state else (0, 0, 1)
        lr = knobs.at("lr", k, t, o["lr"])
        decay = knobs.at("weight_decay", k, t, o.get("weight_decay", 0.0))
        b1 = knobs.at("beta1", k, t, 0.9)
        b2 = knobs.at("beta2", k, t, 0.99 if kind == "rmsprop" else 0.999)
        eps = knobs.at("eps", k, t, 1e-8)
        x = w[k] * (1 - lr * decay) if kind == "adamw" else w[k]
        p = g if kind == "adamw" else g + decay * w[k]
        m, v = b1 * m + (1 - b1) * p, b2 * v + (1 - b2) * p * p
        square = v if kind == "rmsprop" else v / (1 - b2 ** (t + 1))
        root = (square + eps).sqrt() if o.get("eps_inside") else square.sqrt() + eps
        if kind == "rmsprop":
            s = p
        elif kind == "nadam":
            mu, ahead = (b1 * (1 - 0.5 * 0.96 ** ((t + i) * psi)) for i in (1, 2))
            product = product * mu
            s = (1 - mu) / (1 - product) * p + ahead / (1 - product * ahead) * m
        else:
            s = m / (1 - b1 ** (t + 1))
        after[k], kept[k] = x - lr * s / root, (m, v, product)
    return after, kept


def report(name, errors):
    """One line a test; what is wrong, if anything, indented above it."""
    for e in errors:
        print("  " + str(e).replace("\n", "\n  "))
    print(f"{'FAIL' if errors else 'PASS'} {name}", flush=True)
    return len(errors)
