#!/usr/bin/env python3
"""Prints tests/space/distributions.inc: what Optuna 4.9.0 writes for distributions, and what it
reads from older forms. Run in an environment with `pip install optuna==4.9.0`."""

import json
import math
import random
import warnings

import optuna
from optuna.distributions import CategoricalDistribution as C
from optuna.distributions import FloatDistribution as F
from optuna.distributions import IntDistribution as I
from optuna.distributions import distribution_to_json, json_to_distribution
from optuna.distributions import _convert_old_distribution_to_new_distribution as convert

warnings.simplefilter("ignore")
optuna.logging.set_verbosity(optuna.logging.ERROR)


def quoted(s):
    return '"' + s.replace("\\", "\\\\").replace('"', '\\"') + '"'


def number(x):
    return repr(float(x))


def floats():
    yield from (F(0, 1), F(1e-5, 1.0, log=True), F(-0.0, 0.1), F(0.1, 0.3, step=0.1))
    yield from (F(0, 1, step=0.3), F(-1.5, 2.5, step=0.25), F(1, 1), F(1e16, 1e22))
    yield from (F(-1e-7, 1e-7, step=3e-9), F(0.1, 0.7, step=0.2), F(5e-324, 1.7e308, log=True))
    yield from (F(0.05, 0.95, step=0.1), F(0.1234567890123456, 7.5, step=1e-3))
    rng = random.Random(1)
    for _ in range(40):
        low = round(rng.uniform(-10, 10), rng.randrange(6))
        high = low + rng.uniform(0.1, 20)
        yield F(low, high, step=round(rng.uniform(0.01, 0.9), rng.randrange(2, 6)))
    for _ in range(20):
        low = 10 ** rng.uniform(-300, 300)
        yield F(low, low * rng.uniform(1, 1e6), log=True)


def ints():
    yield from (I(1, 8), I(1, 1024, log=True), I(0, 10, step=3), I(-7, 7, step=4), I(5, 5))
    yield from (I(-(2**53), 2**53), I(1, 2**53, step=7))


TEXTS = ["relu", 'a"b\\c', "caf\u00e9", "\U0001f600 x", "\t\n\r\b\f\x01\x7f", "", "/", "\u2028"]
CHOICES = [
    ["relu", "tanh"],
    [None, True, False, 0, 1, -3, 0.5, 1e-5, 1e16, -0.0, "x"],
    TEXTS,
    [2**70, 1e300, "1"],
    [math.inf, -math.inf, math.nan],
]

OLD = [
    '{"name": "UniformDistribution", "attributes": {"low": 0.0, "high": 1.0}}',
    '{"name": "LogUniformDistribution", "attributes": {"low": 0.001, "high": 10}}',
    '{"name": "DiscreteUniformDistribution", "attributes": {"low": 0.0, "high": 1.0, "q": 0.3}}',
    '{"name": "IntUniformDistribution", "attributes": {"low": 1, "high": 10, "step": 2}}',
    '{"name": "IntUniformDistribution", "attributes": {"low": 1, "high": 10}}',
    '{"name": "IntLogUniformDistribution", "attributes": {"low": 1, "high": 10, "step": 1}}',
    '{"name": "CategoricalDistribution", "attributes": {"choices": ["a", 1, null]}}',
    '{"type": "float", "low": 0.0, "high": 1.0}',
    '{"type": "float", "low": 0.5, "high": 1, "log": true}',
    '{"type": "float", "low": 0.0, "high": 1.0, "step": 0.4}',
    '{"type": "int", "low": 1, "high": 7}',
    '{"type": "int", "low": 1, "high": 7, "log": true}',
    '{"type": "int", "low": 1, "high": 7, "step": 4}',
    '{"type": "categorical", "choices": [1e-3, true, "\\u00e9"]}',
    ' { "attributes" : {"high":2,"low":1,"log":false,"step":1} ,"name":"IntDistribution" } ',
    '{"name": "FloatDistribution", "attributes": {"step": 0.15, "high": 1, "low": 0}}',
]


def main():
    print("/* Made by tests/space/distributions.py with Optuna", optuna.__version__, "*/")
    print("/* clang-format off */")
    print("/* low, high, step, log, what Optuna writes */")
    for name, make in (("floats", floats), ("ints", ints)):
        print(f"static const number_row {name}[] = {{")
        for d in make():
            step = d.step if d.step is not None else 0
            # half a step too far: Optuna must bring it back
            high = d.high + (step // 2 if name == "ints" else step * 0.5)
            far = type(d)(d.low, high, d.log, d.step)
            assert distribution_to_json(far) == distribution_to_json(d), (far, d)
            row = ", ".join(number(x) for x in (d.low, high, step))
            print(f"    {{{row}, {str(d.log).lower()}, {quoted(distribution_to_json(d))}}},")
        print("};")
    print("/* choices as JSON texts, what Optuna writes */")
    print("static const choices_row categoricals[] = {")
    for choices in CHOICES:
        cells = ", ".join(quoted(json.dumps(c, ensure_ascii=False)) for c in choices)
        print(f"    {{{{{cells}}}, {quoted(distribution_to_json(C(choices)))}}},")
    print("};")
    print("/* stored long ago or shortly, what Optuna makes of it */")
    print("static const old_row olds[] = {")
    for old in OLD:
        new = distribution_to_json(convert(json_to_distribution(old), suppress_warning=True))
        print(f"    {{{quoted(old)}, {quoted(new)}}},")
    print("};")
    print("/* clang-format on */")


main()
