# A lease that is over: the trial is another's, and a late result is refused.
study="$ROOT/tests/cli/search.yaml"
trial=$(drmad trial ask "$study" --lease 1 -q)
token=$(python3 -c 'import json, sys; print(json.loads(sys.argv[1])["token"])' "$trial")
sleep 2
drmad trial ask "$study" -q >/dev/null
drmad trial tell "$study" 0 0.5 -t "$token"
