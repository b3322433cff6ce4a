drmad tune "$ROOT/tests/cli/search.yaml" 'objective.cmd=sh -c "echo no GPU >&2; exit 3" sh {x}' \
    --jobs 1 -q >/dev/null || echo "status $?"
python3 -c '
import sqlite3
db = sqlite3.connect("s.db")
for row in db.execute("SELECT key, value_json FROM trial_user_attributes WHERE trial_id = 1"):
    print(*row)'
