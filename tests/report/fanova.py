"""Writes fanova_trials.inc: trials of a function with four parameters, and what Optuna's
FanovaImportanceEvaluator says of them, mean over ten seeds. Made with Optuna 4.9.0 and scikit-learn
1.9.1:  python tests/report/fanova.py > tests/report/fanova_trials.inc"""

import random

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.importance import FanovaImportanceEvaluator, get_param_importances

TRIALS, SEEDS = 120, 10
SPACE = {
    "x": FloatDistribution(-2, 3),
    "n": IntDistribution(1, 9),
    "act": CategoricalDistribution(["relu", "tanh", "gelu"]),
    "idle": FloatDistribution(0, 1),
}


def value(p):
    return (p["x"] - 1) ** 2 + 0.25 * p["n"] + {"relu": 0, "tanh": 1.5, "gelu": 0.5}[p["act"]]


def main():
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    draw = random.Random(3)
    study = optuna.create_study()
    for _ in range(TRIALS):
        p = {
            "x": draw.uniform(-2, 3),
            "n": draw.randint(1, 9),
            "act": draw.choice(["relu", "tanh", "gelu"]),
            "idle": draw.random(),
        }
        study.add_trial(optuna.trial.create_trial(params=p, distributions=SPACE, value=value(p)))
    mean = dict.fromkeys(SPACE, 0.0)
    for seed in range(SEEDS):
        evaluator = FanovaImportanceEvaluator(seed=seed)
        for name, x in get_param_importances(study, evaluator=evaluator, normalize=False).items():
            mean[name] += x / SEEDS
    print("/* Made by tests/report/fanova.py. */")
    said = ", ".join(f"{mean[k]:.6f}" for k in SPACE)
    print(f"static const double optuna_says[] = {{{said}}};")
    print("static const double trials[][5] = {")
    for t in study.trials:
        p = t.params
        act = SPACE["act"].choices.index(p["act"])
        print(f"    {{{p['x']!r}, {p['n']}, {act}, {p['idle']!r}, {t.value!r}}},")
    print("};")


main()
