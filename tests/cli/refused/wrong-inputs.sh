drmad tune "$ROOT/tests/cli/tiny.yaml" -o r -q "model.layers=[10, auto]"
