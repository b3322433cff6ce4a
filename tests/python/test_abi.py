"""What Python believes of the C interface is what the headers and the library say."""

import ctypes
import importlib.machinery
import importlib.util
import pathlib
import re
import subprocess
import sys

from house import ROOT, main, raises

from drmad import _abi, _lib, errors


def generator():
    loader = importlib.machinery.SourceFileLoader("front_abi", str(ROOT / "tools/front-abi"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    sys.dont_write_bytecode = True
    loader.exec_module(module)
    return module


def signatures_are_those_of_the_headers():
    p = subprocess.run([ROOT / "tools/front-abi", "--check"], capture_output=True, text=True)
    assert p.returncode == 0, p.stdout + p.stderr


def functions_are_the_exported_ones():
    want = (ROOT / "cmake/abi.txt").read_text().split()
    assert sorted(_abi.FUNCTIONS) == sorted(want)


def types_of_c_become_types_of_ctypes():
    g = generator()
    for text, want in (
        ("int ", "c_int"),
        ("const char *", "c_char_p"),
        ("const char *const *", "POINTER(c_char_p)"),
        ("drmad_study **", "POINTER(c_void_p)"),
        ("const drmad_ctx *", "c_void_p"),
        ("drmad_status ", "c_int"),
        ("const void *", "c_void_p"),
        ("double *", "POINTER(c_double)"),
        ("drmad_log_fn *", "drmad_log_fn"),
    ):
        assert g.ctype(text, "here") == want, (text, g.ctype(text, "here"))
    raises(g.Unknown, "long", lambda: g.ctype("long ", "here"))
    raises(g.Unknown, "float", lambda: g.ctype("const float *", "here"))


def a_changed_header_is_seen():
    """Each mutation of a header must change or stop the generator."""
    g = generator()
    text = g.generate()
    real = pathlib.Path.read_text
    for old, new in (
        ("int64_t step, const void *w", "int32_t step, const void *w"),
        ("int threads);", "int64_t threads);"),
        ('STATUS(E_DATA, 3, "bad data")', 'STATUS(E_DATA, 4, "bad data")'),
        ("DRMAD_API void drmad_model_free(drmad_model *m);", ""),
        ("DRMAD_API const char *drmad_version(void);", "DRMAD_API const char *drmad_version;"),
    ):
        g.pathlib.Path.read_text = lambda self, o=old, n=new: real(self).replace(o, n)
        try:
            same = g.generate() == text
        except g.Unknown:
            same = False
        finally:
            g.pathlib.Path.read_text = real
        assert not same, f"{old!r} -> {new!r} went unseen"


def the_library_has_every_function():
    missing = []
    lib = _lib.load(_lib.find(), missing)
    assert missing == [], missing
    assert lib.drmad_version().decode() == _abi.VERSION


def a_library_without_a_function_is_refused():
    libc = ctypes.CDLL(None)
    raises(AttributeError, "drmad_ctx_new", lambda: _abi.declare(libc))
    missing = []
    _abi.declare(libc, missing)
    assert missing == list(_abi.FUNCTIONS)


def statuses_are_those_of_the_library():
    lib = _lib.lib()
    for i, (name, code, text) in enumerate(_abi.STATUSES):
        assert getattr(_abi, name) == i
        assert lib.drmad_status_exit(i) == code
        assert lib.drmad_status_text(i).decode() == text


def each_status_has_one_exception():
    kinds = [c for c in vars(errors).values() if isinstance(c, type)]
    kinds = [c for c in kinds if issubclass(c, errors.Error) and c is not errors.Error]
    assert sorted(c.status for c in kinds) == list(range(1, len(_abi.STATUSES)))
    for i, (_, code, text) in enumerate(_abi.STATUSES):
        if i:
            e = errors.from_status(i)
            assert e.status == i and e.exit_status == code and str(e) == text
            assert str(errors.from_status(i, "why")) == "why"
    assert isinstance(errors.from_status(99), errors.InternalError)


def the_version_is_that_of_cmake():
    cmake = (ROOT / "CMakeLists.txt").read_text()
    assert re.search(r"^project\(drmad VERSION ([0-9.]+)", cmake, re.M)[1] == _abi.VERSION


if __name__ == "__main__":
    main(
        {
            f.__name__: f
            for f in (
                signatures_are_those_of_the_headers,
                functions_are_the_exported_ones,
                types_of_c_become_types_of_ctypes,
                a_changed_header_is_seen,
                the_library_has_every_function,
                a_library_without_a_function_is_refused,
                statuses_are_those_of_the_library,
                each_status_has_one_exception,
                the_version_is_that_of_cmake,
            )
        }
    )
