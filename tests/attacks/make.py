#!/usr/bin/env python3
"""Makes the files of tests/attacks and the seeds of tests/fuzz/corpus, each byte by byte.

tests/data/test_attacks.c opens every attack and compares the outcome with expect.tsv (file, status,
a piece of the message); the fuzzers' regression binaries replay all of them.
"""

import gzip, os, struct, zlib

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
