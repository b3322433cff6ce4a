"""SMAC3's Gaussian process written again for faster_smac.py: likelihood, fit, posterior, expected
improvement. The same operations on the same shapes in the same order as in smac, scikit-learn and
scipy, so the same values to the last bit; without copies of the kernel, checks and wrappers."""

from __future__ import annotations

import math

import numpy as np
from scipy.linalg.lapack import dpotrf, dpotrs, dtrtrs
from scipy.optimize import _lbfgsb
from scipy.spatial import _distance_pybind, _distance_wrap
from scipy.special import ndtr
from smac.acquisition.function.expected_improvement import EI
from smac.constants import VERY_SMALL_NUMBER
from smac.model.gaussian_process.gaussian_process import GaussianProcess
from smac.model.gaussian_process.kernels import (
    ConstantKernel,
    HammingKernel,
    MaternKernel,
    WhiteKernel,
)
from smac.model.gaussian_process.kernels.base_kernels import ProductKernel, SumKernel
from smac.model.gaussian_process.priors.abstract_prior import AbstractPrior
from smac.model.random_forest.random_forest import RandomForest

einsum = np._core.multiarray.c_einsum
ROOT5, ROOT_2_PI = math.sqrt(5), np.sqrt(2 * np.pi)
NONE_FOUND = 1e25  # what the package gives for a likelihood that is none
PLAIN = {
    "optimize": GaussianProcess._optimize, "predict": GaussianProcess.predict_marginalized,
    "train": RandomForest._train,
}  # fmt: skip


class Parts:
    """The parts of the facade's kernel, amplitude (Matern) (Hamming) + noise, and where in theta
    each has its parameters; None where a kernel is another one."""

    def __init__(self, kernel):
        product, self.noise = kernel.k1, kernel.k2
        self.amplitude, rest = product.k1, product.k2
        found = [rest.k1, rest.k2] if type(rest) is ProductKernel else [rest]
        self.matern = next((k for k in found if type(k) is MaternKernel), None)
        self.hamming = next((k for k in found if type(k) is HammingKernel), None)
        self.order = found

    @staticmethod
    def of(kernel):
        if type(kernel) is not SumKernel or type(kernel.k1) is not ProductKernel:
            return None
        p = Parts(kernel)
        usual = (
            type(p.amplitude) is ConstantKernel
            and type(p.noise) is WhiteKernel
            and p.order == [k for k in (p.matern, p.hamming) if k is not None]
            and p.matern is not None
            and p.matern.nu == 2.5
            and len(p.matern.operate_on) > 1
            and not any(k.has_conditions for k in (kernel, p.amplitude, p.noise, *p.order))
        )
        return p if usual else None


class Likelihood:
    """What GaussianProcess._nll gives, without a new kernel for each theta: -(log marginal
    likelihood + priors) and its gradient.

    The planes of the kernel's gradient are symmetric n x n matrices. The package adds up
    sum_ij M_ij G_ji with einsum, which for each j adds the terms over i one after another; in rows
    of the transpose that is a sum of rows, then a running sum.
    """

    def __init__(self, parts, x, y, priors):
        self.parts, self.priors = parts, [(i, q) for i, qs in enumerate(priors) for q in qs]
        self.y, self.n = y[:, np.newaxis], len(y)
        self.x = x[:, parts.matern.operate_on]  # columns apart, as the package has them
        rows = np.ascontiguousarray(self.x.T)
        self.apart2 = (rows[:, :, np.newaxis] - rows[:, np.newaxis, :]) ** 2
        self.dims, self.choices = len(rows), 0
        if parts.hamming is not None:
            rows = np.ascontiguousarray(x[:, parts.hamming.operate_on].T)
            self.differ = rows[:, :, np.newaxis] != rows[:, np.newaxis, :]
            self.choices = len(rows)
        size = 1 + self.dims + self.choices
        self.planes = np.empty((size, self.n, self.n))
        self.terms = np.empty_like(self.planes)
        self.constant = self.n / 2 * np.log(2 * np.pi)
        self.eye = np.eye(self.n)

    def matern(self, scale):
        """The kernel; its gradient goes to the planes."""
        dists = _distance_pybind.pdist_euclidean(self.x / scale)
        k = dists * ROOT5
        k = (1.0 + k + k**2 / 3.0) * np.exp(-k)
        square = np.zeros((self.n, self.n))
        _distance_wrap.to_squareform_from_vector_wrap(square, k)
        np.fill_diagonal(square, 1)
        d = np.divide(self.apart2, (scale**2)[:, np.newaxis, np.newaxis])
        root = np.sqrt(5 * np.add.reduce(d, axis=0))
        g = np.multiply(d, 5.0 / 3.0, out=self.planes[1 : 1 + self.dims])
        g *= root + 1
        g *= np.exp(-root)
        return square

    def hamming(self, scale):
        factor = -1 / (2 * scale**2)
        if self.choices == 1:
            k = np.exp(factor * self.differ[0])
            weights, cube = self.differ, 1 / scale**3
        else:
            k = np.exp(np.add.reduce(factor[:, np.newaxis, np.newaxis] * self.differ, axis=0))
            weights, cube = self.differ, (1 / scale**3)[:, np.newaxis, np.newaxis]
        g = np.multiply(k, weights, out=self.planes[1 + self.dims :])
        g *= cube
        return k

    def kernel(self, theta):
        """K without the noise, and the noise; the planes are the gradient's but for the noise."""
        end = 1 + self.dims
        amplitude, noise = np.exp(theta[0]), np.exp(theta[-1])
        k = self.matern(np.exp(theta[1:end]))
        if self.choices:
            scale = np.exp(theta[end:-1]) if self.choices > 1 else np.exp(theta[end])
            other = self.hamming(scale)
            self.planes[1:end] *= other
            self.planes[end:] *= k
            k = k * other
        self.planes[1:] *= amplitude
        return np.multiply(amplitude, k, out=self.planes[0]), noise

    def __call__(self, theta):
        k, noise = self.kernel(theta)
        k = k.copy()
        k.ravel()[:: self.n + 1] += noise
        lower, info = dpotrf(k.T, lower=1, overwrite_a=1, clean=1)
        if info:
            return NONE_FOUND, np.zeros(theta.shape)
        alpha, _ = dpotrs(lower, self.y, lower=1)
        value = -0.5 * einsum("ik,ik->k", self.y, alpha)[0]
        value -= np.log(lower.diagonal()).sum()
        value -= self.constant
        inverse, _ = dpotrs(lower, self.eye, lower=1)
        alpha = alpha[:, 0]
        inner = np.multiply.outer(alpha, alpha)
        inner -= inverse.T
        rows = np.empty((len(theta), self.n))
        np.add.reduce(np.multiply(self.planes, inner, out=self.terms), axis=1, out=rows[:-1])
        np.multiply(inner.diagonal(), noise, out=rows[-1])
        grad = 0.5 * np.add.accumulate(rows, axis=1)[:, -1]
        for i, prior in self.priors:
            value += prior.get_log_probability(theta[i])
            grad[i] += prior.get_gradient(theta[i])
        if not math.isfinite(value) or not np.isfinite(grad).all():
            return NONE_FOUND, np.zeros(theta.shape)
        return -value, -grad


def minimize(function, start, low, high):
    """fmin_l_bfgs_b with its defaults, for a function that gives value and gradient."""
    m, size = 10, len(low)
    x = np.array(np.clip(start, low, high), dtype=np.float64)
    f, g = np.array(0.0), np.zeros(size)
    work = np.zeros(2 * m * size + 5 * size + 11 * m * m + 8 * m)
    whole, bound = np.zeros(3 * size, dtype=np.int32), np.full(size, 2, dtype=np.int32)
    task, line = np.zeros(2, dtype=np.int32), np.zeros(2, dtype=np.int32)
    save = np.zeros(4, dtype=np.int32), np.zeros(44, dtype=np.int32), np.zeros(29)
    steps = calls = 0
    last = (None, None)
    while True:
        _lbfgsb.setulb(
            m, x, low, high, bound, f, g, 1e7, 1e-5, work, whole, task, *save, 20, line
        )  # fmt: skip
        if task[0] == 3:
            if last[0] is None or not np.array_equal(x, last[0]):
                last = (x.copy(), function(x.copy()))
                calls += 1
            f, g = last[1]
            g = g.astype(np.float64)
        elif task[0] == 1:
            steps += 1
            if steps >= 15000 or calls > 15000:
                task[0], task[1] = 5, 504 if steps >= 15000 else 502
        else:
            return x, f


def optimize(self):
    """GaussianProcess._optimize: from the last theta and from draws of the priors."""
    parts = Parts.of(self._gp.kernel)
    if parts is None:
        return PLAIN["optimize"](self)
    bounds = self._gp.kernel.bounds
    low, high = np.array(bounds[:, 0]), np.array(bounds[:, 1])
    starts = [self._gp.kernel.theta]
    if self._n_restarts > 0:
        columns = []
        for i, priors in enumerate(self._all_priors):
            if priors:
                columns.append(priors[0].sample_from_prior(self._n_restarts).flatten())
            else:
                columns.append(self._rng.uniform(low[i], high[i], size=(self._n_restarts,)))
        starts += list(np.vstack(columns).transpose())
    nll = Likelihood(parts, self._gp.X_train_, self._gp.y_train_, self._all_priors)
    best, found = np.inf, None
    for start in starts:
        theta, value = minimize(nll, start, low, high)
        if value < best:
            best, found = value, theta
    if found is None:
        raise RuntimeError
    return found


class Posterior:
    """Mean and variance at points of a model that is trained, as predict_marginalized has them."""

    def __init__(self, model, parts):
        gp = model._gp
        kernel = Parts.of(gp.kernel_)
        self.lower, self.alpha = gp.L_, gp.alpha_
        self.matern_on, self.scale = kernel.matern.operate_on, scale_of(kernel.matern)
        self.x = gp.X_train_[:, self.matern_on] / self.scale
        self.hamming_on = None
        if kernel.hamming is not None:
            self.hamming_on = kernel.hamming.operate_on
            self.factor = -1 / (2 * scale_of(kernel.hamming) ** 2)
            self.choices = gp.X_train_[:, self.hamming_on]
        self.amplitude = kernel.amplitude.constant_value
        self.prior = self.amplitude + kernel.noise.noise_level
        self.mean, self.std, self.least = model.mean_y_, model.std_y_, model._var_threshold
        self.std2 = model.std_y_**2

    def __call__(self, x):
        k = _distance_pybind.cdist_euclidean(x[:, self.matern_on] / self.scale, self.x)
        k *= ROOT5
        e = np.exp(-k)
        third = k**2
        third /= 3.0
        k += 1.0
        k += third
        k *= e
        if self.hamming_on is not None:
            differ = x[:, self.hamming_on][:, np.newaxis] != self.choices
            k *= np.exp((self.factor * differ).sum(axis=2))
        k *= self.amplitude
        mean = (k @ self.alpha) * self.std + self.mean
        v, info = dtrtrs(self.lower, k.T, lower=1, overwrite_b=1)
        if info:
            raise np.linalg.LinAlgError("singular matrix")
        var = self.prior - einsum("ij,ji->i", v.T, v)
        np.maximum(var, 0.0, out=var)
        std = np.sqrt(var)
        var = np.maximum(std * std, VERY_SMALL_NUMBER) * self.std2
        return mean, np.fmax(var, self.least)


def scale_of(kernel):
    return np.squeeze(kernel.length_scale).astype(float)


def posterior(model):
    """The model's Posterior, made anew after training; None where it is not of the kind."""
    if type(model) is not GaussianProcess or not model._is_trained or not model._normalize_y:
        return None
    if model._instance_features is not None or model._apply_pca:
        return None
    kept = model.__dict__.get("_faster")
    if kept is None or kept[0] is not model._gp.L_:
        parts = Parts.of(model._gp.kernel)
        kept = model._gp.L_, Posterior(model, parts) if parts else None
        model._faster = kept
    return kept[1]


def predict_marginalized(self, x):
    at = posterior(self)
    if at is None or len(x.shape) != 2 or x.shape[1] != self._n_hps or not np.isfinite(x).all():
        return PLAIN["predict"](self, x)
    mean, var = at(x)
    return mean.reshape(-1, 1), var.reshape(-1, 1)


def improvement(function, x):
    """EI.__call__ for rows instead of configurations, as a list."""
    at = posterior(function._model)
    mean, var = at(x)
    s = np.sqrt(var)
    gain = function._eta - mean - function._xi
    z = gain / s
    value = gain * ndtr(z) + s * (np.exp(-(z**2) / 2.0) / ROOT_2_PI)
    if (value < 0).any():
        raise ValueError("Expected Improvement is smaller than 0 for at least one sample.")
    value[np.isnan(value)] = -np.finfo(float).max
    return value


def usual(function):
    return type(function) is EI and not function._log and posterior(function._model) is not None


def deepcopy_prior(self, memo):
    """A prior of a cloned kernel is never drawn from: it need not be another."""
    return self


def train_forest(self, x, y):
    """RandomForest._train; scikit-learn makes room for all the leaves allowed, 2**20 a tree, where
    there cannot be more than points."""
    options = self._rf_opts
    leaves = min(options["max_leaf_nodes"], max(len(x), 2))
    self._rf_opts = {**options, "max_leaf_nodes": leaves}
    try:
        return PLAIN["train"](self, x, y)
    finally:
        self._rf_opts = options


def apply():
    RandomForest._train = train_forest
    AbstractPrior.__deepcopy__ = deepcopy_prior
    GaussianProcess._optimize = optimize
    GaussianProcess.predict_marginalized = predict_marginalized
