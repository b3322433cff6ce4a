#!/usr/bin/env python3
"""run.py COMMAND [PART]: the faults that need a process of its own: kills, signals, full disks,
folders that cannot be written, threads, locales. F20 to F25, F43, F44 of the fault matrix.

Each prints "PASS name" or "FAIL name". DRMAD_LONG=1 for the full counts. PART runs only the tests
whose name contains it."""

import json
import os
import pathlib
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from named import Wrong, need  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
LONG = os.environ.get("DRMAD_LONG") == "1"
LIMIT_S = 60
RESULTS = ("weights.safetensors", "hyperparameters.safetensors")

STUDY = """
name: faults
seed: 5
data: {kind: synthetic-digits, train: 100, valid: 60, test: 40}
model: {layers: [auto, 6, auto]}
train: {steps: 20, batch: 10}
hyper:
  - {kind: l2, per: unit-in, start: 1e-3}
  - {kind: lr, per: layer, phases: 2}
outer: {steps: 4, lr: 0.2}
retrain: {seeds: 2}
output: {checkpoint_minutes: 0}
"""
# A study that lasts long enough to be hit: about a second on a fast machine.
SLOW = ("train.steps=800", "outer.steps=24")


def heed_signals():
    """A shell's background jobs ignore SIGINT, nohup's SIGHUP, and so would what they start."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


class Bench:
    """A scratch folder with the study, the command and the library that makes faults."""

    def __init__(self, command, folder):
        self.folder = pathlib.Path(folder)
        # copies: the checkout may lie where the other user of f24 cannot enter
        self.command = shutil.copy(command, self.folder / "drmad")
        for library in command.parent.glob("libdrmad.so.0"):
            shutil.copy(library, self.folder)
        (self.folder / "study.yaml").write_text(STUDY)
        self.fault = self.folder / "fault.so"
        subprocess.run(
            ["cc", "-shared", "-fPIC", "-O1", "-D_GNU_SOURCE", "-o", self.fault]
            + [HERE / "fault.c", "-ldl"],
            check=True,
        )

    def argv(self, out, *more, call="tune"):
        return [self.command, call, "study.yaml", "-q", "-o", out, *more]

    def env(self, **more):
        env = {k: v for k, v in os.environ.items() if not k.startswith("DRMAD_")}
        env.update({"LC_ALL": "C", "LD_LIBRARY_PATH": str(self.folder), **more})
        return env

    def run(self, out, *more, fault=None, env=None, prefix=(), preexec=None, call="tune"):
        """Runs to the end: (status, standard error); a signal gives -number."""
        extra = dict(env or {})
        if fault:
            extra.update(LD_PRELOAD=str(self.fault), DRMAD_FAULT=fault)
        p = subprocess.run(
            [*prefix, *self.argv(out, *more, call=call)],
            cwd=self.folder,
            env=self.env(**extra),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            timeout=LIMIT_S,
            preexec_fn=preexec,
        )
        return p.returncode, p.stderr.decode(errors="replace")

    def start(self, out, *more):
        return subprocess.Popen(
            self.argv(out, *more),
            cwd=self.folder,
            env=self.env(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            preexec_fn=heed_signals,
        )

    def fine(self, out, *more, **options):
        status, said = self.run(out, *more, **options)
        need(status == 0, f"{out}: status {status}: {said}")

    def clear(self, out):
        shutil.rmtree(self.folder / out, ignore_errors=True)

    def same(self, a, b):
        """The same result but for times and machine, the same tensors byte by byte."""
        a, b = self.folder / a, self.folder / b
        need(result_of(a) == result_of(b), f"{a.name}, {b.name}: other results")
        for name in RESULTS:
            need((a / name).read_bytes() == (b / name).read_bytes(), f"{b.name}: other {name}")
        for line in (b / "log.jsonl").read_text().splitlines():
            json.loads(line)
        left = [p.name for p in b.iterdir() if p.name.endswith(".tmp")]
        need(not left, f"{b.name}: left behind {left}")


def without_times(x):
    if isinstance(x, dict):
        drop = ("seconds", "versions")
        return {k: without_times(v) for k, v in x.items() if k not in drop}
    return [without_times(v) for v in x] if isinstance(x, list) else x


def result_of(folder):
    return without_times(json.loads((folder / "result.json").read_text()))


# ---- F20: killed at any instant ----


def f20_killed_at_random_instants(b):
    rng = random.Random(20)
    start = time.monotonic()
    b.fine("whole", *SLOW)
    lasts = time.monotonic() - start
    kills = 0
    for _ in range(200 if LONG else 5):
        b.clear("cut")
        for resume in ((), ("--resume",)):
            p = b.start("cut", *SLOW, *resume)
            try:
                p.wait(rng.uniform(0, lasts))
            except subprocess.TimeoutExpired:
                p.kill()
                kills += 1
            p.communicate()
        b.fine("cut", *SLOW, "--resume")
        b.same("whole", "cut")
    need(kills > 0, "no run was hit")


# ---- F21: signals ----


def wait_for(path, p):
    """Until the file is there."""
    end = time.monotonic() + LIMIT_S
    while not path.exists():
        need(p.poll() is None, f"ended before {path.name} was there")
        need(time.monotonic() < end, f"{path.name} never came")
        time.sleep(0.005)


def f21_signals_end_after_a_checkpoint(b):
    b.fine("whole", *SLOW)
    for sig, status in ((signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 130)):
        b.clear("cut")
        p = b.start("cut", *SLOW)
        wait_for(b.folder / "cut" / "checkpoint.safetensors", p)
        p.send_signal(sig)
        said = p.communicate(timeout=LIMIT_S)[1].decode()
        need(p.returncode == status, f"{sig.name}: status {p.returncode}, wanted {status}")
        need("--resume" in said, f"{sig.name}: {said}")
        b.fine("cut", *SLOW, "--resume")
        b.same("whole", "cut")


def f21_a_second_signal_ends_at_once(b):
    """While it draws a million digits it looks at no flag: the first signal alone would wait."""
    p = b.start("busy", "data.train=1000000")
    time.sleep(0.3)
    start = time.monotonic()
    p.terminate()
    time.sleep(0.1)
    p.terminate()
    p.communicate(timeout=LIMIT_S)
    need(p.returncode == 143, f"status {p.returncode}")
    need(time.monotonic() - start < 2, f"took {time.monotonic() - start:.1f} s")


def f21_usr1_writes_a_checkpoint_and_goes_on(b):
    rare = (*SLOW, "output.checkpoint_minutes=1000")
    b.fine("whole", *rare)
    b.clear("cut")
    p = b.start("cut", *rare)
    wait_for(b.folder / "cut" / "log.jsonl", p)
    p.send_signal(signal.SIGUSR1)
    p.communicate(timeout=LIMIT_S)
    need(p.returncode == 0, f"status {p.returncode}")
    b.same("whole", "cut")


# ---- F22, F23: every step of every file, struck in turn ----


def strike_everywhere(b, whats, step, check):
    """`check(fault, status, said)` after each fault; until a fault comes too late to strike."""
    b.fine("whole")
    struck = 0
    for what in whats:
        n = 1
        while True:
            b.clear("cut")
            status, said = b.run("cut", fault=f"{what[0]}:{n}:{what[1]}")
            if status == 0:
                break
            struck += 1
            check(f"{what[0]}:{n}:{what[1]}", status, said)
            b.fine("cut", "--resume")
            b.same("whole", "cut")
            n += step
    need(struck > 10, f"only {struck} faults struck")


def f22_killed_at_every_step_of_writing_files(b):
    def check(fault, status, said):
        need(status == -signal.SIGKILL, f"{fault}: status {status}: {said}")

    whats = [("rename", "kill"), ("rename", "after"), ("fsync", "kill"), ("write", "half")]
    strike_everywhere(b, whats, 1 if LONG else 3, check)


def f23_a_full_disk_is_status_6_and_the_checkpoint_holds(b):
    def check(fault, status, said):
        need(status == 6, f"{fault}: status {status}: {said}")
        need("cut" in said and ("No space" in said or "Input/output" in said), f"{fault}: {said}")

    whats = [("write", "full"), ("fsync", "io"), ("rename", "io")]
    strike_everywhere(b, whats, 1 if LONG else 3, check)


def f23_a_file_that_may_not_grow(b):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    status, said = b.run("cut", preexec=limit)
    need(status == 6, f"status {status}: {said}")
    need("File too large" in said, said)
    b.fine("cut", "--resume")


def f23_a_full_file_system(b):
    """A real one of 512 KiB, where this user may mount it; else the two tests above stand alone."""
    script = "mount -t tmpfs -o size=512k none small && exec \"$@\""
    (b.folder / "small").mkdir()
    probe = ["unshare", "-rm", "sh", "-c", "mount -t tmpfs -o size=512k none small"]
    if subprocess.run(probe, cwd=b.folder, capture_output=True).returncode != 0:
        return
    for wide in ("6", "200"):  # fits; does not
        status, said = b.run(
            "small/r",
            f"model.layers=[auto, {wide}, auto]",
            prefix=("unshare", "-rm", "sh", "-c", script, "sh"),
        )
        want = 0 if wide == "6" else 6
        need(status == want, f"{wide} units: status {status}: {said}")


# ---- F24: nowhere to write ----


def quick(b, out, *more, want=2, **options):
    start = time.monotonic()
    status, said = b.run(out, *more, **options)
    took = time.monotonic() - start
    need(status == want, f"{out}: status {status}: {said}")
    need(took < 1, f"{out}: {took:.2f} s")
    return said


def f24_an_output_that_cannot_be_written_is_told_at_once(b):
    big = "data.train=1000000"  # were it drawn first, a second would not do
    (b.folder / "file").write_text("mine")
    for out in ("file", "file/r", "/proc/r", "/dev/null", "x" * 300, "a/" * 600 + "r"):
        said = quick(b, out, big)
        need(out[:40] in said or "too long" in said, f"{out[:40]}: {said}")
    need((b.folder / "file").read_text() == "mine", "the file was changed")


def f24_a_folder_of_somebody_else(b):
    (b.folder / "theirs").mkdir(mode=0o755)
    os.chmod(b.folder, 0o755)
    if os.getuid() == 0:
        said = quick(b, "theirs/r", preexec=lambda: os.setuid(65534))
    else:
        os.chmod(b.folder / "theirs", 0o555)
        said = quick(b, "theirs/r")
    need("theirs" in said and "Permission denied" in said, said)


def f24_a_read_only_file_system(b):
    """Where this user may mount one."""
    (b.folder / "fixed").mkdir()
    script = "mount --bind fixed fixed && mount -o remount,ro,bind fixed"
    prefix = ("unshare", "-rm", "sh", "-c")
    if subprocess.run([*prefix, script], cwd=b.folder, capture_output=True).returncode != 0:
        return
    for out in ("fixed", "fixed/r"):
        said = quick(b, out, prefix=(*prefix, script + ' && exec "$@"', "sh"))
        need("Read-only" in said, said)


def f24_a_spill_folder_that_is_not_there(b):
    more = ("trajectory.kind=replay", "trajectory.spill_dir=/nowhere/at/all")
    said = quick(b, "r", *more)
    need("/nowhere/at/all" in said, said)


# ---- F25, F43, F44: nothing changes the bits ----


def f25_short_and_interrupted_writes(b):
    b.fine("whole")
    for what in ("short", "eintr"):
        b.fine("cut", fault=f"write:1:{what}")
        b.same("whole", "cut")


def f43_threads(b):
    large = ("model.layers=[auto, 200, auto]", "train.batch=50")
    b.fine("whole", *large, "-j", "1")
    for threads in ("2", "5"):
        env = {"OMP_NUM_THREADS": "3", "OPENBLAS_NUM_THREADS": "1"}
        b.fine("cut", *large, "-j", threads, env=env)
        b.same("whole", "cut")


def f44_run_to_run(b):
    b.fine("whole")
    for _ in range(100 if LONG else 3):
        b.fine("cut")
        b.same("whole", "cut")
    b.fine("cut", prefix=("setarch", "-R"))
    b.same("whole", "cut")


def f44_surroundings(b):
    b.fine("whole")
    for env in ({"LC_ALL": "de_DE.UTF-8"}, {"LANG": "fr_FR"}, {"TZ": "Asia/Kathmandu"}):
        b.fine("cut", env=env)
        b.same("whole", "cut")
    b.clear("cut")
    b.fine("cut", preexec=lambda: os.umask(0o077))
    b.same("whole", "cut")
    for p in (b.folder / "cut").iterdir():
        need(p.stat().st_mode & 0o077 == 0, f"{p.name}: umask not kept")


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    command = pathlib.Path(sys.argv[1]).resolve()
    part = sys.argv[2] if len(sys.argv) == 3 else ""
    failed = 0
    for name, test in list(globals().items()):
        if name[0] != "f" or not name[1:3].isdigit() or part not in name:
            continue
        with tempfile.TemporaryDirectory(prefix="drmad-faults-") as folder:
            try:
                test(Bench(command, folder))
                print(f"PASS {name}", flush=True)
            except (Wrong, OSError, subprocess.SubprocessError) as e:
                failed += 1
                print("\n".join("  " + s for s in str(e).splitlines()))
                print(f"FAIL {name}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
