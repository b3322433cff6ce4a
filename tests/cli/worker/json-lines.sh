drmad tune "$ROOT/tests/cli/search.yaml" search.trials=1 --jobs 1 --json -q
