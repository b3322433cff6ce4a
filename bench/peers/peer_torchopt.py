"""TorchOpt: its functional SGD, the run unrolled into one graph (explicit gradient). The decays are
added to the gradients: its own weight_decay is one float. Its other ways do not fit the task: the
implicit gradient assumes a minimum and has no momentum, zero-order differentiation is no gradient.
"""

import torch
import torchopt
from common import LR, MOMENTUM, Task, joined, run


def hypergradient(task: Task) -> torch.Tensor:
    """dF/d(decay) by autograd through TorchOpt's unrolled run."""
    decays = task.decays(grad=True)
    w = tuple(p.clone().requires_grad_() for p in task.start)
    update = torchopt.sgd(lr=LR, momentum=MOMENTUM)
    state = update.init(w)
    for t in range(task.steps):
        grads = torch.autograd.grad(task.loss(w, *task.batch(t)), w, create_graph=True)
        p = tuple(g if d is None else g + d * v for g, d, v in zip(grads, decays, w))
        moves, state = update.update(p, state, inplace=False)
        w = torchopt.apply_updates(w, moves, inplace=False)
    loss = task.loss(w, *task.valid)
    return joined(torch.autograd.grad(loss, [d for d in decays if d is not None]))


if __name__ == "__main__":
    run("torchopt", hypergradient, "exact; memory grows with T; any hyperparameter that autograd "
        "reaches, decay of its own one float")  # fmt: skip
