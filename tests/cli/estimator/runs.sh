study="$ROOT/tests/cli/tiny.yaml"
for e in truncated one-step implicit; do
    drmad explain "$study" estimator.kind=$e | tail -n 1
    drmad why "$study" estimator.kind=$e -o w -q | grep '^objective'
    drmad tune "$study" estimator.kind=$e estimator.damping=1 -o r -q | grep '^tuning'
    python3 - <<'END'
import json
result = json.load(open("r/result.json"))
residual = result.get("largest_residual")
print(result["estimator"], result["trajectory"], residual is None or 0 < residual < 1)
END
done
drmad check "$study" estimator.kind=implicit -q | tail -n 1
