#!/usr/bin/env python3
"""workers.py COMMAND [PART]: workers that are killed, stopped, frozen or cut off from their store,
objectives that misbehave, and how many work side by side. F20, F21, F34, F37, F45 of the fault
matrix, for trials.

Each prints "PASS name" or "FAIL name". DRMAD_LONG=1 for the full counts. PART runs only the tests
whose name contains it."""

import json
import os
import pathlib
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from named import Wrong, need  # noqa: E402

LONG = os.environ.get("DRMAD_LONG") == "1"
LIMIT_S = 120

COMMANDS = """
name: workers
seed: 7
store: sqlite:s.db
parameters:
  - {name: x, low: -5, high: 5}
search: {trials: 20}
objective: {cmd: "sh run.sh {x}", retries: 50}
worker: {jobs: 1, lease: 2, patience: 3}
"""
TRAINING = """
name: training
seed: 11
store: sqlite:s.db
data: {kind: synthetic-digits, train: 100, valid: 60, test: 40}
model: {layers: [auto, 6, auto]}
train: {steps: 20, batch: 10}
hyper:
  - {kind: l2, per: layer, start: 1e-3}
outer: {steps: 2, lr: 0.2}
retrain: {seeds: 1}
parameters:
  - {name: optimizer.lr, low: 1e-2, high: 1, log: true}
  - {name: train.batch, type: int, low: 5, high: 20}
  - {name: model.activation, choices: [tanh, relu]}
search: {sampler: sobol}
worker: {jobs: 1, lease: 30}
"""
# Says which process it is while it runs, and leaves a line when it has ended.
SLEEPER = """
echo $$ >"pid.$DRMAD_TRIAL_NUMBER.$$"
sleep 0.1
echo "$DRMAD_TRIAL_NUMBER" >>ended
rm -f "pid.$DRMAD_TRIAL_NUMBER.$$"
echo "{\\"value\\": $1}"
"""


def heed_signals():
    """A shell's background jobs ignore SIGINT, and so would what they start."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Site:
    """A scratch folder with a study and the script that its trials run."""

    def __init__(self, command, folder):
        self.command = command
        self.folder = pathlib.Path(folder)
        self.write("study.yaml", COMMANDS)
        self.write("run.sh", SLEEPER)

    def write(self, name, text):
        (self.folder / name).write_text(text)

    def start(self, *more):
        env = {k: v for k, v in os.environ.items() if not k.startswith("DRMAD_")}
        env.update(LC_ALL="C", HOME=str(self.folder), XDG_STATE_HOME=str(self.folder / "state"))
        return subprocess.Popen(
            [self.command, "worker", "study.yaml", *more],
            cwd=self.folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=heed_signals,
        )

    def query(self, sql, *values):
        db = sqlite3.connect(self.folder / "s.db", timeout=60)
        try:
            return db.execute(sql, values).fetchall()
        finally:
            db.close()

    def states(self):
        return dict(self.query("SELECT state, count(*) FROM trials GROUP BY state"))

    def wait(self, what, condition):
        end = time.monotonic() + LIMIT_S
        while not condition():
            need(time.monotonic() < end, f"{what} never came")
            time.sleep(0.01)

    def wait_file(self, pattern):
        self.wait(pattern, lambda: list(self.folder.glob(pattern)))


def ended(p, want):
    out, said = p.communicate(timeout=LIMIT_S)
    need(p.returncode == want, f"status {p.returncode}, wanted {want}: {said.decode()}")
    return out.decode(), said.decode()


def alive(pid):
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        return state != "Z"
    except OSError:
        return False


def check_numbers(site):
    """Gapless, whatever happened."""
    numbers = [n for (n,) in site.query("SELECT number FROM trials ORDER BY trial_id")]
    need(numbers == list(range(len(numbers))), f"numbers {numbers}")


# ---- F20: killed ----


def f20_killed_workers_lose_no_trial_and_leave_no_process(site):
    rng = random.Random(20)
    kills, wanted = 0, 200 if LONG else 8
    site.write("study.yaml", COMMANDS.replace("trials: 20", f"trials: {5 * wanted // 2}"))
    workers = [site.start() for _ in range(3)]
    while kills < wanted:
        time.sleep(rng.uniform(0, 0.4))
        i = rng.randrange(3)
        hit = workers[i].poll() is None
        kills += hit
        workers[i].kill()
        workers[i].communicate()
        if hit:
            workers[i] = site.start()
        elif all(w.poll() is not None for w in workers):
            break
    for w in workers:
        ended(w, 0)
    need(kills > 3, "no worker was hit")
    need(site.states().get("COMPLETE") == 5 * wanted // 2, f"{site.states()}")
    need(not set(site.states()) - {"COMPLETE", "FAIL"}, f"{site.states()}")
    check_numbers(site)
    left = [int(p.read_text() or 0) for p in site.folder.glob("pid.*")]
    need(not [p for p in left if p and alive(p)], "a command outlived its worker")


# ---- F21: signals ----

# Counts to 30 in all its lives; what it has done lies in its folder.
LONG_RUN = """
cd "$DRMAD_TRIAL_DIR" || exit 1
trap '%s' TERM
while [ "$(wc -l <steps 2>/dev/null || echo 0)" -lt 30 ]; do
    echo . >>steps
    echo "{\\"step\\": $(wc -l <steps), \\"value\\": $1}"
    sleep 0.05
done
echo "{\\"value\\": $1, \\"lives\\": $(($(cat lives 2>/dev/null | wc -l) + 1))}"
"""
GOES = "echo . >>lives; exit 75"
STAYS = "echo . >>lives"


def stop_and_go_on(site, sig, status, trap, most_s):
    site.write("run.sh", LONG_RUN % trap)
    p = site.start("search.trials=1", f"name=s{int(sig)}", f"output.dir=out{int(sig)}")
    site.wait_file(f"out{int(sig)}/trials/0/steps")
    time.sleep(0.2)
    start = time.monotonic()
    p.send_signal(sig)
    ended(p, status)
    took = time.monotonic() - start
    need(took < most_s, f"{sig.name}: took {took:.1f} s")
    rows = site.query(
        "SELECT t.state FROM trials t JOIN studies s USING (study_id) WHERE study_name = ?",
        f"s{int(sig)}",
    )
    return rows


def f21_signals_give_trials_back_and_they_go_on(site):
    for sig, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 75)):
        rows = stop_and_go_on(site, sig, status, GOES, 5)
        need(rows == [("WAITING",)], f"{sig.name}: {rows}")
        again = (f"name=s{int(sig)}", f"output.dir=out{int(sig)}", "--json")
        out, _ = ended(site.start("search.trials=1", *again), 0)
        result = json.loads(out.splitlines()[-1])
        need(result["best"]["number"] == 0, f"{sig.name}: {result}")
        (lives,) = site.query(
            "SELECT value_json FROM trial_user_attributes a JOIN trials USING (trial_id) JOIN"
            " studies USING (study_id) WHERE study_name = ? AND key = 'result:lives'",
            f"s{int(sig)}",
        )
        need(lives == ("2",), f"{sig.name}: {lives}: it did not go on from its folder")


def f21_a_command_that_stays_is_killed_within_30_s(site):
    site.write("run.sh", "trap '' TERM\necho $$ >stubborn\nwhile :; do sleep 0.2; done\n")
    p = site.start("worker.lease=60")
    site.wait_file("stubborn")
    time.sleep(0.2)
    start = time.monotonic()
    p.send_signal(signal.SIGUSR1)
    ended(p, 75)
    took = time.monotonic() - start
    need(took < 30, f"took {took:.1f} s")
    need(site.states() == {"WAITING": 1}, f"{site.states()}")
    need(not alive(int((site.folder / "stubborn").read_text())), "it is still there")


def f21_training_is_given_back_with_its_checkpoint(site):
    slow = ("outer.steps=40", "train.steps=800", "search.trials=1", "output.checkpoint_minutes=0")
    site.write("study.yaml", TRAINING)
    whole = ended(site.start(*slow, "name=whole", "--json"), 0)[0]
    p = site.start(*slow, "name=cut")
    site.wait_file("runs/cut/trials/0/checkpoint.safetensors")
    p.send_signal(signal.SIGTERM)
    ended(p, 143)
    cut = ended(site.start(*slow, "name=cut", "--json"), 0)[0]
    a, b = (json.loads(s.splitlines()[-1])["best"] for s in (whole, cut))
    need(a == b, f"{a}, {b}")


# ---- replay ----

# Mixed, conditional, with a point queued whole and one in part.
REPLAYED = """
name: replayed
seed: 5
store: sqlite:s.db
parameters:
  - {name: x, low: -5, high: 5}
  - {name: k, type: int, low: 1, high: 9}
  - {name: act, choices: [a, b, c]}
  - {name: y, low: 1e-3, high: 1, log: true, when: act == a}
search: {trials: 24, enqueue: ["x=0.5 k=3 act=b", "x=1"]}
objective: {cmd: "sh run.sh {x} {k}"}
worker: {jobs: 1, lease: 30}
"""
# Trials of different length, so that the order of results is not that of the numbers; one fails.
UNEVEN = """
sleep "0.0$((DRMAD_TRIAL_NUMBER * 7 % 10))"
[ "$DRMAD_TRIAL_NUMBER" = 9 ] && exit 1
awk "BEGIN {print ($1 - 1) ^ 2 + ($2 - 4) ^ 2}"
"""


def replay(site, target):
    """The result, and the status."""
    p = subprocess.run(
        [site.command, "study", "replay", target, "--json"],
        cwd=site.folder,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    return json.loads(p.stdout.splitlines()[-1]), p.returncode


def w_suggestions_of_four_workers_come_out_again(site):
    site.write("study.yaml", REPLAYED)
    site.write("run.sh", UNEVEN)
    for sampler in ("gp", "tpe", "cmaes", "sobol", "random"):
        name = f"name={sampler}"
        more = (name, f"search.sampler={sampler}", "search.startup=6")
        for p in [site.start(*more) for _ in range(4)]:
            ended(p, 0)
        result, status = replay(site, f"sqlite:s.db#{sampler}")
        need(status == 0, f"{sampler}: {result}")
        need(result["suggestions"]["same"] >= 24, f"{sampler}: {result}")
        need([o["number"] for o in result["others"]] == [0], f"{sampler}: {result}")
        need("enqueued" in result["others"][0]["why"], f"{sampler}: {result}")
    pending = site.query(
        "SELECT count(*) FROM trial_system_attributes WHERE key = 'drmad:sampler'"
        " AND json_extract(value_json, '$.pending') <> ''"
    )
    need(pending[0][0] > 0, "no suggestion saw a trial that was pending")


def w_a_suggestion_that_differs_is_named(site):
    site.write("study.yaml", REPLAYED)
    site.write("run.sh", UNEVEN)
    ended(site.start("search.trials=12", "search.startup=4"), 0)
    db = sqlite3.connect(site.folder / "s.db")
    with db:
        db.execute("UPDATE trial_params SET param_value = 2.5 WHERE trial_id = 8 AND"
                   " param_name = 'x'")
        db.execute("DELETE FROM trial_system_attributes WHERE trial_id = 12")
    db.close()
    result, status = replay(site, "sqlite:s.db#replayed")
    need(status == 4, f"{status}: {result}")
    others = {o["number"]: o for o in result["others"]}
    need(others[7]["verdict"] == "differs" and "x is 2.5" in others[7]["why"], f"{result}")
    need("are no longer what they were" in others[9]["why"], f"{result}")
    need(others[11]["verdict"] == "not suggested", f"{result}")
    need(sorted(others) == [0, 7, 8, 9, 10, 11, 12], f"{result}")


# ---- F29: the server goes away ----


def f29_a_server_that_restarts_costs_no_trial(site):
    os.chmod(site.folder, 0o755)  # started by root the server is another user
    local = [str(site.command), "store", "%s", "--folder", str(site.folder / "pg"), "-q"]

    def server(verb):
        argv = [w.replace("%s", verb) for w in local]
        p = subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT_S)
        need(p.returncode == 0, f"{verb}: {p.stderr}")
        return p.stdout.strip()

    site.write("run.sh", 'sleep 0.3\necho "$DRMAD_TRIAL_NUMBER" >>ended\necho $1\n')
    url = server("start-local")
    try:
        more = ("worker.lease=60", "worker.patience=60", "search.trials=24", f"store={url}")
        workers = [site.start(*more, "--json") for _ in range(2)]
        for _ in range(3 if LONG else 1):
            site.wait_file("ended")
            time.sleep(1)
            server("stop")
            time.sleep(2)
            need(server("start-local") == url, "another URL after a restart")
        results = [json.loads(ended(p, 0)[0].splitlines()[-1]) for p in workers]
        again, status = replay(site, f"{url}#workers")
        need(status == 0 and again["suggestions"]["same"] == 24, f"{again}")
    finally:
        server("stop")
    need(results[0]["trials"]["COMPLETE"] == 24, f"{results[0]}")
    ran = sorted(int(s) for s in (site.folder / "ended").read_text().split())
    need(sorted(set(ran)) == list(range(24)), f"ran {ran}")
    need(len(ran) == 24, f"some ran twice: {ran}")


# ---- F34: frozen ----


def f34_a_frozen_worker_loses_its_trial_and_goes_on(site):
    site.write("run.sh", "echo >>started\nsleep 1\necho $1\n")
    frozen = site.start("search.trials=2")
    site.wait_file("started")
    frozen.send_signal(signal.SIGSTOP)
    time.sleep(4.5)
    ended(site.start("search.trials=2"), 0)
    frozen.send_signal(signal.SIGCONT)
    _, said = ended(frozen, 0)
    need("trial 0" in said and "lease was lost" in said, said)
    need(site.states() == {"COMPLETE": 2, "FAIL": 1}, f"{site.states()}")


# ---- F37: the store is away ----


def f37_a_locked_store_is_waited_for_and_results_are_kept(site):
    site.write("run.sh", "echo >started\nwhile [ ! -e go ]; do sleep 0.05; done\necho $1\n")
    p = site.start("search.trials=1", "worker.lease=60")
    site.wait_file("started")
    other = sqlite3.connect(site.folder / "s.db", timeout=60, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    site.write("go", "")
    _, said = ended(p, 75)
    need("s.db" in said, said)
    other.execute("ROLLBACK")
    other.close()
    need(site.states() == {"RUNNING": 1}, f"{site.states()}")
    ended(site.start("search.trials=1"), 0)
    need(site.states() == {"COMPLETE": 1}, f"{site.states()}: the result was lost")


# ---- objectives that misbehave ----


def w_objectives_that_misbehave_fail_with_a_reason(site):
    site.write("run.sh", 'eval "$(sed -n "$((DRMAD_TRIAL_NUMBER + 1))p" cases)"\n')
    cases = [
        ("exit 3", "exit status 3"),
        ("echo fine", "no line of JSON in its output, which ended: fine"),
        ("head -c 100000 /dev/urandom; echo; echo end", "which ended: end"),
        ("head -c 3000000 /dev/zero | tr '\\0' x", "longer than 1 MiB"),
        ("printf '\\000\\377{\"value\": 1}\\n'", "no line of JSON"),
        ("echo '{\"value\": NaN}'", "the result is NaN"),
        ("echo '{\"value\": \"a\"}'", "no number"),
        ("kill -SEGV $$", "killed by signal 11"),
        ("sleep 60", "objective.timeout"),
        ("python3 -c 'bytearray(1 << 31)'", "512 MiB of address space"),
        ("echo '{\"value\": 1}'", None),
    ]
    site.write("cases", "\n".join(c for c, _ in cases) + "\n")
    ended(
        site.start(
            "search.trials=1",
            "objective.retries=0",
            "objective.timeout=2",
            "objective.memory=512MiB",
        ),
        0,
    )
    need(site.states() == {"FAIL": len(cases) - 1, "COMPLETE": 1}, f"{site.states()}")
    for number, (case, why) in enumerate(cases[:-1]):
        rows = site.query(
            "SELECT value_json FROM trial_user_attributes JOIN trials USING (trial_id)"
            " WHERE number = ? AND key = 'fail_reason'",
            number,
        )
        need(rows and why in json.loads(rows[0][0]), f"{case}: {rows}, wanted {why}")


# ---- pruning, gradients ----

CURVES = """
for i in 1 2 3 4 5; do
    echo . >>"steps.$DRMAD_TRIAL_NUMBER"
    echo "{\\"step\\": $i, \\"value\\": $1}"
    sleep 0.2
done
echo "{\\"value\\": $1, \\"gradient\\": {\\"x\\": -1.5}}"
"""


def w_commands_that_are_not_worth_it_are_ended(site):
    """Level curves: once two have finished, each that is above their median ends at its start."""
    site.write("run.sh", CURVES)
    points = ", ".join(f'"x={x}"' for x in (1, 2, 3, 0.5, 4, -1))
    site.write(
        "study.yaml",
        COMMANDS.replace(
            "trials: 20",
            f"trials: 6, enqueue: [{points}], pruner: {{kind: median, startup: 2}}",
        ),
    )
    _, said = ended(site.start("worker.lease=30"), 0)
    rows = site.query(
        "SELECT number, state, value FROM trials LEFT JOIN trial_values USING (trial_id)"
        " ORDER BY number"
    )
    want = [(0, "COMPLETE", 1), (1, "COMPLETE", 2), (2, "PRUNED", 3), (3, "COMPLETE", 0.5)]
    need(rows == [*want, (4, "PRUNED", 4), (5, "COMPLETE", -1)], f"{rows}")
    steps = [len((site.folder / f"steps.{n}").read_text().split()) for n in range(6)]
    need(steps[0] == 5 and steps[2] <= 3 and steps[4] <= 3, f"steps {steps}")
    need("trial 2: pruned" in said, said)
    gradients = site.query(
        "SELECT number, value_json FROM trial_system_attributes JOIN trials USING (trial_id)"
        " WHERE key = 'drmad:gradient' ORDER BY number"
    )
    need(gradients == [(n, '{"x":-1.5}') for n in (0, 1, 3, 5)], f"{gradients}")


# ---- F45: how many work side by side changes nothing ----


def trials_of(site):
    """{number: (parameters, value as its 8 bytes)}"""
    rows = site.query(
        "SELECT number, param_name, hex(param_value) || quote(param_value) FROM trials JOIN"
        " trial_params USING (trial_id) ORDER BY number, param_name"
    )
    found = {}
    for number, name, value in rows:
        found.setdefault(number, {})[name] = value
    values = site.query(
        "SELECT number, value FROM trials JOIN trial_values USING (trial_id)"
        " WHERE state = 'COMPLETE'"
    )
    return {n: (found[n], value.hex()) for n, value in values}


def f45_workers_side_by_side_change_no_trial(site):
    site.write("study.yaml", TRAINING)
    seen = []
    for workers, jobs in ((1, 1), (1, 4), (4, 1)) + (((32, 1), (1, 32)) if LONG else ()):
        total = 64 if LONG else 8
        running = [
            site.start(f"search.trials={total}", f"worker.jobs={jobs}") for _ in range(workers)
        ]
        for p in running:
            ended(p, 0)
        seen.append(trials_of(site))
        need(len(seen[-1]) == total, f"{workers} x {jobs}: {len(seen[-1])} trials")
        need(seen[-1] == seen[0], f"{workers} x {jobs}: other trials than 1 x 1")
        for leftover in list(site.folder.glob("s.db*")):
            leftover.unlink()
        subprocess.run(["rm", "-rf", site.folder / "runs"], check=True)


def f45_workers_share_a_queue_and_stop_at_its_end(site):
    n = 200 if LONG else 40
    points = ", ".join(f'"x={i / n}"' for i in range(n))
    site.write("run.sh", 'echo "$DRMAD_TRIAL_NUMBER" >>ended\necho $1\n')
    site.write("study.yaml", COMMANDS.replace("trials: 20", f"trials: {n}, enqueue: [{points}]"))
    for p in [site.start("worker.lease=30") for _ in range(8)]:
        ended(p, 0)
    need(site.states() == {"COMPLETE": n}, f"{site.states()}")
    ran = sorted(int(s) for s in (site.folder / "ended").read_text().split())
    need(ran == list(range(n)), f"ran {ran}")
    check_numbers(site)


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    command = pathlib.Path(sys.argv[1]).resolve()
    part = sys.argv[2] if len(sys.argv) == 3 else ""
    failed = 0
    for name, test in list(globals().items()):
        if not (name.startswith("w_") or name[1:3].isdigit()) or part not in name:
            continue
        with tempfile.TemporaryDirectory(prefix="drmad-workers-") as folder:
            try:
                test(Site(command, folder))
                print(f"PASS {name}", flush=True)
            except (Wrong, OSError, subprocess.SubprocessError, sqlite3.Error) as e:
                failed += 1
                print("\n".join("  " + s for s in str(e).splitlines()))
                print(f"FAIL {name}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
