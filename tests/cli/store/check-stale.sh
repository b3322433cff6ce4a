# Trials that nobody runs any more are warned of: an Optuna worker's that keeps no heartbeat.
drmad study create -q sqlite:x.db#s
python3 -c 'import sqlite3
with sqlite3.connect("x.db") as db:
    db.execute("INSERT INTO trials (number, study_id, state) VALUES (0, 1, \"RUNNING\")")'
drmad store check sqlite:x.db
