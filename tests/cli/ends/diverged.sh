# a rate that no run survives: status 5, what was tried, and the result says so too
drmad tune "$ROOT/tests/cli/tiny.yaml" -o r -q "model.layers=[auto, auto]" train.loss=squared \
    "hyper=[{kind: lr, start: 1e6, high: 1e9}]" || status=$?
python3 -c "import json; print(json.load(open(\"r/result.json\"))[\"status\"])"
exit $status
