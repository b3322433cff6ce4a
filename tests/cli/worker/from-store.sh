# Another machine, no study file: the store has the study, and the trial's folder is made here.
tiny="$ROOT/tests/cli/tiny.yaml"
drmad tune "$tiny" store=sqlite:t.db search.trials=1 -q 'hyper=[]' output.dir=first \
    'parameters=[{name: optimizer.lr, low: 0.01, high: 0.5, log: true}]' >/dev/null
mkdir elsewhere
cd elsewhere
drmad worker --study sqlite:../t.db search.trials=3 -q
find . -name weights.safetensors | sort
drmad worker --study sqlite:../t.db#other -q || echo "status $?"
drmad study create -q sqlite:../t.db#empty >/dev/null
drmad worker --study sqlite:../t.db -q || echo "status $?"
drmad worker --study sqlite:../t.db#empty -q || echo "status $?"
