#!/usr/bin/env python3
"""A small network that learns which points lie in a circle, in plain Python: what a trial runs.

Parameters come as one JSON object on standard input. Each line of JSON with "step" and "value" is
an intermediate value, the last one is the result. What is in DRMAD_TRIAL_DIR when the trial is
stopped (SIGTERM) is there when it goes on, here or elsewhere."""

import json
import math
import os
import pathlib
import random
import signal
import sys

EPOCHS, POINTS = 12, 60


def examples(seed, n):
    rng = random.Random(seed)
    points = [(rng.uniform(-1, 1), rng.uniform(-1, 1)) for _ in range(n)]
    return [(x, y, float(x * x + y * y < 0.5)) for x, y in points]


def forward(net, x, y):
    hidden = [math.tanh(a * x + b * y + c) for a, b, c, _ in net]
    return hidden, 1 / (1 + math.exp(-sum(h * w for h, (_, _, _, w) in zip(hidden, net))))


def loss(net, data):
    total = 0.0
    for x, y, target in data:
        p = min(max(forward(net, x, y)[1], 1e-12), 1 - 1e-12)
        total -= math.log(p if target else 1 - p)
    return total / len(data)


def step(net, speed, example, lr, beta):
    x, y, target = example
    hidden, p = forward(net, x, y)
    for i, (unit, h) in enumerate(zip(net, hidden)):
        inner = (p - target) * unit[3] * (1 - h * h)
        for k, g in enumerate((inner * x, inner * y, inner, (p - target) * h)):
            speed[i][k] = beta * speed[i][k] - lr * g
            unit[k] += speed[i][k]


def main():
    params = json.load(sys.stdin)
    train, valid = examples(1, POINTS), examples(2, POINTS)
    rng = random.Random(3)
    state = {
        "epoch": 0,
        "net": [[rng.gauss(0, 1) for _ in range(4)] for _ in range(params["hidden"])],
        "speed": [[0.0] * 4 for _ in range(params["hidden"])],
    }
    kept = pathlib.Path(os.environ.get("DRMAD_TRIAL_DIR", ".")) / "state.json"
    if kept.exists():
        state = json.loads(kept.read_text())
    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    while state["epoch"] < EPOCHS:
        for example in train:
            step(state["net"], state["speed"], example, params["lr"], params.get("beta", 0.0))
        state["epoch"] += 1
        print(json.dumps({"step": state["epoch"], "value": loss(state["net"], valid)}), flush=True)
        if stopped:
            kept.write_text(json.dumps(state))
            return 75  # run me again
    kept.unlink(missing_ok=True)
    print(json.dumps({"value": loss(state["net"], valid), "train": loss(state["net"], train)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
