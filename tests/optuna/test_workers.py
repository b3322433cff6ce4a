"""The drmad command on studies of Optuna's, beside Optuna's own workers."""

import json
import subprocess

from support import BEFORE, BUILD, NEWEST, OLD, SCRATCH
from support import count, do, each, each_of, environment, fresh
from support import main, need, pairs, run, same, start

STUDY = """
name: study
seed: 1
store: "{url}"
parameters:
  - {{name: x, low: 0, high: 10}}
search: {{trials: {trials}}}
objective: {{cmd: "awk 'BEGIN {{{{ print ({{x}} - 3)^2 }}}}'"}}
"""


def command(verb, url, trials):
    """drmad tune or worker on a file that names the store."""
    file = SCRATCH / f"{abs(hash((url, trials)))}.yaml"
    file.write_text(STUDY.format(url=url, trials=trials))
    return [str(BUILD / "drmad"), verb, "-q", "--jobs", "1", str(file)]


def check(url, version, trials):
    ours, theirs = do("drmad", url, "dump"), do(version, url, "dump")
    same([t["number"] for t in ours], list(range(trials)), "numbers")
    for a, b in zip(ours, theirs, strict=True):
        need(a["state"] == "COMPLETE", f"trial {a['number']} is {a['state']}")
        need(abs(a["values"][0] - (a["params"]["x"][0] - 3) ** 2) < 1e-3, f"value of {a}")
        same([b["params"], b["values"]], [a["params"], a["values"]], f"trial {a['number']}")
    kinds = {t["params"]["x"][1] for t in ours}
    need(len(kinds) == 1, f"distributions {kinds}")
    return ours


def replay(url):
    """What drmad study replay says of the study."""
    words = [str(BUILD / "drmad"), "study", "replay", "study", "--json"]
    return json.loads(run(words, DRMAD_STORAGE=url).stdout.splitlines()[-1])


def drmad_tune_goes_on_with_optunas_study(backend, version):
    """Its queued points first, with the values that Optuna asked for; then new ones, for which
    Optuna's trials count. A replay tells ours from Optuna's."""
    url = fresh(backend)
    do(version, url, "create")
    do(version, url, "square", n=4)
    do(version, url, "queue_x", n=7)
    do(version, url, "queue_x", n=3)
    run(command("tune", url, 12), cwd=SCRATCH)
    ours = check(url, version, 12)
    same([t["params"]["x"][0] for t in ours[4:6]], [7.0, 3.0], "queued points")
    same(do(version, url, "best")[0]["number"], 5, "best")
    do(version, url, "square", n=2)
    check(url, version, 14)
    result = replay(url)
    same(result["suggestions"]["same"], 6, "suggestions made again")
    same([o["number"] for o in result["others"]], [0, 1, 2, 3, 4, 5, 12, 13], "others")
    need("Optuna" in result["others"][0]["why"], f"{result['others'][0]}")
    need("enqueued" in result["others"][4]["why"], f"{result['others'][4]}")
    note = do("drmad", url, "dump")[11]["system_attrs"]["drmad:sampler"]
    same([note["sampler"], note["seen"]], ["gp", "0-10"], "what the last one looked at")


def workers_of_both_share_a_study(backend, version):
    """Two drmad workers and two of Optuna's until there are 30 trials."""
    url = fresh(backend)
    do("drmad", url, "create")
    theirs = [start(version, url, "square", n=5) for _ in range(2)]
    ours = [
        subprocess.Popen(
            command("worker", url, 30), env=environment(), cwd=SCRATCH, stdout=subprocess.DEVNULL
        )
        for _ in range(2)
    ]
    for p in theirs + ours:
        p.communicate(timeout=300)
        need(p.returncode == 0, f"{p.args}: status {p.returncode}")
    trials = len(do("drmad", url, "dump"))
    need(30 <= trials <= 40, f"{trials} trials")  # Optuna's do not look at the limit
    check(url, version, trials)


SIDE_BY_SIDE = """
name: study
seed: 4
store: "{url}"
parameters:
  - {{name: x, low: 0, high: 10}}
  - {{name: n, type: int, low: 1, high: 64, log: true}}
  - {{name: kind, choices: [a, b]}}
  - {{name: y, low: 1e-3, high: 1, log: true, when: kind == b}}
search: {{trials: {trials}, sampler: {sampler}, startup: 6, enqueue: ["x=2"]}}
objective: {{cmd: "sh {script} {{x}} {{n}}"}}
"""
SLOW = """sleep 0.0$(($2 % 8 + 2))
awk "BEGIN { print ($1 - 3)^2 + log($2) }"
"""
TRIALS = count(20, 80)
NONE = {"same": 0, "differs": 0, "other build": 0, "not suggested": 0}
SAMPLERS = ("random", "sobol", "tpe", "gp", "cmaes")


def suggestions_of_four_workers_are_made_again(sampler):
    """Trials take 20 to 90 ms, so they end in another order than they began."""
    url = fresh("postgres")
    file = SCRATCH / f"side-by-side-{sampler}.yaml"
    script = SCRATCH / "slow.sh"
    script.write_text(SLOW)
    file.write_text(SIDE_BY_SIDE.format(url=url, sampler=sampler, trials=TRIALS, script=script))
    words = [str(BUILD / "drmad"), "worker", "-q", "--jobs", "1", str(file)]
    workers = [
        subprocess.Popen(words, env=environment(), cwd=SCRATCH, stdout=subprocess.DEVNULL)
        for _ in range(4)
    ]
    for p in workers:
        p.communicate(timeout=300)
        need(p.returncode == 0, f"{p.args}: status {p.returncode}")
    trials = do("drmad", url, "dump")
    same([t["state"] for t in trials], ["COMPLETE"] * TRIALS, "states")
    need(len({t["worker"] for t in trials}) == 4, "not all four worked")
    notes = [t["system_attrs"]["drmad:sampler"] for t in trials]
    same({n["sampler"] for n in notes}, {sampler}, "samplers")
    beside = sum(any(o["start"] < t["start"] < o["complete"] for o in trials) for t in trials)
    need(beside >= TRIALS // 2, f"{beside} of {TRIALS} began while others ran")
    same(replay(url)["suggestions"], {**NONE, "same": TRIALS}, "made again")


main(
    each(suggestions_of_four_workers_are_made_again, SAMPLERS)
    + each_of(drmad_tune_goes_on_with_optunas_study, pairs(versions=(OLD, BEFORE, NEWEST)))
    + each_of(workers_of_both_share_a_study, pairs())
)
