#!/usr/bin/env python3
"""Writes optuna_schema.inc: what Optuna makes of an empty SQLite file and an empty PostgreSQL
database, for test_schema.c. Needs optuna==4.9.0 and psycopg2.

optuna_schema.py postgresql+psycopg2://USER@HOST:PORT/EMPTY_DATABASE > optuna_schema.inc"""

import json
import sqlite3
import sys
import tempfile

import optuna
import sqlalchemy

SQLITE = """SELECT type || ' ' || name || ' ' || sql FROM sqlite_master
WHERE sql IS NOT NULL AND name NOT LIKE 'drmad%' ORDER BY 1"""

POSTGRESQL = """SELECT line FROM (
SELECT 'enum ' || t.typname || ' ' || string_agg(e.enumlabel, ',' ORDER BY e.enumsortorder) AS line
FROM pg_type t JOIN pg_enum e ON e.enumtypid = t.oid GROUP BY t.typname
UNION ALL SELECT 'column ' || c.relname || ' ' || a.attnum || ' ' || a.attname || ' '
|| format_type(a.atttypid, a.atttypmod) || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END
|| COALESCE(' ' || pg_get_expr(d.adbin, d.adrelid), '')
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.relkind = 'r' AND a.attnum > 0 AND c.relnamespace = 'public'::regnamespace
AND c.relname NOT LIKE 'drmad%'
UNION ALL SELECT 'constraint ' || c.relname || ' ' || k.conname || ' '
|| pg_get_constraintdef(k.oid)
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
WHERE c.relnamespace = 'public'::regnamespace AND c.relname NOT LIKE 'drmad%'
UNION ALL SELECT 'index ' || indexdef FROM pg_indexes
WHERE schemaname = 'public' AND indexname NOT LIKE 'drmad%'
UNION ALL SELECT 'sequence ' || sequencename || ' ' || data_type FROM pg_sequences
WHERE schemaname = 'public' AND sequencename NOT LIKE 'drmad%'
) x ORDER BY line COLLATE "C" """


def wrapped(text, width=84):
    """C string literals, a few columns each."""
    parts = [text[i : i + width] for i in range(0, len(text), width)] or [""]
    return "\n    ".join(json.dumps(p) for p in parts)


def array(name, lines):
    body = "\n".join("    " + wrapped(" ".join(line.split())) + "," for line in lines)
    return f"static const char *const {name}[] = {{\n{body}\n}};\n"


def main():
    with tempfile.TemporaryDirectory() as folder:
        optuna.storages.RDBStorage(f"sqlite:///{folder}/optuna.db")
        with sqlite3.connect(f"{folder}/optuna.db") as c:
            lite = [line for (line,) in c.execute(SQLITE)]
    optuna.storages.RDBStorage(sys.argv[1])
    with sqlalchemy.create_engine(sys.argv[1]).connect() as c:
        server = [line for (line,) in c.execute(sqlalchemy.text(POSTGRESQL.replace(":", "\\:")))]
    print(f"/* From optuna_schema.py with Optuna {optuna.__version__}. */\n/* clang-format off */")
    for name, sql in (("sqlite_sql", SQLITE), ("postgres_sql", POSTGRESQL)):
        print(f"static const char {name}[] =\n    {wrapped(' '.join(sql.split()))};\n")
    print(array("sqlite_lines", lite))
    print(array("postgres_lines", server))


if __name__ == "__main__":
    main()
