# drmad's own training as the objective, tuned by hypergradients within each trial.
drmad tune "$ROOT/tests/cli/tiny.yaml" store=sqlite:t.db search.trials=2 --jobs 2 -q \
    'parameters=[{name: optimizer.lr, low: 0.01, high: 0.5, log: true}]' >/dev/null
python3 -c '
import json, sqlite3
db = sqlite3.connect("t.db")
attr = "SELECT value_json FROM trial_user_attributes WHERE key = ?"
steps = db.execute("SELECT count(*) FROM trial_intermediate_values").fetchone()[0]
ranges = db.execute(attr, ("hyper:ranges",)).fetchall()
loss = db.execute(attr, ("result:test_loss",)).fetchall()
print(steps, len(ranges), len(loss), sum(v["size"] for v in json.loads(ranges[0][0]).values()))'
ls runs/*/trials/0
