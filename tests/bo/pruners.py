#!/usr/bin/env python3
"""Prints tests/bo/pruned_studies.inc: studies with Optuna 4.9.0's pruners, in which four trials at
a time report, and what was decided after each report. Run in an environment with
`pip install optuna==4.9.0`."""

import math
import random
import warnings

import optuna
from optuna.pruners import HyperbandPruner, MedianPruner, SuccessiveHalvingPruner

warnings.simplefilter("ignore")
optuna.logging.set_verbosity(optuna.logging.ERROR)

SEED, WORKERS, MASK = 5, 4, 0xFFFFFFFF


def site(path):
    h = 2166136261
    for c in path.encode():
        h = (h ^ c) * 16777619 & MASK
    return h


def philox(number):
    """Uniform in [0, 1) for the bracket of trial `number`: Philox4x32-10 (Salmon et al., 2011)."""
    c, k = [number & MASK, number >> 32, 0, site("pruner/bracket")], [SEED & MASK, SEED >> 32]
    for _ in range(10):
        p, q = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [q >> 32 ^ c[1] ^ k[0], q & MASK, p >> 32 ^ c[3] ^ k[1], p & MASK]
        k = [k[0] + 0x9E3779B9 & MASK, k[1] + 0xBB67AE85 & MASK]
    return ((c[1] << 32 | c[0]) >> 11) * 2.0**-53


class Hyperband(HyperbandPruner):
    """With our draw in place of the checksum of the study's name."""

    def _get_bracket_id(self, study, trial):
        if not self._pruners:
            return 0
        left = philox(trial.number) * self._total_trial_allocation_budget
        for b, budget in enumerate(self._trial_allocation_budgets):
            left -= budget
            if left < 0:
                return b
        raise AssertionError


# options as in pruner.h: kind, startup, warmup, interval, min, max, reduction; then the pruner, the
# number of trials
SETS = [
    ("MEDIAN, 3, 0, 1, 0, 0, 0", MedianPruner(3, 0, 1), 24),
    ("MEDIAN, 5, 4, 3, 0, 0, 0", MedianPruner(5, 4, 3), 24),
    ("ASHA, 0, 0, 0, 1, 0, 2", SuccessiveHalvingPruner(1, 2), 30),
    ("ASHA, 0, 0, 0, 2, 0, 3", SuccessiveHalvingPruner(2, 3), 30),
    ("ASHA, 0, 0, 0, 1, 0, 4", SuccessiveHalvingPruner(1, 4), 40),
    ("HYPERBAND, 0, 0, 0, 1, 27, 3", Hyperband(1, 27, 3), 40),
    ("HYPERBAND, 0, 0, 0, 2, 16, 2", Hyperband(2, 16, 2), 40),
    ("HYPERBAND, 0, 0, 0, 1, 20, 4", Hyperband(1, 20, 4), 40),
]
LAST = 20


class Run:
    """One trial: a curve that falls to its level, with gaps, NaN, failures."""

    def __init__(self, study, rng):
        self.trial, self.step = study.ask(), rng.choice((0, 0, 1))
        self.level, self.rate = rng.uniform(0, 1), rng.uniform(0.1, 0.5)
        self.sick = rng.random() < 0.1

    def go_on(self, study, rng):
        """One report; (trial, step, value in thousandths or NONE, what came of it)."""
        value = round(1000 * (self.level + math.exp(-self.rate * self.step)) + rng.gauss(0, 60))
        nan = rng.random() < (0.5 if self.sick else 0.02)
        self.trial.report(math.nan if nan else value / 1000, self.step)
        what = "PRUNE" if self.trial.should_prune() else "GO_ON"
        event = (self.trial.number, self.step, "NONE" if nan else value, what)
        if what == "PRUNE":
            study.tell(self.trial, state=optuna.trial.TrialState.PRUNED)
            return event, True
        if self.step == LAST:
            study.tell(self.trial, value / 1000)
            return (*event[:3], "COMPLETE"), True
        if rng.random() < 0.01:
            study.tell(self.trial, state=optuna.trial.TrialState.FAIL)
            return (*event[:3], "FAILED"), True
        gap = self.step >= 4 and rng.random() < 0.3  # never over two rungs at once
        self.step = min(LAST, self.step + 1 + gap)
        return event, False


def events(pruner, trials):
    rng = random.Random(trials)
    study = optuna.create_study(pruner=pruner, sampler=optuna.samplers.RandomSampler(0))
    runs, begun = [], 0
    while runs or begun < trials:
        if begun < trials and len(runs) < WORKERS:
            runs.append(Run(study, rng))
            begun += 1
        run = rng.choice(runs)
        event, ended = run.go_on(study, rng)
        if ended:
            runs.remove(run)
        yield event


def main():
    print(f"/* Made by tests/bo/pruners.py with Optuna {optuna.__version__}, after each report:")
    print(" * {trial, step, value in thousandths, what was decided or came of it}. */")
    print("/* clang-format off */")
    print(f"enum {{ STUDY_SEED = {SEED} }};")
    for i, (_, pruner, trials) in enumerate(SETS):
        rows = list(events(pruner, trials))
        print(f"static const event events_{i}[] = {{")
        for k in range(0, len(rows), 3):
            cells = (f"{{{t}, {s}, {v}, {w}}}," for t, s, v, w in rows[k : k + 3])
            print("   ", *cells)
        print("};")
    print("static const struct {\n    pruner_options options;\n    const event *events;")
    print("    size_t n;\n} studies[] = {")
    for i, (options, *_) in enumerate(SETS):
        kind, *rest = options.split(", ")
        numbers = ", ".join(rest)
        print(f"    {{{{PRUNER_{kind}, STUDY_SEED, {numbers}}},")
        print(f"     events_{i}, COUNT(events_{i})}},")
    print("};\n/* clang-format on */")


if __name__ == "__main__":
    main()
