drmad train "$ROOT/tests/cli/tiny.yaml" -o r -q >text
drmad train "$ROOT/tests/cli/tiny.yaml" -o r2 --json -q | tail -n 1 >json
python3 -m json.tool json >/dev/null
[ -s text ] && echo text
