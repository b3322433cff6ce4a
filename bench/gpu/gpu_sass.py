#!/usr/bin/env python3
"""gpu_sass: what the compiler made of the kernels, read from their machine code.

    bench/gpu/gpu_sass.py build/release/cuda_kernels.o [--arch sm_90] [--all] [--json]

Nothing is run and nothing is timed. For each product and convolution the script looks for the
shortest way round the loop that fetches, stores into shared memory, multiplies and waits at the
barrier: the way of full tiles whose operands lie at multiples of 16 bytes. Of what is issued on it:

    regs, spill   registers of a thread; bytes of them in memory (stack)
    blocks        of 256 threads that a multiprocessor holds at once
    inner, round  share of multiply-adds: in the loop over k alone, on the whole way round
    LDS, LDG      widths of loads, from shared and from global memory, on the way round
    wide          64-bit integer instructions on the way round; div: divisions (0 is good)
    passes        of a warp's reads of shared memory for one k: least, most. By a model: a quarter
                  of a warp at a time reads 16 bytes a thread, half of it 8; `most` counts these one
                  by one, `least` merges those that fit 128 bytes. bank: conflicts of the stores
    ceiling       the lower of `round` and what the reads of shared memory leave (at `least`),
                  as a share of the multiply-adds that a multiprocessor can issue

cuobjdump is looked for on the PATH, in CUDA's folder, and in $CUOBJDUMP
(PyPI: nvidia-cuda-cuobjdump, with nvidia-cuda-nvdisasm)."""

import argparse
import collections
import heapq
import json
import os
import re
import shutil
import subprocess
import sys

THREADS = 256
# registers, threads, bytes of shared memory of a multiprocessor; multiply-adds it issues a clock,
# in warps: F32, F64 (CUDA C++ Programming Guide 13.0, "Compute Capabilities")
CHIP = {
    "sm_80": {"regs": 65536, "threads": 2048, "shared": 164 << 10, "f32": 2, "f64": 1},
    "sm_90": {"regs": 65536, "threads": 2048, "shared": 228 << 10, "f32": 4, "f64": 2},
}
# TM, TN, DOWN and the bytes of a step's k's: body_typed.h
TILES = {
    "": (4, 4, 16, 128),
    "small": (2, 2, 16, 256),
    "large": (8, 8, 16, 64),
    "narrow": (8, 4, 32, 64),
    "tall": (8, 4, 16, 64),
    "wide": (4, 8, 16, 64),
}
TILED = r"(matmul|conv|conv_dx|conv_dw)(_(small|large|narrow|tall|wide))?_f(32|64)$"
PRODUCTS = ("matmul", "conv", "conv_dx", "conv_dw")


# ---- reading ----

Instr = collections.namedtuple("Instr", "at op text")
Block = collections.namedtuple("Block", "first code next")


INSTR = r"\s+/\*([0-9a-f]{4,})\*/\s+(?:\{ *)?(@!?U?P\w+ )?\s*(\S+?)[ ;](.*?);"


def tool():
    found = os.environ.get("CUOBJDUMP") or shutil.which("cuobjdump")
    found = found or shutil.which("/usr/local/cuda/bin/cuobjdump")
    if not found:
        sys.exit("gpu_sass: no cuobjdump; PyPI has it as nvidia-cuda-cuobjdump (or set CUOBJDUMP)")
    return found


def dump(path, arch, what):
    command = [tool(), "-arch", arch, what, path]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def plain_name(mangled):
    """_Z23matmul_large_f32_kernel11matmul_args -> matmul_large_f32."""
    m = re.match(r"_Z(\d+)", mangled)
    name = mangled[m.end() : m.end() + int(m.group(1))] if m else mangled
    return name.removesuffix("_kernel")


def read_code(text):
    kernels, now = {}, None
    for line in text.splitlines():
        m = re.search(r"Function : (\S+)", line)
        if m:
            now = kernels.setdefault(plain_name(m.group(1)), [])
        m = re.match(INSTR, line + " ;")
        if m and now is not None:
            now.append(Instr(int(m.group(1), 16), m.group(3), (m.group(2) or "") + m.group(4)))
    return kernels


def read_use(text):
    use = {}
    for m in re.finditer(r"Function (\S+):\s+REG:(\d+) STACK:(\d+) SHARED:(\d+)", text):
        use[plain_name(m.group(1))] = {"regs": int(m.group(2)), "stack": int(m.group(3))}
    return use


# ---- the way round ----


GUARD = r"\s*@?!?U?P\d"


def is_jump(i):
    """sm_80's compiler leaves loops by calls under a condition; other calls come back."""
    kind = i.op.split(".")[0]
    return kind == "BRA" or kind == "CALL" and bool(re.match(GUARD, i.text))


def target_of(i):
    m = re.findall(r"0x([0-9a-f]+)", i.text)
    return int(m[-1], 16) if is_jump(i) and m else None


def blocks_of(code):
    """Basic blocks by first address, with their followers."""
    starts, ends = {code[0].at}, ("EXIT", "BRX", "RET", "BREAK")
    for i, j in zip(code, code[1:]):
        if is_jump(i) or i.op.split(".")[0] in ends:
            starts.add(j.at)
            if target_of(i) is not None:
                starts.add(target_of(i))
    blocks, now = {}, None
    for i in code:
        if i.at in starts:
            now = blocks[i.at] = Block(i.at, [], [])
        now.code.append(i)
    order = sorted(blocks)
    for at, behind in zip(order, order[1:] + [None]):
        b, last = blocks[at], blocks[at].code[-1]
        always = (is_jump(last) or is_op(last, *ends)) and not re.match(GUARD, last.text)
        if target_of(last) in blocks:
            b.next.append(target_of(last))
        if behind and not always:
            b.next.append(behind)
    return blocks


def is_op(i, *ops):
    return i.op.split(".")[0] in ops


def bytes_of(code, *ops):
    width = {"128": 16, "64": 8}
    return sum(width.get(i.op.split(".")[-1], 4) for i in code if is_op(i, *ops))


def way_round(blocks, need, multiplies):
    """The shortest way from the barrier back to it that fetches and stores `need` bytes and does
    all that a step multiplies; a block that is its own follower does, however often."""
    want, best = (multiplies, need, need), None
    for start in (b for b in blocks.values() if any(is_op(i, "BAR") for i in b.code)):
        heap, seen = [(0, start.first, (0, 0, 0), (start.first,))], set()
        while heap:
            cost, at, got, way = heapq.heappop(heap)
            if (at, got) in seen:
                continue
            seen.add((at, got))
            b = blocks[at]
            loops = at in b.next and fmas(b.code) > 0
            more = (
                multiplies if loops else fmas(b.code),
                bytes_of(b.code, "LDG", "LD"),
                bytes_of(b.code, "STS"),
            )
            got = tuple(min(g + m, w) for g, m, w in zip(got, more, want))
            cost += len(b.code)
            if start.first in b.next and got == want:
                if best is None or cost < best[0]:
                    best = (cost, way)
                break
            for n in b.next:
                if n != at:
                    heapq.heappush(heap, (cost, n, got, way + (n,)))
    return best[1] if best else ()


def fmas(code):
    return sum(is_op(i, "FFMA", "DFMA") for i in code)


def inner_loops(blocks, way):
    """What multiplies: the loop over k, or all of it where the compiler wrote it out."""
    return [i for at in way for i in blocks[at].code if fmas(blocks[at].code) > 0]


# ---- shared memory, by a model of its banks ----


class Tile:
    def __init__(self, name, size):
        self.tm, self.tn, self.down, step = TILES[name]
        self.step, self.across = step // size, THREADS // self.down
        if name not in ("", "small", "narrow"):
            self.step = 16
        self.edge = (self.down * self.tm, self.across * self.tn)
        self.each = [e * self.step // THREADS for e in self.edge]
        self.bytes = 2 * self.step * sum(self.edge) * size
        self.size = size

    def fmas(self):
        return self.tm * self.tn * self.step

    def swap(self, side, k):
        return k // self.each[side] * (self.edge[side] // 8)

    def place(self, side, k, column):
        return (k * self.edge[side] + (column ^ self.swap(side, k))) * self.size

    def reads(self):
        """Of one k by warp 0: (least, most) passes."""
        least = most = 0
        for side, each in enumerate((self.tm, self.tn)):
            run = min(each, 4)
            for first in range(0, each, run):
                lanes = []
                for t in range(32):
                    at = t // 16 * 2 + t % 2 if side == 0 else t % 16 // 2
                    lanes.append(self.place(side, 0, at * run) + first * self.size)
                for piece in range(0, run * self.size, 16):
                    width = min(16, run * self.size)
                    one = passes([a + piece for a in lanes], width)
                    least, most = least + one[0], most + one[1]
        return least, most

    def stores(self, along):
        """Passes of a warp's stores over what they need at least, of the worse operand."""
        worst = 1
        for side, edge in enumerate(self.edge):
            n = self.each[side]
            lanes, run = [], min(n, 4)
            for t in range(32):
                if along:
                    lane, k = t // (THREADS // edge), t % (THREADS // edge) * n
                else:
                    lane, k = t % (edge // run) * run, t // (edge // run)
                lanes.append(self.place(side, k, lane))
            width = self.size if along else min(16, run * self.size)
            need = max(1, len(set(lanes)) * width // 128)
            worst = max(worst, passes(lanes, width)[1] / need)
        return worst


def passes(lanes, width):
    """Of one instruction, 4, 8 or 16 bytes a thread: where all words fit together, and with each
    quarter or half of the warp by itself."""
    part = {4: 32, 8: 16, 16: 8}[width]
    most = sum(conflict(lanes[i : i + part], width) for i in range(0, 32, part))
    return conflict(lanes, width), most


def conflict(lanes, width):
    banks = collections.defaultdict(set)
    for a in lanes:
        for word in range(a // 4, (a + width) // 4):
            banks[word % 32].add(word)
    return max(len(b) for b in banks.values())


# ---- the table ----


def widths(code, op):
    n = collections.Counter()
    for i in code:
        if is_op(i, op):
            m = re.search(r"\.(128|64|U8|U16)", i.op)
            n[m.group(1) if m else "32"] += 1
    return dict(n)


def is_wide_int(i):
    return bool(re.match(r"(IMAD\.WIDE|IADD3\.X|IMAD\.X|LEA\.HI\.X|ISETP\.\w+(\.\w+)*\.EX)", i.op))


def product_row(name, code, row, chip):
    base, size = name.rsplit("_", 1)[0], 4 if name.endswith("f32") else 8
    kind = next(k for k in sorted(PRODUCTS, key=len, reverse=True) if base.startswith(k))
    tile = Tile(base[len(kind) :].strip("_"), size)
    blocks = blocks_of(code)
    way = way_round(blocks, sum(tile.each) * size, tile.fmas())
    if not way:
        return
    inner = inner_loops(blocks, way)
    whole = [i for b in way for i in blocks[b].code]
    outer = len(whole) - len(inner)
    issued = outer + tile.fmas() / fmas(inner) * len(inner)
    least, most = tile.reads()
    row["inner"] = fmas(inner) / len(inner)
    row["round"] = tile.fmas() / issued
    row["LDS"], row["LDG"] = widths(inner, "LDS"), widths(whole, "LDG")
    row["off"] = outer
    row["spill in loop"] = sum(is_op(i, "LDL", "STL") for i in whole)
    row["wide"] = sum(map(is_wide_int, whole))
    row["div"] = sum(is_op(i, "MUFU", "CALL", "I2F") for i in whole)
    row["passes"] = (least, most)
    row["bank"] = (tile.stores(True), tile.stores(False))
    row["shared"] = tile.bytes
    lanes = chip["f32" if size == 4 else "f64"]
    left = [tile.tm * tile.tn / lanes / n for n in (least, most)]
    row["ceiling"] = [min(row["round"], x) for x in left]


def residents(row, chip):
    regs = -(-row["regs"] // 8) * 8 * THREADS
    n = min(chip["regs"] // regs, chip["threads"] // THREADS)
    if row.get("shared"):
        n = min(n, chip["shared"] // (row["shared"] + 1024))
    return n


def table_of(path, arch):
    use, chip, rows = read_use(dump(path, arch, "-res-usage")), CHIP[arch], {}
    for name, code in read_code(dump(path, arch, "-sass")).items():
        row = rows[name] = dict(use[name], instrs=len(code))
        if re.match(TILED, name):
            product_row(name, code, row, chip)
        row["blocks"] = residents(row, chip)
    return rows


def show(rows, everything):
    percent = lambda x: "-" if x is None else f"{100 * x:.0f}"  # noqa: E731
    both = lambda d: " ".join(f"{n}x{w}" for w, n in sorted(d.items()))  # noqa: E731
    print("kernel                regs stack blocks inner% round% off  LDS         LDG"
          "                wide div passes bank ceiling%")
    for name, r in sorted(rows.items()):
        if "round" in r:
            print(
                f"{name:22}{r['regs']:4}{r['stack']:6}{r['blocks']:5}{percent(r['inner']):>8}"
                f"{percent(r['round']):>7}{r['off']:5}  {both(r['LDS']):12}{both(r['LDG']):20}"
                f"{r['wide']:3}{r['div']:4}  {r['passes'][0]}-{r['passes'][1]}"
                f"  {r['bank'][0]:.0f},{r['bank'][1]:.0f}"
                f"  {percent(r['ceiling'][1])}-{percent(r['ceiling'][0])}"
            )
    for name, r in sorted(rows.items()):
        if "round" not in r and everything:
            print(f"{name:22}{r['regs']:4}{r['stack']:6}{r['blocks']:5}   {r['instrs']} in all")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("object", help="cuda_kernels.o, a cubin, or libdrmad_cuda.so")
    p.add_argument("--arch", default="sm_90", choices=sorted(CHIP))
    p.add_argument("--all", action="store_true", help="the other kernels too")
    p.add_argument("--json", action="store_true")
    a = p.parse_args()
    rows = table_of(a.object, a.arch)
    if a.json:
        print(json.dumps(rows, indent=1))
    else:
        show(rows, a.all)


if __name__ == "__main__":
    main()
