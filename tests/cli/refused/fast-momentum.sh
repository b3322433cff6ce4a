drmad tune "$ROOT/tests/cli/tiny.yaml" -o r -q "hyper=[{kind: momentum}]" \
    trajectory.kind=grid trajectory.stride=fast
