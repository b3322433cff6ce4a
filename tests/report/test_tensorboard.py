"""Event files read back by TensorBoard's own reader, sums and all. usage: test_tensorboard.py
DRMAD; run with .venv-tensorboard (tools/tensorboard-env)."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
from tensorboard.backend.event_processing import event_accumulator, event_file_loader
from tensorboard.plugins.hparams import metadata

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from named import need, run_named  # noqa: E402

DRMAD = str(pathlib.Path(sys.argv[1]).resolve())
FOLDER = tempfile.TemporaryDirectory(prefix="drmad-tensorboard-")
SCRATCH = pathlib.Path(FOLDER.name)

STUDY = """
name: events
parameters:
  - {name: x, low: 0, high: 1}
  - {name: act, choices: [relu, tanh]}
search: {sampler: sobol, trials: 4}
objective: {cmd: python3 objective.py, pass: stdin}
worker: {jobs: 1}
store: sqlite:events.db
"""
OBJECTIVE = """
import json, sys
p = json.load(sys.stdin)
for step in range(3):
    print(json.dumps({"step": 10 * step, "value": p["x"] + step}))
print(json.dumps({"value": p["x"] ** 2}))
"""


def drmad(*words):
    p = subprocess.run([DRMAD, *words], cwd=SCRATCH, capture_output=True, text=True, timeout=120)
    need(p.returncode == 0, f"drmad {words}: {p.returncode}\n{p.stderr[-2000:]}")
    return p.stdout


def near(a, b):
    return abs(a - b) <= 1e-6 * max(1, abs(b))  # scalars are 32 bits


def scalars(folder, tag):
    reader = event_accumulator.EventAccumulator(str(folder), purge_orphaned_data=False)
    reader.Reload()
    tags = reader.Tags()
    if tag in tags["scalars"]:
        return [(e.step, e.value) for e in reader.Scalars(tag)]
    return [(e.step, float(e.tensor_proto.float_val[0])) for e in reader.Tensors(tag)]


def plugin(folder, tag):
    """What the hparams plug-in finds under `tag`."""
    (path,) = folder.glob("events.out.tfevents.*")
    for event in event_file_loader.EventFileLoader(str(path)).Load():
        for value in event.summary.value:
            if value.tag == tag:
                need(value.HasField("tensor"), f"{tag} has no tensor")
                need(value.metadata.plugin_data.plugin_name == "hparams", "plug-in")
                return value.metadata.plugin_data.content
    raise AssertionError(f"no {tag}")


def a_study_reads_back():
    (SCRATCH / "events.yaml").write_text(STUDY)
    (SCRATCH / "objective.py").write_text(OBJECTIVE)
    drmad("tune", "events.yaml", "-q")
    drmad("report", "sqlite:events.db#events", "-o", "r.html", "--tensorboard", "logs")
    trials = json.loads(drmad("export", "sqlite:events.db#events", "-f", "json"))["trials"]
    need(len(trials) == 4, "four trials")
    for t in trials:
        folder = SCRATCH / "logs" / str(t["number"])
        x = t["params"]["x"]
        got = scalars(folder, "intermediate value")
        need([s for s, _ in got] == [0, 10, 20], f"steps {got}")
        need(all(near(v, x + i) for i, (_, v) in enumerate(got)), f"values {got}, x {x}")
        ((_, value),) = scalars(folder, "value")
        need(near(value, x * x), f"value {value}")
        start = metadata.parse_session_start_info_plugin_data(
            plugin(folder, metadata.SESSION_START_INFO_TAG))
        need(start.hparams["x"].number_value == x, "x")
        need(start.hparams["act"].string_value == t["params"]["act"], "act")
        end = metadata.parse_session_end_info_plugin_data(
            plugin(folder, metadata.SESSION_END_INFO_TAG))
        need(end.status == 1, f"status {end.status}")  # STATUS_SUCCESS
    experiment = metadata.parse_experiment_plugin_data(
        plugin(SCRATCH / "logs", metadata.EXPERIMENT_TAG))
    need({i.name for i in experiment.hparam_infos} == {"x", "act"}, "hparam_infos")
    need([m.name.tag for m in experiment.metric_infos] == ["value"], "metric_infos")


run_named([("a_study_reads_back", a_study_reads_back)])
