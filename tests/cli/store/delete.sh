drmad study create -q sqlite:x.db#s >/dev/null
python3 "$ROOT/tests/cli/store/fill.py" x.db
drmad study delete sqlite:x.db#s -y
drmad study list --store sqlite:x.db
python3 -c '
import sqlite3
print(sqlite3.connect("x.db").execute("SELECT count(*) FROM trial_params").fetchone()[0])'
