study="$ROOT/tests/cli/search.yaml"
for word in pruned FAIL release nan; do
    trial=$(drmad trial ask "$study" -q)
    token=$(python3 -c 'import json, sys; print(json.loads(sys.argv[1])["token"])' "$trial")
    number=$(python3 -c 'import json, sys; print(json.loads(sys.argv[1])["number"])' "$trial")
    drmad trial tell "$study" "$number" "$word" -t "$token"
    python3 -c '
import sqlite3, sys
state = "SELECT number, state FROM trials WHERE number = ?"
print(*sqlite3.connect("s.db").execute(state, sys.argv[1:]).fetchone())' "$number"
done
drmad trial tell "$study" 0 gone -t 1.0.1.1 || echo "status $?"
drmad trial tell "$study" 0 1 -t gone || echo "status $?"
drmad trial tell "$study" 0 1 || echo "status $?"
