drmad study create -q sqlite:x.db#s >/dev/null
drmad study create -q sqlite:x.db#empty >/dev/null
python3 "$ROOT/tests/cli/store/fill.py" x.db
drmad study best sqlite:x.db#s
drmad study best sqlite:x.db#s --json | python3 -c '
import json, sys
t = json.load(sys.stdin)["best"][0]
print(t["number"], t["params"])'
drmad study best sqlite:x.db#empty
