study="$ROOT/tests/cli/tiny.yaml"
for to in none activations weights; do
    drmad tune "$study" regress.to=$to -o $to -q >/dev/null
    python3 - $to <<'END'
import json, sys
path = json.load(open(sys.argv[1] + "/result.json"))["path"]
print(*(m["objective"] for m in path), file=open(sys.argv[1] + ".path", "w"))
END
done
# the first meta-step has nothing to be pulled to
[ "$(cut -d' ' -f1 none.path | cut -c1-9)" = "$(cut -d' ' -f1 activations.path | cut -c1-9)" ]
! cmp -s none.path activations.path
! cmp -s activations.path weights.path
drmad tune "$study" 'hyper=[{kind: regress}]' -o r || echo $?
drmad tune "$study" regress.to=weights estimator.kind=implicit -o r || echo $?
