"""peer_pillow.py DRAWS SIDE ROUNDS: seconds a picture, best of the rounds, that Pillow takes for
the very parts, shifts and flips of a file of draws (bench_images list), as torchvision's transforms
on PIL images do them: open, RGB, crop and resize in one call, flip; or pad, crop, flip. The result
is a NumPy array."""

import sys
import time

import numpy as np
from PIL import Image, ImageOps

PAD = 4


def part(path, side, x, y, width, height, mirror):
    im = Image.open(path).convert("RGB")
    im = im.resize((side, side), Image.BILINEAR, box=(x, y, x + width, y + height))
    return np.asarray(im.transpose(Image.FLIP_LEFT_RIGHT) if mirror else im)


def moved(path, side, dx, dy, mirror):
    im = ImageOps.expand(Image.open(path).convert("RGB"), PAD)
    im = im.crop((PAD - dx, PAD - dy, PAD - dx + side, PAD - dy + side))
    return np.asarray(im.transpose(Image.FLIP_LEFT_RIGHT) if mirror else im)


def main():
    draws, side, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    work = []
    for line in open(draws):
        path, *numbers = line.rstrip("\n").split("\t")
        x, y, width, height, mirror = map(int, numbers)
        work.append((path, x, y, width, height, mirror))
    best = float("inf")
    for _ in range(rounds):
        start = time.process_time()
        for path, x, y, width, height, mirror in work:
            if width:
                part(path, side, x, y, width, height, mirror)
            else:
                moved(path, side, x, y, mirror)
        best = min(best, (time.process_time() - start) / len(work))
    print(f"{best:.9f}")


if __name__ == "__main__":
    main()
