# Whoever can write to a database must not be able to run commands here.
drmad tune "$ROOT/tests/cli/search.yaml" -q >/dev/null
drmad worker --study sqlite:s.db#search search.trials=7
