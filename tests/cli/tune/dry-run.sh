drmad tune "$ROOT/tests/cli/tiny.yaml" --dry-run --json --quiet | python3 -c "
import json, sys
print(type(json.loads(sys.stdin.readlines()[-1])).__name__)"
ls
