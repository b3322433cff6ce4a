# Suggestions made again: all the same; then one that others changed; then as if another build had
# suggested that one, and one that comes out the same.
drmad worker "$ROOT/tests/cli/search.yaml" -q search.sampler=gp search.startup=2 >/dev/null
drmad study replay sqlite:s.db#search -q
drmad study replay --store sqlite:s.db search --json -q | tail -1 | python3 -c '
import json, sys
print(json.load(sys.stdin)["suggestions"])'
python3 -c '
import sqlite3
change = "UPDATE trial_params SET param_value = 1.5 WHERE trial_id = 6 AND param_name = ?"
with sqlite3.connect("s.db") as db:
    db.execute(change, "x")'
drmad study replay sqlite:s.db#search -q || echo "status $?"
python3 -c '
import json, sqlite3
row = "trial_system_attributes WHERE key = ? AND trial_id = ?"
with sqlite3.connect("s.db") as db:
    for trial in (5, 6):
        at = "drmad:sampler", trial
        note = json.loads(db.execute(f"SELECT value_json FROM {row}", at).fetchone()[0])
        change = "UPDATE " + row.replace("WHERE", "SET value_json = ? WHERE")
        db.execute(change, (json.dumps({**note, "build": note["build"] + "x"}), *at))'
drmad study replay sqlite:s.db#search -q && echo "status $?"
drmad study replay study.yaml || echo "status $?"
