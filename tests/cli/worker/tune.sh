# A search with commands: tune, then a worker that finds nothing to do, then all that is there.
drmad tune "$ROOT/tests/cli/search.yaml" -q
drmad worker --study sqlite:s.db#search -q --trust-store --json | tail -1 >result
python3 -c '
import json, sqlite3
r = json.load(open("result"))
assert r["best"]["value"] < 0 and r["trials"]["COMPLETE"] == 6, r
db = sqlite3.connect("s.db")
(n,) = db.execute("SELECT count(*) FROM trial_intermediate_values WHERE step = 1").fetchone()
(a,) = db.execute("SELECT value_json FROM trial_user_attributes WHERE trial_id = 1 AND key = ?",
                  ("result:act",)).fetchone()
print(n, a)'
[ ! -e runs/search/trials/0 ] && echo 'no empty folders'
