"""What an expert writes by hand with torch.func: a loop that stores w_t, and a loop back with one
product (d2L/dw dw) u a step, forward over reverse. No graph outlives its step.

VARIANT  tensors  one tensor per parameter
         flat     all parameters in one vector, so that updates are one operation each
         reverse  one tensor per parameter, the product as the gradient of <g, u>"""

import torch
from common import LR, MOMENTUM, Task, joined, run, said
from torch.func import grad, jvp


def tensors(task: Task) -> torch.Tensor:
    """Parameters one by one, torch._foreach_* for the updates."""
    gradient = grad(lambda w, x, y: task.loss(w, x, y))
    w = [p.clone() for p in task.start]
    decays = task.decays()
    at = [i for i, d in enumerate(decays) if d is not None]
    kept, momenta = [], [torch.zeros_like(p) for p in w]
    for t in range(task.steps):
        kept.append([p.clone() for p in w])
        g = list(gradient(w, *task.batch(t)))
        for i in at:
            g[i] = torch.addcmul(g[i], decays[i], w[i])
        torch._foreach_mul_(momenta, MOMENTUM)
        torch._foreach_add_(momenta, g)
        torch._foreach_add_(w, momenta, alpha=-LR)
    wc = list(gradient(w, *task.valid))
    return _back(task, kept, wc, lambda w, u, x, y: jvp(lambda v: gradient(v, x, y), (w,), (u,))[1])


def reverse(task: Task) -> torch.Tensor:
    """As `tensors`, with plain autograd in the place of torch.func."""
    w = [p.clone().requires_grad_() for p in task.start]
    decays = task.decays()
    at = [i for i, d in enumerate(decays) if d is not None]
    kept, momenta = [], [torch.zeros_like(p) for p in w]
    for t in range(task.steps):
        g = list(torch.autograd.grad(task.loss(w, *task.batch(t)), w))
        with torch.no_grad():
            kept.append([p.detach().clone() for p in w])
            for i in at:
                g[i] = torch.addcmul(g[i], decays[i], w[i])
            torch._foreach_mul_(momenta, MOMENTUM)
            torch._foreach_add_(momenta, g)
            torch._foreach_add_(w, momenta, alpha=-LR)

    def product(w: list, u: list, x: torch.Tensor, y: torch.Tensor) -> tuple:
        w = [p.detach().requires_grad_() for p in w]
        g = torch.autograd.grad(task.loss(w, x, y), w, create_graph=True)
        return torch.autograd.grad(g, w, u)

    wc = list(torch.autograd.grad(task.loss(w, *task.valid), w))
    return _back(task, kept, wc, product)


def _back(task: Task, kept: list, wc: list, product) -> torch.Tensor:
    """wc, bc: the cotangents of weights and momenta."""
    decays = task.decays()
    at = [i for i, d in enumerate(decays) if d is not None]
    dims = {i: tuple(range(1, decays[i].dim())) for i in at}
    bc = [torch.zeros_like(p) for p in wc]
    hc = [None if d is None else torch.zeros_like(d) for d in decays]
    for t in reversed(range(task.steps)):
        w = kept[t]
        torch._foreach_add_(bc, wc, alpha=-LR)
        hu = product(w, bc, *task.batch(t))
        for i in at:
            hc[i] += (bc[i] * w[i]).sum(dims[i], keepdim=True)
            wc[i].addcmul_(decays[i], bc[i])
        torch._foreach_add_(wc, list(hu))
        torch._foreach_mul_(bc, MOMENTUM)
    return joined(hc)


def flat(task: Task) -> torch.Tensor:
    """All parameters in one vector."""
    counts, shapes = [p.numel() for p in task.start], [p.shape for p in task.start]

    def split(v: torch.Tensor) -> list[torch.Tensor]:
        return [p.view(s) for p, s in zip(v.split_with_sizes(counts), shapes)]

    gradient = grad(lambda v, x, y: task.loss(split(v), x, y))
    w = torch.cat([p.flatten() for p in task.start])
    decays = task.decays()
    decay = torch.cat([(torch.zeros_like(p) if d is None else d.expand_as(p)).flatten()
                       for p, d in zip(task.start, decays)])  # fmt: skip
    kept, b = torch.empty(task.steps, len(w)), torch.zeros_like(w)
    for t in range(task.steps):
        kept[t] = w
        b.mul_(MOMENTUM).add_(gradient(w, *task.batch(t))).addcmul_(decay, w)
        w.add_(b, alpha=-LR)
    wc, bc, hc = gradient(w, *task.valid), torch.zeros_like(w), torch.zeros_like(w)
    for t in reversed(range(task.steps)):
        x, y = task.batch(t)
        bc.add_(wc, alpha=-LR)
        hu = jvp(lambda v: gradient(v, x, y), (kept[t],), (bc,))[1]
        hc.addcmul_(bc, kept[t])
        wc.addcmul_(decay, bc).add_(hu)
        bc.mul_(MOMENTUM)
    return joined([None if d is None else h.sum(tuple(range(1, d.dim())))
                   for h, d in zip(split(hc), decays)])  # fmt: skip


if __name__ == "__main__":
    run(
        "torchfunc",
        {"tensors": tensors, "flat": flat, "reverse": reverse}[said()[3] or "tensors"],
        "exact; hand-written for this task; keeps w_0..w_T",
    )
