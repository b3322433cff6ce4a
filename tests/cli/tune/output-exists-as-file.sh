echo mine >r
drmad tune "$ROOT/tests/cli/tiny.yaml" -o r -q
