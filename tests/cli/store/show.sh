drmad study create -q sqlite:x.db#s >/dev/null
python3 "$ROOT/tests/cli/store/fill.py" x.db
drmad study show sqlite:x.db#s
drmad study show sqlite:x.db#s --json |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["study"]["best"])'
