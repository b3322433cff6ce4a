drmad tune "$ROOT/tests/cli/tiny.yaml" --out r --json --quiet >lines
python3 -c "
import json
for line in open(\"lines\"): last = json.loads(line)
assert last == json.load(open(\"r/result.json\")), last"
ls r
