"""The reference: T steps unrolled into one graph of plain tensors, one backward pass through all of
it. Exact, and keeps everything.
VARIANT "double": in double precision, what cosines are taken with."""

import torch
from common import LR, MOMENTUM, Task, joined, run, said


def hypergradient(task: Task) -> torch.Tensor:
    """dF/d(decay) by autograd through the whole run."""
    dtype = torch.float64 if said()[3] == "double" else torch.float32
    w = [p.to(dtype).requires_grad_() for p in task.start]
    decays = [d if d is None else d.detach().to(dtype).requires_grad_() for d in task.decays()]
    momenta = None
    for t in range(task.steps):
        x, y = task.batch(t)
        grads = torch.autograd.grad(task.loss(w, x.to(dtype), y), w, create_graph=True)
        p = [g if d is None else g + d * v for g, d, v in zip(grads, decays, w)]
        momenta = p if momenta is None else [MOMENTUM * b + q for b, q in zip(momenta, p)]
        w = [v - LR * b for v, b in zip(w, momenta)]
    x, y = task.valid
    return joined(torch.autograd.grad(task.loss(w, x.to(dtype), y),
                                      [d for d in decays if d is not None]))  # fmt: skip


if __name__ == "__main__":
    run("exact", hypergradient, "exact; memory grows with T")
