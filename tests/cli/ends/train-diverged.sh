drmad train "$ROOT/tests/cli/tiny.yaml" -o r --json -q "model.layers=[auto, auto]" \
    train.loss=squared optimizer.lr=1e6 >lines || status=$?
python3 -c "
import json
for line in open(\"lines\"): print(json.loads(line)[\"event\"])"
exit $status
