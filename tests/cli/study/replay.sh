# Suggestions made again: all the same; then one that others changed.
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
drmad study replay study.yaml || echo "status $?"
