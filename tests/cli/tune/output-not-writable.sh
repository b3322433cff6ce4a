drmad tune "$ROOT/tests/cli/tiny.yaml" -o /proc/r -q
