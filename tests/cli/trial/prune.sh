# Whether to go on, from the shell: a word on standard output, or JSON.
cat >study.yaml <<'END'
name: p
store: sqlite:s.db
parameters: [{name: x, low: 0, high: 1}]
search: {sampler: sobol, pruner: {kind: median, startup: 2}}
END
for value in 1 2 3; do
    trial=$(drmad trial ask study.yaml -q)
    token=$(python3 -c 'import json, sys; print(json.loads(sys.argv[1])["token"])' "$trial")
    number=$((value - 1))
    echo "1: $(drmad trial report study.yaml $number 1 $value -t "$token")"
    [ "$value" = 3 ] || drmad trial tell study.yaml $number $value -t "$token"
done
drmad trial report study.yaml 2 2 0.5 -t "$token" --json
drmad trial report study.yaml 2 1 4 -t "$token" --json
drmad trial tell study.yaml 2 pruned -t "$token"
