"""HEBO's own suggestions, to the bit, in a fraction of its time: what of HEBO 0.3.6, pymoo and GPyTorch
is nothing but bookkeeping (an object an individual, a lazy operator a matrix) is done on whole
arrays. All arithmetic is called in the order of the packages, and every draw is made from the same
generator in the same order; tests/bo/test_peers.py compares."""

import math
import types

import numpy
import torch
from hebo.acq_optimizers import evolution_optimizer
from pymoo.algorithms.moo.nsga2 import calc_crowding_distance
from pymoo.core.problem import Problem
from pymoo.core.variable import Choice, Real, get
from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting
from pymoo.util.randomized_argsort import randomized_argsort


class Group:
    """The variables that pymoo crosses and mutates together: all reals, all integers, each choice."""

    def __init__(self, mating, kind, columns, variables):
        self.columns, self.whole = columns, kind is not Real
        self.crossover, self.mutation = mating.crossover[kind], mating.mutation[kind]
        low = high = None
        if kind is not Choice:
            low, high = numpy.array([v.bounds for v in variables]).T
        self.problem = Problem(vars=variables, xl=low, xu=high)

    def settle(self, x):
        return numpy.around(x) + 0.0 if self.whole else x  # no -0

    def cross(self, x):
        """x: (2, matings, variables); all first children, then all second."""
        matings = x.shape[1]
        chosen = numpy.random.random(matings) < get(self.crossover.prob, size=matings)
        if not chosen.any():
            return x.reshape(2 * matings, -1).copy()
        crossed = self.crossover._do(self.problem, x)
        return numpy.where(chosen[:, None], crossed, x).reshape(2 * matings, -1)

    def mutate(self, x):
        mutated = self.settle(self.mutation._do(self.problem, x.copy()))
        chosen = numpy.random.random(len(x)) <= get(self.mutation.prob, size=len(x))
        return numpy.where(chosen[:, None], mutated, x)

    def offspring(self, pairs):
        return self.mutate(self.settle(self.cross(pairs[:, :, self.columns])))


def keys(x):
    return [tuple(row) for row in x.tolist()]


def unseen(x, *others):
    """Of equal rows the last, and none that is in others."""
    taken = {k for other in others for k in keys(other)}
    rows = keys(x)
    last = {k: i for i, k in enumerate(rows)}
    keep = [i for i, k in enumerate(rows) if last[k] == i and k not in taken]
    return x[keep]


class Search:
    """NSGA-II as EvolutionOpt sets it up. x: (individuals, variables) in the order of problem.vars."""

    def __init__(self, problem, algorithm):
        self.problem, self.size = problem, algorithm.pop_size
        self.tries = algorithm.mating.n_max_iterations
        self.names, variables = list(problem.vars), list(problem.vars.values())
        space = problem.space
        self.numeric = [self.names.index(n) for n in space.numeric_names]
        self.enum = [self.names.index(n) for n in space.enum_names]
        kinds = list(dict.fromkeys(type(v) for v in variables))
        self.groups = []
        for kind in kinds:
            columns = [i for i, v in enumerate(variables) if type(v) is kind]
            for part in [[c] for c in columns] if kind is Choice else [columns]:
                of = [variables[c] for c in part]
                self.groups.append(Group(algorithm.mating, kind, part, of))
        self.sorting = NonDominatedSorting()

    def evaluate(self, x):
        def tensor(kind, columns):
            return kind(numpy.ascontiguousarray(x[:, columns].T)).t().reshape(len(x), -1)

        values = self.problem.acq(
            tensor(lambda v: torch.from_numpy(v.astype(numpy.float32)), self.numeric),
            tensor(lambda v: torch.from_numpy(v.astype(numpy.int64)), self.enum),
        )
        return values.numpy().astype(float)

    def survive(self, x, f, most):
        """x and f of the best `most`, and how many are of the first front."""
        kept = []
        for front in self.sorting.do(f, n_stop_if_ranked=most):
            crowding = calc_crowding_distance(f[front, :])
            if len(kept) + len(front) > most:
                order = randomized_argsort(crowding, order="descending", method="numpy")
                front = front[order[: most - len(kept)]]
            first = len(front) if not kept else first
            kept.extend(front)
        return x[kept], f[kept], first

    def children(self, x, count):
        pairs = math.ceil(count / 2)
        draws = math.ceil(2 * pairs / len(x))
        order = numpy.concatenate([numpy.random.permutation(len(x)) for _ in range(draws)])
        parents = numpy.swapaxes(x[order[: 2 * pairs].reshape(pairs, 2)], 0, 1)
        made = numpy.empty((count, x.shape[1]))
        for group in self.groups:
            made[:, group.columns] = group.offspring(parents)[:count]
        return made

    def mate(self, x):
        made = x[:0]
        for _ in range(self.tries):
            if len(made) == self.size:
                break
            left = self.size - len(made)
            made = numpy.concatenate([made, unseen(self.children(x, left), x, made)[:left]])
        return made

    def run(self, start, generations):
        """The first front, as rows of x."""
        x = unseen(start)
        f = self.evaluate(x)
        x, f, first = self.survive(x, f, len(x))
        for _ in range(generations - 1):
            made = self.mate(x)
            if len(made) == 0:
                break
            both, values = numpy.concatenate([x, made]), self.evaluate(made)
            x, f, first = self.survive(both, numpy.concatenate([f, values]), self.size)
        return x[:first]


def minimize(problem, algorithm, termination, verbose=False):
    if problem.fix is not None or problem.acq.num_constr or problem.acq.num_obj < 2:
        raise NotImplementedError("more than a search without fixed inputs and constraints")
    search = Search(problem, algorithm)
    start = algorithm.initialization.sampling.get("X")
    start = numpy.array([[row[n] for n in search.names] for row in start], float)
    best = search.run(start, termination[1])
    return types.SimpleNamespace(X=[dict(zip(search.names, row)) for row in best.tolist()])


def apply():
    evolution_optimizer.minimize = minimize
