# The sanity test of Lorraine, Vicol, Duvenaud (AISTATS 2020): a decay for each weight, tuned to
# overfit 50 validation images on purpose, must get all of them right.
export DRMAD_DATA="${DRMAD_DATA:-$ROOT/../shared/data}"
cat >s.yaml <<'END'
name: overfit
data: {kind: mnist, train: 50, valid: 50, test: 50}
model: {layers: [auto, 50, auto]}
train: {steps: 100, batch: 50}
hyper: [{kind: l2, per: weight, start: 1e-2}]
outer: {steps: 12, lr: 0.5, audit_every: never}
retrain: {seeds: 0}
END
for e in unrolled implicit; do
    drmad tune s.yaml estimator.kind=$e estimator.damping=0.01 -o $e -q >/dev/null 2>&1
    python3 - $e <<'END'
import json, sys
path = json.load(open(sys.argv[1] + "/result.json"))["path"]
print(sys.argv[1], path[0]["error"] > 0.1, min(m["error"] for m in path))
END
done
