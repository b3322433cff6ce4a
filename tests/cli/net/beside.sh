# Rates of single dropout layers, and classifiers beside the net's output, which are trained, tuned
# and saved, but for which an evaluation has no use.
cat >s.yaml <<'END'
name: beside
data: {kind: synthetic-digits, train: 60, valid: 40, test: 40}
model: {preset: lenet5, dropout: 0.2, auxiliary: [relu1, {after: fc1, weight: 0.1, name: second}]}
train: {steps: 6, batch: 20}
hyper:
  - {kind: dropout, per: layer, ties: [{per: global, until: 1}]}
  - {kind: auxiliary, per: layer, match: second, start: 0.1}
outer: {steps: 2, audit_every: 1}
retrain: {seeds: 1}
END
drmad tune s.yaml -q -o r | sed -n '/^knob /,/^$/p'
python3 - <<'END'
import json, struct
f = open("r/weights.safetensors", "rb")
head = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
for name in ("auxiliary.0.weight", "second.bias"):
    print(name, head[name]["shape"])
for line in open("r/log.jsonl"):
    e = json.loads(line)
    if "audit" in e:
        a = e["audit"]
        print("audit agrees", abs(a["exact"] - a["hypergradient"]) <= 0.01 * abs(a["exact"]))
END
drmad tune s.yaml -q -o m model.auxiliary.1.after=fc9 || echo "status $?"
drmad tune s.yaml -q -o m "model.auxiliary=[fc1, fc2]" || echo "status $?"
drmad tune s.yaml -q -o m "hyper=[{kind: dropout, per: layer}]" model.dropout=0 || echo "status $?"
# A head moves with a net that grows.
drmad train s.yaml -q -o g "hyper=[]" "model.grow=[wider fc1=130, deeper conv1]" | grep "^model"
