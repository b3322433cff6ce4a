"""The problems of bench/bo: their least values, their instances, and the formulas in C beside the
same ones written here a second time."""

import math
import pathlib
import random
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(p) for p in (ROOT / "tests", ROOT / "bench" / "bo")]
import problems  # noqa: E402
from named import run_named  # noqa: E402

INSTANCES = (0, 1, 2, 7, 1000)


def branin(z):
    x, y = 15 * z[0] - 5, 15 * z[1]
    bowl = y - 5.1 * x**2 / (4 * math.pi**2) + 5 * x / math.pi - 6
    return bowl**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10


def hartmann(a, p):
    def value(z):
        bumps = [
            c * math.exp(-sum(w * (v - q / 1e4) ** 2 for w, v, q in zip(row, z, at)))
            for c, row, at in zip((1.0, 1.2, 3.0, 3.2), a, p)
        ]
        return -sum(bumps)

    return value


H3 = ((3, 10, 30), (0.1, 10, 35), (3, 10, 30), (0.1, 10, 35))
P3 = ((3689, 1170, 2673), (4699, 4387, 7470), (1091, 8732, 5547), (381.5, 5743, 8828))
H6 = (
    (10, 3, 17, 3.5, 1.7, 8), (0.05, 10, 17, 0.1, 8, 14),
    (3, 3.5, 1.7, 10, 17, 8), (17, 8, 0.05, 10, 0.1, 14),
)  # fmt: skip
P6 = (
    (1312, 1696, 5569, 124, 8283, 5886), (2329, 4135, 8307, 3736, 1004, 9991),
    (2348, 1451, 3522, 2883, 3047, 6650), (4047, 8828, 8732, 5743, 1091, 381),
)  # fmt: skip


def ackley(z):
    x = [60 * v - 25 for v in z]
    root = math.sqrt(sum(v * v for v in x) / len(x))
    waves = sum(math.cos(2 * math.pi * v) for v in x) / len(x)
    return -20 * math.exp(-0.2 * root) - math.exp(waves) + 20 + math.e


def levy(z):
    w = [1 + (20 * v - 11) / 4 for v in z]
    total = math.sin(math.pi * w[0]) ** 2
    total += sum((v - 1) ** 2 * (1 + 10 * math.sin(math.pi * v + 1) ** 2) for v in w[:-1])
    return total + (w[-1] - 1) ** 2 * (1 + math.sin(2 * math.pi * w[-1]) ** 2)


def rosenbrock(z):
    x = [15 * v - 5 for v in z]
    return sum(100 * (b - a**2) ** 2 + (1 - a) ** 2 for a, b in zip(x, x[1:]))


def rastrigin(z):
    x = [10.24 * v - 5.12 for v in z]
    return 10 * len(x) + sum(v * v - 10 * math.cos(2 * math.pi * v) for v in x)


def michalewicz(z):
    x = [math.pi * v for v in z]
    return -sum(math.sin(v) * math.sin((i + 1) * v * v / math.pi) ** 20 for i, v in enumerate(x))


FORMULAS = {
    "branin": branin, "hartmann3": hartmann(H3, P3), "hartmann6": hartmann(H6, P6),
    "ackley5": ackley, "ackley10": ackley, "levy5": levy, "rosenbrock5": rosenbrock,
    "rastrigin4": rastrigin, "michalewicz5": michalewicz,
}  # fmt: skip


def draw(problem, rng):
    """A point of the space, conditions aside."""
    x = []
    for p in problem.params:
        if p.type == problems.CHOICE:
            x.append(rng.randrange(p.choices))
        elif p.type == problems.INT:
            x.append(rng.randint(int(p.low), int(p.high)))
        else:
            x.append(rng.uniform(p.low, p.high))
    return x


def near(problem, x, rng, radius):
    """A neighbour of x within the box."""
    y = list(x)
    for i, p in enumerate(problem.params):
        if p.type == problems.FLOAT:
            step = rng.gauss(0, radius * (p.high - p.low))
            y[i] = min(p.high, max(p.low, x[i] + step))
        elif p.type == problems.INT and rng.random() < 0.2:
            y[i] = min(p.high, max(p.low, x[i] + rng.choice((-1, 1))))
        elif p.type == problems.CHOICE and rng.random() < 0.1:
            y[i] = rng.randrange(p.choices)
    return y


def formulas():
    """All but the real task, whose least value nobody knows."""
    return [name for name in problems.names() if name != "mnist"]


def every_instance():
    for name in formulas():
        for k in INSTANCES:
            yield problems.Problem(name, k)


def test_formulas_in_c_are_those_of_the_sources():
    rng = random.Random(1)
    for name, formula in FORMULAS.items():
        p = problems.Problem(name)
        for _ in range(200):
            z = [rng.random() for _ in p.params]
            got, want = p.value(z), formula(z)
            assert math.isclose(got, want, rel_tol=1e-12, abs_tol=1e-12), (name, z, got, want)


def test_the_least_value_is_taken_inside_the_box():
    for p in every_instance():
        x = p.solution()
        for q, v in zip(p.params, x):
            assert q.type == problems.CHOICE or q.low <= v <= q.high, (p.name, p.instance, q.name)
        # solutions are given to nine digits; the steepest is Branin's with curvature ~1e4
        assert abs(p.value(x) - p.least) < 1e-11, (p.name, p.instance, p.value(x) - p.least)


def test_nothing_is_below_the_least_value():
    """Random points, and steps about the best of them and about the solution."""
    rng = random.Random(2)
    for p in every_instance():
        best = min((draw(p, rng) for _ in range(300)), key=p.value)
        for start in (best, p.solution()):
            x, radius = start, 0.1
            for _ in range(300):
                y = near(p, x, rng, radius)
                assert p.value(y) > p.least - 1e-12, (p.name, p.instance, y)
                x, radius = (y, radius * 1.5) if p.value(y) < p.value(x) else (x, radius * 0.95)


def curvatures(p):
    """Trace and square sum of the Hessian at the solution, by central differences."""
    x, h, d = p.solution(), 1e-3, len(p.params)

    def at(*steps):
        y = list(x)
        for i, s in steps:
            y[i] += s
        return p.value(y)

    rows = [
        [(at((i, h), (j, h)) - at((i, h), (j, -h)) - at((i, -h), (j, h)) + at((i, -h), (j, -h)))
         / (4 * h * h) for j in range(d)] for i in range(d)
    ]  # fmt: skip
    return sum(rows[i][i] for i in range(d)), sum(v * v for row in rows for v in row)


def test_instances_are_turned_not_bent():
    """What no rotation changes: trace and square sum of the Hessian. Differences with h = 1e-3 are
    good to (h / length)^2; Rastrigin's waves, the shortest of these, are .1 long: 1 %."""
    for name in ("branin", "hartmann3", "hartmann6", "levy5", "rosenbrock5", "rastrigin4"):
        published = curvatures(problems.Problem(name))
        for k in INSTANCES[1:]:
            for a, b in zip(curvatures(problems.Problem(name, k)), published):
                assert abs(a - b) < 0.02 * abs(b), (name, k, a, b)


def test_instances_differ_and_stay():
    """Of any two instances the same point has different values; and the values of today."""
    for name in formulas():
        x = [0.3 if q.type == problems.FLOAT else 1 for q in problems.Problem(name).params]
        values = [problems.Problem(name, k).value(x) for k in INSTANCES]
        assert len(set(values)) == len(values), (name, values)
        for got, want in zip(values, KEPT[name]):
            assert math.isclose(got, want, rel_tol=1e-9), (name, values)


def test_noise_is_keyed_and_has_the_sd_it_says():
    for name in formulas():
        p = problems.Problem(name)
        x = p.solution()
        seen = [p.observe(x, 3, i) - p.value(x) for i in range(2000)]
        assert seen[5] == p.observe(x, 3, 5) - p.value(x)
        sd = math.sqrt(sum(v * v for v in seen) / len(seen))
        if p.noise == 0:
            assert sd == 0, name
            continue
        assert seen[5] != p.observe(x, 4, 5) - p.value(x)
        assert abs(sd / p.noise - 1) < 0.08, (name, sd)  # five times the error of 2000 draws
        assert abs(sum(seen)) / len(seen) < 5 * p.noise / math.sqrt(len(seen)), name


def test_choices_are_renamed_one_to_one():
    """Over its choices the mixed problem has the same set of least values in every instance."""
    sets = []
    for k in INSTANCES:
        p = problems.Problem("mixed-levy", k)
        x = p.solution()
        pairs = [(a, b) for a in range(4) for b in range(3)]
        sets.append(sorted(p.value(x[:4] + [a, b]) for a, b in pairs))
        assert sum(p.value(x[:4] + [a, b]) < 1e-9 for a, b in pairs) == 1
    for other in sets[1:]:
        assert len(other) == len(sets[0]) and other[0] < 1e-9 < other[1]


def test_left_out_parameters_are_not_read():
    rng = random.Random(3)
    for k in INSTANCES:
        p = problems.Problem("conditional", k)
        for _ in range(100):
            x = draw(p, rng)
            y = [v if p.active(i, x) else math.nan for i, v in enumerate(x)]
            assert p.value(x) == p.value(y)


def test_mnist_is_trained():
    """A sensible setting learns, a wild one does not, and instances are other tasks."""
    sensible, wild = [0.1, 0.05, 0.1, 1e-3, 1e-3, 1], [10, 10, 1e-3, 1e-3, 1e-3, 1]
    for k in (0, 1):
        p = problems.Problem("mnist", k)
        assert p.value(sensible) == p.value(sensible) < 0.6
        assert p.value(wild) == 5
    values = {problems.Problem("mnist", k).value(sensible) for k in (0, 1, 2)}
    assert len(values) == 3


# The point of .3 and ones, on INSTANCES.
KEPT = {
    "branin": (23.84656046, 173.2787954, 16.54858011, 21.35383596, 54.57130419),
    "hartmann3": (-0.6983228738, -0.1873221035, -0.7820733163, -2.255546595, -3.374843907),
    "hartmann6": (-1.018818056, -0.4386803865, -0.8085803016, -0.8387310657, -0.1416838893),
    "ackley5": (15.06806072, 21.07885209, 20.41717809, 20.84475798, 17.72454696),
    "ackley10": (15.06806072, 20.58477516, 20.37462082, 20.85941289, 20.82834305),
    "levy5": (12.70945541, 17.99331408, 54.58587185, 8.458075356, 35.37522362),
    "rosenbrock5": (234, 21316.2176, 50852.19952, 6125.480174, 155012.1303),
    "rastrigin4": (18.58263421, 52.76944785, 46.51919304, 82.96883908, 38.98368157),
    "michalewicz5": (-0.7435147499, -0.03206877148, -0.8238296372, -2.002584168, -0.01459829942),
    "mixed-levy": (45.76096402, 20.83466915, 38.68597486, 11.78752418, 28.59590999),
    "mixed-ackley": (17.08881101, 18.03119534, 17.07287836, 16.69076097, 18.47005216),
    "conditional": (0.2768821083, 1.18380417, 3.99228884, 1.316142164, 1.535745094),
    "branin-noisy": (23.84656046, 43.94018208, 28.76348844, 6.400350268, 12.77896391),
    "hartmann6-noisy": (-1.018818056, -0.01298381497, -1.448029365, -0.04723982111, -0.0895174082),
    "mixed-noisy": (45.76096402, 15.00719348, 32.92764596, 12.05243189, 6.195304079),
}  # fmt: skip


TESTS = [(f"problems_{n[5:]}", f) for n, f in list(globals().items()) if n.startswith("test_")]

if __name__ == "__main__":
    run_named(TESTS, sys.argv[1:])
