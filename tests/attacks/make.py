#!/usr/bin/env python3
"""Makes the files of tests/attacks and the seeds of tests/fuzz/corpus, each byte by byte.

tests/data/test_attacks.c opens every attack and compares the outcome with expect.tsv (file, status,
a piece of the message); the fuzzers' regression binaries replay all of them.
"""

import gzip, io, os, struct, tarfile, zipfile, zlib

here = os.path.dirname(os.path.abspath(__file__))
rows = []


def save(folder, name, data):
    os.makedirs(os.path.join(here, folder), exist_ok=True)
    with open(os.path.join(here, folder, name), "wb") as f:
        f.write(data)


def attack(name, status, message, data):
    save(os.path.dirname(name), os.path.basename(name), data)
    rows.append((name, status, message))


def seed(name, data):
    save("../fuzz/corpus/" + os.path.dirname(name), os.path.basename(name), data)


def idx(kind, dims, data=b""):
    return bytes([0, 0, kind, len(dims)]) + b"".join(struct.pack(">I", d) for d in dims) + data


def npy(header, data=b"", version=1):
    size = struct.pack("<H" if version == 1 else "<I", len(header))
    return b"\x93NUMPY" + bytes([version, 0]) + size + header.encode() + data


def dic(descr, shape, order="False"):
    return "{'descr': %s, 'fortran_order': %s, 'shape': %s, }\n" % (descr, order, shape)


def st(header, data=b"", size=None):
    header = header.encode()
    return struct.pack("<Q", len(header) if size is None else size) + header + data


def entry(name, dtype, shape, offsets):
    return '"%s":{"dtype":"%s","shape":%s,"data_offsets":%s}' % (name, dtype, shape, offsets)


def segment(marker, body):
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def jpeg(width, height, blocks=1, sof=0xC0, scans=1):
    """Grey, every block of it 128: each of the two Huffman tables has one code of one bit."""
    table = bytes([1] + [0] * 15 + [0])
    head = segment(0xDB, b"\0" + bytes([1] * 64))
    head += segment(sof, struct.pack(">BHHBBBB", 8, height, width, 1, 1, 0x11, 0))
    head += segment(0xC4, b"\x00" + table) + segment(0xC4, b"\x10" + table)
    bits = "00" * blocks
    bits += "1" * (-len(bits) % 8)
    data = bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))
    scan = segment(0xDA, bytes([1, 1, 0, 0, 63 if sof == 0xC0 else 0, 0]))
    return b"\xff\xd8" + head + (scan + data) * scans + b"\xff\xd9"


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width, height, kind=2, depth=8, rows=None, filters=0):
    parts = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[kind]
    row = bytes([filters]) + bytes(range((width * parts * depth + 7) // 8 % 256))
    body = zlib.compress(row * height if rows is None else rows, 9)
    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    extra = chunk(b"PLTE", bytes(range(48))) if kind == 3 else b""
    body = chunk(b"IHDR", head) + extra + chunk(b"IDAT", body)
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


def tar(*members, end=True):
    """Members: (name, bytes) or (name, type, link name)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as t:
        for m in members:
            info = tarfile.TarInfo(m[0])
            if isinstance(m[1], bytes) and len(m) == 2:
                info.size = len(m[1])
                t.addfile(info, io.BytesIO(m[1]))
            else:
                info.type, info.linkname = m[1], m[2]
                t.addfile(info)
    raw = out.getvalue().rstrip(b"\0")
    raw += bytes(-len(raw) % 512)
    return raw + bytes(1024 if end else 0)


def packed(*members):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        for name, data in members:
            z.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)
    return out.getvalue()


DATA, UNSAFE = "data", "unsafe"
attack("idx/empty", DATA, "ends at byte 0", b"")
attack("idx/zeros", DATA, "IDX type 00", bytes(16))
attack(
    "idx/product-overflows", DATA, "more than any file holds", idx(0x0E, [0xFFFFFFFF] * 6, bytes(8))
)
attack("idx/dims-2-31", DATA, "expected 2147483647 more", idx(8, [0x80000000, 1, 1], b"\1"))
attack("idx/one-short", DATA, "ends at byte 11, expected 1 more", idx(8, [4], b"abc"))
attack("idx/one-long", DATA, "1 extra bytes from byte 12", idx(8, [4], b"abcde"))
attack("idx/255-dimensions", DATA, "255 dimensions", bytes([0, 0, 8, 255]) + bytes(64))
attack(
    "idx/cut.gz", DATA, "inside the gzip stream", gzip.compress(idx(8, [4], b"abcd"), mtime=0)[:-6]
)
attack(
    "idx/garbage-behind.gz",
    DATA,
    "damaged gzip",
    gzip.compress(idx(8, [4], b"abcd"), mtime=0) + b"garbage",
)
attack("idx/bomb-8mb.gz", DATA, "IDX type 00", gzip.compress(bytes(8 << 20), 9, mtime=0))
attack(
    "idx/lying-size.gz",
    DATA,
    "damaged gzip",
    gzip.compress(idx(8, [4], b"abcd"), mtime=0)[:-4] + b"\xff" * 4,
)
attack(
    "npy/object", UNSAFE, "allow_pickle=False", npy(dic("'|O'", "(1,)"), b"\x80\x04cos\nsystem\n.")
)
attack(
    "npy/structured",
    UNSAFE,
    "structured",
    npy(dic("[('a', '<f4'), ('b', '|O')]", "(1,)"), bytes(12)),
)
attack("npy/code-in-header", DATA, "expected {", npy("__import__('os').system('id')"))
attack("npy/code-behind-dict", DATA, "only blanks", npy(dic("'|u1'", "(1,)") + "or print(1)", b"a"))
attack("npy/nested-parens", DATA, "a dimension", npy(dic("'|u1'", "(" * 5000), b"a"))
attack("npy/header-10001", DATA, "at most 10000", npy(dic("'|u1'", "(1,)").ljust(10001), b"a"))
attack("npy/header-4gb", DATA, "at most 10000", b"\x93NUMPY\2\0\xff\xff\xff\xff" + bytes(64))
attack("npy/negative-dim", DATA, "a dimension", npy(dic("'|u1'", "(-1,)"), b"a"))
attack(
    "npy/product-overflows",
    DATA,
    "more than any file holds",
    npy(dic("'<f8'", "(4294967296, 4294967296)"), bytes(8)),
)
attack(
    "npy/zero-times-huge",
    DATA,
    "more than any file holds",
    npy(dic("'<f8'", "(9223372036854775807, 9, 0)")),
)
attack("npy/torch-zip", UNSAFE, "numpy.save", b"PK\3\4" + bytes(26) + b"archive/data.pkl")
attack("npy/pickle", UNSAFE, "numpy.save", b"\x80\x02cposix\nsystem\n(S'id'\ntR.")
attack("safetensors/header-2-64", DATA, "at most", st("{}", size=2**64 - 1))
attack("safetensors/header-over-file", DATA, "inside the header", st("{}", size=3))
attack(
    "safetensors/overlap",
    DATA,
    "no overlaps",
    st(
        "{" + entry("a", "U8", "[8]", "[0,8]") + "," + entry("b", "U8", "[8]", "[0,8]") + "}",
        bytes(8),
    ),
)
attack(
    "safetensors/hole", DATA, "no holes", st("{" + entry("a", "U8", "[2]", "[6,8]") + "}", bytes(8))
)
attack(
    "safetensors/reversed",
    DATA,
    "begin <= end",
    st("{" + entry("a", "U8", "[8]", "[8,0]") + "}", bytes(8)),
)
attack(
    "safetensors/beyond",
    DATA,
    "of the data, has 8",
    st("{" + entry("a", "U8", "[9]", "[0,9]") + "}", bytes(8)),
)
attack(
    "safetensors/two-names",
    DATA,
    "duplicate",
    st(
        "{" + entry("a", "U8", "[4]", "[0,4]") + "," + entry("a", "U8", "[4]", "[4,8]") + "}",
        bytes(8),
    ),
)
attack(
    "safetensors/hidden-tail",
    DATA,
    "4 extra bytes",
    st("{" + entry("a", "U8", "[4]", "[0,4]") + "}", b"databomb"),
)
attack(
    "safetensors/product-overflows",
    DATA,
    "its dtype and shape do not",
    st("{" + entry("a", "F64", "[2305843009213693953]", "[0,8]") + "}", bytes(8)),
)
attack("safetensors/nan-number", DATA, "bad header", st('{"a":NaN}'))
attack("safetensors/nul-in-name", DATA, "bad header", st('{"a\\u0000b":1}'))
attack("safetensors/bad-utf8", DATA, "bad header", struct.pack("<Q", 8) + b'{"\xc0\x80":1}')
attack("safetensors/deep", DATA, "bad header", st("[" * 4000))

SMALL = jpeg(8, 8)
attack("image/huge", DATA, "declares 65500 x 65500 pixels", jpeg(65500, 65500))
attack("image/huge-progressive", DATA, "65500 x 65500", jpeg(65500, 65500, sof=0xC2))
attack("image/cut", DATA, "damaged JPEG", SMALL[:-4])
attack("image/header-only", DATA, "damaged JPEG", SMALL[:20])
attack("image/too-few-blocks", DATA, "damaged JPEG", jpeg(800, 800, blocks=3))
attack("image/scans", DATA, "damaged JPEG", jpeg(8, 8, sof=0xC2, scans=200))
attack("image/png-wide", DATA, "damaged PNG", png(2**31 - 1, 1, rows=b"\0"))
attack("image/png-many-pixels", DATA, "declares 65500 x 65500", png(65500, 65500, rows=b"\0"))
attack("image/png-short", DATA, "damaged PNG", png(4, 4, rows=b"\0" * 20))
attack("image/png-bad-sum", DATA, "damaged PNG", png(4, 4).replace(b"IDAT", b"IDAU"))
attack("image/png-bad-filter", DATA, "damaged PNG", png(4, 4, filters=9))
attack("image/gif", DATA, "a GIF", b"GIF89a" + bytes(20))
attack("image/text", DATA, "no picture that is known", b"<svg/>")
attack("image/empty", DATA, "empty", b"")
attack("image/pickle", UNSAFE, "can run code", b"\x80\x04cos\nsystem\n.")
attack("image/zip", UNSAFE, "can run code", packed(("a.jpg", SMALL)))

GOOD = (("a.jpg", SMALL), ("a.cls", b"1"))
attack("shard/up", UNSAFE, "leads out", tar(*GOOD, ("../../etc/passwd", b"x")))
attack("shard/absolute", UNSAFE, "leads out", tar(*GOOD, ("/etc/cron.d/x", b"x")))
attack("shard/symlink", UNSAFE, "a link", tar(*GOOD, ("b.jpg", tarfile.SYMTYPE, "/etc/passwd")))
attack("shard/hardlink", UNSAFE, "a link", tar(*GOOD, ("b.jpg", tarfile.LNKTYPE, "a.jpg")))
attack("shard/device", UNSAFE, "neither a file", tar(*GOOD, ("b.jpg", tarfile.CHRTYPE, "")))
attack("shard/pipe", UNSAFE, "neither a file", tar(*GOOD, ("b.jpg", tarfile.FIFOTYPE, "")))
attack("shard/pickle", UNSAFE, "can run code", tar(*GOOD, ("a.pyd", b"x")))
attack("shard/no-class", DATA, "no class", tar(("a.jpg", SMALL)))
attack("shard/no-picture", DATA, "no picture", tar(("a.cls", b"1")))
attack("shard/class-word", DATA, "no whole number", tar(("a.jpg", SMALL), ("a.cls", b"cat")))
attack("shard/class-negative", DATA, "no whole number", tar(("a.jpg", SMALL), ("a.cls", b"-1")))
attack("shard/class-long", DATA, "no whole number", tar(("a.jpg", SMALL), ("a.cls", b"1" * 4000)))
attack("shard/no-end", DATA, "the shard is cut", tar(*GOOD, end=False))
attack("shard/cut-inside", DATA, "", tar(*GOOD)[:700])
attack("shard/text", DATA, "Unrecognized archive", b"no archive" * 200)


def lying(size):
    """A shard whose first member says it has another size."""
    raw = bytearray(tar(*GOOD))
    raw[124:136] = size
    raw[148:156] = b" " * 8
    raw[148:156] = b"%06o\0 " % sum(raw[:512])
    return bytes(raw)


attack("shard/size-octal", DATA, "", lying(b"77777777777\0"))
attack("shard/size-base256", DATA, "", lying(b"\x80" + b"\x7f" + b"\xff" * 10))
attack("shard/size-negative", DATA, "", lying(b"\xff" * 12))

ARRAY = npy(dic("'|u1'", "(2, 3)"), bytes(6))
LABELS = npy(dic("'|u1'", "(2,)"), b"\0\1")
attack("npz/bomb", UNSAFE, "may be unpacked", packed(("images.npy", bytes(8 << 20))))
attack("npz/nested", DATA, "no array", packed(("inner.npz", packed(("images.npy", ARRAY)))))
attack(
    "npz/pickle",
    UNSAFE,
    "numpy.savez",
    packed(("archive/data.pkl", b"\x80\2."), ("images.npy", ARRAY)),
)
attack("npz/up", UNSAFE, "leads out", packed(("../images.npy", ARRAY)))
attack("npz/absolute", UNSAFE, "leads out", packed(("/images.npy", ARRAY)))
attack(
    "npz/object",
    UNSAFE,
    "allow_pickle=False",
    packed(("images.npy", npy(dic("'|O'", "(1,)"), b"\x80.")), ("labels.npy", LABELS)),
)
attack("npz/missing", DATA, "it holds x, y", packed(("x.npy", ARRAY), ("y.npy", LABELS)))
attack("npz/cut", DATA, "damaged npz", packed(("images.npy", ARRAY), ("labels.npy", LABELS))[:-30])
attack("npz/text", DATA, "damaged npz", b"no archive" * 20)

attack("cifar/label", DATA, "byte 3073: label 10", bytes(3073) + b"\x0a" + bytes(3072))
attack("cifar/one-short", DATA, "3072 bytes", bytes(3072))
attack("cifar/one-long", DATA, "3074 bytes", bytes(3074))
attack("cifar/empty", DATA, "0 bytes", b"")

seed("image/grey", SMALL)
seed("image/grey-17x9", jpeg(17, 9, blocks=6))
for kind, depth in ((0, 1), (0, 8), (2, 8), (2, 16), (3, 4), (4, 8), (6, 8)):
    seed("image/png-%d-%d" % (kind, depth), png(9, 5, kind, depth))
seed("shard/two", tar(*GOOD, ("a.json", b"{}"), ("b/c.png", png(2, 2)), ("b/c.cls", b"0\n")))
seed("shard/folder", tar(("d", tarfile.DIRTYPE, ""), ("d/a.cls", b"3"), ("d/a.jpg", SMALL)))
seed("npz/two", packed(("images.npy", ARRAY), ("labels.npy", LABELS)))
seed("npz/more", packed(("notes.txt", b"x"), ("labels.npy", LABELS), ("images.npy", ARRAY)))
seed("cifar/two", bytes(3073) + b"\1" + bytes(3072))

seed("idx/u8-2x3x4", idx(8, [2, 3, 4], bytes(range(24))))
seed("idx/i16-3", idx(0x0B, [3], struct.pack(">3h", 1, -2, 3)))
seed("idx/f32-1x2", idx(0x0D, [1, 2], struct.pack(">2f", 1, -2)))
seed("idx/f64-2", idx(0x0E, [2], struct.pack(">2d", 1, -2)))
seed("idx/u8.gz", gzip.compress(idx(8, [5], b"abcde"), mtime=0))
seed("idx/members.gz", gzip.compress(idx(8, [5]), mtime=0) + gzip.compress(b"abcde", mtime=0))
for i, (descr, size) in enumerate(
    [("|u1", 1), ("|b1", 1), ("|i1", 1), ("<i2", 2), (">i4", 4), ("<i8", 8), ("<f4", 4), (">f8", 8)]
):
    seed(
        "npy/type-%d" % i,
        npy(dic("'%s'" % descr, "(2, 2)", "True" if i % 2 else "False"), bytes(4 * size)),
    )
seed("npy/scalar-v2", npy(dic("'<f4'", "()"), bytes(4), 2))
seed("npy/empty-v3", npy(dic("'<f4'", "(3, 0)"), b"", 3))
seed("npy/double-quotes", npy('{"shape":(1,),"descr":"<f4","fortran_order":False}', bytes(4)))
seed("safetensors/empty", st("{}      "))
seed(
    "safetensors/two",
    st(
        "{" + entry("b", "F32", "[1]", "[8,12]") + "," + entry("a", "F64", "[]", "[0,8]") + "} ",
        bytes(12),
    ),
)
seed(
    "safetensors/all",
    st(
        '{"__metadata__":{"k":"v"},'
        + ",".join(entry(n, n, "[2,0]", "[0,0]") for n in ("F32", "F64", "I32", "U8"))
        + "}"
    ),
)

with open(os.path.join(here, "expect.tsv"), "w") as f:
    f.writelines("\t".join(r) + "\n" for r in rows)
