"""Optuna and drmad at work on one study at once: claims, heartbeats, deletion."""

import concurrent.futures
import json
import signal
import time

from support import BACKENDS, BEFORE, NEWEST, SCRATCH
from support import argv, count, do, each, each_of, fresh, main, need, pairs, run, same, sql, start

SIDES = (BEFORE, NEWEST)
TABLES = (
    "studies study_directions study_user_attributes study_system_attributes trials "
    "trial_user_attributes trial_system_attributes trial_params trial_values "
    "trial_intermediate_values trial_heartbeats drmad_leases drmad_artefacts drmad_versions"
).split()


def numbers(process):
    out = process.stdout.read()  # (communicate() would miss what readline() has read ahead)
    need(process.wait(600) == 0, f"a worker ended with {process.returncode}")
    return [json.loads(line) for line in out.splitlines()]


def two_and_two_share_a_queue(backend, version):
    """1,000 points, 2 processes of Optuna and 2 of ours: each point is run once."""
    n = count(100, 1000)
    url = fresh(backend)
    do("drmad", url, "create")
    do("drmad", url, "enqueue", n=n)
    gates = [SCRATCH / f"gate-{side}-{backend}-{version}" for side in ("theirs", "ours")]
    workers = [start(version, url, "work", GATE=str(gates[0])) for _ in range(2)]
    workers += [start("drmad", url, "work", n=20, GATE=str(gates[1])) for _ in range(2)]
    for w in workers:
        same(json.loads(w.stdout.readline()), "ready", "a worker")
    gates[0].touch()
    theirs = [int(w.stdout.readline()) for w in workers[:2]]
    gates[1].touch()  # Python has begun: ours would have run them all before
    runs = [numbers(w) for w in workers]
    theirs, ours = theirs + runs[0] + runs[1], runs[2] + runs[3]
    need(len(ours) == len(set(ours)), f"ours ran some twice: {sorted(ours)}")
    need(not set(ours) & set(theirs), f"both ran {sorted(set(ours) & set(theirs))}")
    need(len(theirs) == len(set(theirs)), f"Optuna ran some twice: {sorted(theirs)}")
    same(sorted(ours + theirs), list(range(n)), "numbers")
    need(ours and theirs, f"{len(ours)} and {len(theirs)}: not shared")
    for t in do(NEWEST, url, "dump")[:n]:
        same([t["state"], t["values"]], ["COMPLETE", [float(t["number"])]], f"trial {t['number']}")


def optuna_sees_our_heartbeats(backend, version):
    """Its failing of stale trials leaves ours alone while it beats, and ends it when it does not;
    what comes late then is refused."""
    url = fresh(backend)
    do("drmad", url, "create")
    holder = start("drmad", url, "hold")
    number = int(holder.stdout.readline())

    def beat():
        holder.stdin.write("\n")
        holder.stdin.flush()
        return int(holder.stdout.readline())

    def stale():
        run(argv(version, url, "expire", "study"), PEER_BEAT_S="1")
        return [t["state"] for t in do("drmad", url, "dump")]

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        looked = pool.submit(lambda: (time.sleep(2.5), stale())[1])  # (Optuna's grace: 2 s)
        while not looked.done():
            need(beat() == 1, "the lease is not held")
            time.sleep(0.3)
    same(looked.result(), ["RUNNING"], "while it beats")
    time.sleep(4)
    same(stale(), ["FAIL", "WAITING"], "when it has stopped")
    again = do("drmad", url, "dump")[1]["system_attrs"]
    same([again["failed_trial"], again["retry_history"]], [number, [number]], "retry")
    need(beat() == 0, "a lease that Optuna ended is held")
    holder.stdin.close()
    need(holder.wait(60) == 75, f"status {holder.returncode}: a late result was taken")


def we_fail_optunas_stale_trials(backend, version):
    """A worker of Optuna's killed in a trial: failed once, queued again, by its own heartbeat."""
    url = fresh(backend)
    do("drmad", url, "create")
    worker = start(version, url, "sleep", n=60, PEER_BEAT_S="1")
    worker.stdout.readline()
    for _ in range(4):
        time.sleep(1)
        same(expire(url), [0], "expired while it lives")
    worker.kill()
    worker.wait()
    deadline = time.monotonic() + 30
    while not (n := expire(url)[0]) and time.monotonic() < deadline:
        time.sleep(0.2)
    same(n, 1, "expired")
    same(expire(url), [0], "expired again")
    states = [[t["state"], t["system_attrs"].get("failed_trial")] for t in do("drmad", url, "dump")]
    same(states, [["FAIL", None], ["WAITING", 0]], "trials")


def expire(url):
    p = run(argv("drmad", url, "expire", "study", 3), DRIVE_LEASE_S="1.5")
    return [json.loads(s) for s in p.stdout.splitlines()]


def optuna_deletes_a_study_of_ours(backend, version):
    """With all that hangs on it, rows of our own tables too; another study stays as it is."""
    url = fresh(backend)
    for name in ("study", "other"):
        do("drmad", url, "create", name)
        do("drmad", url, "add", name, 2)
        do("drmad", url, "ends", name)
        do("drmad", url, "artefact", name)
    before = do("drmad", url, "dump", "other")
    both = rows(url)
    do(version, url, "delete")
    same(do("drmad", url, "dump", "other"), before, "the other study")
    left = rows(url)
    same({t: 2 * k for t, k in left.items()}, both, "rows left")
    same(left["drmad_artefacts"], 1, "artefacts left")
    do("drmad", url, "delete", "other")
    same({t: k for t, k in rows(url).items() if k}, {}, "rows left of none")


def rows(url):
    text = " UNION ALL ".join(f"SELECT '{t}', count(*) FROM {t}" for t in TABLES)
    return {t: int(k) for t, k in sql(url, text)}


def optuna_deletes_a_study_in_a_journal(version):
    url = fresh("journal")
    do("drmad", url, "create")
    do("drmad", url, "artefact")
    do(version, url, "delete")
    p = run(argv("drmad", url, "dump", "study"), status=2)
    need("no study study" in p.stderr, p.stderr)
    folder = url.removeprefix("journal:") + ".artefacts"
    need(not run(["find", folder, "-type", "f"]).stdout, "its artefact is still there")


main(
    each_of(two_and_two_share_a_queue, pairs())
    + each_of(optuna_sees_our_heartbeats, pairs(BACKENDS[:2]))
    + each_of(we_fail_optunas_stale_trials, pairs(BACKENDS[:2]))
    + each_of(optuna_deletes_a_study_of_ours, pairs(BACKENDS[:2]))
    + each(optuna_deletes_a_study_in_a_journal, SIDES)
)
