drmad tune "$ROOT/tests/cli/tiny.yaml" -o r -q "hyper=[{kind: l2, start: 0}]"
