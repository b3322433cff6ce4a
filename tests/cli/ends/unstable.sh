# a first move so long that no fraction of it works: what was good before is kept, status 0
drmad tune "$ROOT/tests/cli/tiny.yaml" -o r --json "model.layers=[auto, auto]" \
    train.loss=squared optimizer.momentum=0 outer.optimizer=sign outer.lr=2000 outer.steps=30 \
    "hyper=[{kind: lr, start: 1e-3, low: 1e-6, high: 1e30}]" >lines 2>said
grep -c "taken back, half as far" said
grep "^warning" said
tail -n 1 lines | python3 -c "import json, sys; print(json.load(sys.stdin)[\"status\"])"
