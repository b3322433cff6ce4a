drmad tune "$ROOT/tests/cli/tiny.yaml" -o r -q >/dev/null
drmad train "$ROOT/tests/cli/tiny.yaml" -o r -q
