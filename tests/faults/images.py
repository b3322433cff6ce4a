#!/usr/bin/env python3
"""images.py COMMAND [PART]: hostile and damaged pictures and archives through the command itself,
with a limit on its memory. F01 and F02 for CIFAR and tar, F03, F06 to F10 and the image rows of F13
of the fault matrix; the readers' own cases are tests/attacks.

Each prints "PASS name" or "FAIL name"."""

import gzip
import io
import os
import pathlib
import pickle
import resource
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[0]))
from named import need, run_named  # noqa: E402

ATTACKS = HERE.parent / "attacks"
GOOD = (HERE.parent / "fuzz" / "corpus" / "image" / "grey").read_bytes()
LIMIT_S = 60
LIMIT_BYTES = 1 << 30  # of address space: libraries included
STUDY = """
name: images
data: {dir: set, train: 8, valid: 4, test: rest}
model: {layers: [auto, 3, auto]}
train: {steps: 4, batch: 4}
"""


class Desk:
    """A folder with a study and a set of twenty good pictures in two classes."""

    def __init__(self, command, folder):
        self.command, self.folder = command, pathlib.Path(folder)
        (self.folder / "study.yaml").write_text(STUDY)
        self.set = self.folder / "set"

    def fresh(self):
        shutil.rmtree(self.set, ignore_errors=True)
        for i in range(20):
            place = self.set / f"class{i % 2}"
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{i:02d}.jpg").write_bytes(GOOD)

    def run(self, *settings, call="train"):
        """(status, everything it said)."""
        p = subprocess.run(
            [self.command, call, "study.yaml", "-q", "-o", "out", "-j", "2", *settings],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=LIMIT_S,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (LIMIT_BYTES,) * 2),
        )
        return p.returncode, p.stdout.decode(errors="replace")

    def ends(self, status, words, *settings):
        got, said = self.run(*settings)
        need(got == status, f"status {got}, expected {status}: {said[-400:]}")
        for word in [words] if isinstance(words, str) else words:
            need(word in said, f"no \"{word}\" in: {said[-400:]}")


FOLDER = ("data.kind=folder", "data.size=8")


def shards(*names):
    return ("data.kind=shards", "data.size=8", "data.images=" + ",".join(names))


def tar_of(*members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as t:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            t.addfile(info, io.BytesIO(data))
    return out.getvalue()


def good_tar(n=20, classes=2):
    members = []
    for i in range(n):
        members += [(f"{i:04d}.jpg", GOOD), (f"{i:04d}.cls", b"%d" % (i % classes))]
    return tar_of(*members)


def the_good_sets_are_read(b):
    b.fresh()
    b.ends(0, "written to out", *FOLDER)
    (b.set / "a.tar").write_bytes(good_tar())
    b.ends(0, "written to out", *shards("a.tar"))


def f01_cut_and_long_files(b):
    b.fresh()
    record = b"\1" + bytes(3072)
    for i in range(1, 6):
        (b.set / f"data_batch_{i}.bin").write_bytes(record * 4)
    b.ends(0, "written", "data.kind=cifar")
    for data in (record * 4 + b"x", record * 3 + record[:100], b""):
        (b.set / "data_batch_3.bin").write_bytes(data)
        b.ends(3, "data_batch_3.bin", "data.kind=cifar")
    whole = good_tar()
    for cut in (0, 100, 512, 700, 5000, len(whole) // 2, len(whole.rstrip(b"\0"))):
        (b.set / "a.tar").write_bytes(whole[:cut])
        b.ends(3, "a.tar", *shards("a.tar"))


def f06_pickles_anywhere(b):
    b.fresh()
    blob = pickle.dumps({"data": b"x" * 100})
    (b.set / "class0" / "04.jpg").write_bytes(blob)
    b.ends(7, ("class0/04.jpg", "can run code"), *FOLDER)
    b.fresh()
    (b.set / "data_batch_1").write_bytes(blob)
    b.ends(7, "get the binary version", "data.kind=cifar")
    (b.set / "a.tar").write_bytes(tar_of(("0.jpg", GOOD), ("0.pyd", blob), ("0.cls", b"0")))
    b.ends(7, ("a.tar", "0.pyd"), *shards("a.tar"))
    with zipfile.ZipFile(b.set / "a.npz", "w") as z:
        z.writestr("archive/data.pkl", blob)
    npz = ("data.kind=npz", "data.file=a.npz", "data.images=x", "data.labels=y")
    b.ends(7, ("a.npz", "numpy.savez"), *npz)


def f07_bad_pictures_by_policy(b):
    lazy = ("data.memory=1MiB", "data.size=200")
    for i, attack in enumerate(sorted((ATTACKS / "image").iterdir())):
        b.fresh()
        (b.set / "class1" / "05.jpg").write_bytes(attack.read_bytes())
        b.ends(7 if attack.name in ("pickle", "zip") else 3, "class1/05.jpg", *FOLDER)
        kept = lazy if i % 4 == 0 else ()  # decoded when it is needed, or at the start
        b.ends(0, "1 picture could not be read", *FOLDER, "data.bad_images=skip", *kept)


def f08_bombs(b):
    b.fresh()
    (b.set / "a.tar.gz").write_bytes(gzip.compress(bytes(64 << 20), 9))
    b.ends(7, ("a.tar.gz", "unpacks to more"), *shards("a.tar.gz"), "data.memory=16MiB")
    with zipfile.ZipFile(b.set / "a.npz", "w", zipfile.ZIP_DEFLATED) as z:
        with z.open("x.npy", "w") as f:
            for _ in range(1024):
                f.write(bytes(1 << 20))
    npz = ("data.kind=npz", "data.file=a.npz", "data.images=x", "data.labels=y")
    b.ends(7, ("a.npz", "x.npy unpacks to more"), *npz, "data.memory=64MiB")


def f09_members_that_lead_out(b):
    for attack in ("up", "absolute", "symlink", "hardlink", "device", "pipe"):
        b.fresh()
        shutil.copy(ATTACKS / "shard" / attack, b.set / "a.tar")
        before = sorted(p.name for p in b.folder.iterdir() if p.name != "out")
        b.ends(7, "a.tar", *shards("a.tar"))
        need(before == sorted(p.name for p in b.folder.iterdir() if p.name != "out"), "wrote files")
    b.fresh()
    (b.set / "class0" / "99.jpg").symlink_to("/etc/passwd")
    b.ends(7, ("99.jpg", "outside of the folder"), *FOLDER)


def f10_names_that_are_commands(b):
    b.fresh()
    for name in ("pipe:touch ran", "file:/etc/passwd", "http://127.0.0.1/a.tar"):
        b.ends(7, "only files are read", *shards(name))
    b.ends(6, "No such file", *shards("$(touch ran).tar"))
    b.ends(6, "No such file", *shards("; touch ran; .tar"))
    need(not (b.folder / "ran").exists() and not (b.set / "ran").exists(), "a shell was started")
    (b.set / "class0" / "a\nb\x1b[31m.jpg").write_bytes(b"no picture")
    got, said = b.run(*FOLDER)
    need(got == 3 and "\x1b" not in said, f"{got}: {said!r}")


def f13_labels_and_folders(b):
    b.fresh()
    (b.set / "a.tar").write_bytes(good_tar(classes=5))
    b.ends(3, ("a.tar", "class 2, expected 0 to 1"), *shards("a.tar"), "data.classes=2")
    (b.set / "empty").mkdir()
    b.ends(3, "set/empty: a class without pictures", *FOLDER)
    b.fresh()
    (b.set / "class0" / "notes.txt").write_text("x")
    b.ends(3, "class0/notes.txt: is not called", *FOLDER)
    b.fresh()
    if os.geteuid() != 0:
        (b.set / "class0" / "00.jpg").chmod(0)
        b.ends(6, "class0/00.jpg: Permission denied", *FOLDER)
    b.ends(3, "No such file", *FOLDER, "data.dir=nowhere")


TESTS = [
    the_good_sets_are_read,
    f01_cut_and_long_files,
    f06_pickles_anywhere,
    f07_bad_pictures_by_policy,
    f08_bombs,
    f09_members_that_lead_out,
    f10_names_that_are_commands,
    f13_labels_and_folders,
]


def on_a_desk(test, command):
    def run():
        with tempfile.TemporaryDirectory() as folder:
            test(Desk(command, folder))

    return run


if __name__ == "__main__":
    drmad = pathlib.Path(sys.argv[1]).resolve()
    run_named([(t.__name__, on_a_desk(t, drmad)) for t in TESTS], sys.argv[2:])
