"""HippoTrainer's DrMAD as released. What it computes is not a hypergradient (no mixed derivative,
no Hessian-vector product, the outer rate as the inner one: reference in docs); every entry gets the
same number. Timed all the same, because it is the package that says DrMAD.

As released it raises RuntimeError on any net of more than one layer: hyper_grad trains in place and
then differentiates a validation loss that was computed before. The module here computes with clones
of its parameters, which is all that is needed to let it run; the package itself is unchanged.

It is given the reading that costs it least: a loader whose every pass is one batch, the next one of
the order, so that inner_steps = T passes are T training steps, and a step back evaluates one batch
(and, as it always does, all of validation) instead of all training data.
VARIANT  steps    T steps back, as DrMAD has it
         default  10 steps back, its default"""

from collections.abc import Iterator

import torch
from common import LR, MOMENTUM, Task, joined, run, said
from hippotrainer import DRMAD


class NextBatch:
    """A loader of one batch a pass: the next one, over and over."""

    def __init__(self, task: Task) -> None:
        self.task, self.at = task, 0

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        self.at += 1
        yield self.task.batch((self.at - 1) % self.task.steps)


class Cloned(torch.nn.Module):
    """The net, computed with clones: what is saved for backward outlives updates in place."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.scores = task.scores
        self.w = torch.nn.ParameterList(p.clone() for p in task.start)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scores([p.clone() for p in self.w], x)


def hypergradient(task: Task) -> torch.Tensor:
    """What DRMAD.hyper_grad gives, called as its hyper_step calls it."""
    module = Cloned(task)
    decays = {str(i): d for i, d in enumerate(task.decays()) if d is not None}
    params = list(module.parameters())

    def criterion(scores: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        loss = torch.nn.functional.cross_entropy(scores, y)
        if module.training:
            for i, d in decays.items():
                loss = loss + 0.5 * (d * params[int(i)].square()).sum()
        return loss

    tuner = DRMAD(
        decays,
        hyper_lr=0.01,
        inner_steps=task.steps,
        model=module,
        optimizer=torch.optim.SGD(params, lr=LR, momentum=MOMENTUM),
        train_loader=NextBatch(task),
        val_loader=[task.valid],
        criterion=criterion,
        T=10 if said()[3] == "default" else task.steps,
    )
    tuner._hyperparams_requires_grad_(True)
    train_loss, valid_loss = tuner.evaluate()
    return joined(tuner.hyper_grad(train_loss, valid_loss))


if __name__ == "__main__":
    run("hippotrainer", hypergradient, "not a hypergradient: one number for every entry; raises as "
        "released, runs over cloned parameters")
