#!/usr/bin/env python3
"""test_hypero.py COMMAND [PART]: hypero's databases, on a PostgreSQL that the test starts itself.

reference/ was made by hypero (make_reference.lua): a database filled by its own SQL, and what its
own export wrote. An import must give that back column by column, and views in hypero's shape must
answer hypero's queries. Prints "PASS name" or "FAIL name" for each test."""

import csv
import io
import json
import os
import pathlib
import shutil
import sqlite3
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from named import Wrong, need  # noqa: E402

REFERENCE = pathlib.Path(__file__).resolve().parent / "reference"
BATTERY = "RNN Visual Attention - MNIST"
HOSTILE = "x'); DROP TABLE trials;-- \"q\" %s \u00e9\U0001f600"
LIMIT_S = 120
OBJECTIVE = ("--objective", "validAcc", "--direction", "maximize")


def same(got, want, what):
    need(got == want, f"{what}: {got!r}, wanted {want!r}")


class Bench:
    def __init__(self, command, folder):
        self.command, self.folder = str(pathlib.Path(command).resolve()), pathlib.Path(folder)
        self.url = ""

    def drmad(self, *words, status=0, env=None):
        full = {k: v for k, v in os.environ.items() if not k.startswith(("DRMAD_", "PG"))}
        p = subprocess.run(
            [self.command, *words], capture_output=True, text=True, timeout=LIMIT_S,
            cwd=self.folder, env=full | {"HOME": str(self.folder)} | (env or {}),
        )
        need(p.returncode == status, f"{words}: status {p.returncode}, wanted {status}: {p.stderr}")
        return p.stdout if status == 0 else p.stderr

    def psql(self, *words, url=None, text=None):
        p = subprocess.run(
            ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", *words, url or self.url],
            capture_output=True, text=True, timeout=LIMIT_S, input=text,
        )
        need(p.returncode == 0, f"psql {words}: {p.stderr}")
        return p.stdout

    def start(self):
        self.url = self.drmad("store", "start-local", "-q", "--folder", f"{self.folder}/pg").strip()
        self.psql("-f", str(REFERENCE / "hyper.sql"))

    def stop(self):
        self.drmad("store", "stop", "--folder", f"{self.folder}/pg")

    def imported(self, name="imported.db"):
        """A store with everything of the reference in it; made once."""
        url = f"sqlite:{self.folder}/{name}"
        if not (self.folder / name).exists():
            self.drmad("import", "hypero", "--from", self.url, "--store", url, *OBJECTIVE)
        return url

    def export(self, url, study, *words):
        text = self.drmad("export", f"{url}#{study}", *words)
        rows = list(csv.reader(io.StringIO(text, newline="")))
        return [dict(zip(rows[0], r)) for r in rows[1:]], rows[0]


def hypero_cells(line):
    """hypero writes a cell as JSON; of a table, with quotes around that it does not escape."""
    decoder, at = json.JSONDecoder(), 0
    while True:
        table = line.startswith(('"[', '"{'), at)
        if table:
            try:
                value, end = decoder.raw_decode(line, at + 1)
                table = not isinstance(value, str) and line.startswith('"', end)
            except ValueError:
                table = False
        value, end = (value, end + 1) if table else decoder.raw_decode(line, at)
        yield value
        if end == len(line):
            return
        need(line[end] == ",", f"a cell ends in {line[end:]!r}")
        at = end + 1


def hypero_csv(name):
    lines = (REFERENCE / f"{name}.csv").read_text().split("\n")[:-1]
    rows = [list(hypero_cells(s)) for s in lines]
    return [dict(zip(rows[0], r)) for r in rows[1:]], rows[0]


def cell_matches(ours, theirs):
    """Our CSV holds texts as they are, numbers, and JSON of tables."""
    if isinstance(theirs, bool):
        return ours == ("true" if theirs else "false")
    if theirs is None:
        return ours == ""
    if isinstance(theirs, str):
        return ours == theirs
    if isinstance(theirs, (int, float)):
        return float(ours) == theirs
    return json.loads(ours) == theirs


def compare(ours, theirs, columns, ordered_by=None):
    """Row by row; rows that hypero leaves in no order, for equal values, may change places."""
    if ordered_by:
        need(all(cell_matches(a[ordered_by], b[ordered_by]) for a, b in zip(ours, theirs)),
             f"not in the order of {ordered_by}")
        ours, theirs = (sorted(rows, key=lambda r: int(r["hexId"])) for rows in (ours, theirs))
    same(len(ours), len(theirs), "rows")
    for a, b in zip(ours, theirs):
        for c in columns:
            need(cell_matches(a[c], b[c]), f"{c} of {b['hexId']}: {a[c]!r}, hypero has {b[c]!r}")


# ---- tests ----


def every_column_is_hyperos(b):
    ours, header = b.export(b.imported(), BATTERY)
    theirs, columns = hypero_csv("all")
    same(sorted(set(header) - {"number", "state", "version"}), sorted(columns), "columns")
    compare(ours, theirs, columns)
    same([r["state"] for r in ours], ["COMPLETE"] * 11, "states")


def named_columns_are_in_hyperos_order(b):
    names = ("--params", "lr,momentum,decay,depth,sched,nesterov", "--meta", "host,data,seed",
             "--results", "trainAcc,validAcc,curve")
    ours, header = b.export(b.imported(), BATTERY, *names)
    theirs, columns = hypero_csv("named")
    same([c for c in header if c not in ("number", "state", "version")], columns, "columns")
    compare(ours, theirs, columns)


def order_and_versions_are_hyperos(b):
    ours, _ = b.export(b.imported(), BATTERY, "--order-by", "validAcc", "--desc", "--version",
                       "first try", "--params", "lr,depth", "--results", "validAcc", "--meta",
                       "host")
    theirs, columns = hypero_csv("ordered")
    compare(ours, theirs, columns, "validAcc")
    ours, _ = b.export(b.imported(), BATTERY, "--order-by", "decay", "--version", "first try")
    theirs, columns = hypero_csv("by-text")
    compare(ours, theirs, columns, "decay")
    ours, _ = b.export(b.imported(), BATTERY, "--min-version", "fixed bug in Sequencer")
    theirs, columns = hypero_csv("newer")
    compare(ours, theirs, columns)


def what_is_missing_stays_missing(b):
    """hypero's own export loses or shifts cells of such experiments; the database says more."""
    rows, _ = b.export(b.imported(), "with holes")
    same([r["state"] for r in rows], ["COMPLETE", "FAIL", "FAIL"], "states")
    same([r["lr"] for r in rows], ["2", "0.5", ""], "lr")
    same([r["momentum"] for r in rows], ["true", "", ""], "momentum")
    same([r["decay"] for r in rows], ["", "x", ""], "decay")
    same([r["validAcc"] for r in rows], ["0.6", "", ""], "validAcc")
    same([r["host"] for r in rows], ["h2", "no result", ""], "host")


def trials_have_distributions_and_best(b):
    best = json.loads(b.drmad("study", "best", f"{b.imported()}#{BATTERY}", "--json"))["best"]
    same(len(best), 1, "best trials")
    same(best[0]["values"], [0.9001], "best value")
    same(best[0]["system_attrs"]["hypero:hex_id"], 3, "the earliest of equals")
    show = json.loads(b.drmad("study", "show", f"{b.imported()}#{BATTERY}", "--json"))["study"]
    same(show["directions"], ["maximize"], "directions")
    same(show["user_attrs"]["hypero:versions"],
         ["first try", "fixed bug in Sequencer", "third"], "versions")
    with sqlite3.connect(b.folder / "imported.db") as db:
        found = dict(db.execute(
            "SELECT param_name, distribution_json FROM trial_params p JOIN trials t USING "
            "(trial_id) JOIN studies s USING (study_id) WHERE study_name = ?", (BATTERY,)))
    kinds = {k: json.loads(v) for k, v in found.items()}
    same(kinds["depth"]["name"], "IntDistribution", "depth")
    same((kinds["depth"]["attributes"]["low"], kinds["depth"]["attributes"]["high"]), (1, 7),
         "range of depth")
    same(kinds["lr"]["name"], "FloatDistribution", "lr")
    same((kinds["lr"]["attributes"]["low"], kinds["lr"]["attributes"]["high"]),
         (1e-05, 123456789.25), "range of lr")
    same(kinds["nesterov"]["attributes"]["choices"], [True, False], "choices of nesterov")
    same(kinds["sched"]["attributes"]["choices"], ["[1,2,3]", "{}", "[10]", "[1]"],
         "choices of sched")


def a_second_import_adds_what_is_new(b):
    url = f"sqlite:{b.folder}/twice.db"
    words = ("import", "hypero", "--from", b.url, "--store", url, "--json", *OBJECTIVE)
    first = json.loads(b.drmad(*words))["studies"]
    same([(s["trials"], s["already"]) for s in first], [(11, 0), (3, 0)], "first import")
    again = json.loads(b.drmad(*words))["studies"]
    same([(s["trials"], s["already"]) for s in again], [(0, 11), (0, 3)], "second import")
    rows, _ = b.export(url, BATTERY)
    same(len(rows), 11, "trials")
    error = b.drmad(*words[:-4], "--objective", "trainAcc", "--direction", "maximize", status=2)
    need("--objective validAcc" in error, error)


def hostile_names_pass_through(b):
    quote = lambda s: "'" + s.replace("'", "''") + "'"
    table = {"k'\"\\ \n\x01, =1": "'; DROP TABLE studies;--", "n": {"a'": ["\"", "\u001b[2J"]}}
    b.psql("-f", "-", text=f"""
        INSERT INTO hyper.battery (bat_name) VALUES ({quote(HOSTILE)});
        INSERT INTO hyper.version (bat_id, ver_desc)
            SELECT bat_id, {quote(HOSTILE)} FROM hyper.battery WHERE bat_name = {quote(HOSTILE)};
        INSERT INTO hyper.experiment (bat_id, ver_id)
            SELECT bat_id, ver_id FROM hyper.version WHERE ver_desc = {quote(HOSTILE)};
        INSERT INTO hyper.param
            SELECT max(hex_id), {quote(json.dumps(table))} FROM hyper.experiment;
        INSERT INTO hyper.meta
            SELECT max(hex_id), {quote(json.dumps(table))} FROM hyper.experiment;
        INSERT INTO hyper.result SELECT max(hex_id), '{{"l": 1}}' FROM hyper.experiment;""")
    try:
        url = f"sqlite:{b.folder}/hostile.db"
        b.drmad("import", "hypero", "--from", b.url, "--battery", HOSTILE, "--store", url)
        out = json.loads(b.drmad("export", HOSTILE, "--store", url, "-f", "json"))
        same(out["study"], HOSTILE, "study")
        trial = out["trials"][0]
        same(trial["version"], HOSTILE, "version")
        same(trial["meta"], table, "meta-data")
        same(trial["params"]["k'\"\\ \n\x01, =1"], "'; DROP TABLE studies;--", "a parameter")
        same(json.loads(trial["params"]["n"]), table["n"], "a parameter that is a table")
        same(trial["results"], {"l": 1}, "results")
        rows, header = b.export(url, HOSTILE)
        need("k'\"\\ \n\x01, =1" in header, header)
        same(len(rows), 1, "rows")
        listed = b.drmad("study", "list", "--store", url)
        need("\\x" not in listed and HOSTILE in listed, listed)
    finally:
        b.psql("-c", "DELETE FROM hyper.param WHERE hex_id > 14; DELETE FROM hyper.meta WHERE "
               "hex_id > 14; DELETE FROM hyper.result WHERE hex_id > 14; DELETE FROM "
               "hyper.experiment WHERE hex_id > 14; DELETE FROM hyper.version WHERE ver_id > 4; "
               "DELETE FROM hyper.battery WHERE bat_id > 2")


def refusals_name_the_remedy(b):
    words = ("import", "hypero", "--store", f"sqlite:{b.folder}/refused.db", "--from")
    error = b.drmad(*words, b.url, status=2)
    need("--objective" in error and "trainAcc" in error and "validAcc" in error, error)
    error = b.drmad(*words, b.url, "--schema", "hyperr", status=2)
    need('no schema "hyperr"' in error and "--schema" in error, error)
    error = b.drmad(*words, b.url, "--battery", "none", *OBJECTIVE, status=2)
    need('no battery "none"' in error, error)
    error = b.drmad(*words, b.url, "--schema", "pg_catalog", *OBJECTIVE, status=4)
    need("hypero's tables" in error, error)
    error = b.drmad(*words, "postgresql://me:secret@127.0.0.1/x", status=7)
    need("secret" not in error and "PGPASSFILE" in error, error)
    error = b.drmad(*words, "sqlite:x.db", status=2)
    need("postgresql://" in error, error)
    error = b.drmad(*words, "postgresql://127.0.0.1:1/x", status=75)
    need("hypero database" in error, error)
    need(not (b.folder / "x.db").exists(), "x.db was made")


def an_open_password_file_is_refused(b):
    own = b.folder / "own-pass"
    own.write_text("*:*:*:*:secret\n")
    own.chmod(0o644)
    bare = b.url.split("?")[0]
    error = b.drmad("import", "hypero", "--from", bare, "--store", f"sqlite:{b.folder}/refused.db",
                    status=7, env={"PGPASSFILE": str(own)})
    need("chmod 600" in error and "secret" not in error, error)


VIEW_QUERIES = (  # as hypero asks, by battery and version instead of ids
    "SELECT bat_name FROM {s}.battery ORDER BY bat_id",
    "SELECT bat_name, ver_desc FROM {s}.version JOIN {s}.battery USING (bat_id) "
    "ORDER BY bat_id, ver_id",
    "SELECT bat_name, ver_desc, count(*) FROM {s}.experiment e JOIN {s}.battery b "
    "ON b.bat_id = e.bat_id JOIN {s}.version v ON v.ver_id = e.ver_id GROUP BY 1, 2 ORDER BY 1, 2",
    "SELECT b.bat_name, p.hex_param ->> 'lr', p.hex_param ->> 'decay', p.hex_param ->> 'nesterov' "
    "FROM {s}.param p JOIN {s}.experiment e ON e.hex_id = p.hex_id "
    "JOIN {s}.battery b ON b.bat_id = e.bat_id ORDER BY b.bat_id, e.hex_id",
    "SELECT m.hex_meta ->> 'host', m.hex_meta ->> 'data', (m.hex_meta ->> 'seed')::float8 "
    "FROM {s}.meta m JOIN {s}.experiment e ON e.hex_id = m.hex_id ORDER BY e.bat_id, e.hex_id",
    "SELECT r.hex_result ->> 'validAcc', r.hex_result -> 'curve' ->> 0 FROM {s}.result r "
    "JOIN {s}.experiment e ON e.hex_id = r.hex_id ORDER BY e.bat_id, e.hex_id",
)


def views_answer_hyperos_queries(b):
    b.psql("-c", "CREATE DATABASE drmad2")
    url = b.url.replace("/drmad?", "/drmad2?")
    need(url != b.url, b.url)
    b.drmad("import", "hypero", "--from", b.url, "--store", url, *OBJECTIVE)
    b.drmad("store", "hypero-views", "--store", url)
    b.drmad("store", "hypero-views", "--store", url)  # a second time is fine
    for query in VIEW_QUERIES:
        theirs = b.psql("-c", query.format(s="hyper"))
        ours = b.psql("-c", query.format(s="hyper"), url=url)
        same(ours, theirs, query)
    for table, column in (("battery", "bat_name"), ("experiment", "bat_id"), ("param", "hex_id")):
        try:
            b.psql("-c", f"INSERT INTO hyper.{table} ({column}) VALUES (1)", url=url)
        except Wrong as e:
            need("cannot insert into view" in str(e), str(e))
        else:
            raise Wrong(f"hyper.{table} can be written to")
    b.drmad("study", "delete", f"{url}#{BATTERY}", "--yes")
    left = b.psql("-c", "SELECT bat_name FROM hyper.battery", url=url)
    same(left, "with holes\n", "after delete")
    error = b.drmad("store", "hypero-views", "--store", f"sqlite:{b.folder}/imported.db", status=2)
    need("PostgreSQL" in error, error)


def views_do_not_replace_tables(b):
    """In the database where hypero's own tables lie."""
    b.drmad("study", "create", f"{b.url}#s")
    error = b.drmad("store", "hypero-views", "--store", b.url, status=2)
    need("--schema" in error, error)
    b.drmad("store", "hypero-views", "--store", b.url, "--schema", 'a"b; --')
    same(b.psql("-c", 'SELECT bat_name FROM "a""b; --".battery'), "s\n", "the view")
    same(b.psql("-c", "SELECT count(*) FROM hyper.battery"), "2\n", "hypero's table")


TESTS = (
    every_column_is_hyperos,
    named_columns_are_in_hyperos_order,
    order_and_versions_are_hyperos,
    what_is_missing_stays_missing,
    trials_have_distributions_and_best,
    a_second_import_adds_what_is_new,
    hostile_names_pass_through,
    refusals_name_the_remedy,
    an_open_password_file_is_refused,
    views_answer_hyperos_queries,
    views_do_not_replace_tables,
)


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    part = sys.argv[2] if len(sys.argv) == 3 else ""
    folder = tempfile.mkdtemp(prefix="drmad-hypero-")
    os.chmod(folder, 0o755)  # started by root, the server runs as another user
    bench, failed = Bench(sys.argv[1], folder), 0
    try:
        bench.start()
        for test in TESTS:
            if part not in test.__name__:
                continue
            try:
                test(bench)
                print(f"PASS {test.__name__}", flush=True)
            except (Wrong, subprocess.TimeoutExpired, ValueError, KeyError) as e:
                failed += 1
                print(f"  {e}\nFAIL {test.__name__}", flush=True)
    except Wrong as e:
        failed += 1
        print(f"  {e}\nFAIL start", flush=True)
    finally:
        try:
            bench.stop()
        except Wrong as e:
            failed += 1
            print(f"  {e}\nFAIL stop", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
