"""Optuna's command line and optuna-dashboard open our store as their own. The dashboard's page is
drawn by a headless Chromium; DRMAD_SCREENSHOT=FILE keeps what it looks like."""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import time
import urllib.request

from support import BACKENDS, BEFORE, LIMIT_S, NEWEST, ROOT, SCRATCH
from support import do, each, each_of, environment, fresh, main, need, pairs, run, same, start

DASHBOARD = ROOT / f".venv-optuna-{BEFORE}" / "bin" / "optuna-dashboard"
# What the page draws, by the heading of its card.
CARDS = ("History", "Hyperparameter Importance", "Timeline", "Intermediate values")


def sqlalchemy_url(url):
    scheme, _, place = url.partition(":")
    return {"sqlite": f"sqlite:///{place}", "journal": place}.get(scheme, url)


def storage_class(url):
    return ["--storage-class", "JournalFileBackend"] if url.startswith("journal:") else []


def cli(version, url, *words):
    optuna = ROOT / f".venv-optuna-{version}" / "bin" / "optuna"
    command = [optuna, "--storage", sqlalchemy_url(url), *storage_class(url), *words]
    return run([*command, "-f", "json"]).stdout


def optunas_commands_read_ours(backend, version):
    url = fresh(backend)
    do("drmad", url, "create")
    do("drmad", url, "add", n=6)
    do("drmad", url, "ends")
    ours = do("drmad", url, "dump")
    studies = json.loads(cli(version, url, "studies"))
    same([[s["name"], s["n_trials"]] for s in studies], [["study", 13]], "studies")
    trials = json.loads(cli(version, url, "trials", "--study-name", "study"))
    same([[t["number"], t["state"]] for t in trials],
         [[t["number"], t["state"]] for t in ours], "trials")
    best = json.loads(cli(version, url, "best-trial", "--study-name", "study"))
    best = best[0] if isinstance(best, list) else best
    same(best["number"], do("drmad", url, "best")[0]["number"], "best trial")


def optunas_ask_and_tell_go_through_our_store(version):
    url = fresh("sqlite")
    do("drmad", url, "create")
    optuna = ROOT / f".venv-optuna-{version}" / "bin" / "optuna"
    base = [optuna, "--storage", sqlalchemy_url(url)]
    x = {"name": "FloatDistribution", "attributes": {"low": 0.0, "high": 1.0}}
    space = ["--search-space", json.dumps({"x": x})]
    run([*base, "ask", "--study-name", "study", *space, "-f", "json"])
    same([t["state"] for t in do("drmad", url, "dump")], ["RUNNING"], "after ask")
    run([*base, "tell", "--study-name", "study", "--trial-number", "0", "--values", "0.5"])
    told = [[t["state"], t["values"]] for t in do("drmad", url, "dump")]
    same(told, [["COMPLETE", [0.5]]], "told")


# ---- the dashboard ----


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextlib.contextmanager
def dashboard(url):
    """Gives the address of one that answers."""
    address = f"http://127.0.0.1:{free_port()}"
    port = address.rpartition(":")[2]
    process = subprocess.Popen(
        [DASHBOARD, sqlalchemy_url(url), "--port", port, "-q"],
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + LIMIT_S
        while True:
            need(process.poll() is None, "optuna-dashboard has ended")
            need(time.monotonic() < deadline, "optuna-dashboard does not answer")
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{address}/api/studies").close()
                break
            time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait(30)


def chromium(*words):
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    need(found, "no chromium: tools/install-packages check")
    profile = SCRATCH / "chromium"
    p = subprocess.run(
        [found, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
         f"--user-data-dir={profile}", "--virtual-time-budget=20000", "--window-size=1400,2400",
         *words],
        env=environment(HOME=str(SCRATCH)),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    need(p.returncode == 0, f"chromium: status {p.returncode}\n{p.stderr[-2000:]}")
    return p.stdout


def dashboard_draws_our_study(backend):
    """Its API says what we say, its page draws each plot, while a worker of ours holds a trial."""
    url = fresh(backend)
    do("drmad", url, "create")
    do("drmad", url, "add", n=25)
    holder = start("drmad", url, "hold")
    holder.stdout.readline()
    best = do("drmad", url, "best")[0]
    with dashboard(url) as address:
        with urllib.request.urlopen(f"{address}/api/studies") as f:
            study = json.load(f)["study_summaries"][0]
        same(study["study_name"], "study", "study")
        with urllib.request.urlopen(f"{address}/api/studies/{study['study_id']}?after=0") as f:
            trials = json.load(f)["trials"]
        same([t["state"] for t in trials], ["Complete"] * 25 + ["Running"], "states")
        same([t["values"] for t in trials[:25]],
             [t["values"] for t in do("drmad", url, "dump")[:25]], "values")
        page = f"{address}/dashboard/studies/{study['study_id']}"
        dom = chromium("--dump-dom", page)
        if "DRMAD_SCREENSHOT" in os.environ:
            chromium(f"--screenshot={os.environ['DRMAD_SCREENSHOT']}", page)
    holder.communicate()
    for card in CARDS:
        need(card in dom, f"no card {card}")
    plots = len(re.findall(r'class="[^"]*js-plotly-plot"', dom))
    need(plots >= len(CARDS), f"{plots} plots")
    points = len(re.findall(r'<path class="point"', dom))
    need(points >= 25 + 25 + 4, f"{points} points and bars drawn")
    need(f"Best Trial (number={best['number']})" in dom, "not the best trial")


main(
    each_of(optunas_commands_read_ours, pairs())
    + each(optunas_ask_and_tell_go_through_our_store, (BEFORE, NEWEST))
    + each(dashboard_draws_our_study, BACKENDS)
)
