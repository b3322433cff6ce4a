"""higher (facebookresearch, last release 2020): the run inside innerloop_ctx, its differentiable
SGD unrolled into one graph. The decays enter by its grad_callback, the cheapest way it has: its own
weight_decay is one number a group."""

import higher
import torch
from common import LR, MOMENTUM, Task, joined, run
from torch.nn.functional import cross_entropy


def hypergradient(task: Task) -> torch.Tensor:
    """dF/d(decay) by autograd through higher's unrolled run."""
    module, decays = task.module(), task.decays(grad=True)
    optimizer = torch.optim.SGD(module.parameters(), lr=LR, momentum=MOMENTUM)
    with higher.innerloop_ctx(module, optimizer) as (net, diffopt):

        def decay(grads: list[torch.Tensor]) -> list[torch.Tensor]:
            now = net.parameters()
            return [g if d is None else g + d * w for g, d, w in zip(grads, decays, now)]

        for t in range(task.steps):
            x, y = task.batch(t)
            diffopt.step(cross_entropy(net(x), y), grad_callback=decay)
        x, y = task.valid
        loss = cross_entropy(net(x), y)
        return joined(torch.autograd.grad(loss, [d for d in decays if d is not None]))


if __name__ == "__main__":
    run("higher", hypergradient, "exact; memory grows with T; any hyperparameter of the loss, "
        "optimizer's own one a group")  # fmt: skip
