"""tools/gpu-check proves itself over the host driver: every section that needs no tool of a GPU
machine runs and passes, what is not run is said to be, and a broken device is a failure.
test_gpu_check.py [PART]"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from named import need, run_named


def check(*words, env=None):
    """(exit status, the JSON that it wrote, output)"""
    with tempfile.TemporaryDirectory() as folder:
        p = subprocess.run(
            [sys.executable, ROOT / "tools" / "gpu-check", "--dry-run", "--out", folder, *words],
            capture_output=True, text=True, env=env,
        )  # fmt: skip
        written = json.loads((pathlib.Path(folder) / "gpu-check-dry.json").read_text())
        log = (pathlib.Path(folder) / "gpu-check-dry.log").read_text()
        need(p.stderr == "" and "$ " in log, f"stderr: {p.stderr}")
        return p.returncode, written, p.stdout


def the_dry_run_passes():
    status, written, out = check()
    need(status == 0, out)
    rows = {(r["section"], r["status"]) for r in written["rows"]}
    for section in ("machine", "tests", "compare", "bench", "paper"):
        need((section, "pass") in rows, f"{section}: nothing passed:\n{out}")
    need(not any(s == "fail" for _, s in rows), out)
    names = {r["name"] for r in written["rows"]}
    for line in ("gpu_step_small_vs_eager", "gpu_step_small_vs_best_peer",
                 "gpu_reverse_small_vs_eager", "gpu_lenet_vs_best_peer", "gpu_resnet18_vs_torch",
                 "gpu_resnet18_reverse_vs_torch", "gpu_grid_encoder_share",
                 "gpu_paper_run_seconds"):  # fmt: skip
        need(line in names, f"no line {line}")
    for name in ("times small", "times small, walk grid"):
        need(written["facts"][name]["step"] > 0, f"no {name}")
    for word in ("grid", "cluster"):
        need(f"small hypergradient by {word}" in names, f"no walk by {word}")


def without_a_device_it_fails_at_once():
    with tempfile.TemporaryDirectory() as empty:
        status, written, out = check("--build", empty)
    need(status == 1 and [r["status"] for r in written["rows"]] == ["fail"], out)


# Runs what it is given; says by which way the walk waits, where there is one.
SANITIZER = """#!/bin/sh
shift 4
"$@" && echo "ERROR SUMMARY: 0 errors, walk: $DRMAD_CUDA_WALK"
"""


def the_sanitizer_sees_the_tests():
    with tempfile.TemporaryDirectory() as folder:
        tool = pathlib.Path(folder) / "compute-sanitizer"
        tool.write_text(SANITIZER)
        tool.chmod(0o755)
        env = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
        status, written, out = check("--only", "machine,sanitizer", env=env)
    rows = [r for r in written["rows"] if r["section"] == "sanitizer"]
    need(status == 0 and len(rows) == 10 and all(r["status"] == "pass" for r in rows), out)
    walked = [r["name"] for r in rows if r["detail"].endswith("walk: grid")]
    need(walked == ["racecheck cuda_rows by grid"], f"{walked}: {out}")


TESTS = [(f.__name__, f) for f in (the_dry_run_passes, without_a_device_it_fails_at_once,
                                   the_sanitizer_sees_the_tests)]  # fmt: skip

if __name__ == "__main__":
    run_named(TESTS, sys.argv[1:])
