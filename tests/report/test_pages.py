"""The pages in a real browser: each plot has the marks of its data, nothing leaves the page, no
script fails, the switch between light and dark works. usage: test_pages.py DRMAD [PART]"""

import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as xml

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from named import Wrong, need, run_named  # noqa: E402

DRMAD = str(pathlib.Path(sys.argv[1]).resolve())
FOLDER = tempfile.TemporaryDirectory(prefix="drmad-pages-")
SCRATCH = pathlib.Path(FOLDER.name)
SVG, HTML = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xhtml}"
HOSTILE = "<script>document.title='run'</script>&\"'"

STUDY = """
name: pages
parameters:
  - {name: lr, low: 0.001, high: 1, log: true}
  - {name: width, type: int, low: 2, high: 40}
  - {name: "act</script>", choices: [relu, "<b>"]}
search: {sampler: sobol, trials: 24}
objective: {cmd: python3 objective.py, pass: stdin, retries: 0}
worker: {jobs: 2}
store: sqlite:pages.db
"""

OBJECTIVE = """
import json, math, sys
p = json.load(sys.stdin)
x = (math.log10(p["lr"]) + 2) ** 2 + p["width"] / 40 + (p["act</script>"] == "relu")
for step in range(5):
    print(json.dumps({"step": step, "value": x + 1 / (step + 1)}))
if p["width"] > 36: sys.exit(1)
if p["width"] < 5: print(json.dumps({"state": "PRUNED"}))
else: print(json.dumps({"value": x}))
"""

RUN = """
name: little
data: {kind: synthetic-digits, train: 200, valid: 200, test: 200}
model: {layers: [auto, 8, auto]}
train: {steps: 20, batch: 20}
hyper:
  - {kind: lr, per: layer, phases: 3}
  - {kind: l2, per: unit-in}
outer: {steps: 3}
retrain: {seeds: 2}
output: {dir: run}
"""


def drmad(*words, status=0):
    p = subprocess.run([DRMAD, *words], cwd=SCRATCH, capture_output=True, text=True, timeout=120)
    need(p.returncode == status, f"drmad {words}: {p.returncode}\n{p.stderr[-2000:]}")
    return p.stdout


def chromium(page, *words):
    """The page's document after its scripts, and what the browser logged."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    need(found, "no chromium: tools/install-packages check")
    p = subprocess.run(
        [found, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
         f"--user-data-dir={SCRATCH / 'profile'}", "--enable-logging=stderr", "--v=0",
         "--virtual-time-budget=2000", *words, "--dump-dom", f"file://{SCRATCH / page}"],
        capture_output=True, text=True, timeout=120,
    )
    need(p.returncode == 0, f"chromium: {p.returncode}\n{p.stderr[-2000:]}")
    said = [s for s in p.stderr.splitlines() if "CONSOLE" in s]
    need(not said, "the console says:\n  " + "\n  ".join(said))
    return p.stdout


def sound(page):
    """Well-formed, one script, no address but those of namespaces; gives the tree."""
    text = (SCRATCH / page).read_text(encoding="utf-8")
    tree = xml.fromstring(text)
    need(len(list(tree.iter(f"{HTML}script"))) == 1, "another script than ours")
    for e in tree.iter():
        for key, value in e.attrib.items():
            need(not key.lower().startswith("on"), f"{e.tag} has {key}")
            if key in ("src", "href", "action", "data"):
                need(value == "data:," or value.startswith("#"), f"{key}={value}")
    need("url(" not in text and "@import" not in text, "its style loads something")
    return tree


def chart(tree, name):
    found = [e for e in tree.iter(f"{SVG}svg") if e.get("class") == name]
    need(found, f"no chart {name}")
    return found


def trials_of(e):
    return {int(m.get("data-trial")) for m in e.iter() if m.get("data-trial")}


def finite(tree):
    """No coordinate is NaN or infinite."""
    for e in tree.iter():
        if not e.tag.startswith(SVG):
            continue
        for key in ("d", "x", "y", "cx", "cy", "width", "height"):
            value = e.get(key, "")
            need(not re.search("nan|inf", value), f"{e.tag} {key}={value}")


def the_study():
    if not (SCRATCH / "study.html").exists():
        (SCRATCH / "pages.yaml").write_text(STUDY)
        (SCRATCH / "objective.py").write_text(OBJECTIVE)
        drmad("tune", "pages.yaml", "-q")
        drmad("report", "sqlite:pages.db#pages", "-o", "study.html")
    return json.loads(drmad("export", "sqlite:pages.db#pages", "-f", "json"))["trials"]


def every_plot_has_its_trials():
    trials = the_study()
    tree = sound("study.html")
    finite(tree)
    by = {s: {t["number"] for t in trials if t["state"] == s} for s in
          ("COMPLETE", "PRUNED", "FAIL")}
    need(all(by.values()), f"a study with all states: {by}")
    every = set().union(*by.values())
    (history,) = chart(tree, "history")
    need(trials_of(history) == every, "history")
    for state, name in (("PRUNED", "p"), ("FAIL", "f")):
        marks = {int(e.get("data-trial")) for e in history.iter()
                 if name in (e.get("class") or "").split()}
        need(marks == by[state], f"{state}: {marks}, expected {by[state]}")
    (parallel,) = chart(tree, "parallel")
    need(trials_of(parallel) == by["COMPLETE"], "parallel")
    slices = chart(tree, "slice")
    need(len(slices) == 3, f"{len(slices)} slices")
    for e in slices:
        need(trials_of(e) == by["COMPLETE"], "a slice")
    need(trials_of(chart(tree, "contour")[0]) == by["COMPLETE"], "contour")
    need(trials_of(chart(tree, "curves")[0]) == every, "curves")
    need(trials_of(chart(tree, "timeline")[0]) == every, "timeline")
    bars = [e for e in chart(tree, "importance")[0].iter() if e.get("class") == "bar"]
    need(len(bars) == 3, f"{len(bars)} importances")
    rows = [e.get("id") for e in tree.iter(f"{HTML}tr") if e.get("id")]
    need(len(rows) == len(trials), f"{len(rows)} rows")


def a_browser_draws_the_study():
    the_study()
    dom = chromium("study.html")
    need("<title>pages</title>" in dom, "another title")
    need(dom.count("<svg") == len(list(sound("study.html").iter(f"{SVG}svg"))), "plots")


def light_and_dark_by_the_switch():
    """The page's own script, with a click after it; the policy must not know that script's hash, so
    it is taken out here."""
    the_study()
    text = (SCRATCH / "study.html").read_text()
    text = re.sub(r"<meta http-equiv[^>]*>", "", text)
    probe = """<script>
    var b = getComputedStyle(document.body), seen = [b.backgroundColor];
    document.getElementById('theme').click(); seen.push(b.backgroundColor);
    document.getElementById('theme').click(); seen.push(b.backgroundColor);
    document.querySelector('svg.history circle title').parentNode.dispatchEvent(
        new MouseEvent('click', {bubbles: true}));
    document.title = seen.join(' ') + ' tip ' + document.getElementById('tip').textContent;
    </script></body>"""
    (SCRATCH / "probe.html").write_text(text.replace("</body>", probe))
    title = re.search("<title>(.*?)</title>", chromium("probe.html"), re.S)[1]
    first, second, third = re.findall(r"rgb\([^)]*\)", title)
    need(first == third != second, f"colours {title}")
    need("tip trial" in title, f"a tapped mark says nothing: {title}")


def no_other_script_runs():
    """The policy, were a name ever to get through unescaped."""
    the_study()
    text = (SCRATCH / "study.html").read_text()
    bad = "<script>document.title='ran'</script><img src='x' onerror=\"document.title='ran'\">"
    (SCRATCH / "bad.html").write_text(text.replace("<main>", "<main>" + bad))
    try:
        dom = chromium("bad.html")
    except Wrong as e:
        need("Content Security Policy" in str(e), str(e))
        return
    raise Wrong("nothing was refused" + dom[:200])


def hostile_study_names():
    drmad("study", "create", "--store", "sqlite:pages.db", HOSTILE)
    drmad("report", "--store", "sqlite:pages.db", HOSTILE, "-o", "hostile.html")
    tree = sound("hostile.html")
    need(next(tree.iter(f"{HTML}h1")).text == HOSTILE, "its name")
    dom = chromium("hostile.html")
    need("<title>run</title>" not in dom, "the name ran")


def a_run_is_drawn():
    (SCRATCH / "run.yaml").write_text(RUN)
    drmad("tune", "run.yaml", "-q")
    drmad("report", "run", "-o", "run.html")
    tree = sound("run.html")
    finite(tree)
    chromium("run.html")
    path = json.loads((SCRATCH / "run" / "result.json").read_text())["path"]
    marks = [e for e in chart(tree, "meta-steps")[0].iter()
             if e.get("class") in ("c", "p", "f") and e.tag != f"{SVG}text"]
    need(len(marks) == len(path), f"{len(marks)} meta-steps of {len(path)}")
    lines = [e for e in chart(tree, "schedule")[0].iter() if "ks" in (e.get("class") or "")]
    need(len(lines) == 2, f"{len(lines)} schedules")
    cells = [len(list(e.iter(f"{SVG}rect"))) for n in ("heat picture", "heat")
             for e in chart(tree, n)]
    need(cells == [784, 8], f"cells {cells}")
    rows = [e for e in tree.iter(f"{HTML}table") if e.get("class") == "comparison"]
    need(len(list(rows[0].iter(f"{HTML}tr"))) == 3, "tuned and start")


SEARCH = RUN.replace("name: little", "name: both").replace("{dir: run}", "{dir: both}") + """
parameters:
  - {name: train.steps, type: int, low: 15, high: 25}
search: {trials: 2}
worker: {jobs: 1}
objective: {run: tune}
store: sqlite:pages.db
"""


def a_search_over_tunings_shows_the_best_ones_values():
    (SCRATCH / "both.yaml").write_text(SEARCH)
    drmad("tune", "both.yaml", "-q")
    drmad("report", "sqlite:pages.db#both", "-o", "both.html")
    tree = sound("both.html")
    finite(tree)
    cells = [len(list(e.iter(f"{SVG}rect"))) for e in chart(tree, "heat picture")]
    need(cells == [784], f"cells {cells}")


def main():
    tests = [
        every_plot_has_its_trials,
        a_browser_draws_the_study,
        light_and_dark_by_the_switch,
        no_other_script_runs,
        hostile_study_names,
        a_run_is_drawn,
        a_search_over_tunings_shows_the_best_ones_values,
    ]
    run_named([(t.__name__, t) for t in tests], sys.argv[2:])


main()
