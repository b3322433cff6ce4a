drmad tune "$ROOT/tests/cli/tiny.yaml" -o r -q trajectory.kind=grid \
    "hyper=[{kind: momentum, phases: every-step}]"
