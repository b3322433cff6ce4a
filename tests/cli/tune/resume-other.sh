drmad tune "$ROOT/tests/cli/tiny.yaml" -o r -q >/dev/null
drmad tune "$ROOT/tests/cli/tiny.yaml" -o r -q --resume | tail -n 1
drmad tune "$ROOT/tests/cli/tiny.yaml" -o r -q --resume outer.lr=0.5
