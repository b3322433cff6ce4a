#!/usr/bin/env python3
"""The tools that judge everything else must fail when they should."""
import contextlib
import importlib.machinery
import importlib.util
import io
import os
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def load(name):
    path = str(ROOT / "tools" / name)
    loader = importlib.machinery.SourceFileLoader(name.replace("-", "_"), path)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    sys.dont_write_bytecode = True
    loader.exec_module(module)
    return module


def counts(status, out, match=""):
    """(passed, failed, skipped) for a program that ended with `status` after printing `out`."""
    rt = load("run-tests")
    report = rt.Report()
    with contextlib.redirect_stdout(io.StringIO()):
        report.add("stage", "program", rt.parse("program", status, out, match))
    return report.count("PASS"), report.count("FAIL"), report.count("SKIP")


def run_tests_adds_up():
    assert counts(0, "PASS a\nPASS b\n") == (2, 0, 0)
    assert counts(1, "PASS a\n  why\nFAIL b (1)\n") == (1, 1, 0)
    assert counts(-11, "PASS a\n") == (1, 1, 0), "a crash after a passed test"
    assert counts(1, "PASS a\n") == (1, 1, 0), "a bad status without a FAIL line"
    assert counts(None, "PASS a\n") == (1, 1, 0), "a program that hangs"
    assert counts(0, "hello\n") == (0, 1, 0), "a program that ran no test"
    assert counts(0, "hello\n", "part") == (0, 0, 0), "a filter may leave a program without tests"
    assert counts(0, "SKIP a: no GPU\n") == (0, 0, 1)
    assert counts(0, "SKIP a: no time\n") == (0, 1, 0), "a reason that is not listed"


def globs_match_whole_output():
    matches = load("run-cli-tests").matches
    assert matches(["a", "b"], ["a", "b"]) is None
    assert matches(["a", "b"], ["a"]) is not None
    assert matches(["a"], ["a", "b"]) is not None
    assert matches(["x", "a", "y"], ["...", "a", "..."]) is None
    assert matches(["x", "y"], ["...", "a", "..."]) is not None
    assert matches(["error: f.yaml:3:1: no"], ["error: *:3:*"]) is None


def layers_refuse_a_breach():
    cl = load("check-layers")
    here = ROOT / "src" / "base" / "base.c"
    assert cl.breach(here, '"', "base/base.h", {"base"}, set(), False) is None
    assert "not above" in cl.breach(here, '"', "tensor/tensor.h", {"base"}, set(), False)
    assert "list zlib" in cl.breach(here, "<", "zlib.h", {"base"}, set(), False)
    assert cl.breach(here, "<", "zlib.h", {"base"}, {"zlib"}, False) is None
    assert "no list" in cl.breach(here, "<", "cblas.h", {"base"}, set(), False)
    cli = ROOT / "cli" / "main.c"
    assert cl.breach(cli, '"', "drmad/ctx.h", set(), set(), True) is None
    assert "only include/drmad" in cl.breach(cli, '"', "base/base.h", set(), set(), True)


def style_sees_what_it_should():
    found = load("check-style").problems_of
    long_function = "void f(void)\n{\n" + "    x();\n" * 60 + "}\n"
    assert list(found(None, "int a;\n", "c")) == []
    assert "62 lines" in next(found(None, long_function, "c"))[1]
    assert "tab" in next(found(None, "\tint a;\n", "c"))[1]
    assert "101 columns" in next(found(None, "x" * 101 + "\n", "c"))[1]


def mutants_that_fit_no_source_are_named():
    mutate = load("mutate")
    with tempfile.TemporaryDirectory() as d:
        root = pathlib.Path(d)
        for name, text in (
            ("src/a.c", "static int f(int x)\n{\n    return x +\n           1;\n}\n\nint g;\n"),
            ("tests/a/test_a.c", "TEST(adds_one)\n{\n}\n"),
        ):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)

        def stale(**changed):
            entry = {"file": "src/a.c", "in": "f", "old": "x + 1", "new": "x", "test": "test_a add"}
            return mutate.Mutant("m", dict(entry, **changed)).stale(root)

        assert stale() is None, "blanks and line breaks do not matter"
        assert stale(file="src/b.c") == "no such file src/b.c"
        assert stale(**{"in": "h"}) == "no function h in src/a.c"
        assert "0 times in f" in stale(old="int g")
        assert stale(new="x +\n           1") == "changes nothing"
        assert stale(test="test_a subtract") == "test_a has no test named like subtract"
        assert "no test" in stale(test="test_b add"), "a room without tests"
        for test in ("test_a", "test_a adds one"):
            try:
                stale(test=test)
            except ValueError as e:
                assert "[m]" in str(e)
            else:
                raise AssertionError(f"taken: test = {test}")


def install_packages(uid, variables):
    """Runs it where cmake is missing: (status, what apt-get was asked, stderr)."""
    with tempfile.TemporaryDirectory() as d:
        bins = {
            "dpkg-query": '[ "$4" = cmake ] || echo installed',
            "id": f"echo {uid}",
            "apt-get": f'echo "$@" >>{d}/asked',
            "sudo": f"echo sudo >>{d}/asked",
        }
        for name, body in bins.items():
            path = pathlib.Path(d, name)
            path.write_text(f"#!/bin/sh\n{body}\n")
            path.chmod(0o755)
        env = {k: v for k, v in os.environ.items() if k != "DRMAD_INSTALL"}
        env.update(variables, PATH=f"{d}:{env['PATH']}")
        command = [str(ROOT / "tools" / "install-packages"), "build"]
        p = subprocess.run(command, env=env, capture_output=True, text=True)
        asked = pathlib.Path(d, "asked")
        return p.returncode, asked.read_text() if asked.exists() else "", p.stderr


def packages_are_installed_only_when_allowed():
    status, asked, told = install_packages(1000, {})
    assert (status, asked) == (6, ""), "a user without permission"
    assert "apt-get install cmake" in told
    for uid, variables in ((0, {}), (1000, {"DRMAD_INSTALL": "1"})):
        status, asked, _ = install_packages(uid, variables)
        assert status == 0 and "install" in asked and "cmake" in asked and "sudo" not in asked


def an_environment_is_made_once_and_who_comes_meanwhile_waits():
    with tempfile.TemporaryDirectory() as d:
        command = [str(ROOT / "tools" / "venv"), f"{d}/venv"]
        made = pathlib.Path(d, "venv", "installed.txt")
        alike = []
        while len(alike) < 2:  # the second comes while the first is at work
            p = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            p.stdin.write("--no-index pip\n")
            p.stdin.close()
            alike.append(p)
            while p.poll() is None and not [*pathlib.Path(d).glob("venv/lib/*/site-packages/*")]:
                time.sleep(0.01)
        told = [p.stderr.read() for p in alike]
        assert [p.wait() for p in alike] == [0, 0], told
        assert made.read_text() == "--no-index pip\n"
        mark = pathlib.Path(d, "venv", "mark")
        for want, kept in (("--no-index pip", True), ("--no-index no-such-package", False)):
            mark.touch()
            p = subprocess.run(command, input=want, capture_output=True, text=True)
            assert mark.exists() == kept and (p.returncode == 0) == kept, p.stderr
        assert f"{d}/venv: --no-index no-such-package does not install" in p.stderr, p.stderr
        assert not made.exists(), "half made, and the next one would take it for whole"


def main():
    failed = 0
    for test in (
        run_tests_adds_up,
        globs_match_whole_output,
        layers_refuse_a_breach,
        style_sees_what_it_should,
        mutants_that_fit_no_source_are_named,
        packages_are_installed_only_when_allowed,
        an_environment_is_made_once_and_who_comes_meanwhile_waits,
    ):
        try:
            test()
            print(f"PASS {test.__name__}")
        except AssertionError as e:
            failed += 1
            print(f"  line {e.__traceback__.tb_next.tb_lineno}: {e}\nFAIL {test.__name__}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
