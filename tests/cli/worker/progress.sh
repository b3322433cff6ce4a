drmad tune "$ROOT/tests/cli/search.yaml" search.trials=2 --jobs 1 >/dev/null
