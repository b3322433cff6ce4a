drmad tune "$ROOT/tests/cli/tiny.yaml" -o r -q "hyper=[{kind: momentum, phases: every-step}]" trajectory.kind=grid
