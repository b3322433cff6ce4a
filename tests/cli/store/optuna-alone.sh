# A database in which Optuna alone has been: commands that read leave it as it is, one that writes
# adds our tables beside.
drmad study create -q sqlite:x.db#s >/dev/null
python3 "$ROOT/tests/cli/store/fill.py" x.db
tables() { python3 -c 'import sqlite3
with sqlite3.connect("x.db") as db:
    names = db.execute("SELECT name FROM sqlite_master WHERE name LIKE ?", ("drmad%",)).fetchall()
    print(len(names))'; }
python3 -c 'import sqlite3
with sqlite3.connect("x.db") as db:
    kinds = "SELECT type, name FROM sqlite_master WHERE name LIKE ? AND type = ?"
    for kind in ("trigger", "index", "table"):
        for _, name in db.execute(kinds, ("drmad%", kind)).fetchall():
            db.execute(f"DROP {kind} {name}")'
before=$(sha256sum x.db)
drmad study best sqlite:x.db#s | sed -n 2p
drmad export sqlite:x.db#s --params lr --meta '' --order-by lr
drmad study list --store sqlite:x.db | wc -l
drmad store check sqlite:x.db
[ "$before" = "$(sha256sum x.db)" ] && tables
drmad study create -q sqlite:x.db#t
[ "$(tables)" -gt 4 ] && echo added
