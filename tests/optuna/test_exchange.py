"""One study, both sides: what either writes the other reads, and goes on with."""

from support import BACKENDS, BEFORE, NEWEST, OLD, do, each, fresh, main, need, run, same, sql

SIDES = (BEFORE, NEWEST)


def without(line, *keys):
    return {k: v for k, v in line.items() if k not in (*keys, "worker")}


def optuna_reads_ours(backend, version):
    """Equal trials to the last bit: params, distributions, states, values, inf and NaN, times."""
    url = fresh(backend)
    do("drmad", url, "create")
    do("drmad", url, "add", n=8)
    same(without(do(version, url, "best")[0]), without(do("drmad", url, "best")[0]), "best trial")
    do("drmad", url, "ends")
    ours, theirs = do("drmad", url, "dump"), do(version, url, "dump")
    need(len(ours) == 15, f"{len(ours)} trials")
    for a, b in zip(ours, theirs, strict=True):
        same(without(b), without(a), f"trial {a['number']}")
    states = [t["state"] for t in theirs[8:]]
    same(states, ["COMPLETE", "COMPLETE", "FAIL", "PRUNED", "FAIL", "RUNNING", "WAITING"], "states")
    need(do(version, url, "best")[0]["values"] == [float("-inf")], "-inf is not best")
    do(version, url, "frame")


def we_read_optunas(backend, version):
    url = fresh(backend)
    do(version, url, "create")
    do(version, url, "add", n=8)
    same(without(do("drmad", url, "best")[0], "start", "complete"),
         without(do(version, url, "best")[0], "start", "complete"), "best trial")
    do(version, url, "ends")
    ours, theirs = do("drmad", url, "dump"), do(version, url, "dump")
    need(len(theirs) == 15, f"{len(theirs)} trials")
    for a, b in zip(ours, theirs, strict=True):
        same(without(a, "start", "complete"), without(b, "start", "complete"),
             f"trial {b['number']}")
        if version == NEWEST or backend == "journal":  # else nobody knows the zone
            same([a["start"], a["complete"]], [b["start"], b["complete"]], "times as UTC")


def each_goes_on_with_the_others_study(backend, version):
    """Optuna, drmad, Optuna, drmad: numbers without gaps, one distribution a parameter."""
    for first, second in ((version, "drmad"), ("drmad", version)):
        url = fresh(backend)
        do(first, url, "create")
        same(do(first, url, "add", n=3), [0, 1, 2], "numbers")
        same(do(second, url, "add", n=3), [3, 4, 5], "numbers")
        do(first, url, "enqueue", n=2)
        same(do(second, url, "work"), [6, 7], "numbers")
        do(second, url, "enqueue", n=1)
        same(do(first, url, "work"), [8], "numbers")
        ours, theirs = do("drmad", url, "dump"), do(version, url, "dump")
        for a, b in zip(ours, theirs, strict=True):
            same(without(a, "start", "complete"), without(b, "start", "complete"), "trial")
        for name in ("x", "lr", "n", "choice"):
            kinds = {t["params"][name][1] for t in ours if name in t["params"]}
            need(len(kinds) == 1, f"{name}: distributions {kinds}")
        # Optuna's caches and samplers agree: a trial of its own finds its way
        need(do(version, url, "best")[0]["number"] == 3, "best")


def another_revision_is_refused_with_the_remedy(backend):
    """What Optuna 3.0 and 3.1 left behind: read-only for `check`, refused by all else."""
    url = fresh(backend)
    do("drmad", url, "create")
    sql(url, "UPDATE alembic_version SET version_num = 'v3.0.0.d'")
    for verb in ("add", "dump"):
        p = run_refused(url, verb)
        need("optuna storage upgrade" in p.stderr, p.stderr)
        need("v3.0.0.d" in p.stderr, p.stderr)
    same(sql(url, "SELECT version_num FROM alembic_version"), [["v3.0.0.d"]], "revision")


def run_refused(url, verb):
    from support import argv

    return run(argv("drmad", url, verb, "study"), status=4)


main(
    each(optuna_reads_ours, BACKENDS, SIDES)
    + each(we_read_optunas, BACKENDS, SIDES)
    + each(each_goes_on_with_the_others_study, BACKENDS, (OLD, *SIDES))
    + each(another_revision_is_refused_with_the_remedy, BACKENDS[:2])
)
