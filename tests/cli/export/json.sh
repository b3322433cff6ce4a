drmad study create -q sqlite:x.db#s >/dev/null
python3 "$ROOT/tests/cli/store/fill.py" x.db
drmad export sqlite:x.db#s --format json --order-by number --desc >table.json
python3 -c '
import json
t = json.load(open("table.json"))
print(t["trials"][1])
print(t["study"], t["directions"], [x["number"] for x in t["trials"]])'
