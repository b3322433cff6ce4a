# what people see: the study, the knobs, the runs; a line a meta-step on standard error
drmad tune "$ROOT/tests/cli/tiny.yaml" -o r baselines.random=2 \
    "hyper=[{kind: l2, per: layer, start: 1e-3}, {kind: lr, phases: 2, low: 1e-3, high: 1}]"
