"""pipeline_optuna.py DRMAD STUDY FOLDER SECONDS SEED PARAMETERS: Optuna's TPE (multivariate) with
successive halving over `drmad train`, as long as SECONDS last; leaves FOLDER/optuna.json. Kept
apart from bench_pipeline.py, because it runs in Optuna's environment."""

import json
import pathlib
import subprocess
import sys
import time

import optuna

DRMAD, STUDY, FOLDER, SECONDS, SEED, PARAMETERS = sys.argv[1:]


def suggest(trial, p):
    if "choices" in p:
        return trial.suggest_categorical(p["name"], p["choices"])
    call = trial.suggest_int if p.get("type") == "int" else trial.suggest_float
    return call(p["name"], p["low"], p["high"], log=p.get("log", False))


def objective(trial):
    settings = [f"{p['name']}={suggest(trial, p)}" for p in json.loads(PARAMETERS)]
    out = f"{FOLDER}/trial"
    command = [DRMAD, "train", STUDY, "--json", "-o", out, "data.test=1", *settings]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    value = None
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == "report":
            loss = event["objective"]
            trial.report(float("inf") if loss is None else loss, event["step"])
            if trial.should_prune():
                process.kill()
                process.wait()
                raise optuna.TrialPruned
        if event["event"] == "result":
            value = event["run"]["objective_loss"]
    process.wait()
    return value  # None: diverged, the trial fails


def main():
    began = time.monotonic()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(multivariate=True, seed=int(SEED)),
        pruner=optuna.pruners.SuccessiveHalvingPruner(),
    )
    study.optimize(objective, timeout=float(SECONDS))
    done = [t for t in study.trials if t.state == optuna.trial.TrialState.COMPLETE]
    best = sorted(done, key=lambda t: t.value)[:3]
    found = {
        "best": [t.params for t in best],
        "trials": len(study.trials),
        "pruned": sum(t.state == optuna.trial.TrialState.PRUNED for t in study.trials),
        "seconds": time.monotonic() - began,
    }
    (pathlib.Path(FOLDER) / "optuna.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
