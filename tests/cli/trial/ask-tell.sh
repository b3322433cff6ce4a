# A trial from the shell: asked for, reported, told; its token is what counts.
study="$ROOT/tests/cli/search.yaml"
trial=$(drmad trial ask "$study" -q)
echo "$trial"
token=$(python3 -c 'import json, sys; print(json.loads(sys.argv[1])["token"])' "$trial")
drmad trial report "$study" 0 -1 -0.75 -t "$token"
drmad trial tell "$study" 1 0.25 -t "$token" || echo "status $?"
drmad trial tell "$study" 0 -0.25 --token "$token"
drmad trial tell "$study" 0 -0.25 --token "$token" # told once: the answer may have been lost
drmad trial report "$study" 0 2 0.5 -t "$token" || echo "status $?"
drmad study best sqlite:s.db#search
