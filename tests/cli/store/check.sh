drmad study create -q sqlite:x.db#s >/dev/null
python3 "$ROOT/tests/cli/store/fill.py" x.db
drmad store check sqlite:x.db
python3 -c '
import sqlite3
with sqlite3.connect("x.db") as db:
    db.execute("UPDATE trial_values SET value = NULL")'
before=$(sha256sum x.db)
drmad store check --store sqlite:x.db --json >lines 2>/dev/null || echo "status $?"
[ "$before" = "$(sha256sum x.db)" ]
grep -q '"finding": "damaged"' lines
