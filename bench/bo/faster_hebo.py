"""HEBO with less Python: the search and the model on whole arrays.

What of HEBO 0.3.6, pymoo and GPyTorch is nothing but bookkeeping (an object an individual, a lazy
operator a matrix, a hook a step) is left out. The arithmetic is done in the order of the packages
and every draw is made from the same generator in the same order, so that a run suggests the same
points. What is never met in bench/bo (fixed inputs, constraints, spaces without two numbers) is
refused."""

import math
import types
from typing import List

import gpytorch
import numpy
import torch
import torch.nn.functional as F
from hebo.acq_optimizers import evolution_optimizer
from hebo.acquisitions import acq as acquisitions
from hebo.models import model_factory
from hebo.models.gp import gp as models
from linear_operator.utils.errors import NanError, NotPSDError
from pymoo.algorithms.moo.nsga2 import calc_crowding_distance
from pymoo.core.problem import Problem
from pymoo.core.variable import Choice, Real, get
from pymoo.util.function_loader import load_function
from pymoo.util.randomized_argsort import randomized_argsort


EPS = torch.finfo(torch.float32).eps


class Group:
    """What pymoo crosses and mutates together: all reals, all integers, each choice."""

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
    """A row's bytes each; no row has a -0 or a NaN."""
    x = numpy.ascontiguousarray(x)
    return x.view(f"V{x.itemsize * x.shape[1]}").ravel().tolist()


def unseen(x, *others):
    """Of equal rows the last, and none that is in others."""
    taken = {k for other in others for k in keys(other)}
    rows = keys(x)
    last = {k: i for i, k in enumerate(rows)}
    keep = [i for i, k in enumerate(rows) if last[k] == i and k not in taken]
    return x[keep]


def crowding(f):
    """calc_crowding_distance, which looks for equal points among all pairs."""
    apart = len(f) > 2 and (numpy.diff(numpy.sort(f[:, 0])) > 1e-30).all()
    return calc_crowding_distance(f, filter_out_duplicates=not apart)


class Search:
    """NSGA-II as EvolutionOpt sets it up. x: (individuals, variables), as in problem.vars."""

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
        self.fronts = load_function("fast_non_dominated_sort")

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
        kept, first = [], 0
        for front in self.fronts(f):
            if len(kept) + len(front) > most:
                room = crowding(f[front, :])
                order = randomized_argsort(room, order="descending", method="numpy")
                front = numpy.array(front)[order[: most - len(kept)]]
            first = first or len(front)
            kept.extend(front)
            if len(kept) == most:
                break
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


# The model: training without lazy operators, predictions from what the fit leaves


class Deferred:
    """A call of the model in training, which only its likelihood looks into."""

    def __init__(self, model, x):
        self.model, self.x = model, x


class Model(models.GPyTorchModel):
    def __call__(self, *x):
        return Deferred(self, x) if self.training else super().__call__(*x)


class Loss:
    """What HEBO's closure multiplies by -1 and calls backward of; nobody reads its value."""

    def __init__(self, likelihood, call, y):
        self.likelihood, self.call, self.y = likelihood, call, y

    def __rmul__(self, _minus):
        return self

    def backward(self):
        model, x = self.call.model, self.call.x
        if not self.known(model, x):
            plain = super(Likelihood, self.likelihood).__call__
            (-1 * plain(super(Model, model).__call__(*x), self.y)).backward()  # with jitter

    def known(self, model, x):
        """Writes the gradient below; False where the matrix has no root."""
        kernels = model.cov.base_kernel.kernels
        tables = [e.weight for e in model.fe.emb_trans.emb] if x[1].shape[1] else []
        if kernels[0].ard_num_dims in (None, 1) or len(kernels) != 1 + bool(tables):
            raise NotImplementedError("a space without two numbers")
        params = [
            model.likelihood.noise_covar.raw_noise, model.mean.raw_constant,
            model.cov.raw_outputscale, *(k.raw_lengthscale for k in kernels), *tables,
        ]  # fmt: skip
        bare = [p.detach() for p in params]
        with torch.no_grad():
            found = gradient(*x, self.y, bare, self.likelihood.constants)
        for p, g in zip(params, found):
            p.grad = g
        return len(found) > 0


class Likelihood(gpytorch.mlls.ExactMarginalLogLikelihood):
    def __init__(self, likelihood, model):
        super().__init__(likelihood, model)
        of_noise, of_scale = (prior for _, _, prior, _, _ in model.named_priors())
        normal = of_noise.base_dist
        self.constants = [
            likelihood.noise_covar.raw_noise_constraint.lower_bound, normal.loc, normal.scale,
            of_scale.concentration, of_scale.rate,
        ]  # fmt: skip

    def __call__(self, call, y):
        return Loss(self, call, y)


def shrink(gradient, raw):
    return torch.ops.aten.softplus_backward(gradient, raw, 1.0, 20.0)


@torch.jit.script
class Matern:
    """Matern 3/2 of all pairs of rows, by GPyTorch's way to a square distance; two copies of the
    rows, as autograd sees them."""

    def __init__(self, x: torch.Tensor, raw_lengths: torch.Tensor):
        self.raw = raw_lengths
        self.lengths = F.softplus(raw_lengths)
        self.left = x - x.mean(dim=-2, keepdim=True)
        z = self.left / self.lengths
        self.z = z - z.mean(dim=-2, keepdim=True)
        norms = self.z.pow(2).sum(dim=-1, keepdim=True)
        ones = torch.ones_like(norms)
        self.a = torch.cat([self.z * -2.0, norms, ones], dim=-1)
        self.b = torch.cat([self.z, ones, norms], dim=-1)
        self.square = self.a.mm(self.b.transpose(-2, -1))
        self.positive = self.square.clamp_min(0)
        self.far = self.positive.clamp_min(1e-30).sqrt()
        self.fall = torch.exp(self.far * -math.sqrt(3.0))
        self.line = self.far * math.sqrt(3.0) + 1
        self.value = self.line * self.fall

    def back(self, g: torch.Tensor):
        """Of raw_lengths, and of each copy of the rows divided by the lengths."""
        n, d, rise = self.z.size(0), self.z.size(1), math.sqrt(3.0)
        of_far = g * self.fall * rise + g * self.line * self.fall * -rise
        of_square = of_far / (self.far * 2)
        zero = torch.zeros([], dtype=g.dtype)
        of_square = torch.where(self.positive >= 1e-30, of_square, zero)
        of_square = torch.where(self.square >= 0, of_square, zero)
        of_b = of_square.t().mm(self.a)
        of_a = of_square.mm(self.b)
        twice = self.z * 2.0
        second = of_b[:, :d] + of_b[:, d + 1 :] * twice
        first = of_a[:, :d] * -2.0 + of_a[:, d : d + 1] * twice
        shift = (-second).sum(dim=[0], keepdim=True) + (-first).sum(dim=[0], keepdim=True)
        first = first + shift.expand(n, d) / n
        ratio = self.left / self.lengths / self.lengths
        over = [0, 1] if self.lengths.size(1) == 1 else [0]
        of_lengths = shrink((-second * ratio).sum(dim=over, keepdim=True), self.raw)
        of_lengths = of_lengths + shrink((-first * ratio).sum(dim=over, keepdim=True), self.raw)
        return of_lengths, first, second


@torch.jit.script
def gradient(x, choices, y, params: List[torch.Tensor], constants: List[torch.Tensor]):
    """Of - log p(y) / n in params (noise, mean, output scale, lengthscales, then of the choices'
    kernel, and a table of each choice): the sums of autograd in its order. Empty: no root."""
    raw_noise, mean, raw_scale = params[0], params[1], params[2]
    n, tables = x.size(0), params[5:]
    least, middle, spread, shape, rate = (
        constants[0], constants[1], constants[2], constants[3], constants[4],
    )  # fmt: skip
    noise = F.softplus(raw_noise) + least
    scale = F.softplus(raw_scale)
    numbers = Matern(x, params[3])
    kernel, other = numbers.value, numbers
    if len(tables) > 0:
        seen = [F.embedding(choices[:, i], t) for i, t in enumerate(tables)]
        other = Matern(torch.cat(seen, dim=1), params[4])
        kernel = kernel * other.value
    matrix = kernel * scale.view(1, 1) + torch.diag_embed(noise.expand(n))
    root, failed = torch.linalg.cholesky_ex(matrix)
    if bool(failed.any()):
        return torch.jit.annotate(List[torch.Tensor], [])
    rows = root.contiguous()
    u = torch.linalg.solve_triangular(rows, (y - mean).unsqueeze(-1), upper=False)

    g = torch.ones_like(mean) * -1 / n
    of_scale = shrink(-g * rate + g * (shape - 1) / scale, raw_scale)
    bend = -(g.unsqueeze(0) / (spread.pow(2) * 2)) * ((noise.log() - middle) * 2.0)
    of_noise = shrink((bend + -g) / noise, raw_noise)
    h = g * -0.5
    diagonal = rows.diagonal()
    back = torch.linalg.solve_triangular(rows.transpose(-2, -1), h * (u * 2.0), upper=True)
    of_root = torch.diag_embed(h / diagonal.pow(2) * (diagonal * 2.0))
    of_root = of_root + (-back.mm(u.transpose(-2, -1))).tril()
    turned = root.transpose(-2, -1)
    half = turned.mm(of_root).tril()
    half = (half + half.tril(-1).transpose(-2, -1)) * 0.5
    half = torch.linalg.solve_triangular(turned, half, upper=True)
    whole = torch.linalg.solve_triangular(root, half, upper=False, left=False)
    of_noise = of_noise + shrink(whole.diagonal().sum(dim=[0], keepdim=True), raw_noise)
    of_scale = of_scale + shrink((whole * kernel).sum(dim=[0, 1], keepdim=True).view([]), raw_scale)
    of_mean = (-back.squeeze(-1)).sum(dim=[0], keepdim=True).squeeze(-1)
    whole = whole * scale.view(1, 1)
    if len(tables) == 0:
        return [of_noise, of_mean, of_scale, numbers.back(whole)[0]]
    of_lengths = numbers.back(whole * other.value)[0]
    of_other, first, second = other.back(whole * numbers.value)
    first, second = first / other.lengths, second / other.lengths
    shift = (-second).sum(dim=[0], keepdim=True) + (-first).sum(dim=[0], keepdim=True)
    of_rows = second + (first + shift.expand_as(first) / n)
    found = [of_noise, of_mean, of_scale, of_lengths, of_other]
    at = 0
    for i, t in enumerate(tables):
        part = of_rows[:, at : at + t.size(1)]
        found.append(
            torch.ops.aten.embedding_dense_backward(part, choices[:, i], t.size(0), -1, False)
        )
        at += t.size(1)
    return found


@torch.jit.script
def descend(
    params: List[torch.Tensor], gradients: List[torch.Tensor], squares: List[torch.Tensor],
    lr: float, alpha: float, eps: float, factor: float, noisy: bool,
):  # fmt: skip
    for p, g, s in zip(params, gradients, squares):
        s.mul_(alpha).addcmul_(g, g, value=1 - alpha)
        p.addcdiv_(g, s.sqrt().add_(eps), value=-lr)
    if noisy:
        for p, s in zip(params, squares):
            spread = (s.sqrt().add_(eps).reciprocal() * (2 * lr)).sqrt()
            p.add_(spread * factor * torch.randn_like(p))


class Descent:
    """pSGLD (HEBO's sgld.py over torch's RMSprop) without their hooks."""

    def __init__(self, params, lr, factor, pretrain_step, alpha=0.99, eps=1e-8):
        self.params, self.quiet = list(params), pretrain_step
        self.squares = [torch.zeros_like(p) for p in self.params]
        self.numbers = lr, alpha, eps, factor

    def zero_grad(self):
        for p in self.params:
            p.grad = None

    def step(self, closure):
        closure()
        self.quiet -= 1
        moved = [(p.detach(), p.grad, s) for p, s in zip(self.params, self.squares)]
        with torch.no_grad():
            descend(*map(list, zip(*moved)), *self.numbers, self.quiet < 0)


@torch.jit.script
def posterior(
    x, choices, columns: List[torch.Tensor], lengths: List[torch.Tensor],
    train: List[torch.Tensor], tables: List[torch.Tensor], caches: List[torch.Tensor],
    least: float, eps: float,
):  # fmt: skip
    """Mean and variance. columns, lengths, train: of each kernel; caches: see GP.prepare."""
    weights, root, scale, constant = caches[0], caches[1], caches[2], caches[3]
    shrink, shift, middle, spread = caches[4], caches[5], caches[6], caches[7]
    seen = [(shrink * x + shift).contiguous()]
    for i, t in enumerate(tables):
        seen.append(F.embedding(choices[:, i], t))
    x = torch.cat(seen, dim=1)
    product = torch.ones([])
    for i, part in enumerate(columns):
        mine = x.index_select(-1, part)
        mean = mine.mean(dim=-2, keepdim=True)
        far = torch.cdist((mine - mean).div(lengths[i]), (train[i] - mean).div(lengths[i]))
        far = far.clamp_min(1e-15) * math.sqrt(3.0)
        product = product * ((far + 1) * torch.exp(-far))
    product = product * scale.view(1, 1)
    known = product.mm(root)
    variance = scale - known.mm(known.transpose(-2, -1)).diagonal()
    variance = variance.clamp_min(least).unsqueeze(-1) * spread.pow(2)
    mean = (product.mm(weights).squeeze(-1) + constant).unsqueeze(-1)
    return mean * spread + middle, variance.clamp(min=eps)


@torch.jit.script
def mace(mean, variance, noise, goal: float, kappa: float, eps: float):
    """MACE.eval: the lower bound, and - log of the expected and of the probable improvement."""
    sd = variance.sqrt().clamp(min=eps)
    bound = (mean + noise * torch.randn(mean.shape)) - kappa * sd
    normed = (goal - mean - noise * torch.randn(mean.shape)) / sd
    density = -(normed.pow(2)) / 2 - math.log(math.sqrt(2 * math.pi))
    likely = 0.5 * (1 + torch.erf(normed / math.sqrt(2.0)))
    gain = sd * (likely * normed + density.exp())
    far_gain = sd.log() - 0.5 * normed.pow(2) - (normed.pow(2) - 1).log()
    far_likely = -0.5 * normed.pow(2) - torch.log(-1 * normed)
    far_likely = far_likely - torch.log(torch.sqrt(torch.tensor(2 * math.pi)))
    near = (normed > -6) & torch.isfinite(gain.log()) & torch.isfinite(likely.log())
    near = near.reshape(-1)
    out = torch.zeros([mean.size(0), 3])
    out[:, 0] = bound.reshape(-1)
    for i, (far, log_of) in enumerate([(far_gain, gain), (far_likely, likely)]):
        column = torch.zeros([mean.size(0)])
        column[~near] = -1 * far[~near].reshape(-1)
        column[near] = -1 * log_of[near].log().reshape(-1)
        out[:, 1 + i] = column
    return out


class GP(models.GP):
    def fit(self, *data):
        super().fit(*data)
        self.shared = None

    def prepare(self):
        """What every prediction of a fit shares, GPyTorch's caches among it."""
        plan, gp, kernels = self.gp.prediction_strategy, self.gp, self.gp.cov.base_kernel.kernels
        self.spread, self.shared = math.sqrt(2.0) * self.noise.sqrt(), ()
        try:
            weights, root = plan.mean_cache.unsqueeze(-1), plan.covar_cache
        except (NanError, NotPSDError):
            return
        train = gp.fe(self.Xc, self.Xe)
        caches = [
            weights, root, gp.cov.outputscale, gp.mean.constant,
            self.xscaler.scale_, self.xscaler.min_, self.yscaler.mean, self.yscaler.std,
        ]  # fmt: skip
        self.shared = (
            [k.active_dims for k in kernels], [k.lengthscale for k in kernels],
            [train.index_select(-1, k.active_dims) for k in kernels],
            [e.weight for e in gp.fe.emb_trans.emb] if self.Xe.shape[1] else [],
            caches, gpytorch.settings.min_variance.value(torch.float32), EPS,
        )  # fmt: skip

    def predict(self, numbers, choices):
        if torch.is_grad_enabled() or self.gp.prediction_strategy is None:
            return super().predict(numbers, choices)
        if self.shared is None:
            self.prepare()
        if not self.shared:  # no root at all: the package goes on without a model
            return super().predict(numbers, choices)
        return posterior(numbers, choices, *self.shared)


def evaluate(acquisition, numbers, choices):
    with torch.no_grad():
        found, model = acquisition.model.predict(numbers, choices), acquisition.model
        goal = float(acquisition.tau - acquisition.eps)
        return mace(*found, model.spread, goal, float(acquisition.kappa), EPS)


torch._C._jit_set_profiling_executor(False)  # no specialising to shapes that change at each fit
torch._C._jit_set_profiling_mode(False)


def apply():
    evolution_optimizer.minimize = minimize
    acquisitions.MACE.eval = evaluate
    models.GPyTorchModel, models.pSGLD = Model, Descent
    gpytorch.mlls.ExactMarginalLogLikelihood = Likelihood
    model_factory.model_dict["gp"] = GP
