# one object a line, nothing else, each with its event; the last one is the result
drmad tune "$ROOT/tests/cli/tiny.yaml" -o r --json -q baselines.random=2 >lines
python3 -c "
import json
for line in open(\"lines\"): print(json.loads(line)[\"event\"])"
cmp <(head -n -1 lines) r/log.jsonl && echo "the log holds the same"
