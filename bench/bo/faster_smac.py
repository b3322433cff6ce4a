"""SMAC3 with less Python: what its black-box facade spends its time in, written again.

Every value is that of the package, bit for bit, and every draw is taken from the same generator in
the same order, so that a run suggests the same points (for one PYTHONHASHSEED: SMAC sends some
configurations through a set). Where a space or a model is not of the kind meant here, the package's
own function runs.
"""

from __future__ import annotations

import faster_smac_model
import numpy as np
from ConfigSpace import Configuration
from ConfigSpace.hyperparameters import (
    CategoricalHyperparameter,
    UniformFloatHyperparameter,
    UniformIntegerHyperparameter,
)
from faster_smac_model import improvement, usual
from smac.acquisition.maximizer.local_and_random_search import LocalAndSortedRandomSearch
from smac.acquisition.maximizer.local_search import LocalSearch
from smac.main.smbo import SMBO


class Space:
    """The hyperparameters of a space as plain numbers; what the search below is for has only
    floats, integers and choices, and no conditions."""

    def __init__(self, space):
        self.space, self.params = space, list(space.values())
        self.kinds = [KINDS[type(p)](p) for p in self.params]
        self.moved = [(k, i) for i, k in enumerate(self.kinds) if self.params[i].size != 1]
        self.values = {
            i: {} for i, p in enumerate(self.params)
            if type(p) is CategoricalHyperparameter
            or (type(p) is UniformIntegerHyperparameter and p.size <= 100)
        }  # fmt: skip

    @staticmethod
    def of(space):
        """None where there is something else in it."""
        kept = space.__dict__.get("_faster")
        if kept is None or kept[0] != len(space):
            usual = not space.conditions and not space.forbidden_clauses
            usual = usual and all(type(p) in KINDS and fits(p) for p in space.values())
            kept = space._faster = len(space), Space(space) if usual else None
        return kept[1]

    def sample(self, n):
        """Rows of sample_configuration(n): it draws five of each parameter at a time."""
        rng, rounds = self.space.random, -(-n // 5)
        drawn = [[kind.sample(rng) for kind in self.kinds] for _ in range(rounds)]
        columns = [k.vectors(np.concatenate(c)) for k, c in zip(self.kinds, zip(*drawn))]
        return np.array(np.array(columns).T[:n], order="C")

    def __deepcopy__(self, memo):
        return self

    def value(self, i, vector):
        """The value that stands for number `vector` of parameter i."""
        known = self.values[i]
        if vector not in known:
            known[vector] = self.params[i].to_value(np.float64(vector))
        return known[vector]


def fits(param):
    return type(param) is not CategoricalHyperparameter or param.weights is None


STEPS = {}  # of a neighbourhood's width: those tried one after another


def steps(width):
    if width not in STEPS:
        STEPS[width] = np.linspace(width, 1.0, 9, endpoint=True).tolist()
    return STEPS[width]


class Float:
    """The neighbours of a float: UnitUniformContinuousDistribution.neighborhood."""

    give, again = 8, True  # neighbours to give in all; whether to draw more when those are used up

    def __init__(self, param):
        pass

    def draw(self, rng, at, width):
        found = None
        for step in steps(width):
            drawn = rng.normal(at, step, 160)
            if found is None:
                first = drawn[:40].tolist()
                if min(first) >= 0.0 and max(first) <= 1.0:
                    return first
            drawn = drawn[(drawn >= 0.0) & (drawn <= 1.0)]
            found = drawn if found is None else np.concatenate((found, drawn))
            if len(found) >= 40:
                return found[:40].tolist()
        raise ValueError("too few neighbours")

    def sample(self, rng):
        return rng.uniform(0.0, 1.0, 5)

    def vectors(self, drawn):
        return drawn


class Choice:
    """All others, shuffled by the parameter and once more by the neighbourhood."""

    again = False

    def __init__(self, param):
        self.size, self.give = param.size, param.size - 1

    def draw(self, rng, at, width):
        found = [float(i) for i in range(self.size) if i != int(at)]
        rng.shuffle(found)
        rng.shuffle(found)
        return found

    def sample(self, rng):
        return rng.randint(low=0, high=self.size, size=5, dtype=np.int64)

    def vectors(self, drawn):
        return drawn.astype(np.float64)


class Int:
    """The neighbours of an integer: all others of a few, else levels of normal numbers."""

    give = 8

    def __init__(self, param):
        self.param, self.size, self.again = param, param.size, param.size - 1 >= 8
        self.few, self.log, self.level_of = {}, param.log, {}
        levels = np.arange(self.size, dtype=np.float64) / (self.size - 1)
        if self.log:
            self.low, self.high = param._vector_dist.original_value_scale
            self.logs = np.log(self.low), np.log(self.high)
            logs = np.log(levels * (self.high - self.low) + self.low)
            levels = (logs - self.logs[0]) / (self.logs[1] - self.logs[0]) * 1.0 + 0.0
        self.table = levels

    def levels(self, x):
        """Which of the values each number in [0, 1] is rounded to."""
        if self.log:
            x = np.exp(x * (self.logs[1] - self.logs[0]) + self.logs[0])
            x = (x - self.low) / (self.high - self.low)
        return np.minimum(np.floor(x * self.size), self.size - 1).astype(np.intp)

    def draw(self, rng, at, width):
        if self.size <= 9:
            if at not in self.few:
                n = self.size - 1
                few = self.param._neighborhood(np.float64(at), n=n, seed=rng, std=width)
                self.few[at] = few.tolist()
            found = self.few[at].copy()
        else:
            found = self.sampled(rng, at, width)
        rng.shuffle(found)
        return found

    def sampled(self, rng, at, width):
        if at not in self.level_of:
            self.level_of[at] = int(self.levels(np.array([at]))[0])
        here = self.level_of[at]
        center, known, found = self.table[here], {here}, []
        for step in steps(width):
            drawn = rng.normal(center, step, 32)
            drawn = drawn[(drawn >= 0.0) & (drawn <= 1.0)]
            more = sorted(set(self.levels(drawn).tolist()) - known)
            rng.shuffle(more)
            known.update(more)
            found += more
            if len(found) >= 8:
                return self.table[found[:8]].tolist()
        raise ValueError("too few neighbours")

    def sample(self, rng):
        if self.log:
            return rng.uniform(0.0, 1.0, 5)
        return rng.randint(low=0, high=self.size, size=5, dtype=np.int64)

    def vectors(self, drawn):
        return self.table[self.levels(drawn) if self.log else drawn]


KINDS = {
    CategoricalHyperparameter: Choice, UniformFloatHyperparameter: Float,
    UniformIntegerHyperparameter: Int,
}  # fmt: skip


def neighbours(space, base, rng, width):
    """Index and number of what one neighbour after another has changed, in the order of
    get_one_exchange_neighbourhood."""
    moved = space.moved
    left = [kind.give for kind, _ in moved]
    drawn = [None] * len(moved)
    total, count = sum(left), len(moved)
    order, open_ = rng.randint(count, size=total).tolist(), count
    while open_:
        if not order:
            order = rng.randint(count, size=count * count * 2).tolist()
        for k in order:
            if not left[k]:
                continue
            kind, i = moved[k]
            if not drawn[k]:
                if drawn[k] is not None and not kind.again:
                    left[k] = 0
                    open_ -= 1
                    if open_:
                        continue
                    return
                drawn[k] = kind.draw(rng, base[i], width)
            left[k] -= 1
            if not left[k]:
                open_ -= 1
            yield i, drawn[k].pop()
            if not open_:
                return
        order = None


class Climb:
    """One local search of those that go on side by side."""

    def __init__(self, space, config, value, search):
        self.space, self.search = space, search
        self.config, self.base = config, config.get_array().tolist()
        self.value, self.active = value, True
        self.walks = self.better = 0
        self.obtain, self.width = search._vectorization_min_obtain, search._stdev_init
        self.rng = np.random.RandomState()
        self.seen = {i: set() for i in space.values}
        self.equal = []
        self.begin()

    def begin(self):
        self.rng.seed(self.search._rng.randint(low=0, high=100000))
        self.next = neighbours(self.space, self.base, self.rng, self.width).__next__

    def take(self):
        """What the next neighbours have changed; but for those that changed nothing or have been
        looked at."""
        base, seen, step, found = self.base, self.seen, self.next, []
        self.renew = self.improved = False
        for _ in range(self.obtain):
            try:
                i, number = pair = step()
            except ValueError:
                self.renew = True
                continue
            except StopIteration:
                self.renew = True
                self.obtain = len(found)
                break
            if number == base[i]:
                continue
            if i in seen:
                value = self.space.value(i, number)
                if value in seen[i]:
                    continue
                seen[i].add(value)
            found.append(pair)
        return found

    def move(self, pair):
        self.base = self.base.copy()
        self.base[pair[0]] = pair[1]
        self.config = None
        self.equal = []
        for s in self.seen.values():
            s.clear()

    def judge(self, found, values):
        """Goes to the first neighbour that is better."""
        if found and max(values) >= self.value:
            for pair, value in zip(found, values):
                if value > self.value:
                    self.move(pair)
                    self.value, self.improved, self.renew = value, True, True
                    break
                if value == self.value:
                    self.equal.append(pair)

    def go_on(self):
        search = self.search
        again = self.improved or not self.obtain
        self.obtain = 2 if again else min(self.obtain * 2, search._vectorization_max_obtain)
        if not self.renew:
            return
        self.better = self.better + 1 if self.improved else 0
        if self.better >= search._upscale_thresh and not self.walks:
            self.width, self.better = min(self.width * 2, search._faster_widest), 0
        if not self.improved and self.walks < search._n_steps_plateau_walk:
            if self.equal:
                self.move(self.equal[0])
            self.walks += 1
            if self.walks % search._downscale_interval == 0:
                self.width = max(self.width * 0.5, search._stdev_min)
        if self.walks >= search._n_steps_plateau_walk:
            self.active = False
        else:
            self.begin()


def search(self, start_points):
    """LocalSearch._search on rows of numbers; a configuration is made of what is found."""
    space = Space.of(start_points[0].config_space)
    if space is None or not usual(self._acquisition_function):
        return PLAIN["search"](self, start_points)
    widest = self._stdev_init * np.power(2, self._downscale_interval)
    self._faster_widest = widest if self._stdev_max is None else self._stdev_max
    rows = np.array([c.get_array() for c in start_points], dtype=np.float64)
    values = improvement(self._acquisition_function, rows).tolist()
    climbs = [Climb(space, c, v, self) for c, v in zip(start_points, values)]
    active, steps = climbs, 0
    while active and steps != self._max_steps:
        steps += 1
        found = [c.take() for c in active]
        rows = np.repeat([c.base for c in active], [len(f) for f in found], axis=0)
        if len(rows):
            pairs = [pair for f in found for pair in f]
            index, numbers = zip(*pairs)
            rows[np.arange(len(rows)), index] = numbers
            values, end = improvement(self._acquisition_function, rows).tolist(), 0
            for c, f in zip(active, found):
                start, end = end, end + len(f)
                c.judge(f, values[start:end])
        for c in active:
            c.go_on()
        active = [c for c in active if c.active]
    made = start_points[0].config_space
    return [
        (c.value, c.config or Configuration(made, vector=np.array(c.base))) for c in climbs
    ]  # fmt: skip


def maximize(self, previous_configs, n_points):
    """LocalAndSortedRandomSearch._maximize; only the best of the random points are made
    configurations."""
    space, function = Space.of(self._configspace), self._acquisition_function
    mixed = self._uniform_configspace is not None or n_points < 2
    if space is None or mixed or not usual(function):
        return PLAIN["maximize"](self, previous_configs, n_points)
    rows = space.sample(n_points)
    values = improvement(function, rows)
    order = np.lexsort((self._random_search._rng.rand(n_points), values))[::-1]
    starts = []
    for i in order[: self._local_search_iterations]:
        config = Configuration(self._configspace, vector=rows[i].copy())
        config.origin = "Acquisition Function Maximizer: Random Search (sorted)"
        starts.append((values[i], config))
    found = self._local_search._maximize(
        previous_configs=previous_configs, n_points=self._local_search_iterations,
        additional_start_points=starts,
    )  # fmt: skip
    found.sort(reverse=True, key=lambda pair: pair[0])
    return found


def deepcopy_config(self, memo):
    """For the target function; the space in it, generator and all, need not be another."""
    made = Configuration(
        self.config_space, vector=self._vector.copy(), origin=self.origin, config_id=self.config_id,
        allow_inactive_with_values=self.allow_inactive_with_values,
    )  # fmt: skip
    made._values = None if self._values is None else dict(self._values)
    return made


def save(self):
    """Nothing reads the files of a run, written again after each trial."""


PLAIN = {"search": LocalSearch._search, "maximize": LocalAndSortedRandomSearch._maximize}


def apply():
    faster_smac_model.apply()
    Configuration.__deepcopy__ = deepcopy_config
    SMBO.save = save
    LocalSearch._search = search
    LocalAndSortedRandomSearch._maximize = maximize
