"""BoTorch: SingleTaskGP (MixedSingleTaskGP where there are choices) with its defaults, logEI,
2d + 2 scrambled Sobol points to start with. It knows no conditions: parameters that are left out
are suggested all the same."""

import warnings

import botorch
import torch
from botorch.acquisition import LogExpectedImprovement
from botorch.fit import fit_gpytorch_mll
from botorch.models import MixedSingleTaskGP, SingleTaskGP
from botorch.optim import optimize_acqf
from botorch.optim.optimize_mixed import optimize_acqf_mixed_alternating
from gpytorch.mlls import ExactMarginalLogLikelihood
from problems import CHOICE, INT, from_cube, to_cube

warnings.filterwarnings("ignore")
torch.set_num_threads(1)
torch.set_default_dtype(torch.double)
VERSION = f"botorch {botorch.__version__}"
RESTARTS, RAW = 10, 512


def coordinates(problem):
    """Of ints and choices the values that the model sees, by index."""
    ints, choices = {}, {}
    for i, p in enumerate(problem.params):
        if p.type == CHOICE:
            choices[i] = [float(c) for c in range(p.choices)]
        elif p.type == INT:
            ints[i] = [to_cube(p, v) for v in range(int(p.low), int(p.high) + 1)]
    return ints, choices


def value(p, v):
    return round(v) if p.type == CHOICE else from_cube(p, v)


def propose(z, y, ints, choices, bounds):
    if choices:
        model = MixedSingleTaskGP(z, y, cat_dims=sorted(choices))
    else:
        model = SingleTaskGP(z, y)
    fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
    acquisition = LogExpectedImprovement(model, best_f=y.max())
    if not ints and not choices:
        return optimize_acqf(acquisition, bounds, 1, RESTARTS, RAW)[0]
    return optimize_acqf_mixed_alternating(
        acquisition, bounds, ints, choices, raw_samples=RAW, num_restarts=RESTARTS
    )[0]


def start(problem, seed):
    n = 2 * len(problem.params) + 2
    u = torch.quasirandom.SobolEngine(len(problem.params), scramble=True, seed=seed).draw(n)
    rows = []
    for row in u.double().tolist():
        x = [from_cube(p, v) for p, v in zip(problem.params, row)]
        rows.append([v if p.type == CHOICE else to_cube(p, v) for p, v in zip(problem.params, x)])
    return torch.tensor(rows)


def solve(_name, problem, seed, budget, objective):
    torch.manual_seed(seed)
    ints, choices = coordinates(problem)
    high = [p.choices - 1.0 if p.type == CHOICE else 1.0 for p in problem.params]
    bounds = torch.tensor([[0.0] * len(high), high])
    first = start(problem, seed)
    z, y = torch.empty(0, len(high)), torch.empty(0, 1)
    for n in range(budget):
        row = first[n : n + 1] if n < len(first) else propose(z, y, ints, choices, bounds)
        x = [value(p, v) for p, v in zip(problem.params, row[0].tolist())]
        z, y = torch.cat([z, row]), torch.cat([y, torch.tensor([[-objective(x)]])])
