"""fill.py FILE: three finished trials for study "s" of an SQLite store, as Optuna would write them.
"""

import json
import sqlite3
import sys

REAL = {"name": "FloatDistribution",
        "attributes": {"step": None, "low": 1e-05, "high": 1.0, "log": True}}
WORD = {"name": "CategoricalDistribution", "attributes": {"choices": ["tanh", "relu"]}}
TIMES = ("2026-01-02 03:04:05.000000", "2026-01-02 03:04:06.000000")

with sqlite3.connect(sys.argv[1]) as db:
    db.execute("PRAGMA foreign_keys = ON")
    (study,) = db.execute("SELECT study_id FROM studies WHERE study_name = 's'").fetchone()
    db.execute("INSERT INTO study_user_attributes (study_id, key, value_json) VALUES (?, ?, ?)",
               (study, "note", json.dumps('a \x1b[31m"b"')))
    for number, (state, value, lr, word) in enumerate(
        (("COMPLETE", 0.5, 0.1, 0), ("COMPLETE", 0.25, 0.001, 1), ("FAIL", None, 0.01, 0))
    ):
        trial = db.execute(
            "INSERT INTO trials (number, study_id, state, datetime_start, datetime_complete) "
            "VALUES (?, ?, ?, ?, ?)", (number, study, state, *TIMES)).lastrowid
        for name, x, kind in (("lr", lr, REAL), ("act", word, WORD)):
            db.execute("INSERT INTO trial_params (trial_id, param_name, param_value, "
                       "distribution_json) VALUES (?, ?, ?, ?)", (trial, name, x, json.dumps(kind)))
        if value is not None:
            db.execute("INSERT INTO trial_values (trial_id, objective, value, value_type) "
                       "VALUES (?, 0, ?, 'FINITE')", (trial, value))
        db.execute("INSERT INTO trial_user_attributes (trial_id, key, value_json) VALUES (?, ?, ?)",
                   (trial, "host", json.dumps(f"h{number},x")))
