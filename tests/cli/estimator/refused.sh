study="$ROOT/tests/cli/tiny.yaml"
drmad tune "$study" 'hyper=[{kind: lr}]' estimator.kind=implicit -o r || echo $?
drmad tune "$study" 'hyper=[{kind: init_scale}]' estimator.kind=truncated -o r || echo $?
drmad tune "$study" 'hyper=[{kind: init_scale}]' estimator.kind=one-step -o r || echo $?
drmad tune "$study" estimator.kind=implicit estimator.solver=nystrom -o r || echo $?
drmad tune "$study" estimator.kind=truncated trajectory.kind=line -o r || echo $?
