"""Files to training rows on one core, drmad against Pillow, on the same pictures with the same
draws, in turn: the ImageNet photographs (decode, random-resized crop to 224, flip) and CIFAR-10 as
a folder (decode, square moved by up to 4 pixels, flip). Processor time; of the rounds the fastest,
for both. Ratios above 1: drmad is faster.
"""

import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
DATA = pathlib.Path(os.environ.get("DRMAD_DATA", ROOT / ".." / "shared" / "data"))
OURS = ROOT / "build" / "release" / "bench_images"
PEER = [ROOT / ".venv-images" / "bin" / "python", ROOT / "bench" / "peers" / "peer_pillow.py"]
ROUNDS = 3
# name, archive, folder in it, side, passes over the pictures
SETS = [
    ("image_pipeline_vs_pillow", "imagenet-samples.tar", "imagenet-samples/val", 224, 3),
    ("image_cifar_folder_vs_pillow", "cifar10-imagefolder.tar", "c10/val", 32, 2),
]


def said(command):
    return subprocess.run(
        [str(c) for c in command], check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def compare(name, folder, side, passes):
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as draws:
        draws.write(said([OURS, folder, side, passes, "list"]))
        draws.flush()
        ours = peer = float("inf")
        for _ in range(ROUNDS):
            ours = min(ours, float(said([OURS, folder, side, passes])))
            peer = min(peer, float(said([*PEER, draws.name, side, 1])))
    print(
        f"{name} ratio {peer / ours:.2f} {1 / ours:.0f} pictures a second and core, "
        f"Pillow {1 / peer:.0f}",
        flush=True,
    )


def main():
    subprocess.run([ROOT / "tools" / "images-env"], check=True)
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    for name, archive, folder, side, passes in SETS:
        with tempfile.TemporaryDirectory() as scratch:
            subprocess.run(["tar", "-xf", DATA / archive, "-C", scratch], check=True)
            compare(name, pathlib.Path(scratch) / folder, side, passes)


if __name__ == "__main__":
    sys.exit(main())
