#!/usr/bin/env python3
"""make_shards.py SOURCE OUT PREFIX: pictures and their classes into tar files that drmad reads with
data.kind: shards (WebDataset's layout: 0000017.jpg beside 0000017.cls). Needs only Python.

SOURCE is one of
  a folder with a folder of pictures a class (ImageNet's train folder as Kaggle has it);
  ILSVRC2012_img_train.tar, a tar of a tar a class: nothing is unpacked;
  a folder or a tar of pictures without folders (the validation set), with --labels FILE, a line a
  picture: its name, then its class (LOC_val_solution.csv is such a file).

Classes are numbered in the order of their names. The first call writes them to OUT/classes.txt;
later ones (the validation set) take their numbers from there. Pictures are shuffled by --seed."""

import argparse
import io
import pathlib
import random
import re
import tarfile

ENDINGS = (".jpg", ".jpeg", ".png")


def from_tar(path, labels):
    """(class, ending, place in the file) of every picture of a tar, or of the tars in it."""
    with tarfile.open(path) as outer:
        for m in outer:
            if m.name.endswith(".tar"):
                with tarfile.open(fileobj=outer.extractfile(m)) as inner:
                    for k in inner:
                        if k.isfile():
                            place = (path, m.offset_data + k.offset_data, k.size)
                            yield pathlib.Path(m.name).stem, pathlib.Path(k.name), place
            elif m.isfile():
                name = pathlib.Path(m.name)
                yield labels.get(name.stem), name, (path, m.offset_data, m.size)


def from_folder(path, labels):
    for p in sorted(path.rglob("*")):
        if p.is_file():
            label = labels[p.stem] if labels else p.relative_to(path).parts[0]
            yield label, p, (p, 0, p.stat().st_size)


def read_labels(path):
    """{name without ending: class}; commas or blanks between, a first line of titles is fine."""
    labels = {}
    for line in path.read_text().splitlines():
        words = re.split(r"[,\s]+", line.strip())
        if len(words) > 1:
            labels[pathlib.Path(words[0]).stem] = words[1]
    return labels


def read(place):
    path, offset, size = place
    with open(path, "rb") as f:
        f.seek(offset)
        return f.read(size)


def add(shard, name, data):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    shard.addfile(info, io.BytesIO(data))


def numbers(out, names):
    """{class: number}, from classes.txt where there is one."""
    path = out / "classes.txt"
    if not path.exists():
        path.write_text("".join(f"{n}\n" for n in sorted(names)))
    known = path.read_text().split()
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise SystemExit(f"{path}: no class {unknown[0]}")
    return {name: i for i, name in enumerate(known)}


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("source", type=pathlib.Path)
    ap.add_argument("out", type=pathlib.Path)
    ap.add_argument("prefix", help="shards are OUT/PREFIX-0000.tar, ...")
    ap.add_argument("--labels", type=pathlib.Path, help="classes of pictures without folders")
    ap.add_argument("--per", type=int, default=10000, help="pictures a shard [10000]")
    ap.add_argument("--seed", type=int, default=0)
    a = ap.parse_args()

    labels = read_labels(a.labels) if a.labels else {}
    source = from_folder if a.source.is_dir() else from_tar
    found = [f for f in source(a.source, labels) if f[1].suffix.lower() in ENDINGS]
    lost = [name for label, name, _ in found if not label]
    if lost or not found:
        raise SystemExit(f"{lost[0]}: no class" if lost else f"{a.source}: no pictures")
    a.out.mkdir(parents=True, exist_ok=True)
    number = numbers(a.out, {label for label, _, _ in found})
    random.Random(a.seed).shuffle(found)
    for first in range(0, len(found), a.per):
        path = a.out / f"{a.prefix}-{first // a.per:04d}.tar"
        with tarfile.open(path, "w") as shard:
            for i, (label, name, place) in enumerate(found[first : first + a.per], first):
                add(shard, f"{i:07d}{name.suffix.lower().replace('jpeg', 'jpg')}", read(place))
                add(shard, f"{i:07d}.cls", b"%d\n" % number[label])
        print(path, flush=True)


if __name__ == "__main__":
    main()
